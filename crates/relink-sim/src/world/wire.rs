//! Transports between clients and nodes, and what goes wrong at their ends.

use std::time::Duration;

use relink::link::TransportId;
use relink::session::Frame;
use relink::{CloseCode, Failure, Instant, Message, SessionInput};
use relink_node::{ConnectionId, NodeInput};
use relink_v1::{ClientFrame, ServerFrame};

use super::{Due, World};

/// Which frames suffer at the ends of a transport. One kind of trouble for each: a loss and a
/// double of the same thing would hide each other from whoever counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Faithful,
    Loses,
    Doubles,
    Delays,
}

/// One way of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToNode,
    ToClient,
}

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) client: usize,
    pub(super) id: TransportId,
    pub(super) host: usize,
    pub(super) host_life: u32,
    /// What each end believes.
    pub(super) client_end: bool,
    pub(super) node_end: bool,
    /// Nothing passes any more.
    pub(super) is_cut: bool,
    pub(super) manner: Manner,
    latency: u64,
    /// Nothing arrives before what was sent before it.
    floors: [Instant; 2],
}

impl Wire {
    pub(super) const fn is_whole(&self) -> bool {
        self.client_end && self.node_end && !self.is_cut
    }
}

/// How likely a frame suffers on a transport that is not faithful, in percent.
const SUFFERS: u64 = 8;

impl World {
    /// A client dials.
    pub(super) fn dial(&mut self, client: usize, id: TransportId) {
        let took = self.dice.millis(5, 400);
        let host = self.dice.index(self.hosts.len());
        let life = self.clients[client].life;
        let is_offline = self.clients[client].offline_until > self.now;
        let Some(node) =
            self.hosts[host].node.as_ref().filter(|_| !is_offline && !self.hosts[host].leaves)
        else {
            let failure = Failure::Refused;
            let input = SessionInput::Failed { id, failure, detail: String::new(), location: None };
            return self.later(took, Due::Client { client, life, input });
        };
        debug_assert!(node.connections() < 1000);
        let number = self.next_wire;
        self.next_wire += 1;
        let faulty = self.is_troubled() && self.dice.percent(self.plan.faulty_wires);
        let manners = [Manner::Loses, Manner::Doubles, Manner::Delays];
        let manner = if faulty { self.dice.pick(&manners) } else { Manner::Faithful };
        let latency = self.dice.pick(&[1, 20, 150]);
        let wire = Wire {
            client,
            id,
            host,
            host_life: self.hosts[host].life,
            client_end: true,
            node_end: false,
            is_cut: false,
            manner,
            latency,
            floors: [Instant::ORIGIN; 2],
        };
        self.note(|| format!("wire {number}: client {client} dials node {host} ({manner:?})"));
        self.wires.insert(number, wire);
        self.clients[client].wire = Some(number);
        self.later(took, Due::Opened { wire: number });
    }

    /// The transport stands, unless one of its ends is gone.
    pub(super) fn opened(&mut self, number: u64) {
        let Some(wire) = self.wires.get_mut(&number).filter(|wire| wire.client_end) else { return };
        let (client, id, host) = (wire.client, wire.id, wire.host);
        if self.hosts[host].life != wire.host_life || wire.is_cut {
            wire.client_end = false;
            let (failure, detail) = (Failure::Reset, String::new());
            return self
                .tell_client(client, SessionInput::Failed { id, failure, detail, location: None });
        }
        wire.node_end = true;
        let user = (!self.plan.asks_who).then(|| self.clients[client].user.clone());
        self.tell_node(host, NodeInput::Opened { id: ConnectionId(number), user });
        self.tell_client(client, SessionInput::Opened { id });
    }

    /// One end hands a frame to the transport.
    pub(super) fn carry(&mut self, number: u64, way: Way, frame: Frame) {
        let troubled = self.is_troubled();
        let Some(wire) = self.wires.get_mut(&number) else { return };
        if wire.is_cut {
            return;
        }
        let now = self.now;
        let travel = Duration::from_millis(wire.latency + self.dice.below(wire.latency + 1));
        let at = (now + travel).max(wire.floors[way as usize]);
        let manner =
            if troubled && self.dice.percent(SUFFERS) { wire.manner } else { Manner::Faithful };
        let manner = if suffers(manner, way, &frame) { manner } else { Manner::Faithful };
        if manner != Manner::Faithful {
            self.note(|| format!("wire {number}: {way:?} {manner:?}: {}", words(&frame, way)));
        }
        match manner {
            Manner::Loses => return,
            // What is sent meanwhile overtakes it.
            Manner::Delays => {
                let behind = at + self.dice.millis(1, 300);
                return self.at(behind, Due::Arrives { wire: number, way, frame });
            }
            Manner::Doubles => {
                self.at(at, Due::Arrives { wire: number, way, frame: frame.clone() })
            }
            Manner::Faithful => {}
        }
        if let Some(wire) = self.wires.get_mut(&number) {
            wire.floors[way as usize] = at;
        }
        self.at(at, Due::Arrives { wire: number, way, frame });
    }

    /// A frame comes out at the other end.
    pub(super) fn arrives(&mut self, number: u64, way: Way, frame: Frame) {
        let Some(wire) = self.wires.get(&number).filter(|wire| !wire.is_cut) else { return };
        let (client, id, host) = (wire.client, wire.id, wire.host);
        match way {
            Way::ToClient if wire.client_end => {
                self.note(|| format!("wire {number}: client {client} <- {}", words(&frame, way)));
                self.tell_client(client, SessionInput::Frame { id, frame });
            }
            Way::ToNode if wire.node_end => {
                self.note(|| format!("wire {number}: node {host} <- {}", words(&frame, way)));
                self.hear(host, number, frame);
            }
            Way::ToClient | Way::ToNode => {}
        }
    }

    /// The client lets go of its end; what it has handed in still arrives, if anything does.
    pub(super) fn client_lets_go(&mut self, number: u64, code: CloseCode) {
        let Some(wire) = self.wires.get_mut(&number) else { return };
        wire.client_end = false;
        if wire.is_cut {
            return;
        }
        let at =
            wire.floors[Way::ToNode as usize].max(self.now + Duration::from_millis(wire.latency));
        self.at(at, Due::NodeEnd { wire: number, code });
    }

    /// The node's end is gone: it was told, or it closed.
    pub(super) fn node_end(&mut self, number: u64, code: CloseCode) {
        let Some(wire) = self.wires.get_mut(&number).filter(|wire| wire.node_end) else { return };
        wire.node_end = false;
        let (host, id) = (wire.host, ConnectionId(number));
        self.hosts[host].held.remove(&number);
        self.hosts[host].stuck.remove(&number);
        self.tell_node(host, NodeInput::Closed { id, code });
    }

    pub(super) fn client_end(&mut self, number: u64) {
        let Some(wire) = self.wires.get_mut(&number).filter(|wire| wire.client_end) else { return };
        wire.client_end = false;
        let (client, id) = (wire.client, wire.id);
        let (failure, detail) = (Failure::Reset, String::new());
        self.tell_client(client, SessionInput::Failed { id, failure, detail, location: None });
    }

    /// Cuts a transport. Each end notices at once, late, or by its heartbeat.
    pub(super) fn cut(&mut self, number: u64) {
        let Some(wire) = self.wires.get_mut(&number) else { return };
        wire.is_cut = true;
        let notices = |dice: &mut super::dice::Dice| match dice.below(4) {
            0 | 1 => Some(Duration::ZERO),
            2 => Some(dice.millis(1, 8_000)),
            _ => None,
        };
        let (client, node) = (notices(&mut self.dice), notices(&mut self.dice));
        self.note(|| {
            format!(
                "wire {number} is cut; the client notices after {client:?}, the node after {node:?}"
            )
        });
        if let Some(after) = client {
            self.later(after, Due::ClientEnd { wire: number });
        }
        if let Some(after) = node {
            self.later(after, Due::NodeEnd { wire: number, code: CloseCode::ABNORMAL });
        }
    }
}

/// Whether such a frame suffers. Those that open, close and tell of members are only lost with
/// their transport: a WebSocket has no way to lose them, and the subprotocol counts what is worth
/// counting.
fn suffers(manner: Manner, way: Way, frame: &Frame) -> bool {
    let Frame::Message(message) = frame else { return false };
    let once = manner == Manner::Loses;
    match way {
        Way::ToNode => match ClientFrame::decode(message) {
            Ok((ClientFrame::Message { .. }, _)) => true,
            Ok((ClientFrame::Heartbeat { .. }, _)) => once,
            _ => false,
        },
        Way::ToClient => match ServerFrame::decode(message) {
            Ok((ServerFrame::Publication { .. }, _)) => true,
            Ok((ServerFrame::HeartbeatAck { .. }, _)) => once,
            _ => false,
        },
    }
}

/// A frame for people.
fn words(frame: &Frame, way: Way) -> String {
    let Frame::Message(message) = frame else { return crate::transcript::frame(frame) };
    let inner = |message: &Message| String::from_utf8_lossy(message.as_bytes()).into_owned();
    match way {
        Way::ToNode => match ClientFrame::decode(message) {
            Ok((ClientFrame::Message { serial, payload, .. }, _)) => {
                format!("message {serial:?} {:?}", inner(&payload))
            }
            Ok((frame, _)) => format!("{frame:?}"),
            Err(malformed) => format!("{malformed:?}"),
        },
        Way::ToClient => match ServerFrame::decode(message) {
            Ok((ServerFrame::Publication { channel, offset, payload }, _)) => {
                format!("publication {channel:?} {offset} {:?}", inner(&payload))
            }
            Ok((frame, _)) => format!("{frame:?}"),
            Err(malformed) => format!("{malformed:?}"),
        },
    }
}
