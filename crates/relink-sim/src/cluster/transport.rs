//! Transports between clients and nodes.

use std::time::Duration;

use relink::link::TransportId;
use relink::session::Frame;
use relink::{CloseCode, Failure, Instant, Message, SessionInput};
use relink_node::{ConnectionId, NodeInput};
use relink_v1::{ClientFrame, Codec, ServerFrame};

use super::{Cluster, Due, Environment};

/// A direction of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a transport has two directions")]
pub enum Direction {
    /// From the client.
    ToNode,
    /// From the node.
    ToClient,
}

#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) client: usize,
    pub(crate) id: TransportId,
    pub(crate) node: usize,
    life: u32,
    /// What each end believes.
    pub(crate) client_end: bool,
    pub(crate) node_end: bool,
    /// Nothing passes any more.
    pub(crate) is_cut: bool,
    pub(crate) latency: Duration,
    /// Nothing arrives before what was sent before it.
    floors: [Instant; 2],
}

impl Transport {
    /// Returns true while both ends are there, and joined.
    pub(crate) const fn is_whole(&self) -> bool {
        self.client_end && self.node_end && !self.is_cut
    }
}

impl<E: Environment> Cluster<E> {
    /// Leads a client's dial to a node. The transport opens at this moment, if nothing happens to
    /// it before; frames take at least the latency.
    pub fn dial(
        &mut self,
        client: usize,
        id: TransportId,
        node: usize,
        opens: Instant,
        latency: Duration,
    ) -> ConnectionId {
        let connection = self.new_id();
        let transport = Transport {
            client,
            id,
            node,
            life: self.nodes[node].life,
            client_end: true,
            node_end: false,
            is_cut: false,
            latency,
            floors: [Instant::ORIGIN; 2],
        };
        self.transports.insert(connection, transport);
        self.clients[client].transport = Some(connection);
        self.push(opens, Due::Opened { id: connection });
        connection
    }

    pub(super) fn new_id(&mut self) -> ConnectionId {
        let id = ConnectionId(self.next_id);
        self.next_id += 1;
        id
    }

    /// Refuses a client's dial at this moment.
    pub fn refuse(&mut self, client: usize, id: TransportId, at: Instant) {
        let (failure, detail) = (Failure::Refused, String::new());
        let input = SessionInput::Failed { id, failure, detail, location: None };
        self.tell_client_at(at, client, input);
    }

    /// The transport stands, unless one of its ends is gone.
    pub(super) fn opened(&mut self, connection: ConnectionId) {
        let Some(transport) = self.transports.get_mut(&connection).filter(|it| it.client_end)
        else {
            return;
        };
        let (client, id, node) = (transport.client, transport.id, transport.node);
        if self.nodes[node].life != transport.life || transport.is_cut {
            return self.client_end(connection);
        }
        transport.node_end = true;
        let user = self.is_user_known.then(|| self.clients[client].user.clone());
        self.tell_node(node, NodeInput::Opened { id: connection, user });
        self.tell_client(client, SessionInput::Opened { id });
    }

    /// Returns when a frame arrives that is handed to a transport now and travels for this long:
    /// never before an earlier one.
    pub(crate) fn arrival(&self, id: ConnectionId, way: Direction, travel: Duration) -> Instant {
        let floor = self.transports.get(&id).map_or(self.now, |it| it.floors[way as usize]);
        (self.now + travel).max(floor)
    }

    /// Lets a frame arrive after it has travelled for this long, behind those that were sent before
    /// it.
    pub fn deliver(&mut self, id: ConnectionId, way: Direction, frame: Frame, travel: Duration) {
        let at = self.arrival(id, way, travel);
        if let Some(transport) = self.transports.get_mut(&id) {
            transport.floors[way as usize] = at;
        }
        self.deliver_at(at, id, way, frame);
    }

    /// Lets a frame arrive at this moment, whatever is on its way before it or behind it.
    pub fn deliver_at(&mut self, at: Instant, id: ConnectionId, way: Direction, frame: Frame) {
        self.push(at, Due::Arrives { id, way, frame });
    }

    /// A frame comes out at the other end.
    pub(super) fn arrives(&mut self, connection: ConnectionId, way: Direction, frame: Frame) {
        let Some(transport) = self.transports.get(&connection).filter(|it| !it.is_cut) else {
            return;
        };
        let (client, id, node) = (transport.client, transport.id, transport.node);
        match way {
            Direction::ToClient if transport.client_end => {
                E::note(self, || {
                    format!("transport {}: client {client} <- {}", connection.0, words(&frame, way))
                });
                self.tell_client(client, SessionInput::Frame { id, frame });
            }
            Direction::ToNode if transport.node_end => {
                E::note(self, || {
                    format!("transport {}: node {node} <- {}", connection.0, words(&frame, way))
                });
                self.hear(node, connection, frame);
            }
            Direction::ToClient | Direction::ToNode => {}
        }
    }

    /// The client drops its end; what it has written still arrives, if anything does.
    pub(super) fn client_lets_go(&mut self, id: ConnectionId, code: CloseCode) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        transport.client_end = false;
        if transport.is_cut {
            return;
        }
        let latency = transport.latency;
        let at = self.arrival(id, Direction::ToNode, latency);
        self.push(at, Due::NodeEnd { id, code });
    }

    /// The node's end is gone: it was notified, or it closed.
    pub(super) fn node_end(&mut self, id: ConnectionId, code: CloseCode) {
        let Some(transport) = self.transports.get_mut(&id).filter(|it| it.node_end) else { return };
        transport.node_end = false;
        let node = transport.node;
        self.nodes[node].unread.remove(&id);
        self.nodes[node].stuck.remove(&id);
        self.tell_node(node, NodeInput::Closed { id, code });
    }

    pub(super) fn client_end(&mut self, connection: ConnectionId) {
        let Some(transport) = self.transports.get_mut(&connection).filter(|it| it.client_end)
        else {
            return;
        };
        transport.client_end = false;
        let (client, id) = (transport.client, transport.id);
        let (failure, detail) = (Failure::Reset, String::new());
        self.tell_client(client, SessionInput::Failed { id, failure, detail, location: None });
    }

    /// Cuts a transport: nothing passes any more. Each end notices at its time, or without one by
    /// its heartbeat.
    pub fn cut(&mut self, id: ConnectionId, client: Option<Instant>, node: Option<Instant>) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        transport.is_cut = true;
        if let Some(at) = client {
            self.push(at, Due::ClientEnd { id });
        }
        if let Some(at) = node {
            self.push(at, Due::NodeEnd { id, code: CloseCode::ABNORMAL });
        }
    }

    /// The node's socket of a connection takes nothing until this moment. Returns false if the
    /// connection is gone.
    pub fn stick(&mut self, id: ConnectionId, until: Instant) -> bool {
        let Some(transport) = self.transports.get(&id).filter(|it| it.node_end) else {
            return false;
        };
        let node = transport.node;
        self.nodes[node].stuck.insert(id);
        self.push(until, Due::Unstuck { id });
        true
    }

    /// The transport that a client has, or that it opens.
    pub fn transport(&self, client: usize) -> Option<ConnectionId> {
        self.clients[client].transport
    }
}

/// A frame for display.
pub(crate) fn words(frame: &Frame, way: Direction) -> String {
    let Frame::Message(message) = frame else { return crate::transcript::frame(frame) };
    let inner = |message: &Message| String::from_utf8_lossy(message.as_bytes()).into_owned();
    match way {
        Direction::ToNode => match ClientFrame::decode(message) {
            Ok((ClientFrame::Message { serial, payload, .. }, _)) => {
                format!("message {serial:?} {:?}", inner(&payload))
            }
            Ok((frame, _)) => format!("{frame:?}"),
            Err(error) => format!("{error:?}"),
        },
        Direction::ToClient => match ServerFrame::decode(message) {
            Ok((ServerFrame::Publication { channel, offset, payload }, _)) => {
                format!("publication {channel:?} {offset} {:?}", inner(&payload))
            }
            Ok((frame, _)) => format!("{frame:?}"),
            Err(error) => format!("{error:?}"),
        },
    }
}
