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
    /// The server redirects this client to another address, which may be relative. Tokens and the
    /// session id are sent to configured origins only.
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
    /// The first frame on every transport: who the client is, and which session to resume.
    Hello {
        /// The token, if it was not sent in the handshake.
        token: Option<Secret>,
        /// The session to go on with.
        resume: Option<Resume>,
        /// The largest message that this client accepts, in bytes as it is written; `None` if it
        /// does not announce one.
        max_message: Option<u64>,
    },
    /// A message.
    Message {
        /// Its number in the session, from 1 without holes; `None` if no acknowledgement is wanted.
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
        /// A token for this channel, if it needs one of its own.
        token: Option<Secret>,
        /// The presence text: if set, the client is listed as a member with it, and sees the
        /// members.
        presence: Option<Text>,
    },
    /// Unsubscribes from a channel.
    Unsubscribe {
        /// Which channel.
        channel: Channel,
    },
    /// A heartbeat, which the server answers.
    Heartbeat {
        /// Comes back in the answer.
        nonce: u32,
        /// The serial of the last message that the server should have by now, sent on this
        /// transport or covered by its welcome; 0 before the first. It reveals a lost tail;
        /// messages still to be sent again do not count.
        sent: u64,
    },
    /// A fresh token, before the old one expires.
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
    /// Every message up to this serial was received.
    Ack {
        /// The serial.
        serial: u64,
    },
    /// This message alone was rejected; those before it were received. It must not be sent again.
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
    /// In place of a publication that is larger than this client accepts. In `relink.v1` it is a
    /// `publication` with a problem instead of a payload.
    Withheld {
        /// The channel it was published on; `None` for the session's own stream.
        channel: Option<Channel>,
        /// Its number there.
        offset: u64,
        /// Why it does not come.
        problem: Problem,
    },
    /// The answer to subscribe. May be sent again later, unrequested, if the server lost its
    /// history or the client was too slow for it.
    Subscribed {
        /// Which channel.
        channel: Channel,
        /// The position at which the stream continues: publications follow from the next offset on.
        position: Position,
        /// Whether no message was lost since the requested position; `true` if none was requested.
        recovered: bool,
    },
    /// A subscription ended, or was refused.
    Unsubscribed {
        /// Which channel.
        channel: Channel,
        /// Why, unless the client asked for it.
        problem: Option<Problem>,
    },
    /// The members of a channel, or a page of the list; changes follow.
    Members {
        /// Which channel.
        channel: Channel,
        /// Members that are on no other page of the list.
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
        /// The number of publications sent on this transport, which reveals a lost tail.
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
    /// Whether it is the one that was to be resumed.
    pub resumed: bool,
    /// Why not, if one was asked for.
    pub refused: Option<Problem>,
    /// The highest serial that was received; 0 in a new session.
    pub received: u64,
    /// The messages up to `received` that were rejected, as far as the server still knows.
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
