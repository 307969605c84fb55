//! Which connection is negotiated when, and by whom.

use std::sync::Arc;

use rand_core::Rng;
use relink::Instant;

use super::connection::{Connection, ConnectionId};
use super::peer::{Peer, PeerState};
use super::signal::{Call, Signal};
use super::{Mesh, MeshEvent, Output};

impl<R: Rng> Mesh<R> {
    /// A new member: the one whose name comes first makes the offer.
    pub(super) fn greet(&mut self, name: &Arc<str>, now: Instant) {
        self.expect_connection(name, now);
        if self.offers_to(name) {
            self.offer_fresh(name, now);
        }
    }

    /// A member is still there, after a time in which nothing could be negotiated: a new connection
    /// for the same peer (layer 3).
    pub(super) fn renew(&mut self, name: &Arc<str>, now: Instant) {
        self.try_again(name);
        self.expect_connection(name, now);
        if self.offers_to(name) {
            return self.offer_fresh(name, now);
        }
        let last = self.last_offer(name);
        self.drop_connection(name);
        self.say(name, Signal::Wanted { last, fresh: true });
    }

    /// One attempt of a peer's restarts (layer 2).
    pub(super) fn attempt(&mut self, name: &Arc<str>, number: u32, now: Instant) {
        if let Some(peer) = self.peer(name).map(|peer| peer.id) {
            self.tell(MeshEvent::Attempt { peer, number });
        }
        let fresh = self
            .connection(name)
            .is_none_or(|connection| !connection.is_established || connection.is_broken);
        match (self.offers_to(name), fresh) {
            (true, true) => self.offer_fresh(name, now),
            (true, false) => self.offer_restart(name, now),
            (false, fresh) => {
                let last = self.last_offer(name);
                self.say(name, Signal::Wanted { last, fresh });
            }
        }
    }

    /// Handles a signal of another member.
    pub(super) fn heed(&mut self, name: &Arc<str>, signal: Signal, now: Instant) {
        match signal {
            // It is not theirs to offer, or to ask; two who both did would talk past each other.
            Signal::Offer { .. } if self.offers_to(name) => {}
            Signal::Wanted { .. } if !self.offers_to(name) => {}
            Signal::Offer { call, round, sdp } => self.heed_offer(name, (call, round), &sdp, now),
            Signal::Answer { call, round, sdp } => {
                if let Some(connection) =
                    self.connection(name).filter(|connection| connection.call == call)
                {
                    connection.accept_answer(round, &sdp);
                }
            }
            Signal::Candidate { call, candidate } => {
                if let Some(connection) =
                    self.connection(name).filter(|connection| connection.call == call)
                {
                    connection.add_remote(&candidate);
                }
            }
            Signal::Wanted { last, fresh } => {
                // A newer offer than the one they know is on its way.
                if last.is_some() && last != self.last_offer(name) {
                    return;
                }
                self.leave_connected(name);
                if fresh || last.is_none() {
                    self.expect_connection(name, now);
                    self.offer_fresh(name, now);
                } else {
                    self.offer_restart(name, now);
                }
            }
        }
        self.settle(name, now);
    }

    fn heed_offer(&mut self, name: &Arc<str>, offer: (Call, u32), sdp: &str, now: Instant) {
        let (call, round) = offer;
        self.leave_connected(name);
        let known = self.connection(name).filter(|connection| connection.call == call);
        let answer = if let Some(connection) = known {
            connection.accept_offer(round, sdp)
        } else {
            self.expect_connection(name, now);
            let id = ConnectionId(self.number());
            let (connection, answer) = Connection::answer(id, offer, sdp, self.time, now);
            self.put_connection(name, connection);
            answer
        };
        if let Some(sdp) = answer {
            self.say(name, Signal::Answer { call, round, sdp });
        }
    }

    fn offer_fresh(&mut self, name: &Arc<str>, now: Instant) {
        let (id, call) = (ConnectionId(self.number()), self.rng.next_u32());
        let (connection, offer) =
            Connection::offer(id, call, &self.config.channels, self.time, now);
        self.put_connection(name, connection);
        if let Some(sdp) = offer {
            self.say(name, Signal::Offer { call, round: 0, sdp });
        }
        self.settle(name, now);
    }

    fn offer_restart(&mut self, name: &Arc<str>, now: Instant) {
        let Some(connection) = self.connection(name) else { return self.offer_fresh(name, now) };
        let offer = connection.restart();
        let (call, round) = (connection.call, connection.round);
        if let Some(sdp) = offer {
            self.say(name, Signal::Offer { call, round, sdp });
        }
        self.settle(name, now);
    }

    /// Whether this side makes the offers to a peer.
    fn offers_to(&self, name: &Arc<str>) -> bool {
        self.me < *name
    }

    fn last_offer(&mut self, name: &Arc<str>) -> Option<(Call, u32)> {
        self.connection(name).map(|connection| (connection.call, connection.round))
    }

    /// A new connection is being set up, with a timeout.
    fn expect_connection(&mut self, name: &Arc<str>, now: Instant) {
        let deadline = self.signalling.then(|| now + self.config.connect_timeout);
        self.with(name, |peer| {
            peer.deadline = deadline.filter(|_| !peer.restart.is_restarting());
        });
    }

    fn put_connection(&mut self, name: &Arc<str>, connection: Connection) {
        self.drop_connection(name);
        self.outputs.push_back(Output::Bind(connection.id));
        self.with(name, |peer| peer.connection = Some(connection));
    }

    fn drop_connection(&mut self, name: &Arc<str>) {
        if let Some(connection) = self.with(name, |peer| peer.connection.take()).flatten() {
            self.outputs.push_back(Output::Unbind(connection.id));
        }
    }

    /// Whatever became of it so far.
    pub(super) fn try_again(&mut self, name: &Arc<str>) {
        self.with(name, Peer::rest);
        self.leave_connected(name);
        if self.peer(name).is_some_and(|peer| peer.state == PeerState::Failed) {
            self.set_state(name, PeerState::Reconnecting);
        }
    }

    /// What was connected is not any more, and its channels are dead.
    pub(super) fn leave_connected(&mut self, name: &Arc<str>) {
        self.with(name, |peer| peer.open.clear());
        if self.peer(name).is_some_and(|peer| peer.state == PeerState::Connected) {
            self.set_state(name, PeerState::Reconnecting);
        }
    }
}
