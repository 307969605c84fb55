//! A node with its driver and its application, and the store that all of them share.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_pcg::Pcg32;
use relink::rand_core::SeedableRng;
use relink::session::{Frame, Problem};
use relink::{Channel, CloseCode, Instant, Message, SessionId};
use relink_node::{
    ConnectionId, Node, NodeAction, NodeEvent, NodeInput, StoreEvent, StoreRequest, StoreRequestId,
    StoreResponse, Stream,
};

use super::ledger::SECOND;
use super::wire::{Manner, Way, Wire};
use super::{Due, World};

/// A place where nodes live, one after the other.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) node: Option<Node<Pcg32>>,
    pub(super) life: u32,
    /// It drains, and the balancer knows.
    pub(super) leaves: bool,
    watched: BTreeSet<Stream>,
    /// What arrived on sockets that are not read.
    pub(super) held: BTreeMap<u64, VecDeque<Frame>>,
    /// Sockets that take nothing now.
    pub(super) stuck: BTreeSet<u64>,
    /// Questions reach the store in the order in which they were asked.
    asked: Instant,
    /// News come in their order.
    heard: Instant,
    pub(super) deaf_until: Instant,
    doubts: bool,
}

impl Host {
    pub(super) const fn new() -> Self {
        Self {
            node: None,
            life: 0,
            leaves: false,
            watched: BTreeSet::new(),
            held: BTreeMap::new(),
            stuck: BTreeSet::new(),
            asked: Instant::ORIGIN,
            heard: Instant::ORIGIN,
            deaf_until: Instant::ORIGIN,
            doubts: false,
        }
    }
}

/// How the store treats a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    Answers,
    /// Does nothing and says so.
    Fails,
    /// Does it, and the answer is lost.
    LosesAnswer,
}

impl World {
    pub(super) fn start_node(&mut self, host: usize) {
        if self.hosts[host].node.is_none() {
            let node = Node::new(self.plan.node, Pcg32::seed_from_u64(self.dice.seed()));
            self.hosts[host].node = Some(node.expect("the plan draws what is valid"));
            self.hosts[host].leaves = false;
            self.note(|| format!("node {host} begins"));
        }
    }

    /// The node is gone, with all it knew.
    pub(super) fn stop_node(&mut self, host: usize) {
        let it = &mut self.hosts[host];
        if it.node.take().is_none() {
            return;
        }
        it.life += 1;
        it.held.clear();
        it.stuck.clear();
        it.doubts = false;
        for stream in std::mem::take(&mut it.watched) {
            self.store.unwatch(&stream);
        }
        self.note(|| format!("node {host} is gone"));
        let wires: Vec<u64> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.host == host)
            .map(|(number, _)| *number)
            .collect();
        for number in wires {
            let Some(wire) = self.wires.get_mut(&number).filter(|wire| wire.node_end) else {
                continue;
            };
            wire.node_end = false;
            wire.is_cut = true;
            // A machine that lost its power says nothing.
            if self.dice.percent(70) {
                let after = self.dice.millis(0, 300);
                self.later(after, Due::ClientEnd { wire: number });
            }
        }
    }

    pub(super) fn tell_node(&mut self, host: usize, input: NodeInput) {
        let Some(node) = &mut self.hosts[host].node else { return };
        node.handle(input, self.now);
        self.settle_node(host);
    }

    /// A frame came out at a node's end: it is read when the node reads.
    pub(super) fn hear(&mut self, host: usize, number: u64, frame: Frame) {
        self.hosts[host].held.entry(number).or_default().push_back(frame);
        self.read(host, number);
        self.settle_node(host);
    }

    fn read(&mut self, host: usize, number: u64) {
        let id = ConnectionId(number);
        loop {
            let it = &mut self.hosts[host];
            let Some(node) = it.node.as_mut().filter(|node| node.may_read(id)) else { return };
            let Some(frame) = it.held.get_mut(&number).and_then(VecDeque::pop_front) else {
                return;
            };
            match frame {
                Frame::Message(message) if message.len() > self.plan.passes => {
                    self.note(|| format!("wire {number}: too large for node {host}"));
                    self.carry(number, Way::ToClient, Frame::Close(CloseCode::TOO_BIG.into()));
                    return self.node_end(number, CloseCode::TOO_BIG);
                }
                Frame::Message(message) => {
                    node.handle(NodeInput::Message { id, message }, self.now)
                }
                Frame::Ping(_) | Frame::Pong(_) => node.handle(NodeInput::Alive { id }, self.now),
                Frame::Close(close) => {
                    // The library answers a close frame by itself.
                    self.carry(number, Way::ToClient, Frame::Close(close.code.into()));
                    return self.node_end(number, close.code);
                }
            }
        }
    }

    pub(super) fn settle_node(&mut self, host: usize) {
        loop {
            let Some(action) = self.hosts[host].node.as_mut().and_then(Node::poll_action) else {
                return;
            };
            self.steps += 1;
            self.carry_out(host, action);
        }
    }

    fn carry_out(&mut self, host: usize, action: NodeAction) {
        let life = self.hosts[host].life;
        match action {
            NodeAction::Identify { id, .. } => {
                let user = self.wires.get(&id.0).map(|wire| self.clients[wire.client].user.clone());
                let result = user.ok_or_else(|| CloseCode::INVALID_TOKEN.into());
                self.answer(host, 1, 300, NodeInput::Identified { id, result });
            }
            NodeAction::Authorize { request, channel, token, .. } => {
                let needs = self.channels.get(1) == Some(&channel);
                let refused = needs && self.is_troubled() && self.tokens_refused_until > self.now;
                let result = if needs && token.is_none() || refused {
                    let name = if self.dice.percent(50) {
                        Problem::CHANNEL_NOT_AUTHORIZED
                    } else {
                        Problem::TOKEN_EXPIRED
                    };
                    Err(Problem::new(name, "not today"))
                } else {
                    Ok(())
                };
                self.answer(host, 0, 200, NodeInput::Authorized { request, result });
            }
            NodeAction::Handle { handling, session, channel, message, .. } => {
                self.check_handled(host, &session, &message);
                let result = effect(Stream::Session(session), channel, message);
                let (slow, longest) = self.plan.slow;
                let most = if self.dice.percent(slow) { longest } else { 60 };
                self.answer(host, 0, most, NodeInput::Handled { handling, result });
            }
            NodeAction::Ask { question, what } => {
                let most = if self.has_trouble_with_store() { 3_000 } else { 30 };
                let at = (self.now + self.dice.millis(0, most)).max(self.hosts[host].asked);
                self.hosts[host].asked = at;
                self.at(at, Due::StoreRequest { host, life, question, what });
            }
            NodeAction::Watch { stream } => {
                if self.hosts[host].watched.insert(stream.clone()) {
                    self.store.watch(stream);
                } else {
                    self.ledger.blame("a node watches a stream twice");
                }
            }
            NodeAction::Unwatch { stream } => {
                if self.hosts[host].watched.remove(&stream) {
                    self.store.unwatch(&stream);
                } else {
                    self.ledger.blame("a node gives up a stream that it does not watch");
                }
            }
            NodeAction::Ready { id } => {
                self.write(host, id.0);
                self.read(host, id.0);
            }
            NodeAction::Close { id, frame } => {
                self.note(|| format!("node {host} closes wire {} with {frame:?}", id.0));
                self.check_close(id.0, frame.code);
                self.write(host, id.0);
                let code = frame.code;
                self.carry(id.0, Way::ToClient, Frame::Close(frame));
                self.node_end(id.0, code);
            }
            NodeAction::Event(NodeEvent::Drained) => {
                self.at(self.now, Due::NodeStops { host, life })
            }
            NodeAction::Event(_) | _ => {}
        }
    }

    fn answer(&mut self, host: usize, least: u64, most: u64, input: NodeInput) {
        let life = self.hosts[host].life;
        let after = self.dice.millis(least, most);
        self.later(after, Due::Node { host, life, input });
    }

    /// Writes what waits, if the socket takes it.
    pub(super) fn write(&mut self, host: usize, number: u64) {
        let id = ConnectionId(number);
        if self.hosts[host].stuck.contains(&number) {
            return;
        }
        while let Some(message) =
            self.hosts[host].node.as_mut().and_then(|node| node.poll_transmit(id))
        {
            self.carry(number, Way::ToClient, Frame::Message(message));
        }
    }

    /// The socket takes something again.
    pub(super) fn unstuck(&mut self, host: usize, number: u64) {
        if self.hosts[host].stuck.remove(&number) {
            self.note(|| format!("wire {number} has room again"));
            self.write(host, number);
            self.tell_node(host, NodeInput::Flowing { id: ConnectionId(number) });
            self.read(host, number);
            self.settle_node(host);
        }
    }

    /// Whether all that is sent over a transport arrives, and always did.
    pub(super) fn is_good(&self, number: u64) -> bool {
        let is_good = |wire: &Wire| wire.is_whole() && wire.manner == Manner::Faithful;
        self.wires.get(&number).is_some_and(is_good) && !self.stuck_before.contains(&number)
    }

    /// A good connection is not closed for what it did not do.
    fn check_close(&mut self, number: u64, code: CloseCode) {
        if code == CloseCode::HEARTBEAT_TIMEOUT && self.is_good(number) {
            self.ledger
                .blame(format!("w10: a good connection (wire {number}) is closed for its silence"));
        }
        if matches!(code.0, 1002 | 1003 | 1007 | 1008 | 1009 | 1011) {
            self.ledger.blame(format!("a node closes wire {number} with {code}"));
        }
    }

    /// The node that has the session knows what is stored, and troubles the application with none
    /// of it.
    fn check_handled(&mut self, host: usize, session: &SessionId, message: &Message) {
        let Some(client) = self.clients.iter().find(|client| client.id() == Some(session)) else {
            return;
        };
        let wire = client.wire.and_then(|wire| self.wires.get(&wire));
        let is_here = wire.is_some_and(|wire| wire.is_whole() && wire.host == host);
        if is_here && client.session.state().is_usable() && self.ledger.had_effect(message) {
            self.ledger.blame("i26: a message that is stored is handed to the application again");
        }
    }

    // The store.

    /// A question reaches the store.
    pub(super) fn ask_store(
        &mut self,
        host: usize,
        life: u32,
        question: StoreRequestId,
        what: StoreRequest,
    ) {
        let treatment = match self.has_trouble_with_store().then(|| self.dice.below(4)) {
            Some(0) => Treatment::Fails,
            Some(1) => Treatment::LosesAnswer,
            Some(_) | None => Treatment::Answers,
        };
        self.note(|| format!("node {host} (life {life}) asks: {} ({treatment:?})", brief(&what)));
        let mut answer = Err("the store is in trouble".into());
        if treatment != Treatment::Fails {
            if let StoreRequest::Join { channel, session, .. } = &what {
                self.seat_taken(host, channel.clone(), session);
            }
            let done = self.store.answer(what, self.now);
            self.spread_news();
            if treatment == Treatment::Answers {
                answer = Ok(done);
            }
        }
        if self.hosts[host].life != life {
            return;
        }
        let most = if self.has_trouble_with_store() { 4_000 } else { 30 };
        let twice = self.dice.percent(3);
        if twice {
            self.answer(host, 0, most, NodeInput::Answered { question, answer: answer.clone() });
        }
        self.answer(host, 0, most, NodeInput::Answered { question, answer });
    }

    fn has_trouble_with_store(&self) -> bool {
        self.is_troubled() && self.store_fails_until > self.now
    }

    /// Hands the store's news to every node that watches.
    pub(super) fn spread_news(&mut self) {
        while let Some(news) = self.store.poll_news() {
            self.ledger.news(&news);
            let stream = match &news {
                StoreEvent::Published { stream, .. } => Some(stream.clone()),
                StoreEvent::Joined { channel, .. } | StoreEvent::Left { channel, .. } => {
                    Some(Stream::Channel(channel.clone()))
                }
                StoreEvent::Resumed { session, .. } | StoreEvent::Ended { session, .. } => {
                    Some(Stream::Session(session.clone()))
                }
                StoreEvent::Lagged | _ => None,
            };
            self.note(|| format!("news: {news:?}"));
            if let StoreEvent::Joined { member, .. } = &news {
                self.stays.entry(member.join.clone()).or_insert(self.now);
            }
            for host in 0..self.hosts.len() {
                if stream.as_ref().is_none_or(|stream| self.hosts[host].watched.contains(stream)) {
                    self.send_news(host, news.clone());
                }
            }
        }
    }

    fn send_news(&mut self, host: usize, news: StoreEvent) {
        let life = self.hosts[host].life;
        if self.is_troubled() && self.hosts[host].deaf_until > self.now && self.dice.percent(50) {
            if !std::mem::replace(&mut self.hosts[host].doubts, true) {
                let after = self.dice.secs(0, 15);
                let at = self.hosts[host].deaf_until + after;
                self.at(at, Due::Doubt { host, life });
            }
            return;
        }
        let most = if self.dice.percent(10) { 800 } else { 15 };
        let at = (self.now + self.dice.millis(0, most)).max(self.hosts[host].heard);
        self.hosts[host].heard = at;
        self.at(at, Due::Node { host, life, input: NodeInput::StoreEvent(news) });
    }

    pub(super) fn doubt(&mut self, host: usize) {
        self.hosts[host].doubts = false;
        self.send_news(host, StoreEvent::Lagged);
    }

    /// An application somewhere else has something to say.
    pub(super) fn publish(&mut self) {
        let host = self.dice.index(self.hosts.len());
        let client = self.dice.index(self.clients.len());
        let channel = self.channels[self.dice.index(self.channels.len())].clone();
        self.spoken += 1;
        let message = Message::from(format!("server/{}", self.spoken));
        let stream = match self.clients[client].id() {
            Some(session) if self.dice.percent(50) => Stream::Session(session.clone()),
            _ => Stream::Channel(channel),
        };
        self.tell_node(host, NodeInput::Publish { stream, message });
    }

    /// The last message of a stream there is.
    pub(super) fn top(&mut self, stream: &Stream) -> Option<relink::Position> {
        let question =
            StoreRequest::Read { stream: stream.clone(), after: None, limit: 1, by: None };
        let answer = self.store.answer(question, self.now);
        self.spread_news();
        if let StoreResponse::Read { top, .. } = answer { Some(top) } else { None }
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
fn brief(what: &StoreRequest) -> String {
    match what {
        StoreRequest::Commit { turn, serial, rejection, .. } => {
            format!(
                "commit {serial} in turn {turn}{}",
                if rejection.is_some() { ", refused" } else { "" }
            )
        }
        other => format!("{other:?}"),
    }
}
