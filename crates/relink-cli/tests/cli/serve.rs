//! `relink serve`, with `relink connect` as its client.

use std::net::TcpListener;

use relink_testing::{EventKind, Script};
use serde_json::json;

use crate::support::{Relink, file_name, seen, server};

/// A server, and its address.
fn serve(more: &[&str]) -> (Relink, String) {
    let args = ["serve", "--json", "--listen", "127.0.0.1:0"];
    let mut serve = Relink::start(args.into_iter().chain(more.iter().copied()));
    let listening = serve.event("listening");
    let url = listening["url"].as_str().expect("an address").to_owned();
    (serve, url)
}

/// What the server agrees to is in the request that it logs, and in what passes: a peer that
/// compresses without the other's consent loses the connection.
#[test]
fn messages_are_compressed_if_both_ends_say_so() {
    let offer = |how: &str| format!("permessage-deflate{how}; client_max_window_bits");
    let fresh = offer("; client_no_context_takeover; server_no_context_takeover");
    let long = "a line that repeats itself ".repeat(40);
    for served in [&["--deflate"][..], &[]] {
        let (_serve, url) = serve(served);
        for (asked, expected) in [("--deflate", &fresh), ("--deflate=context", &offer(""))] {
            let mut relink = Relink::connect(&url, &[asked]);
            relink.type_line(&long);
            assert_eq!(relink.event("message")["text"], long);
            relink.hang_up();
            assert_eq!(relink.end().status, Some(0));

            let server = server(Script::new());
            let _relink = Relink::connect(&server.url(), &[asked]);
            let events = seen(&server, |kind| matches!(kind, EventKind::Accepted { .. }));
            let request = events.iter().find_map(|event| event.kind.request()).expect("a request");
            assert_eq!(request.header("sec-websocket-extensions"), Some(expected.as_str()));
        }
    }
    let mistake = Relink::run(["connect", "--deflate=best", "ws://127.0.0.1:1/"]);
    assert_eq!(mistake.status, Some(2));
    assert!(mistake.err().contains("possible values: fresh, context"), "{}", mistake.err());
}

#[test]
fn without_a_script_it_echoes_until_ctrl_c() {
    let (mut serve, url) = serve(&[]);
    let mut relink = Relink::connect(&url, &[]);
    relink.type_line("hello");
    assert_eq!(relink.event("message")["text"], "hello");
    relink.hang_up();
    assert_eq!(relink.end().status, Some(0));

    let mut expect = |expected: serde_json::Value| {
        let mut event = serve.any_event();
        event.as_object_mut().expect("an object").remove("t");
        assert_eq!(event, expected);
    };
    expect(json!({ "connection": 1, "event": "arrived" }));
    expect(json!({ "connection": 1, "event": "accepted", "path": "/", "subprotocol": null }));
    expect(json!({ "connection": 1, "event": "message", "text": "hello" }));
    expect(json!({ "connection": 1, "event": "peer_closed", "code": 1000, "reason": "" }));
    serve.signal("INT");
    assert_eq!(serve.end().status, Some(0));
}

#[test]
fn a_script_is_followed_and_told_to_people() {
    let script = file_name(
        "script.toml",
        "[[connection]]\nsteps = [{ do = 'refuse', status = 503 }]\n\
         [[connection]]\nsteps = [{ do = 'expect', text = 'hi' }, { do = 'close', code = 4020, reason = 'bye' }]\n",
    );
    let mut serve = Relink::start(["serve", "--listen", "127.0.0.1:0", "--script", &script]);
    let line = serve.line();
    let url = line.strip_prefix("listening on ").expect("an address");
    assert!(serve.status().contains(&format!("relink connect {url}")));
    let mut relink = Relink::connect(url, &["--backoff-initial", "10ms"]);
    relink.type_line("hi");
    assert_eq!(relink.end().status, Some(3));
    for words in [
        "#1  arrived",
        "#1  refused / with HTTP 503",
        "#2  arrived",
        "#2  accepted /",
        "#2  text \"hi\"",
    ] {
        let line = serve.line();
        assert!(line.ends_with(words), "{line}");
    }
}

#[test]
fn a_wrong_script_is_a_mistake_and_a_taken_port_is_not() {
    let script =
        file_name("wrong.toml", "[[connection]]\nsteps = [{ do = 'refuse', status = 99 }]\n");
    let ended = Relink::run(["serve", "--script", &script]);
    assert_eq!(ended.status, Some(2));
    assert!(ended.err().contains("`status` is 99; allowed is 200 to 599"), "{}", ended.err());
    let script = file_name("wrong-list.toml", "[[connection]]\nsteps = [['close', 1001, '']]\n");
    let ended = Relink::run(["serve", "--script", &script]);
    assert_eq!(ended.status, Some(2));
    assert!(
        ended.err().contains("line 2") && ended.err().contains("expected a table"),
        "{}",
        ended.err()
    );

    for (flag, value, word) in [
        ("--silence", "0s", "--silence cannot work: liveness.silence is 0s"),
        ("--silence", "9999d", "--silence cannot work: liveness.silence is 9999d"),
        ("--silence", "-1s", "'-1s' for '--silence <DURATION>': not a duration"),
        ("--session-ttl", "0s", "--session-ttl cannot work: history.session_ttl is 0s"),
        ("--session-ttl", "9999d", "--session-ttl cannot work: history.session_ttl is 9999d"),
        ("--listen", "127.0.0.1:99999", "'127.0.0.1:99999' for '--listen <ADDRESS>'"),
    ] {
        let ended = Relink::run(["serve", flag, value]);
        assert_eq!(ended.status, Some(2), "{flag} {value}");
        assert!(ended.err().contains(word), "{flag}: {}", ended.err());
    }

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Relink::run(["serve", "--listen", &address]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.err().contains(&format!("{address} cannot be listened on")), "{}", ended.err());
}
