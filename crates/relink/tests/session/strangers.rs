//! Secrets belong to the origins that are configured: what a redirect to somebody else leaves
//! behind.

use rand_pcg::Pcg32;
use relink::link::{HandshakeEvent, Step, TransportId};
use relink::protocol::{ClientFrame, ProtocolEvent};
use relink::rand_core::SeedableRng;
use relink::session::{Frame, Secret};
use relink::{
    Address, CloseCode, Event, Failure, Instant, Message, Protocol, Reason, Resume, Session,
    SessionAction, SessionConfig, SessionInput, State, Subscription, Token,
};
use relink_v1 as v1;
use relink_v1::{Codec, Encoding, RelinkV1, ServerFrame};

use crate::desk::{fresh, secs};

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
        let mut rig = Rig::new(&[from, "wss://b.example/feed"]);
        assert_eq!(rig.dialed(), (from.to_owned(), true, true));
        rig.redirect(to);
        let (address, has_token, trusted) = rig.dialed();
        assert_eq!(
            (has_token, trusted),
            (is_trusted, is_trusted),
            "{from} to {to}, which is {address}"
        );
        assert_eq!(rig.hello(), (is_trusted.then(|| "token-1".into()), None), "{to}");
    }
}

#[test]
fn a_stranger_does_not_learn_the_session_nor_a_token_that_is_renewed() {
    let mut rig = Rig::new(&["wss://a.example/"]);
    rig.hello();
    rig.welcome("ours");
    rig.lose();
    rig.redirect("wss://b.example/");
    assert_eq!(rig.hello(), (None, None));
    rig.welcome("theirs");
    rig.sleep(600);
    assert_eq!(rig.fetches, 3, "a token is fetched ahead of its end");
    assert!(rig.frames().iter().all(|frame| matches!(frame, ClientFrame::Heartbeat { .. })));

    // What that server began goes on there, and nowhere else.
    rig.lose();
    assert_eq!(rig.hello(), (Some("token-4".into()), None));
    rig.lose();
    rig.redirect("wss://b.example/again");
    assert_eq!(rig.hello(), (None, Some("theirs".to_owned())));
    rig.lose();
    rig.redirect("wss://c.example/");
    assert_eq!(rig.hello(), (None, None));
}

#[test]
fn a_stranger_gets_no_token_for_a_channel_and_the_channel_comes_back_at_home() {
    let mut rig = Rig::new(&["wss://a.example/"]);
    rig.session.subscribe("private", Subscription::default().with_token());
    rig.redirect("wss://b.example/");
    rig.hello();
    rig.welcome("theirs");
    assert!(rig.frames().is_empty());
    let problem = rig.events.iter().find_map(|event| {
        if let Event::Unsubscribed { problem, retry_in, .. } = event {
            Some((problem, retry_in))
        } else {
            None
        }
    });
    let (problem, retry_in) = problem.expect("it is told");
    assert!(problem.detail.contains("redirect") && retry_in.is_some(), "{problem:?}");
    assert_eq!(rig.channel_fetches, 0);

    rig.lose();
    rig.hello();
    rig.welcome("ours");
    rig.frames();
    assert_eq!(rig.channel_fetches, 1);
}

#[test]
fn no_redirect_leads_from_tls_to_plain_text_whichever_endpoint_it_came_from() {
    for chain in [
        &["ws://a.example/"][..],
        &["http://c.example/"],
        &["wss://c.example/", "/x", "http://c.example/"],
        &["wss://c.example/", "ws://b.example/"],
    ] {
        let mut rig = Rig::new(&["ws://a.example/", "wss://b.example/"]);
        rig.lose();
        assert_eq!(rig.dialed().0, "wss://b.example/");
        chain.iter().for_each(|to| rig.redirect(to));
        let (reason, detail) = rig.failure();
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
        let mut rig = Rig::new(&["ws://a.example/"]);
        rig.redirect(to);
        let (reason, detail) = rig.failure();
        assert_eq!(reason, Reason::Failed(Failure::NotWebSocket), "{to}");
        assert!(
            detail.contains(problem) && detail.contains("redirect") && !detail.contains("secret"),
            "{detail}"
        );
        assert!(!rig.session.state().is_closed(), "it may be another address next time");
    }
}

#[test]
fn the_protocols_own_redirect_is_held_to_the_same() {
    let config = SessionConfig::default();
    let handshake =
        config.link.handshake.with_challenge(Some(secs(5))).with_authentication(Some(secs(5)));
    let config = config.with_link(config.link.with_handshake(handshake));
    for (to, leads_to, words) in [
        ("/there", "wss://a.example/there", &["login token-1"][..]),
        ("wss://b.example/", "wss://b.example/", &["login"]),
        ("ws://a.example/", "", &[]),
        ("wss://b.example:0/", "", &[]),
    ] {
        let mut rig = Rig::with(config, &["wss://a.example/feed"], Words);
        rig.open();
        rig.say(&format!("go {to}"));
        if leads_to.is_empty() {
            let (reason, detail) = rig.failure();
            assert_eq!(reason, Reason::Failed(Failure::NotWebSocket), "{to}");
            assert!(detail.contains("redirect"), "{detail}");
            assert_eq!(rig.farewell, Some(CloseCode::PROTOCOL_ERROR), "the server is told");
        } else {
            assert_eq!(rig.dialed().0, leads_to);
            rig.open();
            rig.say("met");
            let heard: Vec<_> = rig.transmit();
            assert_eq!(
                heard,
                words.iter().map(|word| Frame::Message((*word).into())).collect::<Vec<_>>()
            );
        }
    }
}

/// A session with a token provider, and a driver by hand.
struct Rig<P> {
    session: Session<P, Pcg32>,
    now: Instant,
    dial: Option<(TransportId, Address, Option<Secret>, bool)>,
    fetches: u32,
    channel_fetches: u32,
    farewell: Option<CloseCode>,
    events: Vec<Event>,
}

impl Rig<RelinkV1> {
    fn new(addresses: &[&str]) -> Self {
        Self::with(v1::config(), addresses, RelinkV1::default())
    }

    /// Opens the transport; the token and the session of the hello.
    fn hello(&mut self) -> (Option<Secret>, Option<String>) {
        self.open();
        let Some(ClientFrame::Hello { token, resume, .. }) = self.frames().pop() else {
            panic!("no hello")
        };
        (token, resume.map(|resume| resume.session.expose().to_owned()))
    }

    fn welcome(&mut self, session: &str) {
        let frame = fresh(session, None).encode(Encoding::Json);
        self.hear(frame);
        assert_eq!(self.session.state(), State::Connected);
    }

    fn frames(&mut self) -> Vec<ClientFrame> {
        let frames = self.transmit();
        let message =
            |frame| if let Frame::Message(message) = frame { Some(message) } else { None };
        frames
            .into_iter()
            .filter_map(message)
            .map(|frame| ClientFrame::decode(&frame).expect("a frame").0)
            .collect()
    }

    /// Lets time pass, with a server that answers heartbeats.
    fn sleep(&mut self, seconds: u64) {
        let end = self.now + secs(seconds);
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.give(SessionInput::Timeout);
            for frame in self.frames() {
                if let ClientFrame::Heartbeat { nonce, .. } = frame {
                    self.hear(ServerFrame::HeartbeatAck { nonce, sent: 0 }.encode(Encoding::Json));
                } else {
                    panic!("{frame:?} goes to a stranger");
                }
            }
        }
        self.now = end;
    }
}

impl<P: Protocol> Rig<P> {
    fn with(mut config: SessionConfig, addresses: &[&str], protocol: P) -> Self {
        config.link.credentials.fetch = true;
        let addresses = addresses.iter().map(|address| Address::from(*address)).collect();
        let session =
            Session::new(config, addresses, protocol, Pcg32::seed_from_u64(7)).expect("a session");
        let mut rig = Self {
            session,
            now: Instant::from_origin(secs(100)),
            dial: None,
            fetches: 0,
            channel_fetches: 0,
            farewell: None,
            events: Vec::new(),
        };
        rig.give(SessionInput::Connect);
        rig
    }

    fn give(&mut self, input: SessionInput) {
        self.session.handle(input, self.now);
        while let Some(action) = self.session.poll_action() {
            match action {
                SessionAction::FetchToken { id } => {
                    self.fetches += 1;
                    let mut token = Token::from(format!("token-{}", self.fetches));
                    token.expires_in = Some(secs(600));
                    self.session.handle(SessionInput::Token { id, result: Ok(token) }, self.now);
                }
                SessionAction::Dial { id, address, token, is_trusted } => {
                    self.dial = Some((id, address, token, is_trusted));
                }
                SessionAction::FetchChannelToken { .. } => self.channel_fetches += 1,
                SessionAction::Drop { farewell, .. } => {
                    self.farewell = farewell.map(|frame| frame.code).or(self.farewell);
                }
                SessionAction::Event(event) => self.events.push(event),
                other => panic!("nobody asked for {other:?}"),
            }
        }
    }

    fn id(&self) -> TransportId {
        self.dial.as_ref().expect("a dial").0
    }

    /// Where the last dial went, whether with a token, and whether secrets may go along.
    fn dialed(&self) -> (String, bool, bool) {
        let (_, address, token, is_trusted) = self.dial.as_ref().expect("a dial");
        (address.expose().to_owned(), token.is_some(), *is_trusted)
    }

    fn open(&mut self) {
        self.give(SessionInput::Opened { id: self.id() });
    }

    fn redirect(&mut self, to: &str) {
        let (id, failure, location) = (self.id(), Failure::HttpRedirect, Some(to.into()));
        self.give(SessionInput::Failed { id, failure, detail: String::new(), location });
    }

    /// Loses the transport, or the dial for it, and waits for the next one.
    fn lose(&mut self) {
        let (id, failure) = (self.id(), Failure::Reset);
        self.give(SessionInput::Failed { id, failure, detail: String::new(), location: None });
        while self.id() == id {
            self.now = self.session.poll_timeout().expect("a deadline").max(self.now);
            self.give(SessionInput::Timeout);
        }
    }

    fn say(&mut self, text: &str) {
        self.hear(Message::from(text));
    }

    fn hear(&mut self, message: Message) {
        self.give(SessionInput::Frame { id: self.id(), frame: Frame::Message(message) });
    }

    fn transmit(&mut self) -> Vec<Frame> {
        let now = self.now;
        let frames = std::iter::from_fn(|| self.session.poll_transmit(now)).collect();
        self.give(SessionInput::Timeout);
        frames
    }

    fn failure(&self) -> (Reason, String) {
        let failed = self.events.iter().rev().find_map(|event| match event {
            Event::AttemptFailed { reason, detail, .. } => Some((*reason, detail.clone())),
            _ => None,
        });
        failed.expect("an attempt failed")
    }
}

/// A handshake in words: `go ADDRESS`, `met`; and `login TOKEN` in answer.
struct Words;

impl Protocol for Words {
    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        let text = message.as_text().expect("a text");
        events.push(match text.strip_prefix("go ") {
            Some(to) => ProtocolEvent::Redirect(to.into()),
            None => HandshakeEvent::ChallengeMet.into(),
        });
    }

    fn begin(
        &mut self,
        step: Step,
        token: Option<&Secret>,
        _resume: Option<&Resume>,
        frames: &mut Vec<Frame>,
    ) {
        if step == Step::Authenticating {
            let words = format!("login {}", token.map_or("", Secret::expose));
            frames.push(Frame::Message(words.trim_end().into()));
        }
    }

    fn send(&mut self, _: ClientFrame, _: &mut Vec<Frame>, _: Instant) {}
}
