//! Protocols without a wire format: [`Plain`], and [`Conversation`] for servers that expect certain
//! messages.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::message::{CloseFrame, Frame, Message};
use super::protocol::{ClientFrame, Protocol, ProtocolEvent, ServerFrame};
use crate::base::time::Instant;
use crate::link::{HandshakeEvent, Step};

/// No wire format: messages pass unchanged, heartbeats are WebSocket pings.
///
/// A server can say when to come back in the reason of its close frame
/// ([`CloseFrame::retry_after`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Plain;

impl Protocol for Plain {
    fn is_transparent(&self) -> bool {
        true
    }

    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        events.push(ProtocolEvent::Data(message));
    }

    fn closing(&mut self, frame: &CloseFrame, events: &mut Vec<ProtocolEvent>) {
        events.extend(
            frame.retry_after().map(|retry_after| ServerFrame::GoingAway { retry_after }.into()),
        );
    }

    fn send(&mut self, frame: ClientFrame, frames: &mut Vec<Frame>, _now: Instant) {
        match frame {
            ClientFrame::Message { payload, .. } => frames.push(Frame::Message(payload)),
            ClientFrame::Heartbeat { nonce, .. } => {
                frames.push(Frame::Ping(Bytes::copy_from_slice(&nonce.to_be_bytes())));
            }
            ClientFrame::Hello { .. }
            | ClientFrame::Renew { .. }
            | ClientFrame::Subscribe { .. }
            | ClientFrame::Unsubscribe { .. } => {}
        }
    }
}

/// Whether a message of the server is the one that was waited for.
type Confirm = Box<dyn FnMut(&Message) -> bool + Send>;

/// A plain WebSocket whose server expects certain messages: a subscription after each open, a
/// message in place of pings. All other messages pass unchanged, as with [`Plain`].
///
/// ```
/// use relink::protocol::{Conversation, Protocol};
/// use relink::session::Frame;
///
/// let mut exchange = Conversation::default()
///     .on_open(r#"{"op":"subscribe","channel":"trades"}"#)
///     .heartbeat(r#"{"op":"ping"}"#);
/// let mut frames = Vec::new();
/// exchange.opened(&mut frames);
/// assert!(matches!(&frames[..], [Frame::Message(_)]));
/// ```
#[derive(Default)]
pub struct Conversation {
    on_open: Vec<Message>,
    heartbeat: Option<Message>,
    confirm: Option<Confirm>,
    is_confirmed: bool,
    /// A heartbeat was sent, and nothing arrived since.
    is_asked: bool,
}

impl Conversation {
    /// Sends this after each open, before all that waited; after what earlier calls gave.
    #[must_use]
    pub fn on_open(mut self, message: impl Into<Message>) -> Self {
        self.on_open.push(message.into());
        self
    }

    /// Sends this in place of each ping. Whatever arrives then is an answer.
    #[must_use]
    pub fn heartbeat(mut self, message: impl Into<Message>) -> Self {
        self.heartbeat = Some(message.into());
        self
    }

    /// Confirms the link with the first message for which this is true; a configuration without
    /// [`Handshake::welcome`](crate::link::Handshake::welcome), which is how long it may take, is
    /// refused. The
    /// application receives that message and those before it, like all others.
    #[must_use]
    pub fn confirm(mut self, confirms: impl FnMut(&Message) -> bool + Send + 'static) -> Self {
        self.confirm = Some(Box::new(confirms));
        self
    }
}

impl fmt::Debug for Conversation {
    /// Without the messages, which may have secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("on_open", &self.on_open.len())
            .field("has_heartbeat", &self.heartbeat.is_some())
            .field("is_confirmed", &self.is_confirmed)
            .finish_non_exhaustive()
    }
}

impl Protocol for Conversation {
    fn opened(&mut self, frames: &mut Vec<Frame>) {
        (self.is_confirmed, self.is_asked) = (false, false);
        frames.extend(self.on_open.iter().cloned().map(Frame::Message));
    }

    /// Messages are looked at only if one of them confirms, or answers a heartbeat.
    fn is_transparent(&self) -> bool {
        self.confirm.is_none() && self.heartbeat.is_none()
    }

    /// The confirmation is the server's welcome.
    fn opening(&self) -> Option<Step> {
        self.confirm.is_some().then_some(Step::Welcome)
    }

    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        if core::mem::take(&mut self.is_asked) {
            events.push(ProtocolEvent::Pong(None));
        }
        if let Some(confirm) = self.confirm.as_mut().filter(|_| !self.is_confirmed) {
            self.is_confirmed = confirm(&message);
            events.extend(self.is_confirmed.then_some(HandshakeEvent::Welcome.into()));
        }
        Plain.receive(message, events);
    }

    fn closing(&mut self, frame: &CloseFrame, events: &mut Vec<ProtocolEvent>) {
        Plain.closing(frame, events);
    }

    fn send(&mut self, frame: ClientFrame, frames: &mut Vec<Frame>, now: Instant) {
        match (&self.heartbeat, frame) {
            (Some(heartbeat), ClientFrame::Heartbeat { .. }) => {
                self.is_asked = true;
                frames.push(Frame::Message(heartbeat.clone()));
            }
            (_, frame) => Plain.send(frame, frames, now),
        }
    }
}
