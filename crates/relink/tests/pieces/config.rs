//! What cannot work is refused by name, and the documented defaults are the defaults.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use relink::link::{
    Handshake, OnDead, OnFirstFailure, OnOffline, ReopenPolicy, RetryAfter, StatusViewConfig,
};
use relink::policy::{
    Breaker, BudgetConfig, CredentialsConfig, Curve, HeartbeatConfig, Jitter, Rate,
};
use relink::session::{OfflineSend, OutboxConfig, Overflow, SubscriptionsConfig};
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
    let tested: BTreeSet<_> = mistakes().iter().map(|(error, _)| error.field()).collect();
    // Checked where a table or a policy is edited: see the tests of those.
    let elsewhere = [
        "backoff.curve.table (number of delays)",
        "backoff.curve.table (a delay)",
        // Checked where a protocol is told what its driver reads.
        "limits.max_message",
        // No configuration: what an application hands in to be sent.
        "the length of the channel's name in bytes",
    ];
    let mut checks = 0;
    for file in sources() {
        let text: String =
            fs::read_to_string(file).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        for check in ["within(", "positive(", "positive_or_off(", "mistake("] {
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
    assert!(checks > 40, "only {checks} checks were found in the code");
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

/// Each row of a documented table of defaults, and whether that is what the code has.
#[test]
fn the_documented_defaults_are_the_defaults() {
    let backoff = Backoff::default();
    let doubled = Curve::Exponential { initial: millis(1_500), factor_pct: 200 };
    documented(
        "policy/backoff.rs",
        "Backoff",
        &[
            ("`curve`", "exponential from 1.5 s, doubled each time", backoff.curve == doubled),
            (
                "`jitter`",
                "equal: the upper half of the delay is drawn",
                backoff.jitter == Jitter::Equal,
            ),
            ("`floor`", "250 ms", backoff.floor == millis(250)),
            ("`cap`", "20 s", backoff.cap == secs(20)),
            ("`curve_cap`", "as `cap`", backoff.curve_cap.is_none()),
            ("`first`", "within 1 s", backoff.first == Some(secs(1))),
        ],
    );
    let heartbeat = HeartbeatConfig::default();
    documented(
        "policy/heartbeat.rs",
        "HeartbeatConfig",
        &[
            ("`interval`", "30 s", heartbeat.interval == Some(secs(30))),
            ("`timeout`", "10 s", heartbeat.timeout == secs(10)),
            ("`missed`", "1", heartbeat.missed == 1),
            ("`watchdog`", "off", heartbeat.watchdog.is_none()),
            ("`message_timeout`", "off", heartbeat.message_timeout.is_none()),
            ("`probe`", "2 s", heartbeat.probe == secs(2)),
            ("`close_code`", "4000", heartbeat.close_code == CloseCode(4000)),
        ],
    );
    let credentials = CredentialsConfig::default();
    documented(
        "policy/credentials.rs",
        "CredentialsConfig",
        &[
            ("`fetch`", "false", !credentials.fetch),
            ("`address`", "false", !credentials.address),
            ("`timeout`", "10 s", credentials.timeout == secs(10)),
            ("`refresh_ahead`", "1 min", credentials.refresh_ahead == Some(secs(60))),
            ("`refresh_spread_pct`", "20", credentials.refresh_spread_pct == 20),
            ("`report_after`", "3", credentials.report_after == 3),
            ("`max_refusals`", "10", credentials.max_refusals == Some(10)),
        ],
    );
    let budget = BudgetConfig::default();
    documented(
        "policy/budget.rs",
        "BudgetConfig",
        &[
            ("`max_attempts`", "unlimited", budget.max_attempts.is_none()),
            ("`max_elapsed`", "unlimited", budget.max_elapsed.is_none()),
            (
                "`rate`",
                "10 at once, then one a second",
                budget.rate == Rate { burst: 10, refill: secs(1) },
            ),
            ("`breaker`", "none", budget.breaker.is_none()),
        ],
    );
    let surface = StatusViewConfig::default();
    documented(
        "link/status_view.rs",
        "StatusViewConfig",
        &[
            ("`grace`", "off", surface.grace.is_none()),
            ("`banner_after`", "1 s", surface.banner_after == Some(secs(1))),
            ("`stuck_after`", "30 s", surface.stuck_after == Some(secs(30))),
        ],
    );
    let outbox = OutboxConfig::default();
    documented(
        "session/outbox.rs",
        "OutboxConfig",
        &[
            ("`max_messages`", "1,024", outbox.max_messages == 1_024),
            ("`max_bytes`", "16 MiB", outbox.max_bytes == 16 * 1_024 * 1_024),
            ("`overflow`", "refuse", outbox.overflow == Overflow::Refuse),
            ("`ttl`", "off", outbox.ttl.is_none()),
            ("`while_down`", "queue", outbox.while_down == OfflineSend::Queue),
            ("`guarantee`", "at most once", outbox.guarantee == Guarantee::AtMostOnce),
            ("`in_flight`", "256", outbox.in_flight == 256),
            ("`pace`", "off", outbox.pace.is_none()),
            ("`max_message`", "off", outbox.max_message.is_none()),
        ],
    );
    let subscriptions = SubscriptionsConfig::default();
    documented(
        "session/subscriptions.rs",
        "SubscriptionsConfig",
        &[
            ("`resubscribe`", "true", subscriptions.resubscribe),
            ("`answer_timeout`", "10 s", subscriptions.answer_timeout == secs(10)),
            (
                "`retry`",
                "from 1.5 s, doubled up to 20 s, as a link's",
                subscriptions.retry == Backoff::default(),
            ),
        ],
    );
}

#[test]
fn the_documented_defaults_of_a_link_are_the_defaults() {
    let link = LinkConfig::default();
    let own = link.backoff == Backoff::default()
        && link.heartbeat == HeartbeatConfig::default()
        && link.credentials == CredentialsConfig::default()
        && link.budget == BudgetConfig::default()
        && link.surface == StatusViewConfig::default()
        && link.close_policy == relink::ClosePolicy::default();
    let no_steps = Handshake::default();
    documented(
        "link/config.rs",
        "LinkConfig",
        &[
            (
                "`backoff`, `close_policy`, `heartbeat`, `credentials`, `budget`, `surface`",
                "their own",
                own,
            ),
            ("`handshake`", "no steps", link.handshake == no_steps),
            ("`connect_timeout`", "10 s", link.connect_timeout == secs(10)),
            ("`attempt_timeout`", "off", link.attempt_timeout.is_none()),
            ("`stable_after`", "5 s", link.stable_after == secs(5)),
            ("`flush_timeout`", "5 s", link.flush_timeout == secs(5)),
            ("`close_timeout`", "2 s", link.close_timeout == secs(2)),
            ("`retry_after`", "honoured, up to 5 min", link.retry_after == RetryAfter::default()),
            ("`first_failure`", "retry", link.first_failure == OnFirstFailure::Retry),
            ("`reopen`", "after giving up", link.reopen == ReopenPolicy::AfterGivingUp),
            ("`when_dead`", "retry", link.when_dead == OnDead::Retry),
            ("`when_offline`", "check", link.when_offline == OnOffline::Check),
            ("`max_redirects`", "5", link.max_redirects == 5),
        ],
    );
    let off = no_steps.welcome.or(no_steps.challenge).or(no_steps.authentication).is_none();
    documented(
        "link/config.rs",
        "Handshake",
        &[
            ("`welcome`, `challenge`, `authentication`", "off", off),
            ("`login`", "false", !no_steps.login),
            ("`login_timeout`", "off", no_steps.login_timeout.is_none()),
        ],
    );
    documented(
        "link/config.rs",
        "RetryAfter",
        &[
            ("`honour`", "true", link.retry_after.honour),
            ("`max`", "5 min", link.retry_after.max == secs(300)),
            ("`spread_pct`", "20", link.retry_after.spread_pct == 20),
        ],
    );
    let session = SessionConfig::default();
    let own = session.link == link
        && session.outbox == OutboxConfig::default()
        && session.subscriptions == SubscriptionsConfig::default();
    documented(
        "session/mod.rs",
        "SessionConfig",
        &[("`link`, `outbox`, `subscriptions`", "their own", own)],
    );
}

/// The table in the documentation of this struct has just these rows, and each of them is true.
pub(crate) fn documented(file: &str, name: &str, rows: &[(&str, &str, bool)]) {
    let text = fs::read_to_string(src().join(file)).expect("the crate's own source");
    let (before, _) = text.split_once(&format!("pub struct {name} {{")).expect("the struct");
    let docs: Vec<&str> = before
        .lines()
        .rev()
        .skip(1)
        .map(str::trim)
        .take_while(|line| line.starts_with("///"))
        .collect();
    let table: Vec<&str> =
        docs.iter().rev().filter_map(|line| line.strip_prefix("/// | `")).collect();
    let expected: Vec<String> =
        rows.iter().map(|(field, default, _)| format!("{} | {default} |", &field[1..])).collect();
    assert_eq!(table, expected, "the documented defaults of {name}");
    for (field, default, holds) in rows {
        assert!(holds, "{name}: {field} is documented as {default}");
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The sources of everything that is configured here.
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
    wrong(backoff.with_floor(ZERO), "backoff.floor is 0s, but it must be at least 1ms");
    wrong(backoff.with_floor(TOO_LONG), "backoff.floor is 366d, but it must be at most 365d");
    wrong(backoff.with_cap(millis(249)), "backoff.cap is 249ms, but it must be at least 250ms");
    wrong(backoff.with_cap(TOO_LONG), "backoff.cap is 366d, but it must be at most 365d");
    wrong(
        backoff.with_curve_cap(Some(ZERO)),
        "backoff.curve_cap is 0s, but it must be at least 250ms",
    );
    wrong(
        backoff.with_curve_cap(Some(secs(21))),
        "backoff.curve_cap is 21s, but it must be at most 20s",
    );
    wrong(backoff.with_first(Some(TOO_LONG)), "backoff.first is 366d, but it must be at most 365d");
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
    wrong(
        heartbeat.with_interval(Some(ZERO)),
        "heartbeat.interval is 0s, but it must be at least 1ms",
    );
    wrong(
        heartbeat.with_interval(Some(TOO_LONG)),
        "heartbeat.interval is 366d, but it must be at most 365d",
    );
    wrong(heartbeat.with_timeout(ZERO), "heartbeat.timeout is 0s, but it must be at least 1ms");
    wrong(heartbeat.with_missed(0), "heartbeat.missed is 0, but it must be at least 1");
    wrong(heartbeat.with_missed(1_001), "heartbeat.missed is 1001, but it must be at most 1000");
    wrong(
        heartbeat.with_watchdog(Some(ZERO)),
        "heartbeat.watchdog is 0s, but it must be at least 1ms",
    );
    let slow = heartbeat.with_message_timeout(Some(ZERO));
    wrong(slow, "heartbeat.message_timeout is 0s, but it must be at least 1ms");
    wrong(heartbeat.with_probe(ZERO), "heartbeat.probe is 0s, but it must be at least 100ms");
    let reserved = heartbeat.with_close_code(CloseCode::ABNORMAL);
    wrong(
        reserved,
        "heartbeat.close_code is reserved, 1000 or 1001, but it must be a code that may be sent and ends no session, as 4000",
    );

    let credentials = CredentialsConfig::default();
    let mut wrong =
        |credentials, message| link_mistake(link.with_credentials(credentials), message);
    wrong(credentials.with_timeout(ZERO), "credentials.timeout is 0s, but it must be at least 1ms");
    let ahead = credentials.with_refresh_ahead(Some(ZERO));
    wrong(ahead, "credentials.refresh_ahead is 0s, but it must be at least 1ms");
    let spread = credentials.with_refresh_spread_pct(101);
    wrong(spread, "credentials.refresh_spread_pct is 101, but it must be at most 100");
    wrong(
        credentials.with_report_after(0),
        "credentials.report_after is 0, but it must be at least 1",
    );
    wrong(
        credentials.with_max_refusals(Some(0)),
        "credentials.max_refusals is 0, but it must be at least 1",
    );

    let budget = BudgetConfig::default();
    let mut wrong = |budget, message| link_mistake(link.with_budget(budget), message);
    wrong(budget.with_max_attempts(Some(0)), "budget.max_attempts is 0, but it must be at least 1");
    wrong(
        budget.with_max_elapsed(Some(ZERO)),
        "budget.max_elapsed is 0s, but it must be at least 1ms",
    );
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

    let surface = StatusViewConfig::default();
    let mut wrong = |surface, message| link_mistake(link.with_surface(surface), message);
    wrong(surface.with_grace(Some(ZERO)), "surface.grace is 0s, but it must be at least 1ms");
    wrong(
        surface.with_banner_after(Some(ZERO)),
        "surface.banner_after is 0s, but it must be at least 1ms",
    );
    wrong(
        surface.with_stuck_after(Some(ZERO)),
        "surface.stuck_after is 0s, but it must be at least 1ms",
    );

    let steps = Handshake::default();
    let mut wrong = |handshake, message| link_mistake(link.with_handshake(handshake), message);
    wrong(steps.with_welcome(Some(ZERO)), "handshake.welcome is 0s, but it must be at least 1ms");
    wrong(
        steps.with_challenge(Some(ZERO)),
        "handshake.challenge is 0s, but it must be at least 1ms",
    );
    wrong(
        steps.with_login_timeout(Some(ZERO)),
        "handshake.login_timeout is 0s, but it must be at least 1ms",
    );
    wrong(
        steps.with_authentication(Some(ZERO)),
        "handshake.authentication is 0s, but it must be at least 1ms",
    );

    link_mistake(
        link.with_connect_timeout(ZERO),
        "connect_timeout is 0s, but it must be at least 1ms",
    );
    let attempt = link.with_attempt_timeout(Some(ZERO));
    link_mistake(attempt, "attempt_timeout is 0s, but it must be at least 1ms");
    link_mistake(
        link.with_stable_after(TOO_LONG),
        "stable_after is 366d, but it must be at most 365d",
    );
    link_mistake(link.with_flush_timeout(ZERO), "flush_timeout is 0s, but it must be at least 1ms");
    link_mistake(link.with_close_timeout(ZERO), "close_timeout is 0s, but it must be at least 1ms");
    let mut wrong =
        |retry_after, message| link_mistake(link.with_retry_after(retry_after), message);
    wrong(link.retry_after.with_max(ZERO), "retry_after.max is 0s, but it must be at least 250ms");
    wrong(
        link.retry_after.with_spread_pct(1_001),
        "retry_after.spread_pct is 1001, but it must be at most 1000",
    );

    let outbox = OutboxConfig::default();
    let mut wrong = |outbox, message| {
        let config = SessionConfig::default().with_outbox(outbox);
        all.push((config.validate().expect_err(message), message));
    };
    wrong(outbox.with_max_messages(0), "outbox.max_messages is 0, but it must be at least 1");
    wrong(outbox.with_max_bytes(0), "outbox.max_bytes is 0, but it must be at least 1");
    wrong(outbox.with_ttl(Some(ZERO)), "outbox.ttl is 0s, but it must be at least 1ms");
    wrong(outbox.with_in_flight(0), "outbox.in_flight is 0, but it must be at least 1");
    let pace = |burst, refill| outbox.with_pace(Some(Rate { burst, refill }));
    wrong(pace(0, secs(1)), "outbox.pace.burst is 0, but it must be at least 1");
    wrong(outbox.with_max_message(Some(0)), "outbox.max_message is 0, but it must be at least 1");
    wrong(pace(1, ZERO), "outbox.pace.refill is 0s, but it must be at least 1ms");

    let subscriptions = SubscriptionsConfig::default();
    let mut wrong = |subscriptions, message| {
        let config = SessionConfig::default().with_subscriptions(subscriptions);
        all.push((config.validate().expect_err(message), message));
    };
    let answer = subscriptions.with_answer_timeout(ZERO);
    wrong(answer, "subscriptions.answer_timeout is 0s, but it must be at least 1ms");
    let retry = subscriptions.with_retry(Backoff::default().with_floor(ZERO));
    wrong(retry, "backoff.floor is 0s, but it must be at least 1ms");

    let config =
        SessionConfig::default().with_outbox(outbox.with_guarantee(Guarantee::AtLeastOnce));
    let no_acknowledgements = "outbox.guarantee is at-least-once, but it must be at-most-once: this protocol has no acknowledgements";
    let session = Session::new(config, vec!["ws://peer".into()], Plain::default(), dice(0));
    all.push((session.map(drop).expect_err(no_acknowledgements), no_acknowledgements));

    let no_endpoint = "endpoints is 0, but it must be at least 1";
    all.push((Link::new(link, 0, dice(0)).expect_err(no_endpoint), no_endpoint));
    all.extend(config_server::mistakes());
    all
}
