//! What the link asks of the session: its actions become those of a driver, with what only the
//! session knows, such as addresses, tokens and the peer's details.

use alloc::string::String;

use rand_core::Rng;

use super::protocol::{ClientFrame, Protocol};
use super::{Address, CloseFrame, Event, Frame, Session, SessionAction};
use crate::base::time::Instant;
use crate::link::{Action, Endpoint, Input, LinkEvent, State};

impl<P: Protocol, R: Rng> Session<P, R> {
    /// Passes an input to the link and translates its actions. They are all taken here, so there is
    /// always room.
    pub(super) fn drive(&mut self, input: Input, now: Instant) {
        let handled = self.link.handle(input, now);
        debug_assert!(handled.is_ok(), "the link's actions are always taken");
        while let Some(action) = self.link.poll_action() {
            self.handle_link_action(action);
        }
        // A detail that was not reported belongs to this input, not to a later loss.
        self.detail.clear();
        // A close frame without a drop after it belongs to a close handshake: it is sent in its
        // turn.
        if let Some(frame) = self.farewell.take() {
            self.control.push_back(Frame::Close(frame));
        }
    }

    fn handle_link_action(&mut self, action: Action) {
        match action {
            Action::FetchToken { id } => self.actions.push_back(SessionAction::FetchToken { id }),
            Action::FetchAddress { id, endpoint } => {
                self.fetched = None;
                self.answers.ask(endpoint);
                let (endpoint, token) = (self.address(endpoint), self.token.clone());
                self.actions.push_back(SessionAction::FetchAddress { id, endpoint, token });
            }
            Action::Dial { id, endpoint } => {
                self.answers.ask(endpoint);
                let address = self.address(endpoint);
                let is_trusted = self.go_to(address.clone());
                let token = self.token_here().cloned();
                self.actions.push_back(SessionAction::Dial { id, address, token, is_trusted });
            }
            Action::StartStep { step, .. } => {
                let (token, resume) = (self.token_here().cloned(), self.resume_here());
                self.hellos.said(resume.is_some());
                self.protocol.begin(step, token.as_ref(), resume.as_ref(), &mut self.frames);
                self.control.extend(self.frames.drain(..));
            }
            Action::SendPing { nonce, .. } => {
                let sent = self.outbox.last_on_transport();
                self.say(ClientFrame::Heartbeat { nonce, sent }, self.link.now());
            }
            Action::RenewToken { .. } => {
                if let Some(token) = self.token_here().cloned() {
                    self.say(ClientFrame::Renew { token }, self.link.now());
                }
            }
            Action::SendClose { code, .. } => {
                // An attempt that fails while messages still wait is not the application's close.
                let is_last = matches!(self.link.state(), State::Closing | State::Closed(_));
                let reason =
                    if is_last { core::mem::take(&mut self.goodbye) } else { String::new() };
                self.farewell = Some(CloseFrame { code, reason });
            }
            Action::Drop { id } => {
                self.control.clear();
                self.channels.down();
                let farewell = self.farewell.take();
                self.actions.push_back(SessionAction::Drop { id, farewell });
            }
            Action::Event(event) => self.translate(event),
        }
    }

    /// Says this ahead of the outbox. Returns whether the protocol has words for it.
    pub(super) fn say(&mut self, frame: ClientFrame, now: Instant) -> bool {
        self.protocol.send(frame, &mut self.frames, now);
        let is_said = !self.frames.is_empty();
        self.control.extend(self.frames.drain(..));
        is_said
    }

    pub(super) fn address(&self, endpoint: Endpoint) -> Address {
        let address = match endpoint {
            Endpoint::Configured(index) => {
                self.fetched.as_ref().or_else(|| self.addresses.get(usize::from(index)))
            }
            Endpoint::Redirected => self.redirected_to.as_ref(),
        };
        address.or(self.addresses.first()).cloned().unwrap_or_else(|| Address::from(""))
    }

    /// Emits the link's event with what only the session knows: addresses and the peer's details.
    fn translate(&mut self, event: LinkEvent) {
        let event = match event {
            LinkEvent::State { from, to, reason } => Event::State { from, to, reason },
            LinkEvent::Dialing { attempt, endpoint } => {
                Event::Dialing { attempt, address: self.address(endpoint) }
            }
            LinkEvent::Connected { is_reconnect } => {
                self.emit(Event::Connected { is_reconnect });
                self.backlog.begin(&self.outbox);
                return self.channels.up();
            }
            LinkEvent::Disconnected { code, reason, retry_in } => {
                let detail = core::mem::take(&mut self.detail);
                self.answers.record(reason, &detail);
                Event::Disconnected { code, detail, reason, retry_in }
            }
            LinkEvent::AttemptFailed { attempt, reason, retry_in } => {
                let detail = core::mem::take(&mut self.detail);
                self.answers.record(reason, &detail);
                Event::AttemptFailed { attempt, reason, detail, retry_in }
            }
            LinkEvent::TokenError { consecutive_failures } => {
                Event::TokenError { consecutive_failures, detail: self.detail.clone() }
            }
            LinkEvent::GoingAway { retry_after } => Event::GoingAway { retry_after },
            LinkEvent::StatusChange(shown) => Event::StatusChange(shown),
            LinkEvent::Closed { reason } => {
                self.end_of_messages();
                self.control.clear();
                self.goodbye.clear();
                let failed = self.answers.at_the_end(reason, &self.addresses);
                failed.into_iter().for_each(|event| self.emit(event));
                Event::Closed { reason }
            }
        };
        self.emit(event);
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.actions.push_back(SessionAction::Event(event));
    }
}
