//! What happens to a world, and who may be missed in it.

use relink::session::Member;
use relink::{Channel, Instant, SessionId, SessionInput};
use relink_node::NodeInput;

use super::plan::Fault;
use super::{Due, World};
use crate::secs;

/// Whether a member is seated, as the world sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    /// The transport on which it sits.
    wire: Option<u64>,
    /// Since when it has not sat there.
    away_since: Instant,
    /// When there was a reason to tell others that it left.
    excused_at: Option<Instant>,
}

impl World {
    pub(super) fn fault(&mut self) {
        let fault = self.plan.faults[self.dice.index(self.plan.faults.len())];
        let client = self.dice.index(self.clients.len());
        let host = self.dice.index(self.hosts.len());
        self.note(|| format!("--- {fault:?}: client {client}, node {host}"));
        let now = self.now;
        match fault {
            Fault::Cut => {
                if let Some(wire) = self.clients[client].wire {
                    self.cut(wire);
                }
            }
            Fault::Offline => {
                let longest = if self.dice.percent(30) { 200 } else { 25 };
                self.clients[client].offline_until = now + self.dice.secs(1, longest);
                if let Some(wire) = self.clients[client].wire {
                    self.cut(wire);
                }
            }
            Fault::Kill => {
                self.stop_node(host);
                let after = self.dice.secs(1, 30);
                self.later(after, Due::NodeStarts { host });
            }
            Fault::Drain => {
                self.hosts[host].leaves = self.dice.percent(70);
                let life = self.hosts[host].life;
                self.tell_node(host, NodeInput::Drain);
                let after = self.dice.secs(6, 30);
                self.later(after, Due::NodeStops { host, life });
                self.later(after, Due::NodeStarts { host });
            }
            Fault::Store => self.store_fails_until = now + self.dice.secs(1, 20),
            Fault::StoreEvent => self.hosts[host].deaf_until = now + self.dice.secs(1, 10),
            Fault::Behind => self.clients[client].behind_until = now + self.dice.secs(1, 40),
            Fault::Tokens => {
                let until = now + self.dice.secs(1, 30);
                if self.dice.percent(50) {
                    self.tokens_fail_until = until;
                } else {
                    self.tokens_refused_until = until;
                }
            }
            Fault::Crash => self.crash(client, true),
            Fault::Amnesia => self.crash(client, false),
            Fault::Stuck => {
                if let Some(wire) = self.clients[client].wire {
                    let host = self.wires[&wire].host;
                    if self.wires[&wire].node_end {
                        self.hosts[host].stuck.insert(wire);
                        self.stuck_before.insert(wire);
                        let after = self.dice.secs(1, 20);
                        self.later(after, Due::Unstuck { host, wire });
                    }
                }
            }
            Fault::Retry => self.tell_client(client, SessionInput::RetryNow),
        }
    }

    // Who may be missed.

    /// The store has been told that a session is in a channel.
    pub(super) fn seat_taken(&mut self, host: usize, channel: Channel, session: &SessionId) {
        let Some(client) = self.clients.iter().position(|client| client.id() == Some(session))
        else {
            return;
        };
        let wire = self.clients[client].wire;
        let here = wire
            .and_then(|wire| self.wires.get(&wire))
            .is_some_and(|wire| wire.is_whole() && wire.host == host);
        self.look_at_seat(client, &channel);
        let nowhere = Seat { wire: None, away_since: self.now, excused_at: None };
        let seat = self.seats.entry((client, channel)).or_insert(nowhere);
        // A connection that is gone already may have asked for it.
        seat.wire = if here { wire } else { seat.wire };
    }

    /// Looks at every seat: who has been away for long enough may be missed from now on.
    pub(super) fn look_at_seats(&mut self) {
        let keys: Vec<(usize, Channel)> = self.seats.keys().cloned().collect();
        for (client, channel) in keys {
            self.look_at_seat(client, &channel);
        }
        for client in &mut self.clients {
            let whole = client
                .wire
                .and_then(|wire| self.wires.get(&wire))
                .is_some_and(|wire| wire.is_whole());
            if whole && client.session.state().is_usable() {
                client.seen = self.now;
            }
        }
    }

    fn look_at_seat(&mut self, client: usize, channel: &Channel) {
        let now = self.now;
        let Some(seat) = self.seats.get_mut(&(client, channel.clone())) else { return };
        match seat.wire {
            Some(wire) if self.wires.get(&wire).is_some_and(super::wire::Wire::is_whole) => {
                seat.away_since = now
            }
            _ => {
                seat.wire = None;
                // The world looks once in a second, and the grace counts from when the node
                // noticed.
                if now - seat.away_since >= secs(28) {
                    seat.excused_at = Some(now);
                }
            }
        }
    }

    pub(super) fn excuse(&mut self, client: usize, channel: &Channel) {
        let nowhere = Seat { wire: None, away_since: self.now, excused_at: None };
        self.seats.entry((client, channel.clone())).or_insert(nowhere).excused_at = Some(self.now);
    }

    pub(super) fn excuse_all(&mut self, client: usize) {
        for channel in self.channels.clone() {
            self.excuse(client, &channel);
        }
    }

    /// Somebody is told that a member left.
    pub(super) fn check_left(&mut self, observer: usize, channel: &Channel, member: &Member) {
        let Some(client) = self.clients.iter().position(|client| client.user == member.user) else {
            return;
        };
        self.look_at_seat(client, channel);
        let seat = self.seats.get(&(client, channel.clone())).copied();
        let began = self.stays.get(&member.join).copied();
        // A join may be slow to come to the store, and the reason to leave overtake it.
        let is_excused = seat.and_then(|seat| seat.excused_at).map(|at| at + secs(15)) >= began;
        if !self.ends && self.plan.lasting && !is_excused {
            self.ledger.blame(format!(
                "a09: client {observer} is told that {} left {channel}, who was back in time (in since {began:?}, {seat:?})",
                member.user
            ));
        }
    }
}
