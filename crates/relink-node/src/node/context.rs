//! What the parts of a node share: time, configuration, connections, and output.

use alloc::collections::VecDeque;

use crate::StoreRequest;
use crate::node::connections::Connections;
use crate::node::store_requests::{Asker, StoreRequests};
use crate::node::{NodeAction, NodeConfig, NodeEvent, NodeStats, StoreRequestId};
use relink::Instant;

/// Passed to sessions, streams and members, which send to connections and to the store.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: NodeConfig,
    /// The latest time: it never goes backwards.
    pub(crate) now: Instant,
    /// A shutdown has begun.
    pub(crate) is_draining: bool,
    pub(crate) stats: NodeStats,
    pub(crate) connections: Connections,
    pub(crate) requests: StoreRequests,
    actions: VecDeque<NodeAction>,
}

impl Context {
    pub(crate) fn new(config: NodeConfig) -> Self {
        Self {
            config,
            now: Instant::ORIGIN,
            is_draining: false,
            stats: NodeStats::default(),
            connections: Connections::new(config),
            requests: StoreRequests::new(),
            actions: VecDeque::new(),
        }
    }

    /// Time passes. Returns the connections, to which most inputs go.
    pub(crate) fn advance(&mut self, now: Instant) -> &mut Connections {
        self.now = self.now.max(now);
        self.connections.now = self.now;
        &mut self.connections
    }

    pub(crate) fn act(&mut self, action: NodeAction) {
        self.actions.push_back(action);
    }

    pub(crate) fn tell(&mut self, event: NodeEvent) {
        self.act(NodeAction::Event(event));
    }

    /// Sends a request to the store. The id is the same for all its tries.
    pub(crate) fn ask(&mut self, asker: Asker, request: StoreRequest) -> StoreRequestId {
        let (id, action) = self.requests.ask(asker, request);
        self.act(action);
        id
    }

    /// Actions of connections come first: they end nothing that the rest begins.
    pub(crate) fn poll_action(&mut self) -> Option<NodeAction> {
        self.connections.poll_action().or_else(|| self.actions.pop_front())
    }
}
