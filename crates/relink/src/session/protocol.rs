//! The seam to an application's wire format: [`Protocol`], and the types on both sides of it.

use alloc::vec::Vec;

use crate::base::config::ConfigError;
use crate::base::time::Instant;
use crate::link::Step;
use crate::session::ids::{Channel, Position, Resume};
use crate::session::message::{CloseFrame, Frame, Message, Secret, Text};

pub use crate::session::ids::Rejection;
pub use crate::session::plain::{Conversation, Plain};
pub use crate::session::vocabulary::{ClientFrame, ProtocolEvent, ServerFrame, Welcome};

/// Translates between the frames of a transport and the words of a session: frames in,
/// [`ProtocolEvent`]s out; [`ClientFrame`]s in, frames out. It has no timers and makes no
/// decisions.
///
/// ```
/// use relink::{Instant, Message, Plain, Protocol};
/// use relink::protocol::{ClientFrame, ProtocolEvent};
/// use relink::session::Frame;
///
/// let mut plain = Plain::default();
/// let mut frames = Vec::new();
/// let payload = Message::from("hello");
/// let said = ClientFrame::Message { serial: None, channel: None, payload };
/// plain.send(said, &mut frames, Instant::ORIGIN);
/// assert_eq!(frames, [Frame::Message(Message::from("hello"))]);
///
/// let mut events = Vec::new();
/// plain.receive(Message::from("hello yourself"), &mut events);
/// assert!(matches!(&events[..], [ProtocolEvent::Data(message)] if message.as_text() == Some("hello yourself")));
/// ```
pub trait Protocol {
    /// A new transport is open: resets what belonged to the old one, and says what comes before
    /// everything else, the messages that waited included.
    fn opened(&mut self, _frames: &mut Vec<Frame>) {}

    /// Handles a message that arrived.
    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>);

    /// The peer's close frame arrived; what it says is handled before it.
    fn closing(&mut self, _frame: &CloseFrame, _events: &mut Vec<ProtocolEvent>) {}

    /// A handshake step begins: says its opening word, if it has one, with the token and the
    /// session to resume, if there are any.
    fn begin(
        &mut self,
        _step: Step,
        _token: Option<&Secret>,
        _resume: Option<&Resume>,
        _frames: &mut Vec<Frame>,
    ) {
    }

    /// Says this to the server. The session never asks for [`ClientFrame::Hello`]: that is the
    /// opening word of `relink.v1` ([`begin`](Self::begin)).
    fn send(&mut self, frame: ClientFrame, frames: &mut Vec<Frame>, now: Instant);

    /// Whether messages pass unchanged: one that arrives is for the application, as it is and of no
    /// stream, and one that it sends is a frame. Then neither [`receive`](Self::receive) nor
    /// [`send`](Self::send) is asked about them. It does not change.
    fn is_transparent(&self) -> bool {
        false
    }

    /// How many bytes [`send`](Self::send) makes of a message, counted against the largest
    /// message that the peer takes.
    fn encoded_len(
        &self,
        message: &Message,
        _channel: Option<&Channel>,
        _serial: Option<u64>,
    ) -> usize {
        message.len()
    }

    /// Checks that the peer can read this. Called whenever the application passes something in, so
    /// that it gets an error there, and no peer closes because of it.
    ///
    /// # Errors
    ///
    /// The length, and what is allowed.
    fn check(&self, _given: Given<'_>) -> Result<(), Unreadable> {
        Ok(())
    }

    /// Receives the largest message that the driver reads, in bytes, before the first transport.
    /// For protocols that announce it to the peer.
    ///
    /// # Errors
    ///
    /// If the protocol needs more.
    fn reads_at_most(&mut self, _bytes: usize) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Whether the peer acknowledges messages by their serials. If not, only
    /// [`Guarantee::AtMostOnce`](crate::Guarantee::AtMostOnce) is possible.
    fn acknowledges(&self) -> bool {
        false
    }

    /// Whether a fresh token can be given to the server over the open link
    /// ([`ClientFrame::Renew`]). Without that, none is fetched while connected: it would only grow
    /// old.
    fn renews(&self) -> bool {
        false
    }

    /// The handshake step that this protocol needs, to send its first message or to be welcomed; a
    /// configuration without it is rejected.
    fn opening(&self) -> Option<Step> {
        None
    }
}

impl<P: Protocol + ?Sized> Protocol for alloc::boxed::Box<P> {
    fn opened(&mut self, frames: &mut Vec<Frame>) {
        (**self).opened(frames);
    }

    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        (**self).receive(message, events);
    }

    fn closing(&mut self, frame: &CloseFrame, events: &mut Vec<ProtocolEvent>) {
        (**self).closing(frame, events);
    }

    fn begin(
        &mut self,
        step: Step,
        token: Option<&Secret>,
        resume: Option<&Resume>,
        frames: &mut Vec<Frame>,
    ) {
        (**self).begin(step, token, resume, frames);
    }

    fn send(&mut self, frame: ClientFrame, frames: &mut Vec<Frame>, now: Instant) {
        (**self).send(frame, frames, now);
    }

    fn is_transparent(&self) -> bool {
        (**self).is_transparent()
    }

    fn encoded_len(
        &self,
        message: &Message,
        channel: Option<&Channel>,
        serial: Option<u64>,
    ) -> usize {
        (**self).encoded_len(message, channel, serial)
    }

    fn check(&self, given: Given<'_>) -> Result<(), Unreadable> {
        (**self).check(given)
    }

    fn reads_at_most(&mut self, bytes: usize) -> Result<(), ConfigError> {
        (**self).reads_at_most(bytes)
    }

    fn acknowledges(&self) -> bool {
        (**self).acknowledges()
    }

    fn renews(&self) -> bool {
        (**self).renews()
    }

    fn opening(&self) -> Option<Step> {
        (**self).opening()
    }
}

/// What an application hands in besides messages, and what goes into a [`ClientFrame`] as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Given<'a> {
    /// A channel to send to or to subscribe to.
    Channel(&'a Channel),
    /// A token, for the link or for a channel.
    Token(&'a Secret),
    /// The client's presence text in a channel.
    Presence(&'a Text),
    /// Where a subscription begins.
    Since(Position),
    /// A session of an earlier process.
    Resume(&'a Resume),
}

/// What an application has passed in, and no peer could read.
///
/// ```
/// use relink::protocol::Unreadable;
///
/// let error = Unreadable::unless_within("the length of the channel's name in bytes", 0, 1, 255).unwrap_err();
/// assert_eq!(error.to_string(), "the length of the channel's name in bytes is 0, but it must be at least 1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", ConfigError::from(*self))]
pub struct Unreadable {
    pub(crate) field: &'static str,
    pub(crate) value: u64,
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl Unreadable {
    /// Checks that a number, or the length of a text, is neither too small nor too large.
    ///
    /// # Errors
    ///
    /// If it is.
    pub const fn unless_within(
        field: &'static str,
        value: u64,
        least: u64,
        most: u64,
    ) -> Result<(), Self> {
        if value < least || value > most { Err(Self { field, value, least, most }) } else { Ok(()) }
    }
}
