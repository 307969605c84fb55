//! `relink demo` does what it promises, and checks that itself.

use tokio::time::Instant;

use crate::support::{PATIENCE, Relink};

#[test]
fn the_demo_goes_as_promised_in_less_than_20_seconds() {
    let started = Instant::now();
    let ended = Relink::run(["demo"]);
    assert_eq!(ended.status, Some(0), "{}\n{}", ended.out(), ended.err());
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    let shown = ended.out();
    for act in [
        "1  The first connection",
        "2  Messages",
        "3  The connection breaks",
        "4  A deploy",
        "5  An expired token",
        "6  Too many connections",
        "7  Silence",
        "8  A kick",
        "9  Nothing lost, nothing twice",
        "nothing lost",
        "Everything happened as promised.",
        "What to try next",
    ] {
        assert!(shown.contains(act), "{act} in\n{shown}");
    }
    assert!(
        ended.out.iter().all(|line| line.chars().count() <= 80),
        "it fits 80 columns:\n{shown}"
    );
    assert!(!shown.contains(['\x1b', '\r']), "no tricks in a pipe:\n{shown}");
    assert!(!shown.contains("demo-token"), "not even the demo shows a token");
    assert_eq!(ended.err(), "");
}

#[test]
fn on_a_narrow_terminal_its_lines_are_broken_at_spaces() {
    let ended = Relink::run_at(44, ["demo"]);
    assert_eq!(ended.status, Some(0), "{}\n{}", ended.out(), ended.err());
    assert!(ended.out.iter().all(|line| line.chars().count() <= 44), "{}", ended.out());
    assert!(
        ended.out.iter().any(|line| line == "    the delays between attempts, drawn"),
        "{}",
        ended.out()
    );
}

#[test]
fn one_act_can_be_played_alone() {
    let ended = Relink::run(["demo", "--act", "9"]);
    assert_eq!(ended.status, Some(0), "{}\n{}", ended.out(), ended.err());
    assert!(ended.out().contains("9  Nothing lost") && !ended.out().contains("8  A kick"));
    let ended = Relink::run(["demo", "--act", "5"]);
    assert_eq!(ended.status, Some(0), "{}\n{}", ended.out(), ended.err());
    let acts =
        ended.out.iter().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    assert_eq!(acts.count(), 2, "the first connection, and the act: {}", ended.out());
    let ended = Relink::run(["demo", "--act", "10"]);
    assert_eq!(ended.status, Some(2));
    assert!(ended.err().contains("10 is not in 1..=9"), "{}", ended.err());
}
