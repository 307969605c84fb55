//! Invalid configuration is refused by the name of the field. Here are the rules that no single
//! bound describes; the bounds are tested, field by field, by
//! `relink-server/tests/configuration.rs`.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use relink::policy::{Breaker, BudgetConfig, Curve, HeartbeatConfig, Jitter, Rate};
use relink::session::{OutboxConfig, SubscriptionsConfig};
use relink::{
    Backoff, CloseCode, ConfigError, Guarantee, Link, LinkConfig, Plain, Session, SessionConfig,
};

use crate::config_server;
use crate::support::{dice, millis, secs};

pub(crate) const ZERO: Duration = Duration::ZERO;
pub(crate) const TOO_LONG: Duration = secs(366 * 24 * 3600);

#[test]
fn every_mistake_names_its_field_its_value_and_what_is_allowed() {
    for (error, message) in mistakes() {
        assert_eq!(error.to_string(), message);
        assert!(message.starts_with(&format!("{} is ", error.field())), "{message}");
    }
}

#[test]
fn every_check_in_the_code_has_a_mistake_above() {
    let tested: BTreeSet<_> =
        mistakes().iter().map(|(error, _)| error.field().to_string()).collect();
    // Checked when a table or a policy is edited: see their tests.
    let elsewhere = [
        "backoff.curve.table (number of delays)",
        "backoff.curve.table (a delay)",
        // Checked when a protocol gets the limits of its driver.
        "limits.max_message",
        // Not configuration: an argument of `subscribe` and `send`.
        "the length of the channel's name in bytes",
    ];
    let mut checks = 0;
    for file in sources() {
        let text: String =
            fs::read_to_string(file).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        for check in ["within(", "mistake("] {
            for call in text.split(check).skip(1).map(str::trim_start) {
                let Some(field) = call.strip_prefix('"').and_then(|call| call.split('"').next())
                else {
                    continue;
                };
                assert!(
                    tested.contains(field) || elsewhere.contains(&field),
                    "no test makes a mistake in {field}"
                );
                checks += 1;
            }
        }
    }
    assert!(checks > 20, "only {checks} checks were found in the code");
}

#[test]
fn a_link_and_a_session_refuse_what_validation_refuses() {
    let bad = LinkConfig::default().with_connect_timeout(ZERO);
    assert_eq!(Link::new(bad, 1, dice(0)).unwrap_err(), bad.validate().unwrap_err());
    let message = |addresses: usize| {
        let addresses = vec!["ws://peer".into(); addresses];
        Session::new(SessionConfig::default(), addresses, Plain::default(), dice(0))
            .map(drop)
            .map_err(|e| e.to_string())
    };
    assert_eq!(message(0).unwrap_err(), "endpoints is 0, but it must be at least 1");
    assert_eq!(
        message(256).unwrap_err(),
        "endpoints is more than 255, but it must be 1 to 255 addresses"
    );
    assert_eq!((message(1), message(255)), (Ok(()), Ok(())));
}

#[test]
fn the_edges_of_what_is_allowed_are_allowed() {
    let year = secs(365 * 24 * 3600);
    let tight = Backoff::default().with_floor(millis(1)).with_cap(millis(1)).with_first(Some(ZERO));
    let wide = Backoff::default().with_cap(year).with_curve_cap(Some(year)).with_first(Some(year));
    let spread = Backoff::default().with_jitter(Jitter::Spread { pct: 100 });
    let additive = Backoff::default().with_jitter(Jitter::Additive { pct: 1_000 });
    let still =
        Backoff::default().with_curve(Curve::Exponential { initial: millis(1), factor_pct: 100 });
    for backoff in [tight, wide, spread, additive, still] {
        assert_eq!(backoff.validate(), Ok(()), "{backoff:?}");
    }
    let breaker = Breaker { failures: 16, window: year, cooldown: Some(millis(100)) };
    let budget = BudgetConfig::default().with_breaker(Some(breaker)).with_max_attempts(Some(1));
    assert_eq!(budget.with_rate(Rate { burst: 1_000, refill: millis(1) }).validate(), Ok(()));
    let outbox = OutboxConfig::default().with_max_messages(usize::MAX).with_max_bytes(1);
    assert_eq!(outbox.validate(), Ok(()));
    assert_eq!(LinkConfig::default().with_stable_after(ZERO).validate(), Ok(()));
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The sources of the core.
fn sources() -> Vec<PathBuf> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the crate's own source") {
            let path = entry.expect("readable").path();
            if path.is_dir() { collect(&path, files) } else { files.push(path) }
        }
    }
    let mut files = Vec::new();
    collect(&src(), &mut files);
    files
}

/// One mistake for each end of each check.
fn mistakes() -> Vec<(ConfigError, &'static str)> {
    let link = LinkConfig::default();
    let mut all = Vec::new();
    let mut link_mistake =
        |config: LinkConfig, message| all.push((config.validate().expect_err(message), message));

    let backoff = Backoff::default();
    let mut wrong = |backoff, message| link_mistake(link.with_backoff(backoff), message);
    wrong(backoff.with_cap(millis(249)), "backoff.cap is 249ms, but it must be at least 250ms");
    wrong(
        backoff.with_curve_cap(Some(millis(249))),
        "backoff.curve_cap is 249ms, but it must be at least 250ms",
    );
    wrong(
        backoff.with_curve_cap(Some(secs(21))),
        "backoff.curve_cap is 21s, but it must be at most 20s",
    );
    let curve = |curve| backoff.with_curve(curve);
    let fixed = Curve::Fixed { delay: TOO_LONG };
    wrong(curve(fixed), "backoff.curve.fixed.delay is 366d, but it must be at most 365d");
    let linear = |initial, step| curve(Curve::Linear { initial, step });
    wrong(
        linear(TOO_LONG, ZERO),
        "backoff.curve.linear.initial is 366d, but it must be at most 365d",
    );
    wrong(linear(ZERO, TOO_LONG), "backoff.curve.linear.step is 366d, but it must be at most 365d");
    let exponential = |initial, factor_pct| curve(Curve::Exponential { initial, factor_pct });
    wrong(
        exponential(ZERO, 200),
        "backoff.curve.exponential.initial is 0s, but it must be at least 1ms",
    );
    wrong(
        exponential(secs(1), 99),
        "backoff.curve.exponential.factor_pct is 99, but it must be at least 100",
    );
    wrong(
        exponential(secs(1), 10_001),
        "backoff.curve.exponential.factor_pct is 10001, but it must be at most 10000",
    );
    let decorrelated = |initial, factor_pct| curve(Curve::Decorrelated { initial, factor_pct });
    wrong(
        decorrelated(ZERO, 300),
        "backoff.curve.decorrelated.initial is 0s, but it must be at least 1ms",
    );
    wrong(
        decorrelated(secs(1), 99),
        "backoff.curve.decorrelated.factor_pct is 99, but it must be at least 100",
    );
    let twice =
        "backoff.jitter is set, but it must be none: a decorrelated curve is its own jitter";
    wrong(decorrelated(secs(1), 300), twice);
    let spread = backoff.with_jitter(Jitter::Spread { pct: 101 });
    wrong(spread, "backoff.jitter.spread.pct is 101, but it must be at most 100");
    let additive = backoff.with_jitter(Jitter::Additive { pct: 1_001 });
    wrong(additive, "backoff.jitter.additive.pct is 1001, but it must be at most 1000");

    let heartbeat = HeartbeatConfig::default();
    let mut wrong = |heartbeat, message| link_mistake(link.with_heartbeat(heartbeat), message);
    let reserved = heartbeat.with_close_code(CloseCode::ABNORMAL);
    wrong(
        reserved,
        "heartbeat.close_code is reserved, 1000 or 1001, but it must be a code that may be sent and ends no session, as 4000",
    );

    let budget = BudgetConfig::default();
    let mut wrong = |budget, message| link_mistake(link.with_budget(budget), message);
    let rate = |burst, refill| budget.with_rate(Rate { burst, refill });
    wrong(rate(0, secs(1)), "budget.rate.burst is 0, but it must be at least 1");
    wrong(rate(1_001, secs(1)), "budget.rate.burst is 1001, but it must be at most 1000");
    wrong(rate(1, ZERO), "budget.rate.refill is 0s, but it must be at least 1ms");
    let breaker = |failures, window, cooldown| {
        budget.with_breaker(Some(Breaker { failures, window, cooldown }))
    };
    wrong(breaker(0, secs(1), None), "budget.breaker.failures is 0, but it must be at least 1");
    wrong(breaker(17, secs(1), None), "budget.breaker.failures is 17, but it must be at most 16");
    wrong(breaker(1, ZERO, None), "budget.breaker.window is 0s, but it must be at least 1ms");
    let often = breaker(1, secs(1), Some(millis(99)));
    wrong(often, "budget.breaker.cooldown is 99ms, but it must be at least 100ms");

    link_mistake(
        link.with_retry_after(link.retry_after.with_max(millis(249))),
        "retry_after.max is 249ms, but it must be at least 250ms",
    );

    let outbox = OutboxConfig::default();
    let mut wrong = |outbox, message| {
        let config = SessionConfig::default().with_outbox(outbox);
        all.push((config.validate().expect_err(message), message));
    };
    let pace = |burst, refill| outbox.with_pace(Some(Rate { burst, refill }));
    wrong(pace(0, secs(1)), "outbox.pace.burst is 0, but it must be at least 1");
    wrong(pace(1, ZERO), "outbox.pace.refill is 0s, but it must be at least 1ms");

    let config =
        SessionConfig::default().with_outbox(outbox.with_guarantee(Guarantee::AtLeastOnce));
    let no_acknowledgements = "outbox.guarantee is at-least-once, but it must be at-most-once: this protocol has no acknowledgements";
    let session = Session::new(config, vec!["ws://peer".into()], Plain::default(), dice(0));
    all.push((session.map(drop).expect_err(no_acknowledgements), no_acknowledgements));

    let mut wrong = |retry, message| {
        let subscriptions = SubscriptionsConfig::default().with_retry(retry);
        let config = SessionConfig::default().with_subscriptions(subscriptions);
        all.push((config.validate().expect_err(message), message));
    };
    let floor = "subscriptions.retry.floor is 0s, but it must be at least 1ms";
    wrong(backoff.with_floor(ZERO), floor);
    let delay = "subscriptions.retry.curve.fixed.delay is 366d, but it must be at most 365d";
    wrong(curve(fixed), delay);

    let no_endpoint = "endpoints is 0, but it must be at least 1";
    all.push((Link::new(link, 0, dice(0)).expect_err(no_endpoint), no_endpoint));
    all.extend(config_server::mistakes());
    all
}
