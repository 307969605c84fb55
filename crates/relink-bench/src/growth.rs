//! What the parts of a server cost as their world grows, without sockets, in instructions.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rand_pcg::Pcg64;
use relink_node::{
    ConnectionId, HistoryConfig, MemoryStore, Node, NodeAction, NodeConfig, NodeInput, Stream,
};
use relink_server::relink::rand_core::SeedableRng;
use relink_server::relink::{Channel, CloseCode, Instant, Message};
use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame};

use crate::Result;
use crate::callgrind::Callgrind;

/// What is done in one world, in this order, and which part of its cost is given: for how many
/// times, or for how many connections.
const OPERATIONS: [(&str, fn(u64) -> u64); 11] = [
    ("read-cbor", |_| FRAMES),
    ("read-json", |_| FRAMES),
    ("write-cbor", |_| FRAMES),
    ("write-json", |_| FRAMES),
    ("enter", |_| 1),
    ("message", |_| MESSAGES),
    ("publish", |size| size),
    ("join", |size| size.min(CROWD)),
    ("stats", |_| 1),
    ("leave", |_| 1),
    ("kick", |_| 1),
];

/// The instructions of each operation in a world with this many connections.
pub(crate) fn measure(size: u64) -> Result<BTreeMap<&'static str, f64>> {
    let callgrind = Callgrind::new("relink_bench::growth::mark")?;
    let output = callgrind.command(&["growth".into(), size.to_string()])?.output()?;
    // What comes between two operations is not theirs.
    let totals = callgrind.totals(&output.stderr)?.into_iter().skip(1).step_by(2);
    let each = |((name, parts), total): (&(_, fn(u64) -> u64), i64)| {
        (*name, total as f64 / parts(size) as f64)
    };
    Ok(OPERATIONS.iter().zip(totals).map(each).collect())
}

/// Does all of it, for [`measure`] in another process.
pub(crate) fn run(size: u64) -> Result<()> {
    for encoding in [Encoding::Cbor, Encoding::Json] {
        read(encoding);
    }
    for encoding in [Encoding::Cbor, Encoding::Json] {
        write(encoding);
    }
    let mut world = World::new(size)?;
    for (operation, _) in &OPERATIONS[4..] {
        world.run(operation)?;
    }
    // It ends with the process: to take it down piece by piece would cost as much as it did.
    std::process::exit(0)
}

const FRAMES: u64 = 1000;
const MESSAGES: u64 = 64;
/// The members of the channel that one more joins, in a world that is large enough: a crowd takes
/// the square of its size to come together.
const CROWD: u64 = 300;

fn measured<T>(what: impl FnOnce() -> T) {
    mark();
    std::hint::black_box(what());
    mark();
}

/// Tells callgrind where a part begins.
#[inline(never)]
fn mark() {
    std::hint::black_box(());
}

fn payload() -> Message {
    Message::from(Bytes::from_static(&[b'x'; 64]))
}

fn lobby() -> Channel {
    "lobby".into()
}

fn publication() -> ServerFrame {
    ServerFrame::Publication {
        channel: Some(lobby()),
        offset: 1000,
        payload: "x".repeat(64).into(),
    }
}

fn read(encoding: Encoding) {
    let frame = publication().encode(encoding);
    measured(|| {
        for _ in 0..FRAMES {
            std::hint::black_box(ServerFrame::decode(std::hint::black_box(&frame))).ok();
        }
    });
}

fn write(encoding: Encoding) {
    let frame = publication();
    measured(|| {
        for _ in 0..FRAMES {
            std::hint::black_box(std::hint::black_box(&frame).encode(encoding));
        }
    });
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
        self.drive(NodeInput::Opened { id, user: Some(format!("user {}", id.0)) });
        self.say(id, &ClientFrame::Hello { token: None, resume: None, max_message: None });
        self.subscribe(id, &lobby(), false);
        self.transmit();
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

    fn run(&mut self, operation: &str) -> Result<()> {
        let (first, next) = (ConnectionId(1), ConnectionId(self.size + 1));
        match operation {
            "publish" => {
                let publish =
                    NodeInput::Publish { stream: Stream::Channel(lobby()), message: payload() };
                measured(|| {
                    self.drive(publish);
                    self.transmit();
                });
            }
            "message" => {
                let messages: Vec<_> = (1..=MESSAGES)
                    .map(|serial| ClientFrame::Message {
                        serial: Some(serial),
                        channel: None,
                        payload: payload(),
                    })
                    .collect();
                measured(|| {
                    for message in &messages {
                        self.say(first, message);
                        self.transmit();
                    }
                });
            }
            "kick" => {
                let user = "user 1".to_owned();
                let frame = CloseCode::ACCOUNT_SUSPENDED.into();
                measured(|| self.drive(NodeInput::Kick { user, frame }));
            }
            "stats" => {
                measured(|| self.node.stats());
            }
            "leave" => {
                let code = CloseCode::ABNORMAL;
                measured(|| self.drive(NodeInput::Closed { id: first, code }));
            }
            "enter" => measured(|| self.enter(next)),
            "join" => {
                for id in 1..=self.size.min(CROWD) {
                    self.subscribe(ConnectionId(id), &"crowd".into(), true);
                }
                measured(|| self.subscribe(next, &"crowd".into(), true));
            }
            _ => return Err(format!("{operation:?} is no operation").into()),
        }
        Ok(())
    }
}
