//! A stdout that is not read, and one that cannot be written.

use relink_testing::{Connection, Server};

use crate::support::{Relink, file_name, server};

/// Far more than a pipe holds.
const MUCH: usize = 1 << 20;

/// The program while it waits for a reader of its stdout.
fn stuck(server: &Server, name: &str, config: &str) -> Relink {
    let config = file_name(name, config);
    let mut relink = Relink::unread(["connect", "--no-stdin", &server.url(), "--config", &config]);
    // The error is about the next message.
    relink.status_with("a binary message");
    relink
}

#[test]
fn a_signal_ends_it_within_the_flush_and_close_timeouts() {
    let server = server(Connection::new().send_binary(vec![0; MUCH]));
    for name in ["INT", "TERM", "HUP"] {
        let timeouts = "link.flush_timeout = '100ms'\nlink.close_timeout = '100ms'\n";
        let relink = stuck(&server, &format!("stuck-{name}.toml"), timeouts);
        relink.signal(name);
        assert_eq!(relink.end().status, Some(0), "{name}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = server(Connection::new().send_binary(vec![0; MUCH]));
    let relink = stuck(&server, "stuck-twice.toml", "link.flush_timeout = '1h'\n");
    relink.signal("TERM");
    crate::support::seen(&server, |what| what.is_end());
    relink.signal("TERM");
    assert_eq!(relink.end().status, Some(130));
}

#[test]
fn a_signal_that_was_ignored_before_stays_ignored() {
    let server = server(Connection::new());
    let mut relink =
        Relink::shell(&format!("trap '' HUP; exec relink connect --json {}", server.url()));
    relink.event("connected");
    relink.signal("HUP");
    relink.type_line("still there");
    assert_eq!(relink.event("message")["text"], "still there");
}

#[test]
fn a_server_ends_too() {
    let mut serve = Relink::unread(["serve", "--json", "--listen", "127.0.0.1:0"]);
    let url = serve.raw_line_with("listening");
    let url = url.split('"').find(|word| word.starts_with("ws://")).expect("an address").to_owned();
    let mut client = Relink::connect(&url, &[]);
    client.type_line(&"x".repeat(MUCH / 2));
    client.event("message");
    serve.signal("TERM");
    assert_eq!(serve.end().status, Some(0));
}

#[test]
fn a_table_ends_at_any_signal() {
    let mut schedule = Relink::unread(["schedule", "--attempts", "1000"]);
    schedule.raw_line_with("attempt");
    schedule.signal("TERM");
    assert_eq!(schedule.end().status, None, "the signal ended it");
}

#[test]
#[cfg(target_os = "linux")]
fn a_stdout_that_cannot_be_written_is_a_failure() {
    let server = server(Connection::new().send_text("for a full disk"));
    let url = server.url();
    for command in [
        &format!("connect {url}"),
        "serve --listen 127.0.0.1:0",
        "schedule",
        "completions bash",
        "man",
    ] {
        let ended = Relink::shell(&format!("relink {command} > /dev/full")).end();
        assert_eq!(ended.status, Some(1), "{command}: {}", ended.err());
        assert!(
            ended.err().contains("error: stdout cannot be written: No space left"),
            "{}",
            ended.err()
        );
    }
}
