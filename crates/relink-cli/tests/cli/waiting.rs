//! `--wait`: answers that come after the end of stdin.

use std::time::Duration;

use relink_testing::{Connection, EventKind};

use crate::support::{Relink, seen, server, texts};

#[test]
fn an_answer_that_takes_a_moment_is_heard() {
    let server = server(
        Connection::new().expect_text("hi").wait(Duration::from_millis(500)).send_text("you too"),
    );
    let mut relink = Relink::start(["connect", &server.url()]);
    relink.type_line("hi");
    relink.hang_up();
    let ended = relink.end();
    assert_eq!((ended.status, ended.out()), (Some(0), "you too".to_owned()), "{}", ended.err());
    seen(&server, |what| matches!(what, EventKind::PeerClosed { code: Some(1000), .. }));
}

#[test]
fn each_answer_gives_the_next_one_a_chance() {
    let pause = Duration::from_millis(500);
    let answers = ["one", "two", "three", "four"];
    let script = answers.iter().fold(Connection::new().expect_text("hi"), |script, answer| {
        script.wait(pause).send_text(*answer)
    });
    let server = server(script);
    let mut relink = Relink::start(["connect", &server.url(), "--wait", "1s500ms"]);
    relink.type_line("hi");
    relink.hang_up();
    assert_eq!(relink.end().out, answers);
}

#[test]
fn who_does_not_want_to_wait_says_so() {
    let server = server(
        Connection::new().expect_text("hi").wait(Duration::from_secs(60)).send_text("too late"),
    );
    let mut relink = Relink::start(["connect", &server.url(), "--wait", "0s"]);
    relink.type_line("hi");
    relink.hang_up();
    let ended = relink.end();
    assert_eq!((ended.status, ended.out()), (Some(0), String::new()));
    assert_eq!(texts(&server), ["hi"]);
}

#[test]
fn messages_that_never_pause_do_not_keep_it_for_ever() {
    let feed = (0..1_000).fold(Connection::new(), |script, number| {
        script.send_text(format!("news {number}")).wait(Duration::from_millis(20))
    });
    let server = server(feed);
    let ended = Relink::run(["connect", &server.url(), "--wait", "100ms"]);
    assert_eq!(ended.status, Some(0));
    assert!((1..1_000).contains(&ended.out.len()), "{} messages", ended.out.len());
}

#[test]
fn a_wait_is_a_duration_of_at_most_a_year() {
    for (wait, word) in
        [("5", "write a number and a unit"), ("366d", "it must be at most 365d"), ("-1s", "--wait")]
    {
        let ended = Relink::run(["connect", "ws://localhost/", "--wait", wait]);
        assert_eq!(ended.status, Some(2), "{wait}");
        assert!(ended.err().contains(word), "{wait}: {}", ended.err());
    }
}
