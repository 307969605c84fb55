//! One guest of a room.

use std::net::{IpAddr, Ipv4Addr};

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use relink::session::PresenceEvent;
use relink::{Channel, ClosedReason, Instant, Outgoing, Subscription};
use relink_tokio::{BuildError, Client, Event, Events, SessionConfig, Token, builder};
use relink_v1::{Encoding, RelinkV1};
use tokio::sync::{mpsc, oneshot};

use super::lists::{WithLists, listed};
use super::sockets::Sockets;
use super::{Letter, inbox, room};
use crate::clock::Clock;
use crate::mesh::{
    ConnectionId, DataChannel, Mesh, MeshConfig, MeshEvent, NotSent, Output, PeerId, PeerState,
};

/// Who goes where.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GuestConfig {
    /// The address of the signalling server.
    pub url: String,
    /// The room.
    pub room: String,
    /// The name of the guest, one for each device.
    pub name: String,
    /// How the signalling link behaves.
    pub link: SessionConfig,
    /// How the mesh behaves.
    pub mesh: MeshConfig,
    /// The address of the sockets; loopback by default.
    pub ip: IpAddr,
}

impl GuestConfig {
    /// This guest in this room, with everything else at its default.
    #[must_use]
    pub fn new(url: impl Into<String>, room: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            room: room.into(),
            name: name.into(),
            link: relink_v1::config(),
            mesh: MeshConfig::default(),
            ip: Ipv4Addr::LOCALHOST.into(),
        }
    }
}

/// An event for a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomEvent {
    /// The signalling link is usable.
    SignallingUp {
        /// Whether it was before.
        is_reconnect: bool,
    },
    /// The signalling link is lost, and reconnects.
    SignallingDown,
    /// Something about the peers.
    Mesh(MeshEvent),
    /// The signalling link has come to its end. The last event.
    Closed(ClosedReason),
}

/// A peer, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// By name.
    pub name: String,
    /// For as long as it is there.
    pub id: PeerId,
    /// How it stands with it.
    pub state: PeerState,
    /// Its present connection.
    pub connection: Option<ConnectionId>,
    /// The channels that are open.
    pub channels: Vec<DataChannel>,
}

/// A handle to a guest that runs in a task of its own. When the last one is dropped, the guest
/// leaves.
#[derive(Debug, Clone)]
pub struct Guest {
    orders: mpsc::UnboundedSender<Order>,
}

/// What happens to a guest, in order.
#[derive(Debug)]
pub struct GuestEvents(mpsc::UnboundedReceiver<RoomEvent>);

impl GuestEvents {
    /// The next event; `None` after [`RoomEvent::Closed`]. Cancel-safe.
    pub async fn recv(&mut self) -> Option<RoomEvent> {
        self.0.recv().await
    }
}

#[derive(Debug)]
enum Order {
    Send(DataChannel, Vec<u8>, oneshot::Sender<Result<(), NotSent>>),
    Restart(String),
    Peers(oneshot::Sender<Vec<PeerInfo>>),
}

impl Guest {
    /// Enters the room. Call it inside a runtime.
    ///
    /// # Errors
    ///
    /// If the address or the configuration is invalid.
    pub fn enter(config: GuestConfig) -> Result<(Self, GuestEvents), BuildError> {
        let token = Token::from(config.name.clone());
        let (client, events) = builder(&*config.url)
            .relink_v1(Encoding::Json)
            .protocol(WithLists(RelinkV1::new(Encoding::Json)))
            .config(config.link)
            .token(move || {
                let token = token.clone();
                async move { Ok::<_, std::convert::Infallible>(token) }
            })
            .spawn()?;
        let (orders, ordered) = mpsc::unbounded_channel();
        let (told, listener) = mpsc::unbounded_channel();
        let clock = Clock::start();
        let rng = StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| StdRng::seed_from_u64(0));
        let task = Task {
            room: room(&config.room).into(),
            inbox: inbox(&config.name).into(),
            mesh: Mesh::new(config.name, config.mesh, clock.origin(), rng),
            sockets: Sockets::new(config.ip),
            client,
            told,
            clock,
            has_entered: false,
        };
        tokio::spawn(task.run(events, ordered));
        Ok((Self { orders }, GuestEvents(listener)))
    }

    /// Sends a message over a data channel.
    ///
    /// # Errors
    ///
    /// The channel is dead, or full.
    pub async fn send(
        &self,
        channel: &DataChannel,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<(), NotSent> {
        let (answer, sent) = oneshot::channel();
        _ = self.orders.send(Order::Send(channel.clone(), bytes.into(), answer));
        sent.await.unwrap_or(Err(NotSent::Dead))
    }

    /// Restarts the connection to a peer: this machine's network is another one.
    pub fn restart(&self, peer: &str) {
        _ = self.orders.send(Order::Restart(peer.to_owned()));
    }

    /// All members.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        let (answer, peers) = oneshot::channel();
        _ = self.orders.send(Order::Peers(answer));
        peers.await.unwrap_or_default()
    }
}

struct Task {
    room: Channel,
    inbox: Channel,
    mesh: Mesh<StdRng>,
    sockets: Sockets,
    client: Client,
    told: mpsc::UnboundedSender<RoomEvent>,
    clock: Clock,
    /// Whether the room was subscribed to; that lasts.
    has_entered: bool,
}

impl Task {
    async fn run(mut self, mut events: Events, mut orders: mpsc::UnboundedReceiver<Order>) {
        // Subscribed before the room, so that members who see this guest can reach it.
        self.client.subscribe(self.inbox.clone(), Subscription::default());
        loop {
            while let Some(output) = self.mesh.poll_output() {
                self.carry_out(output).await;
            }
            let due = self.mesh.poll_timeout();
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.heed(event),
                    None => return,
                },
                Some(datagram) = self.sockets.receive() => {
                    let now = self.clock.now();
                    let (source, destination) = (datagram.source, datagram.destination);
                    self.mesh.datagram(datagram.connection, source, destination, &datagram.bytes, now);
                }
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => {
                        self.client.close().await;
                        while let Some(event) = events.recv().await {
                            self.heed(event);
                        }
                        return;
                    }
                },
                () = sleep_until(due, self.clock) => self.mesh.handle_timeout(self.clock.now()),
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what does not concern the mesh")]
    fn heed(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Connected { is_reconnect } => {
                self.mesh.signalling_is_up();
                self.tell(RoomEvent::SignallingUp { is_reconnect });
            }
            Event::Disconnected { .. } => {
                self.mesh.signalling_is_down();
                self.tell(RoomEvent::SignallingDown);
            }
            Event::Subscribed { channel, .. } if channel == self.inbox && !self.has_entered => {
                self.has_entered = true;
                self.client.subscribe(self.room.clone(), Subscription::default().with_presence(""));
            }
            Event::Message(message) if listed(&message) == Some(self.room.as_str()) => {
                self.mesh.members_are(self.client.members(&self.room), now);
            }
            Event::Presence { channel, change } if channel == self.room => match change {
                PresenceEvent::Joined(member) | PresenceEvent::StayBegan(member) => {
                    self.mesh.joined(member, now);
                }
                PresenceEvent::Left(member) => self.mesh.left(member, now),
                // The mesh knows one stay of each user: it is another one from now on.
                PresenceEvent::StayEnded(_) => {
                    self.mesh.members_are(self.client.members(&self.room), now)
                }
                PresenceEvent::Updated(_) => {}
            },
            Event::Publication { channel, message, .. } if channel == self.inbox => {
                let letter =
                    message.as_text().and_then(|text| serde_json::from_str::<Letter>(text).ok());
                if let Some(letter) = letter {
                    self.mesh.signal(&letter.from, letter.signal, now);
                }
            }
            Event::Closed { reason } => {
                self.mesh.leave(now);
                self.tell_all();
                self.tell(RoomEvent::Closed(reason));
            }
            _ => {}
        }
    }

    fn obey(&mut self, order: Order) {
        let now = self.clock.now();
        match order {
            Order::Send(channel, bytes, answer) => {
                _ = answer.send(self.mesh.send(&channel, &bytes, now));
            }
            Order::Restart(peer) => self.mesh.restart(&peer, now),
            Order::Peers(answer) => {
                let info = |(name, peer): (&str, &crate::mesh::Peer)| PeerInfo {
                    name: name.to_owned(),
                    id: peer.id(),
                    state: peer.state(),
                    connection: peer.connection(),
                    channels: peer.channels().to_vec(),
                };
                _ = answer.send(self.mesh.peers().map(info).collect());
            }
        }
    }

    async fn carry_out(&mut self, output: Output) {
        match output {
            Output::Bind(connection) => {
                // Without a socket the connection does not come about, which the restarts find.
                if let Ok(address) = self.sockets.bind(connection).await {
                    self.mesh.bound(connection, address, self.clock.now());
                }
            }
            Output::Unbind(connection) => self.sockets.unbind(connection),
            Output::Transmit { connection, destination, bytes, .. } => {
                self.sockets.send(connection, destination, &bytes);
            }
            Output::Signal { to, signal } => {
                if let Ok(words) = serde_json::to_string(&signal) {
                    // If the outbox is full it is lost, which the restarts repair.
                    _ = self.client.try_send(Outgoing::from(words).on(inbox(&to)));
                }
            }
            Output::Event(event) => self.tell(RoomEvent::Mesh(event)),
        }
    }

    /// Emits the remaining events at the end.
    fn tell_all(&mut self) {
        while let Some(output) = self.mesh.poll_output() {
            if let Output::Event(event) = output {
                self.tell(RoomEvent::Mesh(event));
            }
        }
    }

    fn tell(&self, event: RoomEvent) {
        _ = self.told.send(event);
    }
}

async fn sleep_until(due: Option<Instant>, clock: Clock) {
    match due {
        Some(due) => tokio::time::sleep(due - clock.now()).await,
        None => std::future::pending().await,
    }
}
