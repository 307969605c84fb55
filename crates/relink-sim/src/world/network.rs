//! What goes wrong between clients and nodes.

use std::time::Duration;

use relink::CloseCode;
use relink::link::TransportId;
use relink::session::Frame;
use relink_node::ConnectionId;
use relink_v1::{ClientFrame, Codec, ServerFrame};

use super::World;
use super::dice::Dice;
use crate::cluster::{Cluster, Direction, words};

/// Which frames are affected by faults of a transport. One kind for each: a loss and a duplicate
/// would cancel out in a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Faithful,
    Loses,
    Doubles,
    Delays,
}

/// How likely a frame suffers on a transport that is not faithful, in percent.
const SUFFERS: u64 = 8;

impl Cluster<World> {
    /// A client dials.
    pub(super) fn lead(&mut self, client: usize, id: TransportId) {
        let took = self.env.dice.millis(5, 400);
        let opens = self.now + took;
        let node = self.env.dice.index(self.nodes.len());
        let is_offline = self.env.apps[client].offline_until > self.now;
        if is_offline || self.env.places[node].leaves || !self.is_running(node) {
            return self.refuse(client, id, opens);
        }
        let faulty = self.is_troubled() && self.env.dice.percent(self.env.plan.faulty_wires);
        let manners = [Manner::Loses, Manner::Doubles, Manner::Delays];
        let manner = if faulty { self.env.dice.pick(&manners) } else { Manner::Faithful };
        let latency = Duration::from_millis(self.env.dice.pick(&[1, 20, 150]));
        let connection = self.dial(client, id, node, opens, latency);
        let number = connection.0;
        self.note(|| format!("transport {number}: client {client} dials node {node} ({manner:?})"));
        self.env.manners.insert(connection, manner);
    }

    /// One end hands a frame to the transport.
    pub(super) fn send_over(&mut self, id: ConnectionId, way: Direction, frame: Frame) {
        let troubled = self.is_troubled();
        let Some(transport) = self.transports.get(&id).filter(|it| !it.is_cut) else { return };
        let latency = u64::try_from(transport.latency.as_millis()).unwrap_or(0);
        let travel = Duration::from_millis(latency + self.env.dice.below(latency + 1));
        let usual = self.env.manners.get(&id).copied().unwrap_or(Manner::Faithful);
        let manner =
            if troubled && self.env.dice.percent(SUFFERS) { usual } else { Manner::Faithful };
        let manner = if suffers(manner, way, &frame) { manner } else { Manner::Faithful };
        if manner != Manner::Faithful {
            let number = id.0;
            self.note(|| format!("transport {number}: {way:?} {manner:?}: {}", words(&frame, way)));
        }
        match manner {
            Manner::Loses => {}
            // What is sent meanwhile overtakes it.
            Manner::Delays => {
                let behind = self.arrival(id, way, travel) + self.env.dice.millis(1, 300);
                self.deliver_at(behind, id, way, frame);
            }
            Manner::Doubles => {
                self.deliver(id, way, frame.clone(), travel);
                self.deliver(id, way, frame, travel);
            }
            Manner::Faithful => self.deliver(id, way, frame, travel),
        }
    }

    /// Cuts a transport. Each end notices at once, late, or by its heartbeat.
    pub(super) fn cut_somehow(&mut self, id: ConnectionId) {
        if !self.transports.contains_key(&id) {
            return;
        }
        let notices = |dice: &mut Dice| match dice.below(4) {
            0 | 1 => Some(Duration::ZERO),
            2 => Some(dice.millis(1, 8_000)),
            _ => None,
        };
        let (client, node) = (notices(&mut self.env.dice), notices(&mut self.env.dice));
        self.note(|| {
            let number = id.0;
            format!(
                "transport {number} is cut; the client notices after {client:?}, the node after {node:?}"
            )
        });
        let now = self.now;
        self.cut(id, client.map(|after| now + after), node.map(|after| now + after));
    }

    pub(super) fn check_code(&mut self, client: usize, code: CloseCode, what: &str) {
        if matches!(code.0, 1002 | 1003 | 1007 | 1008 | 1009) {
            self.blame(format!("client {client}: {what} with {code}"));
        }
    }
}

/// Whether such a frame is affected. Those that open, close and list members are only lost with
/// their transport: a WebSocket cannot lose them, and the subprotocol counts the others.
fn suffers(manner: Manner, way: Direction, frame: &Frame) -> bool {
    let Frame::Message(message) = frame else { return false };
    let once = manner == Manner::Loses;
    match way {
        Direction::ToNode => match ClientFrame::decode(message) {
            Ok((ClientFrame::Message { .. }, _)) => true,
            Ok((ClientFrame::Heartbeat { .. }, _)) => once,
            _ => false,
        },
        Direction::ToClient => match ServerFrame::decode(message) {
            Ok((ServerFrame::Publication { .. }, _)) => true,
            Ok((ServerFrame::HeartbeatAck { .. }, _)) => once,
            _ => false,
        },
    }
}
