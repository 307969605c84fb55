//! Configuration as people write it: TOML and JSON, durations as text, readable mistakes.

use core::time::Duration;

use relink::link::{
    Handshake, OnDead, OnFirstFailure, OnOffline, ReopenPolicy, RetryAfter, StatusViewConfig,
};
use relink::policy::{
    Breaker, BudgetConfig, CredentialsConfig, Curve, DelayTable, HeartbeatConfig, Jitter, Rate,
};
use relink::session::{OfflineSend, OutboxConfig, Overflow};
use relink::{Backoff, CloseCode, ClosePolicy, LinkConfig, SessionConfig, StopReason, Verdict};

use serde_json::{Value, json};

use crate::support::{millis, secs};

#[test]
fn every_configuration_survives_toml_and_json() {
    for config in [SessionConfig::default(), everything_set(), everything_off()] {
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<SessionConfig>(&text).unwrap(), config, "through\n{text}");
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<SessionConfig>(&text).unwrap(), config, "through {text}");
    }
}

#[test]
fn every_curve_and_jitter_survives_toml_and_json() {
    let table = DelayTable::new(&[Duration::ZERO, millis(500), secs(90)]).unwrap();
    let curves = [
        Curve::Fixed { delay: secs(3) },
        Curve::Linear { initial: Duration::ZERO, step: secs(2) },
        Curve::Exponential { initial: millis(500), factor_pct: 150 },
        Curve::Table(table),
        Curve::Decorrelated { initial: secs(1), factor_pct: 300 },
    ];
    let jitters = [
        Jitter::None,
        Jitter::Full,
        Jitter::Equal,
        Jitter::Spread { pct: 20 },
        Jitter::Additive { pct: 30 },
    ];
    for (curve, jitter) in
        curves.into_iter().flat_map(|curve| jitters.map(|jitter| (curve, jitter)))
    {
        let backoff = Backoff::default().with_curve(curve).with_jitter(jitter);
        let text = toml::to_string(&backoff).unwrap();
        assert_eq!(toml::from_str::<Backoff>(&text).unwrap(), backoff, "through\n{text}");
        let text = serde_json::to_string(&backoff).unwrap();
        assert_eq!(serde_json::from_str::<Backoff>(&text).unwrap(), backoff, "through {text}");
    }
}

#[test]
fn what_a_person_writes_is_understood_and_the_rest_stays_as_it_was() {
    let text = r#"
        [link]
        connect_timeout = "500ms"
        stable_after = "1m30s"
        reopen = "always"

        [link.backoff]
        curve = { linear = { initial = "0s", step = "2s" } }
        jitter = { spread = { pct = 20 } }
        first = "off"

        [link.heartbeat]
        interval = "off"
        close_code = 4321

        [link.budget]
        max_attempts = 100
        rate = { burst = 3, refill = "10s" }
        breaker = { failures = 5, window = "1m", cooldown = "off" }

        [link.credentials]
        max_refusals = "off"

        [[link.close_policy.close]]
        from = 1000
        to = 1001
        verdict = "retry-now"

        [[link.close_policy.status]]
        from = 418
        to = 418
        verdict = { stop = "gone" }

        [outbox]
        overflow = "drop-oldest"
        ttl = "5s"
    "#;
    let mut policy = ClosePolicy::default();
    policy.set_close(1000..=1001, Verdict::RetryNow).unwrap();
    policy.set_status(418..=418, Verdict::Stop(StopReason::GONE)).unwrap();
    let link = LinkConfig::default();
    let backoff = Backoff::default()
        .with_curve(Curve::Linear { initial: Duration::ZERO, step: secs(2) })
        .with_jitter(Jitter::Spread { pct: 20 })
        .with_first(None);
    let breaker = Breaker { failures: 5, window: secs(60), cooldown: None };
    let budget = link.budget.with_max_attempts(Some(100)).with_breaker(Some(breaker));
    let expected = link
        .with_connect_timeout(millis(500))
        .with_stable_after(secs(90))
        .with_reopen(ReopenPolicy::Always)
        .with_backoff(backoff)
        .with_heartbeat(link.heartbeat.with_interval(None).with_close_code(CloseCode(4321)))
        .with_budget(budget.with_rate(Rate { burst: 3, refill: secs(10) }))
        .with_credentials(link.credentials.with_max_refusals(None))
        .with_close_policy(policy);
    let outbox =
        OutboxConfig::default().with_overflow(Overflow::DropOldest).with_ttl(Some(secs(5)));
    let read: SessionConfig = toml::from_str(text).unwrap();
    assert_eq!(read, SessionConfig::default().with_link(expected).with_outbox(outbox));
    assert_eq!(toml::from_str::<SessionConfig>("").unwrap(), SessionConfig::default());
}

#[test]
fn a_duration_is_written_in_words() {
    let text = toml::to_string(&SessionConfig::default()).unwrap();
    for line in [
        "connect_timeout = \"10s\"",
        "floor = \"250ms\"",
        "initial = \"1s500ms\"",
        "watchdog = \"off\"",
        "refresh_ahead = \"1m\"",
        "max = \"5m\"",
        "ttl = \"off\"",
        "max_attempts = \"off\"",
        "max_refusals = 10",
    ] {
        assert!(text.lines().any(|written| written == line), "{line} is not in\n{text}");
    }
}

#[test]
fn unknown_fields_are_refused_by_name() {
    for (text, field) in [
        ("conect_timeout = \"1s\"", "conect_timeout"),
        ("[backoff]\nceiling = \"1s\"", "ceiling"),
        ("[heartbeat]\npulse = \"1s\"", "pulse"),
        ("[credentials]\npassword = \"x\"", "password"),
        ("[budget]\nmax_tries = 3", "max_tries"),
        ("[budget]\nrate = { burst = 1, refill = \"1s\", per = 1 }", "per"),
        ("[budget.breaker]\nfailures = 1\nwindow = \"1s\"\ncooldown = \"1s\"\nfuse = 1", "fuse"),
        ("[surface]\ntoast = true", "toast"),
        ("[handshake]\nhello = \"1s\"", "hello"),
        ("[retry_after]\nmin = \"1s\"", "min"),
        ("[close_policy]\nhttp = []", "http"),
        ("[[close_policy.close]]\nfrom = 1\nto = 2\nverdict = \"retry\"\nwhy = \"x\"", "why"),
        ("[backoff.curve.linear]\ninitial = \"1s\"\nstep = \"1s\"\nslope = 2", "slope"),
        ("[backoff.jitter.spread]\npct = 1\nwidth = 2", "width"),
    ] {
        let error = toml::from_str::<LinkConfig>(text).unwrap_err().to_string();
        let said = [
            format!("unknown field `{field}`, expected"),
            format!("unexpected keys in table: {field}, available"),
        ];
        assert!(said.iter().any(|said| error.contains(said)), "{error}");
    }
}

#[test]
fn what_cannot_be_read_is_said_in_words() {
    for (text, said) in [
        (
            "connect_timeout = \"10\"",
            "not a duration: write a number and a unit, as in 500ms, 30s, 2m or 1m30s",
        ),
        ("connect_timeout = \"1 fortnight\"", "not a duration"),
        ("connect_timeout = \"off\"", "not a duration"),
        ("connect_timeout = 10", "expected a duration as text"),
        ("[heartbeat]\ninterval = \"never\"", "not a duration"),
        ("[budget]\nmax_attempts = \"many\"", "expected a number from 0 to 4294967295, or \"off\""),
        ("[budget]\nmax_attempts = -1", "expected a number from 0 to 4294967295, or \"off\""),
        (
            "[credentials]\nmax_refusals = 5000000000",
            "expected a number from 0 to 4294967295, or \"off\"",
        ),
        ("[backoff]\ncurve = \"quadratic\"", "unknown variant `quadratic`"),
        (
            "[backoff.curve]\ntable = []",
            "backoff.curve.table (number of delays) is 0, but it must be at least 1",
        ),
        (
            "[backoff.curve]\ntable = [\"60d\"]",
            "backoff.curve.table (a delay) is 60d, but it must be at most",
        ),
        ("first_failure = \"panic\"", "expected `retry` or `stop`"),
        (
            "[[close_policy.close]]\nfrom = 2\nto = 1\nverdict = \"retry\"",
            "close_policy.close.to is 1, but it must be at least 2",
        ),
        (
            "[[close_policy.close]]\nfrom = 1\nto = 1\nverdict = { stop = \"sulk\" }",
            "stop reason \"sulk\" is not one of: normal_closure,",
        ),
    ] {
        let error = toml::from_str::<LinkConfig>(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text:?} gives\n{error}");
    }
}

#[test]
fn what_is_well_written_and_cannot_work_is_refused_by_validation() {
    let read: LinkConfig = toml::from_str("[backoff]\nfloor = \"0s\"").unwrap();
    assert_eq!(read.validate().unwrap_err().field().to_string(), "backoff.floor");
}

/// Every field different from its default.
fn everything_set() -> SessionConfig {
    let mut policy = ClosePolicy::default();
    policy.set_close(1000..=1000, Verdict::RetrySlow { floor: secs(7) }).expect("a valid edit");
    policy.set_close(4002..=4002, Verdict::RefreshToken).expect("a valid edit");
    policy.set_close(4100..=4100, Verdict::Stop(StopReason::FORBIDDEN)).expect("a valid edit");
    policy.set_status(500..=599, Verdict::SwitchEndpoint).expect("a valid edit");
    let backoff = Backoff::default()
        .with_curve(Curve::Fixed { delay: secs(9) })
        .with_jitter(Jitter::Full)
        .with_floor(secs(1))
        .with_cap(secs(99))
        .with_curve_cap(Some(secs(50)))
        .with_first(Some(secs(4)));
    let heartbeat = HeartbeatConfig::default()
        .with_interval(Some(secs(11)))
        .with_timeout(secs(12))
        .with_missed(3)
        .with_watchdog(Some(secs(60)))
        .with_message_timeout(Some(secs(61)))
        .with_probe(secs(5))
        .with_close_code(CloseCode(4999));
    let credentials = CredentialsConfig::default()
        .with_fetch(true)
        .with_timeout(secs(13))
        .with_refresh_ahead(Some(secs(14)))
        .with_refresh_spread_pct(15)
        .with_report_after(16)
        .with_max_refusals(Some(17));
    let budget = BudgetConfig::default()
        .with_max_attempts(Some(u32::MAX))
        .with_max_elapsed(Some(secs(3600)))
        .with_rate(Rate { burst: 18, refill: millis(19) })
        .with_breaker(Some(Breaker { failures: 2, window: secs(20), cooldown: Some(secs(21)) }));
    let surface = StatusViewConfig::default()
        .with_grace(Some(secs(4)))
        .with_banner_after(Some(secs(22)))
        .with_stuck_after(Some(secs(23)));
    let handshake = Handshake::default()
        .with_welcome(Some(secs(24)))
        .with_challenge(Some(secs(25)))
        .with_login(true)
        .with_login_timeout(Some(secs(26)))
        .with_authentication(Some(secs(27)));
    let retry_after =
        RetryAfter::default().with_honor(false).with_max(secs(28)).with_spread_pct(29);
    let link = LinkConfig::default()
        .with_backoff(backoff)
        .with_close_policy(policy)
        .with_heartbeat(heartbeat)
        .with_credentials(credentials)
        .with_budget(budget)
        .with_surface(surface)
        .with_handshake(handshake)
        .with_connect_timeout(Duration::from_nanos(1_234_567_891))
        .with_stable_after(secs(30))
        .with_flush_timeout(secs(31))
        .with_close_timeout(secs(32))
        .with_retry_after(retry_after)
        .with_first_failure(OnFirstFailure::Stop)
        .with_reopen(ReopenPolicy::Never)
        .with_when_dead(OnDead::Stop)
        .with_when_offline(OnOffline::Disconnect)
        .with_attempt_timeout(Some(secs(37)))
        .with_max_redirects(33);
    let outbox = OutboxConfig::default()
        .with_max_messages(34)
        .with_max_bytes(35)
        .with_overflow(Overflow::DropNewest)
        .with_ttl(Some(secs(36)))
        .with_while_down(OfflineSend::Refuse);
    SessionConfig::default().with_link(link).with_outbox(outbox)
}

/// Everything off that can be off: a setting that is on by default must not come back because it
/// was left out.
fn everything_off() -> SessionConfig {
    let link = LinkConfig::default();
    let breaker = Breaker { failures: 1, window: secs(1), cooldown: None };
    let link = link
        .with_backoff(link.backoff.with_first(None))
        .with_heartbeat(link.heartbeat.with_interval(None))
        .with_credentials(link.credentials.with_refresh_ahead(None).with_max_refusals(None))
        .with_budget(link.budget.with_breaker(Some(breaker)))
        .with_surface(link.surface.with_banner_after(None).with_stuck_after(None));
    SessionConfig::default().with_link(link)
}

/// This configuration with each of its tables, one after the other, replaced by the list of its
/// values, and by an empty list.
fn listed(config: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let Some(entries) = config.as_object() else {
        let items = config.as_array().into_iter().flatten().enumerate();
        for (index, item) in items {
            for (place, changed) in listed(item) {
                let mut config = config.clone();
                config[index] = changed;
                all.push((format!("[{index}]{place}"), config));
            }
        }
        return all;
    };
    all.push((String::new(), Value::Array(Vec::new())));
    all.push((String::new(), entries.values().cloned().collect()));
    for (name, value) in entries {
        for (place, changed) in listed(value) {
            let mut config = config.clone();
            config[name] = changed;
            all.push((format!(".{name}{place}"), config));
        }
    }
    all
}

#[test]
fn a_list_is_no_table() {
    let lists = listed(&serde_json::to_value(everything_set()).unwrap());
    assert!(lists.len() > 20, "{lists:?}");
    for (place, config) in lists {
        let read = serde_json::from_value::<SessionConfig>(config.clone());
        assert!(read.is_err(), "{place}: {config}");
    }
    for curve in [
        json!({ "fixed": ["1s"] }),
        json!({ "fixed": [] }),
        json!([]),
        json!({ "linear": ["1s", "1s"] }),
    ] {
        assert!(serde_json::from_value::<Curve>(curve.clone()).is_err(), "{curve}");
    }
    let error = toml::from_str::<SessionConfig>("outbox.max_messages = 5\nlink = []\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 2, column 8") && error.contains("expected a table"), "{error}");
}

#[test]
fn a_value_that_cannot_be_is_refused_with_its_place_and_what_is_allowed() {
    for (line, words) in [
        ("link.connect_timeout = 5", "expected a duration as text, such as \"500ms\""),
        ("link.connect_timeout = '5'", "\"5\" is not a duration"),
        ("link.connect_timeout = '-5s'", "\"-5s\" is not a duration"),
        (
            "link.connect_timeout = '999999d'",
            "\"999999d\" is too long: a duration is at most 213503d",
        ),
        ("link.backoff.first = '1'", "\"1\" is not a duration"),
        ("link.backoff.first = 0", "or \"off\""),
        ("link.backoff.curve = { table = ['1'] }", "\"1\" is not a duration"),
        ("link.backoff.curve = { exponential = { initial = '1s', factor_pct = -1 } }", "`-1`"),
        (
            "link.budget.max_attempts = -1",
            "`-1`, expected a number from 0 to 4294967295, or \"off\"",
        ),
        (
            "link.budget.max_attempts = 4294967296",
            "`4294967296`, expected a number from 0 to 4294967295",
        ),
        ("link.budget.max_attempts = 1.5", "`1.5`, expected a number from 0 to 4294967295"),
        ("outbox.max_messages = -1", "`-1`"),
        ("outbox.max_messages = 99999999999999999999999999999999999999999", "line 1"),
        ("link.heartbeat.close_code = 65536", "`65536`"),
        ("link.close_policy.close = [[4000, 4000, 'retry']]", "expected a table"),
        ("link.backoff.floor = '1s'\nlink.backoff.floor = '2s'", "duplicate key"),
    ] {
        let error = toml::from_str::<SessionConfig>(line).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("line "), "{line}: {error}");
    }
}
