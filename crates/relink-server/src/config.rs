//! What a server can be told in advance.

use std::time::Duration;

use relink_node::{AdmissionConfig, NodeConfig};

/// Everything a [`Server`](crate::Server) can be told in advance.
///
/// | field | default |
/// |---|---|
/// | `node` | as [`NodeConfig`] |
/// | `limits` | as [`ConnectionLimits`] |
/// | `admission` | off |
/// | `max_message` | 1 MiB |
/// | `handshake_timeout` | 10 s |
/// | `farewell` | 2 s |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// What is decided about connections, sessions and subscriptions. Its `history` is replaced by
    /// that of the store, and its `max_message` by the one below.
    pub node: NodeConfig,
    /// How many connections there may be.
    pub limits: ConnectionLimits,
    /// How fast they may come, from one address and from all together. Off by default: behind a
    /// proxy everybody comes from the proxy's address. Turn it on where clients connect directly,
    /// or where you hand their addresses in (see
    /// [`ServerHandle::accept`](crate::ServerHandle::accept)). Its `per_user` is not looked at; the
    /// `node` has one.
    pub admission: Option<AdmissionConfig>,
    /// A client's WebSocket message that is larger than this, in bytes, is answered with 1009. With
    /// its frame around it: base64 in JSON makes bytes a third larger. Clients are told, and do not
    /// send what is larger. At least 512. How large publications may be is for
    /// [`NodeConfig::max_publication`] to say.
    pub max_message: usize,
    /// A connection that has not asked for a WebSocket after this time is dropped. TLS counts if
    /// [`ServerHandle::accept_after`](crate::ServerHandle::accept_after) does it.
    pub handshake_timeout: Duration,
    /// After a close frame: how long what is queued may take to reach the client, and how long the
    /// client may take to answer.
    pub farewell: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            node: NodeConfig::default(),
            limits: ConnectionLimits::default(),
            admission: None,
            max_message: 1 << 20,
            handshake_timeout: Duration::from_secs(10),
            farewell: Duration::from_secs(2),
        }
    }
}

impl ServerConfig {
    /// This configuration with [`node`](Self::node) changed.
    #[must_use]
    pub const fn with_node(mut self, node: NodeConfig) -> Self {
        self.node = node;
        self
    }

    /// This configuration with [`limits`](Self::limits) changed.
    #[must_use]
    pub const fn with_limits(mut self, limits: ConnectionLimits) -> Self {
        self.limits = limits;
        self
    }

    /// This configuration with [`admission`](Self::admission) changed.
    #[must_use]
    pub const fn with_admission(mut self, admission: Option<AdmissionConfig>) -> Self {
        self.admission = admission;
        self
    }

    /// This configuration with [`max_message`](Self::max_message) changed.
    #[must_use]
    pub const fn with_max_message(mut self, max_message: usize) -> Self {
        self.max_message = max_message;
        self
    }

    /// This configuration with [`handshake_timeout`](Self::handshake_timeout) changed.
    #[must_use]
    pub const fn with_handshake_timeout(mut self, handshake_timeout: Duration) -> Self {
        self.handshake_timeout = handshake_timeout;
        self
    }

    /// This configuration with [`farewell`](Self::farewell) changed.
    #[must_use]
    pub const fn with_farewell(mut self, farewell: Duration) -> Self {
        self.farewell = farewell;
        self
    }
}

/// How many are let in before anything is known about them: they are counted from `accept` on. A
/// few of those who are refused get an HTTP answer with `Retry-After`, which relink's clients obey,
/// when their request is read; if there are many, the others get it without that, and are closed at
/// once.
///
/// | field | default |
/// |---|---|
/// | `max_connections` | 50,000 |
/// | `per_address` | 1,000 |
/// | `retry_after` | 10 s |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// Maximum number of connections; a further one is answered with 503. An idle connection takes
    /// some 10 KiB.
    pub max_connections: usize,
    /// Maximum number of connections from one IP address, or one IPv6 network of a customer (/64);
    /// a further one is answered with 429. Large enough for an office, or a mobile network, behind
    /// one address. Behind a proxy everybody comes from the address of the proxy: then this is
    /// another `max_connections`, unless the address is handed in (see
    /// [`ServerHandle::accept`](crate::ServerHandle::accept)).
    pub per_address: usize,
    /// Whoever is refused is told to come back after this, or up to twice as late: each is told
    /// another time. In whole seconds, at least one.
    pub retry_after: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { max_connections: 50_000, per_address: 1_000, retry_after: Duration::from_secs(10) }
    }
}

impl ConnectionLimits {
    /// This configuration with [`max_connections`](Self::max_connections) changed.
    #[must_use]
    pub const fn with_max_connections(mut self, max_connections: usize) -> Self {
        self.max_connections = max_connections;
        self
    }

    /// This configuration with [`per_address`](Self::per_address) changed.
    #[must_use]
    pub const fn with_per_address(mut self, per_address: usize) -> Self {
        self.per_address = per_address;
        self
    }

    /// This configuration with [`retry_after`](Self::retry_after) changed.
    #[must_use]
    pub const fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = retry_after;
        self
    }
}
