//! An environment without faults, unless they are configured.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use rand_pcg::Pcg32;
use relink::link::TransportId;
use relink::rand_core::SeedableRng;
use relink::session::{Frame, Problem, Secret};
use relink::{Channel, CloseCode, CloseFrame, Event, Message, Session, SessionId, SessionInput};
use relink_node::{ConnectionId, NodeConfig, NodeEvent, NodeInput, StoreRequest, Stream};
use relink_v1::{Encoding, RelinkV1};

use super::{Cluster, Direction, Environment, Task, TaskDetail};

/// What an application makes of a message.
pub type Handled = Result<Vec<(Stream, Message)>, Problem>;

/// What a [`Task`] is about, as a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TaskKind {
    /// [`TaskDetail::Identify`].
    Identify,
    /// [`TaskDetail::Authorize`].
    Authorize,
    /// [`TaskDetail::Handle`].
    Handle,
    /// [`TaskDetail::Store`].
    Store,
    /// [`TaskDetail::StoreEvent`].
    StoreEvent,
}

impl Task {
    /// What it is about.
    pub const fn kind(&self) -> TaskKind {
        match self.detail {
            TaskDetail::Identify { .. } => TaskKind::Identify,
            TaskDetail::Authorize { .. } => TaskKind::Authorize,
            TaskDetail::Handle { .. } => TaskKind::Handle,
            TaskDetail::Store { .. } => TaskKind::Store,
            TaskDetail::StoreEvent(_) => TaskKind::StoreEvent,
        }
    }
}

/// How a [`Task`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is done, and the node gets the result.
    Done,
    /// It is not done, and the node gets an error. An event of the store is lost.
    Fails,
    /// It is done, but the node gets an error: the result was lost. Only for the store.
    ResultLost,
}

/// Does everything at once and loses nothing, unless one of its fields or [`Cluster::hold`] changes
/// that; records requests and events.
#[derive(Debug)]
#[non_exhaustive]
pub struct Calm {
    /// How long a frame of a client travels; 1 ms by default.
    pub latency: Duration,
    /// Clients that find no node when they dial.
    pub offline: BTreeSet<usize>,
    /// Who shows a token; by default the token is the name of its user, and without one the
    /// connection is closed as [`CloseCode::INVALID_TOKEN`].
    pub identify: fn(Option<&Secret>) -> Result<String, CloseFrame>,
    /// Channels to which subscribing is forbidden.
    pub forbidden: BTreeSet<Channel>,
    /// What a message leads to; by default it is published to its channel, or comes back to its
    /// session.
    pub application: fn(&SessionId, Option<Channel>, Message) -> Handled,
    /// The outcome of requests to the store.
    pub store: Outcome,
    /// A node that does not reach the store.
    pub cut_off: Option<usize>,
    /// Whether events of the store are lost on their way.
    pub are_store_events_lost: bool,
    /// Tasks that wait, in the order in which they came.
    pub held: VecDeque<Task>,
    /// What the store was asked.
    pub requests: Vec<StoreRequest>,
    /// What the application was given: the serial and the message.
    pub handled: Vec<(Option<u64>, Message)>,
    /// The events of the nodes.
    pub node_events: Vec<(usize, NodeEvent)>,
    /// Connections that had something to write, or were read again.
    pub ready: Vec<ConnectionId>,
    /// Connections for which nothing is kept any more.
    pub released: Vec<ConnectionId>,
    holds: BTreeSet<TaskKind>,
    told: BTreeMap<usize, Vec<Event>>,
    seed: u64,
}

impl Default for Calm {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            offline: BTreeSet::new(),
            identify,
            forbidden: BTreeSet::new(),
            application: echo,
            store: Outcome::Done,
            cut_off: None,
            are_store_events_lost: false,
            held: VecDeque::new(),
            requests: Vec::new(),
            handled: Vec::new(),
            node_events: Vec::new(),
            ready: Vec::new(),
            released: Vec::new(),
            holds: BTreeSet::new(),
            told: BTreeMap::new(),
            seed: 0,
        }
    }
}

impl Calm {
    /// How many tasks of this kind wait.
    pub fn waiting(&self, kind: TaskKind) -> usize {
        self.held.iter().filter(|task| task.kind() == kind).count()
    }

    fn seed(&mut self) -> u64 {
        self.seed += 1;
        self.seed
    }
}

impl Environment for Calm {
    type Due = Infallible;

    fn due(_: &mut Cluster<Self>, due: Infallible) {
        match due {}
    }

    /// To the first node that runs, from the client's number on.
    fn dials(cluster: &mut Cluster<Self>, client: usize, id: TransportId) {
        let (now, latency, count) = (cluster.now(), cluster.env.latency, cluster.nodes.len());
        let mut nodes = (0..count).map(|step| (client + step) % count);
        let node = nodes.find(|node| cluster.is_running(*node));
        match node.filter(|_| !cluster.env.offline.contains(&client)) {
            Some(node) => drop(cluster.dial(client, id, node, now + latency, latency)),
            None => cluster.refuse(client, id, now + latency),
        }
    }

    fn carry(cluster: &mut Cluster<Self>, id: ConnectionId, way: Direction, frame: Frame) {
        let latency = cluster.env.latency;
        cluster.deliver(id, way, frame, latency);
    }

    fn task(cluster: &mut Cluster<Self>, task: Task) {
        let kind = task.kind();
        let env = &mut cluster.env;
        match &task.detail {
            TaskDetail::Handle { serial, message, .. } => {
                env.handled.push((*serial, message.clone()))
            }
            TaskDetail::Store { request, .. } => env.requests.push(request.clone()),
            TaskDetail::Identify { .. }
            | TaskDetail::Authorize { .. }
            | TaskDetail::StoreEvent(_) => {}
        }
        if env.holds.contains(&kind) {
            env.held.push_back(task);
        } else {
            let outcome = cluster.outcome(&task);
            cluster.finish(task, outcome);
        }
    }

    fn told(cluster: &mut Cluster<Self>, client: usize, event: Event) {
        cluster.env.told.entry(client).or_default().push(event);
    }

    fn fetch_channel_token(cluster: &mut Cluster<Self>, client: usize, channel: Channel) {
        let result = Ok("token".into());
        let now = cluster.now();
        cluster.tell_client_at(now, client, SessionInput::ChannelToken { channel, result });
    }

    fn node_event(cluster: &mut Cluster<Self>, node: usize, event: NodeEvent) {
        cluster.env.node_events.push((node, event));
    }

    fn ready(cluster: &mut Cluster<Self>, _: usize, id: ConnectionId) {
        cluster.env.ready.push(id);
    }

    fn released(cluster: &mut Cluster<Self>, _: usize, id: ConnectionId) {
        cluster.env.released.push(id);
    }
}

/// In a calm environment.
impl Cluster {
    /// A store, and this many nodes that run.
    ///
    /// # Panics
    ///
    /// If the configuration is wrong.
    pub fn new(nodes: usize, config: NodeConfig) -> Self {
        let mut cluster = Self::with_environment(Calm::default(), nodes, config, 3);
        (0..nodes).for_each(|node| cluster.restart_node(node));
        cluster
    }

    /// Starts a node in a place where none runs.
    pub fn restart_node(&mut self, node: usize) {
        let seed = self.env.seed();
        self.start_node(node, seed);
    }

    /// Ends a node, with all that it knew. Its clients find their transports reset.
    pub fn stop_node(&mut self, node: usize) {
        let at = self.now + self.env.latency;
        for id in self.kill_node(node) {
            self.lose_client(id, at);
        }
    }

    /// Adds a client of this user, with the defaults of `relink.v1`, and returns its number. After
    /// [`connect`](Self::connect) it dials the node of its own number, or the next one that runs.
    ///
    /// # Panics
    ///
    /// Never: the defaults are valid.
    pub fn add_client(&mut self, user: &str) -> usize {
        let rng = Pcg32::seed_from_u64(self.env.seed());
        let protocol = RelinkV1::new(Encoding::Json);
        let addresses = vec!["ws://nodes".into()];
        let session = Session::new(relink_v1::config(), addresses, protocol, rng);
        self.add_session(user, session.expect("a valid configuration"))
    }

    /// Lets a client connect.
    pub fn connect(&mut self, client: usize) {
        self.tell_client(client, SessionInput::Connect);
        self.settle();
    }

    /// Resets the transport of a client: both ends learn of it at once.
    pub fn reset(&mut self, client: usize) {
        if let Some(id) = self.transport(client) {
            self.cut(id, Some(self.now), Some(self.now));
            self.settle();
        }
    }

    /// Takes the events of a client.
    pub fn take_events(&mut self, client: usize) -> Vec<Event> {
        self.env.told.remove(&client).unwrap_or_default()
    }

    /// Takes the events of the nodes.
    pub fn take_node_events(&mut self) -> Vec<NodeEvent> {
        std::mem::take(&mut self.env.node_events).into_iter().map(|(_, event)| event).collect()
    }

    // Tasks.

    /// From now on, tasks of this kind wait in [`Calm::held`].
    pub fn hold(&mut self, kind: TaskKind) {
        self.env.holds.insert(kind);
    }

    /// From now on, tasks of this kind do not wait. Those that wait already stay there.
    pub fn stop_holding(&mut self, kind: TaskKind) {
        self.env.holds.remove(&kind);
    }

    /// The same, and ends those that wait.
    pub fn release(&mut self, kind: TaskKind) {
        self.stop_holding(kind);
        while let Some(task) = self.take_task(kind, 0) {
            let outcome = self.outcome(&task);
            self.finish(task, outcome);
        }
        self.settle();
    }

    /// Takes one of the tasks of this kind that wait: the nth, or the last one if there are fewer.
    pub fn take_task(&mut self, kind: TaskKind, nth: usize) -> Option<Task> {
        let held = &mut self.env.held;
        let of_kind = held.iter().enumerate().filter(|(_, task)| task.kind() == kind);
        let (index, _) = of_kind.take(nth + 1).last()?;
        held.remove(index)
    }

    /// Ends a task in this way, and does everything that can be done then.
    pub fn perform(&mut self, task: Task, outcome: Outcome) {
        self.finish(task, outcome);
        self.settle();
    }

    fn outcome(&self, task: &Task) -> Outcome {
        match task.kind() {
            TaskKind::Store if self.env.cut_off == Some(task.node) => Outcome::Fails,
            TaskKind::Store => self.env.store,
            TaskKind::StoreEvent if self.env.are_store_events_lost => Outcome::Fails,
            TaskKind::Identify | TaskKind::Authorize | TaskKind::Handle | TaskKind::StoreEvent => {
                Outcome::Done
            }
        }
    }

    fn finish(&mut self, task: Task, outcome: Outcome) {
        let Task { node, life, detail } = task;
        let fails = outcome == Outcome::Fails;
        let input = match detail {
            TaskDetail::Identify { id, token } => {
                let result = (self.env.identify)(token.as_ref().filter(|_| !fails));
                NodeInput::Identified { id, result }
            }
            TaskDetail::Authorize { request, channel, .. } => {
                let is_forbidden = fails || self.env.forbidden.contains(&channel);
                let problem = Problem::new(Problem::CHANNEL_NOT_AUTHORIZED, "not yours");
                let result = if is_forbidden { Err(problem) } else { Ok(()) };
                NodeInput::Authorized { request, result }
            }
            TaskDetail::Handle { delivery, session, channel, message, .. } => {
                let problem = Problem::new(Problem::NOT_HANDLED, "the application fails");
                let result = match fails {
                    true => Err(problem),
                    false => (self.env.application)(&session, channel, message),
                };
                NodeInput::Handled { handling: delivery, result }
            }
            TaskDetail::Store { id, request } => {
                let answer = match outcome {
                    Outcome::Done => Ok(self.store.answer(request, self.now)),
                    Outcome::Fails => Err("down".to_owned()),
                    Outcome::ResultLost => {
                        self.store.answer(request, self.now);
                        Err("timed out".to_owned())
                    }
                };
                NodeInput::Answered { question: id, answer }
            }
            TaskDetail::StoreEvent(_) if fails => return,
            TaskDetail::StoreEvent(event) => NodeInput::StoreEvent(event),
        };
        if self.nodes[node].life == life {
            self.tell_node_at(self.now, node, input);
        }
        self.spread_store_events();
    }
}

fn identify(token: Option<&Secret>) -> Result<String, CloseFrame> {
    let user = token.map(|token| token.expose().to_owned());
    user.ok_or_else(|| CloseFrame::new(CloseCode::INVALID_TOKEN, "no token"))
}

fn echo(session: &SessionId, channel: Option<Channel>, message: Message) -> Handled {
    let to = channel.map_or_else(|| Stream::Session(session.clone()), Stream::Channel);
    Ok(vec![(to, message)])
}
