//! Tokens: when they are fetched, and what happens if a fetch fails or the token is refused.

use core::time::Duration;
use std::collections::BTreeSet;

use relink::link::Timer;
use relink::policy::{CredentialsConfig, GiveUpReason};
use relink::session::Frame;
use relink::{ClosedReason, Event, LinkConfig, Message, Phase, SessionInput, State, Token};
use relink_sim::{Direct, Sim};

use crate::support::{fail, millis, open, peer_closes, secs, seeded};

#[test]
fn m02_the_provider_is_asked_before_every_attempt() {
    let mut sim = asked(CredentialsConfig::default());
    for attempt in 1..=5 {
        assert_eq!(
            (fetches(&sim), sim.dials().len()),
            (attempt, attempt - 1),
            "first the token, then the dial"
        );
        grant(&mut sim, None);
        fail(&mut sim);
        sim.next_attempt();
    }
}

#[test]
fn w13_a_dial_waits_for_its_token() {
    let mut sim = asked(CredentialsConfig::default());
    assert_eq!(sim.machine().link().state(), State::Connecting(Phase::Authorizing));
    sim.advance(secs(9));
    assert_eq!(sim.dials().len(), 0);
    grant(&mut sim, None);
    assert_eq!(
        (sim.machine().link().state(), sim.dials().len()),
        (State::Connecting(Phase::Dialing), 1)
    );
}

#[test]
fn m10_failures_of_the_provider_are_reported_from_the_third_on_and_tries_go_on() {
    let mut sim = asked(CredentialsConfig::default());
    for failure in 1..=5 {
        sim.token(Err("down"));
        let expected: Vec<u32> = (3..=failure).collect();
        assert_eq!(reported(&sim), expected);
        assert_eq!(sim.machine().link().state(), State::Connecting(Phase::Waiting));
        sim.next_attempt();
    }
    grant(&mut sim, None);
    fail(&mut sim);
    sim.next_attempt();
    sim.token(Err("down"));
    assert_eq!(reported(&sim), [3, 4, 5], "a token in between resets the count");
}

#[test]
fn i16_a_fetch_that_takes_too_long_counts_as_failed() {
    let mut sim = asked(CredentialsConfig::default().with_timeout(secs(4)));
    assert_eq!(sim.machine().link().next_timer(), Some(Timer::Token));
    sim.due();
    assert_eq!(sim.now().since_origin(), secs(4));
    assert_eq!(sim.machine().link().state(), State::Connecting(Phase::Waiting));
    assert_eq!(sim.machine().link().stats().token_failures, 1);
}

#[test]
fn i19_a_token_for_an_earlier_attempt_is_dropped() {
    let mut sim = asked(CredentialsConfig::default());
    let slow = sim.id();
    sim.due();
    sim.due();
    sim.skip();
    sim.handle(SessionInput::Token { id: slow, result: Ok("late".into()) });
    sim.expect([]);
    assert_eq!(sim.machine().link().state(), State::Connecting(Phase::Authorizing));
    assert_eq!(sim.machine().link().stats().tokens_fetched, 0);
}

/// The provider hands out the same stale token for ever; the server opens the link and then closes
/// it with 4002.
#[test]
fn m05_a_stale_token_is_no_hot_loop_and_ends() {
    let mut sim = asked(CredentialsConfig::default());
    let mut waits = Vec::new();
    while waits.len() < 100 {
        grant(&mut sim, None);
        open(&mut sim);
        let Some(wait) = peer_closes(&mut sim, 4002) else { break };
        waits.push(wait);
        sim.next_attempt();
    }
    assert_eq!(waits.len(), 9, "the tenth refusal is the last");
    assert!(waits.iter().all(|wait| *wait >= millis(250)));
    assert!(waits[4..].iter().all(|wait| *wait >= secs(10)), "it backs off: {waits:?}");
    assert_eq!(reported(&sim), [3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(sim.end(), Some(ClosedReason::GaveUp(GiveUpReason::TokenRefused)));
}

#[test]
fn m05_refusals_of_tokens_need_not_be_an_end() {
    let mut sim = asked(CredentialsConfig::default().with_max_refusals(None));
    for _ in 0..50 {
        grant(&mut sim, None);
        open(&mut sim);
        assert!(peer_closes(&mut sim, 4002).is_some());
        sim.next_attempt();
    }
}

#[test]
fn i19_a_stable_link_forgets_refusals() {
    let mut sim = asked(CredentialsConfig::default().with_max_refusals(Some(2)));
    for _ in 0..5 {
        grant(&mut sim, None);
        open(&mut sim);
        sim.mark_stable();
        assert!(peer_closes(&mut sim, 4002).is_some(), "each first refusal after a good link");
        sim.next_attempt();
    }
}

#[test]
fn a_token_is_renewed_ahead_of_its_end_with_spread() {
    let renewals: BTreeSet<_> = (0..40)
        .map(|seed| {
            let mut sim = asking(CredentialsConfig::default(), seed);
            grant(&mut sim, Some(secs(3600)));
            open(&mut sim);
            renewal(&mut sim).since_origin()
        })
        .collect();
    for renewal in &renewals {
        assert!((secs(3600 - 72)..=secs(3600 - 60)).contains(renewal), "{renewal:?}");
    }
    assert!(renewals.len() > 20, "a fleet must not renew together: {renewals:?}");
}

#[test]
fn a_token_that_lives_shortly_is_renewed_at_half_its_life() {
    for life in [secs(10), secs(60), secs(120)] {
        let mut sim = asked(CredentialsConfig::default());
        let granted = sim.now();
        grant(&mut sim, Some(life));
        open(&mut sim);
        assert_eq!(renewal(&mut sim) - granted, life / 2);
    }
}

#[test]
fn a_token_that_came_expired_is_renewed_without_haste() {
    for life in [Duration::ZERO, millis(1), secs(9)] {
        let mut sim = asked(CredentialsConfig::default());
        let granted = sim.now();
        grant(&mut sim, Some(life));
        open(&mut sim);
        assert_eq!(renewal(&mut sim) - granted, secs(5), "of {life:?}");
    }
}

#[test]
fn a_token_whose_end_is_unknown_or_not_minded_is_not_renewed() {
    for (config, life) in [
        (CredentialsConfig::default(), None),
        (CredentialsConfig::default().with_refresh_ahead(None), Some(secs(10))),
    ] {
        let mut sim = asked(config);
        grant(&mut sim, life);
        open(&mut sim);
        sim.mark_stable();
        assert_eq!(sim.machine().link().next_timer(), Some(Timer::Ping));
        assert_eq!(fetches(&sim), 1);
    }
}

#[test]
fn a_renewed_token_goes_to_the_server_and_is_renewed_in_its_turn() {
    let mut sim = asked(CredentialsConfig::default());
    grant(&mut sim, Some(secs(20)));
    open(&mut sim);
    sim.mark_stable();
    let first = renewal(&mut sim);
    assert!(renewed(&mut sim).is_empty());
    grant(&mut sim, Some(secs(20)));
    assert_eq!(renewed(&mut sim), ["renew token"]);
    assert_eq!(renewal(&mut sim), first + secs(10));
}

#[test]
fn a08_a_token_that_cannot_be_renewed_is_reported_and_changes_no_state() {
    let mut sim = asked(CredentialsConfig::default());
    grant(&mut sim, Some(secs(20)));
    open(&mut sim);
    sim.mark_stable();
    let mut tries = vec![renewal(&mut sim)];
    for _ in 0..4 {
        sim.token(Err("down"));
        assert_eq!(sim.machine().link().state(), State::Connected);
        tries.push(renewal(&mut sim));
    }
    assert_eq!(reported(&sim), [3, 4]);
    assert!(
        tries.windows(2).all(|pair| pair[1] - pair[0] >= millis(250)),
        "no hot loop: {tries:?}"
    );
    grant(&mut sim, None);
    assert_eq!(renewed(&mut sim), ["renew token"]);
}

#[test]
fn i19_one_fetch_is_in_flight_and_a_renewal_that_hangs_is_tried_again() {
    let mut sim = asked(CredentialsConfig::default().with_timeout(secs(5)));
    grant(&mut sim, Some(secs(20)));
    open(&mut sim);
    sim.mark_stable();
    let asked = renewal(&mut sim);
    sim.hint(relink::link::Hint::Wake);
    sim.retry_now();
    assert_eq!(fetches(&sim), 2);
    sim.peer().pong();
    assert_eq!(sim.due(), Timer::Refresh);
    assert_eq!((sim.now() - asked, fetches(&sim)), (secs(5), 2), "given up, not yet asked again");
    assert_eq!(sim.machine().link().stats().token_failures, 1);
    renewal(&mut sim);
    assert_eq!(fetches(&sim), 3);
}

/// A link that has asked for its first token.
fn asked(credentials: CredentialsConfig) -> Sim<Direct> {
    asking(credentials, 7)
}

fn asking(credentials: CredentialsConfig, seed: u64) -> Sim<Direct> {
    let mut sim =
        seeded(LinkConfig::default().with_credentials(credentials.with_fetch(true)), 1, seed);
    sim.connect();
    sim
}

fn grant(sim: &mut Sim<Direct>, expires_in: Option<Duration>) {
    let mut token = Token::from("token");
    token.expires_in = expires_in;
    sim.token(Ok(token));
}

/// Waits until a fresh token is requested, while the peer answers every ping. Returns the time.
fn renewal(sim: &mut Sim<Direct>) -> relink::Instant {
    let before = fetches(sim);
    while fetches(sim) == before {
        sim.peer().pong();
        sim.due();
    }
    sim.now()
}

fn fetches(sim: &Sim<Direct>) -> usize {
    sim.fetches() as usize
}

/// The fresh tokens that the server received.
fn renewed(sim: &mut Sim<Direct>) -> Vec<String> {
    let texts = sim.peer().read().into_iter().filter_map(|frame| match frame {
        Frame::Message(Message::Text(text)) => Some(text.as_str().to_owned()),
        _ => None,
    });
    texts.collect()
}

fn reported(sim: &Sim<Direct>) -> Vec<u32> {
    sim.events()
        .iter()
        .filter_map(|event| match event {
            Event::TokenError { consecutive_failures, .. } => Some(*consecutive_failures),
            _ => None,
        })
        .collect()
}
