//! Clients that keep to the protocol, and around them everything fails: links, news, the store, a
//! slow socket. In the end every message was published once and in order, and every reader has seen
//! one sequence without a hole.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use rand_pcg::Pcg32;
use relink::session::Secret;
use relink::{Channel, CloseCode, Instant, Message, Position, Resume, SessionId};
use relink_node::{
    ConnectionId, DeliveryId, HistoryConfig, MemoryStore, Node, NodeAction, NodeConfig, NodeInput,
    StoreEvent, StoreRequest, StoreRequestId, Stream,
};
use relink_v1::{ClientFrame, Encoding, ServerFrame};

use crate::world::{dice, lobby, secs};

const NODES: usize = 2;
const CLIENTS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Send {
        client: usize,
    },
    HangUp {
        client: usize,
        told: bool,
    },
    Connect {
        client: usize,
        node: usize,
    },
    /// Answers one of the open questions: well, not at all, or after it was done.
    Store {
        which: usize,
        how: u8,
    },
    Handle {
        which: usize,
    },
    Read {
        client: usize,
        most: usize,
    },
    LoseNews {
        node: usize,
    },
    Doubt {
        node: usize,
    },
    StoreEvent {
        node: usize,
        most: usize,
    },
    HeartbeatAction {
        client: usize,
    },
    Pass {
        millis: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let node = 0..NODES;
    prop_oneof![
        10 => client.clone().prop_map(|client| Step::Send { client }),
        2 => (client.clone(), any::<bool>()).prop_map(|(client, told)| Step::HangUp { client, told }),
        6 => (client.clone(), node.clone()).prop_map(|(client, node)| Step::Connect { client, node }),
        30 => (0..6_usize, 0..12_u8).prop_map(|(which, how)| Step::Store { which, how }),
        12 => (0..3_usize).prop_map(|which| Step::Handle { which }),
        12 => (client.clone(), 1..20_usize).prop_map(|(client, most)| Step::Read { client, most }),
        1 => node.clone().prop_map(|node| Step::LoseNews { node }),
        1 => node.clone().prop_map(|node| Step::Doubt { node }),
        12 => (node, 1..9_usize).prop_map(|(node, most)| Step::StoreEvent { node, most }),
        2 => client.prop_map(|client| Step::HeartbeatAction { client }),
        6 => (0..3_000_u64).prop_map(|millis| Step::Pass { millis }),
    ]
}

/// A client as the protocol wants it.
#[derive(Default)]
struct Client {
    link: Option<(usize, ConnectionId)>,
    welcome: bool,
    /// What is not acknowledged is still to be sent again.
    begins: bool,
    resume: Option<Resume>,
    sent: u64,
    acked: u64,
    unacked: VecDeque<(u64, String)>,
    /// Where it is in the lobby, and what it has seen there.
    place: Option<Position>,
    seen: Vec<String>,
    own: Vec<String>,
    publications: u64,
}

enum Todo {
    Handle(usize, DeliveryId, SessionId, Message),
    Ask(usize, StoreRequestId, StoreRequest),
}

struct Storm {
    now: Instant,
    nodes: Vec<Node<Pcg32>>,
    history: MemoryStore,
    news: Vec<VecDeque<StoreEvent>>,
    clients: Vec<Client>,
    asked: VecDeque<Todo>,
    handled: VecDeque<Todo>,
    links: u64,
}

impl Storm {
    fn new() -> Self {
        let history = HistoryConfig::default().with_session_ttl(secs(100_000));
        let config = NodeConfig::default()
            .with_history(history)
            .with_max_outbound_bytes(400)
            .with_max_unhandled(3)
            .with_page(3)
            .with_hello_timeout(secs(300));
        let mut store = MemoryStore::new(history, 11).expect("valid");
        store.watch(Stream::Channel(lobby()));
        Self {
            now: Instant::from_origin(secs(1)),
            nodes: (0..NODES as u64)
                .map(|seed| Node::new(config, dice(seed)).expect("valid"))
                .collect(),
            history: store,
            news: vec![VecDeque::new(); NODES],
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            asked: VecDeque::new(),
            handled: VecDeque::new(),
            links: 0,
        }
    }

    fn give(&mut self, node: usize, input: NodeInput) {
        self.nodes[node].handle(input, self.now);
        self.act(node);
    }

    fn act(&mut self, node: usize) {
        while let Some(action) = self.nodes[node].poll_action() {
            let answer = match action {
                NodeAction::Identify { id, token } => {
                    let user = token.expect("a token").expose().to_owned();
                    NodeInput::Identified { id, result: Ok(user) }
                }
                NodeAction::Authorize { request, .. } => {
                    NodeInput::Authorized { request, result: Ok(()) }
                }
                NodeAction::Handle { handling, session, message, .. } => {
                    self.handled.push_back(Todo::Handle(node, handling, session, message));
                    continue;
                }
                NodeAction::Ask { question, what } => {
                    self.asked.push_back(Todo::Ask(node, question, what));
                    continue;
                }
                NodeAction::Close { id, .. } => {
                    let client =
                        self.clients.iter().position(|client| client.link == Some((node, id)));
                    if let Some(client) = client {
                        self.read(client, usize::MAX);
                        self.clients[client].link = None;
                    }
                    NodeInput::Closed { id, code: CloseCode::ABNORMAL }
                }
                _ => continue,
            };
            self.nodes[node].handle(answer, self.now);
        }
    }

    fn say(&mut self, client: usize, frame: &ClientFrame) {
        if let Some((node, id)) = self.clients[client].link {
            self.give(node, NodeInput::Message { id, message: frame.encode(Encoding::Cbor) });
        }
    }

    fn connect(&mut self, client: usize, node: usize) {
        if self.clients[client].link.is_some() {
            return;
        }
        self.links += 1;
        let id = ConnectionId(self.links);
        let it = &mut self.clients[client];
        it.link = Some((node, id));
        (it.welcome, it.begins, it.publications) = (false, false, 0);
        let resume = it.resume.clone();
        self.give(node, NodeInput::Opened { id, user: None });
        self.say(
            client,
            &ClientFrame::Hello {
                token: Some(Secret::from(format!("user {client}"))),
                resume,
                max_message: None,
            },
        );
    }

    fn send(&mut self, client: usize) {
        let it = &mut self.clients[client];
        if it.unacked.len() >= 20 {
            return;
        }
        it.sent += 1;
        let (serial, text) = (it.sent, format!("{client}/{}", it.sent));
        it.unacked.push_back((serial, text.clone()));
        if it.welcome && !it.begins {
            self.message(client, serial, &text);
        }
    }

    fn message(&mut self, client: usize, serial: u64, text: &str) {
        let may = self.clients[client].link.is_some_and(|(node, id)| self.nodes[node].may_read(id));
        if may {
            let (serial, channel) = (Some(serial), Some(lobby()));
            self.say(client, &ClientFrame::Message { serial, channel, payload: text.into() });
        } else if self.clients[client].link.is_some() {
            // Nobody reads it: it is lost with the link, which is one more way to lose a link.
            self.hang_up(client, true);
        }
    }

    fn hang_up(&mut self, client: usize, told: bool) {
        let Some((node, id)) = self.clients[client].link.take() else { return };
        self.clients[client].welcome = false;
        if told {
            self.give(node, NodeInput::Closed { id, code: CloseCode::ABNORMAL });
        }
    }

    fn read(&mut self, client: usize, most: usize) {
        for _ in 0..most {
            let Some((node, id)) = self.clients[client].link else { return };
            let Some(message) = self.nodes[node].poll_transmit(id) else {
                return self.begin(client);
            };
            let frame = ServerFrame::decode(&message).expect("a frame").0;
            self.act(node);
            self.take(client, frame);
        }
    }

    /// Sends again what is not acknowledged, when all that came with the welcome is read: before,
    /// the node may not read.
    fn begin(&mut self, client: usize) {
        let it = &mut self.clients[client];
        if !std::mem::take(&mut it.begins) {
            return;
        }
        let again: Vec<_> = it.unacked.iter().cloned().collect();
        let since = it.place;
        self.say(
            client,
            &ClientFrame::Subscribe { channel: lobby(), since, token: None, presence: None },
        );
        for (serial, text) in again {
            self.message(client, serial, &text);
        }
    }

    fn take(&mut self, client: usize, frame: ServerFrame) {
        let it = &mut self.clients[client];
        match frame {
            ServerFrame::Welcome { session, resumed, received, position, .. } => {
                assert!(!it.welcome, "one welcome");
                if let Some(resume) = &it.resume {
                    assert!(resumed && resume.session == session, "the session goes on");
                    assert_eq!(position, resume.position, "and so does its stream");
                }
                assert!(received >= it.acked, "what was acknowledged is received");
                it.resume = Some(Resume { session, position });
                it.welcome = true;
                acknowledge(it, received);
                it.begins = true;
            }
            ServerFrame::Ack { serial } => acknowledge(it, serial),
            ServerFrame::Publication { channel: None, offset, payload } => {
                let place = &mut it.resume.as_mut().expect("a session").position;
                assert_eq!(offset, place.offset + 1, "its own stream has no hole");
                place.offset = offset;
                it.own.push(payload.as_text().expect("text").to_owned());
                it.publications += 1;
            }
            ServerFrame::Publication { channel: Some(_), offset, payload } => {
                let place = it.place.as_mut().expect("subscribed");
                assert_eq!(offset, place.offset + 1, "the lobby has no hole");
                place.offset = offset;
                it.seen.push(payload.as_text().expect("text").to_owned());
                it.publications += 1;
            }
            ServerFrame::Subscribed { position, recovered, .. } => {
                assert!(recovered, "nothing was thrown away");
                assert!(it.place.is_none_or(|place| place == position), "from where it was");
                if it.place.is_none() {
                    it.seen = vec![String::new(); usize::try_from(position.offset).expect("small")];
                }
                it.place = Some(position);
            }
            ServerFrame::HeartbeatAck { sent, .. } => {
                assert_eq!(sent, it.publications, "no tail is lost")
            }
            ServerFrame::Error(_) => {}
            other => panic!("not expected: {other:?}"),
        }
    }

    fn handle(&mut self, which: usize) {
        let which = which.min(self.handled.len().saturating_sub(1));
        let Some(Todo::Handle(node, handling, session, message)) = self.handled.remove(which)
        else {
            return;
        };
        let to =
            vec![(Stream::Channel(lobby()), message.clone()), (Stream::Session(session), message)];
        self.give(node, NodeInput::Handled { handling, result: Ok(to) });
    }

    fn answer(&mut self, which: usize, how: u8) {
        let which = which.min(self.asked.len().saturating_sub(1));
        let Some(Todo::Ask(node, question, what)) = self.asked.remove(which) else { return };
        let answer = match how {
            0 => Err("away".to_owned()),
            1 => {
                self.history.answer(what, self.now);
                Err("timed out".to_owned())
            }
            _ => Ok(self.history.answer(what, self.now)),
        };
        while let Some(news) = self.history.poll_news() {
            self.news.iter_mut().for_each(|queue| queue.push_back(news.clone()));
        }
        self.give(node, NodeInput::Answered { question, answer });
    }

    fn news(&mut self, node: usize, most: usize) {
        for _ in 0..most {
            let Some(news) = self.news[node].pop_front() else { return };
            self.give(node, NodeInput::StoreEvent(news));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for node in 0..NODES {
            for client in 0..CLIENTS {
                if let Some((at, id)) = self.clients[client].link {
                    if at == node {
                        self.give(node, NodeInput::Alive { id });
                    }
                }
            }
            self.give(node, NodeInput::Timeout);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { client } => self.send(client),
            Step::HangUp { client, told } => self.hang_up(client, told),
            Step::Connect { client, node } => self.connect(client, node),
            Step::Store { which, how } => self.answer(which, how),
            Step::Handle { which } => self.handle(which),
            Step::Read { client, most } => self.read(client, most),
            Step::LoseNews { node } => self.news[node].clear(),
            Step::Doubt { node } => self.give(node, NodeInput::StoreEvent(StoreEvent::Lagged)),
            Step::StoreEvent { node, most } => self.news(node, most),
            Step::HeartbeatAction { client } => {
                let sent = if self.clients[client].begins { 0 } else { self.clients[client].sent };
                let may = self.clients[client]
                    .link
                    .is_some_and(|(node, id)| self.nodes[node].may_read(id));
                if may && self.clients[client].welcome {
                    self.say(client, &ClientFrame::Heartbeat { nonce: 1, sent });
                }
            }
            Step::Pass { millis } => self.pass(Duration::from_millis(millis)),
        }
    }

    /// Nothing fails any more.
    fn calm(&mut self) {
        for node in 0..NODES {
            self.give(node, NodeInput::StoreEvent(StoreEvent::Lagged));
        }
        for _ in 0..400 {
            for client in 0..CLIENTS {
                self.connect(client, client % NODES);
                self.read(client, usize::MAX);
            }
            while !self.asked.is_empty() || !self.handled.is_empty() {
                self.answer(0, 9);
                self.handle(0);
            }
            for node in 0..NODES {
                self.news(node, usize::MAX);
            }
            self.pass(secs(1));
            let done = |client: &Client| {
                client.link.is_some() && client.welcome && client.unacked.is_empty()
            };
            if self.clients.iter().all(done) && self.asked.is_empty() {
                break;
            }
        }
        for _ in 0..20 {
            for client in 0..CLIENTS {
                self.read(client, usize::MAX);
            }
            while !self.asked.is_empty() {
                self.answer(0, 9);
            }
            for node in 0..NODES {
                self.news(node, usize::MAX);
            }
        }
    }

    fn lobby(&mut self) -> Vec<String> {
        let stream = Stream::Channel(Channel::clone(&lobby()));
        let since =
            |after, limit| StoreRequest::Read { stream: stream.clone(), after, limit, by: None };
        let relink_node::StoreResponse::Read { top, .. } =
            self.history.answer(since(None, 0), self.now)
        else {
            panic!("since")
        };
        let all = since(Some(Position { offset: 0, ..top }), usize::MAX);
        let relink_node::StoreResponse::Read { missed, .. } = self.history.answer(all, self.now)
        else {
            panic!("since")
        };
        let text = |message: &Message| message.as_text().expect("text").to_owned();
        missed.expect("all of it").iter().map(|publication| text(&publication.message)).collect()
    }
}

fn acknowledge(client: &mut Client, serial: u64) {
    client.acked = client.acked.max(serial);
    while client.unacked.front().is_some_and(|(first, _)| *first <= serial) {
        client.unacked.pop_front();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn i26_whatever_fails_each_message_is_published_once_in_order_and_seen_by_all(steps in vec(step(), 1..300)) {
        let mut storm = Storm::new();
        for step in steps {
            storm.step(step);
        }
        storm.calm();
        let lobby = storm.lobby();
        for (number, client) in storm.clients.iter().enumerate() {
            prop_assert!(client.unacked.is_empty(), "client {number} waits for acks");
            let theirs: Vec<_> = lobby.iter().filter(|text| text.starts_with(&format!("{number}/"))).cloned().collect();
            let sent: Vec<_> = (1..=client.sent).map(|serial| format!("{number}/{serial}")).collect();
            prop_assert_eq!(&theirs, &sent, "each once, in order");
            prop_assert_eq!(&client.own, &sent, "and each told to its sender");
            prop_assert_eq!(client.seen.len(), lobby.len(), "all of it was seen");
            for (seen, published) in client.seen.iter().zip(&lobby) {
                prop_assert!(seen.is_empty() || seen == published);
            }
        }
    }
}
