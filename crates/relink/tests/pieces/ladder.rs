//! M18: the ladder of restarts, one per peer.

use relink::{Instant, Ladder, LadderConfig, Rung};

use crate::bench::secs;

fn at(seconds: u64) -> Instant {
    Instant::from_origin(secs(seconds))
}

/// Lets time pass until the ladder is done; what it said, and when.
fn climb(ladder: &mut Ladder) -> Vec<(u64, Rung)> {
    let mut said = Vec::new();
    while let Some(next) = ladder.poll_timeout() {
        if let Some(rung) = ladder.handle_timeout(next) {
            said.push(((next - Instant::ORIGIN).as_secs(), rung));
        }
    }
    said
}

#[test]
fn m18_nine_attempts_over_121_s_whether_or_not_anybody_answers() {
    let times = [0, 1, 3, 7, 15, 31, 61, 91, 121];
    let restarts = times.into_iter().zip(1..).map(|(time, attempt)| (time, Rung::Restart { attempt }));
    let expected: Vec<_> = restarts.chain([(136, Rung::GaveUp)]).collect();
    let mut ladder = Ladder::default();
    ladder.lost(at(0));
    assert_eq!(climb(&mut ladder), expected);

    // Every attempt fails at once, and says so twice.
    let mut ladder = Ladder::default();
    ladder.lost(at(0));
    let mut said = Vec::new();
    while let Some(next) = ladder.poll_timeout() {
        said.extend(ladder.handle_timeout(next).map(|rung| ((next - Instant::ORIGIN).as_secs(), rung)));
        if said.len() < 10 {
            ladder.lost(next);
            ladder.lost(next);
        }
    }
    assert_eq!(said[..9], expected[..9], "a failure does not climb");
    assert_eq!(said[9..], [(121, Rung::GaveUp)], "but for that of the last attempt, which is waited for");
}

#[test]
fn m18_a_recovery_starts_the_next_loss_at_the_bottom() {
    let mut ladder = Ladder::default();
    ladder.lost(at(0));
    for second in [0, 1, 3] {
        assert!(ladder.handle_timeout(at(second)).is_some());
    }
    ladder.recovered();
    assert_eq!((ladder.poll_timeout(), ladder.is_climbing(), ladder.attempts()), (None, false, 0));
    ladder.lost(at(50));
    assert_eq!(ladder.handle_timeout(at(50)), Some(Rung::Restart { attempt: 1 }));
}

#[test]
fn m18_it_stops_with_the_signalling_link() {
    let mut ladder = Ladder::default();
    ladder.lost(at(0));
    assert!(ladder.handle_timeout(at(0)).is_some());
    ladder.stop();
    assert_eq!((ladder.poll_timeout(), ladder.handle_timeout(at(500))), (None, None));
}

#[test]
fn early_calls_do_nothing_and_a_late_one_makes_one_attempt() {
    let mut ladder = Ladder::default();
    assert_eq!(ladder.handle_timeout(at(9)), None, "nothing is lost");
    ladder.lost(at(10));
    assert_eq!(ladder.handle_timeout(at(9)), None);
    assert_eq!(ladder.handle_timeout(at(3_600)), Some(Rung::Restart { attempt: 1 }), "the machine slept");
    assert_eq!(ladder.handle_timeout(at(3_600)), None);
    assert_eq!(ladder.poll_timeout(), Some(at(3_601)));
}

#[test]
fn after_giving_up_only_a_recovery_or_a_stop_begins_anew() {
    let mut ladder = Ladder::default();
    ladder.lost(at(0));
    climb(&mut ladder);
    assert!(ladder.has_given_up());
    ladder.lost(at(200));
    assert_eq!(ladder.poll_timeout(), None);
    ladder.stop();
    ladder.lost(at(201));
    assert!(ladder.is_climbing() && !ladder.has_given_up());
}

#[test]
fn the_patience_is_checked() {
    let wrong = LadderConfig::default().with_patience(secs(0));
    let message = "ladder.patience is 0s, but it must be at least 1ms";
    assert_eq!(wrong.validate().unwrap_err().to_string(), message);
    assert_eq!(LadderConfig::default().validate(), Ok(()));
}
