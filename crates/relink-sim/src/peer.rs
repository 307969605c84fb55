//! The peer: a server that behaves well until the scenario changes that.

use std::time::Duration;

use relink::link::TransportId;
use relink::session::Frame;
use relink::{
    Address, Channel, CloseCode, CloseFrame, Failure, Instant, Message, Protocol, SessionAction,
    SessionInput, Token,
};

use crate::sim::{Dial, Sim};
use crate::transcript;

/// How the peer answers a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnDial {
    /// The transport is open at once.
    #[default]
    Accept,
    /// Nothing happens until [`Peer::accept`] or [`Peer::refuse`]: a network that swallows packets.
    Hold,
    /// The dial fails at once.
    Refuse(Failure),
    /// The transport is open at once, and closed with this code a while later.
    Flap {
        /// How much later.
        after: Duration,
        /// With which code.
        code: CloseCode,
    },
}

/// How the token provider answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tokens {
    /// At once, with `token-1`, `token-2` and so on, each good for this long; `None` does not say
    /// how long. The default, with `None`.
    Grant(Option<Duration>),
    /// At once, with a failure.
    Fail,
    /// Never.
    Hang,
}

/// How the address provider answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Addresses {
    /// At once, with the endpoint and `/?ticket=1`, `/?ticket=2` and so on. The default.
    Ticket,
    /// At once, with a failure.
    Fail,
    /// Never.
    Hang,
}

/// What is outside of the session.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) on_dial: OnDial,
    pub(crate) tokens: Tokens,
    pub(crate) addresses: Addresses,
    /// Addresses that were fetched.
    located: u32,
    /// What the link holds at the moment: a fetch, a dial or an open transport. Never two.
    held: Option<Held>,
    /// Whether the peer answers nothing on any transport.
    pub(crate) is_silent: bool,
    /// How many more frames will be read from the open transport; `None` for all.
    pub(crate) credit: Option<usize>,
    heard: Vec<Frame>,
    pub(crate) farewells: Vec<CloseFrame>,
    pub(crate) fetches: u32,
    pub(crate) channel_fetches: Vec<Channel>,
    #[cfg(feature = "v1")]
    pub(crate) server: crate::v1::Server,
}

#[derive(Debug)]
struct Held {
    id: TransportId,
    open: bool,
    silent: bool,
    will_close: Option<(Instant, CloseFrame)>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            on_dial: OnDial::Accept,
            tokens: Tokens::Grant(None),
            addresses: Addresses::Ticket,
            located: 0,
            held: None,
            is_silent: false,
            credit: None,
            heard: Vec::new(),
            farewells: Vec::new(),
            fetches: 0,
            channel_fetches: Vec::new(),
            #[cfg(feature = "v1")]
            server: crate::v1::Server::default(),
        }
    }
}

impl Surroundings {
    /// When the peer will do something of its own accord.
    pub(crate) fn next_act(&self) -> Option<Instant> {
        self.held.as_ref()?.will_close.as_ref().map(|(at, _)| *at)
    }

    /// Whether the peer reads another frame.
    pub(crate) fn has_room(&self) -> bool {
        self.credit != Some(0)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.open)
    }

    /// The transport is open.
    pub(crate) fn opens(&mut self, id: TransportId) {
        if let Some(held) = self.held.as_mut().filter(|held| held.id == id) {
            held.open = true;
        }
    }

    /// The token provider is asked; `None` if it does not answer.
    fn fetch_token(&mut self) -> Option<Result<Token, String>> {
        self.fetches += 1;
        match self.tokens {
            Tokens::Grant(expires_in) => {
                let mut token = Token::from(format!("token-{}", self.fetches));
                token.expires_in = expires_in;
                Some(Ok(token))
            }
            Tokens::Fail => Some(Err("the provider is down".into())),
            Tokens::Hang => None,
        }
    }

    fn hold(&mut self, id: TransportId) {
        if let Some(held) = &self.held {
            assert_eq!(held.id, id, "{id:?} begins while the link still holds another transport");
        }
        self.held = Some(Held { id, open: false, silent: self.is_silent, will_close: None });
    }
}

impl<P: Protocol> Sim<P> {
    /// Carries out an action; returns `None` if the peer does not answer.
    pub(crate) fn carry_out(&mut self, action: SessionAction) -> Option<SessionInput> {
        match action {
            SessionAction::FetchToken { id } => {
                self.note("fetch token");
                if !self.world.is_open() {
                    self.hold(id);
                }
                let result = self.world.fetch_token()?;
                Some(SessionInput::Token { id, result })
            }
            SessionAction::FetchAddress { id, endpoint, .. } => {
                self.note(format!("fetch address for {endpoint}"));
                self.world.located += 1;
                self.hold(id);
                let result = match self.world.addresses {
                    Addresses::Ticket => {
                        let ticket =
                            format!("{}/?ticket={}", endpoint.expose(), self.world.located);
                        Ok(Address::from(ticket))
                    }
                    Addresses::Fail => Err("the provider is down".into()),
                    Addresses::Hang => return None,
                };
                Some(SessionInput::Address { id, result })
            }
            SessionAction::Dial { id, address, token, is_trusted } => {
                self.hold(id);
                self.note_dial(Dial { at: self.now, id, attempt: 0, address, token, is_trusted });
                match self.world.on_dial {
                    OnDial::Accept => self.opened(None),
                    OnDial::Hold => None,
                    OnDial::Refuse(failure) => self.failed(failure),
                    OnDial::Flap { after, code } => {
                        self.opened(Some((self.now + after, code.into())))
                    }
                }
            }
            SessionAction::Drop { id, farewell } => {
                let said =
                    farewell.as_ref().map(|frame| format!(", saying {}", transcript::close(frame)));
                self.note(format!("drop{}", said.unwrap_or_default()));
                self.world.farewells.extend(farewell);
                let held = self.world.held.take().map(|held| held.id);
                assert_eq!(held, Some(id), "the link lets go of a transport that it does not hold");
                None
            }
            SessionAction::Event(event) => {
                self.note_event(event);
                None
            }
            SessionAction::FetchChannelToken { channel } => {
                self.note(format!("fetch token for {channel}"));
                self.world.channel_fetches.push(channel.clone());
                let result = self.world.fetch_token()?.map(|token| token.secret);
                Some(SessionInput::ChannelToken { channel, result })
            }
            other => unreachable!("the sim does not know the action {other:?}"),
        }
    }

    fn hold(&mut self, id: TransportId) {
        self.world.hold(id);
        if self.ids.last() != Some(&id) {
            self.ids.push(id);
        }
    }

    /// The peer's answer to a frame.
    pub(crate) fn hear(&mut self, frame: Frame) -> Option<SessionInput> {
        self.note(transcript::frame(&frame));
        if let Some(credit) = &mut self.world.credit {
            *credit -= 1;
        }
        let answer = match &frame {
            Frame::Ping(payload) => Some(Frame::Pong(payload.clone())),
            Frame::Close(close) => Some(Frame::Close(close.clone())),
            Frame::Message(_) | Frame::Pong(_) => None,
        };
        self.world.heard.push(frame);
        let held = self.world.held.as_ref().filter(|held| !held.silent)?;
        Some(SessionInput::Frame { id: held.id, frame: answer? })
    }

    /// What the peer does of its own accord, if its time has come.
    pub(crate) fn act(&mut self) -> Option<SessionInput> {
        let now = self.now;
        let held = self.world.held.as_mut()?;
        let (_, frame) = held.will_close.take_if(|(at, _)| *at <= now)?;
        Some(SessionInput::Frame { id: held.id, frame: Frame::Close(frame) })
    }

    fn opened(&mut self, will_close: Option<(Instant, CloseFrame)>) -> Option<SessionInput> {
        let held = self.world.held.as_mut()?;
        held.will_close = will_close;
        Some(SessionInput::Opened { id: held.id })
    }

    fn failed(&mut self, failure: Failure) -> Option<SessionInput> {
        let id = self.world.held.as_ref()?.id;
        let location = (failure == Failure::HttpRedirect).then(|| Address::from("ws://elsewhere"));
        Some(SessionInput::Failed { id, failure, detail: failure.to_string(), location })
    }
}

/// The peer and its behavior, from [`Sim::peer`].
///
/// Everything happens at once, on the transport that is open or being opened; without one, nothing
/// does.
#[derive(Debug)]
pub struct Peer<'a, P> {
    pub(crate) sim: &'a mut Sim<P>,
}

impl<P: Protocol> Peer<'_, P> {
    /// From now on, answers dials like this.
    pub fn on_dial(&mut self, answer: OnDial) {
        self.sim.world.on_dial = answer;
    }

    /// Accepts the dial that is being held.
    pub fn accept(&mut self) {
        let input = self.sim.opened(None);
        self.does(input);
    }

    /// Fails the dial that is being held.
    pub fn refuse(&mut self, failure: Failure) {
        let input = self.sim.failed(failure);
        self.does(input);
    }

    /// Answers nothing any more on this transport: no pong, no close frame. The transport stays
    /// open, as after a cable was cut. The next dial finds the peer as before.
    pub fn silence(&mut self) {
        if let Some(held) = &mut self.sim.world.held {
            held.silent = true;
        }
    }

    /// Redirects the dial that is being held.
    pub fn redirect(&mut self, to: &str) {
        let id = self.sim.id();
        let (failure, location) = (Failure::HttpRedirect, Some(Address::from(to)));
        let detail = failure.to_string();
        self.sim.handle(SessionInput::Failed { id, failure, detail, location });
    }

    /// Sends a message.
    pub fn send(&mut self, message: impl Into<Message>) {
        self.frame(Frame::Message(message.into()));
    }

    /// Sends a close frame.
    pub fn close(&mut self, code: u16) {
        self.close_saying(code, "");
    }

    /// Sends a close frame with a reason.
    pub fn close_saying(&mut self, code: u16, reason: &str) {
        self.frame(Frame::Close(CloseFrame::new(CloseCode(code), reason)));
    }

    /// Sends any frame.
    pub fn frame(&mut self, frame: Frame) {
        let open = self.sim.world.held.as_ref().filter(|held| held.open);
        let input = open.map(|held| SessionInput::Frame { id: held.id, frame });
        self.does(input);
    }

    /// Answers the last ping.
    pub fn pong(&mut self) {
        let nonce = self.sim.last_ping();
        self.frame(Frame::Pong(nonce.to_be_bytes().to_vec().into()));
    }

    /// Cuts the transport without a close frame.
    pub fn reset(&mut self) {
        let input = self.sim.failed(Failure::Reset);
        self.does(input);
    }

    /// Reads this many more frames and then no more, so that the link must hold back what it has;
    /// `None` reads on.
    pub fn reads(&mut self, frames: Option<usize>) {
        self.sim.world.credit = frames;
        self.sim.settle();
    }

    /// Reads everything that the link has for it now, even if it [reads](Self::reads) no more by
    /// itself. Returns the frames since this was last asked.
    pub fn read(&mut self) -> Vec<Frame> {
        self.read_at_most(usize::MAX)
    }

    /// The same, with at most this many frames.
    pub fn read_at_most(&mut self, frames: usize) -> Vec<Frame> {
        let credit = self.sim.world.credit.replace(frames);
        self.sim.settle();
        self.sim.world.credit = credit;
        self.heard()
    }

    /// The close frames that were to be written as a transport was dropped, since this was last
    /// asked.
    #[must_use]
    pub fn farewells(&mut self) -> Vec<CloseFrame> {
        std::mem::take(&mut self.sim.world.farewells)
    }

    /// The frames that the peer has read since this was last asked, in order.
    #[must_use]
    pub fn heard(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.sim.world.heard)
    }

    fn does(&mut self, input: Option<SessionInput>) {
        if let Some(input) = input {
            self.sim.handle(input);
        }
    }
}
