//! A world for both halves of `relink.v1`: clients, nodes, the store that they share, and
//! everything that goes wrong in between, in virtual time and from one seed.
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
//! fate, every application has taken what is there for it, everybody sees everybody. In the third,
//! the clients leave, and nothing must be left of them. A ledger, which sees what is stored and
//! what is told, judges all along.

mod client;
mod course;
mod dice;
mod faults;
mod host;
mod ledger;
mod plan;
mod restart;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use relink::session::Frame;
use relink::{Channel, CloseCode, Instant, SessionInput};
use relink_node::{MemoryStore, NodeInput, StoreRequest, StoreRequestId};

use crate::secs;
use crate::transcript::Transcript;
use client::Client;
use dice::Dice;
use faults::Seat;
use host::Host;
use ledger::Ledger;
use plan::Plan;
pub use plan::Profile;
use wire::{Way, Wire};

/// More steps than any run takes: whoever takes more is in a loop.
const MOST_STEPS: u64 = 400_000;
/// So many lines of a failed run are shown.
const SHOWN: usize = 300;

/// What happened in a run that broke no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
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

/// A run that broke a rule, told from its end backwards as far as a person reads.
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

/// What is due at its time.
#[derive(Debug)]
enum Due {
    /// A client or a node of this life gets an input.
    Client {
        client: usize,
        life: u32,
        input: SessionInput,
    },
    Node {
        host: usize,
        life: u32,
        input: NodeInput,
    },
    /// A transport stands; a frame comes out of it; one of its ends is gone.
    Opened {
        wire: u64,
    },
    Arrives {
        wire: u64,
        way: Way,
        frame: Frame,
    },
    ClientEnd {
        wire: u64,
    },
    NodeEnd {
        wire: u64,
        code: CloseCode,
    },
    Unstuck {
        host: usize,
        wire: u64,
    },
    StoreRequest {
        host: usize,
        life: u32,
        question: StoreRequestId,
        what: StoreRequest,
    },
    Doubt {
        host: usize,
        life: u32,
    },
    NodeStarts {
        host: usize,
    },
    NodeStops {
        host: usize,
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

#[derive(Debug)]
struct World {
    now: Instant,
    dice: Dice,
    plan: Plan,
    agenda: BTreeMap<(Instant, u64), Due>,
    number: u64,
    steps: u64,
    channels: Vec<Channel>,
    clients: Vec<Client>,
    hosts: Vec<Host>,
    store: MemoryStore,
    wires: BTreeMap<u64, Wire>,
    next_wire: u64,
    ledger: Ledger,
    seats: BTreeMap<(usize, Channel), Seat>,
    /// When each stay of a member began.
    stays: BTreeMap<String, Instant>,
    stuck_before: BTreeSet<u64>,
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
    let mut world = World::new(profile, seed, false);
    world.run();
    if world.ledger.broken.is_none() {
        return Ok(world.report());
    }
    // The same once more, told aloud: words take longer than all the rest.
    let mut world = World::new(profile, seed, true);
    world.run();
    let what = world.ledger.broken.unwrap_or_else(|| "only once: it is not deterministic".into());
    Err(Failure { profile, seed, what, transcript: world.transcript })
}

impl World {
    fn new(profile: Profile, seed: u64, speaks: bool) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(profile, &mut dice);
        let store =
            MemoryStore::new(plan.history, dice.seed()).expect("the plan draws what is valid");
        let clients =
            (0..plan.clients).map(|number| Client::new(&plan, number, 0, &mut dice)).collect();
        let hosts = (0..plan.hosts).map(|_| Host::new()).collect();
        let channels = (0..plan.channels).map(|number| format!("room-{number}").into()).collect();
        let mut world = Self {
            now: Instant::ORIGIN,
            dice,
            agenda: BTreeMap::new(),
            number: 0,
            steps: 0,
            channels,
            clients,
            hosts,
            store,
            wires: BTreeMap::new(),
            next_wire: 0,
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
        world.note(|| format!("{:?}", Plan::draw(profile, &mut Dice::new(seed))));
        world
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.speaks {
            self.transcript.note(self.now, line());
        }
    }

    fn later(&mut self, after: Duration, due: Due) {
        self.at(self.now + after, due);
    }

    fn at(&mut self, at: Instant, due: Due) {
        self.number += 1;
        self.agenda.insert((at.max(self.now), self.number), due);
    }

    fn is_troubled(&self) -> bool {
        self.now < Instant::ORIGIN + self.plan.trouble
    }

    // Time.

    fn advance(&mut self, end: Instant) {
        while self.ledger.broken.is_none() {
            let Some(at) = self.next().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.steps += 1;
            if self.steps > MOST_STEPS {
                self.ledger.blame("it does ever more");
            }
            self.step();
        }
        self.now = self.now.max(end);
    }

    fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let clients = self.clients.iter().filter_map(|client| client.session.poll_timeout());
        let nodes = self.hosts.iter().filter_map(|host| host.node.as_ref()?.poll_timeout());
        clients.chain(nodes).chain(self.store.poll_timeout())
    }

    fn next(&self) -> Option<Instant> {
        let agenda = self.agenda.first_key_value().map(|((at, _), _)| *at);
        self.deadlines().chain(agenda).min()
    }

    /// What arrives is judged before a deadline of the same moment.
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
                    self.ledger.blame("i32: a client's deadline that was handled is past");
                }
            }
        }
        for host in 0..self.hosts.len() {
            if is_due(self.hosts[host].node.as_ref().and_then(|node| node.poll_timeout())) {
                self.tell_node(host, NodeInput::Timeout);
                if is_due(self.hosts[host].node.as_ref().and_then(|node| node.poll_timeout())) {
                    self.ledger.blame("i32: a node's deadline that was handled is past");
                }
            }
        }
        if is_due(self.store.poll_timeout()) {
            self.store.handle_timeout(now);
            self.spread_news();
        }
    }

    fn happens(&mut self, due: Due) {
        match due {
            Due::Client { client, life, input } => {
                if self.clients[client].life == life {
                    self.tell_client(client, input);
                }
            }
            Due::Node { host, life, input } => {
                if self.hosts[host].life == life {
                    self.tell_node(host, input);
                }
            }
            Due::Opened { wire } => self.opened(wire),
            Due::Arrives { wire, way, frame } => self.arrives(wire, way, frame),
            Due::ClientEnd { wire } => self.client_end(wire),
            Due::NodeEnd { wire, code } => self.node_end(wire, code),
            Due::Unstuck { host, wire } => self.unstuck(host, wire),
            Due::StoreRequest { host, life, question, what } => {
                self.ask_store(host, life, question, what)
            }
            Due::Doubt { host, life } => {
                if self.hosts[host].life == life {
                    self.doubt(host);
                }
            }
            Due::NodeStarts { host } => self.start_node(host),
            Due::NodeStops { host, life } => {
                if self.hosts[host].life == life {
                    self.stop_node(host);
                }
            }
            Due::Take { client, life } => {
                if self.clients[client].life == life {
                    self.take(client);
                }
            }
            Due::Again { client, life, channel } => {
                if self.clients[client].life == life && !self.ends {
                    self.again(client, channel);
                }
            }
            Due::Act { client } => {
                if self.is_troubled() {
                    self.act_up(client);
                    self.next_act(client);
                }
            }
            Due::Publish => {
                if self.is_troubled() {
                    self.publish();
                    let after = self.dice.millis(1, self.plan.idle * 3);
                    self.later(after, Due::Publish);
                }
            }
            Due::Fault => {
                if self.is_troubled() {
                    self.fault();
                    self.next_fault();
                }
            }
            Due::Snapshot => {
                self.look_at_seats();
                self.wires.retain(|_, wire| wire.client_end || wire.node_end);
                if !self.ends {
                    self.later(secs(1), Due::Snapshot);
                }
            }
        }
    }

    fn report(&self) -> Report {
        let mut report = Report {
            acknowledged: self.ledger.acknowledged() as u64,
            taken: self.ledger.taken,
            too_large: self.ledger.too_large() as u64,
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
