//! A delay given by the server is bounded, spread, and counts as an attempt.

use std::collections::BTreeSet;
use std::time::Duration;

use relink::link::Hint;
use relink::policy::{GiveUpReason, Rate};
use relink::{
    CloseCode, ClosePolicy, ClosedReason, Event, Failure, LinkConfig, SessionConfig, State, Verdict,
};
use relink_sim::{OnDial, Sim, millis, secs};

use crate::support::{GOING_AWAY, count, speaking, waits};

#[test]
fn i29_a_fleet_that_was_told_the_same_comes_back_spread() {
    for tell in WAYS {
        let waits: BTreeSet<_> = (0..200).map(|seed| wait_of(tell, secs(60), seed)).collect();
        let (first, last) = (waits.first().unwrap(), waits.last().unwrap());
        assert!(*first >= secs(60), "none comes back too soon: {first:?}");
        assert!(*last <= secs(72), "none comes back much later: {last:?}");
        assert!(waits.len() > 190 && *last - *first > secs(10), "{} different waits", waits.len());
    }
}

#[test]
fn i29_a_hint_counts_from_when_it_was_told_and_ends() {
    let wait_after = |quiet| {
        let mut sim = speaking(LinkConfig::default(), 1);
        sim.to_connected();
        sim.peer().handshake(GOING_AWAY);
        sim.advance(quiet);
        sim.peer().reset();
        *waits(&sim.take_events()).last().unwrap()
    };
    assert!((secs(40)..=secs(48)).contains(&wait_after(secs(20))), "what is left of it");
    assert!(wait_after(secs(61)) <= secs(1), "its time is over");
}

#[test]
fn i29_too_long_is_clamped_and_still_spread() {
    let most = LinkConfig::default().retry_after.max;
    for tell in WAYS {
        let waits: BTreeSet<_> = (0..200).map(|seed| wait_of(tell, secs(86_400), seed)).collect();
        assert!(
            *waits.last().unwrap() <= most,
            "{:?} is longer than any server may demand",
            waits.last()
        );
        assert!(*waits.first().unwrap() >= most / 2);
        assert!(waits.len() > 190, "{} different waits", waits.len());
    }
}

#[test]
fn i29_too_short_is_clamped_to_the_floor() {
    let floor = LinkConfig::default().backoff.floor;
    for tell in WAYS {
        for told in [Duration::ZERO, millis(1), floor / 2] {
            assert!((0..100).all(|seed| wait_of(tell, told, seed) >= floor), "{told:?}");
        }
    }
}

#[test]
fn i29_no_hint_comes_back_sooner_than_the_server_said() {
    for tell in WAYS {
        let mut sim = told(tell, secs(60), 1);
        sim.peer().on_dial(OnDial::Hold);
        let dials = sim.dials().len();
        sim.hint(Hint::Online);
        sim.advance(millis(59_999));
        sim.hint(Hint::Wake);
        assert_eq!(sim.dials().len(), dials);
        sim.advance(secs(13));
        assert_eq!(sim.dials().len(), dials + 1);
    }
}

#[test]
fn i29_attempts_are_counted_while_the_server_sends_clients_away() {
    let config = LinkConfig::default();
    let mut sim = Sim::new(config.with_budget(config.budget.with_max_attempts(Some(3))));
    sim.peer().on_dial(busy(secs(60)));
    sim.connect();
    sim.advance(secs(600));
    assert_eq!(sim.dials().len(), 3);
    assert_eq!(sim.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::Attempts)));
}

#[test]
fn i29_the_time_that_is_waited_for_a_server_counts_as_elapsed() {
    let config = LinkConfig::default();
    let mut sim = Sim::new(config.with_budget(config.budget.with_max_elapsed(Some(secs(30)))));
    sim.peer().on_dial(busy(secs(60)));
    sim.connect();
    sim.advance(millis(29_999));
    assert!(!sim.state().is_closed());
    sim.advance(millis(1));
    assert_eq!(sim.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::Elapsed)));
    assert_eq!(sim.deadline(), None);
}

#[test]
fn i29_the_rate_limit_stands_behind_what_a_server_says_too() {
    let config = LinkConfig::default();
    let rate = Rate { burst: 1, refill: secs(100) };
    let mut sim = Sim::new(config.with_budget(config.budget.with_rate(rate)));
    sim.peer().on_dial(busy(secs(10)));
    sim.connect();
    sim.advance(millis(99_999));
    assert_eq!(sim.dials().len(), 1);
    sim.advance(millis(1));
    assert_eq!(sim.dials().len(), 2);
}

#[test]
fn i29_a_hint_is_told_and_good_for_one_wait_only() {
    let mut sim = speaking(LinkConfig::default(), 1);
    sim.to_connected();
    sim.peer().handshake(GOING_AWAY);
    assert_eq!(count(&sim.take_events(), |event| matches!(event, Event::GoingAway { .. })), 1);
    sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
    sim.peer().close(1001);
    assert!(waits(&sim.take_events())[0] >= secs(60));
    sim.next_dial();
    assert!(waits(&sim.take_events())[0] <= secs(20), "the attempt after it is back on the curve");
}

#[test]
fn i29_one_drain_is_told_once() {
    let mut sim = speaking(LinkConfig::default(), 1);
    sim.to_connected();
    for _ in 0..2 {
        sim.peer().handshake(GOING_AWAY);
        sim.advance(secs(1));
        sim.peer().handshake(GOING_AWAY);
        sim.peer().close_saying(1001, "deploy; retry-after=10s");
        let events = sim.take_events();
        assert_eq!(count(&events, |event| matches!(event, Event::GoingAway { .. })), 1);
        assert!(
            (secs(10)..=secs(12)).contains(waits(&events).last().unwrap()),
            "the last word counts"
        );
        sim.next_dial();
    }
}

#[test]
fn i29_whoever_does_not_want_it_is_not_held_up() {
    let config = LinkConfig::default();
    let mut sim = Sim::new(config.with_retry_after(config.retry_after.with_honor(false)));
    sim.to_connected();
    sim.advance(secs(5));
    sim.peer().close_saying(1001, "deploy; retry-after=60s");
    let events = sim.take_events();
    assert!(waits(&events)[0] <= secs(1));
    assert_eq!(
        count(&events, |event| matches!(event, Event::GoingAway { .. })),
        1,
        "told all the same"
    );
}

/// How a server can give a delay: twice in the answer of the handshake, and in the reason of a
/// close frame.
const WAYS: [fn(&mut Sim, Duration); 3] = [
    |sim, told| refuse(sim, 503, told),
    |sim, told| refuse(sim, 429, told),
    |sim, told| {
        sim.to_connected();
        sim.peer().close_saying(1001, &format!("deploy; retry-after={}ms", told.as_millis()));
    },
];

fn refuse(sim: &mut Sim, status: u16, told: Duration) {
    sim.peer().on_dial(OnDial::Refuse(Failure::Http { status, retry_after: Some(told) }));
    sim.connect();
}

fn busy(told: Duration) -> OnDial {
    OnDial::Refuse(Failure::Http { status: 503, retry_after: Some(told) })
}

/// A link that was given this delay, under a policy in which only the floor of the curve matters.
fn told(tell: fn(&mut Sim, Duration), told: Duration, seed: u64) -> Sim {
    let mut policy = ClosePolicy::default();
    policy.set_status(400..=599, Verdict::Retry).unwrap();
    policy.set_close(CloseCode::GOING_AWAY.0..=CloseCode::GOING_AWAY.0, Verdict::RetryNow).unwrap();
    let link = LinkConfig::default().with_close_policy(policy).with_connect_timeout(secs(600));
    let mut sim = Sim::seeded(SessionConfig::default().with_link(link), seed);
    tell(&mut sim, told);
    sim
}

fn wait_of(tell: fn(&mut Sim, Duration), told: Duration, seed: u64) -> Duration {
    waits(&self::told(tell, told, seed).take_events())[0]
}
