//! What a server keeps so that nothing is lost: streams, sessions, members. As questions and answers: whoever keeps it, a
//! map in memory or a store that outlives the node (W15), answers the same questions in the same way.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::{ConfigError, config, positive, within};
use crate::session::{Channel, Member, Message, Position, Rejection, SessionId};

config! {
    /// How much is kept for those who return.
    ///
    /// | field | default |
    /// |---|---|
    /// | `max_messages` | 1,000 |
    /// | `max_bytes` | 4 MiB |
    /// | `max_age` | 5 min |
    /// | `session_ttl` | 2 min |
    pub struct HistoryConfig {
        /// So many messages of each stream at the most. At least 1.
        pub max_messages / with_max_messages: usize = 1000,
        /// So many bytes of each stream at the most; a larger single message is kept alone. At least 1.
        pub max_bytes / with_max_bytes: usize = 4 << 20,
        /// No message is kept longer. Longer than `session_ttl` and a usual restart, since channels have other readers.
        #[cfg_attr(feature = "serde", serde(with = "crate::human::serde_impl"))]
        pub max_age / with_max_age: Duration = Duration::from_secs(300),
        /// A session can be resumed for so long after its last connection. Two minutes outlast a tunnel and a deploy;
        /// longer costs memory for clients that never come back.
        #[cfg_attr(feature = "serde", serde(with = "crate::human::serde_impl"))]
        pub session_ttl / with_session_ttl: Duration = Duration::from_secs(120),
    }
}

impl HistoryConfig {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// A bound of zero.
    pub fn validate(&self) -> Result<(), ConfigError> {
        within("history.max_messages", self.max_messages, 1, usize::MAX)?;
        within("history.max_bytes", self.max_bytes, 1, usize::MAX)?;
        positive("history.max_age", self.max_age)?;
        positive("history.session_ttl", self.session_ttl)
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
pub enum Question {
    /// A new session begins. → [`Answer::Session`]
    Create {
        /// Its id, drawn by the node.
        session: SessionId,
        /// Whose it is.
        user: String,
    },
    /// A client wants to go on with a session: its next turn begins, and everyone is told ([`News::Resumed`]). Where the
    /// session is somebody else's, nothing changes, and the answer says whose. → [`Answer::Session`] or
    /// [`Answer::Unknown`]
    Resume {
        /// Which.
        session: SessionId,
        /// Who wants it.
        user: String,
    },
    /// These sessions are in use: they and their memberships live on. Asked every third of `session_ttl`. → [`Answer::Done`]
    Keep {
        /// Which.
        sessions: Vec<SessionId>,
    },
    /// A session is over for good, with its own stream and its memberships, if this is still its turn. →
    /// [`Answer::Done`]
    End {
        /// Which.
        session: SessionId,
        /// The turn of the connection that ended it.
        turn: u64,
    },
    /// The effects of one message of a client. All of it or nothing: the publications are appended and the serial is noted
    /// in one step, and only if the serial is the next one of its session. → [`Answer::Committed`], or
    /// [`Answer::Unknown`] where there is no such session any more, or another turn of it has begun: a node that was
    /// left behind changes nothing (I25).
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
    /// Messages from elsewhere, without a serial. → [`Answer::Done`]
    Publish {
        /// Where and what.
        publications: Vec<(Stream, Message)>,
    },
    /// What followed a position. → [`Answer::Since`]
    Since {
        /// In which stream; one that was never written to has an epoch, too, and offset 0.
        stream: Stream,
        /// After this; `None` asks for the top alone.
        after: Option<Position>,
        /// So many messages at the most.
        limit: usize,
    },
    /// A member comes into a channel, or comes back: known by its session. Everyone is told ([`News::Joined`]) if the
    /// session was not in there, or says something else of itself now. → [`Answer::Joined`], or [`Answer::Unknown`] where there is no such session.
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
    /// A member leaves, if its present lease is the one that is named: a client that came back elsewhere holds another.
    /// Everyone is told ([`News::Left`]) if it does. → [`Answer::Done`]
    Leave {
        /// Which channel.
        channel: Channel,
        /// Which session.
        session: SessionId,
        /// The lease that it was given when it joined.
        lease: u64,
    },
    /// Who is in a channel. → [`Answer::Members`]
    Members {
        /// Which channel.
        channel: Channel,
    },
}

/// What a node is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// It is done.
    Done,
    /// A session as the store knows it.
    Session {
        /// Whose it is.
        user: String,
        /// The highest serial that was committed.
        received: u64,
        /// The last messages that were refused, at most 1,024, in order.
        rejected: Vec<Rejection>,
        /// How often it was resumed, this time included; 0 in a new one.
        turn: u64,
    },
    /// There is no such session (any more), or not in this turn.
    Unknown,
    /// The highest serial that is committed now: the one in question, or one beyond it where it was a duplicate.
    Committed {
        /// That serial.
        received: u64,
    },
    /// A part of a stream.
    Since {
        /// The position of the last message there is.
        top: Position,
        /// What follows the position in question, without a hole, oldest first, up to the limit. `None` where it cannot be
        /// told: another epoch, or the first of it is no longer kept, or the position lies beyond the top.
        missed: Option<Vec<Publication>>,
    },
    /// The member's stay: that of the question, or the one before it where the session was still in there, so that
    /// everybody goes on knowing it by the same name.
    Joined {
        /// The stay as everybody knows it.
        join: String,
    },
    /// Who is in a channel, by session.
    Members(Vec<Member>),
}

/// What a store tells all nodes that watch a stream, as it happens. It may be late and it may be lost: offsets show what
/// is missing, and [`Doubt`](News::Doubt) says that something may be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// A message was appended.
    Published {
        /// To this stream.
        stream: Stream,
        /// In this epoch.
        epoch: u32,
        /// The message and its number.
        publication: Publication,
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
    /// A session was resumed: a connection of an earlier turn is replaced. For those who watch the session's stream.
    Resumed {
        /// Which session.
        session: SessionId,
        /// The turn that began.
        turn: u64,
    },
    /// News may have been lost: every watched stream is to be looked at again.
    Doubt,
}
