//! The client of `ManagedWebSocket`.

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

use crate::support::{ProfileSim, drawn, summed};

const HEARTBEAT_ACK: &str = r#"{"type":"heartbeat_ack","timestamp":1}"#;

#[test]
fn w01_six_states_each_of_which_decides_what_may_be_done() {
    let mut sim = ProfileSim::new(&PROFILE);
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

    let check = |sim: &mut ProfileSim, state: ConnectionState| {
        assert_eq!(ConnectionState::of(sim.state()), state);
        assert_eq!(sim.send("a message").is_ok(), state.takes_messages(), "{}", state.name());
    };
    check(&mut sim, ConnectionState::Disconnected);
    sim.peer().on_dial(OnDial::Hold);
    sim.connect();
    check(&mut sim, ConnectionState::Connecting);
    sim.peer().accept();
    check(&mut sim, ConnectionState::Connected);
    sim.peer().reset();
    check(&mut sim, ConnectionState::Reconnecting);
    sim.close(1000);
    check(&mut sim, ConnectionState::Closed);
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.peer().close(1008);
    check(&mut sim, ConnectionState::Failed);
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
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    let lost = sim.outage();
    sim.advance(secs(3_600));
    assert_eq!(sim.dialed_after(lost), summed(&drawn(backoff, 10)), "the delays of the seed");
}

#[test]
fn w03_heartbeats_in_json_and_4000_where_no_answer_comes() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.peer().send(r#"{"type":"connection_ack","connectionId":"srv-7","timestamp":1}"#);
    for second in [15_000, 30_000, 45_000] {
        sim.advance(secs(15));
        let heartbeat =
            format!(r#"{{"type":"heartbeat","timestamp":{second},"connectionId":"srv-7"}}"#);
        assert_eq!(sim.heard(), [heartbeat]);
        sim.peer().send(HEARTBEAT_ACK);
    }
    sim.skip();
    sim.advance(secs(20));
    sim.expect([
        r#"text "{\"type\":\"heartbeat\""#,
        "drop, saying 4000",
        "lost (1006): the heartbeat went unanswered; next attempt in",
    ]);
    assert_eq!(sim.word(), "RECONNECTING");
    assert!(
        !sim.events().iter().any(|event| matches!(event, Event::Message(_))),
        "none of it is the application's"
    );
}

#[test]
fn w03_the_clock_of_the_heartbeat_starts_anew_with_each_connection() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.outage();
    sim.advance(secs(45));
    sim.up();
    sim.advance(secs(15));
    sim.peer().send(HEARTBEAT_ACK);
    sim.advance(secs(10));
    assert_eq!(sim.word(), "CONNECTED", "a long outage says nothing about the next connection");
}

#[test]
fn w04_connect_while_connecting_or_connected_does_nothing() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.peer().on_dial(OnDial::Hold);
    sim.connect();
    sim.connect();
    sim.peer().accept();
    sim.connect();
    assert_eq!(sim.dials().len(), 1);
    assert_eq!(sim.changes(), ["DISCONNECTED → CONNECTING", "CONNECTING → CONNECTED"]);
}

#[test]
fn w05_normal_closures_end_it_in_the_listing() {
    for (code, word) in [(1000, "CLOSED"), (1001, "CLOSED"), (1008, "FAILED"), (1003, "FAILED")] {
        let mut sim = ProfileSim::new(&PROFILE);
        sim.stable();
        sim.peer().close(code);
        sim.advance(secs(3_600));
        assert_eq!((sim.word(), sim.dials().len()), (word, 1), "{code}");
    }
    for code in [1005, 1006, 1011, 4000, 4999] {
        let mut sim = ProfileSim::new(&PROFILE);
        sim.stable();
        sim.peer().close(code);
        assert_eq!(sim.word(), "RECONNECTING", "{code}");
    }
}

#[test]
fn w05_normal_closures_come_back_in_the_text() {
    for code in [1000, 1001] {
        let mut sim = ProfileSim::new(&PROFILE_PROSE);
        sim.stable();
        sim.peer().close(code);
        assert_eq!(sim.word(), "RECONNECTING");
        assert!(
            sim.delays()[0] >= millis(250) && sim.delays()[0] <= millis(500),
            "minimal backoff"
        );
    }
    let mut sim = ProfileSim::new(&PROFILE_PROSE);
    sim.stable();
    sim.peer().close(1008);
    assert_eq!(sim.word(), "FAILED", "that one both agree about");
}

#[test]
fn w06_a_bounded_queue_while_reconnecting_and_refusals_elsewhere() {
    let mut sim = ProfileSim::new(&PROFILE);
    assert_eq!(sim.send("idle").unwrap_err().reason, SendErrorKind::Down);
    sim.up();
    sim.heard();
    sim.peer().reset();
    for number in 1..=100 {
        assert!(sim.send(format!("{number}")).unwrap().queued);
    }
    let refused = sim.send("101").unwrap_err();
    assert_eq!(refused.reason, SendErrorKind::Full);
    assert_eq!(refused.message.as_text(), Some("101"), "and handed back");
    sim.up();
    let expected: Vec<_> = (1..=100).map(|number| number.to_string()).collect();
    assert_eq!(sim.heard(), expected, "in order");
    sim.close(1000);
    assert_eq!(sim.send("closing").unwrap_err().reason, SendErrorKind::Closed);
}

#[test]
fn w07_close_stops_every_timer_says_1000_and_empties_the_queue() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.skip();
    sim.close(1000);
    sim.expect(["close 1000", "drop", "closed: requested"]);
    assert_eq!(sim.deadline(), None);

    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.outage();
    sim.send("never").unwrap();
    sim.close(1000);
    assert!(sim.machine().outbox().is_empty());
    let dropped = |event: &Event| matches!(event, Event::Dropped { why: DropReason::Closed, .. });
    assert_eq!(
        sim.events().iter().filter(|event| dropped(event)).count(),
        1,
        "and its fate is told"
    );
    sim.advance(secs(3_600));
    assert_eq!((sim.deadline(), sim.dials().len()), (None, 1));
}

#[test]
fn w08_attempts_used_up_are_failed() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    let lost = sim.outage();
    sim.advance(secs(3_600));
    assert_eq!(sim.dialed_after(lost).len(), 10);
    assert_eq!(sim.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::Attempts)));
    assert_eq!(sim.changes().last().unwrap(), "RECONNECTING → FAILED");
}

#[test]
fn w13_credentials_are_refreshed_before_the_attempt() {
    let mut config = config();
    config.link.credentials.fetch = true;
    let mut sim = ProfileSim::with(&PROFILE, config);
    sim.tokens(Tokens::Grant(None));
    sim.up();
    sim.peer().reset();
    sim.next_dial();
    sim.expect([
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
        sim.dials().iter().map(|dial| dial.token.clone().unwrap().expose().to_owned()).collect();
    assert_eq!(tokens, ["token-1", "token-2"]);
}

#[test]
fn w14_numbers_with_gap_detection_keep_a_replayed_queue_in_order() {
    // The system's own protocol has no serials; relink.v1 has them, on the same link.
    let mut sim =
        ProfileSim::with(&relink_profiles::serverpod::PROFILE, relink_v1::adapt(config()));
    sim.up();
    sim.subscribe("news", Subscription::default());
    let position = Position::new(1, 10);
    sim.say(&ServerFrame::Subscribed { channel: "news".into(), position, recovered: true });
    sim.skip();
    let publish = |sim: &mut ProfileSim, offset: u64| {
        let payload = format!("{offset}").into();
        sim.say(&ServerFrame::Publication { channel: Some("news".into()), offset, payload });
    };
    for offset in [11, 12, 11, 12, 13] {
        publish(&mut sim, offset);
    }
    sim.expect([
        r#"received text "11" on news at 11"#,
        r#"received text "12" on news at 12"#,
        r#"received text "13" on news at 13"#,
    ]);
    assert_eq!(sim.machine().stats().duplicates, 2);
    publish(&mut sim, 15);
    sim.expect(["drop, saying 4100", "lost (1006): messages are missing"]);
    assert_eq!(sim.machine().stats().gaps, 1);
}

#[test]
fn w17_a_strategy_for_each_close_code() {
    let policy = config_prose().link.close_policy;
    let wait = |code: u16| {
        let mut sim = ProfileSim::new(&PROFILE_PROSE);
        sim.stable();
        sim.peer().close(code);
        sim.delays().first().copied()
    };
    for code in [1000, 1001] {
        assert!(wait(code).unwrap() <= millis(500), "{code}: minimal backoff");
    }
    assert_eq!(wait(1008), None, "never");
    let network = wait(1006).unwrap();
    assert!(network >= secs(1) && network <= millis(1_300), "exponential with jitter: {network:?}");
    let mut sim = ProfileSim::new(&PROFILE_PROSE);
    sim.stable();
    sim.outage();
    sim.advance(secs(6));
    let waits = sim.delays();
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
    let mut sim = ProfileSim::with(&PROFILE_PROSE, config);
    sim.stable();
    let lost = sim.outage();
    sim.advance(secs(86_400));
    assert_eq!(sim.dialed_after(lost).len(), 5);
    assert_eq!(sim.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::CircuitOpen)));
    assert_eq!(sim.word(), "FAILED");
    sim.peer().on_dial(OnDial::Accept);
    sim.hint(Hint::Online);
    sim.advance(secs(3_600));
    assert_eq!(sim.dialed_after(lost).len(), 5, "a hint is not the user");
    sim.retry_now();
    assert_eq!(sim.word(), "CONNECTED");
}

#[test]
fn w19_the_application_is_told_whether_it_is_sent_queued_or_refused() {
    let mut sim = ProfileSim::new(&PROFILE);
    let idle = sim.send("?").unwrap_err();
    assert!(idle.is_retryable() && idle.to_string().contains("not usable now"));
    sim.up();
    assert!(!sim.send("now").unwrap().queued);
    sim.peer().reset();
    assert!(sim.send("later").unwrap().queued);
    sim.close(1000);
    let closed = sim.send("never").unwrap_err();
    assert!(!closed.is_retryable() && closed.to_string().contains("closed"));
}

#[test]
fn w22_a_zombie_is_found_within_interval_and_timeout() {
    let heartbeat = config().link.heartbeat;
    let bound = heartbeat.interval.unwrap() + heartbeat.timeout;
    for died_after in (0..15).map(secs) {
        let mut sim = ProfileSim::new(&PROFILE);
        sim.up();
        sim.advance(died_after);
        sim.peer().send("the last word");
        sim.peer().silence();
        let died = sim.now();
        while sim.state() == State::Connected {
            sim.step();
        }
        assert!(sim.now() - died <= bound, "{:?} after {died_after:?}", sim.now() - died);
        let dead = Reason::Dead(DeadReason::Heartbeat);
        let is_dead =
            |event: &Event| matches!(event, Event::Disconnected { reason, .. } if *reason == dead);
        assert!(sim.events().iter().any(is_dead));
        assert_eq!(
            sim.state(),
            State::Reconnecting(Phase::Waiting),
            "without waiting for its close frame"
        );
    }
    let _ = Failure::Reset;
}
