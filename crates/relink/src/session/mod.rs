//! [`Session`]: a link with its messages.

mod address;
mod io;
mod message;
mod outbox;
mod protocol;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use rand_core::Rng;

use crate::config::{ConfigError, config, mistake};
use crate::link::{
    Action, Endpoint, Failure, Input, Link, LinkConfig, LinkEvent, LinkSignal, Phase, State, TokenFailed,
    TokenGrant, TransportId,
};
use crate::stats::{Stats, count};
use crate::surface::Surface;
use crate::time::{Instant, earliest};

pub use address::Address;
pub use io::{Accepted, Event, Refused, RefusedReason, SessionAction, SessionInput};
pub use message::{CloseFrame, Frame, Message, NotText, Secret, Text, Token};
pub use outbox::{DropReason, Outbox, OutboxConfig, Overflow, Receipt, WhileDown};
pub use protocol::{Command, Plain, Protocol, Signal};

use outbox::Entry;

config! {
    /// Everything a session can be told in advance.
    ///
    /// | field | default |
    /// |---|---|
    /// | `link`, `outbox` | their own |
    pub struct SessionConfig {
        /// When to dial, when to wait, when to give up.
        pub link / with_link: LinkConfig = LinkConfig::default(),
        /// What may wait to go out.
        pub outbox / with_outbox: OutboxConfig = OutboxConfig::default(),
    }
}

impl SessionConfig {
    /// Checks every field of every piece.
    ///
    /// # Errors
    ///
    /// The first field that cannot work, by its path.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.link.validate()?;
        self.outbox.validate()
    }
}

/// A link with its messages: what waits to go out, what arrives, and the wire format between them.
///
/// Sans-IO like the [`Link`] inside it, and to the same contract. A driver:
///
/// 1. hands in what happened with [`handle`](Self::handle);
/// 2. does what [`poll_action`](Self::poll_action) says until it says nothing more;
/// 3. while its transport has room, writes the frames of [`poll_transmit`](Self::poll_transmit);
/// 4. sleeps until [`poll_timeout`](Self::poll_timeout).
///
/// Messages stay in the [`Outbox`] until the transport has room, so that bounds, order and time to live hold to the
/// last moment. A message handed to a transport that then dies is not sent again (I23): what the peer has seen of it,
/// nobody knows.
#[derive(Debug)]
pub struct Session<P, R> {
    link: Link<R>,
    protocol: P,
    outbox: Outbox,
    addresses: Vec<Address>,
    redirected_to: Option<Address>,
    token: Option<Secret>,
    /// Frames that go ahead of the outbox: heartbeats, handshake words, the close frame.
    control: VecDeque<Frame>,
    farewell: Option<CloseFrame>,
    goodbye: String,
    detail: String,
    actions: VecDeque<SessionAction>,
    signals: Vec<Signal>,
    frames: Vec<Frame>,
}

impl<P: Protocol, R: Rng> Session<P, R> {
    /// A session that has not been started; `addresses` are its endpoints, the first one preferred.
    ///
    /// # Errors
    ///
    /// The first field of the configuration that cannot work, or no address at all, or more than 255.
    pub fn new(
        config: SessionConfig,
        addresses: Vec<Address>,
        protocol: P,
        rng: R,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let endpoints = u8::try_from(addresses.len())
            .map_err(|_| mistake("endpoints", "more than 255", "1 to 255 addresses"))?;
        Ok(Self {
            link: Link::new(config.link, endpoints, rng)?,
            protocol,
            outbox: Outbox::new(config.outbox),
            addresses,
            redirected_to: None,
            token: None,
            control: VecDeque::new(),
            farewell: None,
            goodbye: String::new(),
            detail: String::new(),
            actions: VecDeque::new(),
            signals: Vec::new(),
            frames: Vec::new(),
        })
    }

    // Push: what happened.

    /// Hands in what happened.
    pub fn handle(&mut self, input: SessionInput, now: Instant) {
        match input {
            SessionInput::Connect => self.drive(Input::Connect, now),
            SessionInput::Login => self.drive(Input::Login, now),
            SessionInput::Close(frame) => {
                if !matches!(self.link.state(), State::Closing | State::Closed(_)) {
                    self.goodbye = frame.reason;
                }
                self.drive(Input::Close { code: frame.code }, now);
            }
            SessionInput::RetryNow => self.drive(Input::RetryNow, now),
            SessionInput::MarkStable => self.drive(Input::MarkStable, now),
            SessionInput::Hint(hint) => self.drive(Input::Hint(hint), now),
            SessionInput::Token { id, result } => self.token(id, result, now),
            SessionInput::Opened { id } => self.opened(id, now),
            SessionInput::Frame { id, frame } => self.frame(id, frame, now),
            SessionInput::Unread { id } => self.link.received(id, now),
            SessionInput::Failed { id, failure, detail, location } => {
                if self.link.transport() == Some(id) {
                    self.detail = detail;
                    self.redirected_to = location.or(self.redirected_to.take());
                    self.drive(Input::Failed { id, failure }, now);
                }
            }
            SessionInput::Timeout => self.timeout(now),
        }
    }

    /// Takes a message, to be sent as soon as the link is usable; order is kept.
    ///
    /// # Errors
    ///
    /// The message comes back where there is no room for it, where it is larger than the outbox, where the link is down
    /// and told to refuse, and where the link is closing or closed.
    pub fn send(&mut self, message: impl Into<Message>, now: Instant) -> Result<Accepted, Refused> {
        let now = now.max(self.link.now());
        let message = message.into();
        if let Err(reason) = self.may_send(&message) {
            count(&mut self.link.stats_mut().messages_refused);
            return Err(Refused { message, reason });
        }
        let queued = !self.link.state().is_usable();
        let dropped_itself =
            !self.outbox.has_room(message.len()) && self.outbox.config().overflow == Overflow::DropNewest;
        if dropped_itself {
            let receipt = self.outbox.next_receipt();
            self.drop_message(receipt, message, DropReason::Overflow);
            return Ok(Accepted { receipt, queued });
        }
        while !self.outbox.has_room(message.len()) {
            let Some(Entry { receipt, message, .. }) = self.outbox.pop() else { break };
            self.drop_message(receipt, message, DropReason::Overflow);
        }
        let receipt = self.outbox.push(message, now);
        self.note_queue();
        Ok(Accepted { receipt, queued })
    }

    // Pull: what to do.

    /// The next thing to do or to tell.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<SessionAction> {
        self.actions.pop_front()
    }

    /// The next frame for the transport. Ask only while the transport has room: what is taken counts as sent.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        loop {
            if let Some(frame) = self.control.pop_front() {
                return Some(frame);
            }
            let flushing = self.link.is_flushing();
            if !self.link.state().is_usable() && !flushing {
                return None;
            }
            self.expire_messages(now);
            let Some(entry) = self.outbox.pop() else {
                if !flushing {
                    return None;
                }
                self.drive(Input::Flushed, now);
                continue;
            };
            self.sent(&entry);
            self.frames.clear();
            self.protocol.command(Command::Data(entry.message), &mut self.frames);
            self.control.extend(self.frames.drain(..));
        }
    }

    /// When to hand in [`SessionInput::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let expiry = self.outbox.next_expiry();
        earliest([self.link.poll_timeout().map(|at| (at, ())), expiry.map(|at| (at, ()))]).map(|(at, ())| at)
    }

    // Look: what is so.

    /// The exact state.
    #[must_use]
    pub fn state(&self) -> State {
        self.link.state()
    }

    /// The link inside.
    #[must_use]
    pub const fn link(&self) -> &Link<R> {
        &self.link
    }

    /// What a person should see.
    #[must_use]
    pub const fn surface(&self) -> &Surface {
        self.link.surface()
    }

    /// What waits to go out.
    #[must_use]
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// What happened so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        self.link.stats()
    }

    // The inputs that carry more than the link needs to know.

    fn token(&mut self, id: TransportId, result: Result<Token, String>, now: Instant) {
        if self.link.transport() != Some(id) {
            return;
        }
        let result = match result {
            Ok(token) => {
                self.token = Some(token.secret);
                Ok(TokenGrant::new(token.expires_in))
            }
            Err(detail) => {
                self.detail = detail;
                Err(TokenFailed)
            }
        };
        self.drive(Input::Token { id, result }, now);
    }

    fn opened(&mut self, id: TransportId, now: Instant) {
        let dialing = matches!(
            self.link.state(),
            State::Connecting(Phase::Dialing) | State::Reconnecting(Phase::Dialing)
        );
        if dialing && self.link.transport() == Some(id) {
            self.control.clear();
            self.protocol.opened();
            self.drive(Input::Opened { id }, now);
        }
    }

    fn frame(&mut self, id: TransportId, frame: Frame, now: Instant) {
        if self.link.transport() != Some(id) {
            return;
        }
        self.link.received(id, now);
        match frame {
            Frame::Message(message) => {
                let stats = self.link.stats_mut();
                count(&mut stats.messages_received);
                stats.bytes_received = stats.bytes_received.saturating_add(message.len() as u64);
                self.protocol.receive(message, &mut self.signals);
                self.heed_signals(id, now);
            }
            Frame::Ping(_) => {}
            Frame::Pong(payload) => {
                let nonce = payload.as_ref().try_into().ok().map(u32::from_be_bytes);
                self.drive(Input::Pong { id, nonce: Some(nonce.unwrap_or(0)) }, now);
            }
            Frame::Close(frame) => {
                self.protocol.closing(&frame, &mut self.signals);
                self.heed_signals(id, now);
                self.detail = frame.reason;
                self.drive(Input::PeerClosed { id, code: frame.code }, now);
            }
        }
    }

    fn heed_signals(&mut self, id: TransportId, now: Instant) {
        let mut signals = core::mem::take(&mut self.signals);
        for signal in signals.drain(..) {
            if self.link.transport() == Some(id) {
                self.heed(signal, id, now);
            }
        }
        self.signals = signals;
    }

    fn heed(&mut self, signal: Signal, id: TransportId, now: Instant) {
        let signal = match signal {
            Signal::Data(message) => {
                return self.tell(Event::Message(message));
            }
            Signal::HeartbeatAck(nonce) => return self.drive(Input::Pong { id, nonce }, now),
            Signal::Malformed(frame) => {
                let failure = Failure::Protocol(frame.code);
                self.detail.clone_from(&frame.reason);
                self.farewell = Some(frame);
                return self.drive(Input::Failed { id, failure }, now);
            }
            Signal::Redirect(address) => {
                self.redirected_to = Some(address);
                LinkSignal::Redirect
            }
            Signal::Welcome => LinkSignal::Welcome,
            Signal::ChallengeMet => LinkSignal::ChallengeMet,
            Signal::Authenticated => LinkSignal::Authenticated,
            Signal::Refused(refusal) => LinkSignal::Refused(refusal),
            Signal::GoingAway { retry_after } => LinkSignal::GoingAway { retry_after },
        };
        self.drive(Input::Signal { id, signal }, now);
    }

    fn timeout(&mut self, now: Instant) {
        self.expire_messages(now);
        loop {
            self.drive(Input::Timeout, now);
            // The link stops early where it has no room for more actions; they have been taken by now.
            if self.link.poll_timeout().is_none_or(|at| at > self.link.now()) {
                return;
            }
        }
    }

    // The link's actions.

    /// Hands an input to the link and carries its actions on. They are all taken here, so there is always room.
    fn drive(&mut self, input: Input, now: Instant) {
        let handled = self.link.handle(input, now);
        debug_assert!(handled.is_ok(), "the link's actions are always taken");
        while let Some(action) = self.link.poll_action() {
            self.carry_on(action);
        }
        // What nobody told of belongs to this input, and not to a loss that comes later.
        self.detail.clear();
        // A close frame without a drop behind it belongs to a close handshake: it goes out in its turn.
        if let Some(frame) = self.farewell.take() {
            self.control.push_back(Frame::Close(frame));
        }
    }

    fn carry_on(&mut self, action: Action) {
        match action {
            Action::FetchToken { id } => self.actions.push_back(SessionAction::FetchToken { id }),
            Action::Dial { id, endpoint } => {
                let address = self.address(endpoint);
                let token = self.token.clone();
                self.actions.push_back(SessionAction::Dial { id, address, token });
            }
            Action::StartStep { step, .. } => {
                self.protocol.command(Command::Step { step, token: self.token.as_ref() }, &mut self.frames);
                self.control.extend(self.frames.drain(..));
            }
            Action::SendPing { nonce, .. } => {
                self.protocol.command(Command::Heartbeat { nonce }, &mut self.frames);
                self.control.extend(self.frames.drain(..));
            }
            Action::RenewToken { .. } => {
                if let Some(token) = &self.token {
                    self.protocol.command(Command::Renew { token }, &mut self.frames);
                    self.control.extend(self.frames.drain(..));
                }
            }
            Action::SendClose { code, .. } => {
                let reason = core::mem::take(&mut self.goodbye);
                self.farewell = Some(CloseFrame { code, reason });
            }
            Action::Drop { id } => {
                self.control.clear();
                let farewell = self.farewell.take();
                self.actions.push_back(SessionAction::Drop { id, farewell });
            }
            Action::Event(event) => self.translate(event),
        }
    }

    fn address(&self, endpoint: Endpoint) -> Address {
        let address = match endpoint {
            Endpoint::Configured(index) => self.addresses.get(usize::from(index)),
            Endpoint::Redirected => self.redirected_to.as_ref(),
        };
        address.or(self.addresses.first()).cloned().unwrap_or_else(|| Address::from(""))
    }

    /// The link's event, with what only the session knows: addresses and the words of the peer.
    fn translate(&mut self, event: LinkEvent) {
        let event = match event {
            LinkEvent::State { from, to, reason } => Event::State { from, to, reason },
            LinkEvent::Dialing { attempt, endpoint } => {
                Event::Dialing { attempt, address: self.address(endpoint) }
            }
            LinkEvent::Connected { is_reconnect } => Event::Connected { is_reconnect },
            LinkEvent::Disconnected { code, reason, retry_in } => {
                let detail = core::mem::take(&mut self.detail);
                Event::Disconnected { code, detail, reason, retry_in }
            }
            LinkEvent::AttemptFailed { attempt, reason, retry_in } => {
                let detail = core::mem::take(&mut self.detail);
                Event::AttemptFailed { attempt, reason, detail, retry_in }
            }
            LinkEvent::TokenError { consecutive_failures } => {
                Event::TokenError { consecutive_failures, detail: self.detail.clone() }
            }
            LinkEvent::GoingAway { retry_after } => Event::GoingAway { retry_after },
            LinkEvent::Shown(shown) => Event::Shown(shown),
            LinkEvent::Closed { reason } => {
                while let Some(Entry { receipt, message, .. }) = self.outbox.pop() {
                    self.drop_message(receipt, message, DropReason::Closed);
                }
                self.note_queue();
                self.control.clear();
                self.goodbye.clear();
                Event::Closed { reason }
            }
        };
        self.tell(event);
    }

    // Messages.

    fn may_send(&self, message: &Message) -> Result<(), RefusedReason> {
        let config = self.outbox.config();
        match self.link.state() {
            State::Closing | State::Closed(_) => Err(RefusedReason::Closed),
            State::Idle | State::Connecting(_) | State::Reconnecting(_)
                if config.while_down == WhileDown::Refuse =>
            {
                Err(RefusedReason::Down)
            }
            State::Idle | State::Connecting(_) | State::Reconnecting(_) | State::Connected => {
                if message.len() > config.max_bytes {
                    return Err(RefusedReason::TooBig);
                }
                let refuse = config.overflow == Overflow::Refuse && !self.outbox.has_room(message.len());
                if refuse { Err(RefusedReason::Full) } else { Ok(()) }
            }
        }
    }

    fn expire_messages(&mut self, now: Instant) {
        let now = now.max(self.link.now());
        while let Some(Entry { receipt, message, .. }) = self.outbox.pop_expired(now) {
            self.drop_message(receipt, message, DropReason::Expired);
        }
        self.note_queue();
    }

    fn drop_message(&mut self, receipt: Receipt, message: Message, why: DropReason) {
        count(&mut self.link.stats_mut().messages_dropped);
        self.tell(Event::Dropped { receipt, why, message });
    }

    fn sent(&mut self, entry: &Entry) {
        let stats = self.link.stats_mut();
        count(&mut stats.messages_sent);
        stats.bytes_sent = stats.bytes_sent.saturating_add(entry.message.len() as u64);
        self.note_queue();
        // Neighbours share one event: a batch of a thousand tells of itself once.
        match self.actions.back_mut() {
            Some(SessionAction::Event(Event::Sent { last, .. })) if last.0 + 1 == entry.receipt.0 => {
                *last = entry.receipt;
            }
            _ => self.tell(Event::Sent { first: entry.receipt, last: entry.receipt }),
        }
    }

    fn note_queue(&mut self) {
        let queued = u32::try_from(self.outbox.len()).unwrap_or(u32::MAX);
        let stats = self.link.stats_mut();
        stats.queued = queued;
        stats.queued_peak = stats.queued_peak.max(queued);
    }

    fn tell(&mut self, event: Event) {
        self.actions.push_back(SessionAction::Event(event));
    }
}
