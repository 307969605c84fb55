//! Secrets are for the configured origins: a redirect to another origin gets none.

use core::time::Duration;

use relink::link::HandshakeEvent;
use relink::protocol::ProtocolEvent;
use relink::session::{Frame, Secret};
use relink::{CloseCode, Event, Failure, Protocol, Reason, SessionConfig, State, Subscription};
use relink_sim::{Direct, Sim, Tokens, secs};
use relink_v1::{ClientFrame, RelinkV1, ServerFrame};

#[test]
fn the_token_follows_a_redirect_within_the_configured_origins_and_to_no_stranger() {
    for (from, to, is_trusted) in [
        ("wss://a.example/", "/elsewhere", true),
        ("wss://a.example/", "https://A.EXAMPLE:443/x", true),
        ("wss://a.example/", "//b.example/", true),
        ("wss://a.example/", "wss://a.example:8443/", false),
        ("wss://a.example/", "wss://c.example/", false),
        ("wss://a.example/", "wss://b.example.evil/", false),
        ("ws://a.example/", "wss://a.example/", false),
        ("ws://a.example/", "ws://a.example@c.example/", false),
    ] {
        let mut sim = v1_link(&[from, "wss://b.example/feed"]);
        assert_eq!(dialed(&sim), (from.to_owned(), true, true));
        sim.peer().redirect(to);
        let (address, has_token, trusted) = dialed(&sim);
        assert_eq!(
            (has_token, trusted),
            (is_trusted, is_trusted),
            "{from} to {to}, which is {address}"
        );
        assert_eq!(hello(&mut sim), (is_trusted.then(|| "token-1".into()), None), "{to}");
    }
}

#[test]
fn a_stranger_does_not_learn_the_session_nor_a_token_that_is_renewed() {
    let mut sim = v1_link(&["wss://a.example/"]);
    hello(&mut sim);
    welcome(&mut sim, "ours");
    lose(&mut sim);
    sim.peer().redirect("wss://b.example/");
    assert_eq!(hello(&mut sim), (None, None));
    welcome(&mut sim, "theirs");
    sleep(&mut sim, secs(600));
    assert_eq!(sim.fetches(), 3, "a token is fetched ahead of its end");
    assert!(sim.peer().frames().iter().all(|frame| matches!(frame, ClientFrame::Heartbeat { .. })));

    // A session that the other server began is resumed there only.
    lose(&mut sim);
    assert_eq!(hello(&mut sim), (Some("token-4".into()), None));
    lose(&mut sim);
    sim.peer().redirect("wss://b.example/again");
    assert_eq!(hello(&mut sim), (None, Some("theirs".to_owned())));
    lose(&mut sim);
    sim.peer().redirect("wss://c.example/");
    assert_eq!(hello(&mut sim), (None, None));
}

#[test]
fn a_stranger_gets_no_token_for_a_channel_and_the_channel_comes_back_at_home() {
    let mut sim = v1_link(&["wss://a.example/"]);
    sim.subscribe("private", Subscription::default().with_token());
    sim.peer().redirect("wss://b.example/");
    hello(&mut sim);
    welcome(&mut sim, "theirs");
    assert!(sim.peer().frames().is_empty());
    let problem = sim.events().iter().find_map(|event| {
        if let Event::Unsubscribed { problem, retry_in, .. } = event {
            Some((problem, retry_in))
        } else {
            None
        }
    });
    let (problem, retry_in) = problem.expect("it is told");
    assert!(problem.detail.contains("redirect") && retry_in.is_some(), "{problem:?}");
    assert_eq!(sim.take_channel_fetches().len(), 0);

    lose(&mut sim);
    hello(&mut sim);
    welcome(&mut sim, "ours");
    sim.peer().frames();
    assert_eq!(sim.take_channel_fetches().len(), 1);
}

#[test]
fn no_redirect_leads_from_tls_to_plain_text_whichever_endpoint_it_came_from() {
    for chain in [
        &["ws://a.example/"][..],
        &["http://c.example/"],
        &["wss://c.example/", "/x", "http://c.example/"],
        &["wss://c.example/", "ws://b.example/"],
    ] {
        let mut sim = v1_link(&["ws://a.example/", "wss://b.example/"]);
        lose(&mut sim);
        assert_eq!(dialed(&sim).0, "wss://b.example/");
        chain.iter().for_each(|to| sim.peer().redirect(to));
        let (reason, detail) = failure(&sim);
        assert_eq!(reason, Reason::Failed(Failure::NotWebSocket), "{chain:?}");
        assert!(detail.contains("TLS to plain text"), "{detail}");
    }
}

#[test]
fn a_redirect_to_an_address_that_is_none_is_a_failed_attempt_that_says_so() {
    for (to, problem) in [
        ("ws://127.0.0.1:99999/", "port"),
        ("ws://me:secret@:1/?secret", "no host"),
        ("ftp://a.example/", "scheme"),
    ] {
        let mut sim = v1_link(&["ws://a.example/"]);
        sim.peer().redirect(to);
        let (reason, detail) = failure(&sim);
        assert_eq!(reason, Reason::Failed(Failure::NotWebSocket), "{to}");
        assert!(
            detail.contains(problem) && detail.contains("redirect") && !detail.contains("secret"),
            "{detail}"
        );
        assert!(!sim.state().is_closed(), "it may be another address next time");
    }
}

#[test]
fn the_protocols_own_redirect_is_held_to_the_same() {
    let config = SessionConfig::default();
    let handshake =
        config.link.handshake.with_challenge(Some(secs(5))).with_authentication(Some(secs(5)));
    let config = config.with_link(config.link.with_handshake(handshake));
    for (to, leads_to, words) in [
        ("/there", "wss://a.example/there", "authenticating token-1"),
        ("wss://b.example/", "wss://b.example/", "authenticating"),
        ("ws://a.example/", "", ""),
        ("wss://b.example:0/", "", ""),
    ] {
        let mut sim = link(config, &["wss://a.example/feed"], Direct::default());
        sim.peer().accept();
        sim.peer().say(ProtocolEvent::Redirect(to.into()));
        if leads_to.is_empty() {
            let (reason, detail) = failure(&sim);
            assert_eq!(reason, Reason::Failed(Failure::NotWebSocket), "{to}");
            assert!(detail.contains("redirect"), "{detail}");
            assert_eq!(
                sim.peer().farewells().pop().map(|frame| frame.code),
                Some(CloseCode::PROTOCOL_ERROR),
                "the server is told"
            );
        } else {
            assert_eq!(dialed(&sim).0, leads_to);
            sim.peer().accept();
            sim.peer().handshake(HandshakeEvent::ChallengeMet);
            let heard = sim.peer().read();
            assert_eq!(heard.last(), Some(&Frame::Message(words.into())));
            let with_token = |frame: &Frame| matches!(frame, Frame::Message(it) if it.as_text().is_some_and(|it| it.contains("token-1")));
            assert_eq!(heard.iter().any(with_token), words.contains("token-1"));
        }
    }
}

/// A session with a token provider, in a sim whose peer is manual.
fn link<P: Protocol>(mut config: SessionConfig, addresses: &[&str], protocol: P) -> Sim<P> {
    config.link.credentials.fetch = true;
    let mut sim = Sim::with(config, addresses, protocol, 7).expect("a session").manual();
    sim.tokens(Tokens::Grant(Some(secs(600))));
    sim.connect();
    sim
}

fn v1_link(addresses: &[&str]) -> Sim<RelinkV1> {
    link(relink_v1::config(), addresses, RelinkV1::default())
}

/// Opens the transport; the token and the session of the hello.
fn hello(sim: &mut Sim<RelinkV1>) -> (Option<Secret>, Option<String>) {
    sim.peer().accept();
    let Some(ClientFrame::Hello { token, resume, .. }) = sim.peer().frames().pop() else {
        panic!("no hello")
    };
    (token, resume.map(|resume| resume.session.expose().to_owned()))
}

fn welcome(sim: &mut Sim<RelinkV1>, session: &str) {
    sim.peer().welcome(session);
    assert_eq!(sim.state(), State::Connected);
}

/// Lets time pass, with a server that answers heartbeats.
fn sleep(sim: &mut Sim<RelinkV1>, time: Duration) {
    let end = sim.now() + time;
    while sim.deadline().is_some_and(|at| at <= end) {
        sim.step();
        for frame in sim.peer().frames() {
            let ClientFrame::Heartbeat { nonce, .. } = frame else {
                panic!("{frame:?} goes to a stranger")
            };
            sim.peer().say(ServerFrame::HeartbeatAck { nonce, sent: 0 });
        }
    }
    sim.set_clock(end);
}

/// The address of the last dial, whether it had a token, and whether it is trusted.
fn dialed<P: Protocol>(sim: &Sim<P>) -> (String, bool, bool) {
    let dial = sim.dials().last().expect("a dial");
    (dial.address.expose().to_owned(), dial.token.is_some(), dial.is_trusted)
}

/// Loses the transport, or the dial for it, and waits for the next one.
fn lose<P: Protocol>(sim: &mut Sim<P>) {
    sim.peer().reset();
    sim.next_dial();
}

fn failure<P: Protocol>(sim: &Sim<P>) -> (Reason, String) {
    let failed = sim.events().iter().rev().find_map(|event| match event {
        Event::AttemptFailed { reason, detail, .. } => Some((*reason, detail.clone())),
        _ => None,
    });
    failed.expect("an attempt failed")
}
