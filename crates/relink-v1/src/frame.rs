//! The frames of `relink.v1`, in both directions.

use alloc::vec::Vec;
use core::time::Duration;
use relink::protocol::Rejection;
use relink::session::{Member, Problem, Secret, Text};
use relink::{Channel, Message, Position, Resume, SessionId};

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "another frame would be another version of the subprotocol"
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
    /// Are you there?
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

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "another frame would be another version of the subprotocol"
)]
pub enum ServerFrame {
    /// The answer to hello: the link is usable.
    Welcome {
        /// The session, new or the one that goes on.
        session: SessionId,
        /// Whether it is the one that was asked for.
        resumed: bool,
        /// Why not, where one was asked for.
        refused: Option<Problem>,
        /// The highest serial that was taken in; 0 in a new session.
        received: u64,
        /// The messages up to `received` that were refused, as far as the server still knows.
        rejected: Vec<Rejection>,
        /// Where the session's own stream goes on: publications follow from the next offset on. In
        /// a session that goes on, this is the position that was asked for, unless what follows it
        /// is lost.
        position: Position,
        /// The largest message that this server takes, in bytes as it is written; `None` where it
        /// does not say.
        max_message: Option<u64>,
    },
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
    /// In place of a publication that is larger than this client takes. On the wire it is a
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
        /// Who; their words are left out.
        member: Member,
    },
    /// I am here.
    HeartbeatAck {
        /// The number of the heartbeat.
        nonce: u32,
        /// How many publications were sent on this transport: a lost tail shows.
        sent: u64,
    },
    /// The server will close soon.
    GoingAway {
        /// Come back no sooner than this; on the wire in milliseconds.
        retry_after: Duration,
    },
    /// Why the server closes the transport; the close frame follows.
    Error(Problem),
}
