//! Each exit status, and what leads to it.

use relink_testing::{Connection, EventKind, Script, TestCertificate};

use crate::support::{Relink, file_name, seen, server};

#[test]
fn ctrl_c_and_sigterm_close_with_1000_and_end_with_0() {
    for name in ["INT", "TERM"] {
        let server = server(Script::echo());
        let mut relink = Relink::connect(&server.url(), &[]);
        relink.event("connected");
        relink.signal(name);
        let ended = relink.end();
        assert_eq!(ended.status, Some(0), "{name}");
        assert_eq!(ended.last_event()["reason"], "requested");
        seen(&server, |what| matches!(what, EventKind::PeerClosed { code: Some(1000), .. }));
    }
}

#[test]
fn ctrl_c_does_not_wait_for_a_server_that_is_away() {
    let server = server(Script::blackhole());
    let mut relink = Relink::start(["connect", &server.url()]);
    relink.type_line("never sent");
    seen(&server, |what| *what == EventKind::Blackholed);
    relink.signal("INT");
    let ended = relink.end();
    assert_eq!(ended.status, Some(0));
    assert!(ended.err().ends_with("relink: closed"), "{}", ended.err());
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_the_farewell() {
    let server = server(Connection::new().silent());
    let mut relink = Relink::connect(&server.url(), &[]);
    relink.event("connected");
    relink.signal("INT");
    while relink.event("state")["to"] != "closing" {}
    relink.signal("INT");
    assert_eq!(relink.end().status, Some(130));
}

#[test]
fn a_terminal_close_ends_with_3_its_name_and_advice() {
    let server = server(Script::close_with(4020, "kicked"));
    let ended = Relink::run(["connect", "--no-stdin", &server.url()]);
    assert_eq!(ended.status, Some(3));
    let last = ended.err.last().expect("a last word");
    assert!(last.contains("admin_disconnect (close code 4020)"), "{last}");
    assert!(last.contains("ask them before coming back"), "{last}");
}

#[test]
fn a_refusal_for_good_ends_with_3() {
    let server = server(Script::refuse(403));
    let ended = Relink::run(["connect", "--json", &server.url()]);
    assert_eq!(ended.status, Some(3));
    assert_eq!(
        (&ended.last_event()["reason"], &ended.last_event()["code"]),
        (&"forbidden".into(), &().into())
    );
}

#[test]
fn giving_up_ends_with_4_and_says_which_limit() {
    let server = server(Connection::reset_at_once());
    let ended =
        Relink::run(["connect", "--max-attempts", "3", "--backoff-initial", "10ms", &server.url()]);
    assert_eq!(ended.status, Some(4));
    assert_eq!(server.connections(), 3);
    let last = ended.err.last().expect("a last word");
    assert!(last.starts_with("relink: gave up, attempts_exhausted: "), "{last}");
}

#[test]
fn a_mistake_ends_with_2_before_anything_is_dialed() {
    let server = server(Script::echo());
    let url = &server.url();
    for (args, word) in [
        (vec!["connect"], "<URL>"),
        (vec!["connect", "http://localhost/"], "its scheme is neither ws nor wss"),
        (vec!["connect", url, "--header", "no colon"], "has no colon"),
        (vec!["connect", url, "--header", "bad name: value"], "cannot be sent"),
        (vec!["connect", url, "--profile", "fastest"], "possible values: default"),
        (vec!["connect", url, "--connect-timeout", "5"], "write a number and a unit"),
        (vec!["connect", url, "--config", "/nowhere.toml"], "/nowhere.toml cannot be read"),
        (vec!["connect", url, "--ca", "/nowhere.pem"], "/nowhere.pem cannot be used as --ca"),
        (vec!["teleport"], "unrecognized subcommand"),
    ] {
        let ended = Relink::run(args.iter().copied());
        assert_eq!(ended.status, Some(2), "{args:?}: {}", ended.err());
        assert!(ended.err().contains(word), "{args:?}: {}", ended.err());
        assert_eq!(ended.out(), "", "{args:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_certificate_is_trusted_by_name_only() {
    let certificate = TestCertificate::for_localhost().unwrap();
    let server = relink_testing::Server::spawn_thread_tls(Script::echo(), &certificate).unwrap();
    let ca = file_name("ca.pem", &certificate.ca_pem());
    let mut relink = Relink::connect(&server.url(), &["--ca", &ca]);
    relink.type_line("in private");
    assert_eq!(relink.event("message")["text"], "in private");

    let ended = Relink::run(["connect", "--json", "--max-attempts", "1", &server.url()]);
    assert_eq!(ended.status, Some(4));
    let reason = ended.events("attempt_failed")[0]["reason"].as_str().unwrap().to_owned();
    assert!(
        reason.starts_with("the TLS handshake failed: ") && reason.contains("certificate"),
        "{reason}"
    );
}

#[test]
fn a_file_that_holds_no_certificate_is_no_ca() {
    let empty = file_name("empty.pem", "");
    let ended = Relink::run(["connect", "wss://localhost/", "--ca", &empty]);
    assert_eq!(ended.status, Some(2));
    assert!(ended.err().contains("there is no certificate in it"), "{}", ended.err());
}
