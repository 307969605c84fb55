//! Tokens, and what happens to a transport whose login fails.

use relink::link::{Handshake, HandshakeEvent, Hint, Refusal, ReopenPolicy, Step, Timer};
use relink::policy::GiveUpReason;
use relink::{
    ClosedReason, Event, Failure, LinkConfig, Phase, Plain, SessionConfig, SessionInput, State,
    Token,
};
use relink_sim::{Direct, OnDial, Sim, Tokens, secs};

use crate::support::{all_steps, count, is_connected, speaking, waits, with_tokens};

#[test]
fn i19_each_attempt_fetches_one_token_and_dials_with_it() {
    let mut sim = Sim::new(config());
    sim.to_waiting(5);
    let tokens: Vec<_> =
        sim.dials().iter().map(|dial| dial.token.as_ref().unwrap().expose()).collect();
    assert_eq!(tokens, ["token-1", "token-2", "token-3", "token-4", "token-5"]);
    assert_eq!(sim.machine().stats().tokens_fetched, 5);
}

#[test]
fn i19_a_redirect_is_the_same_attempt_and_keeps_its_token_among_the_endpoints() {
    for (endpoints, keeps) in
        [(&["ws://peer"][..], false), (&["ws://peer", "ws://elsewhere/other"], true)]
    {
        let config = SessionConfig::default().with_link(config());
        let mut sim = Sim::with(config, endpoints, Plain::default(), 7).unwrap();
        sim.peer().on_dial(OnDial::Hold);
        sim.connect();
        sim.peer().refuse(Failure::HttpRedirect);
        sim.expect(["fetch token", "dial ws://peer", "drop", "dial ws://elsewhere"]);
        assert_eq!(sim.dials()[1].token, sim.dials()[0].token.clone().filter(|_| keeps));
    }
}

#[test]
fn i19_tokens_that_come_expired_are_no_hot_loop() {
    let mut sim = speaking(config(), 1);
    sim.tokens(Tokens::Grant(Some(secs(0))));
    sim.to_connected();
    sim.advance(secs(60));
    let fetched = sim.machine().stats().tokens_fetched;
    assert!((10..=13).contains(&fetched), "{fetched} in a minute: one each five seconds");
}

#[test]
fn i19_one_fetch_is_under_way_at_a_time() {
    let mut sim = Sim::new(config());
    sim.tokens(Tokens::Hang);
    sim.connect();
    sim.advance(secs(5));
    poke(&mut sim);
    sim.expect(["fetch token"]);
    sim.advance(secs(5));
    sim.expect(["drop", "attempt 1 failed: the token took too long"]);
}

#[test]
fn i19_one_renewal_is_under_way_at_a_time() {
    let config = config();
    let config = config
        .with_credentials(config.credentials.with_timeout(secs(60)))
        .with_heartbeat(config.heartbeat.with_interval(None));
    let mut sim = speaking(config, 1);
    sim.tokens(Tokens::Grant(Some(secs(600))));
    sim.to_connected();
    sim.tokens(Tokens::Hang);
    sim.skip();
    sim.advance(secs(527));
    sim.expect([]);
    sim.advance(secs(13));
    sim.expect(["fetch token"]);
    sim.connect();
    sim.retry_now();
    sim.mark_stable();
    sim.handle(SessionInput::Timeout);
    sim.advance(secs(47));
    sim.expect([]);
    // 60 s after it began, the fetch has failed, and there is another one.
    sim.advance(secs(15));
    sim.expect(["fetch token"]);
    assert!(is_connected(&sim));
}

#[test]
fn i19_no_token_is_fetched_for_an_open_link_that_cannot_take_it() {
    let mut sim = Sim::new(config());
    sim.tokens(Tokens::Grant(Some(secs(60))));
    sim.to_connected();
    sim.advance(secs(600));
    assert_eq!(
        sim.machine().stats().tokens_fetched,
        1,
        "a plain link has no word for a fresh token"
    );
    // The server decides when to close; a fresh token comes with the next attempt.
    sim.peer().close(4002);
    sim.advance(secs(5));
    assert!(is_connected(&sim));
    assert_eq!(sim.machine().stats().tokens_fetched, 2);
}

#[test]
fn i19_a_token_for_an_earlier_attempt_is_dropped() {
    let mut sim = Sim::new(config());
    sim.tokens(Tokens::Hang);
    sim.connect();
    let first = sim.machine().link().transport().unwrap();
    sim.advance(secs(12));
    assert_eq!(sim.state(), State::Connecting(Phase::Authorizing));
    let second = sim.machine().link().transport().unwrap();
    assert_ne!(first, second);

    sim.handle(SessionInput::Token { id: first, result: Ok(Token::from("late")) });
    sim.handle(SessionInput::Token { id: first, result: Err("late".into()) });
    assert_eq!(sim.state(), State::Connecting(Phase::Authorizing));
    assert_eq!(sim.machine().link().next_timer(), Some(Timer::Token));

    sim.handle(SessionInput::Token { id: second, result: Ok(Token::from("fresh")) });
    assert_eq!(sim.dials()[0].token.as_ref().unwrap().expose(), "fresh");
}

#[test]
fn i19_tokens_that_are_refused_again_and_again_are_reported_and_end_it() {
    let mut sim = Sim::new(config());
    sim.peer().on_dial(OnDial::Refuse(Failure::Http { status: 401, retry_after: None }));
    sim.connect();
    sim.advance(secs(3_600));
    assert_eq!(sim.dials().len(), 10);
    assert_eq!(sim.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::TokenRefused)));
    assert_eq!(token_errors(&sim.take_events()), [3, 4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn i19_a_link_that_opens_before_it_is_refused_forgets_no_refusal() {
    let mut sim = Sim::new(config());
    sim.peer().on_dial(OnDial::Flap { after: secs(1), code: relink::CloseCode::TOKEN_EXPIRED });
    sim.connect();
    sim.advance(secs(3_600));
    assert_eq!(sim.dials().len(), 10);
    assert_eq!(sim.state(), State::Closed(ClosedReason::GaveUp(GiveUpReason::TokenRefused)));
}

#[test]
fn i19_a_provider_that_is_down_is_reported_and_asked_on_the_curve() {
    let mut sim = Sim::new(config());
    sim.tokens(Tokens::Fail);
    sim.connect();
    sim.advance(secs(60));
    let events = sim.take_events();
    assert_eq!(token_errors(&events)[..3], [3, 4, 5]);
    let waits = waits(&events);
    assert!(waits.is_sorted_by(|a, b| *b >= *a || *b >= secs(10)), "{waits:?}");
    assert!(sim.dials().is_empty());
}

#[test]
fn i19_so_is_one_that_is_down_while_the_link_is_up() {
    let mut sim = speaking(config(), 1);
    sim.tokens(Tokens::Grant(Some(secs(600))));
    sim.to_connected();
    sim.tokens(Tokens::Fail);
    sim.advance(secs(1_128));
    assert!(is_connected(&sim), "the old token may do");
    // The first refresh comes after 528 to 540 s; ten minutes of outage follow, on a curve that
    // ends at 20 s.
    let failures = sim.machine().stats().token_failures;
    assert!((30..=70).contains(&failures), "{failures} fetches in ten minutes");
    assert_eq!(token_errors(&sim.take_events())[..2], [3, 4]);
}

#[test]
fn a07_a_login_lasts_until_a_deliberate_end_and_is_early_where_it_comes_early() {
    let steps = Handshake::default().with_login(true);
    let config = LinkConfig::default().with_handshake(steps).with_reopen(ReopenPolicy::Always);
    let mut sim = Sim::new(config);
    sim.login();
    sim.to_connected();
    sim.peer().reset();
    sim.advance(secs(2));
    assert_eq!(sim.state(), State::Connected, "a loss needs no second login");

    sim.close(1000);
    sim.advance(secs(10));
    sim.connect();
    assert_eq!(sim.state(), State::Connecting(Phase::Handshaking(Step::Login)));
    sim.login();
    assert_eq!(sim.state(), State::Connected);
}

#[test]
fn i20_a_transport_whose_login_fails_is_closed() {
    let ends: [fn(&mut Sim<_>); 4] = [
        |sim| sim.peer().handshake(HandshakeEvent::Refused(Refusal::Token)),
        |sim| sim.advance(secs(6)),
        |sim| sim.peer().close(4002),
        |sim| sim.peer().reset(),
    ];
    for end in ends {
        let mut sim = logging_in();
        sim.skip();
        end(&mut sim);
        sim.expect(["drop", "attempt 1 failed: the"]);
        assert_eq!(sim.machine().link().transport(), None);
        assert_eq!(sim.state(), State::Connecting(Phase::Waiting));
    }
}

#[test]
fn i20_the_peer_is_told_in_a_way_that_ends_no_session() {
    let mut sim = logging_in();
    sim.skip();
    sim.peer().handshake(HandshakeEvent::Refused(Refusal::Token));
    sim.expect(["drop, saying 4000", "attempt 1 failed"]);
}

#[test]
fn i20_a_transport_that_opens_after_its_attempt_failed_is_not_kept() {
    let mut sim = Sim::new(config());
    sim.peer().on_dial(OnDial::Hold);
    sim.connect();
    sim.tokens(Tokens::Hang);
    sim.advance(secs(10));
    sim.expect(["fetch token", "dial", "drop", "attempt 1 failed: the dial took too long"]);
    let late = sim.dials()[0].id;
    for _ in 0..2 {
        sim.handle(SessionInput::Opened { id: late });
        assert!(!is_connected(&sim));
        // Once while it waits, and once while the next token is fetched.
        sim.advance(secs(2));
    }
    assert_eq!(sim.state(), State::Connecting(Phase::Authorizing));
}

fn config() -> LinkConfig {
    with_tokens(LinkConfig::default())
}

/// A session whose login is under way.
fn logging_in() -> Sim<Direct> {
    let mut sim = speaking(config().with_handshake(all_steps()), 1);
    sim.login();
    sim.open();
    sim.peer().handshake(HandshakeEvent::Welcome);
    sim.peer().handshake(HandshakeEvent::ChallengeMet);
    sim
}

/// Everything that must not start another fetch.
fn poke(sim: &mut Sim) {
    sim.connect();
    sim.retry_now();
    sim.hint(Hint::Offline);
    sim.handle(SessionInput::Timeout);
}

fn token_errors(events: &[Event]) -> Vec<u32> {
    let failures = |event: &Event| {
        if let Event::TokenError { consecutive_failures, .. } = event {
            Some(*consecutive_failures)
        } else {
            None
        }
    };
    assert!(count(events, |event| matches!(event, Event::TokenError { .. })) > 0);
    events.iter().filter_map(failures).collect()
}
