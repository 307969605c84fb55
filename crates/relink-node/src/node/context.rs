//! What the parts of a node share: the time, the configuration, the connections, and the ways out.

use alloc::collections::VecDeque;

use crate::StoreRequest;
use crate::node::connections::Connections;
use crate::node::store_requests::{Asker, StoreRequests};
use crate::node::{NodeAction, NodeConfig, NodeEvent, NodeStats, StoreRequestId};
use relink::Instant;

/// Handed to sessions, streams and members, which send to connections and ask the store.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: NodeConfig,
    /// The latest time there was: time never goes backwards in here.
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

    pub(crate) fn act(&mut self, action: NodeAction) {
        self.actions.push_back(action);
    }

    pub(crate) fn tell(&mut self, event: NodeEvent) {
        self.act(NodeAction::Event(event));
    }

    /// Asks the store. The id names the request for as long as it is asked, however often.
    pub(crate) fn ask(&mut self, asker: Asker, request: StoreRequest) -> StoreRequestId {
        let (id, action) = self.requests.ask(asker, request);
        self.act(action);
        id
    }

    /// What connections have to say comes first: it ends nothing that the rest begins.
    pub(crate) fn poll_action(&mut self) -> Option<NodeAction> {
        self.connections.poll_action().or_else(|| self.actions.pop_front())
    }
}
