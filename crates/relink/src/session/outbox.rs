//! What waits to go out: bounded, in order, each message with a receipt for its fate.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::config::{ConfigError, config, positive_or_off, within};
use crate::session::message::Message;
use crate::time::Instant;

config! {
    /// How much may wait, for how long, and what happens when it is too much.
    ///
    /// | field | default |
    /// |---|---|
    /// | `max_messages` | 1,024 |
    /// | `max_bytes` | 16 MiB |
    /// | `overflow` | refuse |
    /// | `ttl` | off |
    /// | `while_down` | queue |
    pub struct OutboxConfig {
        /// So many messages at the most. At least 1.
        pub max_messages / with_max_messages: usize = 1024,
        /// So many bytes at the most; also the largest single message. At least 1.
        pub max_bytes / with_max_bytes: usize = 16 << 20,
        /// What happens when a message finds no room.
        pub overflow / with_overflow: Overflow = Overflow::Refuse,
        /// A message that has waited for so long is dropped: a price from a minute ago helps nobody.
        #[cfg_attr(feature = "serde", serde(with = "crate::human::serde_impl::option"))]
        pub ttl / with_ttl: Option<Duration> = None,
        /// Whether messages are taken while the link is not usable (M22).
        pub while_down / with_while_down: WhileDown = WhileDown::Queue,
    }
}

impl OutboxConfig {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// A bound of zero, or a time to live of zero (write `off`).
    pub fn validate(&self) -> Result<(), ConfigError> {
        within("outbox.max_messages", self.max_messages, 1, usize::MAX)?;
        within("outbox.max_bytes", self.max_bytes, 1, usize::MAX)?;
        positive_or_off("outbox.ttl", self.ttl)
    }
}

/// What happens when a message finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Overflow {
    /// It is handed back to the caller.
    #[default]
    Refuse,
    /// The oldest ones make room for it.
    DropOldest,
    /// It is dropped, and its receipt says so.
    DropNewest,
}

/// What happens to a message while the link is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum WhileDown {
    /// It waits, and goes out in order when the link is usable.
    #[default]
    Queue,
    /// It is handed back to the caller.
    Refuse,
}

/// Stands for one message on its way: its fate is reported under this number. Numbers rise in the order of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Receipt(pub u64);

impl core::fmt::Display for Receipt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why an accepted message will never be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum DropReason {
    /// The outbox was full.
    Overflow,
    /// It waited longer than its time to live.
    Expired,
    /// The link came to its end.
    Closed,
}

impl DropReason {
    /// The symbolic name, in `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::Expired => "expired",
            Self::Closed => "closed",
        }
    }
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) receipt: Receipt,
    pub(crate) message: Message,
    expires_at: Option<Instant>,
}

/// The queue of messages that wait to go out, in the order in which they were sent (D8).
#[derive(Debug, Clone)]
pub struct Outbox {
    config: OutboxConfig,
    entries: VecDeque<Entry>,
    bytes: usize,
    last: u64,
}

impl Outbox {
    /// An empty one.
    #[must_use]
    pub const fn new(config: OutboxConfig) -> Self {
        Self { config, entries: VecDeque::new(), bytes: 0, last: 0 }
    }

    /// How many messages wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes wait.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How it was configured.
    #[must_use]
    pub const fn config(&self) -> &OutboxConfig {
        &self.config
    }

    /// Whether a message of so many bytes finds room.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.entries.len() < self.config.max_messages
            && bytes <= self.config.max_bytes.saturating_sub(self.bytes)
    }

    /// Appends a message. Whoever calls this has made room.
    pub(crate) fn push(&mut self, message: Message, now: Instant) -> Receipt {
        let receipt = self.next_receipt();
        self.bytes += message.len();
        let expires_at = self.config.ttl.map(|ttl| now + ttl);
        self.entries.push_back(Entry { receipt, message, expires_at });
        receipt
    }

    /// A receipt without a message: for one that is dropped at once.
    pub(crate) fn next_receipt(&mut self) -> Receipt {
        self.last += 1;
        Receipt(self.last)
    }

    /// The oldest message.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.message.len();
        Some(entry)
    }

    /// The oldest message, if its time is over. All live equally long, so the oldest expires first.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Entry> {
        let expired = self.entries.front()?.expires_at.is_some_and(|at| at <= now);
        if expired { self.pop() } else { None }
    }

    /// When the oldest message expires.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.entries.front()?.expires_at
    }
}
