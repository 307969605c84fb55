//! How much trying is allowed.

use relink::link::{OnFirstFailure, ReopenPolicy, Timer};
use relink::policy::{Breaker, Budget, BudgetConfig, GiveUpReason, Rate};
use relink::{ClosedReason, Event, LinkConfig};

use crate::support::{at, fail, link, millis, open, secs, stable};

#[test]
fn w20_dials_have_a_rate_limit_behind_all_delays() {
    let rate = Rate { burst: 3, refill: secs(10) };
    let mut budget = Budget::new(BudgetConfig::default().with_rate(rate));
    let mut dials = Vec::new();
    let mut now = at(secs(100));
    while dials.len() < 6 {
        now = budget.earliest_dial(now);
        budget.dialed(now);
        dials.push(now);
    }
    assert_eq!(dials, [100, 100, 100, 110, 120, 130].map(|second| at(secs(second))));
}

#[test]
fn w20_the_bucket_fills_up_to_its_burst_and_no_further() {
    let mut budget =
        Budget::new(BudgetConfig::default().with_rate(Rate { burst: 2, refill: secs(10) }));
    let long_after = at(secs(100_000));
    for _ in 0..2 {
        assert_eq!(budget.earliest_dial(long_after), long_after);
        budget.dialed(long_after);
    }
    assert_eq!(budget.earliest_dial(long_after), long_after + secs(10));
    assert_eq!(
        budget.earliest_dial(long_after + secs(4)),
        long_after + secs(10),
        "waiting does not reset it"
    );
    assert_eq!(budget.earliest_dial(long_after + secs(11)), long_after + secs(11));
}

#[test]
fn w20_a_person_s_own_dial_is_counted_and_the_first_is_not_held_up() {
    let rate = Rate { burst: 1, refill: secs(100) };
    let config = LinkConfig::default();
    let mut sim = link(config.with_budget(config.budget.with_rate(rate)));
    sim.connect();
    let wait = fail(&mut sim).unwrap();
    assert_eq!(wait, secs(100), "the bucket is empty");
    sim.retry_now();
    assert_eq!(sim.dials().len(), 2, "a person does not wait for the bucket");
    assert_eq!(fail(&mut sim).unwrap(), secs(200), "but borrows from it");
    sim.retry_now();
    sim.advance(secs(100) - millis(1));
    assert_eq!(sim.dials().len(), 2, "until that is paid back, not even a person borrows more");
    sim.advance(millis(1));
    assert_eq!(sim.dials().len(), 3);
}

#[test]
fn w18_many_failures_in_a_short_time_open_the_breaker() {
    let breaker = Breaker { failures: 3, window: secs(10), cooldown: None };
    let config = BudgetConfig::default().with_breaker(Some(breaker));
    let mut spread = Budget::new(config);
    for second in [0, 6, 12, 18, 24] {
        spread.failed(at(secs(second)));
        assert_eq!(spread.exhausted(at(secs(second))), None, "never three within ten seconds");
    }
    spread.failed(at(secs(26)));
    assert_eq!(
        spread.exhausted(at(secs(26))),
        Some(GiveUpReason::CircuitOpen),
        "at 18, 24 and 26 s"
    );
    spread.reset_failures();
    assert_eq!(spread.exhausted(at(secs(26))), None, "a stable link or a person closes it");
}

#[test]
fn w18_an_open_breaker_stops_the_link_until_the_user_acts() {
    let breaker = Breaker { failures: 3, window: secs(60), cooldown: None };
    let config = LinkConfig::default();
    let mut sim = link(config.with_budget(config.budget.with_breaker(Some(breaker))));
    sim.connect();
    sim.fail(2);
    assert_eq!(fail(&mut sim), None);
    assert_eq!(sim.end(), Some(ClosedReason::GaveUp(GiveUpReason::CircuitOpen)));
    assert_eq!(sim.machine().link().poll_timeout(), None);
    sim.retry_now();
    assert_eq!(sim.dials().len(), 4, "the user acted");
    assert!(fail(&mut sim).is_some(), "and the breaker is closed again");
}

#[test]
fn w18_a_breaker_with_a_cooldown_lets_one_probe_through_at_a_time() {
    let breaker = Breaker { failures: 2, window: secs(60), cooldown: Some(secs(120)) };
    let config = LinkConfig::default();
    let mut sim = link(config.with_budget(config.budget.with_breaker(Some(breaker))));
    sim.connect();
    let waits = sim.fail(4);
    assert!(waits[0] < secs(2), "closed");
    assert_eq!(waits[1..], [secs(120); 3], "open: one probe per cooldown");
    open(&mut sim);
    sim.mark_stable();
    assert!(fail(&mut sim).unwrap() <= secs(1), "a good link closes it");
}

#[test]
fn m11_attempts_are_unlimited_by_default_and_end_visibly_where_they_are_not() {
    assert_eq!(BudgetConfig::default().max_attempts, None);
    let config = LinkConfig::default();
    let mut sim = stable(config.with_budget(config.budget.with_max_attempts(Some(100))));
    sim.fail(100);
    assert_eq!(sim.attempts(), 99, "the loss of a stable link is no failed attempt");
    assert_eq!(fail(&mut sim), None);
    let end = sim.end().expect("gave up");
    assert_eq!(
        (end, end.name()),
        (ClosedReason::GaveUp(GiveUpReason::Attempts), "attempts_exhausted")
    );
}

#[test]
fn d06_so_many_unsuccessful_attempts_and_no_further_one() {
    let config = LinkConfig::default();
    let mut sim = link(config.with_budget(config.budget.with_max_attempts(Some(5))));
    sim.connect();
    sim.fail(4);
    assert_eq!(fail(&mut sim), None);
    assert_eq!(sim.dials().len(), 5);
    assert_eq!(
        sim.machine().link().poll_timeout(),
        None,
        "no deadline is left that could dial again"
    );
}

#[test]
fn s02_five_attempts_then_stop_and_tell() {
    let config = LinkConfig::default();
    let mut sim = stable(config.with_budget(config.budget.with_max_attempts(Some(5))));
    sim.fail(5);
    assert_eq!(fail(&mut sim), None);
    assert_eq!(sim.dials().len(), 1 + 5, "the first connection, and five attempts to come back");
    let told = sim.events().iter().filter(|event| matches!(event, Event::Closed { .. })).count();
    assert_eq!(told, 1);
}

#[test]
fn s03_the_counter_starts_again_after_a_success() {
    let config = LinkConfig::default();
    let mut sim = stable(config.with_budget(config.budget.with_max_attempts(Some(5))));
    for _ in 0..4 {
        sim.fail(4);
        open(&mut sim);
        sim.advance(config.stable_after);
        assert_eq!(sim.attempts(), 0);
    }
}

#[test]
fn i05_opening_alone_does_not_start_the_counter_again() {
    let config = LinkConfig::default();
    let mut sim = link(config.with_budget(config.budget.with_max_attempts(Some(5))));
    sim.connect();
    for attempt in 1..=4 {
        open(&mut sim);
        sim.advance(config.stable_after - millis(1));
        assert!(fail(&mut sim).is_some(), "attempt {attempt}");
        sim.next_attempt();
    }
    open(&mut sim);
    assert_eq!(fail(&mut sim), None, "five links that were never stable");
    assert_eq!(sim.end(), Some(ClosedReason::GaveUp(GiveUpReason::Attempts)));
}

#[test]
fn elapsed_time_counts_from_the_loss_and_has_a_deadline_of_its_own() {
    let config = LinkConfig::default();
    let mut sim = stable(config.with_budget(config.budget.with_max_elapsed(Some(secs(30)))));
    let lost_at = sim.now() + secs(1_000);
    sim.set_clock(lost_at);
    fail(&mut sim);
    while sim.end().is_none() {
        if sim.machine().link().next_timer() == Some(Timer::Elapsed) {
            assert_eq!(sim.machine().link().poll_timeout(), Some(lost_at + secs(30)));
        }
        sim.due();
    }
    assert_eq!(sim.end(), Some(ClosedReason::GaveUp(GiveUpReason::Elapsed)));
    assert_eq!(sim.now(), lost_at + secs(30));
}

#[test]
fn elapsed_time_ends_with_a_usable_link() {
    let mut budget = Budget::new(BudgetConfig::default().with_max_elapsed(Some(secs(30))));
    budget.down(at(secs(10)));
    budget.down(at(secs(20)));
    assert_eq!(budget.deadline(), Some(at(secs(40))), "from the first word of it");
    assert_eq!(budget.exhausted(at(secs(40) - millis(1))), None);
    assert_eq!(budget.exhausted(at(secs(40))), Some(GiveUpReason::Elapsed));
    budget.up();
    assert_eq!((budget.deadline(), budget.exhausted(at(secs(400)))), (None, None));
}

#[test]
fn elapsed_time_starts_anew_with_each_loss() {
    let config = LinkConfig::default();
    let mut sim = stable(config.with_budget(config.budget.with_max_elapsed(Some(secs(30)))));
    sim.fail(4);
    open(&mut sim);
    sim.sleep(millis(100));
    let lost_at = sim.now();
    fail(&mut sim);
    while sim.end().is_none() {
        sim.due();
    }
    assert_eq!(
        sim.now(),
        lost_at + secs(30),
        "a link that was usable, if not yet stable, was not down"
    );
}

#[test]
fn i30_a_failed_first_attempt_is_like_any_other_or_the_end() {
    let config = LinkConfig::default();
    let mut retried = link(config);
    retried.connect();
    assert!(fail(&mut retried).is_some());

    let mut stopped = link(config.with_first_failure(OnFirstFailure::Stop));
    stopped.connect();
    assert_eq!(fail(&mut stopped), None);
    assert_eq!(stopped.end(), Some(ClosedReason::GaveUp(GiveUpReason::FirstAttempt)));

    let mut later = stable(config.with_first_failure(OnFirstFailure::Stop));
    assert!(fail(&mut later).is_some(), "a link that was up is brought back");
}

#[test]
fn i17_connect_works_again_after_giving_up_where_the_configuration_allows_it() {
    let dials_after_end = |reopen, give_up: bool| {
        let config =
            LinkConfig::default().with_reopen(reopen).with_first_failure(OnFirstFailure::Stop);
        let mut sim = link(config);
        sim.connect();
        if give_up {
            fail(&mut sim);
        } else {
            sim.close(1000);
        }
        sim.connect();
        sim.dials().len() - 1
    };
    assert_eq!(
        (
            dials_after_end(ReopenPolicy::AfterGivingUp, true),
            dials_after_end(ReopenPolicy::AfterGivingUp, false)
        ),
        (1, 0)
    );
    assert_eq!(
        (dials_after_end(ReopenPolicy::Never, true), dials_after_end(ReopenPolicy::Never, false)),
        (0, 0)
    );
    assert_eq!(
        (dials_after_end(ReopenPolicy::Always, true), dials_after_end(ReopenPolicy::Always, false)),
        (1, 1)
    );
}

#[test]
fn every_way_to_give_up_has_a_name_and_advice() {
    let all = [
        GiveUpReason::Attempts,
        GiveUpReason::Elapsed,
        GiveUpReason::CircuitOpen,
        GiveUpReason::TokenRefused,
        GiveUpReason::FirstAttempt,
    ];
    let names = all.map(GiveUpReason::name);
    assert_eq!(
        names,
        [
            "attempts_exhausted",
            "time_exhausted",
            "circuit_open",
            "token_refused",
            "first_attempt_failed"
        ]
    );
    assert!(all.iter().all(|budget| budget.advice().ends_with('.')));
}
