//! What happens to a world, and who may be missed in it.

use relink::session::Member;
use relink::{Channel, Instant, SessionId, SessionInput};
use relink_node::{ConnectionId, NodeInput};

use super::plan::Fault;
use super::{Due, World};
use crate::cluster::{Cluster, Transport};
use crate::secs;

/// Whether a member is seated, as the world sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    /// The transport on which it sits.
    transport: Option<ConnectionId>,
    /// Since when it has not sat there.
    away_since: Instant,
    /// When there was a reason to report that it left.
    excused_at: Option<Instant>,
}

impl Cluster<World> {
    pub(super) fn fault(&mut self) {
        let fault = self.env.plan.faults[self.env.dice.index(self.env.plan.faults.len())];
        let client = self.env.dice.index(self.clients.len());
        let node = self.env.dice.index(self.nodes.len());
        self.note(|| format!("--- {fault:?}: client {client}, node {node}"));
        let now = self.now;
        match fault {
            Fault::Cut => {
                if let Some(id) = self.transport(client) {
                    self.cut_somehow(id);
                }
            }
            Fault::Offline => {
                let longest = if self.env.dice.percent(30) { 200 } else { 25 };
                self.env.apps[client].offline_until = now + self.env.dice.secs(1, longest);
                if let Some(id) = self.transport(client) {
                    self.cut_somehow(id);
                }
            }
            Fault::Kill => {
                self.end_node(node);
                let after = self.env.dice.secs(1, 30);
                self.later(after, Due::NodeStarts { node });
            }
            Fault::Drain => {
                self.env.places[node].leaves = self.env.dice.percent(70);
                let life = self.nodes[node].life;
                self.tell_node(node, NodeInput::Drain);
                let after = self.env.dice.secs(6, 30);
                self.later(after, Due::NodeStops { node, life });
                self.later(after, Due::NodeStarts { node });
            }
            Fault::Store => self.env.store_fails_until = now + self.env.dice.secs(1, 20),
            Fault::StoreEvent => self.env.places[node].deaf_until = now + self.env.dice.secs(1, 10),
            Fault::Behind => self.env.apps[client].behind_until = now + self.env.dice.secs(1, 40),
            Fault::Tokens => {
                let until = now + self.env.dice.secs(1, 30);
                if self.env.dice.percent(50) {
                    self.env.tokens_fail_until = until;
                } else {
                    self.env.tokens_refused_until = until;
                }
            }
            Fault::Crash => self.crash(client, true),
            Fault::Amnesia => self.crash(client, false),
            Fault::Stuck => {
                let id = self.transport(client).filter(|id| {
                    self.transports.get(id).is_some_and(|transport| transport.node_end)
                });
                if let Some(id) = id {
                    self.env.stuck_before.insert(id);
                    let after = self.env.dice.secs(1, 20);
                    self.stick(id, now + after);
                }
            }
            Fault::Retry => self.tell_client(client, SessionInput::RetryNow),
        }
    }

    // Who may be missed.

    /// The store was told that a session is in a channel.
    pub(super) fn seat_taken(&mut self, node: usize, channel: Channel, session: &SessionId) {
        let Some(client) =
            self.clients.iter().position(|client| client.known.as_ref() == Some(session))
        else {
            return;
        };
        let id = self.transport(client);
        let here = id
            .and_then(|id| self.transports.get(&id))
            .is_some_and(|transport| transport.is_whole() && transport.node == node);
        self.look_at_seat(client, &channel);
        let nowhere = Seat { transport: None, away_since: self.now, excused_at: None };
        let seat = self.env.seats.entry((client, channel)).or_insert(nowhere);
        // A connection that is gone already may have asked for it.
        seat.transport = if here { id } else { seat.transport };
    }

    /// Looks at every seat: who has been away for long enough may be missed from now on.
    pub(super) fn look_at_seats(&mut self) {
        let keys: Vec<(usize, Channel)> = self.env.seats.keys().cloned().collect();
        for (client, channel) in keys {
            self.look_at_seat(client, &channel);
        }
        for (client, app) in self.clients.iter().zip(&mut self.env.apps) {
            let transport = client.transport.and_then(|id| self.transports.get(&id));
            let is_whole = transport.is_some_and(Transport::is_whole);
            if is_whole && client.session.state().is_usable() {
                app.seen = self.now;
            }
        }
    }

    fn look_at_seat(&mut self, client: usize, channel: &Channel) {
        let now = self.now;
        let Some(seat) = self.env.seats.get_mut(&(client, channel.clone())) else { return };
        match seat.transport {
            Some(id) if self.transports.get(&id).is_some_and(Transport::is_whole) => {
                seat.away_since = now
            }
            _ => {
                seat.transport = None;
                // The world looks once in a second, and the grace counts from when the node
                // noticed.
                if now - seat.away_since >= secs(28) {
                    seat.excused_at = Some(now);
                }
            }
        }
    }

    pub(super) fn excuse(&mut self, client: usize, channel: &Channel) {
        let nowhere = Seat { transport: None, away_since: self.now, excused_at: None };
        self.env.seats.entry((client, channel.clone())).or_insert(nowhere).excused_at =
            Some(self.now);
    }

    pub(super) fn excuse_all(&mut self, client: usize) {
        for channel in self.env.channels.clone() {
            self.excuse(client, &channel);
        }
    }

    /// A member was reported as having left.
    pub(super) fn check_left(&mut self, observer: usize, channel: &Channel, member: &Member) {
        let Some(client) = self.clients.iter().position(|client| client.user == member.user) else {
            return;
        };
        self.look_at_seat(client, channel);
        let seat = self.env.seats.get(&(client, channel.clone())).copied();
        let began = self.env.stays.get(&member.join).copied();
        // A join may be slow to come to the store, and the reason to leave overtake it.
        let is_excused = seat.and_then(|seat| seat.excused_at).map(|at| at + secs(15)) >= began;
        if !self.env.ends && self.env.plan.lasting && !is_excused {
            self.blame(format!(
                "a09: client {observer} is told that {} left {channel}, who was back in time (in since {began:?}, {seat:?})",
                member.user
            ));
        }
    }
}
