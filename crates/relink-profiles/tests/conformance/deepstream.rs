//! The connectivity of deepstream's client.

use std::time::Duration;

use relink::link::{Indicator, Step};
use relink::policy::GiveUpReason;
use relink::session::SendErrorKind;
use relink::{Backoff, ClosedReason, Event, Phase, State, StopReason};
use relink_profiles::deepstream::{ConnectionState, PROFILE, PROFILE_7, backoff, config};
use relink_sim::{OnDial, millis, secs};

use crate::support::{ProfileSim, summed};

const CHALLENGE: &str = r#"{"topic":2,"action":5}"#;
const ACCEPT: &str = r#"{"topic":2,"action":4}"#;
const LOGGED_IN: &str = r#"{"topic":3,"action":3}"#;
const PONG: &str = r#"{"topic":2,"action":3}"#;
const REDIRECT: &str = r#"{"topic":2,"action":7,"url":"ws://other/deepstream-json"}"#;

#[test]
fn d01_eight_states_and_no_other() {
    let mut sim = ProfileSim::new(&PROFILE);
    assert_eq!(sim.word(), "CLOSED");
    sim.open();
    sim.peer().send(CHALLENGE);
    sim.peer().send(ACCEPT);
    sim.advance(secs(60));
    sim.login();
    sim.peer().send(LOGGED_IN);
    sim.advance(secs(5));
    assert_eq!(
        sim.changes(),
        [
            "CLOSED → AWAITING_CONNECTION",
            "AWAITING_CONNECTION → CHALLENGING",
            "CHALLENGING → AWAITING_AUTHENTICATION",
            "AWAITING_AUTHENTICATION → AUTHENTICATING",
            "AUTHENTICATING → OPEN",
        ]
    );
    sim.outage();
    sim.advance(secs(60));
    assert_eq!(sim.changes(), ["OPEN → RECONNECTING", "RECONNECTING → ERROR"]);

    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.close(1000);
    assert_eq!(sim.changes().last().unwrap(), "OPEN → CLOSED");
    let names: Vec<_> = [
        ConnectionState::Closed,
        ConnectionState::AwaitingConnection,
        ConnectionState::Challenging,
        ConnectionState::AwaitingAuthentication,
        ConnectionState::Authenticating,
        ConnectionState::Open,
        ConnectionState::Reconnecting,
        ConnectionState::Error,
    ]
    .map(ConnectionState::name)
    .into();
    assert_eq!(names.len(), 8);
}

#[test]
fn d01_version_7_has_other_names_at_both_ends() {
    let mut sim = ProfileSim::new(&PROFILE_7);
    assert_eq!(sim.word(), "INITIALISING");
    sim.stable();
    sim.outage();
    sim.advance(secs(60));
    let changes = sim.changes();
    assert_eq!(changes.first().unwrap(), "INITIALISING → CHALLENGING");
    assert_eq!(changes.last().unwrap(), "RECONNECTING → CLOSED", "ERROR is never reached");
    for (packet, name) in [
        (r#"{"topic":2,"action":6}"#, "CHALLENGE_DENIED"),
        (r#"{"topic":2,"action":100}"#, "AUTHENTICATION_TIMEOUT"),
        (r#"{"topic":3,"action":100}"#, "TOO_MANY_AUTH_ATTEMPTS"),
    ] {
        let mut sim = ProfileSim::new(&PROFILE_7);
        sim.open();
        sim.peer().send(packet);
        sim.advance(secs(600));
        assert_eq!((sim.word(), sim.dials().len()), (name, 1), "terminal");
    }
}

#[test]
fn d02_awaiting_connection_at_once_and_until_the_servers_first_word() {
    let mut sim = ProfileSim::new(&PROFILE);
    assert_eq!(sim.word(), "CLOSED");
    sim.open();
    assert_eq!(sim.now(), relink::Instant::ORIGIN, "almost at once is at once");
    assert_eq!(
        sim.state(),
        State::Connecting(Phase::Handshaking(Step::Welcome)),
        "the transport is open"
    );
    sim.advance(millis(9_999));
    assert_eq!(sim.changes(), ["CLOSED → AWAITING_CONNECTION"]);
    sim.peer().send(CHALLENGE);
    assert_eq!(sim.changes(), ["AWAITING_CONNECTION → CHALLENGING"]);

    // Waiting for a silent server has a deadline.
    let mut sim = ProfileSim::new(&PROFILE);
    sim.open();
    sim.advance(millis(10_001));
    assert_eq!(sim.state(), State::Connecting(Phase::Waiting));
    assert_eq!(sim.delays(), [secs(2)]);
}

#[test]
fn d03_a_challenge_may_redirect_which_is_no_failed_attempt() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.open();
    sim.peer().send(CHALLENGE);
    sim.peer().send(REDIRECT);
    sim.peer().send(ACCEPT);
    assert_eq!(sim.state(), State::Connecting(Phase::Handshaking(Step::Login)));
    let dials: Vec<_> = sim.dials().iter().map(|dial| dial.address.to_string()).collect();
    assert_eq!(dials, ["ws://peer/deepstream-json", "ws://other/deepstream-json"]);
    assert_eq!((sim.machine().link().attempts(), sim.now()), (0, relink::Instant::ORIGIN));
    // The challenge repeats the configured address, not that of the redirect.
    let challenges = sim
        .heard()
        .into_iter()
        .filter(|text| text.contains("\"url\":\"ws://peer/deepstream-json\""));
    assert_eq!(challenges.count(), 2);

    // After a loss the configured address is dialed again.
    sim.login();
    sim.peer().send(LOGGED_IN);
    sim.advance(secs(5));
    sim.peer().reset();
    assert_eq!(sim.dials().last().unwrap().address.to_string(), "ws://peer/deepstream-json");
}

#[test]
fn d03_redirect_loops_are_bounded() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.open();
    for _ in 0..50 {
        sim.peer().send(REDIRECT);
    }
    assert_eq!(sim.dials().len(), 6, "five redirects in one attempt");
    assert_eq!(
        (sim.machine().link().attempts(), sim.delays()),
        (1, vec![secs(2)]),
        "then it has failed"
    );
}

#[test]
fn d04_the_login_is_waited_for_and_remembered() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.open();
    sim.peer().send(ACCEPT);
    sim.advance(secs(86_400));
    assert_eq!(sim.word(), "AWAITING_AUTHENTICATION", "a person may be typing");
    sim.login();
    assert_eq!(sim.word(), "AUTHENTICATING");
    assert_eq!(sim.heard().last().unwrap(), r#"{"topic":3,"action":2,"data":"{}"}"#);
    sim.peer().send(LOGGED_IN);
    assert_eq!(sim.word(), "OPEN");

    // Early: before the link is started.
    let mut sim = ProfileSim::new(&PROFILE);
    sim.login();
    sim.open();
    sim.peer().send(ACCEPT);
    assert_eq!(sim.word(), "AUTHENTICATING");
    assert!(!sim.changes().iter().any(|change| change.contains("AWAITING_AUTHENTICATION")));

    // Once is enough: after a loss the login is sent again automatically.
    sim.peer().send(LOGGED_IN);
    sim.advance(secs(5));
    sim.peer().reset();
    sim.peer().send(ACCEPT);
    assert_eq!(sim.word(), "AUTHENTICATING");
}

/// When the link dials after a loss, with no server there.
fn redials(backoff: Backoff, count: usize) -> Vec<Duration> {
    let mut config = config();
    config.link.backoff = backoff;
    config.link.budget.max_attempts = None;
    let mut sim = ProfileSim::with(&PROFILE, config);
    sim.stable();
    let lost = sim.outage();
    while sim.dialed_after(lost).len() < count {
        sim.next_dial();
    }
    sim.dialed_after(lost)
}

#[test]
fn d05_at_once_then_later_by_the_increment_up_to_the_cap() {
    let expected = summed(&[0, 2, 4, 6, 8].map(secs));
    assert_eq!(redials(config().link.backoff, 5), expected, "the text's increment of 2 s");
    let example = backoff(secs(10), secs(30));
    assert_eq!(
        redials(example, 6),
        summed(&[0, 10, 20, 30, 30, 30].map(secs)),
        "the page's example"
    );
    assert_eq!(
        redials(backoff(secs(4), secs(180)), 5),
        summed(&[0, 4, 8, 12, 16].map(secs)),
        "version 7"
    );
}

#[test]
fn d06_so_many_attempts_then_error_and_no_further_one() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    let lost = sim.outage();
    sim.advance(secs(86_400));
    assert_eq!(sim.dialed_after(lost), summed(&[0, 2, 4, 6, 8].map(secs)), "five");
    assert_eq!(sim.word(), "ERROR");
    assert_eq!(sim.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::Attempts)));
    assert_eq!(sim.deadline(), None);

    let mut config = config();
    config.link.budget.max_attempts = None;
    let mut sim = ProfileSim::with(&PROFILE, config);
    sim.stable();
    sim.outage();
    sim.advance(secs(86_400));
    assert_eq!(sim.word(), "RECONNECTING");
    assert!(sim.dials().len() > 400, "unlimited: every 180 s in the end");
}

#[test]
fn d07_two_consecutive_missed_responses_are_an_error_whatever_the_transport_says() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.skip();
    sim.advance(secs(90));
    sim.expect([
        r#"text "{\"topic\":2,\"action\":2}""#,
        r#"text "{\"topic\":2,\"action\":2}""#,
        "drop, saying 4000",
        "lost (1006): the heartbeat went unanswered",
        "closed: heartbeat_lost",
    ]);
    assert_eq!((sim.word(), sim.deadline(), sim.dials().len()), ("ERROR", None, 1));
    let reason = StopReason::HEARTBEAT_LOST;
    assert_eq!(sim.state(), State::Closed(ClosedReason::Stopped { reason, code: None }));
}

#[test]
fn d07_a_response_in_between_starts_the_count_anew() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    for _ in 0..20 {
        sim.advance(secs(60)); // two pings, of which the first is missed
        sim.peer().send(PONG);
    }
    assert_eq!(sim.word(), "OPEN");

    // Version 7 comes back.
    let mut sim = ProfileSim::new(&PROFILE_7);
    sim.up();
    sim.advance(secs(90));
    assert_eq!(sim.changes().last().unwrap(), "RECONNECTING → CHALLENGING");
}

#[test]
fn d08_updates_wait_while_the_link_is_lost_and_go_out_in_order() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.outage();
    for number in 1..=3 {
        assert!(sim.send(format!("update {number}")).unwrap().queued);
    }
    sim.peer().on_dial(OnDial::Accept);
    sim.next_dial();
    sim.heard();
    sim.peer().send(ACCEPT);
    sim.advance(secs(1));
    assert!(
        !sim.heard().iter().any(|text| text.contains("update")),
        "not before the login is accepted"
    );
    sim.peer().send(LOGGED_IN);
    assert_eq!(sim.heard(), ["update 1", "update 2", "update 3"]);
}

#[test]
fn d09_a_color_for_each_state_and_every_change_is_told() {
    for (state, color) in [
        (ConnectionState::Open, Indicator::Good),
        (ConnectionState::Closed, Indicator::Bad),
        (ConnectionState::Error, Indicator::Bad),
        (ConnectionState::AwaitingConnection, Indicator::Neutral),
        (ConnectionState::Challenging, Indicator::Neutral),
        (ConnectionState::AwaitingAuthentication, Indicator::Neutral),
        (ConnectionState::Authenticating, Indicator::Neutral),
        (ConnectionState::Reconnecting, Indicator::Neutral),
    ] {
        assert_eq!(state.indicator(), color, "{}", state.name());
    }
    // The state can be read at any time, the indicator agrees with it, and each change begins in
    // the state where the one before ended.
    let mut sim = ProfileSim::new(&PROFILE);
    let agrees = |sim: &ProfileSim| {
        assert_eq!(
            sim.machine().surface().indicator(),
            ConnectionState::of(sim.state()).indicator()
        );
    };
    agrees(&sim);
    sim.open();
    agrees(&sim);
    sim.handshake();
    sim.advance(secs(5));
    agrees(&sim);
    sim.outage();
    agrees(&sim);
    sim.advance(secs(60));
    agrees(&sim);
    let changes = sim.changes();
    let ends: Vec<_> = changes.iter().map(|change| change.split_once(" → ").unwrap()).collect();
    assert!(ends.windows(2).all(|pair| pair[0].1 == pair[1].0), "{changes:?}");
}

#[test]
fn d10_a_deliberate_close_is_final_and_using_it_again_is_a_clear_error() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.close(1000);
    assert_eq!((sim.word(), sim.state()), ("CLOSED", State::Closed(ClosedReason::Requested)));
    let dials = sim.dials().len();
    sim.connect();
    sim.retry_now();
    sim.login();
    sim.advance(secs(86_400));
    assert_eq!((sim.dials().len(), sim.deadline()), (dials, None));
    let refused = sim.send("again").unwrap_err();
    assert_eq!(refused.reason, SendErrorKind::Closed);
    assert_eq!(refused.to_string(), "the message was not taken: the link is closed");
    assert!(sim.machine().link().is_final(), "so a renewable handle hands out a fresh one");
    assert!(sim.events().iter().filter(|event| matches!(event, Event::Closed { .. })).count() == 1);
}
