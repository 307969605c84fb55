//! What several scenarios share: links with a handshake, delays, and a random walk.

use std::time::Duration;

use relink::link::{Handshake, HandshakeEvent, Hint, Refusal, ReopenPolicy, TransportId};
use relink::protocol::ProtocolEvent;
use relink::rand_core::{Rng, SeedableRng};
use relink::session::{Frame, OutboxConfig};
use relink::{
    CloseCode, CloseFrame, Event, Failure, LinkConfig, Protocol, SessionConfig, SessionInput,
    State, Token,
};
use relink_sim::{Direct, OnDial, Sim, Speak, Tokens, millis, secs};

/// The event of a server that goes away, and says when to come back.
pub(crate) const GOING_AWAY: HandshakeEvent = HandshakeEvent::GoingAway { retry_after: secs(60) };

/// The event for a frame that the protocol cannot read.
pub(crate) fn malformed() -> ProtocolEvent {
    ProtocolEvent::Malformed(CloseFrame::new(CloseCode::INVALID_DATA, "that is no message"))
}

/// A session whose protocol has a handshake, with this configuration, towards `ws://peer`.
pub(crate) fn speaking(config: LinkConfig, seed: u64) -> Sim<Direct> {
    let config = SessionConfig::default().with_link(config);
    Sim::with(config, &["ws://peer"], Direct::default(), seed).unwrap()
}

/// A protocol with every step of a handshake, each with a limit of its own.
pub(crate) fn all_steps() -> Handshake {
    Handshake::default()
        .with_welcome(Some(secs(3)))
        .with_challenge(Some(secs(4)))
        .with_login(true)
        .with_login_timeout(Some(secs(5)))
        .with_authentication(Some(secs(6)))
}

/// A token provider in front of every attempt.
pub(crate) fn with_tokens(config: LinkConfig) -> LinkConfig {
    config.with_credentials(config.credentials.with_fetch(true))
}

/// The delays that the link has reported.
pub(crate) fn waits(events: &[Event]) -> Vec<Duration> {
    let wait = |event: &Event| {
        if let Event::AttemptFailed { retry_in, .. } | Event::Disconnected { retry_in, .. } = event
        {
            *retry_in
        } else {
            None
        }
    };
    events.iter().filter_map(wait).collect()
}

/// How many events are of this kind.
pub(crate) fn count(events: &[Event], kind: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| kind(event)).count()
}

/// Everything switched on, mostly with short deadlines.
pub(crate) fn everything_on(seed: u64) -> Sim<Direct> {
    let link = LinkConfig::default()
        .with_handshake(all_steps())
        .with_stable_after(secs(2))
        .with_reopen(ReopenPolicy::Always);
    let link = link.with_heartbeat(
        link.heartbeat
            .with_interval(Some(secs(5)))
            .with_timeout(secs(3))
            .with_watchdog(Some(secs(20))),
    );
    let link = with_tokens(link.with_surface(link.surface.with_grace(Some(secs(1)))));
    let outbox = OutboxConfig::default().with_max_messages(8).with_ttl(Some(secs(4)));
    let config = SessionConfig::default().with_link(link).with_outbox(outbox);
    Sim::with(config, &["ws://one", "ws://two"], Direct::default(), seed).unwrap()
}

/// The handshake step by step, except for the login.
pub(crate) const HANDSHAKE: [HandshakeEvent; 3] =
    [HandshakeEvent::Welcome, HandshakeEvent::ChallengeMet, HandshakeEvent::Authenticated];

/// Some steps at random: the peer, the network, the provider, the application and the clock, in any
/// order.
pub(crate) struct Walk {
    dice: rand_pcg::Pcg32,
}

impl Walk {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: rand_pcg::Pcg32::seed_from_u64(seed ^ 0x005e_ed0f_aba1) }
    }

    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.dice.next_u32() % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(u32::try_from(from.len()).unwrap()) as usize]
    }

    pub(crate) fn step(&mut self, sim: &mut Sim<Direct>) {
        match self.below(24) {
            0 => sim.connect(),
            1 => sim.login(),
            2 => sim.retry_now(),
            3 => sim.mark_stable(),
            4 => sim.hint(self.pick(&[Hint::Online, Hint::Offline, Hint::Wake])),
            5 => sim.peer().on_dial(self.pick(&[
                OnDial::Accept,
                OnDial::Accept,
                OnDial::Hold,
                OnDial::Refuse(Failure::Refused),
                OnDial::Refuse(Failure::HttpRedirect),
                OnDial::Flap { after: millis(5), code: CloseCode::GOING_AWAY },
            ])),
            6 => sim.tokens(self.pick(&[
                Tokens::Grant(None),
                Tokens::Grant(Some(secs(61))),
                Tokens::Fail,
            ])),
            7 => sim.peer().accept(),
            8 => sim.peer().reset(),
            9 => sim.peer().silence(),
            10 => sim.peer().close(self.pick(&[1001, 1005, 1011, 4002, 4010])),
            // The handshake step by step; at random it would rarely be completed.
            11 | 12 => {
                sim.login();
                for event in HANDSHAKE {
                    sim.peer().handshake(event);
                }
            }
            13 => sim.peer().handshake(self.pick(&HANDSHAKE)),
            14 => sim
                .peer()
                .handshake(self.pick(&[HandshakeEvent::Refused(Refusal::Token), GOING_AWAY])),
            15 if self.below(2) == 0 => sim.peer().say(malformed()),
            15 => sim.peer().send("hi"),
            16 => drop(sim.send("a message")),
            17 => {
                sim.peer().silence();
                sim.close(1000);
            }
            18 => sim.sleep(secs(u64::from(self.below(90)))),
            19 => self.confuse(sim),
            _ => sim.advance(millis(u64::from(self.below(4_000)))),
        }
    }

    /// An input that no correct driver passes: from any transport so far, in any state.
    fn confuse(&mut self, sim: &mut Sim<Direct>) {
        let Some(count) = u32::try_from(sim.dials().len()).ok().filter(|count| *count > 0) else {
            return;
        };
        let id = sim.dials()[self.below(count) as usize].id;
        if sim.machine().link().transport() != Some(id) {
            return strangers(sim, id).into_iter().for_each(|input| sim.handle(input));
        }
        sim.handle(SessionInput::Timeout);
    }
}

/// Everything that can come from a transport.
pub(crate) fn strangers<P: Speak>(sim: &Sim<P>, id: TransportId) -> Vec<SessionInput> {
    let protocol = sim.machine().protocol();
    let welcome = protocol.handshake(HandshakeEvent::Welcome).map(|said| protocol.encode(said));
    let frame = |frame| SessionInput::Frame { id, frame };
    let failed =
        |failure| SessionInput::Failed { id, failure, detail: "late".into(), location: None };
    vec![
        SessionInput::Opened { id },
        SessionInput::Token { id, result: Ok(Token::from("late")) },
        SessionInput::Token { id, result: Err("late".into()) },
        SessionInput::Alive { id },
        frame(Frame::Message(welcome.unwrap_or("early".into()))),
        frame(Frame::Message("late".into())),
        frame(Frame::Ping(b"late"[..].into())),
        frame(Frame::Pong(1_u32.to_be_bytes().to_vec().into())),
        frame(Frame::Close(CloseCode::ADMIN_DISCONNECT.into())),
        failed(Failure::Reset),
        failed(Failure::HttpRedirect),
        failed(Failure::InvalidRequest),
    ]
}

/// Whether messages can go out.
pub(crate) fn is_connected(sim: &Sim<impl Protocol>) -> bool {
    sim.state() == State::Connected
}
