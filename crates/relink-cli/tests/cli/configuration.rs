//! Profile, file and flags: which one takes precedence, and the errors.

use std::time::Duration;

use relink_testing::{Connection, EventKind, Script, ServerEvent};

use crate::support::{PATIENCE, Relink, file_name, seen, server, texts};

/// The longest delay of the tenth attempt, as `schedule` prints it.
fn longest(args: &[&str]) -> String {
    let ended = Relink::run(["schedule", "--seed", "1"].into_iter().chain(args.iter().copied()));
    assert_eq!(ended.status, Some(0), "{}", ended.err());
    let row = ended
        .out
        .iter()
        .find(|line| line.trim_start().starts_with("10 "))
        .expect("a tenth attempt");
    row.split_whitespace().skip(3).take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_file_overrides_the_profile_and_a_flag_overrides_the_file() {
    let config = file_name("order.toml", "link.backoff.cap = '7s'\n");
    assert_eq!(longest(&[]), "20.00 s");
    assert_eq!(longest(&["--profile", "default", "--config", &config]), "7.00 s");
    assert_eq!(longest(&["--config", &config, "--backoff-max", "9s"]), "9.00 s");
}

#[test]
fn each_flag_reaches_the_link() {
    // The server answers no pings, and the link is declared dead.
    let script = Script::new().connection(Connection::new().silent()).connection(Connection::new());
    let silent = server(script);
    let heartbeat = ["--heartbeat-interval", "50ms", "--heartbeat-timeout", "50ms"];
    let mut relink = Relink::connect(&silent.url(), &heartbeat);
    assert_eq!(relink.event("disconnected")["reason"], "the heartbeat went unanswered");
    assert_eq!(relink.event("connected")["is_reconnect"], true);

    // The server does not answer the handshake, and the attempt times out.
    let black = server(Script::blackhole());
    let mut relink = Relink::connect(&black.url(), &["--connect-timeout", "50ms"]);
    assert_eq!(relink.event("attempt_failed")["reason"], "the dial took too long");

    // A link that is stable at once resets the count of failures, so that they never reach the
    // maximum.
    let closing = server(Script::close_with(1001, ""));
    let more = ["--no-stdin", "--backoff-initial", "10ms", "--max-attempts", "2"];
    let mut relink =
        Relink::connect(&closing.url(), &[&more[..], &["--stable-after", "0s"]].concat());
    (0..4).for_each(|_| drop(relink.event("disconnected")));
    let relink = Relink::connect(&closing.url(), &[&more[..], &["--stable-after", "1m"]].concat());
    assert_eq!(relink.end().status, Some(4));
}

#[test]
fn heartbeats_can_be_off() {
    let config =
        file_name("heartbeat.toml", "link.heartbeat = { interval = '10ms', timeout = '10ms' }\n");
    let server = server(Connection::new().silent_for(Duration::from_millis(300)).close(4020, ""));
    let args = ["connect", "--json", "--no-stdin", &server.url(), "--config", &config];
    let ended = Relink::run(args.into_iter().chain(["--heartbeat-interval", "off"]));
    assert_eq!((ended.status, ended.events("disconnected").len()), (Some(3), 1), "{}", ended.out());
    assert!(!server.events().iter().any(|event| matches!(event.kind, EventKind::Ping(_))));
}

#[test]
fn what_is_said_on_connect_goes_first_on_each_connection() {
    let script = Script::new()
        .connection(Connection::new().expect_text("subscribe").expect_text("one").close(1001, ""))
        .connection(Connection::new().expect_text("subscribe").expect_text("ping"));
    let server = server(script);
    let more = ["--on-connect", "subscribe", "--heartbeat-text", "ping"];
    let quick = ["--heartbeat-interval", "100ms", "--backoff-initial", "20ms"];
    let mut relink = Relink::connect(&server.url(), &[more, quick].concat());
    relink.type_line("one");
    seen(&server, |what| *what == EventKind::Text("ping".into()));
    relink.hang_up();
    assert_eq!(relink.end().status, Some(0));
    assert_eq!(texts(&server)[..4], ["subscribe", "one", "subscribe", "ping"]);
}

#[test]
fn several_addresses_are_one_service_and_the_origin_goes_to_each() {
    let away = server(Connection::refuse(503));
    let there = server(Connection::new());
    let (first, second) = (away.url(), there.url());
    let args = ["--origin", "https://example.org", "--backoff-initial", "20ms", &second];
    let mut relink = Relink::connect(&first, &args);
    relink.event("connected");
    relink.hang_up();
    assert_eq!(relink.end().status, Some(0));
    for server in [away, there] {
        let log = seen(&server, |what| what.request().is_some());
        let request = log.iter().find_map(|event| event.kind.request()).expect("a request");
        assert_eq!(request.header("origin"), Some("https://example.org"));
    }
}

#[test]
fn headers_and_subprotocols_reach_the_server() {
    let server = server(Script::echo());
    let more = ["--header", "X-Team: blue", "--subprotocol", "chat.v2", "--subprotocol", "chat.v1"];
    let mut relink = Relink::connect(&server.url(), &more);
    relink.event("connected");
    let log = seen(&server, |what| matches!(what, EventKind::Accepted { .. }));
    let request = log.iter().find_map(|event| event.kind.request()).expect("a request");
    assert_eq!(request.header("x-team"), Some("blue"));
    assert_eq!(request.header("sec-websocket-protocol"), Some("chat.v2, chat.v1"));
}

#[test]
fn a_token_is_fetched_for_every_attempt() {
    let script =
        Script::new().connection(Connection::new().close(4002, "")).connection(Connection::new());
    let server = server(script);
    let counter = file_name("tokens", "");
    // Each run adds a line, so the tokens are token-1, token-2 …
    let command = format!("echo >> {counter}; echo \"  token-$(wc -l < {counter} | tr -d ' ')  \"");
    let mut relink =
        Relink::connect(&server.url(), &["--token-command", &command, "--backoff-initial", "10ms"]);
    relink.event("connected");
    assert_eq!(relink.event("disconnected")["code"], 4002);
    relink.event("connected");
    let accepted = |log: &[ServerEvent]| {
        let requests = log.iter().filter_map(|event| event.kind.request());
        requests
            .filter_map(|request| request.header("authorization").map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let log =
        server.wait_for_blocking(|log| accepted(log).len() == 2, PATIENCE).expect("two requests");
    let tokens = accepted(&log);
    assert_eq!(tokens, ["Bearer token-1", "Bearer token-2"]);
}

#[test]
fn a_mistake_in_a_file_names_the_field_the_value_and_what_is_allowed() {
    for (content, words) in [
        ("[link.backoff]\nflor = '1s'\n", vec!["line 2", "unknown field `flor`", "`floor`"]),
        ("[backoff]\nfloor = '1s'\n", vec!["line 1", "unknown field `backoff`", "`link`"]),
        ("[link.backoff]\nfloor = '30'\n", vec!["line 2", "floor = '30'", "500ms, 30s, 2m"]),
        (
            "[link.backoff]\nfloor = '0s'\n",
            vec!["link.backoff.floor is 0s, but it must be at least 1ms"],
        ),
        (
            "[outbox]\nmax_messages = 0\n",
            vec![": outbox.max_messages is 0, but it must be at least 1"],
        ),
        ("link.reopen = 'often'\n", vec!["line 1", "unknown variant `often`", "after-giving-up"]),
        ("[link\n", vec!["line 1"]),
        ("link = []\n", vec!["line 1", "expected a table"]),
        ("[link]\nbackoff = []\n", vec!["line 2", "backoff = []", "expected a table"]),
        ("link.backoff.curve = { fixed = ['1s'] }\n", vec!["line 1", "expected a table"]),
        ("link.close_policy = []\n", vec!["line 1", "expected a table"]),
        ("link.close_policy.close = [[4000, 4000, 'retry']]\n", vec!["line 1", "expected a table"]),
        ("outbox = 5\n", vec!["line 1", "expected a table"]),
        ("[outbox]\nmax_messages = 1\nmax_messages = 2\n", vec!["line 3", "duplicate key"]),
        ("[outbox]\nmax_messages = -1\n", vec!["line 2", "`-1`"]),
        ("[outbox]\nmax_bytes = 99999999999999999999\n", vec!["line 2"]),
        ("[link]\nconnect_timeout = '-1s'\n", vec!["line 2", "\"-1s\" is not a duration"]),
        (
            "[link]\nconnect_timeout = '999999d'\n",
            vec!["line 2", "is too long: a duration is at most"],
        ),
        (
            "[link]\nconnect_timeout = '366d'\n",
            vec!["link.connect_timeout is 366d, but it must be at most 365d"],
        ),
    ] {
        let config = file_name("mistake.toml", content);
        let ended = Relink::run(["connect", "ws://localhost/", "--config", &config]);
        assert_eq!(ended.status, Some(2), "{content}");
        for word in words.iter().chain(&["mistake.toml"]) {
            assert!(ended.err().contains(word), "{word} in {}", ended.err());
        }
    }
}

#[test]
fn a_mistake_in_a_flag_names_the_flag() {
    for (flag, value, word) in [
        (
            "--backoff-initial",
            "0s",
            "--backoff-initial cannot work: backoff.curve.exponential.initial is 0s",
        ),
        ("--backoff-max", "0s", "--backoff-max cannot work: backoff.cap is 0s"),
        ("--max-attempts", "0", "--max-attempts cannot work: budget.max_attempts is 0"),
        ("--max-attempts", "many", "nor `off`"),
        ("--heartbeat-timeout", "0s", "--heartbeat-timeout cannot work: heartbeat.timeout is 0s"),
        ("--queue-max", "0", "--queue-max cannot work: outbox.max_messages is 0"),
        ("--connect-timeout", "0s", "--connect-timeout cannot work: connect_timeout is 0s"),
        ("--stable-after", "9999d", "--stable-after cannot work: stable_after is 9999d"),
        (
            "--stable-after",
            "999999d",
            "'999999d' for '--stable-after <DURATION>': too long: a duration is at most 213503d",
        ),
        ("--stable-after", "-1s", "'-1s' for '--stable-after <DURATION>': not a duration"),
        ("--max-attempts", "-1", "'-1' for '--max-attempts <NUMBER>'"),
        ("--max-attempts", "4294967296", "not a number from 1 to 4294967295, nor `off`"),
        ("--queue-max", "-1", "'-1' for '--queue-max <NUMBER>'"),
        ("--queue-max", "18446744073709551616", "for '--queue-max <NUMBER>'"),
    ] {
        let ended = Relink::run(["connect", "ws://localhost/", flag, value]);
        assert_eq!(ended.status, Some(2), "{flag} {value}");
        assert!(ended.err().contains(word), "{flag}: {}", ended.err());
    }
    let table = file_name("table.toml", "link.backoff.curve = { table = ['1s', '2s'] }\n");
    let ended = Relink::run(["schedule", "--config", &table, "--backoff-initial", "1s"]);
    assert_eq!(ended.status, Some(2));
    assert!(ended.err().contains("--backoff-initial cannot work"), "{}", ended.err());
}
