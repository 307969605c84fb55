//! What a server can be told in advance.

use std::time::Duration;

use relink_node::{AdmissionConfig, NodeConfig};

/// Everything a [`Server`](crate::Server) can be told in advance.
///
/// | field | default |
/// |---|---|
/// | `node` | as [`NodeConfig`] |
/// | `admission` | as [`AdmissionConfig`] |
/// | `max_message` | 1 MiB |
/// | `handshake_timeout` | 10 s |
/// | `farewell` | 2 s |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// What is decided about connections, sessions and subscriptions. Its `history` is replaced by
    /// that of the store, and its `max_message` by the one below.
    pub node: NodeConfig,
    /// How many connections there may be, and how fast they may come: they are counted from
    /// `accept` on, before anything is known about them. A few of those who are refused get an HTTP
    /// answer with `Retry-After`, which relink's clients obey, when their request is read; if there
    /// are many, the others get it without that, and are closed at once.
    ///
    /// Rates are off by default: behind a proxy everybody comes from the proxy's address. Turn them
    /// on ([`AdmissionConfig::direct`]) if clients connect directly, or if you hand their addresses
    /// in (see [`ServerHandle::accept`](crate::ServerHandle::accept)).
    pub admission: AdmissionConfig,
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
            admission: AdmissionConfig::default(),
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

    /// This configuration with [`admission`](Self::admission) changed.
    #[must_use]
    pub const fn with_admission(mut self, admission: AdmissionConfig) -> Self {
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
