//! Stdin and stdout as a person uses them.

use relink_testing::{Connection, EventKind, Script};

use crate::support::{Relink, seen, server, texts};

#[test]
fn lines_go_out_and_messages_come_back_with_the_status_apart() {
    let script =
        Connection::new().send_binary([0, 1, 2]).echo_for(std::time::Duration::from_secs(60));
    let server = server(script);
    let mut relink = Relink::start(["connect", &server.url()]);
    assert_eq!(relink.status(), format!("relink: connecting to {}", server.url()));
    assert_eq!(relink.status(), "relink: connected");
    assert_eq!(relink.line(), "AAEC");
    assert_eq!(relink.status(), "relink: a binary message of 3 bytes follows, as base64");
    relink.type_line("hello");
    assert_eq!(relink.line(), "hello");
    relink.hang_up();
    let ended = relink.end();
    assert_eq!(ended.status, Some(0));
    assert_eq!(ended.err.last().map(String::as_str), Some("relink: closed"));
}

#[test]
fn a_loss_is_told_with_what_comes_next() {
    let script = Script::new()
        .connection(Connection::new().close(1001, "deploy"))
        .connection(Connection::refuse(503))
        .connection(Connection::new());
    let server = server(script);
    let mut relink = Relink::start(["connect", "--backoff-initial", "20ms", &server.url()]);
    let mut expect = |start: &str, end: &str| {
        let line = relink.status();
        assert!(line.starts_with(start) && line.ends_with(end), "{line}");
    };
    expect("relink: connecting to ws://", "/");
    expect("relink: connected", "");
    expect("relink: the server closed the connection (1001: deploy); connecting again in ", "s");
    expect(
        "relink: attempt 1 failed: the server answered 503 Service Unavailable; trying again in ",
        " s",
    );
    expect("relink: connected again", "");
}

#[test]
fn the_end_of_stdin_waits_until_everything_went_out() {
    // The server is down at first: stdin ends long before the first connection.
    let script = Script::new()
        .connection(Connection::reset_at_once())
        .connection(Connection::reset_at_once())
        .connection(Connection::new());
    let server = server(script);
    let mut relink = Relink::connect(&server.url(), &["--backoff-initial", "20ms"]);
    relink.type_line("one");
    relink.type_line("two");
    relink.hang_up();
    let ended = relink.end();
    assert_eq!(ended.status, Some(0), "{}", ended.out());
    assert_eq!(ended.events("attempt_failed").len(), 2);
    assert_eq!(ended.last_event()["reason"], "requested");
    assert_eq!(texts(&server), ["one", "two"]);
    seen(&server, |what| matches!(what, EventKind::PeerClosed { code: Some(1000), .. }));
}

#[test]
fn the_end_of_stdin_waits_for_a_reconnection_too() {
    let script = Script::new()
        .connection(Connection::new().expect_text("one").reset())
        .connection(Connection::reset_at_once())
        .connection(Connection::new());
    let server = server(script);
    let mut relink = Relink::connect(&server.url(), &["--backoff-initial", "100ms"]);
    relink.type_line("one");
    relink.event("disconnected");
    relink.type_line("two");
    relink.hang_up();
    assert_eq!(relink.end().status, Some(0));
    assert_eq!(texts(&server), ["one", "two"]);
}

#[test]
fn without_stdin_the_link_stays_up() {
    let server = server(Script::echo());
    let mut relink = Relink::connect(&server.url(), &["--no-stdin"]);
    relink.hang_up();
    relink.event("connected");
    server.send_all("still there?");
    assert_eq!(relink.event("message")["text"], "still there?");
}

#[test]
fn a_full_queue_makes_stdin_wait_and_loses_nothing() {
    let script =
        Script::new().connection(Connection::reset_at_once()).connection(Connection::new());
    let server = server(script);
    let mut relink =
        Relink::connect(&server.url(), &["--queue-max", "2", "--backoff-initial", "300ms"]);
    let lines: Vec<_> = (1..=300).map(|number| format!("line {number}")).collect();
    for line in &lines {
        relink.type_line(line);
    }
    relink.hang_up();
    let ended = relink.end();
    assert_eq!((ended.status, ended.events("dropped").len()), (Some(0), 0));
    assert_eq!(texts(&server), lines);
}

#[test]
fn a_closed_stdout_ends_it_quietly() {
    let server = server(Script::echo());
    let reads_one_line = "{ read -r line; echo \"$line\"; exec <&-; echo 'seen enough'; }";
    let mut relink = Relink::piped_into(reads_one_line, &format!("connect {}", server.url()));
    relink.type_line("hello");
    assert_eq!(relink.line(), "hello");
    assert_eq!(relink.line(), "seen enough");
    relink.type_line("nobody reads the answer to this");
    let ended = relink.end();
    assert_eq!(
        ended.err,
        [&format!("relink: connecting to {}", server.url()), "relink: connected", "status 0"]
    );
    seen(&server, |what| matches!(what, EventKind::PeerClosed { code: Some(1000), .. }));
}

#[test]
fn stderr_says_less_or_more_as_it_is_asked_to() {
    let script = || {
        let first = Connection::new().expect_text("one").close(1001, "deploy");
        Script::new().connection(first).connection(Connection::new().close(4020, "kicked"))
    };
    for (mode, said, unsaid) in [
        ("--quiet", &["ended for good"][..], &["connecting", ": connected", "deploy", "state"][..]),
        ("", &["connecting to", "connected again", "deploy", "ended for good"], &["state"]),
        ("--verbose", &["attempt 1: dialing ws://", "state: connecting, then", "deploy"], &[]),
    ] {
        let server = server(script().connection(Connection::new().close(4020, "kicked")));
        let args = format!("relink connect {mode} --on-connect one --backoff-initial 10ms");
        let ended = Relink::shell(&format!("{args} --no-stdin {}", server.url())).end();
        assert_eq!(ended.status, Some(3), "{mode}: {}", ended.err());
        for word in said {
            assert!(ended.err().contains(word), "{mode} does not say {word}: {}", ended.err());
        }
        for word in unsaid {
            assert!(!ended.err().contains(word), "{mode} says {word}: {}", ended.err());
        }
    }
    let ended = Relink::run(["connect", "ws://localhost/", "--quiet", "--json"]);
    assert_eq!(ended.status, Some(2));
}
