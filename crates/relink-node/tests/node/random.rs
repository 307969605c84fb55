//! Anything, in any order, at any time (I32).

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use relink::session::{Problem, Secret, Text};
use relink::{Channel, CloseCode, CloseFrame, Instant, Position, Resume, SessionId};
use relink_node::{
    AuthorizationId, ConnectionId, DeliveryId, DrainConfig, HistoryConfig, LivenessConfig,
    MemoryStore, Node, NodeAction, NodeConfig, NodeInput, StoreEvent, StoreRequest, StoreRequestId,
    StoreResponse, Stream,
};
use relink_v1::{ClientFrame, Encoding};

use crate::world::{dice, secs};

#[derive(Debug, Clone)]
enum Step {
    Open(u64),
    Say(u64, u8, u64),
    Garbage(u64),
    Hang(u64, u16),
    Alive(u64),
    Arriving(u64),
    /// Does the next things that are asked for, in one order or another.
    Do {
        which: usize,
        well: bool,
    },
    StoreEvent {
        which: u8,
        offset: u64,
    },
    Publish(u8),
    Kick,
    Drain,
    /// Forward, or backward.
    Pass(i64),
    Write(u64, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..4_u64;
    prop_oneof![
        2 => id.clone().prop_map(Step::Open),
        12 => (id.clone(), 0..10_u8, 0..6_u64).prop_map(|(id, what, number)| Step::Say(id, what, number)),
        1 => id.clone().prop_map(Step::Garbage),
        2 => (id.clone(), prop_oneof![Just(1000), Just(1006)]).prop_map(|(id, code)| Step::Hang(id, code)),
        1 => id.clone().prop_map(Step::Alive),
        1 => id.clone().prop_map(Step::Arriving),
        25 => (0..9_usize, prop::bool::weighted(0.9)).prop_map(|(which, well)| Step::Do { which, well }),
        1 => (0..8_u8, 0..9_u64).prop_map(|(which, offset)| Step::StoreEvent { which, offset }),
        3 => (0..3_u8).prop_map(Step::Publish),
        1 => Just(Step::Kick),
        1 => prop::bool::weighted(0.05).prop_map(|drain| if drain { Step::Drain } else { Step::Kick }),
        5 => (-2_000..40_000_i64).prop_map(Step::Pass),
        6 => (id, 0..20_u8).prop_map(|(id, most)| Step::Write(id, most)),
    ]
}

enum Todo {
    Identify(ConnectionId),
    Authorize(AuthorizationId),
    Handle(DeliveryId, SessionId),
    Ask(StoreRequestId, StoreRequest),
}

struct Chaos {
    now: Instant,
    node: Node<rand_pcg::Pcg32>,
    history: MemoryStore,
    todo: Vec<Todo>,
    sessions: Vec<SessionId>,
    /// Ids that were used: one is never used again.
    generation: [u64; 4],
}

impl Chaos {
    fn new(config: NodeConfig) -> Self {
        Self {
            now: Instant::from_origin(secs(100)),
            node: Node::new(config, dice(1)).expect("valid"),
            history: MemoryStore::new(config.history, 5).expect("valid"),
            todo: Vec::new(),
            sessions: Vec::new(),
            generation: [0; 4],
        }
    }

    fn id(&self, slot: u64) -> ConnectionId {
        ConnectionId(self.generation[slot as usize] * 4 + slot)
    }

    fn give(&mut self, input: NodeInput) {
        self.node.handle(input, self.now);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(action) = self.node.poll_action() {
            match action {
                NodeAction::Identify { id, .. } => self.todo.push(Todo::Identify(id)),
                NodeAction::Authorize { request, .. } => self.todo.push(Todo::Authorize(request)),
                NodeAction::Handle { handling, session, .. } => {
                    self.todo.push(Todo::Handle(handling, session))
                }
                NodeAction::Ask { question, what } => {
                    if let StoreRequest::Create { session, .. } = &what {
                        self.sessions.push(session.clone());
                    }
                    self.todo.push(Todo::Ask(question, what));
                }
                _ => {}
            }
        }
    }

    fn frame(&self, what: u8, number: u64) -> ClientFrame {
        let channel = Channel::from(format!("c{}", number % 2));
        let position = Position { epoch: number as u32, offset: number };
        match what {
            0 | 1 => {
                let session = self.sessions.get(number as usize).cloned();
                let resume = session.map(|session| Resume { session, position });
                ClientFrame::Hello { token: Some(Secret::from("ada")), resume, max_message: None }
            }
            2..=4 => ClientFrame::Message {
                serial: Some(number),
                channel: Some(channel),
                payload: "x".repeat(number as usize * 10).into(),
            },
            5 => ClientFrame::Message { serial: None, channel: None, payload: "x".into() },
            6 => ClientFrame::Subscribe {
                channel,
                since: (number > 2).then_some(position),
                token: None,
                presence: (number % 3 > 0).then(|| Text::from("hi")),
            },
            7 => ClientFrame::Unsubscribe { channel },
            8 => ClientFrame::Heartbeat { nonce: 1, sent: number / 3 },
            _ => ClientFrame::Renew { token: Secret::from("ada") },
        }
    }

    fn work(&mut self, which: usize, well: bool) {
        if self.todo.is_empty() {
            return;
        }
        let todo = self.todo.remove(which.min(self.todo.len() - 1));
        let input = match todo {
            Todo::Identify(id) => {
                let frame = CloseFrame::from(CloseCode::INVALID_TOKEN);
                NodeInput::Identified {
                    id,
                    result: if well { Ok("ada".into()) } else { Err(frame) },
                }
            }
            Todo::Authorize(request) => {
                let problem = Problem::new("no", "no");
                NodeInput::Authorized { request, result: if well { Ok(()) } else { Err(problem) } }
            }
            Todo::Handle(handling, session) => {
                let lobby = Stream::Channel(Channel::from("c0"));
                let effects =
                    vec![(lobby, "effect".into()), (Stream::Session(session), "own".into())];
                let problem = Problem::new("no", "no");
                NodeInput::Handled {
                    handling,
                    result: if well { Ok(effects) } else { Err(problem) },
                }
            }
            Todo::Ask(question, what) => {
                let answer = self.history.answer(what, self.now);
                let answer = match (well, which) {
                    (true, _) => Ok(answer),
                    // Now and then a store that makes no sense.
                    (false, 8) => Ok(StoreResponse::Done),
                    (false, _) => Err("away".into()),
                };
                NodeInput::Answered { question, answer }
            }
        };
        self.give(input);
        while let Some(news) = self.history.poll_news() {
            self.give(NodeInput::StoreEvent(news));
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Open(slot) => {
                let id = self.id(slot);
                let user = (slot == 3).then(|| "ada".into());
                self.give(NodeInput::Opened { id, user });
            }
            Step::Say(slot, what, number) => {
                let encoding = if slot % 2 == 0 { Encoding::Json } else { Encoding::Cbor };
                let message = self.frame(what, number).encode(encoding);
                self.give(NodeInput::Message { id: self.id(slot), message });
            }
            Step::Garbage(slot) => {
                self.give(NodeInput::Message { id: self.id(slot), message: "{".into() })
            }
            Step::Hang(slot, code) => {
                let id = self.id(slot);
                self.generation[slot as usize] += 1;
                self.give(NodeInput::Closed { id, code: CloseCode(code) });
            }
            Step::Alive(slot) => self.give(NodeInput::Alive { id: self.id(slot) }),
            Step::Arriving(slot) => self.give(NodeInput::Arriving { id: self.id(slot) }),
            Step::Do { which, well } => self.work(which, well),
            Step::StoreEvent { which, offset } => {
                self.give(NodeInput::StoreEvent(self.rumour(which, offset)))
            }
            Step::Publish(which) => {
                let stream = Stream::Channel(Channel::from(format!("c{which}")));
                self.give(NodeInput::Publish { stream, message: "published".into() });
            }
            Step::Kick => {
                let frame = CloseFrame::from(CloseCode::ADMIN_DISCONNECT);
                self.give(NodeInput::Kick { user: "ada".into(), frame });
            }
            Step::Drain => self.give(NodeInput::Drain),
            Step::Pass(millis) => {
                let by = Duration::from_millis(millis.unsigned_abs());
                let latest = self.now;
                self.now = if millis < 0 { at_least_origin(self.now, by) } else { self.now + by };
                self.give(NodeInput::Timeout);
                let next = self.node.poll_timeout();
                assert!(next.is_none_or(|at| at > self.now), "a deadline makes progress");
                self.now = self.now.max(latest);
            }
            Step::Write(slot, most) => {
                for _ in 0..most {
                    if self.node.poll_transmit(self.id(slot)).is_none() {
                        break;
                    }
                }
                self.collect();
            }
        }
    }

    /// News that nobody made.
    fn rumour(&self, which: u8, offset: u64) -> StoreEvent {
        let stream = Stream::Channel(Channel::from(format!("c{}", which % 2)));
        let session = self.sessions.get(usize::from(which)).cloned();
        match (which, session) {
            (0..=4, _) => {
                let publication = relink_node::Publication { offset, message: "rumour".into() };
                StoreEvent::Published { stream, epoch: u32::from(which), publication }
            }
            (5, Some(session)) => StoreEvent::Resumed { session, turn: offset },
            (6, Some(session)) => {
                StoreEvent::Ended { session, frame: CloseFrame::from(CloseCode::ADMIN_DISCONNECT) }
            }
            _ => StoreEvent::Lagged,
        }
    }
}

fn at_least_origin(now: Instant, by: Duration) -> Instant {
    Instant::from_origin(now.since_origin().saturating_sub(by))
}

fn small() -> NodeConfig {
    NodeConfig::default()
        .with_liveness(LivenessConfig::default().with_message_timeout(Some(secs(10))))
        .with_history(HistoryConfig::default().with_max_messages(8))
        .with_max_outbound_bytes(600)
        .with_max_unhandled(3)
        .with_max_unhandled_bytes(100)
        .with_max_subscriptions(2)
        .with_page(3)
        .with_per_user(Some(3))
        .with_drain(DrainConfig::default())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn i32_no_input_in_any_order_breaks_a_node(steps in vec(step(), 1..400)) {
        let mut chaos = Chaos::new(small());
        for step in steps {
            chaos.step(step);
            let stats = chaos.node.stats();
            prop_assert!(stats.outbound_bytes < 4 * 60_000, "bounded");
            prop_assert!(stats.unhandled < 400, "bounded");
            prop_assert!(chaos.node.connections() <= 4);
        }
        // Everybody goes, and all that was asked is answered: nothing stays behind.
        for slot in 0..4 {
            chaos.step(Step::Hang(slot, 1000));
        }
        for _ in 0..3000 {
            chaos.work(0, true);
            if chaos.todo.is_empty() {
                match chaos.node.poll_timeout() {
                    None => break,
                    Some(at) => {
                        chaos.now = chaos.now.max(at);
                        chaos.give(NodeInput::Timeout);
                    }
                }
            }
        }
        prop_assert_eq!(chaos.node.connections(), 0);
        prop_assert_eq!(chaos.node.poll_timeout(), None);
        prop_assert_eq!(chaos.node.stats().unhandled, 0);
        prop_assert_eq!(chaos.node.stats().outbound_bytes, 0);
    }
}
