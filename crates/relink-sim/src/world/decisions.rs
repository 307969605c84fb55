//! What the world decides of nodes: how long everything takes, what applications make of messages,
//! how the store fails, and which of its events are lost.

use relink::session::{MemberChange, Problem};
use relink::{Channel, CloseCode, Message, SessionId};
use relink_node::{ConnectionId, NodeInput, StoreEvent, StoreRequest, Stream};

use super::ledger::SECOND;
use super::network::Manner;
use super::{Due, World};
use crate::cluster::{Cluster, Task, TaskDetail, Transport};

/// How the store treats a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    Answers,
    /// Does nothing and fails.
    Fails,
    /// Does it, and the answer is lost.
    LosesAnswer,
}

impl Cluster<World> {
    pub(super) fn begin_node(&mut self, node: usize) {
        if !self.is_running(node) {
            let seed = self.env.dice.seed();
            self.start_node(node, seed);
            self.env.places[node].leaves = false;
        }
    }

    /// The node is gone, with all it knew.
    pub(super) fn end_node(&mut self, node: usize) {
        if self.is_running(node) {
            self.env.places[node].doubts = false;
        }
        for id in self.kill_node(node) {
            // A machine that lost its power sends nothing.
            if self.env.dice.percent(70) {
                let after = self.env.dice.millis(0, 300);
                self.lose_client(id, self.now + after);
            }
        }
    }

    pub(super) fn decide(&mut self, task: Task) {
        let node = task.node;
        match &task.detail {
            TaskDetail::Identify { id, .. } => {
                let transport = self.transports.get(id);
                let user = transport.map(|transport| self.clients[transport.client].user.clone());
                let (id, result) = (*id, user.ok_or_else(|| CloseCode::INVALID_TOKEN.into()));
                self.answer(node, 1, 300, NodeInput::Identified { id, result });
            }
            TaskDetail::Authorize { request, channel, token } => {
                let result = self.authorize(channel, token.is_some());
                self.answer(node, 0, 200, NodeInput::Authorized { request: *request, result });
            }
            TaskDetail::Handle { delivery, session, channel, message, .. } => {
                self.check_handled(node, session, message);
                let result =
                    effect(Stream::Session(session.clone()), channel.clone(), message.clone());
                let (slow, longest) = self.env.plan.slow;
                let most = if self.env.dice.percent(slow) { longest } else { 60 };
                self.answer(node, 0, most, NodeInput::Handled { handling: *delivery, result });
            }
            TaskDetail::Store { .. } => {
                let most = if self.has_trouble_with_store() { 3_000 } else { 30 };
                let at = self.now + self.env.dice.millis(0, most);
                let at = at.max(self.env.places[node].asked);
                self.env.places[node].asked = at;
                self.at(at, Due::Store(task));
            }
            TaskDetail::StoreEvent(event) => self.send_event(node, event.clone()),
        }
    }

    fn authorize(&mut self, channel: &Channel, has_token: bool) -> Result<(), Problem> {
        let needs = self.env.channels.get(1) == Some(channel);
        let refused = needs && self.is_troubled() && self.env.tokens_refused_until > self.now;
        if !(needs && !has_token || refused) {
            return Ok(());
        }
        let name = if self.env.dice.percent(50) {
            Problem::CHANNEL_NOT_AUTHORIZED
        } else {
            Problem::TOKEN_EXPIRED
        };
        Err(Problem::new(name, "not today"))
    }

    fn answer(&mut self, node: usize, least: u64, most: u64, input: NodeInput) {
        let after = self.env.dice.millis(least, most);
        self.tell_node_at(self.now + after, node, input);
    }

    /// Returns true if all that is sent over a transport arrives, and always did.
    pub(super) fn is_good(&self, id: ConnectionId) -> bool {
        let is_faithful = self.env.manners.get(&id) == Some(&Manner::Faithful);
        self.transports.get(&id).is_some_and(Transport::is_whole)
            && is_faithful
            && !self.env.stuck_before.contains(&id)
    }

    /// A good connection is not closed for what it did not do.
    pub(super) fn check_close(&mut self, id: ConnectionId, code: CloseCode) {
        if code == CloseCode::HEARTBEAT_TIMEOUT && self.is_good(id) {
            self.blame(format!("w10: a good connection ({}) is closed for its silence", id.0));
        }
        if matches!(code.0, 1002 | 1003 | 1007 | 1008 | 1009 | 1011) {
            self.blame(format!("a node closes transport {} with {code}", id.0));
        }
    }

    /// The node that has the session knows what is stored, and troubles the application with none
    /// of it.
    fn check_handled(&mut self, node: usize, session: &SessionId, message: &Message) {
        let known = |client: &&crate::cluster::Client| client.known.as_ref() == Some(session);
        let Some(client) = self.clients.iter().find(known) else { return };
        let transport = client.transport.and_then(|id| self.transports.get(&id));
        let is_here = transport.is_some_and(|it| it.is_whole() && it.node == node);
        if is_here && client.session.state().is_usable() && self.env.ledger.had_effect(message) {
            self.blame("i26: a message that is stored is handed to the application again");
        }
    }

    // The store.

    /// A request reaches the store.
    pub(super) fn reach_store(&mut self, task: Task) {
        let Task { node, life, detail: TaskDetail::Store { id: question, request } } = task else {
            return;
        };
        let treatment = match self.has_trouble_with_store().then(|| self.env.dice.below(4)) {
            Some(0) => Treatment::Fails,
            Some(1) => Treatment::LosesAnswer,
            Some(_) | None => Treatment::Answers,
        };
        self.note(|| {
            format!("node {node} (life {life}) asks: {} ({treatment:?})", brief(&request))
        });
        let mut answer = Err("the store is in trouble".into());
        if treatment != Treatment::Fails {
            if let StoreRequest::Join { channel, session, .. } = &request {
                self.seat_taken(node, channel.clone(), session);
            }
            let done = self.ask_store(request);
            if treatment == Treatment::Answers {
                answer = Ok(done);
            }
        }
        if self.nodes[node].life != life {
            return;
        }
        let most = if self.has_trouble_with_store() { 4_000 } else { 30 };
        let twice = self.env.dice.percent(3);
        if twice {
            self.answer(node, 0, most, NodeInput::Answered { question, answer: answer.clone() });
        }
        self.answer(node, 0, most, NodeInput::Answered { question, answer });
    }

    fn has_trouble_with_store(&self) -> bool {
        self.is_troubled() && self.env.store_fails_until > self.now
    }

    /// The store has appended or changed something.
    pub(super) fn look_at_store(&mut self, event: &StoreEvent) {
        self.env.ledger.news(event);
        self.note(|| format!("the store tells: {event:?}"));
        if let StoreEvent::MemberChanged { change: MemberChange::Joined(member), .. } = event {
            self.env.stays.entry(member.join.clone()).or_insert(self.now);
        }
    }

    fn send_event(&mut self, node: usize, event: StoreEvent) {
        let life = self.nodes[node].life;
        let deaf_until = self.env.places[node].deaf_until;
        if self.is_troubled() && deaf_until > self.now && self.env.dice.percent(50) {
            if !std::mem::replace(&mut self.env.places[node].doubts, true) {
                let after = self.env.dice.secs(0, 15);
                self.at(deaf_until + after, Due::Doubt { node, life });
            }
            return;
        }
        let most = if self.env.dice.percent(10) { 800 } else { 15 };
        let at = (self.now + self.env.dice.millis(0, most)).max(self.env.places[node].heard);
        self.env.places[node].heard = at;
        self.tell_node_at(at, node, NodeInput::StoreEvent(event));
    }

    pub(super) fn doubt(&mut self, node: usize) {
        self.env.places[node].doubts = false;
        self.send_event(node, StoreEvent::Lagged);
    }

    /// Another application publishes.
    pub(super) fn publish_something(&mut self) {
        let node = self.env.dice.index(self.nodes.len());
        let client = self.env.dice.index(self.clients.len());
        let channel = self.env.channels[self.env.dice.index(self.env.channels.len())].clone();
        self.env.spoken += 1;
        let message = Message::from(format!("server/{}", self.env.spoken));
        let stream = match &self.clients[client].known {
            Some(session) if self.env.dice.percent(50) => Stream::Session(session.clone()),
            _ => Stream::Channel(channel),
        };
        self.tell_node(node, NodeInput::Publish { stream, message });
    }
}

/// What the application makes of a message: it goes to its channel or comes back to its sender,
/// some to a second place besides, and some are refused. The same message always leads to the same.
fn effect(
    own: Stream,
    channel: Option<Channel>,
    message: Message,
) -> Result<Vec<(Stream, Message)>, Problem> {
    let tag = String::from_utf8_lossy(message.as_bytes()).into_owned();
    let number: u64 = tag.rsplit('/').next().and_then(|count| count.parse().ok()).unwrap_or(0);
    if number % 11 == 7 {
        return Err(Problem::new(Problem::NOT_HANDLED, "it has a seven in it"));
    }
    let mut effects = vec![(channel.map_or(own, Stream::Channel), message)];
    if number % 4 == 0 {
        effects.push((Stream::Channel("room-0".into()), format!("{tag}{SECOND}").into()));
    }
    Ok(effects)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are short")]
fn brief(request: &StoreRequest) -> String {
    match request {
        StoreRequest::Commit { generation, serial, rejection, .. } => {
            let refused = if rejection.is_some() { ", refused" } else { "" };
            format!("commit {serial} in generation {generation}{refused}")
        }
        other => format!("{other:?}"),
    }
}
