//! The configuration of a server.

use std::time::Duration;

use relink::ConfigError;
use relink::internal::{YEAR, config, mib, secs};
use relink_node::{AdmissionConfig, NodeConfig};
#[cfg(feature = "deflate")]
use relink_wire::DeflateConfig;

config! {
    /// The configuration of a [`Server`](crate::Server).
    pub struct ServerConfig at "server.", then check_deflate {
        /// What is decided about connections, sessions and subscriptions. Its `history` is replaced
        /// by that of the store, and its `max_message` by the one below.
        pub node / with_node: NodeConfig;
        /// How many connections there may be, and how fast they may come: they are counted from
        /// `accept` on, before anything is known about them. A few of those that are refused get an
        /// HTTP answer with `Retry-After`, which relink's clients obey, when their request is read;
        /// if there are many, the others get it without that, and are closed at once.
        ///
        /// Rates are off by default: behind a proxy, all clients have the proxy's address. Turn
        /// them on ([`AdmissionConfig::direct`]) if clients connect directly, or if you pass their
        /// addresses (see [`ServerHandle::accept`](crate::ServerHandle::accept)).
        pub admission / with_admission: AdmissionConfig;
        /// The largest WebSocket message of a client, in bytes with its frame around it: base64 in
        /// JSON makes bytes a third larger. A larger one is answered with 1009. Clients learn the
        /// limit in the welcome, and send nothing larger. How large publications may be is set by
        /// [`NodeConfig::max_publication`].
        pub max_message / with_max_message: usize = mib(1), in 512..;
        /// Compresses messages with clients that offer it (permessage-deflate, RFC 7692). Off by
        /// default. Limits hold for messages as they are read.
        #[cfg(feature = "deflate")]
        pub deflate / with_deflate: Option<DeflateConfig> = None;
        /// A connection that has not asked for a WebSocket after this time is dropped. TLS counts
        /// if [`ServerHandle::accept_after`](crate::ServerHandle::accept_after) does it.
        pub handshake_timeout / with_handshake_timeout: Duration =
            secs(10), in Duration::ZERO..=YEAR;
        /// After a close frame: how long what is queued may take to reach the client, and how long
        /// the client may take to answer.
        pub farewell / with_farewell: Duration = secs(2), in Duration::ZERO..=YEAR;
    }
}

impl ServerConfig {
    #[cfg(feature = "deflate")]
    fn check_deflate(&self) -> Result<(), ConfigError> {
        self.deflate.map_or(Ok(()), |deflate| deflate.validate())
    }

    #[cfg(not(feature = "deflate"))]
    const fn check_deflate(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}
