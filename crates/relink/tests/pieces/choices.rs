//! Choices in which systems differ: the timeout of a whole attempt, what a dead link and a missing
//! network lead to, whether messages may queue.

use relink::link::{Handshake, Hint, OnDead, OnOffline, Step, Timer};
use relink::policy::HeartbeatConfig;
use relink::session::{OfflineSend, OutboxConfig, SendErrorKind};
use relink::{ClosedReason, LinkConfig, Phase, Reason, SessionConfig, State, StopReason};
use relink_sim::{OnDial, Sim, secs};

fn attempt_of_6_s() -> LinkConfig {
    let handshake = Handshake::default().with_authentication(Some(secs(5))).with_login(true);
    LinkConfig::default().with_handshake(handshake).with_attempt_timeout(Some(secs(6)))
}

#[test]
fn a04_an_attempt_has_a_limit_as_a_whole() {
    let mut sim = Sim::new(attempt_of_6_s());
    sim.login();
    sim.peer().on_dial(OnDial::Hold);
    sim.connect();
    assert_eq!(sim.wakes_in(), Some(secs(6)), "sooner than the 10 s for the dial");
    sim.advance(secs(4));
    sim.peer().accept();
    assert_eq!(sim.state(), State::Connecting(Phase::Handshaking(Step::Authenticating)));
    assert_eq!(sim.wakes_in(), Some(secs(2)), "what the dial left of it, and not 5 s");
    sim.advance(secs(2));
    assert_eq!(sim.state(), State::Connecting(Phase::Waiting));
}

#[test]
fn a04_the_time_that_a_person_takes_to_log_in_is_left_out() {
    let mut sim = Sim::new(attempt_of_6_s());
    sim.open();
    sim.advance(secs(3600));
    assert_eq!(sim.state(), State::Connecting(Phase::Handshaking(Step::Login)));
    sim.login();
    assert_eq!(
        sim.wakes_in(),
        Some(secs(5)),
        "the step's own limit, since the attempt has 6 s again"
    );
}

#[test]
fn d03_a_redirect_stays_within_the_limit_of_its_attempt() {
    let mut sim = Sim::new(attempt_of_6_s());
    sim.peer().on_dial(OnDial::Hold);
    sim.connect();
    sim.advance(secs(4));
    sim.peer().refuse(relink::Failure::HttpRedirect);
    assert_eq!((sim.dials().len(), sim.wakes_in()), (2, Some(secs(2))));
}

#[test]
fn d07_a_link_that_was_found_dead_can_be_the_end() {
    let heartbeat = HeartbeatConfig::default();
    let mut sim =
        Sim::new(LinkConfig::default().with_heartbeat(heartbeat).with_when_dead(OnDead::Stop));
    sim.to_connected();
    sim.peer().silence();
    sim.advance(secs(40));
    let reason = StopReason::HEARTBEAT_LOST;
    assert_eq!(sim.state(), State::Closed(ClosedReason::Stopped { reason, code: None }));
    assert_eq!(StopReason::by_name("heartbeat_lost"), Some(reason));
}

#[test]
fn s04_a_link_can_let_go_when_the_system_says_that_there_is_no_network() {
    for (choice, state) in [
        (OnOffline::Check, State::Connected),
        (OnOffline::Disconnect, State::Reconnecting(Phase::Waiting)),
    ] {
        let mut sim = Sim::new(LinkConfig::default().with_when_offline(choice));
        sim.to_connected();
        sim.hint(Hint::Offline);
        assert_eq!(sim.state(), state);
    }
}

#[test]
fn a_hint_of_a_network_that_is_back_is_no_reason_to_let_go() {
    let mut sim = Sim::new(LinkConfig::default().with_when_offline(OnOffline::Disconnect));
    sim.to_connected();
    sim.hint(Hint::Online);
    sim.hint(Hint::Wake);
    assert_eq!(sim.state(), State::Connected);
}

#[test]
fn w06_messages_can_wait_after_a_loss_and_not_before_the_first_connection() {
    let outbox = OutboxConfig::default().with_while_down(OfflineSend::QueueAfterLoss);
    let mut sim = Sim::session(SessionConfig::default().with_outbox(outbox));
    assert_eq!(sim.send("idle").unwrap_err().reason, SendErrorKind::Down);
    sim.peer().on_dial(OnDial::Hold);
    sim.connect();
    assert_eq!(sim.send("connecting").unwrap_err().reason, SendErrorKind::Down);
    sim.peer().accept();
    sim.peer().reset();
    assert!(sim.send("reconnecting").unwrap().queued);
}

#[test]
fn the_phase_that_had_no_time_left_is_named() {
    let mut sim = Sim::new(attempt_of_6_s());
    sim.peer().on_dial(OnDial::Hold);
    sim.connect();
    sim.advance(secs(6));
    let timed_out = sim.take_events().into_iter().any(|event| {
        matches!(event, relink::Event::AttemptFailed { reason: Reason::TimedOut(Timer::Dial), .. })
    });
    assert!(timed_out);
}
