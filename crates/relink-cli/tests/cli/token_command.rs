//! `--token-command`: the processes that it starts end with it.

use relink_testing::{Connection, Script};

use crate::support::{Lines, Relink, file_name, server};

/// A command that runs for longer than any test, with the named pipe open.
fn endless(pipe: &str) -> String {
    format!("exec 9> {pipe}; echo running >&9; sleep 321")
}

#[test]
fn a_command_that_takes_too_long_ends_with_all_that_it_has_started() {
    let (mut pipe, name) = Lines::named_pipe("timeout.pipe");
    let config = file_name("fetch-timeout.toml", "link.credentials.timeout = '300ms'\n");
    let url = "ws://127.0.0.1:9/";
    let ended = Relink::run([
        "connect",
        url,
        "--token-command",
        &endless(&name),
        "--config",
        &config,
        "--max-attempts",
        "2",
        "--backoff-initial",
        "1ms",
    ]);
    assert_eq!(ended.status, Some(4), "{}", ended.err());
    while pipe.next().expect("nothing runs any more").is_some() {}
}

#[test]
fn a_command_ends_with_the_program() {
    for (signals, status) in [(1, 0), (2, 130)] {
        for (name, command) in [
            ("child", "sleep 321"),
            ("grandchild", "sh -c 'sleep 321; true'; true"),
            ("background", "sleep 321 & wait"),
            ("stubborn", "trap '' INT TERM HUP; sleep 321"),
        ] {
            let (mut pipe, path) = Lines::named_pipe(&format!("{name}-{signals}.pipe"));
            let command = format!("exec 9> {path}; echo running >&9; {command}");
            let relink =
                Relink::connect("ws://127.0.0.1:9/", &["--no-stdin", "--token-command", &command]);
            assert_eq!(pipe.next(), Ok(Some("running".to_owned())), "{name}");
            (0..signals).for_each(|_| relink.signal("TERM"));
            let ended = relink.end().status;
            assert!(ended == Some(status) || ended == Some(0), "{name}: {ended:?}");
            assert_eq!(pipe.next(), Ok(None), "{name}: nothing runs any more");
        }
    }
}

#[test]
fn what_a_command_leaves_in_the_background_ends_with_it() {
    let (mut pipe, path) = Lines::named_pipe("left.pipe");
    let server = server(Script::echo());
    let command = format!(
        "exec 9> {path}; echo running >&9; sleep 321 > /dev/null & exec 9>&-; echo a-token"
    );
    let mut relink = Relink::connect(&server.url(), &["--token-command", &command]);
    relink.event("connected");
    assert_eq!(pipe.next(), Ok(Some("running".to_owned())));
    assert_eq!(pipe.next(), Ok(None), "nothing runs any more");
}

#[test]
fn a_command_that_prints_without_end_is_a_failed_attempt() {
    let server = server(Connection::new());
    let config = file_name("no-timeout.toml", "link.credentials.timeout = '1h'\n");
    let ended = Relink::run([
        "connect",
        &server.url(),
        "--token-command",
        "yes",
        "--config",
        &config,
        "--max-attempts",
        "1",
    ]);
    assert_eq!(ended.status, Some(4), "{}", ended.err());
    assert!(
        ended.err().contains("the token command printed more than 65536 bytes"),
        "{}",
        ended.err()
    );
}
