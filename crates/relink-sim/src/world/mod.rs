//! A [`Cluster`] in a world of trouble: everything that its environment decides is drawn from one
//! seed.
//!
//! ```
//! use relink_sim::world::{self, Profile};
//!
//! let report = world::run(Profile::Mixed, 7).unwrap_or_else(|failure| panic!("{failure}"));
//! assert!(report.acknowledged > 0 && report.taken > 0);
//! ```
//!
//! There are three parts in a run. In the first, there is trouble: [faults](Profile) and work at
//! random. In the second, the trouble has stopped, and all must come to rest: every message has its
//! fate, every application has taken its messages, all members see each other. In the third, the
//! clients leave, and nothing must be left of them. A ledger, which sees what is stored and
//! reported, judges all along.

mod application;
mod course;
mod decisions;
mod dice;
mod faults;
mod ledger;
mod network;
mod plan;
mod restart;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use relink::link::TransportId;
use relink::session::Frame;
use relink::{Channel, CloseCode, CloseFrame, Event, Instant, Position, SessionId, SessionInput};
use relink_node::{ConnectionId, NodeEvent, StoreEvent, Stream};

use crate::cluster::{Cluster, Direction, Environment, Task, close_code};
use crate::secs;
use crate::transcript::Transcript;
use application::{Application, Item, draw_session};
use dice::Dice;
use faults::Seat;
use ledger::Ledger;
use network::Manner;
use plan::Plan;
pub use plan::Profile;

/// The number of lines shown of a failed run.
const SHOWN: usize = 300;

/// What happened in a run that broke no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many worlds this is about.
    pub worlds: u64,
    /// How many messages were acknowledged.
    pub acknowledged: u64,
    /// How many messages the applications took.
    pub taken: u64,
    /// How often a session went on over another transport.
    pub resumed: u64,
    /// How often it did not.
    pub refused: u64,
    /// How often a client found that messages were missing, or came again.
    pub gaps: u64,
    /// How often a client dropped a message that had come before.
    pub duplicates: u64,
    /// How many messages were dropped because they were too large.
    pub too_large: u64,
    /// How many steps it took.
    pub steps: u64,
}

impl Report {
    /// Adds up what happened in two runs.
    pub const fn add(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.acknowledged += other.acknowledged;
        self.taken += other.taken;
        self.resumed += other.resumed;
        self.refused += other.refused;
        self.gaps += other.gaps;
        self.duplicates += other.duplicates;
        self.too_large += other.too_large;
        self.steps += other.steps;
    }
}

/// A run that broke a rule, with its last lines.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// Which run it was.
    pub profile: Profile,
    /// Its seed.
    pub seed: u64,
    /// The rule, and how it was broken.
    pub what: String,
    transcript: Transcript,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = f.precision().unwrap_or(SHOWN);
        writeln!(f, "{:?}, seed {}: {}", self.profile, self.seed, self.what)?;
        write!(f, "{:.shown$}", self.transcript)
    }
}

/// What the world itself does at its time.
#[derive(Debug)]
enum Due {
    /// A request reaches the store.
    Store(Task),
    /// A node gets `Lagged`.
    Doubt {
        node: usize,
        life: u32,
    },
    NodeStarts {
        node: usize,
    },
    NodeStops {
        node: usize,
        life: u32,
    },
    /// The application takes messages, acts, or subscribes again.
    Take {
        client: usize,
        life: u32,
    },
    Act {
        client: usize,
    },
    Again {
        client: usize,
        life: u32,
        channel: Channel,
    },
    Publish,
    Fault,
    /// The world looks at itself.
    Snapshot,
}

/// What the world knows of a place where nodes run.
#[derive(Debug, Default)]
struct Place {
    /// The node drains, and the balancer knows.
    leaves: bool,
    /// Requests reach the store in the order in which they were made.
    asked: Instant,
    /// Events of the store come in their order.
    heard: Instant,
    deaf_until: Instant,
    doubts: bool,
}

#[derive(Debug)]
struct World {
    dice: Dice,
    plan: Plan,
    channels: Vec<Channel>,
    apps: Vec<Application>,
    places: Vec<Place>,
    manners: BTreeMap<ConnectionId, Manner>,
    ledger: Ledger,
    seats: BTreeMap<(usize, Channel), Seat>,
    /// When each stay of a member began.
    stays: BTreeMap<String, Instant>,
    stuck_before: BTreeSet<ConnectionId>,
    store_fails_until: Instant,
    tokens_fail_until: Instant,
    tokens_refused_until: Instant,
    spoken: u64,
    /// The clients leave.
    ends: bool,
    speaks: bool,
    transcript: Transcript,
}

/// Runs the world of this seed to its end. The same seed gives the same run.
///
/// # Errors
///
/// The first rule that was broken, with what happened before.
pub fn run(profile: Profile, seed: u64) -> Result<Report, Failure> {
    let mut cluster = World::cluster(profile, seed, false);
    cluster.run_to_the_end();
    if cluster.env.ledger.broken.is_none() {
        return Ok(cluster.report());
    }
    // The same once more, with a transcript, which takes longer than all the rest.
    let mut cluster = World::cluster(profile, seed, true);
    cluster.run_to_the_end();
    let World { ledger, transcript, .. } = cluster.env;
    let what = ledger.broken.unwrap_or_else(|| "only once: it is not deterministic".into());
    Err(Failure { profile, seed, what, transcript })
}

impl World {
    fn cluster(profile: Profile, seed: u64, speaks: bool) -> Cluster<Self> {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(profile, &mut dice);
        let store_seed = dice.seed();
        let sessions: Vec<_> = (0..plan.clients).map(|_| draw_session(&mut dice)).collect();
        let channels = (0..plan.channels).map(|number| format!("room-{number}").into()).collect();
        let (nodes, config) = (plan.hosts, plan.node);
        let (max_message, is_user_known) = (plan.passes, !plan.asks_who);
        let world = Self {
            dice,
            channels,
            apps: sessions.iter().map(|_| Application::default()).collect(),
            places: (0..nodes).map(|_| Place::default()).collect(),
            manners: BTreeMap::new(),
            ledger: Ledger::default(),
            seats: BTreeMap::new(),
            stays: BTreeMap::new(),
            stuck_before: BTreeSet::new(),
            store_fails_until: Instant::ORIGIN,
            tokens_fail_until: Instant::ORIGIN,
            tokens_refused_until: Instant::ORIGIN,
            spoken: 0,
            ends: false,
            speaks,
            transcript: Transcript::default(),
            plan,
        };
        let mut cluster = Cluster::with_environment(world, nodes, config, store_seed);
        (cluster.max_message, cluster.is_user_known) = (max_message, is_user_known);
        for (number, session) in sessions.into_iter().enumerate() {
            cluster.add_session(&format!("user-{number}"), session);
        }
        cluster.note(|| format!("{:?}", Plan::draw(profile, &mut Dice::new(seed))));
        cluster
    }
}

impl Environment for World {
    type Due = Due;

    fn due(cluster: &mut Cluster<Self>, due: Due) {
        cluster.happens_here(due);
    }

    fn dials(cluster: &mut Cluster<Self>, client: usize, id: TransportId) {
        cluster.lead(client, id);
    }

    fn carry(cluster: &mut Cluster<Self>, id: ConnectionId, way: Direction, frame: Frame) {
        let code = close_code(&frame).filter(|_| way == Direction::ToNode);
        cluster.send_over(id, way, frame);
        let client = cluster.transports.get(&id).map(|transport| transport.client);
        if let (Some(code), Some(client)) = (code, client) {
            cluster.check_code(client, code, "the client closes");
        }
    }

    fn task(cluster: &mut Cluster<Self>, task: Task) {
        cluster.decide(task);
    }

    fn told(cluster: &mut Cluster<Self>, client: usize, event: Event) {
        cluster.hear_event(client, event);
    }

    fn fetch_channel_token(cluster: &mut Cluster<Self>, client: usize, channel: Channel) {
        let after = cluster.env.dice.millis(1, 800);
        let fails = cluster.is_troubled() && cluster.env.tokens_fail_until > cluster.now;
        let result = if fails { Err("no tokens today".into()) } else { Ok("token".into()) };
        let input = SessionInput::ChannelToken { channel, result };
        cluster.tell_client_at(cluster.now + after, client, input);
    }

    fn node_event(cluster: &mut Cluster<Self>, node: usize, event: NodeEvent) {
        if event == NodeEvent::Drained {
            let life = cluster.nodes[node].life;
            cluster.at(cluster.now, Due::NodeStops { node, life });
        }
    }

    /// The application follows the stream of its session from there on.
    fn session_began(
        cluster: &mut Cluster<Self>,
        client: usize,
        session: SessionId,
        position: Position,
    ) {
        let stream = Stream::Session(session);
        cluster.env.apps[client].queue.push_back(Item::Begin { stream, position });
        cluster.take_soon(client);
    }

    fn drops(cluster: &mut Cluster<Self>, client: usize, id: ConnectionId, code: CloseCode) {
        cluster.check_code(client, code, "the client drops its transport");
        cluster.env.apps[client].dropped_good = cluster.is_good(id);
    }

    fn closes(cluster: &mut Cluster<Self>, _: usize, id: ConnectionId, frame: &CloseFrame) {
        cluster.check_close(id, frame.code);
    }

    fn stored(cluster: &mut Cluster<Self>, event: &StoreEvent) {
        cluster.look_at_store(event);
    }

    fn note(cluster: &mut Cluster<Self>, line: impl FnOnce() -> String) {
        cluster.note(line);
    }

    fn broken(cluster: &mut Cluster<Self>, what: String) {
        cluster.blame(what);
    }

    fn is_over(&self) -> bool {
        self.ledger.broken.is_some()
    }
}

impl Cluster<World> {
    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.env.speaks {
            self.env.transcript.note(self.now, line());
        }
    }

    fn blame(&mut self, what: impl Into<String>) {
        self.env.ledger.blame(what);
    }

    fn later(&mut self, after: Duration, due: Due) {
        self.at(self.now + after, due);
    }

    fn at(&mut self, at: Instant, due: Due) {
        self.schedule(at, due);
    }

    fn is_troubled(&self) -> bool {
        self.now < Instant::ORIGIN + self.env.plan.trouble
    }

    fn happens_here(&mut self, due: Due) {
        match due {
            Due::Store(task) => self.reach_store(task),
            Due::Doubt { node, life } if self.nodes[node].life == life => self.doubt(node),
            Due::NodeStarts { node } => self.begin_node(node),
            Due::NodeStops { node, life } if self.nodes[node].life == life => self.end_node(node),
            Due::Take { client, life } if self.clients[client].life == life => {
                self.take_some(client)
            }
            Due::Again { client, life, channel } if self.clients[client].life == life => {
                if !self.env.ends {
                    self.again(client, channel);
                }
            }
            Due::Act { client } if self.is_troubled() => {
                self.act_up(client);
                self.next_act(client);
            }
            Due::Publish if self.is_troubled() => {
                self.publish_something();
                let after = self.env.dice.millis(1, self.env.plan.idle * 3);
                self.later(after, Due::Publish);
            }
            Due::Fault if self.is_troubled() => {
                self.fault();
                self.next_fault();
            }
            Due::Snapshot => {
                self.look_at_seats();
                self.transports.retain(|_, it| it.client_end || it.node_end);
                if !self.env.ends {
                    self.later(secs(1), Due::Snapshot);
                }
            }
            // For another life, or after the trouble.
            Due::Doubt { .. }
            | Due::NodeStops { .. }
            | Due::Take { .. }
            | Due::Again { .. }
            | Due::Act { .. }
            | Due::Publish
            | Due::Fault => {}
        }
    }

    fn report(&self) -> Report {
        let mut report = Report {
            acknowledged: self.env.ledger.acknowledged() as u64,
            taken: self.env.ledger.taken,
            too_large: self.env.ledger.too_large() as u64,
            steps: self.steps,
            ..Report::default()
        };
        for client in &self.clients {
            let stats = client.session.stats();
            report.resumed += stats.sessions_resumed;
            report.refused += stats.sessions_lost;
            report.gaps += stats.gaps;
            report.duplicates += stats.duplicates;
        }
        report
    }
}
