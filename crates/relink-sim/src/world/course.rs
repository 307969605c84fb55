//! The three parts of a run: trouble, rest, and the end.

use std::time::Duration;

use relink::{CloseCode, Instant, SessionInput};
use relink_node::Stream;

use super::{Due, World};
use crate::cluster::Cluster;
use crate::secs;

/// The longest that a world may take to come to rest.
const REST: Duration = secs(900);

impl Cluster<World> {
    pub(super) fn run_to_the_end(&mut self) {
        self.begin();
        let trouble = Instant::ORIGIN + self.env.plan.trouble;
        self.advance_to(trouble);
        self.note(|| "--- the trouble is over".into());
        self.mend();
        let rests = self.rest(trouble + REST, Self::is_at_rest);
        if !rests {
            let why = self.unrest();
            self.blame(format!("it does not come to rest: {why}"));
        }
        self.env.ledger.close();
        self.leave();
    }

    fn begin(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.begin_node(node));
        for client in 0..self.clients.len() {
            let channel = self.env.channels[0].clone();
            self.listen_to(client, channel, None);
            let after = self.env.dice.secs(0, 3);
            self.tell_client_at(self.now + after, client, SessionInput::Connect);
            self.next_act(client);
        }
        self.later(secs(1), Due::Snapshot);
        self.later(secs(3), Due::Publish);
        self.next_fault();
    }

    pub(super) fn next_act(&mut self, client: usize) {
        let after = self.env.dice.millis(1, self.env.plan.idle * 2);
        self.later(after, Due::Act { client });
    }

    pub(super) fn next_fault(&mut self) {
        let after = self.env.dice.millis(1, self.env.plan.calm * 2);
        self.later(after, Due::Fault);
    }

    /// No client stays away, stuck or behind.
    fn mend(&mut self) {
        let now = self.now;
        for app in &mut self.env.apps {
            app.offline_until = now;
            app.behind_until = app.behind_until.min(now + secs(5));
        }
        for node in 0..self.nodes.len() {
            self.later(secs(31), Due::NodeStarts { node });
        }
    }

    fn is_at_rest(&mut self) -> bool {
        (0..self.clients.len()).all(|client| self.is_settled(client)) && self.unrest().is_empty()
    }

    /// What is not as it should be in the end.
    fn unrest(&mut self) -> String {
        for number in 0..self.clients.len() {
            let client = &self.clients[number];
            if !self.is_settled(number) {
                let (waiting, flying) =
                    (client.session.outbox().len(), client.session.outbox().in_flight());
                let standings: Vec<_> = client.session.subscriptions().collect();
                return format!(
                    "client {number} is {:?}, {waiting} wait and {flying} are in flight, {standings:?}",
                    client.session.state()
                );
            }
            let own = client.known.clone().map(Stream::Session);
            let streams: Vec<Stream> = self.env.apps[number]
                .wants
                .iter()
                .cloned()
                .map(Stream::Channel)
                .chain(own)
                .collect();
            for stream in streams {
                let (top, cursor) = (self.top(&stream), self.env.ledger.cursor(number, &stream));
                if top != cursor {
                    return format!(
                        "client {number} is at {cursor:?} of {stream:?}, whose top is {top:?}"
                    );
                }
            }
        }
        for channel in self.env.channels.iter().take(2) {
            let seated = (0..self.clients.len()).filter(|client| self.is_active(*client, channel));
            let seated: Vec<_> = seated.map(|client| &self.clients[client]).collect();
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

    /// All clients leave: some close, some just end. In the end nothing is left of them.
    fn leave(&mut self) {
        if self.env.ledger.broken.is_some() {
            return;
        }
        self.env.ends = true;
        self.note(|| "--- everybody leaves".into());
        for number in 0..self.clients.len() {
            if self.env.dice.percent(50) {
                self.tell_client(number, SessionInput::Close(CloseCode::NORMAL.into()));
            } else if let Some(id) = self.transport(number) {
                self.cut_somehow(id);
                self.tell_client(number, SessionInput::Close(CloseCode::NORMAL.into()));
            }
        }
        let long = self.env.plan.history.max_age.max(self.env.plan.history.session_ttl) * 2;
        let end = self.now + long + secs(200);
        self.rest(end, |world| world.store.sessions() == 0 && world.store.streams() == 0);
        let (sessions, streams) = (self.store.sessions(), self.store.streams());
        if sessions + streams > 0 {
            self.blame(format!("{sessions} sessions and {streams} streams are left in the store"));
        }
        self.advance_to(self.now + secs(120));
        for number in 0..self.nodes.len() {
            let Some(node) = &self.nodes[number].node else { continue };
            let (stats, timer) = (node.stats(), node.poll_timeout());
            let left = stats.connections + stats.unhandled + stats.outbound_bytes;
            if left > 0 || timer.is_some() {
                self.blame(format!(
                    "node {number} keeps something of those who are gone: {node:?}"
                ));
            }
        }
    }

    /// Lets time pass until a condition holds; returns whether it did.
    fn rest(&mut self, end: Instant, so: impl Fn(&mut Self) -> bool) -> bool {
        while self.env.ledger.broken.is_none() {
            if so(self) {
                return true;
            }
            if self.now >= end {
                return false;
            }
            self.advance_to(self.now + secs(5));
        }
        true
    }
}
