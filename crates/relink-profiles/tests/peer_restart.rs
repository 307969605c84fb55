//! Restarts of peers, with a retry schedule for each.

use core::time::Duration;

use relink::Instant;
use relink_profiles::{PeerRestart, PeerRestartConfig, RestartAction};

fn at(seconds: u64) -> Instant {
    Instant::from_origin(Duration::from_secs(seconds))
}

/// Lets time pass until the restart is done; returns its actions, and when they came.
fn climb(restart: &mut PeerRestart) -> Vec<(u64, RestartAction)> {
    let mut said = Vec::new();
    while let Some(next) = restart.poll_timeout() {
        if let Some(rung) = restart.handle_timeout(next) {
            said.push(((next - Instant::ORIGIN).as_secs(), rung));
        }
    }
    said
}

#[test]
fn m18_nine_attempts_over_121_s_whether_or_not_anybody_answers() {
    let times = [0, 1, 3, 7, 15, 31, 61, 91, 121];
    let restarts = times
        .into_iter()
        .zip(1..)
        .map(|(time, attempt)| (time, RestartAction::Restart { attempt }));
    let expected: Vec<_> = restarts.chain([(136, RestartAction::GiveUp)]).collect();
    let mut restart = PeerRestart::default();
    restart.lost(at(0));
    assert_eq!(climb(&mut restart), expected);

    // Every attempt fails at once, and is reported twice.
    let mut restart = PeerRestart::default();
    restart.lost(at(0));
    let mut said = Vec::new();
    while let Some(next) = restart.poll_timeout() {
        said.extend(
            restart.handle_timeout(next).map(|rung| ((next - Instant::ORIGIN).as_secs(), rung)),
        );
        if said.len() < 10 {
            restart.lost(next);
            restart.lost(next);
        }
    }
    assert_eq!(said[..9], expected[..9], "a failure does not climb");
    assert_eq!(
        said[9..],
        [(121, RestartAction::GiveUp)],
        "but for that of the last attempt, which is waited for"
    );
}

#[test]
fn m18_a_recovery_starts_the_next_loss_at_the_bottom() {
    let mut restart = PeerRestart::default();
    restart.lost(at(0));
    for second in [0, 1, 3] {
        assert!(restart.handle_timeout(at(second)).is_some());
    }
    restart.recovered();
    assert_eq!(
        (restart.poll_timeout(), restart.is_restarting(), restart.attempts()),
        (None, false, 0)
    );
    restart.lost(at(50));
    assert_eq!(restart.handle_timeout(at(50)), Some(RestartAction::Restart { attempt: 1 }));
}

#[test]
fn m18_it_stops_with_the_signalling_link() {
    let mut restart = PeerRestart::default();
    restart.lost(at(0));
    assert!(restart.handle_timeout(at(0)).is_some());
    restart.stop();
    assert_eq!((restart.poll_timeout(), restart.handle_timeout(at(500))), (None, None));
}

#[test]
fn early_calls_do_nothing_and_a_late_one_makes_one_attempt() {
    let mut restart = PeerRestart::default();
    assert_eq!(restart.handle_timeout(at(9)), None, "nothing is lost");
    restart.lost(at(10));
    assert_eq!(restart.handle_timeout(at(9)), None);
    assert_eq!(
        restart.handle_timeout(at(3_600)),
        Some(RestartAction::Restart { attempt: 1 }),
        "the machine slept"
    );
    assert_eq!(restart.handle_timeout(at(3_600)), None);
    assert_eq!(restart.poll_timeout(), Some(at(3_601)));
}

#[test]
fn after_giving_up_only_a_recovery_or_a_stop_begins_anew() {
    let mut restart = PeerRestart::default();
    restart.lost(at(0));
    climb(&mut restart);
    assert!(restart.has_given_up());
    restart.lost(at(200));
    assert_eq!(restart.poll_timeout(), None);
    restart.stop();
    restart.lost(at(201));
    assert!(restart.is_restarting() && !restart.has_given_up());
}

#[test]
fn the_patience_is_checked() {
    let wrong = PeerRestartConfig::default().with_last_attempt_timeout(Duration::ZERO);
    let message = "peer_restart.last_attempt_timeout is 0s, but it must be at least 1ms";
    assert_eq!(wrong.validate().unwrap_err().to_string(), message);
    assert_eq!(PeerRestartConfig::default().validate(), Ok(()));
}
