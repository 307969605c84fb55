//! One schedule: its nodes, its proxies, its clients, and the verdict.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use relink_node::{HistoryConfig, LivenessConfig, NodeConfig};
use relink_server::{MemoryHistory, Server, ServerConfig};
use relink_testing::proxy::{Dials, Fault, Proxy, Schedule, ScheduledFault};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::member::{Member, compression};

/// How long faults are made.
const TROUBLE: Duration = Duration::from_millis(1_200);
/// Far longer than it takes until everything has arrived.
const PATIENCE: Duration = Duration::from_secs(30);

/// The counts of one schedule, or of many.
#[derive(Debug, Default, Clone)]
pub(crate) struct Report {
    pub(crate) schedules: u64,
    pub(crate) faults: u64,
    pub(crate) nodes_killed: u64,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) resumed: u64,
    pub(crate) lost: u64,
    pub(crate) failed_attempts: u64,
}

impl Report {
    pub(crate) fn add(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.faults += other.faults;
        self.nodes_killed += other.nodes_killed;
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.expected += other.expected;
        self.received += other.received;
        self.resumed += other.resumed;
        self.lost += other.lost;
        self.failed_attempts += other.failed_attempts;
    }
}

/// The part of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// All clients subscribe; nothing is sent.
    Arriving,
    /// Messages are sent, and faults are made.
    Trouble,
    /// No more faults. A client that has received everything sends its last messages.
    Peace,
}

/// Runs a schedule to its end.
pub(crate) async fn run(seed: u64) -> Result<Report, String> {
    let mut chance = StdRng::seed_from_u64(seed);
    let nodes = Arc::new(TwoNodes::new().await);
    let count = chance.random_range(3..=5);
    let (phase, told) = watch::channel(Phase::Arriving);
    let (arrived, mut arrivals) = tokio::sync::mpsc::channel(8);
    let mut members = JoinSet::new();
    let mut proxies = Vec::new();
    for number in 0..count {
        let proxy = Arc::new(Proxy::start(nodes.any_node(number)).await.unwrap());
        nodes.add(&proxy);
        let member = Member::new(number, count, proxy.url(), &mut chance);
        members.spawn(member.live(told.clone(), arrived.clone()));
        proxies.push(proxy);
    }
    drop(arrived);
    let everyone = async {
        for _ in 0..count {
            arrivals.recv().await;
        }
    };
    timeout(PATIENCE, everyone).await.map_err(|_| "not everyone could subscribe".to_owned())?;

    phase.send_replace(Phase::Trouble);
    let faults = trouble(&nodes, &proxies, &mut chance).await;
    let killed = nodes.killed();
    for proxy in &proxies {
        proxy.act(&ScheduledFault::Fault(Fault::Pass), &[]);
        proxy.act(&ScheduledFault::Dials(Dials::Pass), &[]);
    }
    phase.send_replace(Phase::Peace);

    let mut report = Report { schedules: 1, faults, nodes_killed: killed, ..Report::default() };
    let deadline = Instant::now() + PATIENCE;
    let mut problems = Vec::new();
    // A member ends by itself: it has a timeout of its own.
    while let Some(member) = members.join_next().await {
        match member.map_err(|error| error.to_string()).and_then(|told| told) {
            Ok(told) => report.add(&told),
            Err(problem) => problems.push(problem),
        }
        assert!(Instant::now() < deadline + PATIENCE, "a member waits for ever");
    }
    if problems.is_empty() { Ok(report) } else { Err(problems.join("\n    ")) }
}

/// Makes every proxy's faults, and kills nodes meanwhile.
async fn trouble(nodes: &Arc<TwoNodes>, proxies: &[Arc<Proxy>], chance: &mut StdRng) -> u64 {
    let mut tasks = JoinSet::new();
    let mut faults = 0;
    let start = Instant::now();
    for proxy in proxies {
        let count = chance.random_range(3..=8);
        faults += count as u64;
        let schedule = Schedule::random(chance.random(), count, TROUBLE);
        let (nodes, proxy) = (Arc::clone(nodes), Arc::clone(proxy));
        tasks.spawn(async move {
            for (at, act) in schedule.acts() {
                sleep_until(start + *at).await;
                nodes.act(&proxy, act);
            }
        });
    }
    for _ in 0..chance.random_range(0..=2) {
        let at = start + TROUBLE.mul_f64(chance.random_range(0.1..0.9));
        let (nodes, which) = (Arc::clone(nodes), chance.random_range(0..2));
        tasks.spawn(async move {
            sleep_until(at).await;
            nodes.replace_node(which).await;
        });
    }
    while tasks.join_next().await.is_some() {}
    faults
}

/// Two nodes with one history.
struct TwoNodes {
    memory: MemoryHistory,
    state: Mutex<State>,
}

struct State {
    nodes: Vec<Node>,
    proxies: Vec<Arc<Proxy>>,
    killed: u64,
}

struct Node {
    addr: SocketAddr,
    /// Dropping it kills the node: its listener and its sockets are closed, whatever they are
    /// doing.
    _task: JoinSet<()>,
}

impl TwoNodes {
    async fn new() -> Self {
        let memory = MemoryHistory::new(HistoryConfig::default()).unwrap();
        let nodes = vec![Node::start(&memory).await, Node::start(&memory).await];
        Self { memory, state: Mutex::new(State { nodes, proxies: Vec::new(), killed: 0 }) }
    }

    fn any_node(&self, number: usize) -> SocketAddr {
        let state = self.state.lock().unwrap();
        state.nodes[number % state.nodes.len()].addr
    }

    fn add(&self, proxy: &Arc<Proxy>) {
        self.state.lock().unwrap().proxies.push(Arc::clone(proxy));
    }

    fn killed(&self) -> u64 {
        self.state.lock().unwrap().killed
    }

    /// Under the lock, so that no proxy leads to a dead node, whose port another schedule may have
    /// by now.
    fn act(&self, proxy: &Proxy, act: &ScheduledFault) {
        let state = self.state.lock().unwrap();
        let nodes: Vec<_> = state.nodes.iter().map(|node| node.addr).collect();
        proxy.act(act, &nodes);
    }

    /// Kills a node, after starting another one in its place, which knows only the shared history.
    async fn replace_node(&self, which: usize) {
        let fresh = Node::start(&self.memory).await;
        let mut state = self.state.lock().unwrap();
        let addr = fresh.addr;
        let old = std::mem::replace(&mut state.nodes[which], fresh);
        state.killed += 1;
        for (number, proxy) in state.proxies.iter().enumerate() {
            let other = state.nodes[number % state.nodes.len()].addr;
            proxy.set_upstream(if number % 3 == 0 { other } else { addr });
        }
        drop(state);
        drop(old);
    }
}

impl Node {
    async fn start(memory: &MemoryHistory) -> Self {
        let liveness = LivenessConfig::default()
            .with_silence(Duration::from_secs(2))
            .with_check_every(Duration::from_millis(500));
        let config = ServerConfig::default()
            .with_node(NodeConfig::default().with_liveness(liveness))
            .with_deflate(Some(compression()))
            .with_farewell(Duration::from_millis(200));
        let server = Server::builder()
            .config(config)
            .history(memory.clone())
            .on_message(|context, message| async move {
                context.echo(message);
                Ok(())
            })
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move { server.serve(listener).await.unwrap() });
        Self { addr, _task: task }
    }
}
