//! `relink.v1` on real sockets, spoken by hand.

use std::{sync::Arc, time::Duration};

use crate::client::{Client, Running, request};
use relink::session::Problem;
use relink::{CloseCode, CloseFrame};
use relink_node::{HistoryConfig, NodeConfig, NodeEvent};
use relink_server::{MemoryHistory, Server, ServerConfig, User, relink};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::{Bytes, Message};

#[tokio::test]
async fn w09_a_hello_is_welcome() {
    let server = Running::with_defaults().await;
    let mut events = server.relink.events();
    let (_client, welcome) = server.hello().await;
    assert!(
        welcome["session"].as_str().is_some_and(|session| session.len() >= 22),
        "not to be guessed"
    );
    let of_the_other = server.hello().await.1;
    assert_ne!(welcome["session"], of_the_other["session"]);
    assert!(matches!(events.recv().await, Some(NodeEvent::Connected { resumed: false, .. })));
    assert_eq!(server.relink.stats().node.connections, 2);
}

#[tokio::test]
async fn i26_a_message_is_acknowledged_and_a_duplicate_has_no_effect() {
    let server = Running::with_defaults().await;
    let (mut client, _) = server.hello().await;
    client.subscribe("room").await;
    client.message(1, Some("room"), "once").await;
    client.message(1, Some("room"), "once").await;
    client.message(2, Some("room"), "and then").await;
    let mut said = Vec::new();
    while said.len() < 2 {
        let frame = client.hear().await;
        if frame["type"] == "publication" {
            said.push((frame["offset"].clone(), frame["text"].clone()));
        }
    }
    assert_eq!(said, [(json!(1), json!("once")), (json!(2), json!("and then"))]);
    assert_eq!(server.relink.stats().node.duplicates, 1);
}

#[tokio::test]
async fn i26_a_gap_closes_with_4100_and_the_rest_is_sent_again() {
    let server = Running::with_defaults().await;
    let (mut client, welcome) = server.hello().await;
    client.message(1, Some("room"), "1").await;
    client.expect("ack").await;
    client.message(3, Some("room"), "3").await;
    assert_eq!(client.closed().await.0, 4100);
    let mut client = server.connect().await;
    let again = client.resume(&welcome, 0).await;
    assert_eq!((&again["resumed"], &again["received"]), (&json!(true), &json!(1)));
    for serial in 2..=3 {
        client.message(serial, Some("room"), &serial.to_string()).await;
    }
    while client.expect("ack").await["serial"] != 3 {}
    let subscribed = client.subscribe("room").await;
    assert_eq!(subscribed["position"]["offset"], 3);
}

#[tokio::test]
async fn i26_a_lost_tail_shows_at_the_heartbeat() {
    let server = Running::with_defaults().await;
    let (mut client, _) = server.hello().await;
    client.say(&json!({"type": "heartbeat", "nonce": 7, "sent": 0})).await;
    assert_eq!(client.expect("heartbeat_ack").await["nonce"], 7);
    client.say(&json!({"type": "heartbeat", "nonce": 8, "sent": 1})).await;
    assert_eq!(client.closed().await.0, 4100);
}

#[tokio::test]
async fn w09_what_was_missed_follows_a_resume_on_the_same_node() {
    let server = Running::with_defaults().await;
    resumes(&server, &server).await;
}

#[tokio::test]
async fn w15_what_was_missed_follows_a_resume_on_another_node() {
    let memory = MemoryHistory::new(HistoryConfig::default()).expect("the configuration is good");
    let one = Running::start(Server::builder().history(memory.clone())).await;
    let other = Running::start(Server::builder().history(memory)).await;
    resumes(&one, &other).await;
}

/// A client loses its connection, messages are published, and it comes back; first at the same
/// node, then at another.
async fn resumes(one: &Running, other: &Running) {
    let (mut client, welcome) = one.hello().await;
    let session = welcome["session"].as_str().expect("a session").to_owned();
    let position = client.subscribe("room").await["position"].clone();
    client.message(1, Some("room"), "mine").await;
    while client.hear().await["type"] != "publication" {}
    one.relink.send(&*session, "direct 1").expect("it fits");
    assert_eq!(client.expect_publication().await, (Value::Null, json!(1), json!("direct 1")));
    drop(client);
    other.relink.publish("room", "meanwhile 1").expect("it fits");
    one.relink.publish("room", "meanwhile 2").expect("it fits");
    other.relink.send(&*session, "direct 2").expect("it fits");

    let mut client = other.connect().await;
    let again = client.resume(&welcome, 1).await;
    let expected = json!({"session": session, "resumed": true, "received": 1});
    for field in ["session", "resumed", "received"] {
        assert_eq!(again[field], expected[field]);
    }
    assert_eq!(client.expect_publication().await, (Value::Null, json!(2), json!("direct 2")));
    let since = json!({"epoch": position["epoch"], "offset": 1});
    client.say(&json!({"type": "subscribe", "channel": "room", "since": since})).await;
    assert_eq!(client.expect("subscribed").await["recovered"], true);
    let mut heard = Vec::new();
    for offset in 2..=3 {
        let (channel, at, text) = client.expect_publication().await;
        assert_eq!((channel, at), (json!("room"), json!(offset)));
        heard.push(text.as_str().expect("text").to_owned());
    }
    heard.sort_unstable();
    assert_eq!(heard, ["meanwhile 1", "meanwhile 2"]);
    // The session goes on: a committed serial is not accepted again.
    client.message(1, Some("room"), "mine").await;
    client.message(2, Some("room"), "and back").await;
    let mut after = Vec::new();
    while after.len() < 2 {
        let frame = client.hear().await;
        match frame["type"].as_str() {
            Some("ack") if frame["serial"] == 2 => after.push(frame),
            Some("publication") => {
                assert_eq!((&frame["offset"], &frame["text"]), (&json!(4), &json!("and back")));
                after.push(frame);
            }
            _ => {}
        }
    }
}

impl Client<tokio::net::TcpStream> {
    /// The next frame, which must be a publication: its channel, offset and text.
    async fn expect_publication(&mut self) -> (Value, Value, Value) {
        let frame = self.expect("publication").await;
        (frame["channel"].clone(), frame["offset"].clone(), frame["text"].clone())
    }
}

#[tokio::test]
async fn i25_a_session_that_is_taken_over_closes_the_old_connection_with_4009() {
    let memory = MemoryHistory::new(HistoryConfig::default()).expect("the configuration is good");
    let one = Running::start(Server::builder().history(memory.clone())).await;
    let other = Running::start(Server::builder().history(memory)).await;
    let (mut first, welcome) = one.hello().await;
    let mut second = other.connect().await;
    assert_eq!(second.resume(&welcome, 0).await["resumed"], true);
    assert_eq!(first.closed().await.0, 4009);
    let mut third = other.connect().await;
    assert_eq!(third.resume(&welcome, 0).await["resumed"], true);
    assert_eq!(second.closed().await.0, 4009);
}

#[tokio::test]
async fn w09_a_deliberate_end_ends_the_session() {
    let server = Running::with_defaults().await;
    let (client, welcome) = server.hello().await;
    client.close(1000).await;
    let mut client = server.connect().await;
    let again = client.resume(&welcome, 0).await;
    assert_eq!((&again["resumed"], &again["received"]), (&json!(false), &json!(0)));
    assert_eq!(again["refused"]["name"], "session_unknown");
    assert_ne!(again["session"], welcome["session"]);
}

#[tokio::test]
async fn w09_a_session_of_another_user_is_not_resumed() {
    let authenticate = |token: Option<relink::session::Secret>| async move {
        Ok(User::new(token.map_or(String::new(), |token| token.expose().to_owned())))
    };
    let server = Running::start(Server::builder().authenticate(authenticate)).await;
    let mut alice = server.connect().await;
    alice.say(&json!({"type": "hello", "token": "alice"})).await;
    let welcome = alice.expect("welcome").await;
    let mut mallory = server.connect().await;
    let resume = json!({"session": welcome["session"], "position": welcome["position"]});
    mallory.say(&json!({"type": "hello", "token": "mallory", "resume": resume})).await;
    let other = mallory.expect("welcome").await;
    assert_eq!(
        (&other["resumed"], &other["refused"]["name"]),
        (&json!(false), &json!("wrong_user"))
    );
    alice.message(1, Some("room"), "still mine").await;
    alice.expect("ack").await;
}

#[tokio::test]
async fn w11_what_is_no_frame_closes_with_its_code_and_nobody_else() {
    let server = Running::with_defaults().await;
    let (mut bystander, _) = server.hello().await;
    let binary = |bytes: &'static [u8]| Message::Binary(Bytes::from_static(bytes));
    for (message, code) in [
        (Message::text("no json"), 1007),
        (binary(b"\xff\xff"), 1007),
        (Message::text(r#"{"type":"shout"}"#), 1003),
        (Message::text(r#"{"type":"message","serial":"one","text":"x"}"#), 1003),
        (Message::text(r#"{"type":"hello"}"#), 1002),
    ] {
        let (mut client, _) = server.hello().await;
        client.say_raw(message).await;
        assert_eq!(client.closed().await.0, code);
    }
    bystander.message(1, Some("room"), "undisturbed").await;
    bystander.expect("ack").await;
    assert_eq!(server.relink.stats().node.connections, 1);
}

#[tokio::test]
async fn w11_what_is_too_large_closes_with_1009() {
    let config = ServerConfig::default().with_max_message(1000);
    let server = Running::start(Server::builder().config(config)).await;
    let (mut client, _) = server.hello().await;
    client.message(1, Some("room"), &"x".repeat(900)).await;
    client.expect("ack").await;
    client.message(2, Some("room"), &"x".repeat(1000)).await;
    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test]
async fn w12_a_drain_tells_everyone_when_to_come_back_and_closes_with_1001() {
    let server = Running::with_defaults().await;
    let (mut one, _) = server.hello().await;
    let (mut other, _) = server.hello().await;
    one.message(1, Some("room"), "just in time").await;
    one.expect("ack").await;
    let drain = server.relink.drain();
    let seen = async {
        let mut hints = Vec::new();
        for client in [&mut one, &mut other] {
            let (code, said) = client.closed().await;
            assert_eq!(code, 1001);
            let hint = said.iter().find(|frame| frame["type"] == "going_away").expect("a hint");
            hints.push(hint["retry_after_ms"].as_u64().expect("a time"));
        }
        hints
    };
    let ((), hints) = tokio::join!(drain, seen);
    assert!(hints[0] >= 1000 && hints[0] != hints[1], "not all at once: {hints:?}");
    server.serving.await.expect("no panic").expect("serving ends by itself");
    assert!(tokio::net::TcpStream::connect(server.addr).await.is_err(), "nothing listens");
}

#[tokio::test]
async fn w12_a_drain_of_an_empty_server_ends_at_once() {
    let server = Running::with_defaults().await;
    server.relink.drain().await;
    server.relink.drain().await;
    server.serving.await.expect("no panic").expect("serving ends by itself");
}

#[tokio::test]
async fn a09_members_see_each_other_come_and_go() {
    let config = NodeConfig::default().with_member_grace(Duration::ZERO);
    let server =
        Running::start(Server::builder().config(ServerConfig::default().with_node(config))).await;
    let (mut watching, _) = server.hello().await;
    let presence = |info: &str| json!({"type": "subscribe", "channel": "room", "presence": info});
    watching.say(&presence("here")).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let frame = watching.hear().await;
        if frame["type"] != "joined" {
            seen.push(frame["type"].as_str().unwrap_or_default().to_owned());
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, ["members", "subscribed"]);
    let (mut coming, _) = server.hello().await;
    coming.say(&presence("new")).await;
    let joined = loop {
        let frame = watching.hear().await;
        if frame["type"] == "joined" && frame["member"]["info"] == "new" {
            break frame;
        }
    };
    drop(coming);
    let left = watching.expect("left").await;
    assert_eq!(left["member"]["join"], joined["member"]["join"]);
}

#[tokio::test]
async fn m06_one_connection_too_many_of_a_user_closes_with_4010() {
    let config = ServerConfig::default().with_node(NodeConfig::default().with_per_user(Some(1)));
    let server = Running::start(Server::builder().config(config)).await;
    let (first, _) = server.hello().await;
    let mut second = server.connect().await;
    second.say(&json!({"type": "hello"})).await;
    assert_eq!(second.closed().await.0, 4010);
    first.close(1000).await;
    server.hello().await;
}

#[tokio::test]
async fn m07_a_kick_closes_with_its_code_and_ends_the_session() {
    let server = Running::with_defaults().await;
    let (mut client, welcome) = server.hello().await;
    server.relink.kick("somebody else", CloseCode::ADMIN_DISCONNECT);
    server
        .relink
        .kick(User::anonymous(), CloseFrame::new(CloseCode::ADMIN_DISCONNECT, "ü".repeat(100)));
    assert_eq!(client.closed().await.0, 4020);
    let mut client = server.connect().await;
    assert_eq!(client.resume(&welcome, 0).await["resumed"], false);
}

#[tokio::test]
async fn m07_a_kicked_user_whose_link_is_down_gets_a_new_session_and_nothing_of_the_old_one() {
    let begun = Arc::new(Notify::new());
    let (done, begins) = (Arc::new(Notify::new()), Arc::clone(&begun));
    let goes_on = Arc::clone(&done);
    let server = Running::start(Server::builder().on_message(move |ctx, message| {
        let (begins, goes_on) = (Arc::clone(&begins), Arc::clone(&goes_on));
        async move {
            if message.as_text() == Some("slow") {
                begins.notify_one();
                goes_on.notified().await;
            }
            ctx.publish("room", message);
            Ok(())
        }
    }))
    .await;
    let (mut client, welcome) = server.hello().await;
    client.message(1, Some("room"), "slow").await;
    begun.notified().await;
    drop(client);
    server.relink.kick(User::anonymous(), CloseCode::ADMIN_DISCONNECT);
    done.notify_one();
    let mut client = server.connect().await;
    let again = client.resume(&welcome, 0).await;
    assert_eq!(
        (&again["resumed"], &again["refused"]["name"]),
        (&json!(false), &json!("session_unknown"))
    );
    client.subscribe("room").await;
    client.message(1, Some("room"), "anew").await;
    let publication = loop {
        let frame = client.hear().await;
        if frame["type"] == "publication" {
            break frame;
        }
    };
    assert_eq!((&publication["offset"], &publication["text"]), (&json!(1), &json!("anew")));
}

#[tokio::test]
async fn a_close_code_that_may_not_be_sent_follows_the_same_rule_as_a_clients() {
    // A frame without a code is read as 1005.
    for (chosen, read) in
        [(1005, 1005), (1006, 1008), (1015, 1008), (999, 1008), (5000, 1008), (4321, 4321)]
    {
        let server = Running::with_defaults().await;
        let (mut client, _) = server.hello().await;
        server.relink.kick(User::anonymous(), CloseFrame::new(CloseCode(chosen), "x".repeat(2000)));
        assert_eq!(client.closed().await.0, read, "{chosen}");
    }
}

#[tokio::test]
async fn m04_a_channel_that_is_not_allowed_is_refused_and_the_link_stays() {
    let server = Running::start(Server::builder().authorize(|user, channel, token| async move {
        let allowed =
            channel.as_str() == "room" && token.is_some_and(|token| token.expose() == "key");
        let refusal = || Problem::new(Problem::CHANNEL_NOT_AUTHORIZED, format!("{user} may not"));
        if allowed { Ok(()) } else { Err(refusal()) }
    }))
    .await;
    let (mut client, _) = server.hello().await;
    client.say(&json!({"type": "subscribe", "channel": "room"})).await;
    let refused = client.expect("unsubscribed").await;
    assert_eq!(refused["problem"]["name"], "channel_not_authorized");
    client.say(&json!({"type": "subscribe", "channel": "room", "token": "key"})).await;
    client.expect("subscribed").await;
}

#[tokio::test]
async fn m01_a_bad_token_closes_with_what_the_application_says() {
    let server = Running::start(
        Server::builder().authenticate(|_| async { Err(CloseCode::INVALID_TOKEN.into()) }),
    )
    .await;
    let mut client = server.connect().await;
    client.say(&json!({"type": "hello", "token": "x"})).await;
    assert_eq!(client.closed().await.0, 4001);
}

#[tokio::test]
async fn w09_the_application_replies_rejects_and_may_panic() {
    let server = Running::start(Server::builder().on_message(|context, message| async move {
        match message.as_text() {
            Some("echo") => context.reply(message),
            Some("nothing of this happens") => {
                context.reply("unheard");
                return Err(Problem::new("no", "not this"));
            }
            Some("panic") => panic!("as asked"),
            Some("twice") => {
                context.publish("room", "1");
                context.publish("room", "2");
                context.send(context.session().clone(), "3");
            }
            _ => {}
        }
        Ok(())
    }))
    .await;
    let (mut client, welcome) = server.hello().await;
    client.subscribe("room").await;
    let script = ["echo", "nothing of this happens", "panic", "twice"];
    for (serial, text) in (1..).zip(script) {
        client.message(serial, None, text).await;
    }
    let (mut publications, mut rejected, mut acked) = (Vec::new(), Vec::new(), 0);
    while publications.len() < 4 || acked < 4 {
        let frame = client.hear().await;
        match frame["type"].as_str() {
            Some("publication") => {
                publications.push(frame["text"].as_str().expect("text").to_owned())
            }
            Some("rejected") => {
                rejected.push((frame["serial"].clone(), frame["problem"]["name"].clone()));
            }
            _ => acked = frame["serial"].as_u64().expect("an ack"),
        }
    }
    publications.sort_unstable();
    assert_eq!(publications, ["1", "2", "3", "echo"]);
    let refusals = [(json!(2), json!("no")), (json!(3), json!("internal_error"))];
    assert_eq!(rejected, refusals);
    // They are kept for a client that did not receive them.
    let mut again = server.connect().await;
    let known = again.resume(&welcome, 0).await["rejected"].clone();
    assert_eq!(known.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn w09_without_a_handler_messages_go_to_their_channel_only() {
    let server = Running::with_defaults().await;
    let (mut client, _) = server.hello().await;
    client.message(1, None, "to whom?").await;
    assert_eq!(client.expect("rejected").await["problem"]["name"], "not_handled");
}

#[tokio::test]
async fn s06_a_slow_reader_misses_nothing_and_disturbs_nobody() {
    let config =
        ServerConfig::default().with_node(NodeConfig::default().with_max_outbound_bytes(10_000));
    let history = HistoryConfig::default().with_max_messages(10_000).with_max_bytes(64 << 20);
    let history = MemoryHistory::new(history).expect("the configuration is good");
    let server = Running::start(Server::builder().config(config).history(history)).await;
    let (mut slow, _) = server.hello().await;
    let (mut quick, _) = server.hello().await;
    slow.subscribe("room").await;
    quick.subscribe("room").await;
    // More than the sockets can hold.
    let text = "x".repeat(16 * 1024);
    for offset in 1..=1000 {
        server.relink.publish("room", text.as_str()).expect("it fits");
        assert_eq!(quick.expect("publication").await["offset"], offset);
    }
    assert!(
        server.relink.stats().node.outbound_bytes < 100_000,
        "{:?}",
        server.relink.stats().node
    );
    for offset in 1..=1000 {
        assert_eq!(slow.expect("publication").await["offset"], offset);
    }
}

#[tokio::test]
async fn m06_a_connection_is_closed_with_4002_when_its_token_is_over_and_was_not_renewed() {
    let node = NodeConfig::default().with_token_grace(Duration::ZERO);
    let builder = Server::builder().config(ServerConfig::default().with_node(node));
    let server = Running::start(builder.authenticate(|token| async move {
        let user = User::from("ada");
        match token.as_ref().map(|token| token.expose()) {
            Some("short") => Ok(user.with_expires_in(Duration::from_millis(100))),
            _ => Ok(user),
        }
    }))
    .await;
    let mut endless = server.connect().await;
    endless.say(&json!({"type": "hello", "token": "endless"})).await;
    endless.expect("welcome").await;
    let mut renewed = server.connect().await;
    renewed.say(&json!({"type": "hello", "token": "short"})).await;
    renewed.say(&json!({"type": "renew", "token": "endless"})).await;
    let mut over = server.connect().await;
    over.say(&json!({"type": "hello", "token": "short"})).await;
    let (code, said) = over.closed().await;
    assert_eq!(code, 4002);
    assert_eq!(said.last().expect("an error")["name"], "token_expired");
    // The token came with the HTTP request.
    let request = request("/").with_header("Authorization", "Bearer short");
    let mut bearer = Client::try_connect(server.addr, request).await.expect("a handshake");
    bearer.say(&json!({"type": "hello"})).await;
    assert_eq!(bearer.closed().await.0, 4002);
    for client in [&mut endless, &mut renewed] {
        client.say(&json!({"type": "heartbeat", "nonce": 1, "sent": 0})).await;
    }
    endless.expect("heartbeat_ack").await;
}
