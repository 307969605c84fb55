//! How long the link waits, and what resets the schedule.

use std::collections::BTreeSet;
use std::time::Duration;

use rand_pcg::Pcg32;
use relink::link::OnFirstFailure;
use relink::policy::{Curve, DelayTable, GiveUpReason, Jitter, Rate, Schedule};
use relink::rand_core::SeedableRng;
use relink::{
    Backoff, CloseCode, ClosePolicy, ClosedReason, Failure, LinkConfig, Phase, SessionConfig,
    State, Verdict,
};
use relink_sim::{OnDial, Sim, millis, secs};

use crate::support::{waits, with_tokens};

#[test]
fn i05_neither_an_open_nor_a_close_makes_the_link_forget() {
    for code in [1001, 1005, 1006, 1011, 4999] {
        let mut sim = Sim::new(LinkConfig::default());
        sim.peer().on_dial(OnDial::Flap { after: millis(5), code: CloseCode(code) });
        sim.connect();
        for flaps in 1..=20 {
            while sim.machine().stats().disconnects < flaps {
                sim.step();
            }
            assert_eq!(u64::from(sim.machine().link().attempts()), flaps);
        }
        let waits = waits(&sim.take_events());
        assert!(waits[19] >= secs(10), "the last waits are at the cap: {waits:?}");
    }
}

#[test]
fn i05_a_link_is_stable_when_it_was_up_for_long_enough_and_not_before() {
    let mut sim = after_failures();
    sim.advance(millis(4_999));
    assert_eq!(sim.machine().link().attempts(), 7);
    sim.peer().reset();
    assert_eq!(sim.machine().link().attempts(), 8);
    assert!(waits(&sim.take_events()).pop() >= Some(secs(10)), "the curve goes on where it was");

    let mut sim = after_failures();
    sim.advance(secs(5));
    assert_eq!(sim.machine().link().attempts(), 0);
    sim.peer().reset();
    assert_eq!(sim.machine().link().attempts(), 0);
    assert!(waits(&sim.take_events()).pop() <= Some(secs(1)), "the curve starts over");
}

#[test]
fn i05_the_application_can_vouch_for_the_link() {
    let mut sim = after_failures();
    sim.mark_stable();
    assert_eq!(sim.machine().link().attempts(), 0);

    let mut sim = Sim::new(LinkConfig::default());
    sim.to_waiting(7);
    sim.mark_stable();
    assert_eq!(sim.machine().link().attempts(), 7, "there is no link to vouch for");
}

#[test]
fn i06_no_automatic_dial_comes_sooner_than_the_floor() {
    let floor = millis(400);
    let backoff = Backoff::default()
        .with_curve(Curve::Fixed { delay: Duration::ZERO })
        .with_jitter(Jitter::Full)
        .with_floor(floor)
        .with_first(Some(Duration::ZERO));
    let mut policy = ClosePolicy::default();
    policy.set_close(4100..=4100, Verdict::RetryNow).unwrap();
    policy.set_close(4101..=4101, Verdict::SwitchEndpoint).unwrap();
    policy.set_close(4102..=4102, Verdict::RetrySlow { floor: Duration::ZERO }).unwrap();
    policy.set_status(503..=503, Verdict::Retry).unwrap();
    let config = with_tokens(LinkConfig::default().with_backoff(backoff).with_close_policy(policy));

    let flap = |code| OnDial::Flap { after: Duration::ZERO, code: CloseCode(code) };
    let none = Failure::Http { status: 503, retry_after: Some(Duration::ZERO) };
    let ends = [1006, 4100, 4101, 4102, 4002].map(flap);
    let refusals = [Failure::Refused, Failure::Http { status: 401, retry_after: None }, none];
    for answer in ends.into_iter().chain(refusals.map(OnDial::Refuse)) {
        let mut sim = Sim::new(config);
        sim.peer().on_dial(answer);
        sim.connect();
        sim.advance(secs(3));
        assert!(sim.dials().len() > 3, "{answer:?}");
        let gaps = sim.dials().windows(2).map(|pair| pair[1].at - pair[0].at);
        assert!(gaps.min() >= Some(floor), "{answer:?}: {:?}", sim.dials());
    }
}

#[test]
fn i06_only_the_one_dial_after_a_stable_link_may_be_sooner() {
    let config = LinkConfig::default();
    let mut sim = Sim::new(config.with_backoff(config.backoff.with_first(Some(Duration::ZERO))));
    sim.to_connected();
    sim.advance(secs(5));
    sim.peer().on_dial(OnDial::Flap { after: Duration::ZERO, code: CloseCode::GOING_AWAY });
    sim.peer().reset();
    assert_eq!(sim.dials().len(), 2, "at once");
    sim.advance(config.backoff.floor - millis(1));
    assert_eq!(sim.dials().len(), 2, "only once");

    // If the peer asks for a quick return, the floor holds after a stable link, too.
    let mut policy = ClosePolicy::default();
    policy.set_close(4100..=4100, Verdict::RetryNow).unwrap();
    let link = config.with_close_policy(policy);
    for seed in 0..100 {
        let mut sim = Sim::seeded(SessionConfig::default().with_link(link), seed);
        sim.to_connected();
        sim.advance(secs(5));
        sim.peer().close(4100);
        assert!(waits(&sim.take_events())[0] >= config.backoff.floor);
    }
}

#[test]
fn i06_a_rate_limit_stands_behind_all_delays() {
    let backoff = Backoff::default()
        .with_curve(Curve::Fixed { delay: millis(1) })
        .with_jitter(Jitter::None)
        .with_floor(millis(1))
        .with_first(Some(Duration::ZERO));
    let config = LinkConfig::default().with_backoff(backoff).with_stable_after(Duration::ZERO);
    let rate = Rate { burst: 3, refill: secs(1) };
    for answer in [
        OnDial::Refuse(Failure::Refused),
        // Stable at once, so that each loss may be followed by an immediate dial.
        OnDial::Flap { after: Duration::ZERO, code: CloseCode::GOING_AWAY },
    ] {
        let mut sim = Sim::new(config.with_budget(config.budget.with_rate(rate)));
        sim.peer().on_dial(answer);
        sim.connect();
        sim.advance(millis(9_900));
        assert_eq!(sim.dials().len(), 3 + 9, "three at once, then one a second");
    }
}

#[test]
fn i07_no_delay_leaves_its_bounds() {
    let mut rng = Pcg32::seed_from_u64(7);
    for backoff in shapes() {
        let mut schedule = Schedule::default();
        for retry in 1..200 {
            let window = schedule.next_window(&backoff);
            assert!(
                backoff.floor <= window.from
                    && window.from <= window.to
                    && window.to <= backoff.cap
            );
            for _ in 0..10 {
                let delay = window.draw(&mut rng);
                assert!(
                    backoff.floor <= delay && delay <= backoff.cap,
                    "{delay:?}, retry {retry}, {backoff:?}"
                );
                schedule.record(delay);
            }
        }
    }
}

#[test]
fn i07_the_bounds_hold_for_every_kind_of_retry() {
    let second = secs(1);
    let tight = Backoff::default().with_floor(second).with_cap(second).with_first(Some(secs(60)));
    let mut policy = ClosePolicy::default();
    policy.set_close(4100..=4100, Verdict::RetryNow).unwrap();
    for (code, up_for) in [(1001, 0), (1001, 5), (4100, 0), (4100, 5)] {
        for seed in 0..100 {
            let link = LinkConfig::default().with_backoff(tight).with_close_policy(policy);
            let mut sim = Sim::seeded(SessionConfig::default().with_link(link), seed);
            sim.to_connected();
            sim.advance(secs(up_for));
            sim.peer().close(code);
            assert!(waits(&sim.take_events())[0] <= second, "{code} after {up_for} s, seed {seed}");
        }
    }
}

#[test]
fn i07_at_the_cap_a_fleet_is_still_spread() {
    let spread = shapes().into_iter().filter(|backoff| {
        backoff.jitter != Jitter::None || matches!(backoff.curve, Curve::Decorrelated { .. })
    });
    for backoff in spread {
        let window = backoff.window(10_000, backoff.cap);
        let width = window.to - window.from;
        assert!(width >= backoff.cap / 10, "{width:?} at the cap of {backoff:?}");
    }
}

#[test]
fn i07_each_attempt_draws_anew_and_each_link_from_its_own_seed() {
    let run = |seed| {
        let mut sim = Sim::seeded(SessionConfig::default(), seed);
        sim.to_waiting(20);
        waits(&sim.take_events())
    };
    let at_the_cap = run(1).split_off(5);
    let different: BTreeSet<_> = at_the_cap.iter().collect();
    assert_eq!(different.len(), at_the_cap.len(), "no two waits are the same");
    assert_eq!(run(1), run(1), "the same seed repeats itself");

    let firsts: BTreeSet<_> = (0..100).map(|seed| run(seed)[0]).collect();
    assert!(firsts.len() > 95, "another seed is another link: {} of 100", firsts.len());
}

#[test]
fn i08_no_attempt_number_overflows() {
    let year = secs(365 * 24 * 3600);
    let retries =
        [1, 2, 31, 32, 33, 63, 64, 65, 1_020, 1_021, 1_022, 1_023, 1_024, u32::MAX - 1, u32::MAX];
    let mut all = shapes();
    let extreme = |curve| Backoff::default().with_curve(curve).with_cap(year);
    all.extend([
        extreme(Curve::Exponential { initial: year, factor_pct: 10_000 }),
        extreme(Curve::Exponential { initial: millis(1), factor_pct: 101 }),
        extreme(Curve::Exponential { initial: millis(1), factor_pct: 100 }),
        extreme(Curve::Linear { initial: year, step: year }),
        extreme(Curve::Decorrelated { initial: year, factor_pct: 10_000 })
            .with_jitter(Jitter::None),
    ]);
    for backoff in all {
        backoff.validate().unwrap();
        let mut previous = Duration::ZERO;
        for retry in retries {
            let window = backoff.window(retry, previous);
            assert!(
                window.from >= backoff.floor && window.to <= backoff.cap,
                "retry {retry} of {backoff:?}"
            );
            assert!(window.to >= previous, "retry {retry} of {backoff:?}");
            previous = window.to;
        }
    }
}

#[test]
fn i30_a_failed_first_dial_is_retried_like_any_other() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_waiting(1);
    let backoff = sim.machine().link().config().backoff;
    let window = backoff.window(1, Duration::ZERO);
    let wait = sim.wakes_in().unwrap();
    assert!(window.from <= wait && wait <= window.to);
    sim.advance(wait);
    sim.expect(["dial", "drop", "attempt 1 failed", "dial", "drop", "attempt 2 failed"]);
}

#[test]
fn i30_or_ends_the_link_where_the_application_wants_to_know() {
    let config = LinkConfig::default().with_first_failure(OnFirstFailure::Stop);
    let mut sim = Sim::new(config);
    sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
    sim.connect();
    assert_eq!(sim.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::FirstAttempt)));
    assert_eq!(sim.deadline(), None);

    let mut sim = Sim::new(config);
    sim.to_connected();
    sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
    sim.peer().reset();
    sim.advance(secs(60));
    assert!(
        matches!(sim.state(), State::Reconnecting(Phase::Waiting)),
        "later failures are retried"
    );
}

/// A link that is connected again after seven failures, a moment ago.
fn after_failures() -> Sim {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_waiting(7);
    sim.peer().on_dial(OnDial::Accept);
    sim.next_dial();
    assert_eq!((sim.state(), sim.machine().link().attempts()), (State::Connected, 7));
    sim
}

/// Every curve with every jitter, the cap being reached soon.
fn shapes() -> Vec<Backoff> {
    let table = DelayTable::new(&[Duration::ZERO, secs(1), secs(5), secs(30)]).unwrap();
    let curves = [
        Curve::Fixed { delay: secs(30) },
        Curve::Linear { initial: Duration::ZERO, step: secs(3) },
        Curve::Exponential { initial: millis(100), factor_pct: 200 },
        Curve::Table(table),
    ];
    let jitters = [
        Jitter::None,
        Jitter::Full,
        Jitter::Equal,
        Jitter::Spread { pct: 50 },
        Jitter::Spread { pct: 100 },
        Jitter::Additive { pct: 25 },
        Jitter::Additive { pct: 1_000 },
    ];
    let mut shapes: Vec<_> = curves
        .into_iter()
        .flat_map(|curve| {
            jitters.map(|jitter| Backoff::default().with_curve(curve).with_jitter(jitter))
        })
        .collect();
    let decorrelated = Curve::Decorrelated { initial: millis(500), factor_pct: 300 };
    shapes.push(Backoff::default().with_curve(decorrelated).with_jitter(Jitter::None));
    shapes
}
