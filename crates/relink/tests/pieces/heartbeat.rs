//! The heartbeat, alone.

use core::time::Duration;

use relink::Instant;
use relink::policy::{DeadReason, Heartbeat, HeartbeatAction, HeartbeatConfig};

use crate::support::{at, millis, secs};

#[test]
fn w22_a_silent_link_is_dead_after_interval_and_timeout() {
    let (found, pings) = until_dead(HeartbeatConfig::default(), secs(0), |_, _| {});
    assert_eq!(found, (at(secs(40)), DeadReason::Heartbeat));
    assert_eq!(pings, [at(secs(30))]);
}

#[test]
fn d07_two_missed_answers_in_a_row_and_the_link_is_dead() {
    let twice = HeartbeatConfig::default().with_missed(2);
    let (found, pings) = until_dead(twice, secs(0), |_, _| {});
    assert_eq!(pings, [at(secs(30)), at(secs(60))]);
    assert_eq!(found, (at(secs(70)), DeadReason::Heartbeat));
}

#[test]
fn d07_an_answer_in_between_starts_the_count_anew() {
    let twice = HeartbeatConfig::default().with_missed(2);
    // The second ping is answered; the first, third and fourth are not.
    let (found, pings) = until_dead(twice, secs(0), |heartbeat, nonce| {
        if nonce == 2 {
            assert_eq!(heartbeat.missed(), 1);
            assert_eq!(heartbeat.pong(Some(2), at(secs(61))), Some(secs(1)));
            assert_eq!(heartbeat.missed(), 0);
        }
    });
    assert_eq!(pings.len(), 4);
    assert_eq!(found, (at(secs(130)), DeadReason::Heartbeat));
}

#[test]
fn m13_the_watchdog_finds_a_link_without_any_traffic() {
    let watchdog = HeartbeatConfig::default().with_interval(None).with_watchdog(Some(secs(60)));
    let (found, pings) = until_dead(watchdog, secs(0), |_, _| {});
    assert_eq!(found, (at(secs(60)), DeadReason::Watchdog));
    assert_eq!(pings, [], "it asks nothing, it only listens");

    let mut heartbeat = Heartbeat::start(watchdog, at(secs(0)));
    heartbeat.seen(at(secs(59)));
    assert_eq!(heartbeat.poll_timeout(), Some(at(secs(119))), "any traffic puts it off");
}

#[test]
fn m13_a_suspended_process_asks_before_it_judges() {
    let watchdog = HeartbeatConfig::default().with_interval(None).with_watchdog(Some(secs(60)));
    let mut heartbeat = Heartbeat::start(watchdog, at(secs(0)));
    let woken = at(secs(3600));
    assert_eq!(heartbeat.handle_timeout(woken), Some(HeartbeatAction::Ping { nonce: 1 }));
    assert_eq!(heartbeat.poll_timeout(), Some(woken + secs(2)), "a quick one");
    assert_eq!(
        heartbeat.handle_timeout(woken + secs(2)),
        Some(HeartbeatAction::Dead(DeadReason::Probe))
    );
}

#[test]
fn i10_after_a_jump_of_the_clock_a_probe_decides() {
    let mut heartbeat = pinged();
    let late = at(secs(40) + secs(2));
    assert_eq!(
        heartbeat.handle_timeout(late),
        Some(HeartbeatAction::Ping { nonce: 2 }),
        "late: a probe, no judgement"
    );
    assert_eq!(heartbeat.poll_timeout(), Some(late + secs(2)));
    let mut answered = heartbeat.clone();
    assert_eq!(answered.pong(Some(2), late + millis(80)), Some(millis(80)));
    assert_eq!(answered.handle_timeout(late + secs(2)), None);
    assert_eq!(
        heartbeat.handle_timeout(late + secs(2)),
        Some(HeartbeatAction::Dead(DeadReason::Probe))
    );

    let mut punctual = pinged();
    let within = at(secs(40) + millis(1_999));
    assert_eq!(
        punctual.handle_timeout(within),
        Some(HeartbeatAction::Dead(DeadReason::Heartbeat)),
        "a little late is no jump"
    );
}

#[test]
fn i10_frames_that_arrived_are_judged_before_deadlines() {
    let mut heartbeat = pinged();
    let late = at(secs(3600));
    heartbeat.seen(late);
    let beat = heartbeat.handle_timeout(late);
    assert_eq!(beat, Some(HeartbeatAction::Ping { nonce: 2 }), "alive, and the next ping is due");
    assert_eq!(
        heartbeat.poll_timeout(),
        Some(late + secs(10)),
        "an ordinary ping, with its ordinary time"
    );
}

#[test]
fn i11_an_overdue_ping_goes_out_at_the_next_wake() {
    let mut heartbeat = Heartbeat::start(HeartbeatConfig::default(), at(secs(0)));
    assert_eq!(heartbeat.handle_timeout(at(secs(29))), None);
    assert_eq!(heartbeat.handle_timeout(at(secs(500))), Some(HeartbeatAction::Ping { nonce: 1 }));
    assert_eq!(heartbeat.handle_timeout(at(secs(500))), None, "once");
    assert_eq!(heartbeat.pong(Some(1), at(secs(501))), Some(secs(1)));
    assert_eq!(heartbeat.poll_timeout(), Some(at(secs(530))), "the next one counts from there");
}

#[test]
fn i11_a_timeout_longer_than_the_interval_delays_no_ping_beyond_it() {
    let config = HeartbeatConfig::default()
        .with_interval(Some(secs(4)))
        .with_timeout(secs(10))
        .with_missed(2);
    let (found, pings) = until_dead(config, secs(0), |_, _| {});
    assert_eq!(pings, [at(secs(4)), at(secs(14))], "one ping at a time, the overdue one at once");
    assert_eq!(found.0, at(secs(24)));
}

#[test]
fn i12_traffic_counts_as_life_and_does_not_put_off_pings() {
    let mut heartbeat = Heartbeat::start(HeartbeatConfig::default(), at(secs(0)));
    let mut pings = Vec::new();
    for second in 1..=300 {
        let now = at(secs(second));
        if let Some(beat) = heartbeat.handle_timeout(now) {
            assert!(
                matches!(beat, HeartbeatAction::Ping { .. }),
                "dead at {now:?} in spite of traffic"
            );
            pings.push(second);
        }
        heartbeat.seen(now + millis(500));
    }
    assert_eq!(pings, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300]);
    assert_eq!(heartbeat.missed(), 0);
}

#[test]
fn i12_a_part_of_a_message_is_life_however_slowly_it_comes() {
    let mut heartbeat = Heartbeat::start(HeartbeatConfig::default(), at(secs(0)));
    for second in 1..=600 {
        let beat = heartbeat.handle_timeout(at(secs(second)));
        assert!(
            !matches!(beat, Some(HeartbeatAction::Dead(_))),
            "dead after {second} s in spite of bytes"
        );
        heartbeat.arriving(Some(at(secs(1))), at(secs(second) + millis(500)));
    }
}

#[test]
fn a_message_may_be_given_a_time_to_arrive_in() {
    let limited = HeartbeatConfig::default().with_message_timeout(Some(secs(20)));
    let start = || Heartbeat::start(limited, at(secs(0)));
    let mut heartbeat = start();
    heartbeat.arriving(Some(at(secs(1))), at(secs(1)));
    heartbeat.arriving(Some(at(secs(1))), at(secs(19)));
    assert_eq!(heartbeat.poll_timeout(), Some(at(secs(21))));
    assert_eq!(
        heartbeat.handle_timeout(at(secs(21))),
        Some(HeartbeatAction::Dead(DeadReason::Message))
    );

    let mut in_time = start();
    in_time.arriving(Some(at(secs(1))), at(secs(1)));
    in_time.arrived();
    assert_eq!(in_time.poll_timeout(), Some(at(secs(30))), "nothing but the next ping");

    let mut excused = start();
    excused.arriving(Some(at(secs(1))), at(secs(1)));
    excused.excused(at(secs(15)));
    assert_eq!(
        excused.poll_timeout(),
        Some(at(secs(30))),
        "the time without reading does not count"
    );
    let _ = excused.handle_timeout(at(secs(30)));
    assert_eq!(excused.poll_timeout(), Some(at(secs(35))));

    let mut asleep = start();
    asleep.arriving(Some(at(secs(1))), at(secs(1)));
    assert_eq!(
        asleep.handle_timeout(at(secs(3600))),
        Some(HeartbeatAction::Ping { nonce: 1 }),
        "this side slept"
    );
}

#[test]
fn w16_only_the_answer_to_the_ping_under_way_has_a_round_trip_time() {
    let mut heartbeat = pinged();
    assert_eq!(heartbeat.pong(Some(0), at(secs(31))), None, "an answer to something else");
    assert_eq!(heartbeat.pong(Some(1), at(secs(30) + millis(45))), Some(millis(45)));
    assert_eq!(heartbeat.pong(Some(1), at(secs(32))), None, "once");
    let mut unnumbered = pinged();
    assert_eq!(
        unnumbered.pong(None, at(secs(33))),
        Some(secs(3)),
        "where the answer has no number"
    );
}

#[test]
fn i09_a_late_answer_to_an_earlier_ping_is_traffic_and_no_more() {
    let mut heartbeat = Heartbeat::start(HeartbeatConfig::default().with_missed(3), at(secs(0)));
    for now in [30, 40, 60] {
        let _ = heartbeat.handle_timeout(at(secs(now)));
    }
    assert_eq!(heartbeat.missed(), 1);
    assert_eq!(heartbeat.pong(Some(1), at(secs(61))), None);
    assert_eq!(heartbeat.missed(), 1, "the ping under way is still open");
    assert_eq!(heartbeat.handle_timeout(at(secs(70))), None);
    assert_eq!(heartbeat.missed(), 0, "traffic after the ping was life");
}

#[test]
fn i18_a_hint_asks_at_once_and_only_once() {
    let mut heartbeat = pinged();
    assert_eq!(heartbeat.probe(at(secs(31))), Some(HeartbeatAction::Ping { nonce: 2 }));
    assert_eq!(heartbeat.probe(at(secs(31))), None);
    assert_eq!(heartbeat.probe(at(secs(32))), None);
    assert_eq!(heartbeat.poll_timeout(), Some(at(secs(33))), "two seconds, where the ping had ten");
    assert_eq!(heartbeat.pong(Some(2), at(secs(32))), Some(secs(1)));
    assert_eq!(heartbeat.probe(at(secs(40))), Some(HeartbeatAction::Ping { nonce: 3 }));
}

#[test]
fn a_heartbeat_that_is_off_asks_for_nothing() {
    let off = HeartbeatConfig::default().with_interval(None);
    let mut heartbeat = Heartbeat::start(off, at(secs(0)));
    assert_eq!(heartbeat.poll_timeout(), None);
    assert_eq!(heartbeat.handle_timeout(at(secs(1_000_000))), None);
    assert_eq!(heartbeat.probe(at(secs(1_000_000))), None, "such a peer may answer no ping at all");
}

/// At the end of the clock time saturates; a deadline there must not be due for ever.
#[test]
fn i32_at_the_end_of_time_nothing_is_due_any_more() {
    let end = at(Duration::MAX);
    let mut heartbeat =
        Heartbeat::start(HeartbeatConfig::default().with_watchdog(Some(secs(60))), end);
    assert_eq!(heartbeat.poll_timeout(), None);
    assert_eq!(heartbeat.handle_timeout(end), None);
}

/// A heartbeat whose first ping, sent at 30 s, is pending.
fn pinged() -> Heartbeat {
    let mut heartbeat = Heartbeat::start(HeartbeatConfig::default(), at(secs(0)));
    assert_eq!(heartbeat.handle_timeout(at(secs(30))), Some(HeartbeatAction::Ping { nonce: 1 }));
    heartbeat
}

/// Handles every deadline when it is due until the link is dead; `pinged` is called after each
/// ping.
fn until_dead(
    config: HeartbeatConfig,
    start: Duration,
    mut pinged: impl FnMut(&mut Heartbeat, u32),
) -> ((Instant, DeadReason), Vec<Instant>) {
    let mut heartbeat = Heartbeat::start(config, at(start));
    let mut pings = Vec::new();
    for _ in 0..100 {
        let now = heartbeat.poll_timeout().expect("it watches");
        match heartbeat.handle_timeout(now) {
            Some(HeartbeatAction::Ping { nonce }) => {
                pings.push(now);
                pinged(&mut heartbeat, nonce);
            }
            Some(HeartbeatAction::Dead(silence)) => return ((now, silence), pings),
            Some(_) | None => {}
        }
    }
    panic!("still alive after a hundred deadlines");
}
