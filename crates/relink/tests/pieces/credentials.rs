//! Tokens: when they are fetched, and what becomes of those that cannot be had or are refused.

use core::time::Duration;
use std::collections::BTreeSet;

use relink::link::{Action, Input, LinkEvent, Timer, TokenError, TokenInfo};
use relink::policy::{CredentialsConfig, GiveUpReason};
use relink::{ClosedReason, LinkConfig, Phase, State};

use crate::bench::{Bench, millis, secs};

#[test]
fn m02_the_provider_is_asked_before_every_attempt() {
    let mut bench = asked(CredentialsConfig::default());
    for attempt in 1..=5 {
        assert_eq!(
            (fetches(&bench), bench.dials()),
            (attempt, attempt - 1),
            "first the token, then the dial"
        );
        grant(&mut bench, None);
        bench.fail();
        bench.next_attempt();
    }
}

#[test]
fn w13_a_dial_waits_for_its_token() {
    let mut bench = asked(CredentialsConfig::default());
    assert_eq!(bench.link.state(), State::Connecting(Phase::Authorizing));
    bench.pass(secs(9));
    assert_eq!(bench.dials(), 0);
    grant(&mut bench, None);
    assert_eq!((bench.link.state(), bench.dials()), (State::Connecting(Phase::Dialing), 1));
}

#[test]
fn m10_failures_of_the_provider_are_reported_from_the_third_on_and_tries_go_on() {
    let mut bench = asked(CredentialsConfig::default());
    for failure in 1..=5 {
        bench.give(Input::Token { id: bench.id(), result: Err(TokenError::default()) });
        let expected: Vec<u32> = (3..=failure).collect();
        assert_eq!(reported(&bench), expected);
        assert_eq!(bench.link.state(), State::Connecting(Phase::Waiting));
        bench.next_attempt();
    }
    grant(&mut bench, None);
    bench.fail();
    bench.next_attempt();
    bench.give(Input::Token { id: bench.id(), result: Err(TokenError::default()) });
    assert_eq!(reported(&bench), [3, 4, 5], "a token in between starts the count anew");
}

#[test]
fn i16_a_fetch_that_takes_too_long_counts_as_failed() {
    let mut bench = asked(CredentialsConfig::default().with_timeout(secs(4)));
    assert_eq!(bench.link.next_timer(), Some(Timer::Token));
    bench.due();
    assert_eq!(bench.now.since_origin(), secs(4));
    assert_eq!(bench.link.state(), State::Connecting(Phase::Waiting));
    assert_eq!(bench.link.stats().token_failures, 1);
}

#[test]
fn i19_a_token_for_an_earlier_attempt_is_dropped() {
    let mut bench = asked(CredentialsConfig::default());
    let slow = bench.id();
    bench.due();
    bench.due();
    let before = bench.log.len();
    bench.give(Input::Token { id: slow, result: Ok(TokenInfo::default()) });
    assert_eq!(bench.log.len(), before);
    assert_eq!(bench.link.state(), State::Connecting(Phase::Authorizing));
    assert_eq!(bench.link.stats().tokens_fetched, 0);
}

/// The provider hands out the same stale token for ever; the server opens the link and then closes
/// it with 4002.
#[test]
fn m05_a_stale_token_is_no_hot_loop_and_ends() {
    let mut bench = asked(CredentialsConfig::default());
    let mut waits = Vec::new();
    loop {
        grant(&mut bench, None);
        bench.open();
        let Some(wait) = bench.peer_closes(4002) else { break };
        waits.push(wait);
        bench.next_attempt();
    }
    assert_eq!(waits.len(), 9, "the tenth refusal is the last");
    assert!(waits.iter().all(|wait| *wait >= millis(250)));
    assert!(waits[4..].iter().all(|wait| *wait >= secs(10)), "it backs off: {waits:?}");
    assert_eq!(reported(&bench), [3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(bench.end(), Some(ClosedReason::GaveUp(GiveUpReason::TokenRefused)));
}

#[test]
fn m05_refusals_of_tokens_need_not_be_an_end() {
    let mut bench = asked(CredentialsConfig::default().with_max_refusals(None));
    for _ in 0..50 {
        grant(&mut bench, None);
        assert!(bench.peer_closes(4002).is_some());
        bench.next_attempt();
    }
}

#[test]
fn i19_a_stable_link_forgets_refusals() {
    let mut bench = asked(CredentialsConfig::default().with_max_refusals(Some(2)));
    for _ in 0..5 {
        grant(&mut bench, None);
        bench.open();
        bench.give(Input::MarkStable);
        assert!(bench.peer_closes(4002).is_some(), "each first refusal after a good link");
        bench.next_attempt();
    }
}

#[test]
fn a_token_is_renewed_ahead_of_its_end_with_spread() {
    let renewals: BTreeSet<_> = (0..40)
        .map(|seed| {
            let mut bench = asking(CredentialsConfig::default(), seed);
            grant(&mut bench, Some(secs(3600)));
            bench.open();
            renewal(&mut bench).since_origin()
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
        let mut bench = asked(CredentialsConfig::default());
        let granted = bench.now;
        grant(&mut bench, Some(life));
        bench.open();
        assert_eq!(renewal(&mut bench) - granted, life / 2);
    }
}

#[test]
fn a_token_that_came_expired_is_renewed_without_haste() {
    for life in [Duration::ZERO, millis(1), secs(9)] {
        let mut bench = asked(CredentialsConfig::default());
        let granted = bench.now;
        grant(&mut bench, Some(life));
        bench.open();
        assert_eq!(renewal(&mut bench) - granted, secs(5), "of {life:?}");
    }
}

#[test]
fn a_token_whose_end_is_unknown_or_not_minded_is_not_renewed() {
    for (config, life) in [
        (CredentialsConfig::default(), None),
        (CredentialsConfig::default().with_refresh_ahead(None), Some(secs(10))),
    ] {
        let mut bench = asked(config);
        grant(&mut bench, life);
        bench.open();
        bench.give(Input::MarkStable);
        assert_eq!(bench.link.next_timer(), Some(Timer::Ping));
        assert_eq!(fetches(&bench), 1);
    }
}

#[test]
fn a_renewed_token_goes_to_the_server_and_is_renewed_in_its_turn() {
    let mut bench = asked(CredentialsConfig::default());
    grant(&mut bench, Some(secs(20)));
    bench.open();
    bench.give(Input::MarkStable);
    let first = renewal(&mut bench);
    assert_eq!(bench.log.last(), Some(&Action::FetchToken { id: bench.id() }));
    grant(&mut bench, Some(secs(20)));
    assert_eq!(bench.log.last(), Some(&Action::RenewToken { id: bench.id() }));
    assert_eq!(renewal(&mut bench), first + secs(10));
}

#[test]
fn a08_a_token_that_cannot_be_renewed_is_reported_and_changes_no_state() {
    let mut bench = asked(CredentialsConfig::default());
    grant(&mut bench, Some(secs(20)));
    bench.open();
    bench.give(Input::MarkStable);
    let mut tries = vec![renewal(&mut bench)];
    for _ in 0..4 {
        bench.give(Input::Token { id: bench.id(), result: Err(TokenError::default()) });
        assert_eq!(bench.link.state(), State::Connected);
        tries.push(renewal(&mut bench));
    }
    assert_eq!(reported(&bench), [3, 4]);
    assert!(
        tries.windows(2).all(|pair| pair[1] - pair[0] >= millis(250)),
        "no hot loop: {tries:?}"
    );
    grant(&mut bench, None);
    assert_eq!(bench.log.last(), Some(&Action::RenewToken { id: bench.id() }));
}

#[test]
fn i19_one_fetch_is_in_flight_and_a_renewal_that_hangs_is_tried_again() {
    let mut bench = asked(CredentialsConfig::default().with_timeout(secs(5)));
    grant(&mut bench, Some(secs(20)));
    bench.open();
    bench.give(Input::MarkStable);
    let asked = renewal(&mut bench);
    bench.give(Input::Hint(relink::link::Hint::Wake));
    bench.give(Input::RetryNow);
    assert_eq!(fetches(&bench), 2);
    bench.give(Input::Pong { id: bench.id(), nonce: None });
    assert_eq!(bench.due(), Timer::Refresh);
    assert_eq!((bench.now - asked, fetches(&bench)), (secs(5), 2), "given up, not yet asked again");
    assert_eq!(bench.link.stats().token_failures, 1);
    renewal(&mut bench);
    assert_eq!(fetches(&bench), 3);
}

/// A link that has asked for its first token.
fn asked(credentials: CredentialsConfig) -> Bench {
    asking(credentials, 7)
}

fn asking(credentials: CredentialsConfig, seed: u64) -> Bench {
    let mut bench =
        Bench::seeded(LinkConfig::default().with_credentials(credentials.with_fetch(true)), seed);
    bench.give(Input::Connect);
    bench
}

fn grant(bench: &mut Bench, expires_in: Option<Duration>) {
    bench.give(Input::Token { id: bench.id(), result: Ok(TokenInfo::new(expires_in)) });
}

/// Waits until a fresh token is asked for; the peer answers every ping on the way. Returns when
/// that was.
fn renewal(bench: &mut Bench) -> relink::Instant {
    let before = fetches(bench);
    while fetches(bench) == before {
        bench.give(Input::Pong { id: bench.id(), nonce: None });
        bench.due();
    }
    bench.now
}

fn fetches(bench: &Bench) -> usize {
    bench.log.iter().filter(|action| matches!(action, Action::FetchToken { .. })).count()
}

fn reported(bench: &Bench) -> Vec<u32> {
    bench
        .events()
        .filter_map(|event| {
            if let LinkEvent::TokenError { consecutive_failures } = event {
                Some(consecutive_failures)
            } else {
                None
            }
        })
        .collect()
}
