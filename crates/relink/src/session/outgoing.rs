//! Messages to send with their options, and how their fate is reported.

use crate::session::ids::Channel;
use crate::session::message::Message;

/// How often a message may have its effect at the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Guarantee {
    /// Once or not at all: a message that was sent is not sent again.
    #[default]
    AtMostOnce,
    /// Once or more: a message that was not acknowledged is sent again over the next transport. A
    /// peer that drops duplicates by session and serial, as a `relink.v1` server does, makes that
    /// exactly once.
    AtLeastOnce,
}

/// Which messages go first. Within one priority they go in the order in which they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[expect(clippy::exhaustive_enums, reason = "more than three and nobody knows which to take")]
pub enum Priority {
    /// Before all others: a stop order.
    High,
    /// The usual priority.
    #[default]
    Normal,
    /// After all others, and dropped first: a position that the next one replaces.
    Low,
}

impl Priority {
    pub(crate) const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];
}

/// A message with its options. Anything that converts into a [`Message`] converts into this.
///
/// ```
/// use relink::{Outgoing, Priority};
///
/// let plain = Outgoing::from("hello");
/// let stop = Outgoing::from("stop").on("orders").with_priority(Priority::High);
/// assert_eq!((plain.channel, plain.priority), (None, Priority::Normal));
/// assert_eq!(stop.channel.unwrap().as_str(), "orders");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outgoing {
    /// The message.
    pub message: Message,
    /// Its channel; `None` for the peer itself. A protocol without channels ignores it.
    pub channel: Option<Channel>,
    /// Whether it may overtake others.
    pub priority: Priority,
}

impl Outgoing {
    /// The same message, for this channel.
    #[must_use]
    pub fn on(mut self, channel: impl Into<Channel>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// The same message with this priority.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }
}

impl<T: Into<Message>> From<T> for Outgoing {
    fn from(message: T) -> Self {
        Self { message: message.into(), channel: None, priority: Priority::Normal }
    }
}

/// The number of one sent message, under which its fate is reported. Numbers rise in the order of
/// sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Receipt(pub u64);

impl Receipt {
    /// Whether the other one is the next.
    pub(crate) fn is_before(self, next: Self) -> bool {
        self.0.checked_add(1) == Some(next.0)
    }
}

impl core::fmt::Display for Receipt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why an accepted message will never be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// The outbox was full.
    Overflow,
    /// It waited longer than its time to live.
    Expired,
    /// The link was closed.
    Closed,
    /// It is larger than the peer accepts. Also for a message that was sent before that was known:
    /// it is not sent again.
    TooLarge {
        /// Its length, in bytes as the protocol writes it.
        size: usize,
        /// The maximum; `None` if the peer did not announce one, and closed with 1009 instead.
        limit: Option<usize>,
    },
}

impl DropReason {
    /// The symbolic name, in `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::Expired => "expired",
            Self::Closed => "closed",
            Self::TooLarge { .. } => "too_large",
        }
    }
}

/// Serialized as its name.
#[cfg(feature = "serde")]
impl serde::Serialize for DropReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The limit that a message exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SizeLimit {
    /// [`OutboxConfig::max_bytes`](crate::session::OutboxConfig::max_bytes), by the bytes of the
    /// message.
    Outbox,
    /// [`OutboxConfig::max_message`](crate::session::OutboxConfig::max_message), by its bytes as
    /// the protocol writes it.
    Message,
    /// The limit that the peer announced, by the message's bytes as the protocol writes it.
    Peer,
}

impl core::fmt::Display for SizeLimit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Outbox => "outbox.max_bytes",
            Self::Message => "outbox.max_message",
            Self::Peer => "the peer",
        })
    }
}
