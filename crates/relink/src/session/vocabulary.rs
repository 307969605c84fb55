//! The words of a session: what a client and a server say to each other in it, and what a protocol
//! reads from frames.

use alloc::vec::Vec;
use core::time::Duration;

use crate::link::HandshakeEvent;
use crate::session::address::Address;
use crate::session::ids::{Channel, Member, Position, Problem, Rejection, Resume, SessionId};
use crate::session::message::{CloseFrame, Message, Secret, Text};

/// What a protocol reads from frames.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolEvent {
    /// A message for the application, without a place in a stream.
    Data(Message),
    /// What the server says in a session. All but a welcome, a heartbeat's answer, going away and
    /// an error is ignored until the link is usable.
    Session(ServerFrame),
    /// A handshake step is done, or the login was refused. [`HandshakeEvent::Redirect`] is ignored:
    /// [`Redirect`](Self::Redirect) has the address.
    Handshake(HandshakeEvent),
    /// The server sends this client to another address, which may leave out what stays the same.
    /// Tokens and the id of the session follow to configured origins only.
    Redirect(Address),
    /// The answer to a heartbeat, with its number if it has one; for protocols that do not count
    /// publications ([`ServerFrame::HeartbeatAck`]).
    Pong(Option<u32>),
    /// The largest message that the peer takes from now on, in bytes as it is written; `None` if it
    /// does not say. For protocols whose welcome is not [`ServerFrame::Welcome`].
    MaxMessage(Option<u64>),
    /// What arrived cannot be read: the transport is closed with this frame.
    Malformed(CloseFrame),
}

impl From<ServerFrame> for ProtocolEvent {
    fn from(frame: ServerFrame) -> Self {
        Self::Session(frame)
    }
}

impl From<HandshakeEvent> for ProtocolEvent {
    fn from(event: HandshakeEvent) -> Self {
        Self::Handshake(event)
    }
}

/// What a client says in a session. The frames of `relink.v1` are these; other protocols
/// translate what they have words for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "another word would be another version of the vocabulary"
)]
pub enum ClientFrame {
    /// The first word on every transport: who this is, and which session goes on.
    Hello {
        /// The token, where it did not travel in the handshake.
        token: Option<Secret>,
        /// The session to go on with.
        resume: Option<Resume>,
        /// The largest message that this client takes, in bytes as it is written; `None` where it
        /// does not say.
        max_message: Option<u64>,
    },
    /// A message.
    Message {
        /// Its number in the session, from 1 without holes; `None` where nobody waits for an
        /// acknowledgement.
        serial: Option<u64>,
        /// The channel it is meant for; `None` for the server itself.
        channel: Option<Channel>,
        /// The message.
        payload: Message,
    },
    /// Subscribes to a channel, from now on or from a position.
    Subscribe {
        /// Which channel.
        channel: Channel,
        /// The position after which messages were missed.
        since: Option<Position>,
        /// A token for this channel, where it needs one of its own.
        token: Option<Secret>,
        /// Whether to be seen among the channel's members, and to see them: with these words about
        /// oneself.
        presence: Option<Text>,
    },
    /// Does not want a channel's messages any more.
    Unsubscribe {
        /// Which channel.
        channel: Channel,
    },
    /// A heartbeat, which the server answers.
    Heartbeat {
        /// Comes back in the answer.
        nonce: u32,
        /// The serial of the last message that the server should have by now, sent on this
        /// transport or covered by its welcome; 0 before the first. A lost tail shows; what is
        /// still to be sent again is none.
        sent: u64,
    },
    /// A fresh token, ahead of the old one's end.
    Renew {
        /// The token.
        token: Secret,
    },
}

/// What a server says in a session; see [`ClientFrame`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "another word would be another version of the vocabulary"
)]
pub enum ServerFrame {
    /// The answer to hello: the link is usable.
    Welcome(Welcome),
    /// Every message up to this serial was taken in.
    Ack {
        /// The serial.
        serial: u64,
    },
    /// This message, and it alone, was refused; those before it were taken in. It will not be asked
    /// for again.
    Rejected(Rejection),
    /// A message.
    Publication {
        /// The channel it was published on; `None` for the session's own stream.
        channel: Option<Channel>,
        /// Its number there.
        offset: u64,
        /// The message.
        payload: Message,
    },
    /// In place of a publication that is larger than this client takes. In `relink.v1` it is a
    /// `publication` with a problem instead of a payload.
    Withheld {
        /// The channel it was published on; `None` for the session's own stream.
        channel: Option<Channel>,
        /// Its number there.
        offset: u64,
        /// Why it does not come.
        problem: Problem,
    },
    /// The answer to subscribe. May come again later, unasked: the server lost its history, or the
    /// client was too slow for it.
    Subscribed {
        /// Which channel.
        channel: Channel,
        /// Where it goes on: publications follow from the next offset on.
        position: Position,
        /// Whether nothing was lost since the position that was asked for; `true` where none was.
        recovered: bool,
    },
    /// A subscription came to its end, or to nothing.
    Unsubscribed {
        /// Which channel.
        channel: Channel,
        /// Why, unless the client asked for it.
        problem: Option<Problem>,
    },
    /// Everyone who is in a channel, or a page of the list; changes follow.
    Members {
        /// Which channel.
        channel: Channel,
        /// Some of the members, none of whom another page of the list names.
        members: Vec<Member>,
        /// Whether another page follows. Changes in between apply to the whole list.
        more: bool,
    },
    /// Somebody joined or left a channel.
    MemberChanged {
        /// Which channel.
        channel: Channel,
        /// Who, and which of the two.
        change: MemberChange,
    },
    /// The answer to a heartbeat.
    HeartbeatAck {
        /// The number of the heartbeat.
        nonce: u32,
        /// How many publications were sent on this transport: a lost tail shows.
        sent: u64,
    },
    /// The server will close soon.
    GoingAway {
        /// Come back no sooner than this; in `relink.v1` in milliseconds.
        retry_after: Duration,
    },
    /// Why the server closes the transport; the close frame follows.
    Error(Problem),
}

/// The server's answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what a server says in one frame")]
pub struct Welcome {
    /// The session, new or resumed.
    pub session: SessionId,
    /// Whether it is the one that was asked for.
    pub resumed: bool,
    /// Why not, if one was asked for.
    pub refused: Option<Problem>,
    /// The highest serial that was taken in; 0 in a new session.
    pub received: u64,
    /// The messages up to `received` that were refused, as far as the server still knows.
    pub rejected: Vec<Rejection>,
    /// Where the session's own stream goes on: publications follow from the next offset on. In a
    /// resumed session, this is the position that was asked for, unless what follows it is lost.
    pub position: Position,
    /// The largest message that this server takes, in bytes as it is written; `None` if it does not
    /// say.
    pub max_message: Option<u64>,
}

/// A member of a channel joined or left it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a member is there or is not")]
pub enum MemberChange {
    /// Joined, with a stay that was not there before.
    Joined(Member),
    /// This stay ended. What the member said of itself may be left out.
    Left(Member),
}
