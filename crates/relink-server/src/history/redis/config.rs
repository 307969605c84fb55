//! The configuration of a history in Redis.

use std::time::Duration;

use relink::ConfigError;
use relink_node::HistoryConfig;

/// A day: how long a client may stay away and still learn reliably whether it missed messages.
const TOP_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest time for Redis, which refuses times whose end does not fit into its clock.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Names, limits and times of a [`RedisHistory`](super::RedisHistory).
///
/// | field | default |
/// |---|---|
/// | `prefix` | `relink:` |
/// | `history` | as [`HistoryConfig`] |
/// | `timeout` | 5 s |
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisConfig {
    /// The prefix of every key. Nodes with the same prefix share everything; others do not see each
    /// other.
    pub prefix: String,
    /// How much is kept, and for how long. The same on all nodes.
    pub history: HistoryConfig,
    /// A connection or request that takes longer counts as failed. Redis answers within
    /// milliseconds; five seconds outlast a slow fork, or a failover that is worth waiting for.
    pub timeout: Duration,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            prefix: "relink:".to_owned(),
            history: HistoryConfig::default(),
            timeout: Duration::from_secs(5),
        }
    }
}

impl RedisConfig {
    /// This configuration with [`prefix`](Self::prefix) changed.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// This configuration with [`history`](Self::history) changed.
    #[must_use]
    pub fn with_history(mut self, history: HistoryConfig) -> Self {
        self.history = history;
        self
    }

    /// This configuration with [`timeout`](Self::timeout) changed. Less than a millisecond counts
    /// as one.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// As [`HistoryConfig::validate`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.history.validate()
    }

    /// How long the offset of a stream is kept without writes and watches.
    pub(super) fn top_ttl(&self) -> Duration {
        TOP_TTL.max(self.history.max_age.saturating_mul(2))
    }
}

/// In whole milliseconds, at least one.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.min(LONGEST).as_millis()).unwrap_or(u64::MAX).max(1)
}
