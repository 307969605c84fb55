//! What a server keeps so that nothing is lost: streams, sessions, members. As questions and
//! answers: whoever keeps it, a map in memory or a store that outlives the node, answers the same
//! questions in the same way.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use relink::internal::{MILLISECOND, YEAR, config, mib, mins};
use relink::protocol::Rejection;
use relink::session::{Member, MemberChange, Problem};
use relink::{Channel, CloseFrame, Message, Position, SessionId};

config! {
    /// How much is kept for those who return.
    pub struct HistoryConfig at "history." {
        /// Maximum number of messages of each stream.
        pub max_messages / with_max_messages: usize = 1_000, in 1..;
        /// Maximum bytes of each stream; a larger single message is kept alone.
        pub max_bytes / with_max_bytes: usize = mib(4), in 1..;
        /// No message is kept longer. Longer than `session_ttl` and a usual restart, since channels
        /// have other readers.
        pub max_age / with_max_age: Duration = mins(5), in MILLISECOND..=YEAR;
        /// A session can be resumed for this long after its last connection. Two minutes outlast a
        /// tunnel and a deploy; longer costs memory for clients that never come back.
        pub session_ttl / with_session_ttl: Duration = mins(2), in MILLISECOND..=YEAR;
        /// The most bytes of all that is kept: messages, words of members, and refusals, with 128
        /// more for each of them, and 512 for each stream. Beyond it, empty channels that nobody
        /// watches are forgotten, and then the oldest messages; if that is not enough, what is new
        /// is refused ([`Full::Store`]). Redis has its own bound for this, `maxmemory`.
        pub max_total_bytes / with_max_total_bytes: usize = mib(256), in 1..;
        /// The most bytes that one user makes the store keep: messages and words, with 128 more for
        /// each message and each channel that a session is a member of, and 512 for each channel
        /// that a message of theirs began. A further one is refused ([`Full::User`]), so that one
        /// user does not push out what others said. The same bound holds once more for what a user
        /// was refused: the session's earlier refusals make room for the later ones. What the
        /// application publishes counts for no user, nor does a channel that was only subscribed
        /// to; each anonymous session counts by itself.
        pub user_bytes / with_user_bytes: usize = mib(64), in 1..;
        /// The most sessions, connected or waiting to be resumed. A further one is refused
        /// ([`Full::Store`]).
        pub max_sessions / with_max_sessions: usize = 100_000, in 1..;
        /// The most sessions of one user. A further one is refused ([`Full::User`]).
        pub user_sessions / with_user_sessions: usize = 50_000, in 1..;
        /// The most members listed in one channel. A member who joins a full channel is not listed
        /// but sees the others, so that filling a room does not shut it.
        pub max_members / with_max_members: usize = 1_000, in 1..=10_000;
        /// The most bytes of what the members of one channel say of themselves. Beyond it a member
        /// is listed without its words.
        pub max_words / with_max_words: usize = mib(1), in 0..;
    }
}

/// Whose room is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the room of one or the room of all")]
pub enum Full {
    /// That of all: the store has no more.
    Store,
    /// That of the user in question.
    User,
}

impl Full {
    /// As a client is told.
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
    /// A session's own: what is meant for one client alone.
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

/// What a node asks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreRequest {
    /// A new session begins. → [`StoreResponse::Session`], or [`StoreResponse::Full`]
    Create {
        /// Its id, drawn by the node.
        session: SessionId,
        /// Whose it is.
        user: String,
    },
    /// A client wants to go on with a session: its next turn begins, and everyone is told
    /// ([`StoreEvent::Resumed`]). If it belongs to another user, nothing changes, and the response
    /// names that user. → [`StoreResponse::Session`] or [`StoreResponse::Unknown`]
    Resume {
        /// Which.
        session: SessionId,
        /// Who wants it.
        user: String,
    },
    /// These sessions are in use: they and their memberships live on. Asked every third of
    /// `session_ttl`. → [`StoreResponse::Touched`]
    Touch {
        /// Which.
        sessions: Vec<SessionId>,
    },
    /// A session is over for good, with its own stream and its memberships, if this is still its
    /// turn. → [`StoreResponse::Done`]
    End {
        /// Which.
        session: SessionId,
        /// The turn of the connection that ended it.
        turn: u64,
    },
    /// All sessions of a user are over for good, with their streams and memberships, whoever has a
    /// connection for them; everyone is told ([`StoreEvent::Ended`]). A session that begins later
    /// is not concerned. → [`StoreResponse::Done`]
    EndUser {
        /// Whose.
        user: String,
        /// How long ago that was: sessions that have begun since then go on, however often this is
        /// asked.
        ago: Duration,
        /// How their connections are closed.
        frame: CloseFrame,
    },
    /// The effects of one message of a client. All of it or nothing: the publications are appended
    /// and the serial is noted in one step, and only if the serial is the next one of its session.
    /// → [`StoreResponse::Committed`], or [`StoreResponse::Unknown`] where there is no such session
    /// any more, or another turn of it has begun: a node that was left behind changes nothing. What
    /// the publications need may not be there: [`StoreResponse::Full`], and nothing has changed.
    /// One without publications always has room; that it was refused is noted as far as there is.
    Commit {
        /// The session it came from.
        session: SessionId,
        /// The turn as the node knows it.
        turn: u64,
        /// Its serial.
        serial: u64,
        /// What it led to.
        publications: Vec<(Stream, Message)>,
        /// Why it was refused, if it was.
        rejection: Option<Rejection>,
    },
    /// Messages without a serial. → [`StoreResponse::Done`]; or [`StoreResponse::Full`], or
    /// [`StoreResponse::Unknown`] if there is no such session any more, and none of them is
    /// appended
    Publish {
        /// The session they came from; `None` for those of the application.
        session: Option<SessionId>,
        /// Where and what.
        publications: Vec<(Stream, Message)>,
    },
    /// What followed a position. → [`StoreResponse::Read`]; [`StoreResponse::Full`] if a stream
    /// would begin and there is no room for it; [`StoreResponse::Unknown`] for the stream of a
    /// session that there is not (any more).
    Read {
        /// In which stream; one that was never written to has an epoch, too, and offset 0.
        stream: Stream,
        /// After this; `None` asks for the top alone.
        after: Option<Position>,
        /// At most this many messages.
        limit: usize,
        /// The session that asks: a stream that begins counts for its user. `None` for the node
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
        /// Who; `join` is fresh.
        member: Member,
        /// Fresh, too: replaces the lease of the connection before.
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
        /// The lease that it was given when it joined.
        lease: u64,
    },
    /// Who is in a channel. → [`StoreResponse::Members`]
    Members {
        /// Which channel.
        channel: Channel,
    },
}

/// What a node is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreResponse {
    /// It is done.
    Done,
    /// A session as the store knows it.
    Session {
        /// Whose it is.
        user: String,
        /// The highest serial that was committed.
        received: u64,
        /// The last messages that were refused, in order: at most 1,024, and as many as there is
        /// room for.
        rejected: Vec<Rejection>,
        /// How often it was resumed, this time included; 0 in a new one.
        turn: u64,
        /// After a resume: where the session is a member, each with its present lease. The node
        /// that watched over a seat may be gone, so this one does, from now on: a seat that is not
        /// taken again within the grace is left.
        seats: Vec<(Channel, u64)>,
    },
    /// There is no such session (any more), or not in this turn.
    Unknown,
    /// There is no room for it, and nothing was changed. Later there may be.
    Full(Full),
    /// The highest serial that is committed now: the one in question, or one beyond it where it was
    /// a duplicate.
    Committed {
        /// That serial.
        received: u64,
    },
    /// The sessions live on, but for those that there are no more: the store was away for longer
    /// than they last.
    Touched {
        /// Those.
        lost: Vec<SessionId>,
    },
    /// A part of a stream.
    Read {
        /// The position of the last message there is.
        top: Position,
        /// What follows the position in question, without a hole, oldest first, up to the limit.
        /// `None` where it cannot be told: another epoch, or the first of it is no longer kept, or
        /// the position lies beyond the top.
        missed: Option<Vec<Publication>>,
    },
    /// The member's stay: that of the question, or the one before it where the session was still in
    /// there, so that everybody goes on knowing it by the same name.
    Joined {
        /// The stay as everybody knows it.
        join: String,
    },
    /// Who is in a channel, by session.
    Members(Vec<Member>),
}

/// What a store tells all nodes that watch a stream, as it happens. It may be late and it may be
/// lost: offsets show what is missing, and [`Lagged`](StoreEvent::Lagged) says that something may
/// be.
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
    /// A session was resumed: a connection of an earlier turn is replaced. For those who watch the
    /// session's stream.
    Resumed {
        /// Which session.
        session: SessionId,
        /// The turn that began.
        turn: u64,
    },
    /// A session was ended by [`StoreRequest::EndUser`]: its connection is closed. For those who
    /// watch the session's stream.
    Ended {
        /// Which session.
        session: SessionId,
        /// How.
        frame: CloseFrame,
    },
    /// News may have been lost: every watched stream is to be looked at again.
    Lagged,
}
