//! The configuration of a node.

use core::time::Duration;

use crate::{DrainConfig, HistoryConfig, LivenessConfig};
use relink::internal::{MILLISECOND, YEAR, config, mib, secs};

config! {
    /// The configuration of a [`Node`](super::Node).
    pub struct NodeConfig at "node." {
        /// When a silent connection counts as dead.
        pub liveness / with_liveness: LivenessConfig;
        /// When clients come back from a node that shuts down.
        pub drain / with_drain: DrainConfig;
        /// What the store keeps, and for how long. The node uses its `session_ttl`; it must be the
        /// configuration of the store.
        pub history / with_history: HistoryConfig;
        /// A connection without a hello, or whose hello is not answered, is closed after this time.
        pub hello_timeout / with_hello_timeout: Duration = secs(10), in MILLISECOND..=YEAR;
        /// A connection whose token has expired is closed with 4002 this much later, unless it was
        /// renewed: clients renew before the expiry, and one that is late because of a slow network
        /// or another clock keeps its connection.
        pub token_grace / with_token_grace: Duration = secs(10), in Duration::ZERO..=YEAR;
        /// How long a member whose connection broke remains a member. Shorter shows the others
        /// every drop on a mobile network; longer shows them members who have gone. Zero reports at
        /// once.
        pub member_grace / with_member_grace: Duration = secs(30), in Duration::ZERO..=YEAR;
        /// Maximum number of channels per connection.
        pub max_subscriptions / with_max_subscriptions: usize = 1_000, in 1..;
        /// Maximum bytes of a connection's subscriptions: names of channels, their tokens, which
        /// are kept to be checked again when the client's own token is renewed, and presence texts.
        /// A further one is refused with `limit_exceeded`. Enough for 1,000 tokens of usual length.
        pub max_subscription_bytes / with_max_subscription_bytes: usize = mib(2), in 1..;
        /// Maximum number of messages of one session that wait for the application and the store.
        /// If there are more, its socket is not read, for at most 5 s, as heartbeats may follow
        /// them. Then it is read again, further messages are ignored, and when the others are
        /// handled the connection is closed with 4100, so that the client sends the rest again. The
        /// default is what a client has in flight by default.
        pub max_unhandled / with_max_unhandled: usize = 256, in 1..;
        /// Maximum bytes of them, or a single larger message.
        pub max_unhandled_bytes / with_max_unhandled_bytes: usize = mib(1), in 1..;
        /// Maximum bytes that wait for one connection's socket. Beyond it, publications stay in the
        /// store until there is room, and the connection is not read.
        pub max_outbound_bytes / with_max_outbound_bytes: usize = mib(1), in 1..;
        /// The largest message of a client, in bytes with its frame around it, announced in the
        /// welcome. The driver answers a larger one with 1009. The minimum leaves room for the
        /// subprotocol's own frames.
        pub max_message / with_max_message: usize = mib(1), in 512..;
        /// The largest publication, in bytes with its frame around it in JSON, the longer encoding:
        /// a larger one is refused. The default is enough for any message of a client, even if each
        /// byte of it has to be escaped, and half of what relink's clients accept.
        pub max_publication / with_max_publication: usize = mib(8), in 512..;
        /// How many missed messages are fetched from the store at a time.
        pub page / with_page: usize = 256, in 1..;
        /// Maximum number of connections of one user at this node; a further one is closed
        /// with 4010.
        pub per_user / with_per_user: Option<u32> = None, in 1..;
        /// In a shutdown, messages of clients are handled and stored for this long after the last
        /// client was notified; the rest they send again to the next node.
        pub drain_timeout / with_drain_timeout: Duration = secs(5), in MILLISECOND..=YEAR;
    }
}
