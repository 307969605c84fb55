//! Events are true when they are emitted, and come in the order in which things happened.

use rand_pcg::Pcg32;
use relink::link::{ReopenPolicy, Status};
use relink::rand_core::SeedableRng;
use relink::{
    CloseCode, Event, Failure, Instant, LinkConfig, Phase, Plain, Session, SessionAction,
    SessionConfig, SessionInput, State,
};
use relink_sim::{OnDial, Sim, Tokens, millis, secs};

use crate::support::{
    HANDSHAKE, Walk, all_steps, everything_on, is_connected, speaking, with_tokens,
};

#[test]
fn i03_an_open_transport_is_not_yet_a_usable_link() {
    let mut sim = speaking(LinkConfig::default().with_handshake(all_steps()), 1);
    sim.login();
    sim.open();
    for event in HANDSHAKE {
        assert!(matches!(sim.state(), State::Connecting(Phase::Handshaking(_))));
        assert_eq!(sim.machine().surface().shown(), Status::Connecting);
        assert!(sim.send("early").unwrap().queued);
        sim.peer().handshake(event);
    }
    assert!(is_connected(&sim));
    assert_eq!(sim.machine().surface().shown(), Status::Connected);
}

#[test]
fn i03_connected_is_never_shown_without_a_usable_link() {
    let mut graces = 0;
    for seed in 0..200 {
        let mut sim = everything_on(seed);
        let mut walk = Walk::new(seed);
        for _ in 0..200 {
            // In small steps, so that the end of the grace is not skipped.
            if walk.below(2) == 0 {
                sim.advance(millis(100))
            } else {
                walk.step(&mut sim)
            }
            sim.handle_timeout();
            let (surface, state) = (sim.machine().surface(), sim.state());
            if surface.shown() == Status::Connected && matches!(state, State::Reconnecting(_)) {
                graces += 1;
                assert!(
                    surface.poll_timeout() <= Some(sim.now() + secs(1)),
                    "the grace has no end"
                );
                assert!(!state.is_usable());
            } else {
                assert_eq!(surface.shown(), state.status());
            }
        }
    }
    assert!(graces > 100, "the walks come past many graces");
}

#[test]
fn i03_the_silent_grace_is_short_and_admits_that_the_link_is_not_usable() {
    let config = LinkConfig::default();
    let mut sim = Sim::new(config.with_surface(config.surface.with_grace(Some(secs(4)))));
    sim.to_connected();
    sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
    sim.peer().reset();
    assert!(!sim.state().is_usable());
    sim.advance(millis(3_999));
    assert_eq!(sim.machine().surface().shown(), Status::Connected);
    assert!(!sim.state().is_usable());
    sim.advance(millis(1));
    assert_eq!(sim.machine().surface().shown(), Status::Reconnecting);
}

#[test]
fn i03_without_a_grace_a_loss_shows_at_once() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    sim.peer().reset();
    assert_eq!(sim.machine().surface().shown(), Status::Reconnecting);
}

#[test]
fn i04_all_is_cleaned_up_before_the_loss_is_told() {
    let mut session = connected();
    let id = session.link().transport().unwrap();
    session.handle(reset(id), NOW);
    assert!(matches!(session.poll_action(), Some(SessionAction::Drop { .. })));
    assert!(matches!(
        session.poll_action(),
        Some(SessionAction::Event(Event::Disconnected { .. }))
    ));
    assert_eq!(session.state(), State::Reconnecting(Phase::Waiting));
    assert_eq!(session.link().transport(), None);
    assert!(session.poll_timeout() > Some(NOW));
}

#[test]
fn i04_a_command_in_the_middle_of_events_is_legal_and_its_events_come_after_theirs() {
    let commands = [
        SessionInput::Connect,
        SessionInput::RetryNow,
        SessionInput::Reconnect,
        SessionInput::MarkStable,
        SessionInput::Close(CloseCode::NORMAL.into()),
        SessionInput::Timeout,
    ];
    let mut most = 0;
    for command in commands {
        for place in 0..4 {
            let mut session = connected();
            let id = session.link().transport().unwrap();
            session.handle(reset(id), NOW);
            let mut events = Vec::new();
            while let Some(action) = session.poll_action() {
                if let SessionAction::Event(event) = action {
                    events.push(event);
                    if events.len() == place + 1 {
                        session.handle(command.clone(), NOW);
                    }
                }
            }
            assert!(
                matches!(events[0], Event::Disconnected { .. }),
                "{command:?} overtook the loss"
            );
            assert_chain(&events, State::Connected, session.state());
            most = most.max(events.len());
        }
    }
    assert!(most > 4, "some commands lead to events of their own");
}

#[test]
fn i04_a_retry_called_for_by_the_loss_itself_replaces_the_wait() {
    let mut session = connected();
    let id = session.link().transport().unwrap();
    session.handle(reset(id), NOW);
    let mut dials = 0;
    while let Some(action) = session.poll_action() {
        if let SessionAction::Event(Event::Disconnected { .. }) = action {
            session.handle(SessionInput::RetryNow, NOW);
        }
        dials += usize::from(is_dial(&action));
    }
    session.handle(SessionInput::Timeout, NOW + secs(5));
    dials += std::iter::from_fn(|| session.poll_action()).filter(is_dial).count();
    assert_eq!(dials, 1, "the wait that was replaced does not end in a second dial");
    assert_eq!(session.state(), State::Reconnecting(Phase::Dialing));
}

#[test]
fn i04_a_link_may_be_connected_again_from_within_its_end() {
    let mut session = connected();
    session.handle(SessionInput::Close(CloseCode::NORMAL.into()), NOW);
    session.handle(SessionInput::Timeout, NOW + secs(60));
    session.handle(SessionInput::Timeout, NOW + secs(120));
    let mut after_the_end = Vec::new();
    let mut ended = false;
    while let Some(action) = session.poll_action() {
        if ended {
            after_the_end.push(action);
        } else if let SessionAction::Event(Event::Closed { .. }) = action {
            ended = true;
            session.handle(SessionInput::Connect, NOW + secs(120));
        }
    }
    assert!(after_the_end.iter().any(is_dial));
    assert_eq!(session.state(), State::Connecting(Phase::Dialing));
}

#[test]
fn i04_the_order_of_events_is_the_order_of_transitions() {
    for seed in 0..100 {
        let mut sim = everything_on(seed);
        let mut walk = Walk::new(seed);
        (0..200).for_each(|_| walk.step(&mut sim));
        let end = sim.state();
        assert_chain(&sim.take_events(), State::Idle, end);
    }
}

const NOW: Instant = Instant::ORIGIN;

fn connected() -> Session<Plain, Pcg32> {
    let config =
        SessionConfig::default().with_link(LinkConfig::default().with_reopen(ReopenPolicy::Always));
    let rng = Pcg32::seed_from_u64(1);
    let mut session =
        Session::new(config, vec!["ws://peer".into()], Plain::default(), rng).unwrap();
    session.handle(SessionInput::Connect, NOW);
    let id = session.link().transport().unwrap();
    session.handle(SessionInput::Opened { id }, NOW);
    while session.poll_action().is_some() {}
    session
}

fn reset(id: relink::link::TransportId) -> SessionInput {
    SessionInput::Failed { id, failure: Failure::Reset, detail: "reset".into(), location: None }
}

fn is_dial(action: &SessionAction) -> bool {
    matches!(action, SessionAction::Dial { .. })
}

/// Each change of state begins where the one before ended.
fn assert_chain(events: &[Event], start: State, end: State) {
    let mut state = start;
    for event in events {
        if let Event::State { from, to, .. } = event {
            assert_eq!(*from, state);
            state = *to;
        }
    }
    assert_eq!(state, end);
}

#[test]
fn i04_attempts_are_counted_from_the_loss() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
    sim.connect();
    sim.next_dial();
    sim.peer().on_dial(OnDial::Accept);
    sim.next_dial();
    assert_eq!(
        attempts(&mut sim),
        [(1, "dial"), (1, "failed"), (2, "dial"), (2, "failed"), (3, "dial")]
    );

    // Lost before it was stable: a failure for the budget, but the numbers of attempts in events
    // begin again.
    sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
    sim.peer().reset();
    sim.next_dial();
    sim.retry_now();
    assert_eq!(sim.machine().link().attempts(), 1, "since a person forgave them");
    assert_eq!(attempts(&mut sim), [(1, "dial"), (1, "failed"), (2, "dial"), (2, "failed")]);
}

#[test]
fn i04_an_attempt_without_a_token_has_a_number_too() {
    let mut sim = Sim::new(with_tokens(LinkConfig::default()));
    sim.tokens(Tokens::Fail);
    sim.connect();
    sim.tokens(Tokens::Grant(None));
    sim.next_dial();
    assert_eq!(attempts(&mut sim), [(1, "failed"), (2, "dial")]);
}

/// The numbers of the attempts in events.
#[expect(clippy::wildcard_enum_match_arm, reason = "two events have a number")]
fn attempts(sim: &mut Sim) -> Vec<(u32, &'static str)> {
    let number = |event: &Event| match event {
        Event::Dialing { attempt, .. } => Some((*attempt, "dial")),
        Event::AttemptFailed { attempt, .. } => Some((*attempt, "failed")),
        _ => None,
    };
    sim.take_events().iter().filter_map(number).collect()
}
