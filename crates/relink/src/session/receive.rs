//! What arrives: tokens, transports, frames, and what the protocol reads from them.

use alloc::string::{String, ToString};

use rand_core::Rng;

use super::{
    Address, CloseFrame, Event, Frame, Given, Protocol, ProtocolEvent, Secret, Session, Token,
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

    /// Whether a token can be sent: one that cannot counts as a failed fetch.
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
            self.protocol.opened();
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
            Frame::Close(mut frame) => {
                if frame.code == CloseCode::REPLACED && self.hellos.explain() {
                    // Nobody else has the session: it is asked for once more.
                    frame.code = CloseCode::GAP;
                }
                self.protocol.closing(&frame, &mut self.signals);
                self.heed_signals(id, now);
                if frame.code == CloseCode::TOO_BIG {
                    self.complained();
                }
                // A problem that it told before says more than an empty reason.
                if !frame.reason.is_empty() {
                    self.detail = frame.reason;
                }
                self.drive(Input::PeerClosed { id, code: frame.code }, now);
            }
        }
    }

    fn heed_signals(&mut self, id: TransportId, now: Instant) {
        let mut signals = core::mem::take(&mut self.signals);
        for signal in signals.drain(..) {
            if self.link.transport() == Some(id) {
                self.handle_protocol_event(signal, id, now);
            }
        }
        self.signals = signals;
    }

    fn handle_protocol_event(&mut self, signal: ProtocolEvent, id: TransportId, now: Instant) {
        if signal.is_of_session() && !matches!(self.link.state(), State::Connected | State::Closing)
        {
            return;
        }
        let signal = match signal {
            ProtocolEvent::Data(message) => {
                self.inbox.count_event();
                return self.emit(Event::Message(message));
            }
            ProtocolEvent::Publication { channel, offset, message } => {
                return self.published(channel, offset, message, id, now);
            }
            ProtocolEvent::Withheld { channel, offset, problem } => {
                return self.withheld(channel, offset, problem, id, now);
            }
            ProtocolEvent::Published { count } => return self.count_published(count, id, now),
            ProtocolEvent::Acknowledged { serial } => return self.acknowledged(serial, id, now),
            ProtocolEvent::Rejected(rejection) => return self.rejected(rejection, id, now),
            ProtocolEvent::Session(welcome) => return self.welcomed(*welcome, id, now),
            ProtocolEvent::MaxMessage(most) => return self.oversize.set_limit(most),
            ProtocolEvent::Subscribed { ref channel, .. }
            | ProtocolEvent::Unsubscribed { ref channel, problem: Some(_) }
            | ProtocolEvent::Members { ref channel, .. }
            | ProtocolEvent::Joined { ref channel, .. }
            | ProtocolEvent::Left { ref channel, .. }
                if self.channels.is_past(channel) =>
            {
                return;
            }
            ProtocolEvent::Subscribed { channel, position, recovered } => {
                return self.subscribed(channel, position, recovered);
            }
            ProtocolEvent::Unsubscribed { channel, problem } => {
                return self.unsubscribed(channel, problem, now);
            }
            ProtocolEvent::Members { channel, members, more } => {
                return self.set_members(&channel, members, more);
            }
            ProtocolEvent::Joined { channel, member } => {
                return self.member_joined(&channel, member);
            }
            ProtocolEvent::Left { channel, member } => return self.member_left(&channel, member),
            ProtocolEvent::Problem(problem) => {
                self.detail = problem.to_string();
                return;
            }
            ProtocolEvent::HeartbeatAck(nonce) => {
                return self.drive(Input::Pong { id, nonce }, now);
            }
            ProtocolEvent::Malformed(frame) => {
                return self.give_up(Failure::Protocol(frame.code), frame, id, now);
            }
            ProtocolEvent::Redirect(address) => return self.sent_elsewhere(&address, id, now),
            ProtocolEvent::Welcome => HandshakeEvent::Welcome,
            ProtocolEvent::ChallengeMet => HandshakeEvent::ChallengeMet,
            ProtocolEvent::Authenticated => HandshakeEvent::Authenticated,
            ProtocolEvent::Refused(refusal) => HandshakeEvent::Refused(refusal),
            ProtocolEvent::GoingAway { retry_after } => HandshakeEvent::GoingAway { retry_after },
        };
        self.drive(Input::Handshake { id, event: signal }, now);
    }

    /// Closes the transport with this frame, for what came over it.
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
