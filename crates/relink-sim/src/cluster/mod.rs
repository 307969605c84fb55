//! Clients, nodes, the store that the nodes share, and the faults between them, in virtual time.
//!
//! The sessions and nodes are real; sockets, applications and the store's delays are not. Here a
//! message survives the node that it was sent to:
//!
//! ```
//! use relink::{Event, Outgoing, Subscription};
//! use relink_node::NodeConfig;
//! use relink_sim::{Cluster, secs};
//!
//! let mut cluster = Cluster::new(2, NodeConfig::default());
//! let ada = cluster.add_client("ada"); // at node 0
//! let bob = cluster.add_client("bob"); // at node 1
//! for client in [ada, bob] {
//!     cluster.session(client).subscribe("lobby", Subscription::default());
//!     cluster.connect(client);
//! }
//! cluster.advance(secs(1));
//!
//! let now = cluster.now();
//! cluster.session(ada).send(Outgoing::from("hello").on("lobby"), now).expect("there is room");
//! cluster.settle(); // the message is on its way,
//! cluster.stop_node(0); // and the power fails
//! cluster.advance(secs(30));
//!
//! let heard = |event: &Event| matches!(event, Event::Publication { .. });
//! assert_eq!(cluster.take_events(bob).iter().filter(|event| heard(event)).count(), 1);
//! assert!(cluster.session(ada).outbox().is_empty(), "acknowledged by node 1");
//! ```
//!
//! A node can be tested alone, too. A *peer* is a client that a test controls, frame by frame:
//!
//! ```
//! use relink_node::NodeConfig;
//! use relink_sim::Cluster;
//! use relink_sim::cluster::TaskKind;
//!
//! let mut cluster = Cluster::new(1, NodeConfig::default());
//! let (ada, session) = cluster.join(0, "ada");
//! cluster.hold(TaskKind::Store); // the store is slow:
//! cluster.message(ada, Some(1), Some("lobby".into()), "hello");
//! cluster.hang_up(ada, 1006);
//! cluster.release(TaskKind::Store); // it commits after the connection is gone
//! let (_, welcome) = cluster.come_back(0, "ada", &session);
//! assert_eq!((welcome.resumed, welcome.received), (true, 1));
//! ```
//!
//! What surrounds clients and nodes is an [`Environment`]: it decides which node a dial reaches,
//! how long a frame travels, what the application does, and how the store answers. [`Calm`] does
//! everything at once and loses nothing, unless it is told otherwise. [`world`](crate::world) is
//! another one, which draws everything.

mod calm;
mod client;
mod environment;
mod node;
mod peer;
mod transport;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use relink::session::Frame;
use relink::{CloseCode, Instant, SessionInput};
use relink_node::{ConnectionId, MemoryStore, NodeConfig, NodeInput, Stream};

pub use calm::{Calm, Handled, Outcome, TaskKind};
pub(crate) use client::{Client, close_code};
pub use environment::{Environment, Task, TaskDetail};
use node::Host;
pub use peer::Peer;
pub use transport::Direction;
pub(crate) use transport::{Transport, words};

/// How often a peer pings.
const PEERS_PING: Duration = Duration::from_secs(4);
/// More steps than anything takes at once: whatever takes more is in a loop.
const MOST_STEPS: u64 = 400_000;

/// What is due at its time. An input comes only if its client or node still is the same one.
#[derive(Debug)]
enum Due<D> {
    Client { client: usize, life: u32, input: SessionInput },
    Node { node: usize, life: u32, input: NodeInput },
    Opened { id: ConnectionId },
    Arrives { id: ConnectionId, way: Direction, frame: Frame },
    ClientEnd { id: ConnectionId },
    NodeEnd { id: ConnectionId, code: CloseCode },
    Unstuck { id: ConnectionId },
    Own(D),
}

/// Clients, nodes and their store in virtual time; see the [module](self).
pub struct Cluster<E: Environment = Calm> {
    /// What surrounds the clients and the nodes.
    pub env: E,
    pub(crate) now: Instant,
    agenda: BTreeMap<(Instant, u64), Due<E::Due>>,
    number: u64,
    pub(crate) steps: u64,
    config: NodeConfig,
    pub(crate) max_message: usize,
    pub(crate) is_user_known: bool,
    pub(crate) clients: Vec<Client>,
    pub(crate) nodes: Vec<Host>,
    pub(crate) store: MemoryStore,
    pub(crate) transports: BTreeMap<ConnectionId, Transport>,
    peers: BTreeMap<ConnectionId, Peer>,
    next_id: u64,
}

impl<E: Environment> Cluster<E> {
    /// A store, and places for this many nodes, in this environment. Nothing runs yet: see
    /// [`start_node`](Self::start_node).
    ///
    /// # Panics
    ///
    /// If the configuration is wrong.
    pub fn with_environment(env: E, nodes: usize, config: NodeConfig, seed: u64) -> Self {
        let store = MemoryStore::new(config.history, seed).expect("a valid configuration");
        Self {
            env,
            now: Instant::ORIGIN,
            agenda: BTreeMap::new(),
            number: 0,
            steps: 0,
            config,
            max_message: usize::MAX,
            is_user_known: true,
            clients: Vec::new(),
            nodes: (0..nodes).map(|_| Host::default()).collect(),
            store,
            transports: BTreeMap::new(),
            peers: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// The present moment.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The store that the nodes share.
    pub const fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// The same, for direct requests. Its events reach the nodes with [`settle`](Self::settle).
    pub const fn store_mut(&mut self) -> &mut MemoryStore {
        &mut self.store
    }

    /// Adds something of the environment's own to what is due: [`Environment::due`] at this moment.
    pub fn schedule(&mut self, at: Instant, due: E::Due) {
        self.push(at, Due::Own(due));
    }

    fn push(&mut self, at: Instant, due: Due<E::Due>) {
        self.number += 1;
        self.agenda.insert((at.max(self.now), self.number), due);
    }

    // Time.

    /// Does everything that can be done without time passing. Deadlines are left to
    /// [`advance`](Self::advance).
    pub fn settle(&mut self) {
        self.spread_store_events();
        for client in 0..self.clients.len() {
            self.settle_client(client);
        }
        for node in 0..self.nodes.len() {
            self.settle_node(node);
        }
        self.do_what_is_due();
        self.write_to_peers();
    }

    fn do_what_is_due(&mut self) {
        while let Some(entry) = self.agenda.first_entry().filter(|it| it.key().0 <= self.now) {
            let due = entry.remove();
            self.happens(due);
        }
    }

    /// Lets time pass. Everything that is due happens at its moment, and what arrives comes before
    /// a deadline of the same moment.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            self.ping_from_peers();
            self.advance_to(end.min(self.now + PEERS_PING));
            if self.now >= end {
                return self.settle();
            }
        }
    }

    /// Lets time pass unnoticed, as on a machine that is suspended: what was due meanwhile is late.
    pub fn suspend(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    pub(crate) fn advance_to(&mut self, end: Instant) {
        self.run(end);
        self.now = self.now.max(end);
    }

    fn run(&mut self, end: Instant) {
        let before = self.steps;
        while !self.env.is_over() {
            let Some(at) = self.next().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.steps += 1;
            if self.steps - before > MOST_STEPS {
                E::broken(self, "it does ever more".into());
            }
            self.step();
        }
    }

    fn next(&self) -> Option<Instant> {
        let agenda = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let clients = self.clients.iter().filter_map(|client| client.session.poll_timeout());
        let nodes = self.nodes.iter().filter_map(|host| host.node.as_ref()?.poll_timeout());
        clients.chain(nodes).chain(self.store.poll_timeout()).chain(agenda).min()
    }

    fn step(&mut self) {
        if let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let due = entry.remove();
            return self.happens(due);
        }
        let now = self.now;
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        for client in 0..self.clients.len() {
            if is_due(self.clients[client].session.poll_timeout()) {
                self.tell_client(client, SessionInput::Timeout);
                if is_due(self.clients[client].session.poll_timeout()) {
                    E::broken(self, "i32: a client's deadline that was handled is past".into());
                }
            }
        }
        for node in 0..self.nodes.len() {
            if is_due(self.node_deadline(node)) {
                self.tell_node(node, NodeInput::Timeout);
                if is_due(self.node_deadline(node)) {
                    E::broken(self, "i32: a node's deadline that was handled is past".into());
                }
            }
        }
        if is_due(self.store.poll_timeout()) {
            self.store.handle_timeout(now);
            self.spread_store_events();
        }
    }

    fn happens(&mut self, due: Due<E::Due>) {
        match due {
            Due::Client { client, life, input } => {
                if self.clients[client].life == life {
                    self.tell_client(client, input);
                }
            }
            Due::Node { node, life, input } => {
                if self.nodes[node].life == life {
                    self.tell_node(node, input);
                }
            }
            Due::Opened { id } => self.opened(id),
            Due::Arrives { id, way, frame } => self.arrives(id, way, frame),
            Due::ClientEnd { id } => self.client_end(id),
            Due::NodeEnd { id, code } => self.node_end(id, code),
            Due::Unstuck { id } => self.unstick(id),
            Due::Own(due) => E::due(self, due),
        }
    }

    /// Where a stream ends now; `None` if the store does not have it.
    pub fn top(&mut self, stream: &Stream) -> Option<relink::Position> {
        use relink_node::{StoreRequest, StoreResponse};
        let what = StoreRequest::Read { stream: stream.clone(), after: None, limit: 1, by: None };
        let answer = self.ask_store(what);
        if let StoreResponse::Read { top, .. } = answer { Some(top) } else { None }
    }
}

impl<E: Environment> fmt::Debug for Cluster<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("now", &self.now)
            .field("clients", &self.clients.len())
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}
