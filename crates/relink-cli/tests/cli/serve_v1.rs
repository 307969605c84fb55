//! `relink serve` as a server of relink.v1, with `relink connect` as its clients.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::{Value, json};

use crate::support::{Relink, file_name};

/// A server, and its address.
fn serve(more: &[&str]) -> (Relink, String) {
    let args = ["serve", "--json", "--listen", "127.0.0.1:0"];
    let mut serve = Relink::start(args.into_iter().chain(more.iter().copied()));
    let url = serve.event("listening")["url"].as_str().expect("an address").to_owned();
    (serve, url)
}

/// A client of it with short delays.
fn connect(url: &str, more: &[&str]) -> Relink {
    let mut args = vec!["--protocol", "relink.v1", "--backoff-initial", "10ms"];
    args.extend(more);
    Relink::connect(url, &args)
}

/// A socket that has requested relink.v1, by hand.
fn upgraded(url: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(url.trim_start_matches("ws://").trim_end_matches('/'))
        .expect("the server listens");
    let key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade =
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-protocol: relink.v1\r\n";
    write!(tcp, "GET / HTTP/1.1\r\nhost: x\r\n{upgrade}{key}\r\n").expect("it reads");
    tcp
}

/// The next frame that the server prints.
fn frame(serve: &mut Relink) -> (String, Value) {
    let mut event = serve.event("frame");
    (event["from"].as_str().expect("who sent it").to_owned(), event["frame"].take())
}

/// Waits for a frame of this type.
fn frame_of(serve: &mut Relink, kind: &str) -> Value {
    loop {
        let (_, frame) = frame(serve);
        if frame["type"] == kind {
            return frame;
        }
    }
}

#[test]
fn a_message_is_acknowledged_and_comes_back_in_both_encodings() {
    for encoding in ["json", "cbor"] {
        let (mut serve, url) = serve(&[]);
        let mut relink = connect(&url, &["--encoding", encoding]);
        relink.type_line("hello");
        assert_eq!(relink.event("message")["text"], "hello");
        relink.hang_up();
        let ended = relink.end();
        assert_eq!((ended.status, ended.events("acknowledged").len()), (Some(0), 1));

        let hello = json!({ "type": "hello", "max_message": 16 << 20 });
        assert_eq!(frame(&mut serve), ("client".into(), hello));
        let (from, welcome) = frame(&mut serve);
        assert_eq!(
            (from.as_str(), &welcome["type"], &welcome["resumed"]),
            ("server", &json!("welcome"), &json!(false))
        );
        let message = json!({ "type": "message", "serial": 1, "text": "hello" });
        assert_eq!(frame(&mut serve), ("client".into(), message));
        let publication = json!({ "type": "publication", "offset": 1, "text": "hello" });
        assert_eq!(frame_of(&mut serve, "publication"), publication);
        assert_eq!(serve.event("peer_closed")["code"], 1000);
    }
}

/// Larger than the server accepts, in either encoding.
fn too_large() -> String {
    "x".repeat(1_200_000)
}

#[test]
fn a_line_that_is_larger_than_the_server_takes_is_refused_with_its_size_and_the_next_one_goes() {
    for encoding in ["json", "cbor"] {
        let (_serve, url) = serve(&["--protocol", "relink.v1"]);
        let mut relink = connect(&url, &["--encoding", encoding]);
        relink.event("connected");
        relink.type_line(&too_large());
        relink.type_line("small");
        let refused = relink.event("refused");
        let detail = refused["detail"].as_str().expect("a sentence");
        assert_eq!(
            (&refused["line"], &refused["why"]),
            (&json!(1), &json!("too_large")),
            "{refused}"
        );
        assert!(refused["size"].as_u64().is_some_and(|size| size > 1_200_000), "{refused}");
        assert_eq!(refused["limit"], 1 << 20);
        assert!(
            detail.contains(&refused["size"].to_string()) && detail.contains("1048576"),
            "{detail}"
        );
        assert_eq!(relink.event("message")["text"], "small");
        relink.hang_up();
        let ended = relink.end();
        assert_eq!(ended.status, Some(0));
        assert!(ended.err().contains(&format!("line 1 is not sent: {detail}")), "{}", ended.err());
    }
}

#[test]
fn a_line_that_is_too_large_and_was_typed_before_the_server_was_reached_is_told_with_its_size() {
    let script = "then = 'echo'\n[[connection]]\nsteps = [{ do = 'refuse', status = 503 }]\n";
    let script = file_name("too-large-before.toml", script);
    let (_serve, url) = serve(&["--script", &script]);
    // A short message that is too large with the escapes of JSON.
    let quotes = "\"".repeat(800 << 10);
    let mut relink = connect(&url, &[]);
    for line in [quotes.as_str(), &too_large(), "small"] {
        relink.type_line(line);
    }
    assert_eq!(relink.event("message")["text"], "small");
    relink.hang_up();
    let ended = relink.end();
    assert_eq!(ended.status, Some(0), "{}", ended.err());
    // Dropped, or refused if the server was reached before stdin was read.
    let told = [ended.events("dropped"), ended.events("refused")].concat();
    assert_eq!(told.len(), 2, "{told:?}");
    for event in told {
        assert_eq!(
            (&event["why"], &event["limit"]),
            (&json!("too_large"), &json!(1 << 20)),
            "{event}"
        );
        assert!(event["size"].as_u64().is_some_and(|size| size > 1 << 20), "{event}");
    }
}

#[test]
fn a_person_reads_the_size_and_the_limit_of_a_line_that_is_too_large() {
    let (_serve, url) = serve(&[]);
    let mut relink = Relink::start(["connect", "--protocol", "relink.v1", &url]);
    relink.type_line(&too_large());
    relink.type_line("small");
    assert_eq!(relink.line(), "small");
    relink.hang_up();
    let ended = relink.end();
    assert_eq!(ended.status, Some(0));
    let told = ended.err.iter().find(|line| line.contains("1048576")).expect("the limit");
    assert!(told.contains(" 12000") && told.contains(" 1 "), "{told}");
}

#[test]
fn plain_clients_get_their_echo_beside_it() {
    let (_serve, url) = serve(&[]);
    let mut plain = Relink::connect(&url, &[]);
    let mut v1 = connect(&url, &[]);
    plain.type_line("plain");
    v1.type_line("framed");
    assert_eq!(plain.event("message")["text"], "plain");
    assert_eq!(v1.event("message")["text"], "framed");
}

#[test]
fn one_protocol_can_be_forced() {
    let (mut serve_v1, url) = serve(&["--protocol", "relink.v1"]);
    let mut plain = Relink::connect(&url, &["--max-attempts", "1"]);
    assert!(
        plain.event("attempt_failed")["reason"].as_str().is_some_and(|why| why.contains("400"))
    );
    serve_v1.event("handshake_failed");
    let mut v1 = connect(&url, &[]);
    v1.type_line("framed");
    assert_eq!(v1.event("message")["text"], "framed");

    let (mut serve_plain, url) = serve(&["--protocol", "plain"]);
    let mut plain = Relink::connect(&url, &["--subprotocol", "relink.v1"]);
    plain.type_line("no frame");
    assert_eq!(serve_plain.event("message")["text"], "no frame");
    assert_eq!(plain.event("message")["text"], "no frame");
}

#[test]
fn a_channel_brings_two_clients_together_and_shows_them_to_each_other() {
    let (_serve, url) = serve(&[]);
    let room = ["--channel", "lobby", "--to", "lobby"];
    let mut ann = connect(&url, &[&room[..], &["--presence", "ann"]].concat());
    assert_eq!(ann.event("joined")["info"], "ann");
    let mut bob =
        connect(&url, &[&room[..], &["--presence", "bob", "--encoding", "cbor"]].concat());
    let joined = ann.event("joined");
    assert_eq!((&joined["channel"], &joined["info"]), (&json!("lobby"), &json!("bob")));
    let mut seen: Vec<_> = (0..2).map(|_| bob.event("joined")["info"].clone()).collect();
    seen.sort_by_key(Value::to_string);
    assert_eq!(seen, ["ann", "bob"]);

    ann.type_line("hi");
    for client in [&mut ann, &mut bob] {
        let message = client.event("message");
        assert_eq!((&message["channel"], &message["text"]), (&json!("lobby"), &json!("hi")));
        assert_eq!(message["offset"], 1);
    }
    bob.hang_up();
    assert_eq!(bob.end().status, Some(0));
    assert_eq!(ann.event("left")["join"], joined["join"]);
}

#[test]
fn a_script_closes_and_the_session_goes_on_with_nothing_lost() {
    let two = r#"text = '{"type":"message","serial":2,"channel":"lobby","text":"two"}'"#;
    // {0: 2, 1: 2, 2: "lobby", 3: "two"}
    let two_in_cbor = "base64 = 'pAACAQICZWxvYmJ5A2N0d28='";
    for (encoding, two) in [("json", two), ("cbor", two_in_cbor)] {
        let script = format!(
            "then = 'echo'\n[[connection]]\nsteps = [{{ do = 'echo-until', {two} }}, \
             {{ do = 'close', code = 1001, reason = 'deploy; retry-after=10ms' }}]\n"
        );
        let script = file_name(&format!("v1-{encoding}.toml"), &script);
        let (mut serve, url) = serve(&["--script", &script]);
        let mut relink =
            connect(&url, &["--encoding", encoding, "--channel", "lobby", "--to", "lobby"]);
        relink.event("subscribed");
        relink.type_line("one");
        assert_eq!(relink.event("message")["text"], "one");
        // It is committed, and the acknowledgement is lost.
        relink.type_line("two");
        let closed = serve.event("closed");
        assert_eq!((&closed["code"], &closed["answered"]), (&json!(1001), &json!(true)));
        assert_eq!(relink.event("disconnected")["code"], 1001);
        relink.type_line("three");
        relink.hang_up();
        let ended = relink.end();
        assert_eq!(ended.status, Some(0));
        let resumed = ended.events("resumed");
        assert_eq!(
            resumed.iter().map(|event| &event["complete"]).collect::<Vec<_>>(),
            [&json!(true)]
        );
        let heard = ended.events("message");
        let heard: Vec<_> = heard.iter().map(|event| (&event["offset"], &event["text"])).collect();
        let said = [(1, "one"), (2, "two"), (3, "three")]
            .map(|(offset, text)| (json!(offset), json!(text)));
        assert_eq!(heard, said.each_ref().map(|(offset, text)| (offset, text)));
        assert_eq!(ended.events("acknowledged").len(), 3);
    }
}

#[test]
fn ctrl_c_sends_everyone_away_for_a_while_and_ends() {
    let (serve, url) = serve(&[]);
    let mut v1 = connect(&url, &[]);
    let mut plain = Relink::connect(&url, &[]);
    v1.event("connected");
    plain.event("connected");
    serve.signal("INT");
    assert!(v1.event("going_away")["retry_after_ms"].as_u64().is_some_and(|wait| wait >= 1000));
    assert_eq!(v1.event("disconnected")["code"], 1001);
    assert_eq!(plain.event("disconnected")["code"], 1001);
    let ended = serve.end();
    assert_eq!(ended.status, Some(0));
    assert_eq!(ended.events("closed").len(), 2);
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let (mut serve, url) = serve(&[]);
    // It never answers a close frame.
    let _tcp = upgraded(&url);
    serve.event("accepted");
    serve.signal("INT");
    assert!(serve.status().contains("Ctrl-C again"));
    serve.signal("INT");
    assert_eq!(serve.end().status, Some(130));
}

#[test]
fn silence_is_found_and_the_session_kept() {
    let (mut serve, url) = serve(&["--silence", "300ms"]);
    let mut relink = connect(&url, &["--heartbeat-interval", "off"]);
    relink.event("connected");
    assert_eq!(relink.event("disconnected")["code"], 4000);
    assert_eq!(relink.event("resumed")["complete"], true);
    assert_eq!(serve.event("closed")["code"], 4000);
}

#[test]
fn a_session_that_ran_out_is_not_resumed() {
    let script = file_name(
        "ttl.toml",
        "then = 'echo'\n[[connection]]\nsteps = [{ do = 'echo', for = '200ms' }, { do = 'close', code = 1001, reason = \
         'deploy; retry-after=900ms' }]\n",
    );
    let (_serve, url) = serve(&["--script", &script, "--session-ttl", "200ms"]);
    let mut relink = connect(&url, &["--no-stdin"]);
    let refused = relink.event("resume_refused");
    let problem = refused["problem"].as_str().expect("a name");
    assert!(["session_expired", "session_unknown"].contains(&problem), "{refused}");
}

#[test]
fn no_token_and_no_session_id_is_told() {
    for json in [true, false] {
        let (server, url) = if json {
            serve(&[])
        } else {
            let mut server = Relink::start(["serve", "--listen", "127.0.0.1:0"]);
            let url = server.line().strip_prefix("listening on ").expect("an address").to_owned();
            (server, url)
        };
        for encoding in ["json", "cbor"] {
            let mut relink =
                connect(&url, &["--encoding", encoding, "--token-command", "echo s3cret-token"]);
            relink.type_line("hello");
            relink.event("acknowledged");
            relink.hang_up();
            relink.end();
        }
        server.signal("INT");
        let ended = server.end();
        let out = ended.out();
        assert!(out.contains("hello") && out.contains("welcome"), "{out}");
        assert!(!out.contains("s3cret") && !out.contains("\"session\""), "{out}");
    }
}

#[cfg(feature = "redis")]
#[test]
fn a_history_that_is_not_there_is_told_without_its_password() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let history = format!("redis://user:s3cret@{address}/");
    let ended = Relink::run(["serve", "--listen", "127.0.0.1:0", "--history", &history]);
    assert_eq!(ended.status, Some(1));
    assert!(
        ended.err().contains("--history") && !ended.err().contains("s3cret"),
        "{}",
        ended.err()
    );

    let ended = Relink::run(["serve", "--history", "s3cret"]);
    assert_eq!(ended.status, Some(2));
    assert!(ended.err().contains("neither `memory` nor an address of Redis"), "{}", ended.err());
}

#[cfg(not(feature = "redis"))]
#[test]
fn a_history_in_redis_names_the_feature_that_it_needs() {
    let ended = Relink::run(["serve", "--history", "redis://user:s3cret@127.0.0.1/"]);
    assert_eq!(ended.status, Some(2));
    assert!(ended.err().contains("without the feature `redis`"), "{}", ended.err());
}

#[test]
fn a_server_whose_settings_cannot_work_names_them() {
    let ended = Relink::run(["serve", "--listen", "127.0.0.1:0", "--silence", "0s"]);
    assert_eq!(ended.status, Some(2));
    assert!(ended.err().contains("liveness.silence"), "{}", ended.err());
}

#[test]
fn what_is_no_frame_is_told_as_null_and_closed() {
    let (mut serve, url) = serve(&[]);
    let mut tcp = upgraded(&url);
    // A text message "no", masked with zeros.
    tcp.write_all(b"\x81\x82\0\0\0\0no").unwrap();
    let event = serve.event("frame");
    assert_eq!((&event["from"], &event["frame"]), (&json!("client"), &Value::Null));
    assert_eq!(serve.event("closed")["code"], 1007);
    tcp.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    tcp.read_to_end(&mut rest).unwrap();
}
