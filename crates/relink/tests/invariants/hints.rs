//! A person's *retry now*, and hints from the system.

use std::time::Duration;

use relink::link::{Hint, OnFirstFailure, OnOffline, ReopenPolicy};
use relink::policy::{Breaker, Curve, GiveUpReason, Jitter, Rate};
use relink::{
    Backoff, CloseCode, ClosedReason, Event, Failure, LinkConfig, Phase, SessionInput, State,
};
use relink_sim::{OnDial, Sim, millis, secs};

use crate::support::{count, is_connected, waits};

#[test]
fn i17_retry_now_replaces_the_wait() {
    let mut sim = Sim::new(LinkConfig::default().with_connect_timeout(secs(60)));
    sim.to_waiting(8);
    let waited_for = sim.deadline().unwrap();
    sim.peer().on_dial(OnDial::Hold);
    sim.retry_now();
    assert_eq!(sim.dials().len(), 9);
    sim.retry_now();
    sim.advance(waited_for - sim.now());
    assert_eq!(sim.dials().len(), 9, "no second loop, and the wait that was replaced is gone");

    let _ = sim.take_events();
    sim.peer().refuse(Failure::Refused);
    assert_eq!(sim.machine().link().attempts(), 1);
    let waits = waits(&sim.take_events());
    assert!(waits[0] <= millis(1_500), "the backoff starts over");
    sim.advance(waits[0]);
    assert_eq!(sim.dials().len(), 10);
}

#[test]
fn i17_connect_while_waiting_neither_ends_nor_doubles_the_loop() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_waiting(4);
    sim.peer().on_dial(OnDial::Hold);
    let deadline = sim.deadline().unwrap();
    sim.connect();
    sim.connect();
    assert_eq!((sim.deadline(), sim.dials().len()), (Some(deadline), 4));
    sim.advance(deadline - sim.now());
    assert_eq!(sim.dials().len(), 5);
    sim.connect();
    sim.advance(secs(9));
    assert_eq!(sim.dials().len(), 5);
}

#[test]
fn i17_retry_now_means_nothing_while_no_wait_is_on() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.retry_now();
    assert_eq!(sim.state(), State::Idle);
    sim.peer().on_dial(OnDial::Hold);
    sim.connect();
    sim.retry_now();
    sim.peer().accept();
    sim.retry_now();
    sim.connect();
    sim.advance(secs(60));
    assert!(is_connected(&sim));
    sim.peer().silence();
    sim.close(1000);
    sim.retry_now();
    sim.connect();
    assert_eq!((sim.state(), sim.dials().len()), (State::Closing, 1));
}

#[test]
fn i17_it_works_again_after_giving_up() {
    for again in [Sim::retry_now, Sim::connect] {
        let mut sim = given_up(ReopenPolicy::AfterGivingUp);
        again(&mut sim);
        assert_eq!(sim.dials().len(), 4);
        sim.advance(secs(60));
        assert_eq!(sim.dials().len(), 6, "with all of its attempts");
        assert_eq!(sim.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::Attempts)));
        sim.peer().on_dial(OnDial::Accept);
        again(&mut sim);
        assert!(is_connected(&sim));
    }
}

#[test]
fn i17_but_only_where_the_configuration_allows() {
    for again in [Sim::retry_now, Sim::connect] {
        let mut sim = given_up(ReopenPolicy::Never);
        again(&mut sim);
        assert_eq!((sim.dials().len(), sim.deadline()), (3, None));

        // By default, a deliberate close is final, and so is a terminal close code.
        for (reopen, dials) in [(ReopenPolicy::AfterGivingUp, 1), (ReopenPolicy::Always, 2)] {
            let ends: [fn(&mut Sim); 2] = [|sim| sim.close(1000), |sim| sim.peer().close(4020)];
            for end in ends {
                let mut sim = Sim::new(LinkConfig::default().with_reopen(reopen));
                sim.to_connected();
                end(&mut sim);
                assert!(sim.state().is_closed());
                again(&mut sim);
                assert_eq!(sim.dials().len(), dials);
            }
        }
    }
}

#[test]
fn i17_connect_while_it_closes_comes_back_after_the_end() {
    let ends: [fn(&mut Sim); 3] =
        [|sim| sim.peer().close(1000), |sim| sim.peer().reset(), |sim| sim.advance(secs(2))];
    for again in [Sim::connect, Sim::retry_now] {
        for end in ends {
            let mut sim = closing(ReopenPolicy::Always);
            again(&mut sim);
            again(&mut sim);
            assert_eq!(sim.state(), State::Closing, "the close goes on");
            assert_eq!(sim.machine().link().may_connect(), Ok(()));
            end(&mut sim);
            assert!(is_connected(&sim));
            assert_eq!(sim.dials().len(), 2);
            let told = sim.take_events();
            let closed =
                told.iter().position(|event| matches!(event, Event::Closed { .. })).unwrap();
            let dial =
                told.iter().rposition(|event| matches!(event, Event::Dialing { .. })).unwrap();
            assert!(closed < dial, "the end is told, and then the new start");
        }
    }
}

#[test]
fn i17_connect_before_the_flush_is_remembered_too() {
    let mut sim = Sim::new(LinkConfig::default().with_reopen(ReopenPolicy::Always));
    sim.to_connected();
    sim.peer().reads(Some(0));
    sim.send("never read").unwrap();
    sim.close(1000);
    sim.connect();
    sim.advance(secs(7));
    assert!(is_connected(&sim));
}

#[test]
fn i17_the_last_word_counts_while_it_closes() {
    let mut sim = closing(ReopenPolicy::Always);
    sim.connect();
    sim.close(1000);
    sim.peer().close(1000);
    assert_eq!((sim.state(), sim.dials().len()), (State::Closed(ClosedReason::Requested), 1));
    sim.connect();
    assert!(is_connected(&sim), "and it can still be connected");
}

#[test]
fn i17_connect_while_it_closes_says_if_the_end_is_final() {
    for reopen in [ReopenPolicy::Never, ReopenPolicy::AfterGivingUp] {
        let mut sim = closing(reopen);
        assert_eq!(sim.machine().link().may_connect(), Err(ClosedReason::Requested));
        sim.connect();
        sim.retry_now();
        sim.peer().close(1000);
        assert_eq!((sim.state(), sim.dials().len()), (State::Closed(ClosedReason::Requested), 1));
        assert_eq!(sim.machine().link().may_connect(), Err(ClosedReason::Requested));
    }
}

#[test]
fn i17_a_retry_while_a_link_that_is_down_closes_is_remembered_and_dials_nothing() {
    for (reopen, comes_back) in [
        (ReopenPolicy::Always, true),
        (ReopenPolicy::AfterGivingUp, false),
        (ReopenPolicy::Never, false),
    ] {
        for again in [Sim::connect, Sim::retry_now] {
            let mut sim = Sim::new(LinkConfig::default().with_reopen(reopen));
            sim.to_waiting(3);
            sim.send("queued").unwrap();
            sim.close(1000);
            let (dials, failures) = (sim.dials().len(), sim.machine().link().attempts());
            again(&mut sim);
            assert_eq!(sim.dials().len(), dials, "{reopen:?}: the close goes on as it was");
            assert_eq!(
                sim.machine().link().attempts(),
                failures,
                "{reopen:?}: and nothing is forgiven"
            );
            sim.peer().on_dial(OnDial::Hold);
            sim.advance(secs(5));
            let told = sim.take_events();
            assert!(
                told.contains(&Event::Closed { reason: ClosedReason::Requested }),
                "{reopen:?}: {told:?}"
            );
            assert_eq!(!sim.state().is_closed(), comes_back, "{reopen:?}");
        }
    }
}

#[test]
fn i17_a_link_without_a_driver_never_comes_back() {
    let gives_up = |reopen| {
        let link = LinkConfig::default().with_reopen(reopen);
        link.with_budget(link.budget.with_max_attempts(Some(1)))
    };
    let befores: [fn(&mut Sim); 6] = [
        |_| {},
        |sim| sim.to_connected(),
        |sim| {
            sim.to_closing();
            sim.connect();
        },
        |sim| {
            sim.to_connected();
            sim.peer().reads(Some(0));
            sim.send("never read").unwrap();
            sim.close(1000);
            sim.retry_now();
        },
        |sim| {
            sim.to_connected();
            sim.close(1000);
        },
        |sim| {
            sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
            sim.connect();
        },
    ];
    for reopen in [ReopenPolicy::AfterGivingUp, ReopenPolicy::Always] {
        for before in befores {
            let mut sim = Sim::new(gives_up(reopen));
            before(&mut sim);
            sim.handle(SessionInput::DriverGone);
            let (end, dials) = (sim.state(), sim.dials().len());
            assert!(sim.state().is_closed(), "{end:?}");
            assert!(sim.machine().link().is_final() && sim.machine().link().may_connect().is_err());
            sim.connect();
            sim.retry_now();
            sim.advance(secs(60));
            assert_eq!((sim.state(), sim.dials().len()), (end, dials));
        }
    }
}

#[test]
fn i06_who_retries_at_every_failure_has_the_first_at_once_and_the_rest_by_the_rate() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
    sim.connect();
    for _ in 0..2_999 {
        sim.retry_now();
        sim.advance(millis(1));
    }
    let Rate { burst, .. } = LinkConfig::default().budget.rate;
    let dials = sim.dials();
    assert!(
        dials[..burst as usize].iter().all(|dial| dial.at - dials[0].at <= millis(10)),
        "{dials:?}"
    );
    assert_eq!(
        dials.len(),
        burst as usize + 1 + 2,
        "a burst, one of a person's own, then one a second"
    );
}

#[test]
fn i06_a_person_s_dial_is_at_once_after_any_automatic_ones() {
    let config = LinkConfig::default();
    let rate = Rate { burst: 1, refill: secs(100) };
    let mut sim = Sim::new(config.with_budget(config.budget.with_rate(rate)));
    sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
    sim.connect();
    sim.advance(secs(450));
    let dials = sim.dials().len();
    sim.retry_now();
    assert_eq!(sim.dials().len(), dials + 1, "although the bucket is empty");
    sim.retry_now();
    assert_eq!(sim.dials().len(), dials + 1, "one is borrowed, and no second");
    assert_eq!(sim.state(), State::Connecting(Phase::Waiting));
}

#[test]
fn i06_no_way_of_asking_makes_a_hot_loop() {
    type Way = (&'static str, fn(LinkConfig) -> LinkConfig, OnDial, fn(&mut Sim));
    let refuse = OnDial::Refuse(Failure::Refused);
    let flap = OnDial::Flap { after: Duration::ZERO, code: CloseCode::GOING_AWAY };
    let reopening = |config: LinkConfig| {
        config.with_reopen(ReopenPolicy::Always).with_first_failure(OnFirstFailure::Stop)
    };
    let ways: [Way; 9] = [
        ("retry now", |config| config, refuse, Sim::retry_now),
        ("retry now at a server that closes", |config| config, flap, Sim::retry_now),
        ("connect after each end", reopening, refuse, Sim::connect),
        ("retry now after each end", reopening, refuse, Sim::retry_now),
        (
            "close and connect",
            |config| config.with_reopen(ReopenPolicy::Always),
            OnDial::Accept,
            |sim| {
                sim.close(1000);
                sim.connect();
            },
        ),
        ("online", |config| config, refuse, |sim| sim.hint(Hint::Online)),
        (
            "offline and online",
            |config| config.with_when_offline(OnOffline::Disconnect),
            OnDial::Accept,
            |sim| {
                sim.mark_stable();
                sim.hint(Hint::Offline);
                sim.hint(Hint::Online);
            },
        ),
        (
            "vouch for each link",
            |config| config,
            OnDial::Accept,
            |sim| {
                sim.mark_stable();
                sim.peer().close(1001);
                sim.hint(Hint::Wake);
            },
        ),
        ("no proof of stability", |config| config.with_stable_after(Duration::ZERO), flap, |_| {}),
    ];
    for (name, config, answer, ask) in ways {
        let config = config(LinkConfig::default());
        let eager = config.backoff.with_floor(millis(1)).with_first(Some(Duration::ZERO));
        let mut sim = Sim::new(config.with_backoff(eager));
        sim.peer().on_dial(answer);
        sim.connect();
        for _ in 0..6_000 {
            ask(&mut sim);
            sim.advance(millis(10));
        }
        let dials = sim.dials().len();
        assert!((12..=10 + 1 + 60).contains(&dials), "{name}: {dials} dials in a minute");
    }
}

#[test]
fn i18_a_hint_ends_a_wait_but_not_below_the_floor() {
    let floor = LinkConfig::default().backoff.floor;
    for hint in [Hint::Online, Hint::Wake] {
        let mut sim = Sim::new(LinkConfig::default());
        sim.to_waiting(8);
        assert!(sim.wakes_in() >= Some(secs(10)));
        sim.peer().on_dial(OnDial::Hold);
        sim.hint(hint);
        assert_eq!(sim.wakes_in(), Some(floor));
        sim.hint(hint);
        assert_eq!(sim.wakes_in(), Some(floor), "two hints are no more than one");
        sim.advance(floor - millis(1));
        assert_eq!(sim.dials().len(), 8);
        sim.advance(millis(1));
        assert_eq!(sim.dials().len(), 9);

        // Later in a wait, the floor has passed already.
        sim.peer().refuse(Failure::Refused);
        sim.advance(secs(1));
        sim.hint(hint);
        assert_eq!(sim.dials().len(), 10);
    }
}

#[test]
fn i18_a_hint_does_not_pass_the_floor_of_a_close_code() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    sim.advance(secs(5));
    sim.peer().close(4010);
    sim.advance(secs(10));
    sim.hint(Hint::Online);
    sim.advance(millis(19_999));
    assert!(!is_connected(&sim), "4010 means 30 s");
    sim.advance(millis(1));
    assert!(is_connected(&sim), "and the hint means no more than that");
}

#[test]
fn i18_no_storm_of_hints_passes_the_rate_limit() {
    let config = LinkConfig::default();
    let rate = Rate { burst: 4, refill: secs(5) };
    let quick = config.backoff.with_floor(millis(1));
    let mut sim = Sim::new(config.with_backoff(quick).with_budget(config.budget.with_rate(rate)));
    sim.to_waiting(1);
    for _ in 0..590 {
        sim.advance(millis(100));
        sim.hint(Hint::Online);
    }
    assert_eq!(sim.dials().len(), 4 + 11, "four at once, then one each five seconds of the minute");
}

#[test]
fn i18_no_hint_passes_an_open_circuit_breaker() {
    let config = LinkConfig::default();
    let breaker = Breaker { failures: 3, window: secs(60), cooldown: Some(secs(120)) };
    let mut sim = Sim::new(config.with_budget(config.budget.with_breaker(Some(breaker))));
    sim.to_waiting(3);
    for _ in 0..119 {
        sim.advance(secs(1));
        sim.hint(Hint::Online);
    }
    assert_eq!(sim.dials().len(), 3);
    sim.advance(secs(1));
    assert_eq!(sim.dials().len(), 4, "the probe of the half-open breaker");
}

#[test]
fn i18_offline_is_a_reason_to_check_and_not_a_fact() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    sim.skip();
    sim.hint(Hint::Offline);
    sim.expect(["ping"]);
    sim.advance(secs(29));
    assert!(is_connected(&sim), "the system was wrong: the peer answers");

    sim.peer().silence();
    sim.hint(Hint::Offline);
    sim.advance(secs(2));
    assert!(!is_connected(&sim), "the system was right: known after two seconds");
}

#[test]
fn i18_offline_neither_ends_nor_stretches_a_wait() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_waiting(5);
    let deadline = sim.deadline();
    sim.hint(Hint::Offline);
    assert_eq!(sim.deadline(), deadline);
    sim.next_dial();
    assert_eq!((sim.dials().len(), Some(sim.now())), (6, deadline));
}

#[test]
fn i18_hints_leave_a_dial_alone() {
    for hint in [Hint::Online, Hint::Offline, Hint::Wake] {
        let mut sim = Sim::new(LinkConfig::default());
        sim.peer().on_dial(OnDial::Hold);
        sim.connect();
        let deadline = sim.deadline();
        let _ = sim.take_events();
        sim.hint(hint);
        assert_eq!((sim.deadline(), sim.dials().len()), (deadline, 1));
        assert_eq!(count(&sim.take_events(), |event| matches!(event, Event::State { .. })), 0);
        assert_eq!(sim.state(), State::Connecting(Phase::Dialing));
    }
}

/// A link whose close frame has gone out.
fn closing(reopen: ReopenPolicy) -> Sim {
    let mut sim = Sim::new(LinkConfig::default().with_reopen(reopen));
    sim.to_closing();
    sim
}

fn given_up(reopen: ReopenPolicy) -> Sim {
    let backoff =
        Backoff::default().with_curve(Curve::Fixed { delay: secs(1) }).with_jitter(Jitter::None);
    let config = LinkConfig::default().with_backoff(backoff).with_reopen(reopen);
    let mut sim = Sim::new(config.with_budget(config.budget.with_max_attempts(Some(3))));
    sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
    sim.connect();
    sim.advance(secs(60));
    assert_eq!(sim.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::Attempts)));
    sim
}
