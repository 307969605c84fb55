//! The link of Metered's peer SDK.

use std::time::Duration;

use relink::link::{Hint, StatusChange};
use relink::policy::{DeadReason, GiveUpReason};
use relink::session::{OfflineSend, OutboxConfig, SendErrorKind};
use relink::{
    CloseCode, ClosedReason, Event, Failure, Phase, Reason, SessionConfig, State, StopReason,
    Subscription,
};
use relink_profiles::metered::{PROFILE, TOKEN_PROVIDER_ERROR, config, error_name};
use relink_sim::{OnDial, Tokens, millis, secs};

use crate::support::{ProfileSim, drawn, summed};

fn with_tokens() -> SessionConfig {
    let mut config = config();
    config.link.credentials.fetch = true;
    config
}

fn shown(sim: &mut ProfileSim) -> Vec<StatusChange> {
    let shown =
        |event: &Event| if let Event::StatusChange(shown) = event { Some(*shown) } else { None };
    sim.events().iter().filter_map(shown).collect()
}

#[test]
fn m01_from_half_a_second_doubled_to_30_s_give_or_take_a_fifth() {
    let backoff = config().link.backoff;
    let bounds: Vec<_> = (1..=8)
        .map(|retry| backoff.window(retry, Duration::ZERO))
        .map(|window| (window.from.as_millis(), window.to.as_millis()))
        .collect();
    assert_eq!(
        bounds,
        [
            (400, 600),
            (800, 1_200),
            (1_600, 2_400),
            (3_200, 4_800),
            (6_400, 9_600),
            (12_800, 19_200),
            (18_000, 30_000),
            (18_000, 30_000),
        ]
    );
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    let lost = sim.outage();
    while sim.dialed_after(lost).len() < 12 {
        sim.next_dial();
    }
    let delays = drawn(backoff, 12);
    assert_eq!(sim.dialed_after(lost), summed(&delays), "the delays of the seed");
    assert_eq!(sim.delays()[..12], delays[..]);
}

#[test]
fn m02_the_provider_is_called_before_every_connection() {
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.tokens(Tokens::Grant(Some(secs(86_400))));
    sim.up();
    for _ in 0..4 {
        sim.peer().reset();
        sim.up();
    }
    let tokens: Vec<_> =
        sim.dials().iter().map(|dial| dial.token.clone().unwrap().expose().to_owned()).collect();
    assert_eq!(
        tokens,
        ["token-1", "token-2", "token-3", "token-4", "token-5"],
        "however long the last one lives"
    );
}

#[test]
fn m03_channels_are_subscribed_again_after_the_welcome_unless_that_is_off() {
    for auto in [true, false] {
        let mut config = config();
        config.subscriptions.resubscribe = auto;
        let mut sim = ProfileSim::with(&PROFILE, config);
        sim.up();
        sim.subscribe("lobby", Subscription::default());
        sim.subscribe("news", Subscription::default());
        assert_eq!(
            sim.heard(),
            [
                r#"{"type":"subscribe","requestId":"1","channel":"lobby"}"#,
                r#"{"type":"subscribe","requestId":"2","channel":"news"}"#,
            ]
        );
        for request in [1, 2] {
            sim.peer().send(format!(r#"{{"type":"ack","requestId":"{request}"}}"#));
        }
        sim.advance(secs(5));
        sim.peer().reset();
        sim.next_dial();
        assert_eq!(sim.heard(), [] as [&str; 0], "not before the welcome");
        sim.handshake();
        let again = sim.heard();
        assert_eq!(again.len(), if auto { 2 } else { 0 }, "{again:?}");
    }
}

#[test]
fn m03_a_channel_that_comes_back_says_that_it_has_a_gap_and_goes_on() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.subscribe("lobby", Subscription::default());
    let message = r#"{"type":"message","channel":"lobby","from":"ada","data":1}"#;
    sim.peer().send(r#"{"type":"ack","requestId":"1"}"#);
    sim.peer().send(message);
    sim.peer().send(message);
    sim.peer().reset();
    sim.up();
    sim.skip();
    sim.peer().send(r#"{"type":"ack","requestId":"2"}"#);
    sim.peer().send(message);
    sim.expect(["subscribed to lobby with a gap", r#"received text "{\"type\":\"message\""#]);
}

#[test]
fn m04_terminal_codes_are_not_retried() {
    for (code, name) in [
        (4001, "invalid_token"),
        (4003, "channel_not_authorized"),
        (4012, "account_suspended"),
        (4020, "admin_disconnect"),
    ] {
        let mut sim = ProfileSim::with(&PROFILE, with_tokens());
        sim.stable();
        sim.peer().close(code);
        sim.advance(secs(86_400));
        assert_eq!((sim.dials().len(), sim.word(), sim.deadline()), (1, "closed", None), "{code}");
        let State::Closed(end) = sim.state() else { panic!("{code} is no end") };
        assert_eq!((error_name(end), end.code()), (name, Some(CloseCode(code))));
    }
}

#[test]
fn m05_an_expired_token_leads_to_a_fresh_one() {
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.stable();
    sim.peer().close(4002);
    assert_eq!(sim.word(), "reconnecting");
    sim.up();
    let tokens: Vec<_> =
        sim.dials().iter().map(|dial| dial.token.clone().unwrap().expose().to_owned()).collect();
    assert_eq!(tokens, ["token-1", "token-2"]);
    assert!(!sim.events().iter().any(|event| matches!(event, Event::TokenError { .. })));
}

#[test]
fn m05_a_stale_token_is_no_hot_loop_and_is_reported() {
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.stable();
    let start = sim.now();
    while !sim.state().is_closed() {
        sim.peer().close(4002);
        sim.next_dial();
        if !sim.state().is_closed() {
            sim.handshake();
        }
    }
    let took = sim.now() - start;
    assert!(took >= secs(60), "ten refusals in {took:?}");
    let reported: Vec<_> = sim
        .events()
        .iter()
        .filter_map(|event| {
            if let Event::TokenError { consecutive_failures, .. } = event {
                Some(*consecutive_failures)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(reported, [3, 4, 5, 6, 7, 8, 9, 10], "from the third on");
    let State::Closed(end) = sim.state() else { unreachable!() };
    assert_eq!(error_name(end), "token_expired");
}

#[test]
fn m06_the_concurrent_cap_has_a_floor_of_30_s_under_every_delay() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    for _ in 0..20 {
        sim.peer().close(4010);
        sim.hint(Hint::Online);
        sim.hint(Hint::Wake);
        sim.next_dial();
        sim.handshake();
    }
    let waits = sim.delays();
    assert_eq!(waits.len(), 20);
    assert!(waits.iter().all(|wait| *wait >= secs(30)), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= secs(60)), "{waits:?}");
    // Until the limit is lifted …
    sim.advance(secs(5));
    assert_eq!(sim.word(), "connected");
    // … or the attempts are used up.
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.peer().on_dial(OnDial::Flap { after: millis(1), code: CloseCode(4010) });
    sim.peer().close(4010);
    sim.advance(secs(2 * 86_400));
    assert_eq!(sim.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::Attempts)));
    assert_eq!(sim.dials().len(), 101);
}

#[test]
fn m07_going_away_and_abnormal_are_retried_on_the_normal_curve() {
    let normal = drawn(config().link.backoff, 1)[0];
    for code in [Some(1001), None] {
        let mut sim = ProfileSim::new(&PROFILE);
        sim.stable();
        match code {
            Some(code) => sim.peer().close(code),
            None => sim.peer().reset(),
        }
        assert_eq!(sim.delays(), [normal], "{code:?}");
        assert!(normal >= millis(400) && normal <= millis(600));
    }
}

#[test]
fn m08_a_loss_says_at_once_whether_it_is_handled() {
    for (code, handled) in
        [(1001, true), (1006, true), (4002, true), (4010, true), (4001, false), (4020, false)]
    {
        let mut sim = ProfileSim::with(&PROFILE, with_tokens());
        sim.stable();
        sim.peer().close(code);
        let told = sim.events().iter().find_map(|event| {
            if let Event::Disconnected { code, retry_in, .. } = event {
                Some((*code, retry_in.is_some()))
            } else {
                None
            }
        });
        assert_eq!(told, Some((CloseCode(code), handled)));
    }
}

#[test]
fn m09_every_end_has_its_symbolic_name() {
    let stopped = |reason| ClosedReason::Stopped { reason, code: None };
    for (end, name) in [
        (stopped(StopReason::INVALID_TOKEN), "invalid_token"),
        (stopped(StopReason::TOKEN_EXPIRED), "token_expired"),
        (ClosedReason::GaveUp(GiveUpReason::TokenRefused), "token_expired"),
        (stopped(StopReason::CHANNEL_NOT_AUTHORIZED), "channel_not_authorized"),
        (stopped(StopReason::ACCOUNT_SUSPENDED), "account_suspended"),
        (stopped(StopReason::ADMIN_DISCONNECT), "admin_disconnect"),
        (ClosedReason::GaveUp(GiveUpReason::Attempts), "attempts_exhausted"),
    ] {
        assert_eq!((PROFILE.end)(end), name);
        assert!(!end.advice().is_empty());
    }
    assert_eq!(TOKEN_PROVIDER_ERROR, "TokenProviderError");
    // Without a provider, an expired token ends the link.
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.peer().close(4002);
    assert_eq!(
        sim.state(),
        State::Closed(ClosedReason::Stopped {
            reason: StopReason::TOKEN_EXPIRED,
            code: Some(CloseCode(4002))
        })
    );
}

#[test]
fn m10_failures_of_the_provider_are_told_from_the_third_on_and_retries_go_on() {
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.stable();
    sim.tokens(Tokens::Fail);
    sim.peer().reset();
    sim.advance(secs(8));
    sim.expect([
        "fetch token",
        "dial ws://peer",
        "connected",
        "drop",
        "lost (1006)",
        "fetch token",
        "drop",
        "attempt 1 failed: the token could not be fetched",
        "fetch token",
        "drop",
        "attempt 2 failed: the token could not be fetched",
        "fetch token",
        "token error 3",
        "drop",
        "attempt 3 failed: the token could not be fetched",
        "fetch token",
        "token error 4",
        "drop",
        "attempt 4 failed: the token could not be fetched",
    ]);
    assert_eq!(sim.word(), "reconnecting", "that is for information");
    sim.tokens(Tokens::Grant(None));
    sim.up();
    assert_eq!(sim.word(), "connected");
}

#[test]
fn m11_a_hundred_attempts_or_no_limit_and_the_end_is_visible() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    let lost = sim.outage();
    sim.advance(secs(86_400));
    assert_eq!(sim.dialed_after(lost).len(), 100);
    let reason = ClosedReason::GaveUp(GiveUpReason::Attempts);
    assert_eq!(sim.events().last(), Some(&Event::Closed { reason }));
    assert_eq!(sim.word(), "closed");

    let mut config = config();
    config.link.budget.max_attempts = None;
    let mut sim = ProfileSim::with(&PROFILE, config);
    sim.stable();
    let lost = sim.outage();
    sim.advance(secs(86_400));
    assert!(sim.dialed_after(lost).len() > 2_800, "every 18 to 30 s");
    assert_eq!(sim.word(), "reconnecting");
}

#[test]
fn m12_going_away_is_told_before_the_close_and_honored_only_if_asked_for() {
    let hint = r#"{"type":"going_away","retryAfterMs":3000}"#;
    let normal = drawn(config().link.backoff, 1)[0];
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.skip();
    sim.peer().send(hint);
    sim.peer().close(1001);
    sim.expect(["going away, back in 3s", "drop", "lost (1001)"]);
    assert_eq!(sim.delays(), [normal], "reported, and no more");

    let waits: Vec<_> = (0..200)
        .map(|seed| {
            let mut config = config();
            config.link.retry_after.honor = true;
            let mut sim = ProfileSim::seeded(&PROFILE, config, seed);
            sim.stable();
            sim.peer().send(hint);
            sim.peer().close(1001);
            sim.delays()[0]
        })
        .collect();
    assert!(
        waits.iter().all(|wait| *wait >= secs(3) && *wait <= millis(3_600)),
        "at least that long"
    );
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*most - *least > millis(500), "and spread over the fleet");
}

#[test]
fn m13_without_any_traffic_for_60_s_the_link_is_dead() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.peer().silence();
    sim.skip();
    sim.advance(millis(59_999));
    assert!(sim.state().is_usable());
    sim.advance(millis(1));
    sim.expect([
        r#"text "{\"type\":\"ping\"}""#,
        "drop, saying 4000",
        "lost (1006): nothing was heard for too long",
    ]);

    // Any traffic postpones it.
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    for _ in 0..20 {
        sim.advance(secs(50));
        sim.peer().send(r#"{"type":"pong"}"#);
    }
    assert!(sim.state().is_usable());
}

#[test]
fn m13_a_suspended_process_asks_before_it_judges() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.peer().silence();
    sim.sleep(secs(8 * 3_600));
    sim.advance(secs(2));
    let dead = Reason::Dead(DeadReason::Probe);
    assert!(
        sim.events()
            .iter()
            .any(|event| matches!(event, Event::Disconnected { reason, .. } if *reason == dead))
    );
    // If the link has survived the sleep, it stays.
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.sleep(secs(8 * 3_600));
    sim.advance(millis(1));
    sim.peer().send(r#"{"type":"pong"}"#);
    sim.advance(secs(2));
    assert!(sim.state().is_usable());
}

#[test]
fn m14_in_the_foreground_again_it_recovers_at_once() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.outage();
    sim.advance(secs(60));
    sim.peer().on_dial(OnDial::Accept);
    let (now, dials) = (sim.now(), sim.dials().len());
    assert!(sim.wakes_in().unwrap() > secs(1));
    sim.hint(Hint::Wake);
    sim.advance(millis(250));
    assert_eq!(sim.dials().len(), dials + 1);
    assert!(sim.dials().last().unwrap().at - now <= millis(250));
}

#[test]
fn m15_the_banner_waits_for_a_second() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.peer().reset();
    sim.up(); // after some 500 ms
    sim.advance(secs(5));
    assert!(!shown(&mut sim).contains(&StatusChange::Banner(true)), "no flicker");

    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.outage();
    sim.advance(millis(999));
    assert!(!shown(&mut sim).contains(&StatusChange::Banner(true)));
    sim.advance(millis(1));
    assert!(shown(&mut sim).contains(&StatusChange::Banner(true)));
    sim.up();
    assert!(shown(&mut sim).contains(&StatusChange::Banner(false)));
}

#[test]
fn m16_after_30_s_it_says_that_it_is_stuck() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.outage();
    sim.advance(millis(29_999));
    assert!(!shown(&mut sim).contains(&StatusChange::Stuck(true)));
    sim.advance(millis(1));
    assert!(shown(&mut sim).contains(&StatusChange::Stuck(true)), "time for *retry now*");
    sim.up();
    assert!(shown(&mut sim).contains(&StatusChange::Stuck(false)));
}

#[test]
fn m17_retry_now_dials_at_once_with_a_fresh_backoff() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.outage();
    sim.advance(secs(120));
    let (now, dials) = (sim.now(), sim.dials().len());
    sim.retry_now();
    assert_eq!((sim.dials().len(), sim.dials().last().unwrap().at), (dials + 1, now));
    let wait = *sim.delays().last().unwrap();
    assert!(wait <= millis(600), "from the bottom of the curve: {wait:?}");
    // It works after the end, too.
    sim.advance(secs(86_400));
    assert_eq!(sim.word(), "closed");
    sim.retry_now();
    assert_eq!(sim.state(), State::Connecting(Phase::Waiting), "the server still refuses");
}

#[test]
fn m20_connected_says_whether_it_was_connected_before() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    for _ in 0..2 {
        sim.peer().reset();
        sim.up();
    }
    let told: Vec<_> = sim
        .events()
        .iter()
        .filter_map(|event| {
            if let Event::Connected { is_reconnect } = event { Some(*is_reconnect) } else { None }
        })
        .collect();
    assert_eq!(told, [false, true, true]);
}

#[test]
fn m22_send_while_reconnecting_is_refused_or_queued() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.peer().reset();
    let refused = sim.send("hello").unwrap_err();
    assert_eq!(refused.reason, SendErrorKind::Down);
    assert!(refused.to_string().contains("the link is not usable now"));

    let outbox = OutboxConfig::default().with_while_down(OfflineSend::Queue);
    let mut sim = ProfileSim::with(&PROFILE, config().with_outbox(outbox));
    sim.stable();
    sim.peer().reset();
    assert!(sim.send(relink::Outgoing::from(r#"{"n":1}"#).on("lobby")).unwrap().queued);
    sim.heard();
    sim.up();
    assert_eq!(sim.heard(), [r#"{"type":"publish","channel":"lobby","data":{"n":1}}"#]);
}

#[test]
fn m23_close_is_terminal_for_the_instance() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.close(1000);
    sim.connect();
    sim.retry_now();
    sim.advance(secs(86_400));
    assert_eq!((sim.dials().len(), sim.word()), (1, "closed"));
    assert_eq!(sim.send("hello").unwrap_err().reason, SendErrorKind::Closed);
    assert!(sim.machine().link().is_final());
    let _ = Failure::Reset;
}
