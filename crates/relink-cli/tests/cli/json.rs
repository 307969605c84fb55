//! Every event of `connect --json`, with its exact fields.

use relink_testing::{Connection, Script};
use serde_json::{Value, json};

use crate::support::{Relink, file_name, server};

/// A line without its time, with random delays replaced by their type.
fn shape(mut event: Value) -> Value {
    let fields = event.as_object_mut().expect("an object");
    assert!(fields.remove("t").is_some_and(|t| t.is_u64()));
    if let Some(retry_in) = fields.get_mut("retry_in_ms").filter(|value| !value.is_null()) {
        assert!(retry_in.is_u64(), "{retry_in}");
        *retry_in = "some".into();
    }
    event
}

#[test]
fn a_life_in_json_lines() {
    let script = Script::new()
        .connection(
            Connection::new()
                .expect_text("one")
                .send_text("hello")
                .send_binary([0, 1, 2])
                .expect_text("two")
                .close(1001, "deploy; retry-after=50ms"),
        )
        .connection(Connection::refuse(503))
        .connection(Connection::new().expect_text("three").close(4020, "kicked"));
    let server = server(script);
    let url = server.url();
    let mut relink = Relink::connect(&url, &["--backoff-initial", "20ms", "--stable-after", "0s"]);

    let mut expect = |expected: Value| assert_eq!(shape(relink.any_event()), expected);
    expect(json!({ "event": "state", "from": "idle", "to": "connecting", "reason": "connect" }));
    expect(json!({ "event": "dial", "attempt": 1, "url": url }));
    expect(
        json!({ "event": "state", "from": "connecting", "to": "connected", "reason": "opened" }),
    );
    expect(json!({ "event": "connected", "is_reconnect": false }));
    relink.type_line("one");

    let mut expect = |expected: Value| assert_eq!(shape(relink.any_event()), expected);
    expect(json!({ "event": "sent", "id": 1 }));
    expect(json!({ "event": "message", "text": "hello" }));
    expect(json!({ "event": "message", "base64": "AAEC" }));
    relink.type_line("two");

    let mut expect = |expected: Value| assert_eq!(shape(relink.any_event()), expected);
    expect(json!({ "event": "sent", "id": 2 }));
    expect(json!({ "event": "going_away", "retry_after_ms": 50 }));
    expect(json!({ "event": "disconnected", "code": 1001, "reason": "deploy; retry-after=50ms",
        "will_reconnect": true, "retry_in_ms": "some" }));
    expect(
        json!({ "event": "state", "from": "connected", "to": "reconnecting", "reason": "closed_by_peer" }),
    );
    expect(json!({ "event": "dial", "attempt": 1, "url": url }));
    expect(
        json!({ "event": "attempt_failed", "attempt": 1, "reason": "the server answered 503 Service Unavailable",
        "will_retry": true, "retry_in_ms": "some" }),
    );
    expect(json!({ "event": "dial", "attempt": 2, "url": url }));
    expect(
        json!({ "event": "state", "from": "reconnecting", "to": "connected", "reason": "opened" }),
    );
    expect(json!({ "event": "connected", "is_reconnect": true }));
    relink.type_line("three");

    let mut expect = |expected: Value| assert_eq!(shape(relink.any_event()), expected);
    expect(json!({ "event": "sent", "id": 3 }));
    expect(json!({ "event": "disconnected", "code": 4020, "reason": "kicked",
        "will_reconnect": false, "retry_in_ms": null }));
    expect(
        json!({ "event": "state", "from": "connected", "to": "closed", "reason": "closed_by_peer" }),
    );
    expect(json!({ "event": "closed", "reason": "admin_disconnect", "code": 4020 }));
    assert_eq!(relink.end().status, Some(3));
}

#[test]
fn the_times_of_the_lines_never_go_back() {
    let server = server(Script::echo());
    let mut relink = Relink::connect(&server.url(), &[]);
    for line in ["one", "two", "three"] {
        relink.type_line(line);
    }
    relink.hang_up();
    let ended = relink.end();
    let times: Vec<_> = ended
        .out
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["t"].as_u64())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_message_that_finds_no_room_is_dropped_where_the_file_says_so() {
    let server = server(Script::blackhole());
    let config = file_name("drop.toml", "[outbox]\nmax_messages = 1\noverflow = 'drop-oldest'\n");
    let mut relink = Relink::connect(&server.url(), &["--config", &config]);
    relink.type_line("first");
    relink.type_line("second");
    assert_eq!(
        shape(relink.event("dropped")),
        json!({ "event": "dropped", "id": 1, "why": "overflow" })
    );
    relink.signal("INT");
    assert_eq!(
        shape(relink.event("dropped")),
        json!({ "event": "dropped", "id": 2, "why": "closed" })
    );
    assert_eq!(
        shape(relink.event("closed")),
        json!({ "event": "closed", "reason": "requested", "code": null })
    );
}

#[test]
fn a_line_that_is_not_sent_has_a_line_and_the_next_ones_go() {
    let server = server(Script::echo());
    let limits = "[outbox]\nmax_message = 10\nmax_bytes = 20\n";
    let config = file_name("refused.toml", limits);
    let run = "printf 'one\\nabcdefghijk\\n\\377\\nabcdefghijklmnopqrstuvwxyz\\ntwo\\n'";
    let ended =
        Relink::shell(&format!("{run} | relink connect --json --config {config} {}", server.url()))
            .end();
    assert_eq!(ended.status, Some(0), "{}", ended.err());
    let refused: Vec<_> = ended.events("refused").into_iter().map(shape).collect();
    let too_large = |line, size, field: &str, limit| {
        let detail = format!("it has {size} bytes, and {field} allows at most {limit}");
        json!({ "event": "refused", "line": line, "why": "too_large", "detail": detail, "size": size, "limit": limit })
    };
    let not_text = json!({ "event": "refused", "line": 3, "why": "not_text", "detail": "it is not UTF-8 text" });
    assert_eq!(
        refused,
        [
            too_large(2, 11, "outbox.max_message", 10),
            not_text,
            too_large(4, 26, "outbox.max_bytes", 20)
        ]
    );
    let heard: Vec<_> = ended.events("message").iter().map(|event| event["text"].clone()).collect();
    assert_eq!(heard, ["one", "two"]);
    assert_eq!(
        ended.events("sent").iter().map(|event| event["id"].clone()).collect::<Vec<_>>(),
        [1, 2]
    );
    let told: Vec<_> =
        ended.err.iter().map(|line| line.split(" is not sent").next().unwrap()).collect();
    assert_eq!(told, ["relink: line 2", "relink: line 3", "relink: line 4"]);
}

/// A plain server announces no limit: it closes.
#[test]
fn a_plain_server_that_closes_with_1009_is_told_with_the_message_that_was_too_large() {
    let script = Script::new()
        .connection(Connection::new().expect_text("much too large").close(1009, "too large"))
        .connection(Connection::new().echo_for(std::time::Duration::from_secs(60)));
    let server = server(script);
    let mut relink = Relink::connect(&server.url(), &["--backoff-initial", "20ms"]);
    relink.type_line("much too large");
    assert_eq!(
        shape(relink.event("too_large")),
        json!({ "event": "too_large", "id": 1, "size": 14 })
    );
    assert_eq!(relink.event("disconnected")["code"], 1009);
    relink.type_line("small");
    assert_eq!(relink.event("message")["text"], "small");
}

#[test]
fn a_message_that_waited_too_long_has_expired() {
    let server = server(Script::blackhole());
    let config = file_name("ttl.toml", "outbox.ttl = '20ms'\n");
    let mut relink = Relink::connect(&server.url(), &["--config", &config]);
    relink.type_line("too late");
    assert_eq!(
        shape(relink.event("dropped")),
        json!({ "event": "dropped", "id": 1, "why": "expired" })
    );
}

#[test]
fn a_link_that_stays_away_is_stuck() {
    let server = server(Script::blackhole());
    let config = file_name("stuck.toml", "link.surface.stuck_after = '50ms'\n");
    let mut relink = Relink::connect(&server.url(), &["--config", &config]);
    assert_eq!(shape(relink.event("stuck")), json!({ "event": "stuck" }));
}

#[test]
fn tokens_that_cannot_be_fetched_are_told() {
    let server = server(Script::echo());
    let quick = ["--token-command", "exit 7", "--backoff-max", "20ms", "--max-attempts", "3"];
    let mut relink = Relink::connect(&server.url(), &quick);
    let failed = relink.event("attempt_failed");
    assert_eq!(
        failed["reason"],
        "the token could not be fetched: the token command ended with exit status: 7"
    );
    let told = relink.event("token_error");
    assert_eq!(shape(told), json!({ "event": "token_error", "consecutive_failures": 3 }));
    assert_eq!(relink.event("closed")["reason"], "attempts_exhausted");
    assert_eq!(relink.end().status, Some(4));
    assert_eq!(server.connections(), 0, "without a token nothing is dialed");
}

#[test]
fn a_batch_has_a_line_for_each_message() {
    let script =
        Script::new().connection(Connection::reset_at_once()).connection(Connection::new());
    let server = server(script);
    let mut relink = Relink::connect(&server.url(), &["--backoff-initial", "300ms"]);
    for number in 1..=50 {
        relink.type_line(&format!("message {number}"));
    }
    for id in 1..=50 {
        assert_eq!(relink.event("sent")["id"], id);
    }
}

/// A server that speaks a system's protocol, and the states of the link under that system's names.
#[test]
fn a_profile_tells_its_own_states() {
    let script = Script::new().connection(
        Connection::new()
            .send_text(r#"{"topic":2,"action":4}"#)
            .send_text(r#"{"topic":3,"action":3}"#)
            .expect_text("hello")
            .close(1000, ""),
    );
    let server = server(script);
    let url = format!("{}/deepstream-json", server.url().trim_end_matches('/'));
    let mut relink = Relink::connect(&url, &["--profile", "deepstream"]);
    let mut states = Vec::new();
    let mut typed = false;
    while states.last().is_none_or(|state| state != "RECONNECTING") {
        let event = relink.any_event();
        if event["event"] == "profile_state" {
            assert_eq!(event["reason"], Value::Null);
            states.push(event["to"].as_str().expect("a name").to_owned());
        }
        if event["event"] == "connected" && !std::mem::replace(&mut typed, true) {
            relink.type_line("hello");
        }
    }
    let expected = ["AWAITING_CONNECTION", "CHALLENGING", "AUTHENTICATING", "OPEN", "RECONNECTING"];
    assert_eq!(states, expected);
}
