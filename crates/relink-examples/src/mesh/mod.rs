//! Peers that talk to each other over WebRTC, kept together by a signalling link: a state machine
//! without IO, on top of [`Roster`] and of `str0m`.
//!
//! Three layers keep a peer connected, and each leaves the work to the one before it while that can
//! do it:
//!
//! 1. The signalling link reconnects. That is relink; the mesh is notified with
//!    [`signalling_is_up`](Mesh::signalling_is_up) and
//!    [`signalling_is_down`](Mesh::signalling_is_down).
//! 2. If the connection to *one* peer is interrupted, that peer alone is
//!    [`Reconnecting`](PeerState::Reconnecting), and a restart of ICE restarts tries to mend it. It
//!    needs the signalling link, and ends with it.
//! 3. When the signalling link is back, the list of members is compared with the one before: who is
//!    still there keeps its [`PeerId`] and gets a fresh peer connection, the others have joined or
//!    left.
//!
//! Whatever happened, the configured data channels are opened again each time that a peer becomes
//! connected.

mod connection;
mod flow;
mod negotiate;
mod peer;
mod signal;
mod time;

use core::time::Duration;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use rand_core::Rng;
use relink::Instant;
use relink::session::{Member, Roster, RosterChange};
use relink_profiles::{PeerRestartConfig, RestartAction};

pub use connection::ConnectionId;
pub use peer::{DataChannel, Peer, PeerId, PeerState};
pub use signal::{Call, Signal};

use time::Time;

/// Signals of members who are not in the list yet, from all of them together.
const MAX_EARLY: usize = 64;

/// How a mesh behaves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MeshConfig {
    /// The labels of the data channels to each peer. One, `data`, by default.
    pub channels: Vec<String>,
    /// How long a fresh connection may take before the restart is climbed: 15 s by default, enough
    /// for slow networks.
    pub connect_timeout: Duration,
    /// When the connection to one peer is restarted.
    pub restart: PeerRestartConfig,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            channels: vec!["data".to_owned()],
            connect_timeout: Duration::from_secs(15),
            restart: PeerRestartConfig::default(),
        }
    }
}

/// The output of a mesh: actions and events.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Find addresses for this connection, a UDP socket each, and pass them to [`Mesh::bound`].
    Bind(ConnectionId),
    /// Let go of the sockets of this connection.
    Unbind(ConnectionId),
    /// Send this datagram.
    Transmit {
        /// From a socket of this connection.
        connection: ConnectionId,
        /// Namely the one that is bound there.
        source: SocketAddr,
        /// To there.
        destination: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// Say this to another member, through the signalling link.
    Signal {
        /// To whom.
        to: Arc<str>,
        /// What.
        signal: Signal,
    },
    /// Notify the application.
    Event(MeshEvent),
}

/// An event for the application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MeshEvent {
    /// A new member.
    Joined {
        /// Who.
        peer: PeerId,
        /// By name.
        name: Arc<str>,
    },
    /// It stands differently with a peer.
    State {
        /// Who.
        peer: PeerId,
        /// How it stood.
        from: PeerState,
        /// How it stands.
        to: PeerState,
    },
    /// The restart of one peer tries again.
    Attempt {
        /// Who.
        peer: PeerId,
        /// The number of the attempt, from 1.
        number: u32,
    },
    /// A data channel is open. Those of this label from before are dead.
    Opened(DataChannel),
    /// A message came over a data channel.
    Data {
        /// Over which.
        channel: DataChannel,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A member left.
    Left {
        /// Who.
        peer: PeerId,
        /// By name.
        name: Arc<str>,
    },
}

/// A message that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// The channel is of an earlier connection, or its peer is gone: take the one of the latest
    /// [`MeshEvent::Opened`].
    #[error("this data channel is dead; take the one that was opened last")]
    Dead,
    /// The channel has no room for so much; try again later.
    #[error("this data channel has no room for the message now")]
    Full,
}

/// The peers of one room.
pub struct Mesh<R> {
    me: Arc<str>,
    config: MeshConfig,
    roster: Roster<Arc<str>, Peer, String, ()>,
    /// Signals of members that are not in the list yet.
    early: VecDeque<(Arc<str>, Signal)>,
    signalling: bool,
    outputs: VecDeque<Output>,
    time: Time,
    rng: R,
    numbers: u64,
}

impl<R: Rng> Mesh<R> {
    /// Creates a mesh without peers, with the signalling link down. `me` is this member's name;
    /// `origin` is the time of the standard library at [`Instant::ORIGIN`].
    pub fn new(
        me: impl Into<Arc<str>>,
        config: MeshConfig,
        origin: std::time::Instant,
        rng: R,
    ) -> Self {
        Self {
            me: me.into(),
            config,
            roster: Roster::new(),
            early: VecDeque::new(),
            signalling: false,
            outputs: VecDeque::new(),
            time: Time::new(origin),
            rng,
            numbers: 0,
        }
    }

    /// The signalling link is usable, again perhaps. The list of members is to come.
    pub fn signalling_is_up(&mut self) {
        self.signalling = true;
        self.roster.reset();
    }

    /// The signalling link is lost: all restarts end. Data channels keep working.
    pub fn signalling_is_down(&mut self) {
        self.signalling = false;
        self.roster.reset();
        for name in self.names() {
            self.with(&name, Peer::rest);
        }
    }

    /// The list of members came.
    pub fn members_are(&mut self, members: impl IntoIterator<Item = Member>, now: Instant) {
        let others = members.into_iter().filter(|member| member.user != *self.me);
        self.roster.snapshot(others.map(|member| (member.user.into(), member.join, ())));
        self.reconcile(now);
    }

    /// A member joined.
    pub fn joined(&mut self, member: Member, now: Instant) {
        if member.user != *self.me {
            self.roster.joined(member.user.into(), member.join, ());
            self.reconcile(now);
        }
    }

    /// A member left.
    pub fn left(&mut self, member: Member, now: Instant) {
        self.roster.left(&member.user.into(), member.join);
        self.reconcile(now);
    }

    /// The room is left: all members are gone.
    pub fn leave(&mut self, now: Instant) {
        self.roster.clear();
        self.reconcile(now);
    }

    /// A signal of another member.
    pub fn signal(&mut self, from: &str, signal: Signal, now: Instant) {
        let from = Arc::from(from);
        if self.roster.get(&from).is_some() {
            self.heed(&from, signal, now);
        } else {
            // The list of members comes on another way, and may be slower.
            if self.early.len() >= MAX_EARLY {
                self.early.pop_front();
            }
            self.early.push_back((from, signal));
        }
    }

    /// This connection has a socket at this address.
    pub fn bound(&mut self, connection: ConnectionId, address: SocketAddr, now: Instant) {
        let Some(name) = self.owner(connection) else { return };
        let Some(connection) = self.connection(&name) else { return };
        let call = connection.call;
        if let Some(candidate) = connection.add_local(address) {
            self.say(&name, Signal::Candidate { call, candidate });
        }
        self.settle(&name, now);
    }

    /// A datagram came in at a socket of this connection.
    pub fn datagram(
        &mut self,
        connection: ConnectionId,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) {
        let Some(name) = self.owner(connection) else { return };
        if let Some(connection) = self.connection(&name) {
            connection.receive(source, destination, bytes, now);
        }
        self.settle(&name, now);
    }

    /// The network of this machine has changed: restarts the connection to a peer without waiting
    /// until it is interrupted. Without a signalling link, that is left to the reconcile.
    pub fn restart(&mut self, name: &str, now: Instant) {
        let name = Arc::from(name);
        self.try_again(&name);
        self.interrupted(&name, now);
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// The channel is dead, or full.
    pub fn send(
        &mut self,
        channel: &DataChannel,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), NotSent> {
        if !self.peer(&channel.name).is_some_and(|peer| peer.open.contains(channel)) {
            return Err(NotSent::Dead);
        }
        let connection = self.connection(&channel.name).ok_or(NotSent::Dead)?;
        let taken = connection.send(channel.channel, false, bytes);
        self.settle(&channel.name, now);
        if taken { Ok(()) } else { Err(NotSent::Full) }
    }

    /// A member who is there.
    #[must_use]
    pub fn peer(&self, name: &str) -> Option<&Peer> {
        self.roster.get(&Arc::from(name)).and_then(|member| member.value.as_ref())
    }

    /// All members, by name.
    pub fn peers(&self) -> impl Iterator<Item = (&str, &Peer)> {
        self.roster.iter().filter_map(|(name, member)| Some((&**name, member.value.as_ref()?)))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.peers().filter_map(|(_, peer)| peer.poll_timeout()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for name in self.names() {
            let Some(peer) = self.peer_mut(&name) else { continue };
            if peer.deadline.take_if(|at| *at <= now).is_some() {
                self.interrupted(&name, now);
            }
            let rung = self.with(&name, |peer| peer.restart.handle_timeout(now)).flatten();
            match rung {
                Some(RestartAction::Restart { attempt }) => self.attempt(&name, attempt, now),
                Some(RestartAction::GiveUp) => self.set_state(&name, PeerState::Failed),
                _ => {}
            }
            let Some(connection) = self.connection(&name) else { continue };
            if connection.wake.is_some_and(|at| at <= now) {
                connection.handle_timeout(now);
                self.settle(&name, now);
            }
        }
    }

    /// The next action or event.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What the list of members has changed.
    fn reconcile(&mut self, now: Instant) {
        while let Some(change) = self.roster.poll_change() {
            match change {
                RosterChange::Joined { key } => {
                    let peer = PeerId(self.number());
                    if let Some(member) = self.roster.get_mut(&key) {
                        member.value = Some(Peer::new(peer, self.config.restart));
                    }
                    self.tell(MeshEvent::Joined { peer, name: key.clone() });
                    self.greet(&key, now);
                    self.heed_early(&key, now);
                }
                RosterChange::Survived { key } => self.renew(&key, now),
                RosterChange::Left { key, value } => {
                    self.early.retain(|(name, _)| *name != key);
                    let Some(peer) = value else { continue };
                    if let Some(connection) = peer.connection() {
                        self.outputs.push_back(Output::Unbind(connection));
                    }
                    self.tell(MeshEvent::Left { peer: peer.id, name: key });
                }
                // A changed text does not matter to this layer.
                RosterChange::Updated { .. } | _ => {}
            }
        }
    }

    fn heed_early(&mut self, name: &Arc<str>, now: Instant) {
        let (theirs, others) =
            std::mem::take(&mut self.early).into_iter().partition(|(from, _)| from == name);
        self.early = others;
        let theirs: VecDeque<_> = theirs;
        for (_, signal) in theirs {
            self.heed(name, signal, now);
        }
    }
}
