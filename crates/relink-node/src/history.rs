//! The contract of a store, which keeps streams, sessions and members so that nothing is lost:
//! requests and responses, the same for a map in memory and for a store that outlives the node.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use relink::internal::{MILLISECOND, YEAR, config, mib, mins};
use relink::protocol::Rejection;
use relink::session::{Member, MemberChange, Problem};
use relink::{Channel, CloseFrame, Message, Position, SessionId};

config! {
    /// How much is kept for clients that return.
    pub struct HistoryConfig at "history." {
        /// Maximum number of messages of each stream.
        pub max_messages / with_max_messages: usize = 1_000, in 1..;
        /// Maximum bytes of each stream; a larger single message is kept alone.
        pub max_bytes / with_max_bytes: usize = mib(4), in 1..;
        /// Maximum age of a message. Longer than `session_ttl` and a usual restart, since channels
        /// have other readers.
        pub max_age / with_max_age: Duration = mins(5), in MILLISECOND..=YEAR;
        /// A session can be resumed for this long after its last connection. Two minutes outlast a
        /// tunnel and a deploy; longer costs memory for clients that never come back.
        pub session_ttl / with_session_ttl: Duration = mins(2), in MILLISECOND..=YEAR;
        /// Maximum bytes in total: messages, presence texts and refusals, with 128 more for each of
        /// them, and 512 for each stream. Beyond it, empty channels without readers are removed,
        /// and then the oldest messages; if that is not enough, new data is refused
        /// ([`Full::Store`]). Redis has its own bound for this, `maxmemory`.
        pub max_total_bytes / with_max_total_bytes: usize = mib(256), in 1..;
        /// Maximum bytes of one user: messages and presence texts, with 128 more for each message
        /// and each channel that a session is a member of, and 512 for each channel that a message
        /// of theirs created. More is refused ([`Full::User`]), so that one user does not push out
        /// the messages of others. The same bound applies separately to refusals: a session's later
        /// ones replace its earlier ones. What the application publishes counts for no user, nor
        /// does a channel that was only subscribed to; each anonymous session counts by itself.
        pub user_bytes / with_user_bytes: usize = mib(64), in 1..;
        /// Maximum number of sessions, connected or waiting to be resumed. A further one is refused
        /// ([`Full::Store`]).
        pub max_sessions / with_max_sessions: usize = 100_000, in 1..;
        /// Maximum number of sessions of one user. A further one is refused ([`Full::User`]).
        pub user_sessions / with_user_sessions: usize = 50_000, in 1..;
        /// Maximum number of members listed in one channel. A member who joins a full channel is
        /// not listed but sees the others, so that a crowded channel stays usable.
        pub max_members / with_max_members: usize = 1_000, in 1..=10_000;
        /// Maximum bytes of the presence texts in one channel. Beyond it, a member is listed
        /// without its text.
        pub max_words / with_max_words: usize = mib(1), in 0..;
    }
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the room of one or the room of all")]
pub enum Full {
    /// That of the store.
    Store,
    /// That of the user.
    User,
}

impl Full {
    /// The problem for the client.
    #[must_use]
    pub fn problem(self) -> Problem {
        match self {
            Self::Store => Problem::new(Problem::UNAVAILABLE, "the server has no room to keep it"),
            Self::User => Problem::new(
                Problem::LIMIT_EXCEEDED,
                "the server keeps as much of this user as it may",
            ),
        }
    }
}

/// An ordered sequence of messages with offsets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stream {
    /// A channel's.
    Channel(Channel),
    /// A session's own stream, with messages for one client alone.
    Session(SessionId),
}

/// A message on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a message and its place")]
pub struct Publication {
    /// Its number.
    pub offset: u64,
    /// The message.
    pub message: Message,
}

/// A request of a node to its store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreRequest {
    /// Creates a session. → [`StoreResponse::Session`], or [`StoreResponse::Full`]
    Create {
        /// Its id, drawn by the node.
        session: SessionId,
        /// Its user.
        user: String,
    },
    /// Resumes a session: its next generation begins, and the nodes are notified
    /// ([`StoreEvent::Resumed`]). If it belongs to another user, nothing changes, and the response
    /// names that user. → [`StoreResponse::Session`] or [`StoreResponse::Unknown`]
    Resume {
        /// Which.
        session: SessionId,
        /// The user that resumes it.
        user: String,
    },
    /// Keeps these sessions and their memberships from expiring. Sent every third of `session_ttl`.
    /// → [`StoreResponse::Touched`]
    Touch {
        /// Which.
        sessions: Vec<SessionId>,
    },
    /// Ends a session for good, with its own stream and its memberships, if this is still its
    /// generation. → [`StoreResponse::Done`]
    End {
        /// Which.
        session: SessionId,
        /// The generation of the connection that ended it.
        generation: u64,
    },
    /// Ends all sessions of a user for good, with their streams and memberships, on whichever node
    /// they are connected; the nodes are notified ([`StoreEvent::Ended`]). Sessions created later
    /// are not affected. → [`StoreResponse::Done`]
    EndUser {
        /// Whose.
        user: String,
        /// The age of the request: sessions created since then continue, even if it is repeated.
        ago: Duration,
        /// How their connections are closed.
        frame: CloseFrame,
    },
    /// Commits the effects of one message of a client, atomically: the publications are appended
    /// and the serial is stored in one step, and only if the serial is the next one of its session.
    /// → [`StoreResponse::Committed`]; [`StoreResponse::Unknown`] if the session no longer exists,
    /// or is in another generation, so that an outdated node changes nothing;
    /// [`StoreResponse::Full`] if there is no room for the publications, and nothing has changed.
    /// Without publications there is always room; a refusal is stored if there is room for it.
    Commit {
        /// The session it came from.
        session: SessionId,
        /// The generation as the node knows it.
        generation: u64,
        /// Its serial.
        serial: u64,
        /// Its effects.
        publications: Vec<(Stream, Message)>,
        /// Why it was refused, if it was.
        rejection: Option<Rejection>,
    },
    /// Publishes messages without a serial. → [`StoreResponse::Done`]; or [`StoreResponse::Full`],
    /// or [`StoreResponse::Unknown`] if the session no longer exists, and none of them is appended
    Publish {
        /// The session they came from; `None` for those of the application.
        session: Option<SessionId>,
        /// Where and what.
        publications: Vec<(Stream, Message)>,
    },
    /// Reads what followed a position. → [`StoreResponse::Read`]; [`StoreResponse::Full`] if the
    /// stream does not exist and there is no room for it; [`StoreResponse::Unknown`] for the stream
    /// of a session that does not exist.
    Read {
        /// In which stream; one that was never written to has an epoch, too, and offset 0.
        stream: Stream,
        /// After this; `None` requests the top alone.
        after: Option<Position>,
        /// At most this many messages.
        limit: usize,
        /// The reading session: a stream that this creates counts for its user. `None` for the node
        /// itself.
        by: Option<SessionId>,
    },
    /// A member comes into a channel, or comes back: known by its session. Everyone is told
    /// ([`StoreEvent::MemberChanged`]) if the session was not in there, or says something else of
    /// itself now. Words for which there is no room are left out. → [`StoreResponse::Joined`];
    /// [`StoreResponse::Full`] if the member is not one of the channel's, and the channel has as
    /// many as it may or there is no room; [`StoreResponse::Unknown`] where there is no such
    /// session.
    Join {
        /// Which channel.
        channel: Channel,
        /// Which session.
        session: SessionId,
        /// The member, with a new `join`.
        member: Member,
        /// A new lease, which replaces that of the previous connection.
        lease: u64,
    },
    /// A member leaves, if its present lease is the one that is named: a client that came back
    /// elsewhere holds another. Everyone is told ([`StoreEvent::MemberChanged`]) if it does. →
    /// [`StoreResponse::Done`]
    Leave {
        /// Which channel.
        channel: Channel,
        /// Which session.
        session: SessionId,
        /// The lease from its join.
        lease: u64,
    },
    /// Lists the members of a channel. → [`StoreResponse::Members`]
    Members {
        /// Which channel.
        channel: Channel,
    },
}

/// The response of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreResponse {
    /// It is done.
    Done,
    /// The state of a session.
    Session {
        /// Its user.
        user: String,
        /// The highest serial that was committed.
        received: u64,
        /// The last rejected messages, in order: at most 1,024, and as many as there is room for.
        rejected: Vec<Rejection>,
        /// How often it was resumed, this time included; 0 in a new one.
        generation: u64,
        /// After a resume: the channels of which the session is a member, each with its current
        /// lease. The node that managed a membership may be gone, so this one does from now on: one
        /// that is not renewed within the grace is ended.
        seats: Vec<(Channel, u64)>,
    },
    /// The session does not exist, or is in another generation.
    Unknown,
    /// There is no room now, and nothing was changed.
    Full(Full),
    /// The highest committed serial: that of the request, or a higher one if it was a duplicate.
    Committed {
        /// That serial.
        received: u64,
    },
    /// The sessions were kept, except those that have expired because the store was unreachable for
    /// too long.
    Touched {
        /// Those.
        lost: Vec<SessionId>,
    },
    /// A part of a stream.
    Read {
        /// The position of the last message.
        top: Position,
        /// The messages after the position, without a gap, oldest first, up to the limit. `None` if
        /// that is not known: another epoch, or the first of them is no longer kept, or the
        /// position is beyond the top.
        missed: Option<Vec<Publication>>,
    },
    /// The member's stay: that of the request, or the earlier one if the session was still a
    /// member, so that its name does not change.
    Joined {
        /// The id of the stay.
        join: String,
    },
    /// The members of a channel.
    Members(Vec<Member>),
}

/// An event for all nodes that watch a stream. It may be late or lost: offsets show what is
/// missing, and [`Lagged`](StoreEvent::Lagged) is emitted if something may be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreEvent {
    /// A message was appended.
    Published {
        /// To this stream.
        stream: Stream,
        /// In this epoch.
        epoch: u32,
        /// The message and its number.
        publication: Publication,
    },
    /// A member joined or left a channel.
    MemberChanged {
        /// Which channel.
        channel: Channel,
        /// Who, and which of the two.
        change: MemberChange,
    },
    /// A session was resumed: a connection of an earlier generation is replaced. For nodes that
    /// watch the session's stream.
    Resumed {
        /// Which session.
        session: SessionId,
        /// The generation that began.
        generation: u64,
    },
    /// A session was ended by [`StoreRequest::EndUser`]: its connection is closed. For nodes that
    /// watch the session's stream.
    Ended {
        /// Which session.
        session: SessionId,
        /// The close frame.
        frame: CloseFrame,
    },
    /// Events may have been lost: read every watched stream again.
    Lagged,
}
