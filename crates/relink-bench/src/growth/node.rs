//! A node, without sockets.

use std::time::Duration;

use bytes::Bytes;
use rand_pcg::Pcg64;
use relink_node::{
    ConnectionId, HistoryConfig, MemoryStore, Node, NodeAction, NodeConfig, NodeInput, Stream,
};
use relink_server::relink::rand_core::SeedableRng;
use relink_server::relink::{Channel, CloseCode, Instant, Message, Resume};
use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame, Welcome};

use super::measured;
use crate::Result;

/// The members of the channel that one more joins, in a world that is large enough: a crowd takes
/// the square of its size to come together.
const CROWD: u64 = 300;
const MESSAGES: u64 = 64;

/// Each operation once, in one world.
pub(super) fn run(size: u64) -> Result<()> {
    let mut world = World::new(size)?;
    world.enter_one_more();
    world.messages();
    world.publish();
    world.join();
    world.resume()?;
    measured("stats", 1, || world.node.stats());
    let code = CloseCode::ABNORMAL;
    measured("leave", 1, || world.drive(NodeInput::Closed { id: ConnectionId(2), code }));
    let frame = CloseCode::ACCOUNT_SUSPENDED.into();
    let nobody = NodeInput::Kick { user: "nobody".to_owned(), frame };
    measured("kick-nobody", 1, || world.drive(nobody));
    let frame = CloseCode::ACCOUNT_SUSPENDED.into();
    let user = "user 1".to_owned();
    measured("kick", world.size.min(CROWD), || world.drive(NodeInput::Kick { user, frame }));
    // It ends with the process: to take it down piece by piece would cost as much as it did.
    std::process::exit(0)
}

fn payload() -> Message {
    Message::from(Bytes::from_static(&[b'x'; 64]))
}

fn lobby() -> Channel {
    "lobby".into()
}

/// A node with its store, and connections that all subscribe to one channel.
struct World {
    node: Node<Pcg64>,
    store: MemoryStore,
    now: Instant,
    ready: Vec<ConnectionId>,
    size: u64,
}

impl World {
    fn new(size: u64) -> Result<Self> {
        let history = HistoryConfig::default()
            .with_max_sessions(10_000_000)
            .with_max_members(10_000)
            .with_max_total_bytes(1 << 40);
        let config = NodeConfig::default().with_history(history);
        let mut world = Self {
            node: Node::new(config, Pcg64::seed_from_u64(1))?,
            store: MemoryStore::new(history, 1)?,
            now: Instant::from_origin(Duration::from_secs(1)),
            ready: Vec::new(),
            size,
        };
        for id in 1..=size {
            world.enter(ConnectionId(id));
        }
        Ok(world)
    }

    fn enter(&mut self, id: ConnectionId) {
        self.hello(id, id.0, None);
        self.subscribe(id, &lobby(), false);
        self.transmit();
    }

    fn hello(&mut self, id: ConnectionId, user: u64, resume: Option<Resume>) {
        self.drive(NodeInput::Opened { id, user: Some(format!("user {user}")) });
        self.say(id, &ClientFrame::Hello { token: None, resume, max_message: None });
    }

    /// A connection breaks, and the session goes on over another one.
    fn resume(&mut self) -> Result<()> {
        let (first, second) = (ConnectionId(self.size + 2), ConnectionId(self.size + 3));
        self.hello(first, first.0, None);
        let mut welcome = None;
        while let Some(message) = self.node.poll_transmit(first) {
            if let Ok((ServerFrame::Welcome(said), _)) = ServerFrame::decode(&message) {
                welcome = Some(said);
            }
        }
        let Welcome { session, position, .. } = welcome.ok_or("no welcome")?;
        self.subscribe(first, &lobby(), false);
        self.drive(NodeInput::Closed { id: first, code: CloseCode::ABNORMAL });
        measured("resume", 1, || {
            self.hello(second, first.0, Some(Resume { session, position }));
            self.subscribe(second, &lobby(), false);
            self.transmit();
        });
        if self.node.stats().resumed == 1 { Ok(()) } else { Err("it was not resumed".into()) }
    }

    fn say(&mut self, id: ConnectionId, frame: &ClientFrame) {
        self.drive(NodeInput::Message { id, message: frame.encode(Encoding::Cbor) });
    }

    fn drive(&mut self, input: NodeInput) {
        self.node.handle(input, self.now);
        loop {
            if let Some(action) = self.node.poll_action() {
                self.perform(action);
            } else if let Some(news) = self.store.poll_news() {
                self.node.handle(NodeInput::StoreEvent(news), self.now);
            } else {
                return;
            }
        }
    }

    fn perform(&mut self, action: NodeAction) {
        let answer = match action {
            NodeAction::Ask { question, what } => {
                let answer = Ok(self.store.answer(what, self.now));
                NodeInput::Answered { question, answer }
            }
            NodeAction::Authorize { request, .. } => {
                NodeInput::Authorized { request, result: Ok(()) }
            }
            NodeAction::Handle { handling, .. } => {
                NodeInput::Handled { handling, result: Ok(Vec::new()) }
            }
            NodeAction::Ready { id } => return self.ready.push(id),
            NodeAction::Watch { stream } => return self.store.watch(stream),
            NodeAction::Unwatch { stream } => return self.store.unwatch(&stream),
            _ => return,
        };
        self.node.handle(answer, self.now);
    }

    /// Takes what the node has for the sockets.
    fn transmit(&mut self) {
        for id in std::mem::take(&mut self.ready) {
            while self.node.poll_transmit(id).is_some() {}
        }
    }

    fn subscribe(&mut self, id: ConnectionId, channel: &Channel, as_member: bool) {
        let presence = as_member.then(|| "here".into());
        let (channel, since, token) = (channel.clone(), None, None);
        self.say(id, &ClientFrame::Subscribe { channel, since, token, presence });
        self.transmit();
    }

    fn enter_one_more(&mut self) {
        let next = ConnectionId(self.size + 1);
        measured("enter", 1, || self.enter(next));
    }

    fn messages(&mut self) {
        let frame = |serial| ClientFrame::Message {
            serial: Some(serial),
            channel: None,
            payload: payload(),
        };
        let messages: Vec<_> = (1..=MESSAGES).map(frame).collect();
        measured("message", MESSAGES, || {
            for message in &messages {
                self.say(ConnectionId(1), message);
                self.transmit();
            }
        });
    }

    fn publish(&mut self) {
        let publish = NodeInput::Publish { stream: Stream::Channel(lobby()), message: payload() };
        measured("publish", self.size + 1, || {
            self.drive(publish);
            self.transmit();
        });
    }

    /// Everyone there is told.
    fn join(&mut self) {
        let (next, crowd) = (ConnectionId(self.size + 1), Channel::from("crowd"));
        let members = self.size.min(CROWD);
        for id in 1..=members {
            self.subscribe(ConnectionId(id), &crowd, true);
        }
        measured("join", members, || self.subscribe(next, &crowd, true));
    }
}
