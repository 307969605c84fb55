//! W1–W8, W13, W14, W17–W19, W22: the client of `ManagedWebSocket`.

use std::time::Duration;

use relink::link::Hint;
use relink::policy::{Breaker, DeadReason, GiveUpReason};
use relink::session::{DropReason, SendErrorKind};
use relink::{
    CloseCode, ClosedReason, Event, Failure, Phase, Position, Reason, State, StopReason,
    Subscription,
};
use relink_profiles::managed_websocket::{
    ConnectionState, GOING_AWAY, PROFILE, PROFILE_PROSE, config, config_prose,
};
use relink_sim::{OnDial, Tokens, millis, secs};
use relink_v1::{self, ServerFrame};

use crate::support::{Rig, drawn, summed};

const HEARTBEAT_ACK: &str = r#"{"type":"heartbeat_ack","timestamp":1}"#;

#[test]
fn w01_six_states_each_of_which_decides_what_may_be_done() {
    let mut rig = Rig::new(&PROFILE);
    let states = [
        ConnectionState::Connecting,
        ConnectionState::Connected,
        ConnectionState::Reconnecting,
        ConnectionState::Disconnected,
        ConnectionState::Failed,
        ConnectionState::Closed,
    ];
    let names = ["CONNECTING", "CONNECTED", "RECONNECTING", "DISCONNECTED", "FAILED", "CLOSED"];
    assert_eq!(states.map(ConnectionState::name), names);

    let check = |rig: &mut Rig, state: ConnectionState| {
        assert_eq!(ConnectionState::of(rig.state()), state);
        assert_eq!(rig.send("a message").is_ok(), state.takes_messages(), "{}", state.name());
    };
    check(&mut rig, ConnectionState::Disconnected);
    rig.peer().on_dial(OnDial::Hold);
    rig.connect();
    check(&mut rig, ConnectionState::Connecting);
    rig.peer().accept();
    check(&mut rig, ConnectionState::Connected);
    rig.peer().reset();
    check(&mut rig, ConnectionState::Reconnecting);
    rig.close(1000);
    check(&mut rig, ConnectionState::Closed);
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    rig.peer().close(1008);
    check(&mut rig, ConnectionState::Failed);
}

#[test]
fn w02_doubled_up_to_the_cap_and_up_to_30_percent_on_top() {
    let backoff = config().link.backoff;
    let windows: Vec<_> = (1..=8).map(|retry| backoff.window(retry, Duration::ZERO)).collect();
    let bounds: Vec<_> =
        windows.iter().map(|window| (window.from.as_millis(), window.to.as_millis())).collect();
    assert_eq!(
        bounds,
        [
            (1_000, 1_300),
            (2_000, 2_600),
            (4_000, 5_200),
            (8_000, 10_400),
            (16_000, 20_800),
            (30_000, 39_000),
            (30_000, 39_000),
            (30_000, 39_000),
        ]
    );
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    let lost = rig.outage();
    rig.advance(secs(3_600));
    assert_eq!(rig.dialled_after(lost), summed(&drawn(backoff, 10)), "the delays of the seed");
}

#[test]
fn w03_heartbeats_in_json_and_4000_where_no_answer_comes() {
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    rig.peer().send(r#"{"type":"connection_ack","connectionId":"srv-7","timestamp":1}"#);
    for second in [15_000, 30_000, 45_000] {
        rig.advance(secs(15));
        let heartbeat =
            format!(r#"{{"type":"heartbeat","timestamp":{second},"connectionId":"srv-7"}}"#);
        assert_eq!(rig.heard(), [heartbeat]);
        rig.peer().send(HEARTBEAT_ACK);
    }
    rig.skip();
    rig.advance(secs(20));
    rig.expect([
        r#"text "{\"type\":\"heartbeat\""#,
        "drop, saying 4000",
        "lost (1006): the heartbeat went unanswered; next attempt in",
    ]);
    assert_eq!(rig.word(), "RECONNECTING");
    assert!(
        !rig.events().iter().any(|event| matches!(event, Event::Message(_))),
        "none of it is the application's"
    );
}

#[test]
fn w03_the_clock_of_the_heartbeat_starts_anew_with_each_connection() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.outage();
    rig.advance(secs(45));
    rig.up();
    rig.advance(secs(15));
    rig.peer().send(HEARTBEAT_ACK);
    rig.advance(secs(10));
    assert_eq!(rig.word(), "CONNECTED", "a long outage says nothing about the next connection");
}

#[test]
fn w04_connect_while_connecting_or_connected_does_nothing() {
    let mut rig = Rig::new(&PROFILE);
    rig.peer().on_dial(OnDial::Hold);
    rig.connect();
    rig.connect();
    rig.peer().accept();
    rig.connect();
    assert_eq!(rig.dials().len(), 1);
    assert_eq!(rig.changes(), ["DISCONNECTED → CONNECTING", "CONNECTING → CONNECTED"]);
}

#[test]
fn w05_normal_closures_end_it_in_the_listing() {
    for (code, word) in [(1000, "CLOSED"), (1001, "CLOSED"), (1008, "FAILED"), (1003, "FAILED")] {
        let mut rig = Rig::new(&PROFILE);
        rig.stable();
        rig.peer().close(code);
        rig.advance(secs(3_600));
        assert_eq!((rig.word(), rig.dials().len()), (word, 1), "{code}");
    }
    for code in [1005, 1006, 1011, 4000, 4999] {
        let mut rig = Rig::new(&PROFILE);
        rig.stable();
        rig.peer().close(code);
        assert_eq!(rig.word(), "RECONNECTING", "{code}");
    }
}

#[test]
fn w05_normal_closures_come_back_in_the_text() {
    for code in [1000, 1001] {
        let mut rig = Rig::new(&PROFILE_PROSE);
        rig.stable();
        rig.peer().close(code);
        assert_eq!(rig.word(), "RECONNECTING");
        assert!(
            rig.delays()[0] >= millis(250) && rig.delays()[0] <= millis(500),
            "minimal backoff"
        );
    }
    let mut rig = Rig::new(&PROFILE_PROSE);
    rig.stable();
    rig.peer().close(1008);
    assert_eq!(rig.word(), "FAILED", "that one both agree about");
}

#[test]
fn w06_a_bounded_queue_while_reconnecting_and_refusals_elsewhere() {
    let mut rig = Rig::new(&PROFILE);
    assert_eq!(rig.send("idle").unwrap_err().reason, SendErrorKind::Down);
    rig.up();
    rig.heard();
    rig.peer().reset();
    for number in 1..=100 {
        assert!(rig.send(format!("{number}")).unwrap().queued);
    }
    let refused = rig.send("101").unwrap_err();
    assert_eq!(refused.reason, SendErrorKind::Full);
    assert_eq!(refused.message.as_text(), Some("101"), "and handed back");
    rig.up();
    let expected: Vec<_> = (1..=100).map(|number| number.to_string()).collect();
    assert_eq!(rig.heard(), expected, "in order");
    rig.close(1000);
    assert_eq!(rig.send("closing").unwrap_err().reason, SendErrorKind::Closed);
}

#[test]
fn w07_close_stops_every_timer_says_1000_and_empties_the_queue() {
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    rig.skip();
    rig.close(1000);
    rig.expect(["close 1000", "drop", "closed: requested"]);
    assert_eq!(rig.deadline(), None);

    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.outage();
    rig.send("never").unwrap();
    rig.close(1000);
    assert!(rig.machine().outbox().is_empty());
    let dropped = |event: &Event| matches!(event, Event::Dropped { why: DropReason::Closed, .. });
    assert_eq!(
        rig.events().iter().filter(|event| dropped(event)).count(),
        1,
        "and its fate is told"
    );
    rig.advance(secs(3_600));
    assert_eq!((rig.deadline(), rig.dials().len()), (None, 1));
}

#[test]
fn w08_attempts_used_up_are_failed() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    let lost = rig.outage();
    rig.advance(secs(3_600));
    assert_eq!(rig.dialled_after(lost).len(), 10);
    assert_eq!(rig.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::Attempts)));
    assert_eq!(rig.changes().last().unwrap(), "RECONNECTING → FAILED");
}

#[test]
fn w13_credentials_are_refreshed_before_the_attempt() {
    let mut config = config();
    config.link.credentials.fetch = true;
    let mut rig = Rig::with(&PROFILE, config);
    rig.tokens(Tokens::Grant(None));
    rig.up();
    rig.peer().reset();
    rig.next_dial();
    rig.expect([
        "fetch token",
        "dial ws://peer",
        "connected",
        "drop",
        "lost (1006): the connection was reset; next attempt in 1s147ms349us333ns",
        "fetch token",
        "dial ws://peer",
        "connected again",
    ]);
    let tokens: Vec<_> =
        rig.dials().iter().map(|dial| dial.token.clone().unwrap().expose().to_owned()).collect();
    assert_eq!(tokens, ["token-1", "token-2"]);
}

#[test]
fn w14_numbers_with_gap_detection_keep_a_replayed_queue_in_order() {
    // The listing has no numbers; relink.v1 does, on the same link.
    let mut rig = Rig::with(&relink_profiles::serverpod::PROFILE, relink_v1::adapt(config()));
    rig.up();
    rig.subscribe("news", Subscription::default());
    let position = Position::new(1, 10);
    rig.say(&ServerFrame::Subscribed { channel: "news".into(), position, recovered: true });
    rig.skip();
    let publish = |rig: &mut Rig, offset: u64| {
        let payload = format!("{offset}").into();
        rig.say(&ServerFrame::Publication { channel: Some("news".into()), offset, payload });
    };
    for offset in [11, 12, 11, 12, 13] {
        publish(&mut rig, offset);
    }
    rig.expect([
        r#"received text "11" on news at 11"#,
        r#"received text "12" on news at 12"#,
        r#"received text "13" on news at 13"#,
    ]);
    assert_eq!(rig.machine().stats().duplicates, 2);
    publish(&mut rig, 15);
    rig.expect(["drop, saying 4100", "lost (1006): messages are missing"]);
    assert_eq!(rig.machine().stats().gaps, 1);
}

#[test]
fn w17_a_strategy_for_each_close_code() {
    let policy = config_prose().link.close_policy;
    let wait = |code: u16| {
        let mut rig = Rig::new(&PROFILE_PROSE);
        rig.stable();
        rig.peer().close(code);
        rig.delays().first().copied()
    };
    for code in [1000, 1001] {
        assert!(wait(code).unwrap() <= millis(500), "{code}: minimal backoff");
    }
    assert_eq!(wait(1008), None, "never");
    let network = wait(1006).unwrap();
    assert!(network >= secs(1) && network <= millis(1_300), "exponential with jitter: {network:?}");
    let mut rig = Rig::new(&PROFILE_PROSE);
    rig.stable();
    rig.outage();
    rig.advance(secs(6));
    let waits = rig.delays();
    assert!(waits.windows(2).all(|pair| pair[1] >= pair[0] * 3 / 2), "{waits:?}");
    assert_eq!(
        policy.on_close(CloseCode(1008)),
        relink::Verdict::Stop(StopReason::POLICY_VIOLATION)
    );
    assert_eq!(GOING_AWAY.name(), "going_away");
}

#[test]
fn w18_many_failures_within_a_window_stop_it_until_the_user_acts() {
    let mut config = config_prose();
    let window = secs(60);
    config.link.budget.breaker = Some(Breaker { failures: 5, window, cooldown: None });
    let mut rig = Rig::with(&PROFILE_PROSE, config);
    rig.stable();
    let lost = rig.outage();
    rig.advance(secs(86_400));
    assert_eq!(rig.dialled_after(lost).len(), 5);
    assert_eq!(rig.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::CircuitOpen)));
    assert_eq!(rig.word(), "FAILED");
    rig.peer().on_dial(OnDial::Accept);
    rig.hint(Hint::Online);
    rig.advance(secs(3_600));
    assert_eq!(rig.dialled_after(lost).len(), 5, "a hint is not the user");
    rig.retry_now();
    assert_eq!(rig.word(), "CONNECTED");
}

#[test]
fn w19_the_application_is_told_whether_it_is_sent_queued_or_refused() {
    let mut rig = Rig::new(&PROFILE);
    let idle = rig.send("?").unwrap_err();
    assert!(idle.is_retryable() && idle.to_string().contains("not usable now"));
    rig.up();
    assert!(!rig.send("now").unwrap().queued);
    rig.peer().reset();
    assert!(rig.send("later").unwrap().queued);
    rig.close(1000);
    let closed = rig.send("never").unwrap_err();
    assert!(!closed.is_retryable() && closed.to_string().contains("closed"));
}

#[test]
fn w22_a_zombie_is_found_within_interval_and_timeout() {
    let heartbeat = config().link.heartbeat;
    let bound = heartbeat.interval.unwrap() + heartbeat.timeout;
    for died_after in (0..15).map(secs) {
        let mut rig = Rig::new(&PROFILE);
        rig.up();
        rig.advance(died_after);
        rig.peer().send("the last word");
        rig.peer().silence();
        let died = rig.now();
        while rig.state() == State::Connected {
            rig.step();
        }
        assert!(rig.now() - died <= bound, "{:?} after {died_after:?}", rig.now() - died);
        let dead = Reason::Dead(DeadReason::Heartbeat);
        let is_dead =
            |event: &Event| matches!(event, Event::Disconnected { reason, .. } if *reason == dead);
        assert!(rig.events().iter().any(is_dead));
        assert_eq!(
            rig.state(),
            State::Reconnecting(Phase::Waiting),
            "and nobody waits for its close frame"
        );
    }
    let _ = Failure::Reset;
}
