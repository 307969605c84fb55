//! D1–D10: deepstream's client connectivity.

use std::time::Duration;

use relink::link::{Indicator, Step};
use relink::policy::GiveUpReason;
use relink::session::SendErrorKind;
use relink::{Backoff, ClosedReason, Event, Phase, State, StopReason};
use relink_profiles::deepstream::{ConnectionState, PROFILE, PROFILE_7, backoff, config};
use relink_sim::{OnDial, millis, secs};

use crate::support::{Rig, summed};

const CHALLENGE: &str = r#"{"topic":2,"action":5}"#;
const ACCEPT: &str = r#"{"topic":2,"action":4}"#;
const LOGGED_IN: &str = r#"{"topic":3,"action":3}"#;
const PONG: &str = r#"{"topic":2,"action":3}"#;
const REDIRECT: &str = r#"{"topic":2,"action":7,"url":"ws://other/deepstream-json"}"#;

#[test]
fn d01_eight_states_and_no_other() {
    let mut rig = Rig::new(&PROFILE);
    assert_eq!(rig.word(), "CLOSED");
    rig.open();
    rig.peer().send(CHALLENGE);
    rig.peer().send(ACCEPT);
    rig.advance(secs(60));
    rig.login();
    rig.peer().send(LOGGED_IN);
    rig.advance(secs(5));
    assert_eq!(
        rig.changes(),
        [
            "CLOSED → AWAITING_CONNECTION",
            "AWAITING_CONNECTION → CHALLENGING",
            "CHALLENGING → AWAITING_AUTHENTICATION",
            "AWAITING_AUTHENTICATION → AUTHENTICATING",
            "AUTHENTICATING → OPEN",
        ]
    );
    rig.outage();
    rig.advance(secs(60));
    assert_eq!(rig.changes(), ["OPEN → RECONNECTING", "RECONNECTING → ERROR"]);

    let mut rig = Rig::new(&PROFILE);
    rig.up();
    rig.close(1000);
    assert_eq!(rig.changes().last().unwrap(), "OPEN → CLOSED");
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
    let mut rig = Rig::new(&PROFILE_7);
    assert_eq!(rig.word(), "INITIALISING");
    rig.stable();
    rig.outage();
    rig.advance(secs(60));
    let changes = rig.changes();
    assert_eq!(changes.first().unwrap(), "INITIALISING → CHALLENGING");
    assert_eq!(changes.last().unwrap(), "RECONNECTING → CLOSED", "ERROR is never reached");
    for (packet, name) in [
        (r#"{"topic":2,"action":6}"#, "CHALLENGE_DENIED"),
        (r#"{"topic":2,"action":100}"#, "AUTHENTICATION_TIMEOUT"),
        (r#"{"topic":3,"action":100}"#, "TOO_MANY_AUTH_ATTEMPTS"),
    ] {
        let mut rig = Rig::new(&PROFILE_7);
        rig.open();
        rig.peer().send(packet);
        rig.advance(secs(600));
        assert_eq!((rig.word(), rig.dials().len()), (name, 1), "terminal");
    }
}

#[test]
fn d02_awaiting_connection_at_once_and_until_the_servers_first_word() {
    let mut rig = Rig::new(&PROFILE);
    assert_eq!(rig.word(), "CLOSED");
    rig.open();
    assert_eq!(rig.now(), relink::Instant::ORIGIN, "almost at once is at once");
    assert_eq!(
        rig.state(),
        State::Connecting(Phase::Handshaking(Step::Welcome)),
        "the transport is open"
    );
    rig.advance(millis(9_999));
    assert_eq!(rig.changes(), ["CLOSED → AWAITING_CONNECTION"]);
    rig.peer().send(CHALLENGE);
    assert_eq!(rig.changes(), ["AWAITING_CONNECTION → CHALLENGING"]);

    // A server that says nothing is not waited for for ever.
    let mut rig = Rig::new(&PROFILE);
    rig.open();
    rig.advance(millis(10_001));
    assert_eq!(rig.state(), State::Connecting(Phase::Waiting));
    assert_eq!(rig.delays(), [secs(2)]);
}

#[test]
fn d03_a_challenge_may_redirect_which_is_no_failed_attempt() {
    let mut rig = Rig::new(&PROFILE);
    rig.open();
    rig.peer().send(CHALLENGE);
    rig.peer().send(REDIRECT);
    rig.peer().send(ACCEPT);
    assert_eq!(rig.state(), State::Connecting(Phase::Handshaking(Step::Login)));
    let dials: Vec<_> = rig.dials().iter().map(|dial| dial.address.to_string()).collect();
    assert_eq!(dials, ["ws://peer/deepstream-json", "ws://other/deepstream-json"]);
    assert_eq!((rig.machine().link().attempts(), rig.now()), (0, relink::Instant::ORIGIN));
    // The challenge repeats where the client wanted to go, not where it was sent.
    let challenges = rig
        .heard()
        .into_iter()
        .filter(|text| text.contains("\"url\":\"ws://peer/deepstream-json\""));
    assert_eq!(challenges.count(), 2);

    // After a loss the origin is asked again.
    rig.login();
    rig.peer().send(LOGGED_IN);
    rig.advance(secs(5));
    rig.peer().reset();
    assert_eq!(rig.dials().last().unwrap().address.to_string(), "ws://peer/deepstream-json");
}

#[test]
fn d03_redirect_loops_are_bounded() {
    let mut rig = Rig::new(&PROFILE);
    rig.open();
    for _ in 0..50 {
        rig.peer().send(REDIRECT);
    }
    assert_eq!(rig.dials().len(), 6, "five redirects in one attempt");
    assert_eq!(
        (rig.machine().link().attempts(), rig.delays()),
        (1, vec![secs(2)]),
        "then it has failed"
    );
}

#[test]
fn d04_the_login_is_waited_for_and_remembered() {
    let mut rig = Rig::new(&PROFILE);
    rig.open();
    rig.peer().send(ACCEPT);
    rig.advance(secs(86_400));
    assert_eq!(rig.word(), "AWAITING_AUTHENTICATION", "a person may be typing");
    rig.login();
    assert_eq!(rig.word(), "AUTHENTICATING");
    assert_eq!(rig.heard().last().unwrap(), r#"{"topic":3,"action":2,"data":"{}"}"#);
    rig.peer().send(LOGGED_IN);
    assert_eq!(rig.word(), "OPEN");

    // Early: before the link is even started.
    let mut rig = Rig::new(&PROFILE);
    rig.login();
    rig.open();
    rig.peer().send(ACCEPT);
    assert_eq!(rig.word(), "AUTHENTICATING");
    assert!(!rig.changes().iter().any(|change| change.contains("AWAITING_AUTHENTICATION")));

    // And once is enough: after a loss the login is sent again by itself.
    rig.peer().send(LOGGED_IN);
    rig.advance(secs(5));
    rig.peer().reset();
    rig.peer().send(ACCEPT);
    assert_eq!(rig.word(), "AUTHENTICATING");
}

/// When the link dials after a loss, with no server there.
fn redials(backoff: Backoff, count: usize) -> Vec<Duration> {
    let mut config = config();
    config.link.backoff = backoff;
    config.link.budget.max_attempts = None;
    let mut rig = Rig::with(&PROFILE, config);
    rig.stable();
    let lost = rig.outage();
    while rig.dialled_after(lost).len() < count {
        rig.next_dial();
    }
    rig.dialled_after(lost)
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
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    let lost = rig.outage();
    rig.advance(secs(86_400));
    assert_eq!(rig.dialled_after(lost), summed(&[0, 2, 4, 6, 8].map(secs)), "five");
    assert_eq!(rig.word(), "ERROR");
    assert_eq!(rig.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::Attempts)));
    assert_eq!(rig.deadline(), None);

    let mut config = config();
    config.link.budget.max_attempts = None;
    let mut rig = Rig::with(&PROFILE, config);
    rig.stable();
    rig.outage();
    rig.advance(secs(86_400));
    assert_eq!(rig.word(), "RECONNECTING");
    assert!(rig.dials().len() > 400, "unlimited: every 180 s in the end");
}

#[test]
fn d07_two_consecutive_missed_responses_are_an_error_whatever_the_transport_says() {
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    rig.skip();
    rig.advance(secs(90));
    rig.expect([
        r#"text "{\"topic\":2,\"action\":2}""#,
        r#"text "{\"topic\":2,\"action\":2}""#,
        "drop, saying 4000",
        "lost (1006): the heartbeat went unanswered",
        "closed: heartbeat_lost",
    ]);
    assert_eq!((rig.word(), rig.deadline(), rig.dials().len()), ("ERROR", None, 1));
    let reason = StopReason::HEARTBEAT_LOST;
    assert_eq!(rig.state(), State::Closed(ClosedReason::Stopped { reason, code: None }));
}

#[test]
fn d07_a_response_in_between_starts_the_count_anew() {
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    for _ in 0..20 {
        rig.advance(secs(60)); // two pings, of which the first is missed
        rig.peer().send(PONG);
    }
    assert_eq!(rig.word(), "OPEN");

    // Version 7 comes back.
    let mut rig = Rig::new(&PROFILE_7);
    rig.up();
    rig.advance(secs(90));
    assert_eq!(rig.changes().last().unwrap(), "RECONNECTING → CHALLENGING");
}

#[test]
fn d08_updates_wait_while_the_link_is_lost_and_go_out_in_order() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.outage();
    for number in 1..=3 {
        assert!(rig.send(format!("update {number}")).unwrap().queued);
    }
    rig.peer().on_dial(OnDial::Accept);
    rig.next_dial();
    rig.heard();
    rig.peer().send(ACCEPT);
    rig.advance(secs(1));
    assert!(
        !rig.heard().iter().any(|text| text.contains("update")),
        "not before the login is accepted"
    );
    rig.peer().send(LOGGED_IN);
    assert_eq!(rig.heard(), ["update 1", "update 2", "update 3"]);
}

#[test]
fn d09_a_colour_for_each_state_and_every_change_is_told() {
    for (state, colour) in [
        (ConnectionState::Open, Indicator::Good),
        (ConnectionState::Closed, Indicator::Bad),
        (ConnectionState::Error, Indicator::Bad),
        (ConnectionState::AwaitingConnection, Indicator::Neutral),
        (ConnectionState::Challenging, Indicator::Neutral),
        (ConnectionState::AwaitingAuthentication, Indicator::Neutral),
        (ConnectionState::Authenticating, Indicator::Neutral),
        (ConnectionState::Reconnecting, Indicator::Neutral),
    ] {
        assert_eq!(state.colour(), colour, "{}", state.name());
    }
    // The state can be read at any time, the indicator agrees with it, and each change joins the
    // one before.
    let mut rig = Rig::new(&PROFILE);
    let agrees = |rig: &Rig| {
        assert_eq!(rig.machine().surface().colour(), ConnectionState::of(rig.state()).colour());
    };
    agrees(&rig);
    rig.open();
    agrees(&rig);
    rig.handshake();
    rig.advance(secs(5));
    agrees(&rig);
    rig.outage();
    agrees(&rig);
    rig.advance(secs(60));
    agrees(&rig);
    let changes = rig.changes();
    let ends: Vec<_> = changes.iter().map(|change| change.split_once(" → ").unwrap()).collect();
    assert!(ends.windows(2).all(|pair| pair[0].1 == pair[1].0), "{changes:?}");
}

#[test]
fn d10_a_deliberate_close_is_final_and_using_it_again_is_a_clear_error() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.close(1000);
    assert_eq!((rig.word(), rig.state()), ("CLOSED", State::Closed(ClosedReason::Requested)));
    let dials = rig.dials().len();
    rig.connect();
    rig.retry_now();
    rig.login();
    rig.advance(secs(86_400));
    assert_eq!((rig.dials().len(), rig.deadline()), (dials, None));
    let refused = rig.send("again").unwrap_err();
    assert_eq!(refused.reason, SendErrorKind::Closed);
    assert_eq!(refused.to_string(), "the message was not taken: the link is closed");
    assert!(rig.machine().link().is_final(), "so a renewable handle hands out a fresh one");
    assert!(rig.events().iter().filter(|event| matches!(event, Event::Closed { .. })).count() == 1);
}
