//! The three parts of a run: trouble, rest, and the end.

use std::time::Duration;

use relink::{CloseCode, Instant, SessionInput};
use relink_node::Stream;

use super::client::Client;
use super::{Due, World};
use crate::secs;

/// The longest that a world may take to come to rest.
const REST: Duration = secs(900);

impl World {
    pub(super) fn run(&mut self) {
        self.begin();
        let trouble = Instant::ORIGIN + self.plan.trouble;
        self.advance(trouble);
        self.note(|| "--- the trouble is over".into());
        self.mend();
        let rests = self.rest(trouble + REST, Self::is_at_rest);
        if !rests {
            let why = self.unrest();
            self.ledger.blame(format!("it does not come to rest: {why}"));
        }
        self.ledger.close();
        self.leave();
    }

    fn begin(&mut self) {
        (0..self.hosts.len()).for_each(|host| self.start_node(host));
        for client in 0..self.clients.len() {
            let channel = self.channels[0].clone();
            self.subscribe(client, channel, None);
            let after = self.dice.secs(0, 3);
            self.later(after, Due::Client { client, life: 0, input: SessionInput::Connect });
            self.next_act(client);
        }
        self.later(secs(1), Due::Snapshot);
        self.later(secs(3), Due::Publish);
        self.next_fault();
    }

    pub(super) fn next_act(&mut self, client: usize) {
        let after = self.dice.millis(1, self.plan.idle * 2);
        self.later(after, Due::Act { client });
    }

    pub(super) fn next_fault(&mut self) {
        let after = self.dice.millis(1, self.plan.calm * 2);
        self.later(after, Due::Fault);
    }

    /// Nobody stays away, stuck or behind.
    fn mend(&mut self) {
        let now = self.now;
        for client in &mut self.clients {
            client.offline_until = now;
            client.behind_until = client.behind_until.min(now + secs(5));
        }
        for host in 0..self.hosts.len() {
            self.later(secs(31), Due::NodeStarts { host });
        }
    }

    fn is_at_rest(&mut self) -> bool {
        self.clients.iter().all(Client::is_settled) && self.unrest().is_empty()
    }

    /// What is not as it should be in the end.
    fn unrest(&mut self) -> String {
        for number in 0..self.clients.len() {
            let client = &self.clients[number];
            if !client.is_settled() {
                let (waiting, flying) =
                    (client.session.outbox().len(), client.session.outbox().in_flight());
                let standings: Vec<_> = client.session.subscriptions().collect();
                return format!(
                    "client {number} is {:?}, {waiting} wait and {flying} are in flight, {standings:?}",
                    client.session.state()
                );
            }
            let own = client.id().cloned().map(Stream::Session);
            let streams: Vec<Stream> =
                client.wants.iter().cloned().map(Stream::Channel).chain(own).collect();
            for stream in streams {
                let (top, cursor) = (self.top(&stream), self.ledger.cursor(number, &stream));
                if top != cursor {
                    return format!(
                        "client {number} is at {cursor:?} of {stream:?}, whose top is {top:?}"
                    );
                }
            }
        }
        for channel in self.channels.iter().take(2) {
            let seated: Vec<&Client> =
                self.clients.iter().filter(|client| client.is_active(channel)).collect();
            let mut users: Vec<&str> = seated.iter().map(|client| client.user.as_str()).collect();
            users.sort_unstable();
            for client in &seated {
                let mut seen: Vec<String> =
                    client.session.members(channel).into_iter().map(|member| member.user).collect();
                seen.sort_unstable();
                if seen != users {
                    return format!(
                        "a09: {} sees {seen:?} in {channel}, and there are {users:?}",
                        client.user
                    );
                }
            }
        }
        String::new()
    }

    /// Everybody goes: some say so, some just end. In the end nothing is left of them.
    fn leave(&mut self) {
        if self.ledger.broken.is_some() {
            return;
        }
        self.ends = true;
        self.note(|| "--- everybody leaves".into());
        for number in 0..self.clients.len() {
            if self.dice.percent(50) {
                self.tell_client(number, SessionInput::Close(CloseCode::NORMAL.into()));
            } else if let Some(wire) = self.clients[number].wire {
                self.cut(wire);
                self.tell_client(number, SessionInput::Close(CloseCode::NORMAL.into()));
            }
        }
        let long = self.plan.history.max_age.max(self.plan.history.session_ttl) * 2;
        let end = self.now + long + secs(200);
        self.rest(end, |world| world.store.sessions() == 0 && world.store.streams() == 0);
        let (sessions, streams) = (self.store.sessions(), self.store.streams());
        if sessions + streams > 0 {
            self.ledger
                .blame(format!("{sessions} sessions and {streams} streams are left in the store"));
        }
        self.advance(self.now + secs(120));
        for host in 0..self.hosts.len() {
            let Some(node) = &self.hosts[host].node else { continue };
            let (stats, timer) = (node.stats(), node.poll_timeout());
            let left = stats.connections + stats.unhandled + stats.outbound_bytes;
            if left > 0 || timer.is_some() {
                self.ledger
                    .blame(format!("node {host} keeps something of those who are gone: {node:?}"));
            }
        }
    }

    /// Lets time pass until it is so, and says whether it came to be so.
    fn rest(&mut self, end: Instant, so: impl Fn(&mut Self) -> bool) -> bool {
        while self.ledger.broken.is_none() {
            if so(self) {
                return true;
            }
            if self.now >= end {
                return false;
            }
            self.advance(self.now + secs(5));
        }
        true
    }
}
