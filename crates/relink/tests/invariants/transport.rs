//! One transport at a time, whatever happens to it.

use std::collections::BTreeSet;
use std::time::Duration;

use rand_pcg::Pcg32;
use relink::link::{
    HandshakeEvent, Input, Refusal, Step, Timer, TokenError, TokenInfo, TransportId,
};
use relink::rand_core::SeedableRng;
use relink::session::OutboxConfig;
use relink::{
    CloseCode, Event, Failure, Instant, Link, LinkConfig, Phase, Reason, SessionConfig, State,
};
use relink_sim::{Direct, OnDial, Sim, Tokens, millis, secs};

use crate::support::{Walk, all_steps, count, everything_on, speaking, strangers, with_tokens};

#[test]
fn i01_whatever_happens_there_is_one_transport_at_a_time() {
    let mut redirected = false;
    for seed in 0..200 {
        let mut sim = everything_on(seed);
        let mut walk = Walk::new(seed);
        // The sim panics at a fetch, a dial or a drop that does not fit what the link holds.
        (0..300).for_each(|_| walk.step(&mut sim));
        let ids: BTreeSet<_> = sim.dials().iter().map(|dial| dial.id).collect();
        assert_eq!(ids.len(), sim.dials().len(), "each dial has an id of its own");
        redirected |= sim.dials().iter().any(|dial| dial.address.expose() == "ws://elsewhere");
    }
    assert!(redirected, "the walks come past redirects too");
}

#[test]
fn i01_a_redirect_lets_go_of_the_old_transport_before_it_dials() {
    let mut sim = speaking(LinkConfig::default().with_handshake(all_steps()), 1);
    sim.open();
    sim.peer().handshake(HandshakeEvent::Redirect);
    sim.expect([
        "dial ws://peer",
        "text \"welcome\"",
        "drop, saying 1000",
        "dial ws://elsewhere",
        "text \"welcome\"",
    ]);
}

#[test]
fn i01_an_earlier_transport_changes_nothing_in_a_session() {
    let scenes: [fn(&mut Sim<_>); 5] = [
        |sim| {
            sim.peer().on_dial(OnDial::Hold);
            sim.retry_now();
        },
        |sim| sim.retry_now(),
        |_| {},
        |sim| {
            sim.retry_now();
            sim.peer().silence();
            sim.close(1000);
        },
        |sim| sim.close(1000),
    ];
    for scene in scenes {
        let mut sim = Sim::new(LinkConfig::default());
        sim.to_connected();
        let old = sim.dials()[0].id;
        sim.advance(secs(1));
        sim.peer().reset();
        scene(&mut sim);

        sim.skip();
        let before = format!("{:?}", sim.machine());
        strangers(&sim, old).into_iter().for_each(|input| sim.handle(input));
        assert_eq!(format!("{:?}", sim.machine()), before, "in {:?}", sim.state());
        sim.expect([]);
    }
}

#[test]
fn i01_an_earlier_transport_changes_nothing_in_a_link() {
    let scenes: [fn(&mut Link<Pcg32>); 6] = [
        |link| {
            feed(link, Input::RetryNow);
        },
        |link| {
            dial(link);
        },
        |link| {
            open(link);
        },
        |link| {
            let id = open(link);
            all_done(link, id);
        },
        |_| {},
        |link| {
            let id = open(link);
            all_done(link, id);
            link.handle(Input::close(), Instant::ORIGIN).unwrap();
        },
    ];
    for scene in scenes {
        let mut link = bare_link();
        let old = open(&mut link);
        all_done(&mut link, old);
        feed(&mut link, Input::Failed { id: old, failure: Failure::Reset });
        scene(&mut link);
        while link.poll_action().is_some() {}

        // Some time later, so that even a sign of life would change something.
        let later = Instant::ORIGIN + millis(10);
        link.handle(Input::Timeout, later).unwrap();
        let before = format!("{link:?}");
        for input in link_strangers(old) {
            link.handle(input, later).unwrap();
            assert_eq!(format!("{link:?}"), before, "{input:?} in {:?}", link.state());
        }
    }
}

#[test]
fn i15_an_error_and_the_close_that_follows_count_once() {
    let mut link = bare_link();
    let id = open(&mut link);
    all_done(&mut link, id);
    feed(&mut link, Input::Failed { id, failure: Failure::Reset });
    feed(&mut link, Input::PeerClosed { id, code: CloseCode::ABNORMAL });
    assert_eq!((link.attempts(), link.stats().disconnects), (1, 1));

    let second = open(&mut link);
    feed(&mut link, Input::PeerClosed { id: second, code: CloseCode::GOING_AWAY });
    feed(&mut link, Input::Failed { id: second, failure: Failure::Eof });
    feed(&mut link, Input::Failed { id: second, failure: Failure::Io });
    assert_eq!(
        (link.attempts(), link.stats().failed_attempts),
        (1, 1),
        "one since a person retried"
    );
}

#[test]
fn i15_an_application_hears_of_a_loss_once() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    let id = sim.dials()[0].id;
    sim.peer().reset();
    strangers(&sim, id).into_iter().for_each(|input| sim.handle(input));
    sim.expect(["dial", "connected", "drop", "lost (1006): the connection was reset"]);
}

#[test]
fn i16_every_phase_has_a_deadline_of_its_own() {
    // Into each phase, from the one before it.
    type Go = fn(&mut Sim<Direct>);
    let steps: [(Step, Go, u64); 4] = [
        (Step::Welcome, |sim| sim.open(), 3),
        (Step::Challenge, |sim| sim.peer().handshake(HandshakeEvent::Welcome), 4),
        (Step::Login, |sim| sim.peer().handshake(HandshakeEvent::ChallengeMet), 5),
        (Step::Authenticating, |sim| sim.login(), 6),
    ];
    for last in 0..steps.len() {
        let mut sim = speaking(LinkConfig::default().with_handshake(all_steps()), 1);
        steps[..=last].iter().for_each(|(_, go, _)| go(&mut sim));
        let (step, _, limit) = steps[last];
        assert_eq!(sim.state(), State::Connecting(Phase::Handshaking(step)));
        assert_times_out(sim, Timer::Step(step), secs(limit));
    }

    let mut sim = Sim::new(with_tokens(LinkConfig::default().with_connect_timeout(secs(2))));
    sim.peer().on_dial(OnDial::Hold);
    sim.connect();
    assert_eq!(sim.state(), State::Connecting(Phase::Dialing));
    assert_times_out(sim, Timer::Dial, secs(2));

    let config = with_tokens(LinkConfig::default());
    let mut sim = Sim::new(config.with_credentials(config.credentials.with_timeout(secs(1))));
    sim.tokens(Tokens::Hang);
    sim.connect();
    assert_eq!(sim.state(), State::Connecting(Phase::Authorizing));
    assert_times_out(sim, Timer::Token, secs(1));
}

#[test]
fn i16_time_spent_in_one_phase_is_not_taken_from_the_next() {
    let mut sim = speaking(LinkConfig::default().with_handshake(all_steps()), 1);
    sim.peer().on_dial(OnDial::Hold);
    sim.connect();
    sim.advance(millis(9_999));
    sim.peer().accept();
    sim.advance(millis(2_999));
    sim.peer().handshake(HandshakeEvent::Welcome);
    sim.advance(millis(3_999));
    sim.peer().handshake(HandshakeEvent::ChallengeMet);
    assert_eq!(sim.deadline(), Some(sim.now() + secs(5)));
}

#[test]
fn i32_no_order_of_inputs_is_too_much() {
    let mut states = BTreeSet::new();
    for seed in 0..300 {
        let mut sim = everything_on(seed);
        let mut walk = Walk::new(seed);
        for _ in 0..200 {
            // The sim checks that a handled deadline is followed by a later one, and that all comes
            // to rest.
            walk.step(&mut sim);
            states.insert(sim.state().status().name());
        }
    }
    assert_eq!(states.len(), 6, "the walks come past every state: {states:?}");
}

#[test]
fn i32_time_that_goes_backwards_stands_still() {
    let late = Instant::ORIGIN + secs(100);
    let mut sim = Sim::new(LinkConfig::default());
    sim.advance(secs(100));
    sim.to_waiting(3);
    let (state, deadline) = (sim.state(), sim.deadline());
    sim.skip();
    sim.set_clock(Instant::ORIGIN);
    sim.handle_timeout();
    sim.advance(secs(50));
    assert_eq!((sim.state(), sim.deadline()), (state, deadline));
    sim.expect([]);

    // New deadlines count from the latest known time.
    sim.peer().on_dial(OnDial::Hold);
    sim.retry_now();
    assert!(sim.deadline() >= Some(late + secs(10)));
    sim.peer().refuse(Failure::Refused);
    assert!(sim.deadline() >= Some(late + millis(750)));
}

#[test]
fn i32_a_message_has_its_time_although_the_clock_went_back() {
    let outbox = OutboxConfig::default().with_ttl(Some(secs(10)));
    let mut sim = Sim::session(SessionConfig::default().with_outbox(outbox));
    sim.advance(secs(100));
    sim.connect();
    sim.peer().reads(Some(0));
    sim.set_clock(Instant::ORIGIN);
    sim.send("a price").unwrap();
    sim.set_clock(Instant::ORIGIN + millis(109_999));
    sim.handle_timeout();
    assert_eq!(sim.machine().outbox().len(), 1);
    sim.advance(millis(1));
    assert_eq!(count(&sim.take_events(), |event| matches!(event, Event::Dropped { .. })), 1);
}

#[test]
fn i32_nor_is_one_sent_that_had_expired_before_it_went_back() {
    let outbox = OutboxConfig::default().with_ttl(Some(secs(10)));
    let mut sim = Sim::session(SessionConfig::default().with_outbox(outbox));
    sim.advance(secs(100));
    sim.to_waiting(1);
    sim.send("a price").unwrap();
    sim.peer().on_dial(OnDial::Hold);
    sim.sleep(secs(11));
    sim.retry_now();
    sim.skip();
    sim.set_clock(Instant::ORIGIN);
    sim.peer().accept();
    sim.expect(["connected", "dropped 1: expired"]);
}

#[test]
fn i32_an_opening_that_is_told_twice_loses_nothing() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    sim.peer().reads(Some(0));
    sim.advance(secs(30));
    sim.skip();
    let id = sim.dials()[0].id;
    sim.handle(relink::SessionInput::Opened { id });
    sim.peer().reads(None);
    sim.expect(["ping"]);
}

#[test]
fn i32_however_late_a_link_catches_up_in_one_go() {
    let config = with_tokens(LinkConfig::default());
    let config = config
        .with_surface(config.surface.with_grace(Some(secs(4))))
        .with_budget(config.budget.with_max_elapsed(Some(secs(600))));
    let mut link = Link::new(config, 1, Pcg32::seed_from_u64(1)).unwrap();
    feed(&mut link, Input::Connect);
    let id = link.transport().unwrap();
    feed(&mut link, Input::Token { id, result: Ok(TokenInfo::new(None)) });
    feed(&mut link, Input::Opened { id });
    feed(&mut link, Input::Failed { id, failure: Failure::Reset });
    assert_eq!(link.state(), State::Reconnecting(Phase::Waiting));

    // The delay, the grace, the banner, the stuck notice and `max_elapsed` are due.
    let late = Instant::ORIGIN + secs(3_600);
    link.handle(Input::Timeout, late).unwrap();
    assert_eq!((link.poll_timeout(), link.state().is_closed()), (None, true));
}

#[test]
fn i32_at_the_end_of_time_nothing_loops() {
    let scenes: [fn(&mut Sim<_>); 6] = [
        |_| {},
        |sim| sim.to_waiting(2),
        |sim| {
            sim.peer().on_dial(OnDial::Hold);
            sim.connect();
        },
        |sim| sim.to_connected(),
        |sim| {
            sim.to_connected();
            sim.peer().reset();
        },
        |sim| sim.to_closing(),
    ];
    for scene in scenes {
        let mut sim = Sim::new(LinkConfig::default());
        scene(&mut sim);
        sim.set_clock(Instant::ORIGIN + Duration::MAX);
        sim.handle_timeout();
        sim.retry_now();
        sim.handle_timeout();
        sim.peer().reset();
        sim.handle_timeout();
    }
}

/// Lets a phase time out, and checks that this was its own deadline and no earlier one.
#[track_caller]
fn assert_times_out(mut sim: Sim<impl relink::Protocol>, timer: Timer, limit: Duration) {
    assert_eq!(sim.machine().link().next_timer(), Some(timer));
    let _ = sim.take_events();
    sim.advance(limit - millis(1));
    assert_eq!(count(&sim.take_events(), |event| matches!(event, Event::AttemptFailed { .. })), 0);
    sim.advance(millis(1));
    let end = Reason::TimedOut(timer);
    let timed_out =
        |event: &Event| matches!(event, Event::AttemptFailed { reason, .. } if *reason == end);
    assert_eq!(count(&sim.take_events(), timed_out), 1);
    assert_eq!(sim.state(), State::Connecting(Phase::Waiting));
    assert!(sim.deadline() > Some(sim.now()));
}

fn bare_link() -> Link<Pcg32> {
    let config = with_tokens(LinkConfig::default()).with_handshake(all_steps());
    let mut link = Link::new(config, 2, Pcg32::seed_from_u64(1)).unwrap();
    feed(&mut link, Input::Login);
    feed(&mut link, Input::Connect);
    link
}

/// Passes an input, and takes all actions as if they were carried out.
fn feed(link: &mut Link<Pcg32>, input: Input) {
    link.handle(input, Instant::ORIGIN).unwrap();
    while link.poll_action().is_some() {}
}

fn dial(link: &mut Link<Pcg32>) -> TransportId {
    feed(link, Input::RetryNow);
    let id = link.transport().unwrap();
    feed(link, Input::Token { id, result: Ok(TokenInfo::new(None)) });
    id
}

fn open(link: &mut Link<Pcg32>) -> TransportId {
    let id = dial(link);
    feed(link, Input::Opened { id });
    id
}

fn all_done(link: &mut Link<Pcg32>, id: TransportId) {
    for signal in
        [HandshakeEvent::Welcome, HandshakeEvent::ChallengeMet, HandshakeEvent::Authenticated]
    {
        feed(link, Input::Handshake { id, event: signal });
    }
    assert_eq!(link.state(), State::Connected);
}

fn link_strangers(id: TransportId) -> Vec<Input> {
    let signals = [
        HandshakeEvent::Welcome,
        HandshakeEvent::ChallengeMet,
        HandshakeEvent::Redirect,
        HandshakeEvent::Authenticated,
        HandshakeEvent::Refused(Refusal::Token),
        HandshakeEvent::Refused(Refusal::As(CloseCode::ADMIN_DISCONNECT)),
        HandshakeEvent::GoingAway { retry_after: secs(60) },
    ];
    let mut inputs: Vec<_> =
        signals.into_iter().map(|signal| Input::Handshake { id, event: signal }).collect();
    inputs.extend([
        Input::Token { id, result: Ok(TokenInfo::new(None)) },
        Input::Token { id, result: Err(TokenError::default()) },
        Input::Opened { id },
        Input::Received { id },
        Input::Pong { id, nonce: None },
        Input::PeerClosed { id, code: CloseCode::ADMIN_DISCONNECT },
        Input::Failed { id, failure: Failure::Reset },
        Input::Failed { id, failure: Failure::HttpRedirect },
        Input::Failed { id, failure: Failure::InvalidRequest },
    ]);
    inputs
}
