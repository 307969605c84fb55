//! What a node can be told in advance.

use core::time::Duration;

use crate::{DrainConfig, HistoryConfig, LivenessConfig, PresenceConfig};
use relink::ConfigError;
use relink::internal::{LONGEST, config, positive, within};

config! {
    /// Everything a [`Node`](super::Node) can be told in advance.
    ///
    /// | field | default |
    /// |---|---|
    /// | `liveness`, `presence`, `history`, `drain` | their own |
    /// | `hello_timeout` | 10 s |
    /// | `token_grace` | 10 s |
    /// | `max_subscriptions` | 1,000 |
    /// | `max_subscription_bytes` | 2 MiB |
    /// | `max_unhandled` | 256 |
    /// | `max_unhandled_bytes` | 1 MiB |
    /// | `max_outbound_bytes` | 1 MiB |
    /// | `max_message` | 1 MiB |
    /// | `max_publication` | 8 MiB |
    /// | `page` | 256 |
    /// | `per_user` | unlimited |
    /// | `drain_timeout` | 5 s |
    pub struct NodeConfig {
        /// When a silent connection counts as dead.
        pub liveness / with_liveness: LivenessConfig = LivenessConfig::default(),
        /// How long a member whose connection broke remains a member.
        pub presence / with_presence: PresenceConfig = PresenceConfig::default(),
        /// When clients come back from a node that goes.
        pub drain / with_drain: DrainConfig = DrainConfig::default(),
        /// What the store keeps, and for how long. A node needs `session_ttl` of it; the store
        /// needs the same.
        pub history / with_history: HistoryConfig = HistoryConfig::default(),
        /// A connection that has not said hello, or whose hello is not answered, is closed after
        /// this long.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::duration"))]
        pub hello_timeout / with_hello_timeout: Duration = Duration::from_secs(10),
        /// A connection whose token is over is closed with 4002 this much later, unless a fresh one
        /// came: clients renew ahead of the end, and one that is late by a slow network or a clock
        /// that differs keeps its connection. May be zero.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::duration"))]
        pub token_grace / with_token_grace: Duration = Duration::from_secs(10),
        /// Maximum number of channels per connection. At least 1.
        pub max_subscriptions / with_max_subscriptions: usize = 1000,
        /// The most bytes of what a connection's subscriptions say: names of channels, their
        /// tokens, which are kept to be shown again when the client's own token is renewed, and
        /// words for presence. A further one is refused with `limit_exceeded`. Enough for 1,000
        /// tokens of usual length. At least 1.
        pub max_subscription_bytes / with_max_subscription_bytes: usize = 2 << 20,
        /// Maximum number of messages of one session that wait for the application and the store.
        /// If there are more, its socket is not read, for 5 s at most: heartbeats may stand behind
        /// them. Then it is read on, further messages are passed over, and when the others are
        /// handled the connection is closed with 4100, so that the client sends the rest again. At
        /// least 1; as many as a client has on their way by default.
        pub max_unhandled / with_max_unhandled: usize = 256,
        /// Maximum bytes of them, or a single larger message. At least 1.
        pub max_unhandled_bytes / with_max_unhandled_bytes: usize = 1 << 20,
        /// Maximum bytes that wait for one connection's socket. Beyond, what is published stays in
        /// the store until there is room, and the connection is not read. At least 1.
        pub max_outbound_bytes / with_max_outbound_bytes: usize = 1 << 20,
        /// The largest message of a client, in bytes with its frame around it: what the welcome
        /// tells. The driver answers a larger one with 1009. At least 512: the subprotocol's own
        /// frames have to fit.
        pub max_message / with_max_message: usize = 1 << 20,
        /// The largest publication, in bytes with its frame around it in JSON, the longer encoding:
        /// a larger one is refused. By default enough for whatever a client may send, even if each
        /// byte of it has to be escaped, and half of what relink's clients take. At least 512.
        pub max_publication / with_max_publication: usize = 8 << 20,
        /// How many messages are fetched at a time if a client missed some. At least 1.
        pub page / with_page: usize = 256,
        /// Maximum number of connections of one user at this node; a further one is closed
        /// with 4010.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::duration::limit"))]
        pub per_user / with_per_user: Option<u32> = None,
        /// In a shutdown, what clients have sent is handled and stored for this long after the last
        /// of them was told to leave; what is not done then, they send again to the next node.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::duration"))]
        pub drain_timeout / with_drain_timeout: Duration = Duration::from_secs(5),
    }
}

impl NodeConfig {
    /// Checks every field of every piece.
    ///
    /// # Errors
    ///
    /// The first field that cannot work, by its path.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.liveness.validate()?;
        self.presence.validate()?;
        self.drain.validate()?;
        self.history.validate()?;
        positive("node.hello_timeout", self.hello_timeout)?;
        within("node.token_grace", self.token_grace, Duration::ZERO, LONGEST)?;
        within("node.max_subscriptions", self.max_subscriptions, 1, usize::MAX)?;
        within("node.max_subscription_bytes", self.max_subscription_bytes, 1, usize::MAX)?;
        within("node.max_unhandled", self.max_unhandled, 1, usize::MAX)?;
        within("node.max_unhandled_bytes", self.max_unhandled_bytes, 1, usize::MAX)?;
        within("node.max_outbound_bytes", self.max_outbound_bytes, 1, usize::MAX)?;
        within("node.max_message", self.max_message, LEAST_MESSAGE, usize::MAX)?;
        within("node.max_publication", self.max_publication, LEAST_MESSAGE, usize::MAX)?;
        within("node.page", self.page, 1, usize::MAX)?;
        within("node.per_user", self.per_user.unwrap_or(1), 1, u32::MAX)?;
        positive("node.drain_timeout", self.drain_timeout)
    }
}

/// With less, hardly a hello fits.
const LEAST_MESSAGE: usize = 512;
