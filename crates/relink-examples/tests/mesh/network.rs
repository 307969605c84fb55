//! Several meshes, a room and a network, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};
use relink::Instant;
use relink::session::Member;
use relink_examples::clock::Clock;
use relink_examples::mesh::{
    ConnectionId, DataChannel, Mesh, MeshConfig, MeshEvent, Output, PeerState,
};

/// How long a datagram travels.
const LATENCY: Duration = Duration::from_millis(5);

pub(crate) struct MeshNetwork {
    pub(crate) now: Instant,
    clock: Clock,
    nodes: BTreeMap<&'static str, Node>,
    /// Pairs between which no datagram passes.
    blocked: BTreeSet<(&'static str, &'static str)>,
    in_flight: Vec<(Instant, &'static str, Datagram)>,
    stays: u32,
    ports: u16,
}

struct Node {
    mesh: Mesh<StdRng>,
    join: String,
    sockets: BTreeMap<SocketAddr, ConnectionId>,
    events: Vec<(Instant, MeshEvent)>,
    /// Signals of others while the signalling link was down.
    waiting: Vec<(&'static str, String)>,
    has_link: bool,
}

struct Datagram {
    source: SocketAddr,
    destination: SocketAddr,
    bytes: Vec<u8>,
}

impl MeshNetwork {
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::ORIGIN,
            clock: Clock::start(),
            nodes: BTreeMap::new(),
            blocked: BTreeSet::new(),
            in_flight: Vec::new(),
            stays: 0,
            ports: 1_000,
        }
    }

    /// With these guests in the room, connected to each other.
    pub(crate) fn with(names: &[&'static str]) -> Self {
        let mut network = Self::new();
        names.iter().for_each(|name| network.join(name));
        network.run_until(|network| network.all_connected());
        network
    }

    pub(crate) fn join(&mut self, name: &'static str) {
        self.arrive(name);
        self.link_up(name);
    }

    /// A guest joins: the others are notified, but its own list of members has not arrived.
    pub(crate) fn arrive(&mut self, name: &'static str) {
        self.stays += 1;
        let join = format!("j{}", self.stays);
        let rng = StdRng::seed_from_u64(self.stays.into());
        let mut mesh = Mesh::new(name, MeshConfig::default(), self.clock.origin(), rng);
        mesh.signalling_is_up();
        let member = Member { user: name.to_owned(), join: join.clone(), info: None };
        let now = self.now;
        for other in self.nodes.values_mut().filter(|other| other.has_link) {
            other.mesh.joined(member.clone(), now);
        }
        let node = Node {
            mesh,
            join,
            sockets: BTreeMap::new(),
            events: Vec::new(),
            waiting: Vec::new(),
            has_link: true,
        };
        self.nodes.insert(name, node);
    }

    pub(crate) fn leave(&mut self, name: &'static str) {
        let node = self.nodes.remove(name).expect("is there");
        let member = Member { user: name.to_owned(), join: node.join, info: None };
        let now = self.now;
        for other in self.nodes.values_mut().filter(|other| other.has_link) {
            other.mesh.left(member.clone(), now);
        }
    }

    pub(crate) fn link_down(&mut self, name: &'static str) {
        let node = self.node(name);
        node.has_link = false;
        node.mesh.signalling_is_down();
    }

    /// The link is back, and earlier signals come after the list, as in a resumed session.
    pub(crate) fn link_up(&mut self, name: &'static str) {
        let member = |(name, node): (&&str, &Node)| Member {
            user: (*name).to_owned(),
            join: node.join.clone(),
            info: None,
        };
        let members: Vec<_> = self.nodes.iter().map(member).collect();
        let now = self.now;
        let node = self.node(name);
        node.has_link = true;
        node.mesh.signalling_is_up();
        node.mesh.members_are(members, now);
        for (from, signal) in std::mem::take(&mut node.waiting) {
            node.mesh.signal(from, serde_json::from_str(&signal).expect("a signal"), now);
        }
    }

    pub(crate) fn block(&mut self, one: &'static str, other: &'static str) {
        self.blocked.extend([(one, other), (other, one)]);
    }

    pub(crate) fn unblock(&mut self) {
        self.blocked.clear();
    }

    pub(crate) fn mesh(&mut self, name: &str) -> &mut Mesh<StdRng> {
        &mut self.nodes.get_mut(name).expect("is there").mesh
    }

    /// The events since the last call.
    pub(crate) fn events(&mut self, name: &'static str) -> Vec<(Instant, MeshEvent)> {
        std::mem::take(&mut self.node(name).events)
    }

    pub(crate) fn state(&self, of: &str, peer: &str) -> PeerState {
        self.nodes[of].mesh.peer(peer).expect("is there").state()
    }

    pub(crate) fn channel(&self, from: &str, to: &str) -> Option<DataChannel> {
        self.nodes[from].mesh.peer(to)?.channels().first().cloned()
    }

    /// Whether all guests are connected to each other, with open data channels.
    pub(crate) fn all_connected(&self) -> bool {
        self.nodes.values().all(|node| {
            node.mesh.peers().count() == self.nodes.len() - 1
                && node.mesh.peers().all(|(_, peer)| {
                    peer.state() == PeerState::Connected && peer.channels().len() == 1
                })
        })
    }

    /// Sends a text over the open channel, and waits until it arrives.
    pub(crate) fn says(&mut self, from: &'static str, to: &'static str, words: &str) {
        let channel = self.channel(from, to).expect("a channel is open");
        let now = self.now;
        self.mesh(from).send(&channel, words.as_bytes(), now).expect("has room");
        self.run_until(|network| {
            network.nodes[to].events.iter().any(|(_, event)| {
                matches!(event,
            MeshEvent::Data { channel, bytes } if channel.peer() == from && bytes == words.as_bytes())
            })
        });
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    pub(crate) fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let end = self.now + Duration::from_secs(60);
        self.pump();
        while !done(self) {
            assert!(self.step(end), "not within a minute");
        }
    }

    /// Advances to the next thing that happens, unless that is after `end`.
    fn step(&mut self, end: Instant) -> bool {
        self.pump();
        let timers = self.nodes.values().filter_map(|node| node.mesh.poll_timeout());
        let next = timers.chain(self.in_flight.iter().map(|(at, ..)| *at)).min();
        let Some(next) = next.map(|next| next.max(self.now)).filter(|next| *next <= end) else {
            return false;
        };
        self.now = next;
        let (due, later) =
            std::mem::take(&mut self.in_flight).into_iter().partition(|(at, ..)| *at <= next);
        self.in_flight = later;
        let due: Vec<_> = due;
        for (_, to, datagram) in due {
            let Some(node) = self.nodes.get_mut(to) else { continue };
            let Some(connection) = node.sockets.get(&datagram.destination) else { continue };
            let Datagram { source, destination, bytes } = datagram;
            node.mesh.datagram(*connection, source, destination, &bytes, next);
        }
        self.nodes.values_mut().for_each(|node| node.mesh.handle_timeout(next));
        self.pump();
        true
    }

    /// Carries out the outputs of the meshes until there are no more.
    fn pump(&mut self) {
        let names: Vec<_> = self.nodes.keys().copied().collect();
        let mut busy = true;
        while std::mem::take(&mut busy) {
            for name in &names {
                while let Some(output) =
                    self.nodes.get_mut(name).and_then(|node| node.mesh.poll_output())
                {
                    busy = true;
                    self.carry_out(name, output);
                }
            }
        }
    }

    fn carry_out(&mut self, name: &'static str, output: Output) {
        let now = self.now;
        match output {
            Output::Bind(connection) => {
                self.ports += 1;
                let address = SocketAddr::from(([10, 0, 0, 1], self.ports));
                let node = self.node(name);
                node.sockets.insert(address, connection);
                node.mesh.bound(connection, address, now);
            }
            Output::Unbind(connection) => {
                self.node(name).sockets.retain(|_, owner| *owner != connection)
            }
            Output::Transmit { source, destination, bytes, .. } => {
                let owner =
                    self.nodes.iter().find(|(_, node)| node.sockets.contains_key(&destination));
                let Some(to) = owner.map(|(to, _)| *to) else { return };
                if !self.blocked.contains(&(name, to)) {
                    self.in_flight.push((
                        now + LATENCY,
                        to,
                        Datagram { source, destination, bytes },
                    ));
                }
            }
            Output::Signal { to, signal } => {
                // Through JSON, as over the link.
                let words = serde_json::to_string(&signal).expect("a signal");
                let Some((_, node)) = self.nodes.iter_mut().find(|(name, _)| ***name == *to) else {
                    return;
                };
                if node.has_link {
                    node.mesh.signal(name, serde_json::from_str(&words).expect("a signal"), now);
                } else {
                    node.waiting.push((name, words));
                }
            }
            Output::Event(event) => self.node(name).events.push((now, event)),
            _ => {}
        }
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(name).expect("is there")
    }
}
