//! What a node can be told in advance.

use core::time::Duration;

use crate::{DrainConfig, HistoryConfig, LivenessConfig, PresenceConfig};
use relink::internal::{MILLISECOND, YEAR, config, mib, secs};

config! {
    /// Everything a [`Node`](super::Node) can be told in advance.
    pub struct NodeConfig at "node." {
        /// When a silent connection counts as dead.
        pub liveness / with_liveness: LivenessConfig;
        /// How long a member whose connection broke remains a member.
        pub presence / with_presence: PresenceConfig;
        /// When clients come back from a node that goes.
        pub drain / with_drain: DrainConfig;
        /// What the store keeps, and for how long. A node needs `session_ttl` of it; the store
        /// needs the same.
        pub history / with_history: HistoryConfig;
        /// A connection that has not said hello, or whose hello is not answered, is closed after
        /// this long.
        pub hello_timeout / with_hello_timeout: Duration = secs(10), in MILLISECOND..=YEAR;
        /// A connection whose token is over is closed with 4002 this much later, unless a fresh one
        /// came: clients renew ahead of the end, and one that is late by a slow network or a clock
        /// that differs keeps its connection. May be zero.
        pub token_grace / with_token_grace: Duration = secs(10), in Duration::ZERO..=YEAR;
        /// Maximum number of channels per connection.
        pub max_subscriptions / with_max_subscriptions: usize = 1_000, in 1..;
        /// The most bytes of what a connection's subscriptions say: names of channels, their
        /// tokens, which are kept to be shown again when the client's own token is renewed, and
        /// words for presence. A further one is refused with `limit_exceeded`. Enough for 1,000
        /// tokens of usual length.
        pub max_subscription_bytes / with_max_subscription_bytes: usize = mib(2), in 1..;
        /// Maximum number of messages of one session that wait for the application and the store.
        /// If there are more, its socket is not read, for 5 s at most: heartbeats may stand behind
        /// them. Then it is read on, further messages are passed over, and when the others are
        /// handled the connection is closed with 4100, so that the client sends the rest again. At
        /// least 1; as many as a client has on their way by default.
        pub max_unhandled / with_max_unhandled: usize = 256, in 1..;
        /// Maximum bytes of them, or a single larger message.
        pub max_unhandled_bytes / with_max_unhandled_bytes: usize = mib(1), in 1..;
        /// Maximum bytes that wait for one connection's socket. Beyond, what is published stays in
        /// the store until there is room, and the connection is not read.
        pub max_outbound_bytes / with_max_outbound_bytes: usize = mib(1), in 1..;
        /// The largest message of a client, in bytes with its frame around it: what the welcome
        /// tells. The driver answers a larger one with 1009. At least 512: the subprotocol's own
        /// frames have to fit.
        pub max_message / with_max_message: usize = mib(1), in 512..;
        /// The largest publication, in bytes with its frame around it in JSON, the longer encoding:
        /// a larger one is refused. By default enough for whatever a client may send, even if each
        /// byte of it has to be escaped, and half of what relink's clients take. At least 512.
        pub max_publication / with_max_publication: usize = mib(8), in 512..;
        /// How many messages are fetched at a time if a client missed some.
        pub page / with_page: usize = 256, in 1..;
        /// Maximum number of connections of one user at this node; a further one is closed
        /// with 4010.
        pub per_user / with_per_user: Option<u32> = None, in 1..;
        /// In a shutdown, what clients have sent is handled and stored for this long after the last
        /// of them was told to leave; what is not done then, they send again to the next node.
        pub drain_timeout / with_drain_timeout: Duration = secs(5), in MILLISECOND..=YEAR;
    }
}
