//! A session under any inputs, in any order, compared with a model that knows little more than the
//! promises.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use relink::link::TransportId;
use relink::session::{Frame, Secret};
use relink::{
    Channel, CloseCode, Guarantee, Instant, Outgoing, Position, Priority, Receipt, SessionConfig,
    SessionInput, State, Subscription,
};
use relink_sim::Sim;
use relink_v1::{ClientFrame, Codec, Encoding, RelinkV1, ServerFrame};

mod promises;
mod server;
mod steps;

use server::{Server, welcome};
use steps::{Step, config, step};

use crate::support::{Client, millis, secs};

/// Cases that failed once are kept here, and tried first.
const REGRESSIONS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/session/model/regressions.txt");

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn i32_whatever_happens_a_session_keeps_its_promises(
        config in config(),
        seed: u64,
        steps in vec(step(), 1..80),
    ) {
        let mut model = SessionModel::new(config, seed);
        model.give(SessionInput::Connect);
        for step in steps {
            model.step(step);
        }
        model.finish();
    }
}

/// The property above proves something only if its walks reach every fate.
#[test]
fn the_walks_reach_every_fate() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for seed in 0..120 {
        let tree = (config(), vec(step(), 80)).new_tree(&mut runner).expect("a case");
        let (config, steps) = proptest::strategy::ValueTree::current(&tree);
        let mut model = SessionModel::new(config, seed);
        model.give(SessionInput::Connect);
        steps.into_iter().for_each(|step| model.step(step));
        model.finish();
        seen.extend(model.seen);
    }
    for kind in [
        "Acknowledged",
        "Rejected",
        "InDoubt",
        "Dropped",
        "Message",
        "Publication",
        "Resumed",
        "ResumeRefused",
        "Subscribed",
        "Unsubscribed",
        "Presence",
        "gap",
        "duplicate",
        "sent again",
    ] {
        assert!(seen.contains(kind), "no walk saw {kind}: {seen:?}");
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It waits, or is in flight.
    Open,
    Acknowledged,
    Rejected,
    InDoubt,
    Dropped,
    /// Handed to a transport, at most once.
    Gone,
}

struct SessionModel {
    sim: Client,
    guarantee: Guarantee,
    /// The last transport that opened.
    old: Option<TransportId>,
    fates: BTreeMap<Receipt, (String, Fate)>,
    /// A counter that makes each text unique.
    number: u64,
    server: Server,
    sessions: u32,
    /// The server's side of this transport: whether it received a hello, the last serial, the
    /// subscriptions.
    said_hello: bool,
    welcomed: bool,
    next_serial: u64,
    subscribed: BTreeSet<u8>,
    /// The last offset of each stream that the application was told.
    told: BTreeMap<Option<Channel>, Position>,
    present: BTreeMap<(Channel, String), Option<String>>,
    closed: bool,
    seen: BTreeSet<&'static str>,
}

fn name(channel: u8) -> Channel {
    Channel::from(["a", "b", "c"][usize::from(channel)])
}

impl SessionModel {
    fn new(config: SessionConfig, seed: u64) -> Self {
        let sim = Sim::with(config, &["ws://peer"], RelinkV1::default(), seed).expect("valid");
        Self {
            sim: sim.manual(),
            guarantee: config.outbox.guarantee,
            old: None,
            fates: BTreeMap::new(),
            number: 0,
            server: Server::default(),
            sessions: 0,
            said_hello: false,
            welcomed: false,
            next_serial: 0,
            subscribed: BTreeSet::new(),
            told: BTreeMap::new(),
            present: BTreeMap::new(),
            closed: false,
            seen: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { priority, bytes } => self.send(priority, bytes),
            Step::Subscribe { channel, token, presence } => {
                let mut how = Subscription::default();
                how.needs_token = token;
                how.presence = presence.map(|words| words.to_string().as_str().into());
                self.sim.subscribe(name(channel), how);
                self.act();
            }
            Step::Unsubscribe { channel } => {
                self.sim.unsubscribe(name(channel).as_str());
                self.told.remove(&Some(name(channel)));
                self.present.retain(|(left, _), _| *left != name(channel));
                self.act();
            }
            Step::Take { count } => {
                self.sim.take(count.into());
                self.act();
            }
            Step::Close => self.give(SessionInput::Close(CloseCode::NORMAL.into())),
            Step::Connect => self.give(SessionInput::Connect),
            Step::Transmit { frames } => {
                let _ = (0..frames).take_while(|_| self.transmit()).count();
            }
            Step::Open => {
                let state = self.sim.state();
                self.give(SessionInput::Opened { id: self.sim.id() });
                if state != self.sim.state() {
                    self.old = Some(self.sim.id());
                    (self.said_hello, self.welcomed) = (false, false);
                    self.next_serial = 0;
                    self.subscribed.clear();
                    self.transmit();
                }
            }
            Step::Lose { tail } => {
                // The last messages may not have arrived.
                let kept = self.server.received.saturating_sub(tail.into());
                self.server.received = kept.max(self.server.acked);
                self.sim.peer().reset();
                self.act();
            }
            Step::ChannelToken { channel, works } => {
                let result = if works { Ok(Secret::from("token")) } else { Err("no".to_owned()) };
                self.give(SessionInput::ChannelToken { channel: name(channel), result });
            }
            Step::Wait { millis: time } => self.wait(millis(time.into())),
            Step::Backwards { millis: time } => {
                let now = self.sim.now();
                let back = now.since_origin().saturating_sub(millis(time.into()));
                self.sim.set_clock(Instant::from_origin(back));
                self.give(SessionInput::Timeout);
                self.transmit();
                self.sim.set_clock(now);
            }
            Step::Late => {
                let id = self.old.filter(|id| *id != self.sim.id());
                if let Some(id) = id {
                    let before = (
                        self.sim.machine().state(),
                        self.sim.machine().resume(),
                        self.sim.machine().outbox().in_flight(),
                    );
                    for frame in [ServerFrame::Ack { serial: 1 }, welcome("s", false, 0, 0)] {
                        let frame = Frame::Message(frame.encode(Encoding::Json));
                        self.give(SessionInput::Frame { id, frame });
                    }
                    let after = (
                        self.sim.machine().state(),
                        self.sim.machine().resume(),
                        self.sim.machine().outbox().in_flight(),
                    );
                    assert_eq!(before, after);
                }
            }
            _ if !self.said_hello => {}
            _ => self.serve(step),
        }
        self.check();
    }

    fn send(&mut self, priority: Priority, bytes: usize) {
        self.number += 1;
        let text = format!("{}{}", self.number, " ".repeat(bytes));
        let outgoing = Outgoing::from(text.as_str()).with_priority(priority);
        if let Ok(accepted) = self.sim.send(outgoing) {
            let before = self.fates.insert(accepted.receipt, (text, Fate::Open));
            assert_eq!(before, None, "a receipt is given out once");
        }
        self.act();
    }

    fn say(&mut self, frame: ServerFrame) {
        self.sim.peer().say(frame);
        self.act();
    }

    fn give(&mut self, input: SessionInput) {
        self.sim.handle(input);
        self.act();
    }

    fn wait(&mut self, time: core::time::Duration) {
        self.sim.advance(time);
        self.act();
    }

    /// The transport takes one frame.
    fn transmit(&mut self) -> bool {
        let frame = self.sim.peer().read_at_most(1).pop();
        self.act();
        let Some(frame) = frame else { return false };
        let Frame::Message(message) = frame else { return true };
        let (frame, _) = ClientFrame::decode(&message).expect("a frame of relink.v1");
        match frame {
            ClientFrame::Hello { .. } => {
                assert!(!self.said_hello, "once on each transport");
                self.said_hello = true;
            }
            ClientFrame::Message { serial: Some(serial), payload, .. }
                if self.welcomed && self.said_hello =>
            {
                let text = payload.as_text().expect("text");
                assert_eq!(serial, self.next_serial + 1, "serials have no holes");
                self.next_serial = serial;
                self.server.received = self.server.received.max(serial);
                if let Some(before) = self.server.wire.get(serial as usize - 1) {
                    assert_eq!(before, text, "a serial means one message");
                    self.seen.insert("sent again");
                } else {
                    self.server.wire.push(text.to_owned());
                    assert_eq!(self.server.wire.len() as u64, serial, "none was left out");
                }
                let (_, (_, fate)) =
                    self.fates.iter().find(|(_, (sent, _))| sent == text).expect("was sent");
                assert_eq!(*fate, Fate::Open, "{text:?} has had its fate");
            }
            ClientFrame::Message { serial, .. } => {
                assert_eq!(serial.is_some(), self.guarantee == Guarantee::AtLeastOnce);
            }
            ClientFrame::Subscribe { channel, .. } => {
                self.subscribed.extend((0..3).find(|number| name(*number) == channel));
            }
            ClientFrame::Unsubscribe { channel } => {
                self.subscribed.retain(|number| name(*number) != channel);
            }
            ClientFrame::Heartbeat { sent, .. } => {
                assert!(
                    !self.welcomed || !self.said_hello || sent <= self.next_serial,
                    "{sent}: not here"
                );
            }
            other => panic!("unexpected frame: {other:?}"),
        }
        true
    }

    /// Takes the events, and checks whether the transport is still there.
    fn act(&mut self) {
        self.sim.take_events().into_iter().for_each(|event| self.tell(event));
        if self.old != self.sim.machine().link().transport() {
            (self.said_hello, self.welcomed) = (false, false);
        }
    }

    /// Closes: whatever happened, the end comes, and every message has a fate.
    fn finish(&mut self) {
        self.give(SessionInput::Close(CloseCode::NORMAL.into()));
        for _ in 0..5 {
            while self.transmit() {}
            self.wait(secs(10));
        }
        self.check();
        assert!(matches!(self.sim.machine().state(), State::Closed(_)));
        assert!(self.fates.values().all(|(_, fate)| *fate != Fate::Open));
    }
}
