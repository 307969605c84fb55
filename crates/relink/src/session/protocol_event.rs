//! What a protocol reads from frames.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::link::Refusal;
use crate::session::address::Address;
use crate::session::ids::{Channel, Member, Position, Problem, Rejection, SessionId};
use crate::session::message::{CloseFrame, Message};

/// What a protocol reads from frames.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolEvent {
    /// A message for the application.
    Data(Message),
    /// The server's first word.
    Welcome,
    /// The challenge is met.
    ChallengeMet,
    /// The server sends this client to another address, which may leave out what stays the same.
    /// Tokens and the id of the session follow to configured origins only.
    Redirect(Address),
    /// The login was accepted.
    Authenticated,
    /// The login was refused.
    Refused(Refusal),
    /// The answer to a heartbeat, with its number where it carries one.
    HeartbeatAck(Option<u32>),
    /// The largest message that the peer takes from now on, in bytes as it is written; `None` where
    /// it does not say.
    MaxMessage(Option<u64>),
    /// The server will close soon and says when to come back.
    GoingAway {
        /// How long to wait at least.
        retry_after: Duration,
    },
    /// What arrived cannot be read: the transport is closed with the code of this frame.
    Malformed(CloseFrame),
    /// The server says why it is about to close.
    Problem(Problem),

    // The session that outlives transports. The answer to a resume comes before the signal that
    // makes the link usable.
    /// Which session this is from now on.
    Session(Box<SessionInfo>),
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
    /// In place of a message that is too large for this side.
    Withheld {
        /// The channel; `None` for the session's own stream.
        channel: Option<Channel>,
        /// Its number there.
        offset: u64,
        /// What the server says about it.
        problem: Problem,
    },
    /// The number of publications that the server has sent on this transport.
    Published {
        /// How many.
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
    /// Everyone who is in a channel, or a page of the list.
    Members {
        /// Which channel.
        channel: Channel,
        /// Everyone, or the next ones.
        members: Vec<Member>,
        /// Whether another page follows: what comes in between changes the whole list.
        more: bool,
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

impl ProtocolEvent {
    /// Whether this is about messages, streams or channels of a session: nothing of that can be
    /// meant before the link is usable.
    pub(crate) const fn is_of_session(&self) -> bool {
        match self {
            Self::Acknowledged { .. }
            | Self::Rejected(_)
            | Self::Publication { .. }
            | Self::Withheld { .. }
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
            | Self::MaxMessage(_)
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
pub struct SessionInfo {
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
