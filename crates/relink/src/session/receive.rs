//! Inbound: tokens, transports, frames, and the protocol's events.

use alloc::string::{String, ToString};

use rand_core::Rng;

use super::{
    Address, CloseFrame, Event, Frame, Given, Message, Protocol, ProtocolEvent, Secret,
    ServerFrame, Session, Token,
};
use crate::base::stats::count;
use crate::base::time::Instant;
use crate::link::{
    AddressError, Failure, HandshakeEvent, Input, Phase, State, TokenError, TokenInfo, TransportId,
};
use crate::policy::close_code::CloseCode;

impl<P: Protocol, R: Rng> Session<P, R> {
    pub(super) fn token(&mut self, id: TransportId, result: Result<Token, String>, now: Instant) {
        if self.link.transport() != Some(id) || !self.link.is_fetching() {
            return;
        }
        let result = result.and_then(|token| self.check_token(&token.secret).map(|()| token));
        let result = match result {
            Ok(token) => {
                self.token = Some(token.secret);
                Ok(TokenInfo::new(token.expires_in))
            }
            Err(detail) => {
                self.detail = detail;
                Err(TokenError)
            }
        };
        self.drive(Input::Token { id, result }, now);
    }

    /// Checks that a token can be sent: one that cannot counts as a failed fetch.
    pub(super) fn check_token(&self, token: &Secret) -> Result<(), String> {
        self.protocol.check(Given::Token(token)).map_err(|error| error.to_string())
    }

    pub(super) fn located(
        &mut self,
        id: TransportId,
        result: Result<Address, String>,
        now: Instant,
    ) {
        if self.link.transport() != Some(id) || !self.link.is_locating() {
            return;
        }
        let result = match result {
            Ok(address) => {
                self.fetched = Some(address);
                Ok(())
            }
            Err(detail) => {
                self.detail = detail;
                Err(AddressError)
            }
        };
        self.drive(Input::Address { id, result }, now);
    }

    pub(super) fn opened(&mut self, id: TransportId, now: Instant) {
        let dialing = matches!(
            self.link.state(),
            State::Connecting(Phase::Dialing) | State::Reconnecting(Phase::Dialing)
        );
        if dialing && self.link.transport() == Some(id) {
            self.control.clear();
            self.outbox.new_transport();
            self.oversize.new_transport();
            self.inbox.new_transport();
            self.protocol.opened(&mut self.frames);
            self.control.extend(self.frames.drain(..));
            self.drive(Input::Opened { id }, now);
        }
    }

    pub(super) fn frame(&mut self, id: TransportId, frame: Frame, now: Instant) {
        if self.link.transport() != Some(id) {
            return;
        }
        self.link.received(id, now);
        match frame {
            Frame::Message(message) => {
                self.link.arrived(id);
                self.count_received(&message);
                if self.is_transparent {
                    return self.emit(Event::Message(message));
                }
                self.protocol.receive(message, &mut self.protocol_events);
                self.handle_protocol_events(id, now);
            }
            Frame::Ping(_) => {}
            Frame::Pong(payload) => {
                let nonce = payload.as_ref().try_into().ok().map(u32::from_be_bytes);
                self.drive(Input::Pong { id, nonce: Some(nonce.unwrap_or(0)) }, now);
            }
            Frame::Close(mut frame) => {
                if frame.code == CloseCode::REPLACED && self.hellos.explain() {
                    // No other client has the session: resume it once more.
                    frame.code = CloseCode::GAP;
                }
                self.protocol.closing(&frame, &mut self.protocol_events);
                self.handle_protocol_events(id, now);
                if frame.code == CloseCode::TOO_BIG {
                    self.complained();
                }
                // A problem that was announced before is better than an empty reason.
                if !frame.reason.is_empty() {
                    self.detail = frame.reason;
                }
                self.drive(Input::PeerClosed { id, code: frame.code }, now);
            }
        }
    }

    /// Receives a message on the short way: returns it if it is for the application now, as
    /// [`Event::Message`].
    ///
    /// # Errors
    ///
    /// Returns the message if it has to go the long way, as [`SessionInput::Frame`]: the protocol
    /// has something to say about it, other actions are before it, or the link is not usable.
    ///
    /// [`SessionInput::Frame`]: super::SessionInput::Frame
    #[inline]
    pub fn receive(
        &mut self,
        id: TransportId,
        message: Message,
        now: Instant,
    ) -> Result<Message, Message> {
        if !self.is_transparent || !self.actions.is_empty() || !self.link.receives(id, now) {
            return Err(message);
        }
        self.count_received(&message);
        Ok(message)
    }

    #[inline]
    fn count_received(&mut self, message: &Message) {
        let stats = self.link.stats_mut();
        count(&mut stats.messages_received);
        stats.bytes_received = stats.bytes_received.saturating_add(message.len() as u64);
    }

    fn handle_protocol_events(&mut self, id: TransportId, now: Instant) {
        let mut events = core::mem::take(&mut self.protocol_events);
        for event in events.drain(..) {
            if self.link.transport() == Some(id) {
                self.handle_protocol_event(event, id, now);
            }
        }
        self.protocol_events = events;
    }

    fn handle_protocol_event(&mut self, event: ProtocolEvent, id: TransportId, now: Instant) {
        match event {
            ProtocolEvent::Data(message) => {
                self.inbox.count_event();
                self.emit(Event::Message(message));
            }
            ProtocolEvent::Session(frame) => self.handle_server_frame(frame, id, now),
            ProtocolEvent::Handshake(HandshakeEvent::Redirect) => {}
            ProtocolEvent::Handshake(event) => self.drive(Input::Handshake { id, event }, now),
            ProtocolEvent::Redirect(address) => self.sent_elsewhere(&address, id, now),
            ProtocolEvent::Pong(nonce) => self.drive(Input::Pong { id, nonce }, now),
            ProtocolEvent::MaxMessage(most) => self.oversize.set_limit(most),
            ProtocolEvent::Malformed(frame) => {
                self.give_up(Failure::Protocol(frame.code), frame, id, now);
            }
        }
    }

    fn handle_server_frame(&mut self, frame: ServerFrame, id: TransportId, now: Instant) {
        match frame {
            ServerFrame::Welcome(welcome) => {
                self.welcomed(welcome, id, now);
                let event = HandshakeEvent::Authenticated;
                self.drive(Input::Handshake { id, event }, now);
            }
            ServerFrame::GoingAway { retry_after } => {
                let event = HandshakeEvent::GoingAway { retry_after };
                self.drive(Input::Handshake { id, event }, now);
            }
            ServerFrame::Error(problem) => self.detail = problem.to_string(),
            ServerFrame::HeartbeatAck { nonce, sent } => {
                self.drive(Input::Pong { id, nonce: Some(nonce) }, now);
                if self.is_in_session(id) {
                    self.count_published(sent, id, now);
                }
            }
            // Nothing else can be meant before the link is usable.
            _ if !self.is_in_session(id) => {}
            ServerFrame::Ack { serial } => self.acknowledged(serial, id, now),
            ServerFrame::Rejected(rejection) => self.rejected(rejection, id, now),
            ServerFrame::Publication { channel, offset, payload } => {
                self.published(channel, offset, payload, id, now);
            }
            ServerFrame::Withheld { channel, offset, problem } => {
                self.withheld(channel, offset, problem, id, now);
            }
            ServerFrame::Subscribed { ref channel, .. }
            | ServerFrame::Unsubscribed { ref channel, problem: Some(_) }
            | ServerFrame::Members { ref channel, .. }
            | ServerFrame::MemberChanged { ref channel, .. }
                if self.channels.is_past(channel) => {}
            ServerFrame::Subscribed { channel, position, recovered } => {
                self.subscribed(channel, position, recovered);
            }
            ServerFrame::Unsubscribed { channel, problem } => {
                self.unsubscribed(channel, problem, now);
            }
            ServerFrame::Members { channel, members, more } => {
                self.set_members(&channel, members, more);
            }
            ServerFrame::MemberChanged { channel, change } => {
                self.member_changed(&channel, change);
            }
        }
    }

    /// Whether this transport is the present one, and usable.
    fn is_in_session(&self, id: TransportId) -> bool {
        self.link.transport() == Some(id)
            && matches!(self.link.state(), State::Connected | State::Closing)
    }

    /// Closes a usable transport, and dials at once.
    pub(super) fn reconnect(&mut self, now: Instant) {
        if let (Some(id), State::Connected) = (self.link.transport(), self.link.state()) {
            let frame = CloseFrame::new(CloseCode::GAP, Failure::Abandoned.describe());
            self.give_up(Failure::Abandoned, frame, id, now);
        }
        self.drive(Input::RetryNow, now);
    }

    /// Closes the transport with this frame, because of what arrived on it.
    pub(super) fn give_up(
        &mut self,
        failure: Failure,
        frame: CloseFrame,
        id: TransportId,
        now: Instant,
    ) {
        self.detail.clone_from(&frame.reason);
        self.farewell = Some(frame);
        self.drive(Input::Failed { id, failure }, now);
    }
}
