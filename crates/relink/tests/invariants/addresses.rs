//! Addresses that are fetched for an attempt, under the same rules as tokens.

use relink::link::{Hint, Timer};
use relink::{
    Address, Event, Failure, LinkConfig, Phase, Reason, SessionConfig, SessionInput, State,
};
use relink_sim::{Addresses, Direct, OnDial, Sim, Tokens, secs};

use crate::support::{is_connected, speaking, waits, with_tokens};

#[test]
fn each_attempt_fetches_one_address_and_dials_it() {
    let mut sim = Sim::new(config());
    sim.to_waiting(3);
    let dialed: Vec<_> = sim.dials().iter().map(|dial| dial.address.expose().to_owned()).collect();
    assert_eq!(dialed, ["ws://peer/?ticket=1", "ws://peer/?ticket=2", "ws://peer/?ticket=3"]);
    assert_eq!(sim.machine().stats().addresses_fetched, 3);
}

#[test]
fn the_token_comes_first_and_a_renewal_is_of_the_token_alone() {
    let mut sim = speaking(with_tokens(config()), 1);
    sim.tokens(Tokens::Grant(Some(secs(600))));
    sim.connect();
    // The query is not shown, as it has the ticket.
    sim.expect(["fetch token", "fetch address for ws://peer", "dial ws://peer/?…", "connected"]);
    let states =
        sim.take_events().into_iter().filter(|event| matches!(event, Event::State { .. })).count();
    assert_eq!(states, 3, "authorizing, dialing, connected");
    sim.advance(secs(541));
    let stats = sim.machine().stats();
    assert_eq!((stats.tokens_fetched, stats.addresses_fetched), (2, 1));
}

#[test]
fn a_redirect_is_the_same_attempt_and_needs_no_other_address() {
    let mut sim = Sim::new(config());
    sim.peer().on_dial(OnDial::Hold);
    sim.connect();
    sim.peer().refuse(Failure::HttpRedirect);
    sim.expect(["fetch address for ws://peer", "dial ws://peer/?…", "drop", "dial ws://elsewhere"]);
}

#[test]
fn a_provider_that_fails_or_hangs_is_a_failed_attempt_on_the_curve() {
    let mut sim = Sim::new(config());
    sim.addresses(Addresses::Fail);
    sim.connect();
    sim.advance(secs(30));
    let events = sim.take_events();
    assert!(waits(&events).windows(2).take(3).all(|waits| waits[0] < waits[1]), "the curve");
    let is_told = |event: &Event| {
        matches!(event, Event::AttemptFailed { reason: Reason::AddressFailed, detail, .. }
            if detail == "the provider is down")
    };
    let told = events.iter().filter(|event| is_told(event)).count() as u64;
    assert_eq!((sim.machine().stats().address_failures, sim.machine().stats().dials), (told, 0));

    sim.addresses(Addresses::Hang);
    sim.retry_now();
    assert_eq!(sim.machine().link().next_timer(), Some(Timer::Address));
    drop(sim.take_events());
    sim.advance(secs(11));
    let timed_out = Reason::TimedOut(Timer::Address);
    assert!(
        sim.take_events().iter().any(
            |event| matches!(event, Event::AttemptFailed { reason, .. } if *reason == timed_out)
        )
    );
}

#[test]
fn one_fetch_is_under_way_at_a_time_and_a_late_answer_is_dropped() {
    let mut sim = Sim::new(config());
    sim.addresses(Addresses::Hang);
    sim.connect();
    let first = sim.machine().link().transport().unwrap();
    sim.retry_now();
    sim.hint(Hint::Online);
    sim.connect();
    sim.handle(SessionInput::Timeout);
    sim.expect(["fetch address for ws://peer"]);
    // A token that was not requested is ignored.
    sim.handle(SessionInput::Token { id: first, result: Err("late".into()) });
    sim.advance(secs(12));
    assert_eq!(sim.state(), State::Connecting(Phase::Authorizing));
    let second = sim.machine().link().transport().unwrap();
    for result in [Ok(Address::from("ws://late")), Err("late".into())] {
        sim.handle(SessionInput::Address { id: first, result });
        assert_eq!(sim.state(), State::Connecting(Phase::Authorizing));
    }
    for address in ["ws://peer/fresh", "ws://peer/again"] {
        sim.handle(SessionInput::Address { id: second, result: Ok(address.into()) });
    }
    assert_eq!(sim.dials().len(), 1);
    assert_eq!(sim.dials()[0].address.expose(), "ws://peer/fresh");
    assert!(is_connected(&sim));
}

#[test]
fn each_endpoint_is_asked_for_in_its_turn_and_a_failed_fetch_turns_to_the_next() {
    let config = SessionConfig::default().with_link(config());
    let mut sim = Sim::with(config, &["ws://one", "ws://two"], Direct::default(), 1).unwrap();
    sim.addresses(Addresses::Fail);
    sim.connect();
    sim.addresses(Addresses::Ticket);
    while !is_connected(&sim) {
        sim.step();
    }
    assert_eq!(sim.dials()[0].address.expose(), "ws://two/?ticket=2");
}

fn config() -> LinkConfig {
    let config = LinkConfig::default();
    config.with_credentials(config.credentials.with_address(true))
}
