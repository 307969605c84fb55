//! Secrets are sent, and never shown.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use relink_testing::{Connection, EventKind, Script};

use crate::support::{Relink, file_name, seen, server};

const SECRET: &str = "hunter2";

fn assert_silent(outputs: &[String]) {
    for output in outputs {
        assert!(!output.contains(SECRET), "a secret was shown: {output}");
    }
}

#[test]
fn tokens_headers_and_the_secret_parts_of_an_address_are_never_shown() {
    for json in [true, false] {
        let script = Script::new()
            .connection(Connection::refuse(401))
            .connection(Connection::new().close(1001, "deploy"))
            .connection(Connection::refuse(503))
            .connection(Connection::new().close(4020, "kicked"));
        let server = server(script);
        let url = format!("{}feed?key={SECRET}", server.url());
        let token = format!("echo {SECRET}; echo {SECRET} >&2");
        let header = format!("Cookie: session={SECRET}");
        let mut args =
            vec!["connect", "--no-stdin", &url, "--token-command", &token, "--header", &header];
        args.extend(["--backoff-initial", "10ms"]);
        args.extend(json.then_some("--json"));
        let ended = Relink::run(args);
        assert_eq!(ended.status, Some(3), "{}", ended.err());

        let log = seen(&server, |what| matches!(what, EventKind::Accepted { .. }));
        let request = log.iter().find_map(|event| event.kind.request()).expect("a request");
        assert_eq!(request.header("authorization"), Some("Bearer hunter2"));
        assert_eq!(request.header("cookie"), Some("session=hunter2"));
        assert_eq!(request.query(), Some("key=hunter2"));
        assert_silent(&[ended.out(), ended.err()]);
    }
}

#[test]
fn a_password_in_the_address_is_sent_and_never_shown() {
    for json in [true, false] {
        let script = Script::new()
            .connection(Connection::new().close(1001, "deploy"))
            .connection(Connection::refuse(503))
            .connection(Connection::new().close(4020, "kicked"));
        let server = server(script);
        let url = server.url().replace("ws://", &format!("ws://me:{SECRET}@"));
        let mut args = vec!["connect", "--no-stdin", &url, "--backoff-initial", "10ms"];
        args.extend(json.then_some("--json"));
        let ended = Relink::run(args);
        assert_eq!(ended.status, Some(3), "{}", ended.err());
        let log = seen(&server, |what| matches!(what, EventKind::Accepted { .. }));
        let request = log.iter().find_map(|event| event.kind.request()).expect("a request");
        let encoded = BASE64_STANDARD.encode(format!("me:{SECRET}"));
        assert_eq!(request.header("authorization"), Some(format!("Basic {encoded}").as_str()));
        assert_silent(&[ended.out(), ended.err()]);
        assert!(!ended.out().contains(&encoded) && !ended.err().contains(&encoded));
    }
}

#[test]
fn a_command_line_with_a_mistake_keeps_its_secrets() {
    let address = format!("http://me:{SECRET}@host/?token={SECRET}");
    let bad_value = format!("Authorization: {SECRET}\u{7}");
    for args in [
        vec!["connect", &address],
        vec!["connect", "ws://localhost/", "--header", SECRET],
        vec!["connect", "ws://localhost/", "--header", &bad_value],
    ] {
        let ended = Relink::run(args);
        assert_eq!(ended.status, Some(2));
        assert_silent(&[ended.out(), ended.err()]);
    }
}

#[test]
fn a_token_command_that_fails_keeps_what_it_said() {
    let server = server(Script::echo());
    for command in [
        "echo hunter2; exit 1",
        "echo hunter2 hunter2; echo hunter2",
        "echo '{\"tokn\": \"hunter2\"}'",
    ] {
        let quick = ["--backoff-initial", "10ms", "--max-attempts", "4"];
        for mode in ["--json", "--no-stdin"] {
            let args = ["connect", mode, &server.url(), "--token-command", command];
            let ended = Relink::run(args.into_iter().chain(quick));
            assert_eq!(ended.status, Some(4), "{}", ended.err());
            assert_silent(&[ended.out(), ended.err()]);
        }
    }
}

#[test]
fn the_server_does_not_show_what_clients_bring() {
    let script = file_name("secret.toml", "steps = 1");
    assert_eq!(Relink::run(["serve", "--script", &script]).status, Some(2));
    for json in [true, false] {
        let mut serve = Relink::start(
            ["serve", "--listen", "127.0.0.1:0"].into_iter().chain(json.then_some("--json")),
        );
        let line = serve.line();
        let url =
            line.split(['"', ' ']).find(|word| word.starts_with("ws://")).expect("an address");
        let url = format!("{url}?key={SECRET}");
        let mut relink = Relink::connect(&url, &["--header", "Authorization: hunter2"]);
        relink.type_line("hello");
        assert_eq!(relink.event("message")["text"], "hello");
        serve.signal("INT");
        let ended = serve.end();
        assert_eq!(ended.status, Some(0));
        assert!(ended.out().contains("accepted"), "{}", ended.out());
        assert_silent(&[ended.out(), ended.err()]);
    }
}
