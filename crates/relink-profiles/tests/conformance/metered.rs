//! M1–M17, M20, M22, M23: the link of Metered's peer SDK.

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

use crate::support::{Rig, drawn, summed};

fn with_tokens() -> SessionConfig {
    let mut config = config();
    config.link.credentials.fetch = true;
    config
}

fn shown(rig: &mut Rig) -> Vec<StatusChange> {
    let shown =
        |event: &Event| if let Event::StatusChange(shown) = event { Some(*shown) } else { None };
    rig.events().iter().filter_map(shown).collect()
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
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    let lost = rig.outage();
    while rig.dialled_after(lost).len() < 12 {
        rig.next_dial();
    }
    let delays = drawn(backoff, 12);
    assert_eq!(rig.dialled_after(lost), summed(&delays), "the delays of the seed");
    assert_eq!(rig.delays()[..12], delays[..]);
}

#[test]
fn m02_the_provider_is_called_before_every_connection() {
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.tokens(Tokens::Grant(Some(secs(86_400))));
    rig.up();
    for _ in 0..4 {
        rig.peer().reset();
        rig.up();
    }
    let tokens: Vec<_> =
        rig.dials().iter().map(|dial| dial.token.clone().unwrap().expose().to_owned()).collect();
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
        let mut rig = Rig::with(&PROFILE, config);
        rig.up();
        rig.subscribe("lobby", Subscription::default());
        rig.subscribe("news", Subscription::default());
        assert_eq!(
            rig.heard(),
            [
                r#"{"type":"subscribe","requestId":"1","channel":"lobby"}"#,
                r#"{"type":"subscribe","requestId":"2","channel":"news"}"#,
            ]
        );
        for request in [1, 2] {
            rig.peer().send(format!(r#"{{"type":"ack","requestId":"{request}"}}"#));
        }
        rig.advance(secs(5));
        rig.peer().reset();
        rig.next_dial();
        assert_eq!(rig.heard(), [] as [&str; 0], "not before the welcome");
        rig.handshake();
        let again = rig.heard();
        assert_eq!(again.len(), if auto { 2 } else { 0 }, "{again:?}");
    }
}

#[test]
fn m03_a_channel_that_comes_back_says_that_it_has_a_gap_and_goes_on() {
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    rig.subscribe("lobby", Subscription::default());
    let message = r#"{"type":"message","channel":"lobby","from":"ada","data":1}"#;
    rig.peer().send(r#"{"type":"ack","requestId":"1"}"#);
    rig.peer().send(message);
    rig.peer().send(message);
    rig.peer().reset();
    rig.up();
    rig.skip();
    rig.peer().send(r#"{"type":"ack","requestId":"2"}"#);
    rig.peer().send(message);
    rig.expect(["subscribed to lobby with a gap", r#"received text "{\"type\":\"message\""#]);
}

#[test]
fn m04_terminal_codes_are_not_retried() {
    for (code, name) in [
        (4001, "invalid_token"),
        (4003, "channel_not_authorized"),
        (4012, "account_suspended"),
        (4020, "admin_disconnect"),
    ] {
        let mut rig = Rig::with(&PROFILE, with_tokens());
        rig.stable();
        rig.peer().close(code);
        rig.advance(secs(86_400));
        assert_eq!((rig.dials().len(), rig.word(), rig.deadline()), (1, "closed", None), "{code}");
        let State::Closed(end) = rig.state() else { panic!("{code} is no end") };
        assert_eq!((error_name(end), end.code()), (name, Some(CloseCode(code))));
    }
}

#[test]
fn m05_an_expired_token_leads_to_a_fresh_one() {
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.stable();
    rig.peer().close(4002);
    assert_eq!(rig.word(), "reconnecting");
    rig.up();
    let tokens: Vec<_> =
        rig.dials().iter().map(|dial| dial.token.clone().unwrap().expose().to_owned()).collect();
    assert_eq!(tokens, ["token-1", "token-2"]);
    assert!(!rig.events().iter().any(|event| matches!(event, Event::TokenError { .. })));
}

#[test]
fn m05_a_stale_token_is_no_hot_loop_and_is_reported() {
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.stable();
    let start = rig.now();
    while !rig.state().is_closed() {
        rig.peer().close(4002);
        rig.next_dial();
        if !rig.state().is_closed() {
            rig.handshake();
        }
    }
    let took = rig.now() - start;
    assert!(took >= secs(60), "ten refusals in {took:?}");
    let reported: Vec<_> = rig
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
    let State::Closed(end) = rig.state() else { unreachable!() };
    assert_eq!(error_name(end), "token_expired");
}

#[test]
fn m06_the_concurrent_cap_has_a_floor_of_30_s_under_every_delay() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    for _ in 0..20 {
        rig.peer().close(4010);
        rig.hint(Hint::Online);
        rig.hint(Hint::Wake);
        rig.next_dial();
        rig.handshake();
    }
    let waits = rig.delays();
    assert_eq!(waits.len(), 20);
    assert!(waits.iter().all(|wait| *wait >= secs(30)), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= secs(60)), "{waits:?}");
    // Until it clears …
    rig.advance(secs(5));
    assert_eq!(rig.word(), "connected");
    // … or the attempts are used up.
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.peer().on_dial(OnDial::Flap { after: millis(1), code: CloseCode(4010) });
    rig.peer().close(4010);
    rig.advance(secs(2 * 86_400));
    assert_eq!(rig.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::Attempts)));
    assert_eq!(rig.dials().len(), 101);
}

#[test]
fn m07_going_away_and_abnormal_are_retried_on_the_normal_curve() {
    let normal = drawn(config().link.backoff, 1)[0];
    for code in [Some(1001), None] {
        let mut rig = Rig::new(&PROFILE);
        rig.stable();
        match code {
            Some(code) => rig.peer().close(code),
            None => rig.peer().reset(),
        }
        assert_eq!(rig.delays(), [normal], "{code:?}");
        assert!(normal >= millis(400) && normal <= millis(600));
    }
}

#[test]
fn m08_a_loss_says_at_once_whether_it_is_handled() {
    for (code, handled) in
        [(1001, true), (1006, true), (4002, true), (4010, true), (4001, false), (4020, false)]
    {
        let mut rig = Rig::with(&PROFILE, with_tokens());
        rig.stable();
        rig.peer().close(code);
        let told = rig.events().iter().find_map(|event| {
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
    // Without a provider, an expired token is the end.
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.peer().close(4002);
    assert_eq!(
        rig.state(),
        State::Closed(ClosedReason::Stopped {
            reason: StopReason::TOKEN_EXPIRED,
            code: Some(CloseCode(4002))
        })
    );
}

#[test]
fn m10_failures_of_the_provider_are_told_from_the_third_on_and_retries_go_on() {
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.stable();
    rig.tokens(Tokens::Fail);
    rig.peer().reset();
    rig.advance(secs(8));
    rig.expect([
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
    assert_eq!(rig.word(), "reconnecting", "that is for information");
    rig.tokens(Tokens::Grant(None));
    rig.up();
    assert_eq!(rig.word(), "connected");
}

#[test]
fn m11_a_hundred_attempts_or_no_limit_and_the_end_is_visible() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    let lost = rig.outage();
    rig.advance(secs(86_400));
    assert_eq!(rig.dialled_after(lost).len(), 100);
    let reason = ClosedReason::GaveUp(GiveUpReason::Attempts);
    assert_eq!(rig.events().last(), Some(&Event::Closed { reason }));
    assert_eq!(rig.word(), "closed");

    let mut config = config();
    config.link.budget.max_attempts = None;
    let mut rig = Rig::with(&PROFILE, config);
    rig.stable();
    let lost = rig.outage();
    rig.advance(secs(86_400));
    assert!(rig.dialled_after(lost).len() > 2_800, "every 18 to 30 s");
    assert_eq!(rig.word(), "reconnecting");
}

#[test]
fn m12_going_away_is_told_before_the_close_and_honoured_only_if_asked_for() {
    let hint = r#"{"type":"going_away","retryAfterMs":3000}"#;
    let normal = drawn(config().link.backoff, 1)[0];
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.skip();
    rig.peer().send(hint);
    rig.peer().close(1001);
    rig.expect(["going away, back in 3s", "drop", "lost (1001)"]);
    assert_eq!(rig.delays(), [normal], "reported, and no more");

    let waits: Vec<_> = (0..200)
        .map(|seed| {
            let mut config = config();
            config.link.retry_after.honour = true;
            let mut rig = Rig::seeded(&PROFILE, config, seed);
            rig.stable();
            rig.peer().send(hint);
            rig.peer().close(1001);
            rig.delays()[0]
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
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    rig.peer().silence();
    rig.skip();
    rig.advance(millis(59_999));
    assert!(rig.state().is_usable());
    rig.advance(millis(1));
    rig.expect([
        r#"text "{\"type\":\"ping\"}""#,
        "drop, saying 4000",
        "lost (1006): nothing was heard for too long",
    ]);

    // Traffic of any kind puts it off.
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    for _ in 0..20 {
        rig.advance(secs(50));
        rig.peer().send(r#"{"type":"pong"}"#);
    }
    assert!(rig.state().is_usable());
}

#[test]
fn m13_a_suspended_process_asks_before_it_judges() {
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    rig.peer().silence();
    rig.sleep(secs(8 * 3_600));
    rig.advance(secs(2));
    let dead = Reason::Dead(DeadReason::Probe);
    assert!(
        rig.events()
            .iter()
            .any(|event| matches!(event, Event::Disconnected { reason, .. } if *reason == dead))
    );
    // Where the link has survived the sleep, it stays.
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    rig.sleep(secs(8 * 3_600));
    rig.advance(millis(1));
    rig.peer().send(r#"{"type":"pong"}"#);
    rig.advance(secs(2));
    assert!(rig.state().is_usable());
}

#[test]
fn m14_in_the_foreground_again_it_recovers_at_once() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.outage();
    rig.advance(secs(60));
    rig.peer().on_dial(OnDial::Accept);
    let (now, dials) = (rig.now(), rig.dials().len());
    assert!(rig.wakes_in().unwrap() > secs(1));
    rig.hint(Hint::Wake);
    rig.advance(millis(250));
    assert_eq!(rig.dials().len(), dials + 1);
    assert!(rig.dials().last().unwrap().at - now <= millis(250));
}

#[test]
fn m15_the_banner_waits_for_a_second() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.peer().reset();
    rig.up(); // after some 500 ms
    rig.advance(secs(5));
    assert!(!shown(&mut rig).contains(&StatusChange::Banner(true)), "no flicker");

    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.outage();
    rig.advance(millis(999));
    assert!(!shown(&mut rig).contains(&StatusChange::Banner(true)));
    rig.advance(millis(1));
    assert!(shown(&mut rig).contains(&StatusChange::Banner(true)));
    rig.up();
    assert!(shown(&mut rig).contains(&StatusChange::Banner(false)));
}

#[test]
fn m16_after_30_s_it_says_that_it_is_stuck() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.outage();
    rig.advance(millis(29_999));
    assert!(!shown(&mut rig).contains(&StatusChange::Stuck(true)));
    rig.advance(millis(1));
    assert!(shown(&mut rig).contains(&StatusChange::Stuck(true)), "time for *retry now*");
    rig.up();
    assert!(shown(&mut rig).contains(&StatusChange::Stuck(false)));
}

#[test]
fn m17_retry_now_dials_at_once_with_a_fresh_backoff() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.outage();
    rig.advance(secs(120));
    let (now, dials) = (rig.now(), rig.dials().len());
    rig.retry_now();
    assert_eq!((rig.dials().len(), rig.dials().last().unwrap().at), (dials + 1, now));
    let wait = *rig.delays().last().unwrap();
    assert!(wait <= millis(600), "from the bottom of the curve: {wait:?}");
    // It works at the end, too.
    rig.advance(secs(86_400));
    assert_eq!(rig.word(), "closed");
    rig.retry_now();
    assert_eq!(rig.state(), State::Connecting(Phase::Waiting), "the server still refuses");
}

#[test]
fn m20_connected_says_whether_it_was_connected_before() {
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    for _ in 0..2 {
        rig.peer().reset();
        rig.up();
    }
    let told: Vec<_> = rig
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
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.peer().reset();
    let refused = rig.send("hello").unwrap_err();
    assert_eq!(refused.reason, SendErrorKind::Down);
    assert!(refused.to_string().contains("the link is not usable now"));

    let outbox = OutboxConfig::default().with_while_down(OfflineSend::Queue);
    let mut rig = Rig::with(&PROFILE, config().with_outbox(outbox));
    rig.stable();
    rig.peer().reset();
    assert!(rig.send(relink::Outgoing::from(r#"{"n":1}"#).on("lobby")).unwrap().queued);
    rig.heard();
    rig.up();
    assert_eq!(rig.heard(), [r#"{"type":"publish","channel":"lobby","data":{"n":1}}"#]);
}

#[test]
fn m23_close_is_terminal_for_the_instance() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.close(1000);
    rig.connect();
    rig.retry_now();
    rig.advance(secs(86_400));
    assert_eq!((rig.dials().len(), rig.word()), (1, "closed"));
    assert_eq!(rig.send("hello").unwrap_err().reason, SendErrorKind::Closed);
    assert!(rig.machine().link().is_final());
    let _ = Failure::Reset;
}
