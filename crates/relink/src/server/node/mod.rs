//! [`Node`]: the server's half of `relink.v1`.

mod config;
mod io;
mod stats;

use alloc::collections::VecDeque;

use rand_core::Rng;

use crate::config::ConfigError;
use crate::session::Message;
use crate::time::Instant;

pub use config::NodeConfig;
pub use io::{AuthorizationId, ConnectionId, HandlingId, NodeAction, NodeEvent, NodeInput, QuestionId};
pub use stats::NodeStats;

/// One server process with all of its connections, without IO.
///
/// Sans-IO like a [`Session`](crate::Session), and to the same contract. A driver:
///
/// 1. hands in what happened with [`handle`](Self::handle);
/// 2. does what [`poll_action`](Self::poll_action) says until it says nothing more;
/// 3. writes the messages of [`poll_transmit`](Self::poll_transmit) of each connection that is
///    [`Ready`](NodeAction::Ready), while its socket has room;
/// 4. reads a socket only while [`may_read`](Self::may_read) allows it;
/// 5. hands in [`NodeInput::Timeout`] when [`poll_timeout`](Self::poll_timeout) says.
#[derive(Debug)]
pub struct Node<R> {
    config: NodeConfig,
    rng: R,
    actions: VecDeque<NodeAction>,
    stats: NodeStats,
}

impl<R: Rng> Node<R> {
    /// A node without connections. Session ids are secrets, and are drawn from `rng`: it has to be fit for that.
    ///
    /// # Errors
    ///
    /// The first field of the configuration that cannot work.
    pub fn new(config: NodeConfig, rng: R) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, rng, actions: VecDeque::new(), stats: NodeStats::default() })
    }

    /// Hands in what happened.
    pub fn handle(&mut self, input: NodeInput, now: Instant) {
        let _ = (input, now, &self.config, &mut self.rng);
    }

    /// The next thing to do or to tell.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<NodeAction> {
        self.actions.pop_front()
    }

    /// The next message to write on a connection, while its socket has room. A connection that is told to close is
    /// forgotten when there is nothing more.
    #[must_use]
    pub fn poll_transmit(&mut self, id: ConnectionId) -> Option<Message> {
        let _ = id;
        None
    }

    /// Whether the connection's socket may be read now. Where not, [`NodeAction::Ready`] tells when it may again.
    #[must_use]
    pub fn may_read(&self, id: ConnectionId) -> bool {
        let _ = id;
        true
    }

    /// When to hand in [`NodeInput::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// How many connections there are, welcome or not yet.
    #[must_use]
    pub fn connections(&self) -> usize {
        0
    }

    /// What happened so far, and what is so now.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        self.stats
    }
}
