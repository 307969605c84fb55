//! A store, one or more nodes on it, and clients that say what a test lets them say. Time is
//! virtual.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand_pcg::Pcg32;
use relink::rand_core::SeedableRng;
use relink::session::{Problem, Secret, Text};
use relink::{Channel, CloseCode, CloseFrame, Instant, Message, Position, Resume, SessionId};
use relink_node::{
    AuthorizationId, ConnectionId, DeliveryId, MemoryStore, Node, NodeAction, NodeConfig,
    NodeEvent, NodeInput, StoreEvent, StoreRequest, StoreRequestId, StoreResponse, Stream,
};
use relink_v1::{ClientFrame, Encoding, ServerFrame};

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn dice(seed: u64) -> Pcg32 {
    Pcg32::seed_from_u64(seed)
}

pub(crate) fn lobby() -> Channel {
    Channel::from("lobby")
}

/// One side of a socket, as its client sees it.
pub(crate) struct Peer {
    pub(crate) node: usize,
    pub(crate) inbox: Vec<ServerFrame>,
    pub(crate) closed: Option<CloseFrame>,
    /// Takes what the node has to say.
    pub(crate) reads: bool,
    /// Pings now and then.
    pub(crate) pings: bool,
    pub(crate) open: bool,
    pub(crate) encoding: Encoding,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) history: MemoryStore,
    pub(crate) nodes: Vec<Node<Pcg32>>,
    pub(crate) watched: Vec<BTreeSet<Stream>>,
    pub(crate) peers: BTreeMap<ConnectionId, Peer>,
    pub(crate) events: Vec<(usize, NodeEvent)>,
    /// What the application was given: the serial and the text.
    pub(crate) handled: Vec<(Option<u64>, String)>,
    pub(crate) questions: Vec<StoreRequest>,
    /// The store says that it is down.
    pub(crate) store_is_down: bool,
    /// This node does not reach the store.
    pub(crate) cut_off: Option<usize>,
    /// The store does what is asked, and its answer is lost.
    pub(crate) answers_are_lost: bool,
    /// Questions wait until they are let go.
    pub(crate) hold_store: bool,
    pub(crate) held: VecDeque<(usize, StoreRequestId, StoreRequest)>,
    pub(crate) hold_application: bool,
    pub(crate) waiting: VecDeque<(usize, DeliveryId, Option<Channel>, SessionId, Message)>,
    pub(crate) hold_authorizations: bool,
    pub(crate) authorizing: VecDeque<(usize, AuthorizationId, Channel, Option<Secret>)>,
    /// Channels that nobody may have.
    pub(crate) forbidden: BTreeSet<Channel>,
    /// Connections whose places are free again.
    pub(crate) released: Vec<ConnectionId>,
    /// News are lost on the way.
    pub(crate) lose_news: bool,
    pub(crate) ready: Vec<ConnectionId>,
    next: u64,
}

impl World {
    pub(crate) fn new(nodes: usize) -> Self {
        Self::with(nodes, NodeConfig::default())
    }

    pub(crate) fn with(nodes: usize, config: NodeConfig) -> Self {
        let node = |seed| Node::new(config, dice(seed)).expect("a valid configuration");
        Self {
            now: Instant::from_origin(secs(1000)),
            history: MemoryStore::new(config.history, 3).expect("a valid configuration"),
            nodes: (0..nodes as u64).map(node).collect(),
            watched: vec![BTreeSet::new(); nodes],
            peers: BTreeMap::new(),
            events: Vec::new(),
            handled: Vec::new(),
            questions: Vec::new(),
            store_is_down: false,
            cut_off: None,
            answers_are_lost: false,
            hold_store: false,
            held: VecDeque::new(),
            hold_application: false,
            waiting: VecDeque::new(),
            hold_authorizations: false,
            authorizing: VecDeque::new(),
            forbidden: BTreeSet::from([Channel::from("secret")]),
            released: Vec::new(),
            lose_news: false,
            ready: Vec::new(),
            next: 0,
        }
    }

    pub(crate) fn give(&mut self, node: usize, input: NodeInput) {
        self.nodes[node].handle(input, self.now);
        self.settle();
    }

    /// Does what the nodes want until they want nothing more.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut busy = false;
            for node in 0..self.nodes.len() {
                while let Some(action) = self.nodes[node].poll_action() {
                    busy = true;
                    self.act(node, action);
                }
            }
            while let Some(news) = self.history.poll_news() {
                busy = true;
                self.spread(&news);
            }
            let readers: Vec<ConnectionId> =
                self.peers.iter().filter(|(_, peer)| peer.reads).map(|(id, _)| *id).collect();
            for id in readers {
                busy |= self.drain(id, usize::MAX) > 0;
            }
            if !busy {
                return;
            }
        }
    }

    /// Writes so many messages to a client at most; returns how many there were.
    pub(crate) fn drain(&mut self, id: ConnectionId, most: usize) -> usize {
        let peer = self.peers.get_mut(&id).expect("a peer");
        let mut written = 0;
        while written < most {
            let Some(message) = self.nodes[peer.node].poll_transmit(id) else { break };
            let (frame, encoding) = ServerFrame::decode(&message).expect("a frame");
            assert_eq!(encoding, peer.encoding, "the encoding of the hello");
            peer.inbox.push(frame);
            written += 1;
        }
        written
    }

    fn spread(&mut self, news: &StoreEvent) {
        if self.lose_news {
            return;
        }
        for node in 0..self.nodes.len() {
            let stream = match news {
                StoreEvent::Published { stream, .. } => stream.clone(),
                StoreEvent::Joined { channel, .. } | StoreEvent::Left { channel, .. } => {
                    Stream::Channel(channel.clone())
                }
                StoreEvent::Resumed { session, .. } | StoreEvent::Ended { session, .. } => {
                    Stream::Session(session.clone())
                }
                _ => {
                    self.nodes[node].handle(NodeInput::StoreEvent(news.clone()), self.now);
                    continue;
                }
            };
            if self.watched[node].contains(&stream) {
                self.nodes[node].handle(NodeInput::StoreEvent(news.clone()), self.now);
            }
        }
    }

    fn act(&mut self, node: usize, action: NodeAction) {
        match action {
            NodeAction::Identify { id, token } => {
                let result = identify(token.as_ref());
                self.nodes[node].handle(NodeInput::Identified { id, result }, self.now);
            }
            NodeAction::Authorize { request, channel, token, .. } => {
                self.authorizing.push_back((node, request, channel, token));
                if !self.hold_authorizations {
                    self.authorize_next();
                }
            }
            NodeAction::Handle { handling, session, serial, channel, message, .. } => {
                self.handled.push((serial, message.as_text().unwrap_or_default().to_owned()));
                if self.hold_application {
                    self.waiting.push_back((node, handling, channel, session, message));
                } else {
                    self.apply(node, handling, channel, session, message);
                }
            }
            NodeAction::Ask { question, what } => {
                self.questions.push(what.clone());
                if self.hold_store {
                    self.held.push_back((node, question, what));
                } else {
                    self.reply(node, question, what);
                }
            }
            NodeAction::Watch { stream } => {
                assert!(self.watched[node].insert(stream.clone()), "watched twice: {stream:?}");
                self.history.watch(stream);
            }
            NodeAction::Unwatch { stream } => {
                assert!(self.watched[node].remove(&stream), "not watched: {stream:?}");
                self.history.unwatch(&stream);
            }
            NodeAction::Ready { id } => self.ready.push(id),
            NodeAction::Close { id, frame } => {
                let reads = self.peers[&id].reads;
                if reads {
                    self.drain(id, usize::MAX);
                }
                let peer = self.peers.get_mut(&id).expect("a peer");
                assert!(peer.closed.is_none(), "closed once");
                peer.closed = Some(frame);
                peer.open = false;
            }
            NodeAction::Released { id } => self.released.push(id),
            NodeAction::Event(event) => self.events.push((node, event)),
            _ => unreachable!("an action that this world does not know"),
        }
    }

    /// Answers the oldest question whether somebody may have a channel.
    pub(crate) fn authorize_next(&mut self) {
        let (node, request, channel, _) = self.authorizing.pop_front().expect("a question");
        let problem = Problem::new(Problem::CHANNEL_NOT_AUTHORIZED, "not yours");
        let result = if self.forbidden.contains(&channel) { Err(problem) } else { Ok(()) };
        self.nodes[node].handle(NodeInput::Authorized { request, result }, self.now);
    }

    /// The application: echoes to the channel, sends `me …` to the session itself, refuses `refuse
    /// …`.
    fn apply(
        &mut self,
        node: usize,
        handling: DeliveryId,
        channel: Option<Channel>,
        session: SessionId,
        message: Message,
    ) {
        let text = message.as_text().unwrap_or_default().to_owned();
        let result = match (text.split(' ').next(), channel) {
            (Some("refuse"), _) => Err(Problem::new(Problem::NOT_HANDLED, text.as_str())),
            (Some("me"), _) => Ok(vec![(Stream::Session(session), message)]),
            (_, Some(channel)) => Ok(vec![(Stream::Channel(channel), message)]),
            (_, None) => Ok(Vec::new()),
        };
        self.nodes[node].handle(NodeInput::Handled { handling, result }, self.now);
    }

    /// Answers what was held back.
    pub(crate) fn let_application_go(&mut self) {
        self.hold_application = false;
        while let Some((node, handling, channel, session, message)) = self.waiting.pop_front() {
            self.apply(node, handling, channel, session, message);
        }
        self.settle();
    }

    pub(crate) fn let_store_go(&mut self) {
        self.hold_store = false;
        while let Some((node, question, what)) = self.held.pop_front() {
            self.reply(node, question, what);
        }
        self.settle();
    }

    fn reply(&mut self, node: usize, question: StoreRequestId, what: StoreRequest) {
        let answer = if self.store_is_down || self.cut_off == Some(node) {
            Err("down".to_owned())
        } else {
            let answer = self.history.answer(what, self.now);
            if self.answers_are_lost { Err("timed out".to_owned()) } else { Ok(answer) }
        };
        self.nodes[node].handle(NodeInput::Answered { question, answer }, self.now);
    }

    // Time.

    /// Lets time pass, with every deadline on the way handled when it is due.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let deadlines =
                self.nodes.iter().map(Node::poll_timeout).chain([self.history.poll_timeout()]);
            let next = deadlines.flatten().min().unwrap_or(end).min(end).min(self.now + secs(4));
            self.now = self.now.max(next);
            let alive: Vec<(usize, ConnectionId)> = self
                .peers
                .iter()
                .filter(|(_, peer)| peer.open && peer.pings)
                .map(|(id, peer)| (peer.node, *id))
                .collect();
            for (node, id) in alive {
                self.nodes[node].handle(NodeInput::Alive { id }, self.now);
            }
            for node in &mut self.nodes {
                node.handle(NodeInput::Timeout, self.now);
                assert!(
                    node.poll_timeout().is_none_or(|at| at > self.now),
                    "a deadline makes progress"
                );
            }
            self.history.handle_timeout(self.now);
            self.settle();
            if self.now >= end {
                return;
            }
        }
    }

    // Clients.

    pub(crate) fn open(&mut self, node: usize) -> ConnectionId {
        self.open_as(node, Encoding::Json)
    }

    pub(crate) fn open_as(&mut self, node: usize, encoding: Encoding) -> ConnectionId {
        self.next += 1;
        let id = ConnectionId(self.next);
        let (reads, pings, open) = (true, true, true);
        self.peers.insert(
            id,
            Peer { node, inbox: Vec::new(), closed: None, reads, pings, open, encoding },
        );
        self.give(node, NodeInput::Opened { id, user: None });
        id
    }

    pub(crate) fn say(&mut self, id: ConnectionId, frame: &ClientFrame) {
        let peer = &self.peers[&id];
        let (node, message) = (peer.node, frame.encode(peer.encoding));
        self.give(node, NodeInput::Message { id, message });
    }

    pub(crate) fn hello(&mut self, id: ConnectionId, user: &str, resume: Option<Resume>) {
        self.say(
            id,
            &ClientFrame::Hello { token: Some(Secret::from(user)), resume, max_message: None },
        );
    }

    /// A new client of `user`, welcome; returns its session, too.
    pub(crate) fn join(&mut self, node: usize, user: &str) -> (ConnectionId, Resume) {
        let id = self.open(node);
        self.hello(id, user, None);
        let welcome = self.welcome(id);
        assert!(!welcome.resumed);
        (id, Resume { session: welcome.session, position: welcome.position })
    }

    /// Comes back with a session.
    pub(crate) fn come_back(
        &mut self,
        node: usize,
        user: &str,
        resume: &Resume,
    ) -> (ConnectionId, Welcome) {
        let id = self.open(node);
        self.hello(id, user, Some(resume.clone()));
        let welcome = self.welcome(id);
        (id, welcome)
    }

    /// Takes the welcome out of the inbox, where it comes first.
    pub(crate) fn welcome(&mut self, id: ConnectionId) -> Welcome {
        let peer = self.peers.get_mut(&id).expect("a peer");
        assert!(!peer.inbox.is_empty(), "no welcome, closed: {:?}", peer.closed);
        match peer.inbox.remove(0) {
            ServerFrame::Welcome {
                session,
                resumed,
                refused,
                received,
                rejected,
                position,
                ..
            } => Welcome {
                session,
                resumed,
                refused: refused.map(|problem| problem.name.into_owned()),
                received,
                rejected: rejected.into_iter().map(|rejection| rejection.serial).collect(),
                position,
            },
            other => panic!("a welcome comes first, not {other:?}"),
        }
    }

    pub(crate) fn send(&mut self, id: ConnectionId, serial: u64, text: &str) {
        self.message(id, Some(serial), Some(lobby()), text);
    }

    pub(crate) fn message(
        &mut self,
        id: ConnectionId,
        serial: Option<u64>,
        channel: Option<Channel>,
        text: &str,
    ) {
        self.say(id, &ClientFrame::Message { serial, channel, payload: text.into() });
    }

    pub(crate) fn subscribe(
        &mut self,
        id: ConnectionId,
        channel: &Channel,
        since: Option<Position>,
    ) {
        let channel = channel.clone();
        self.say(id, &ClientFrame::Subscribe { channel, since, token: None, presence: None });
    }

    pub(crate) fn be_seen(&mut self, id: ConnectionId, channel: &Channel, words: &str) {
        let (channel, presence) = (channel.clone(), Some(Text::from(words)));
        self.say(id, &ClientFrame::Subscribe { channel, since: None, token: None, presence });
    }

    pub(crate) fn unsubscribe(&mut self, id: ConnectionId, channel: &Channel) {
        self.say(id, &ClientFrame::Unsubscribe { channel: channel.clone() });
    }

    /// From the application, to a channel.
    pub(crate) fn publish(&mut self, node: usize, text: &str) {
        self.give(
            node,
            NodeInput::Publish { stream: Stream::Channel(lobby()), message: text.into() },
        );
    }

    /// The transport ends.
    pub(crate) fn hang_up(&mut self, id: ConnectionId, code: u16) {
        let peer = self.peers.get_mut(&id).expect("a peer");
        peer.open = false;
        let node = peer.node;
        self.give(node, NodeInput::Closed { id, code: CloseCode(code) });
    }

    // What a client has seen.

    pub(crate) fn take(&mut self, id: ConnectionId) -> Vec<ServerFrame> {
        std::mem::take(&mut self.peers.get_mut(&id).expect("a peer").inbox)
    }

    /// The frames since the last look, each in a word or two.
    pub(crate) fn heard(&mut self, id: ConnectionId) -> Vec<String> {
        self.take(id).iter().map(in_words).collect()
    }

    pub(crate) fn close_code(&self, id: ConnectionId) -> Option<u16> {
        self.peers[&id].closed.as_ref().map(|frame| frame.code.0)
    }

    pub(crate) fn events(&mut self) -> Vec<NodeEvent> {
        std::mem::take(&mut self.events).into_iter().map(|(_, event)| event).collect()
    }
}

pub(crate) struct Welcome {
    pub(crate) session: SessionId,
    pub(crate) resumed: bool,
    pub(crate) refused: Option<String>,
    pub(crate) received: u64,
    pub(crate) rejected: Vec<u64>,
    pub(crate) position: Position,
}

/// A token is the name of its user, but for a few that are none.
fn identify(token: Option<&Secret>) -> Result<String, CloseFrame> {
    match token.map(Secret::expose) {
        None | Some("forged") => Err(CloseFrame::new(CloseCode::INVALID_TOKEN, "no valid token")),
        Some("old") => Err(CloseFrame::new(CloseCode::TOKEN_EXPIRED, "expired")),
        Some(user) => Ok(user.to_owned()),
    }
}

fn in_words(frame: &ServerFrame) -> String {
    match frame {
        ServerFrame::Welcome { .. } => "welcome".into(),
        ServerFrame::Ack { serial } => format!("ack {serial}"),
        ServerFrame::Rejected(rejection) => format!("rejected {}", rejection.serial),
        ServerFrame::Publication { channel: Some(_), offset, payload } => {
            format!("{offset}: {}", payload.as_text().unwrap_or("(bytes)"))
        }
        ServerFrame::Publication { channel: None, offset, payload } => {
            format!("own {offset}: {}", payload.as_text().unwrap_or("(bytes)"))
        }
        ServerFrame::Withheld { channel, offset, problem } => {
            let own = if channel.is_none() { "own " } else { "" };
            format!("{own}{offset} withheld: {}", problem.name)
        }
        ServerFrame::Subscribed { position, recovered, .. } => {
            format!("subscribed {} {recovered}", position.offset)
        }
        ServerFrame::Unsubscribed { problem: None, .. } => "unsubscribed".into(),
        ServerFrame::Unsubscribed { problem: Some(problem), .. } => {
            format!("unsubscribed {}", problem.name)
        }
        ServerFrame::Members { members, more, .. } => {
            let names: Vec<&str> = members.iter().map(|member| member.user.as_str()).collect();
            format!("members {}{}", names.join(","), if *more { " …" } else { "" })
        }
        ServerFrame::Joined { member, .. } => format!("joined {}", member.user),
        ServerFrame::Left { member, .. } => format!("left {}", member.user),
        ServerFrame::HeartbeatAck { nonce, sent } => format!("heartbeat {nonce} {sent}"),
        ServerFrame::GoingAway { .. } => "going away".into(),
        ServerFrame::Error(problem) => format!("error {}", problem.name),
    }
}

pub(crate) fn commits(questions: &[StoreRequest]) -> Vec<u64> {
    let serial = |question: &StoreRequest| match question {
        StoreRequest::Commit { serial, .. } => Some(*serial),
        _ => None,
    };
    questions.iter().filter_map(serial).collect()
}

pub(crate) fn top(world: &mut World, channel: &Channel) -> Position {
    let since = StoreRequest::Read {
        stream: Stream::Channel(channel.clone()),
        after: None,
        limit: 1,
        by: None,
    };
    match world.history.answer(since, world.now) {
        StoreResponse::Read { top, .. } => top,
        other => panic!("not an answer to that: {other:?}"),
    }
}
