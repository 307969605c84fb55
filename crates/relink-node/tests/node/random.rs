//! Any input, in any order, at any time.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use relink::session::{Secret, Text};
use relink::{Channel, CloseCode, CloseFrame, Instant, Position, Resume, SessionId};
use relink_node::{
    ConnectionId, DrainConfig, HistoryConfig, LivenessConfig, NodeConfig, NodeInput, StoreEvent,
    StoreRequest, StoreResponse, Stream,
};
use relink_sim::cluster::{Outcome, TaskDetail, TaskKind};
use relink_v1::{ClientFrame, Codec, Encoding};

use crate::support::{Cluster, secs};

#[derive(Debug, Clone)]
enum Step {
    Open(u64),
    Say(u64, u8, u64),
    Garbage(u64),
    Hang(u64, u16),
    Alive(u64),
    Arriving(u64),
    /// Ends one of the waiting tasks, well or with a failure.
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
    /// Time passes by this many milliseconds; negative ones are a clock that goes back.
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

struct RandomInputs {
    cluster: Cluster,
    /// How often each slot was connected again: no connection id is used twice.
    reconnects: [u64; 4],
}

impl RandomInputs {
    fn new(config: NodeConfig) -> Self {
        let mut cluster = Cluster::new(1, config);
        cluster.env.identify = |token| match token {
            Some(_) => Ok("ada".into()),
            None => Err(CloseCode::INVALID_TOKEN.into()),
        };
        cluster.env.application = |session, _, _| {
            let lobby = Stream::Channel(Channel::from("c0"));
            Ok(vec![(lobby, "effect".into()), (Stream::Session(session.clone()), "own".into())])
        };
        for kind in [TaskKind::Identify, TaskKind::Authorize, TaskKind::Handle, TaskKind::Store] {
            cluster.hold(kind);
        }
        cluster.advance(secs(100));
        let mut inputs = Self { cluster, reconnects: [0; 4] };
        (0..4).for_each(|slot| inputs.add_peer(slot));
        inputs
    }

    fn add_peer(&mut self, slot: u64) {
        let id = self.id(slot);
        self.cluster.add_peer(id, 0, encoding(slot));
        let peer = self.cluster.peer_mut(id);
        (peer.reads, peer.pings) = (false, false);
    }

    fn id(&self, slot: u64) -> ConnectionId {
        ConnectionId(self.reconnects[slot as usize] * 4 + slot)
    }

    fn give(&mut self, input: NodeInput) {
        self.cluster.give(0, input);
    }

    /// The nth session that was requested.
    fn session(&self, nth: usize) -> Option<SessionId> {
        let created = self.cluster.env.requests.iter().filter_map(|request| match request {
            StoreRequest::Create { session, .. } => Some(session.clone()),
            _ => None,
        });
        created.into_iter().nth(nth)
    }

    fn frame(&self, what: u8, number: u64) -> ClientFrame {
        let channel = Channel::from(format!("c{}", number % 2));
        let position = Position { epoch: number as u32, offset: number };
        match what {
            0 | 1 => {
                let session = self.session(number as usize);
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
        let held = &mut self.cluster.env.held;
        let Some(task) = held.remove(which.min(held.len().saturating_sub(1))) else { return };
        match task.detail.clone() {
            // Sometimes the store answers with a response to another request.
            TaskDetail::Store { id: question, request, .. } if !well && which == 8 => {
                self.cluster.ask_store(request);
                self.give(NodeInput::Answered { question, answer: Ok(StoreResponse::Done) });
            }
            _ => {
                let outcome = match (well, task.kind()) {
                    (true, _) => Outcome::Done,
                    (false, TaskKind::Store) => Outcome::ResultLost,
                    (false, _) => Outcome::Fails,
                };
                self.cluster.perform(task, outcome);
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Open(slot) => {
                let id = self.id(slot);
                // The id may be in use, or closed by the node.
                self.add_peer(slot);
                let user = (slot == 3).then(|| "ada".into());
                self.give(NodeInput::Opened { id, user });
            }
            Step::Say(slot, what, number) => {
                let message = self.frame(what, number).encode(encoding(slot));
                self.give(NodeInput::Message { id: self.id(slot), message });
            }
            Step::Garbage(slot) => {
                self.give(NodeInput::Message { id: self.id(slot), message: "{".into() })
            }
            Step::Hang(slot, code) => {
                let id = self.id(slot);
                self.reconnects[slot as usize] += 1;
                self.add_peer(slot);
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
                if millis < 0 {
                    let earlier = self.cluster.now().since_origin().saturating_sub(by);
                    let earlier = Instant::from_origin(earlier);
                    self.cluster.tell_node_as_if(earlier, 0, NodeInput::Timeout);
                    let next = self.cluster.node(0).poll_timeout();
                    assert!(next.is_none_or(|at| at > earlier), "a deadline makes progress");
                } else {
                    self.cluster.suspend(by);
                    self.give(NodeInput::Timeout);
                }
            }
            Step::Write(slot, most) => {
                let id = self.id(slot);
                self.cluster.read(id, usize::from(most));
            }
        }
    }

    /// A store event about something that did not happen.
    fn rumour(&self, which: u8, offset: u64) -> StoreEvent {
        let stream = Stream::Channel(Channel::from(format!("c{}", which % 2)));
        let session = self.session(usize::from(which));
        match (which, session) {
            (0..=4, _) => {
                let publication = relink_node::Publication { offset, message: "rumour".into() };
                StoreEvent::Published { stream, epoch: u32::from(which), publication }
            }
            (5, Some(session)) => StoreEvent::Resumed { session, generation: offset },
            (6, Some(session)) => {
                StoreEvent::Ended { session, frame: CloseFrame::from(CloseCode::ADMIN_DISCONNECT) }
            }
            _ => StoreEvent::Lagged,
        }
    }
}

fn encoding(slot: u64) -> Encoding {
    if slot % 2 == 0 { Encoding::Json } else { Encoding::Cbor }
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
        let mut inputs = RandomInputs::new(small());
        for step in steps {
            inputs.step(step);
            let stats = inputs.cluster.node(0).stats();
            prop_assert!(stats.outbound_bytes < 4 * 60_000, "bounded");
            prop_assert!(stats.unhandled < 400, "bounded");
            prop_assert!(inputs.cluster.node(0).connections() <= 4);
        }
        // All connections end and all requests are answered: the node keeps nothing.
        for slot in 0..4 {
            inputs.step(Step::Hang(slot, 1000));
        }
        for _ in 0..3000 {
            inputs.work(0, true);
            if inputs.cluster.env.held.is_empty() {
                let Some(at) = inputs.cluster.node(0).poll_timeout() else { break };
                inputs.cluster.advance(at - inputs.cluster.now());
            }
        }
        prop_assert_eq!(inputs.cluster.node(0).connections(), 0);
        prop_assert_eq!(inputs.cluster.node(0).poll_timeout(), None);
        prop_assert_eq!(inputs.cluster.node(0).stats().unhandled, 0);
        prop_assert_eq!(inputs.cluster.node(0).stats().outbound_bytes, 0);
    }
}
