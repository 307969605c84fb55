//! The seam to an application's wire format.

use alloc::vec::Vec;
use core::time::Duration;

use crate::human::HumanDuration;
use crate::link::{Refusal, Step};
use crate::session::address::Address;
use crate::session::channel::{Channel, Member, Position, Problem, Rejection, Resume, SessionId};
use crate::session::message::{CloseFrame, Frame, Message, Secret, Text};
use crate::time::Instant;

/// Translates between the frames of a transport and what the session understands: frames in, [`Signal`]s out;
/// [`Command`]s in, frames out. It keeps no time and takes no decision.
///
/// ```
/// use relink::{Command, Frame, Message, Plain, Protocol, Signal};
///
/// let mut plain = Plain::default();
/// let mut frames = Vec::new();
/// let message = Message::from("hello");
/// plain.command(Command::Data { message, channel: None, serial: None }, &mut frames);
/// assert_eq!(frames, [Frame::Message(Message::from("hello"))]);
///
/// let mut signals = Vec::new();
/// plain.receive(Message::from("hello yourself"), &mut signals);
/// assert!(matches!(&signals[..], [Signal::Data(message)] if message.as_text() == Some("hello yourself")));
/// ```
pub trait Protocol {
    /// A new transport is open; whatever belonged to the old one is void.
    fn opened(&mut self) {}

    /// A message arrived.
    fn receive(&mut self, message: Message, signals: &mut Vec<Signal>);

    /// The peer's close frame arrived; signals are heeded before it.
    fn closing(&mut self, _frame: &CloseFrame, _signals: &mut Vec<Signal>) {}

    /// The session wants this said.
    fn command(&mut self, command: Command<'_>, frames: &mut Vec<Frame>);

    /// Whether the peer acknowledges messages by their serials. Without that, nothing better than
    /// [`Guarantee::AtMostOnce`](crate::Guarantee::AtMostOnce) can be had.
    fn acknowledges(&self) -> bool {
        false
    }

    /// The handshake step in which this protocol says its first word; a configuration without it is refused.
    fn opening(&self) -> Option<Step> {
        None
    }
}

impl<P: Protocol + ?Sized> Protocol for alloc::boxed::Box<P> {
    fn opened(&mut self) {
        (**self).opened();
    }

    fn receive(&mut self, message: Message, signals: &mut Vec<Signal>) {
        (**self).receive(message, signals);
    }

    fn closing(&mut self, frame: &CloseFrame, signals: &mut Vec<Signal>) {
        (**self).closing(frame, signals);
    }

    fn command(&mut self, command: Command<'_>, frames: &mut Vec<Frame>) {
        (**self).command(command, frames);
    }

    fn acknowledges(&self) -> bool {
        (**self).acknowledges()
    }

    fn opening(&self) -> Option<Step> {
        (**self).opening()
    }
}

/// What a protocol reads from frames.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// A message for the application.
    Data(Message),
    /// The server's first word.
    Welcome,
    /// The challenge is met.
    ChallengeMet,
    /// The server sends this client to another address.
    Redirect(Address),
    /// The login was accepted.
    Authenticated,
    /// The login was refused.
    Refused(Refusal),
    /// The answer to a heartbeat, with its number where it carries one.
    HeartbeatAck(Option<u32>),
    /// The server will close soon and says when to come back.
    GoingAway {
        /// How long to wait at least.
        retry_after: Duration,
    },
    /// What arrived cannot be read: the transport is closed with the code of this frame.
    Malformed(CloseFrame),
    /// The server says why it is about to close.
    Problem(Problem),

    // The session that outlives transports. The answer to a resume comes before the signal that makes the link usable.
    /// Which session this is from now on.
    Session(Welcomed),
    /// Every message up to this serial was taken in.
    Acknowledged {
        /// The serial.
        serial: u64,
    },
    /// A message was refused; those before it were taken in.
    Rejected(Rejection),
    /// A message with a place in a stream.
    Publication {
        /// The channel; `None` for the session's own stream.
        channel: Option<Channel>,
        /// Its number there.
        offset: u64,
        /// The message.
        message: Message,
    },
    /// So many publications were sent on this transport.
    Published {
        /// So many.
        count: u64,
    },

    // Subscriptions.
    /// A channel's publications follow.
    Subscribed {
        /// Which channel.
        channel: Channel,
        /// From the next offset on.
        position: Position,
        /// Whether nothing is left out.
        recovered: bool,
    },
    /// A channel's publications end, or never began.
    Unsubscribed {
        /// Which channel.
        channel: Channel,
        /// Why, unless this side asked for it.
        problem: Option<Problem>,
    },
    /// Everyone who is in a channel.
    Members {
        /// Which channel.
        channel: Channel,
        /// Everyone.
        members: Vec<Member>,
    },
    /// Somebody came.
    Joined {
        /// To which channel.
        channel: Channel,
        /// Who.
        member: Member,
    },
    /// Somebody left.
    Left {
        /// Which channel.
        channel: Channel,
        /// Who.
        member: Member,
    },
}

impl Signal {
    /// Whether this is about messages, streams or channels of a session: nothing of that can be meant before the link is
    /// usable.
    pub(crate) const fn is_of_session(&self) -> bool {
        match self {
            Self::Acknowledged { .. }
            | Self::Rejected(_)
            | Self::Publication { .. }
            | Self::Published { .. }
            | Self::Subscribed { .. }
            | Self::Unsubscribed { .. }
            | Self::Members { .. }
            | Self::Joined { .. }
            | Self::Left { .. } => true,
            Self::Data(_)
            | Self::Welcome
            | Self::ChallengeMet
            | Self::Redirect(_)
            | Self::Authenticated
            | Self::Refused(_)
            | Self::HeartbeatAck(_)
            | Self::GoingAway { .. }
            | Self::Malformed(_)
            | Self::Problem(_)
            | Self::Session(_) => false,
        }
    }
}

/// The server's answer to a hello, as far as it is about the session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what a protocol reads from one frame")]
pub struct Welcomed {
    /// The session: a new one, or the one that goes on.
    pub session: SessionId,
    /// Whether it is the one that was asked for.
    pub resumed: bool,
    /// Why not, where one was asked for.
    pub refused: Option<Problem>,
    /// The highest serial that the server has taken in.
    pub received: u64,
    /// Those among them that it refused.
    pub rejected: Vec<Rejection>,
    /// Where the session's own stream goes on.
    pub position: Position,
}

/// What a session wants said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// A handshake step begins; say its opening word, if it has one.
    Step {
        /// Which.
        step: Step,
        /// The token, where there is one.
        token: Option<&'a Secret>,
        /// The session to go on with, where there is one.
        resume: Option<&'a Resume>,
    },
    /// The token was renewed.
    Renew {
        /// The fresh one.
        token: &'a Secret,
    },
    /// A heartbeat.
    Heartbeat {
        /// Should come back in the answer.
        nonce: u32,
        /// The serial of the last message that the peer should have by now.
        sent: u64,
        /// The time, for protocols that write it into their heartbeats.
        at: Instant,
    },
    /// A message of the application.
    Data {
        /// The message.
        message: Message,
        /// The channel it is meant for.
        channel: Option<Channel>,
        /// Its number in the session, where it is to be acknowledged.
        serial: Option<u64>,
    },
    /// A channel's publications are wanted.
    Subscribe {
        /// Which channel.
        channel: Channel,
        /// After this position, where this side has been in the stream before.
        since: Option<Position>,
        /// The token for the channel, where it needs one.
        token: Option<Secret>,
        /// What to tell the other members about this one, where it wants to be seen.
        presence: Option<Text>,
    },
    /// They are not wanted any more.
    Unsubscribe {
        /// Which channel.
        channel: Channel,
    },
}

/// No wire format at all: messages pass as they are, heartbeats are WebSocket pings.
///
/// One convention: a server without a word for it can put a going-away hint into the reason of its close frame, as
/// `retry-after=3s` anywhere in it (`deploy; retry-after=3s`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Plain;

impl Protocol for Plain {
    fn receive(&mut self, message: Message, signals: &mut Vec<Signal>) {
        signals.push(Signal::Data(message));
    }

    fn closing(&mut self, frame: &CloseFrame, signals: &mut Vec<Signal>) {
        let hint = frame.reason.split([' ', ';', ',']).find_map(|word| word.strip_prefix("retry-after="));
        if let Some(Ok(HumanDuration(retry_after))) = hint.map(str::parse) {
            signals.push(Signal::GoingAway { retry_after });
        }
    }

    fn command(&mut self, command: Command<'_>, frames: &mut Vec<Frame>) {
        match command {
            Command::Data { message, .. } => frames.push(Frame::Message(message)),
            Command::Heartbeat { nonce, .. } => {
                frames.push(Frame::Ping(bytes::Bytes::copy_from_slice(&nonce.to_be_bytes())));
            }
            Command::Step { .. }
            | Command::Renew { .. }
            | Command::Subscribe { .. }
            | Command::Unsubscribe { .. } => {}
        }
    }
}
