//! Anything may happen to a session, in any order: beside it runs a model that knows little more than the promises.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use rand_pcg::Pcg32;
use relink::rand_core::SeedableRng;
use relink::v1::{ClientFrame, Encoding, RelinkV1, ServerFrame};
use relink::{
    Channel, CloseCode, Event, Failure, Frame, Guarantee, Instant, OutboxConfig, Outgoing, Overflow,
    Position, PresenceEvent, Priority, Problem, Rate, Receipt, Rejection, Reopen, Secret, Session,
    SessionAction, SessionConfig, SessionInput, State, Subscription, SubscriptionsConfig, TransportId, v1,
};

use crate::desk::{Client, member, millis, secs};

/// Where a case that once failed is kept, to be tried first from then on.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/session/regressions.txt");

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
        let mut world = World::new(config, seed);
        world.give(SessionInput::Connect);
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}

/// The property above says something only where its walks get everywhere.
#[test]
fn the_walks_reach_every_fate() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for seed in 0..120 {
        let tree = (config(), vec(step(), 80)).new_tree(&mut runner).expect("a case");
        let (config, steps) = proptest::strategy::ValueTree::current(&tree);
        let mut world = World::new(config, seed);
        world.give(SessionInput::Connect);
        steps.into_iter().for_each(|step| world.step(step));
        world.finish();
        seen.extend(world.seen);
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

#[derive(Debug, Clone, Copy)]
enum Step {
    // The application.
    Send {
        priority: Priority,
        bytes: usize,
    },
    Subscribe {
        channel: u8,
        token: bool,
        presence: Option<u8>,
    },
    Unsubscribe {
        channel: u8,
    },
    Take {
        count: u8,
    },
    Close,
    Connect,
    // The driver.
    Transmit {
        frames: u8,
    },
    Open,
    Lose {
        tail: u8,
    },
    ChannelToken {
        channel: u8,
        works: bool,
    },
    Wait {
        millis: u16,
    },
    Backwards {
        millis: u16,
    },
    // The server, by the book.
    Welcome,
    Forget,
    Ack {
        behind: u8,
    },
    Reject,
    Answer {
        channel: u8,
    },
    Refuse {
        channel: u8,
        for_now: bool,
    },
    Publish {
        channel: Option<u8>,
    },
    Members {
        channel: u8,
        users: u8,
    },
    Joined {
        channel: u8,
        user: u8,
    },
    Left {
        channel: u8,
        user: u8,
    },
    // The server, confused or hostile.
    Repeat {
        channel: Option<u8>,
    },
    Skip {
        channel: Option<u8>,
    },
    AckAnything {
        serial: u64,
    },
    WelcomeAnything {
        resumed: bool,
        received: u8,
        offset: u8,
    },
    CountAnything {
        sent: u8,
    },
    /// Something over a transport that is gone.
    Late,
}

fn step() -> impl Strategy<Value = Step> {
    let channel = 0..3_u8;
    let stream = prop::option::of(0..3_u8);
    let priority = prop_oneof![Just(Priority::High), Just(Priority::Normal), Just(Priority::Low)];
    prop_oneof![
        8 => (priority, 0..40_usize).prop_map(|(priority, bytes)| Step::Send { priority, bytes }),
        3 => (channel.clone(), any::<bool>(), prop::option::of(0..3_u8))
            .prop_map(|(channel, token, presence)| Step::Subscribe { channel, token, presence }),
        1 => channel.clone().prop_map(|channel| Step::Unsubscribe { channel }),
        4 => (0..6_u8).prop_map(|count| Step::Take { count }),
        10 => (1..8_u8).prop_map(|frames| Step::Transmit { frames }),
        4 => Just(Step::Open),
        3 => (0..4_u8).prop_map(|tail| Step::Lose { tail }),
        2 => (channel.clone(), any::<bool>()).prop_map(|(channel, works)| Step::ChannelToken { channel, works }),
        5 => (0..12_000_u16).prop_map(|millis| Step::Wait { millis }),
        8 => Just(Step::Welcome),
        1 => Just(Step::Forget),
        4 => (0..4_u8).prop_map(|behind| Step::Ack { behind }),
        2 => Just(Step::Reject),
        4 => channel.clone().prop_map(|channel| Step::Answer { channel }),
        1 => (channel.clone(), any::<bool>()).prop_map(|(channel, for_now)| Step::Refuse { channel, for_now }),
        10 => stream.clone().prop_map(|channel| Step::Publish { channel }),
        2 => (channel.clone(), 0..16_u8).prop_map(|(channel, users)| Step::Members { channel, users }),
        2 => (channel.clone(), 0..4_u8).prop_map(|(channel, user)| Step::Joined { channel, user }),
        2 => (channel, 0..4_u8).prop_map(|(channel, user)| Step::Left { channel, user }),
        2 => stream.clone().prop_map(|channel| Step::Repeat { channel }),
        1 => prop_oneof![
            stream.prop_map(|channel| Step::Skip { channel }),
            any::<u64>().prop_map(|serial| Step::AckAnything { serial: serial >> 11 }),
            (any::<bool>(), 0..9_u8, 0..9_u8)
                .prop_map(|(resumed, received, offset)| Step::WelcomeAnything { resumed, received, offset }),
            (0..9_u8).prop_map(|sent| Step::CountAnything { sent }),
            (0..9_000_u16).prop_map(|millis| Step::Backwards { millis }),
            Just(Step::Late),
            Just(Step::Close),
            Just(Step::Connect),
        ],
    ]
}

fn config() -> impl Strategy<Value = SessionConfig> {
    let overflow =
        prop_oneof![Just(Overflow::Refuse), Just(Overflow::DropOldest), Just(Overflow::DropNewest)];
    let guarantee = prop_oneof![4 => Just(Guarantee::AtLeastOnce), 1 => Just(Guarantee::AtMostOnce)];
    let pace = prop::option::weighted(0.3, (1..3_u32, 100..2_000_u64));
    (overflow, guarantee, pace, any::<bool>(), any::<bool>(), 1..8_usize).prop_map(
        |(overflow, guarantee, pace, resubscribe, expires, in_flight)| {
            let outbox = OutboxConfig::default()
                .with_max_messages(8)
                .with_max_bytes(120)
                .with_overflow(overflow)
                .with_guarantee(guarantee)
                .with_in_flight(in_flight)
                .with_pace(pace.map(|(burst, refill)| Rate { burst, refill: millis(refill) }))
                .with_ttl(expires.then_some(secs(9)));
            let config = v1::config();
            config
                .with_link(config.link.with_reopen(Reopen::Always))
                .with_outbox(outbox)
                .with_subscriptions(SubscriptionsConfig::default().with_resubscribe(resubscribe))
        },
    )
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

/// One session at the server.
#[derive(Debug, Default)]
struct Server {
    /// What went over the wire, by serial from 1, and how much of it was taken in.
    wire: Vec<String>,
    received: u64,
    /// How far the client was told.
    acked: u64,
    /// The own stream's and each channel's last offset.
    offsets: BTreeMap<Option<u8>, u64>,
}

struct World {
    session: Client,
    guarantee: Guarantee,
    now: Instant,
    id: TransportId,
    old: Option<TransportId>,
    fates: BTreeMap<Receipt, (String, Fate)>,
    /// The next number that makes each text another one.
    number: u64,
    server: Server,
    sessions: u32,
    /// The server's side of this transport: the serial that comes next, the subscriptions, whether a hello was heard.
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

impl World {
    fn new(config: SessionConfig, seed: u64) -> Self {
        let rng = Pcg32::seed_from_u64(seed);
        let session =
            Session::new(config, vec!["ws://peer".into()], RelinkV1::default(), rng).expect("valid");
        Self {
            session,
            guarantee: config.outbox.guarantee,
            now: Instant::from_origin(secs(1_000)),
            id: TransportId::default(),
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
                self.session.subscribe(name(channel), how);
                self.act();
            }
            Step::Unsubscribe { channel } => {
                self.session.unsubscribe(&name(channel));
                self.told.remove(&Some(name(channel)));
                self.present.retain(|(left, _), _| *left != name(channel));
                self.act();
            }
            Step::Take { count } => self.give(SessionInput::Taken { count: count.into() }),
            Step::Close => self.give(SessionInput::Close(CloseCode::NORMAL.into())),
            Step::Connect => self.give(SessionInput::Connect),
            Step::Transmit { frames } => {
                let _ = (0..frames).take_while(|_| self.transmit()).count();
            }
            Step::Open => {
                let state = self.session.state();
                self.give(SessionInput::Opened { id: self.id });
                if state != self.session.state() {
                    self.old = Some(self.id);
                    (self.said_hello, self.welcomed) = (false, false);
                    self.next_serial = 0;
                    self.subscribed.clear();
                    self.transmit();
                }
            }
            Step::Lose { tail } => {
                // What was written last may not have arrived.
                let kept = self.server.received.saturating_sub(tail.into());
                self.server.received = kept.max(self.server.acked);
                let (id, failure) = (self.id, Failure::Reset);
                self.give(SessionInput::Failed { id, failure, detail: String::new(), location: None });
            }
            Step::ChannelToken { channel, works } => {
                let result = if works { Ok(Secret::from("token")) } else { Err("no".to_owned()) };
                self.give(SessionInput::ChannelToken { channel: name(channel), result });
            }
            Step::Wait { millis: time } => self.wait(millis(time.into())),
            Step::Backwards { millis: time } => {
                let back = self.now.since_origin().saturating_sub(millis(time.into()));
                let forth = core::mem::replace(&mut self.now, Instant::from_origin(back));
                self.give(SessionInput::Timeout);
                self.transmit();
                self.now = forth;
            }
            Step::Late => {
                let id = self.old.filter(|id| *id != self.id);
                if let Some(id) = id {
                    let before =
                        (self.session.state(), self.session.resume(), self.session.outbox().in_flight());
                    for frame in [ServerFrame::Ack { serial: 1 }, welcome("s", false, 0, 0)] {
                        let frame = Frame::Message(frame.encode(Encoding::Json));
                        self.give(SessionInput::Frame { id, frame });
                    }
                    let after =
                        (self.session.state(), self.session.resume(), self.session.outbox().in_flight());
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
        if let Ok(accepted) = self.session.send(outgoing, self.now) {
            let before = self.fates.insert(accepted.receipt, (text, Fate::Open));
            assert_eq!(before, None, "a receipt is given out once");
        }
        self.act();
    }

    /// What a server says. Before its welcome it says nothing else, unless it is confused.
    fn serve(&mut self, step: Step) {
        match step {
            Step::Welcome if !self.welcomed => {
                self.welcomed = true;
                let known = self.session.resume().filter(|_| self.sessions > 0);
                let asked = known.filter(|resume| resume.session.expose() == format!("s{}", self.sessions));
                let received = self.server.received;
                if let Some(resume) = asked {
                    self.next_serial = received;
                    self.server.offsets.insert(None, resume.position.offset);
                    self.server.acked = received;
                    let session = resume.session.expose().to_owned();
                    self.say(welcome(&session, true, received, resume.position.offset));
                } else {
                    self.fresh();
                }
            }
            Step::Forget if !self.welcomed => {
                self.welcomed = true;
                self.fresh();
            }
            Step::WelcomeAnything { resumed, received, offset } => {
                self.welcomed = true;
                let session = format!("s{}", self.sessions);
                self.say(welcome(&session, resumed, received.into(), offset.into()));
                // The two sides mean different things now; what follows only must not break anything.
                self.server = Server::default();
                self.said_hello = false;
            }
            _ if !self.welcomed => {}
            Step::Ack { behind } => {
                let serial = self.server.received.saturating_sub(behind.into());
                self.server.acked = self.server.acked.max(serial);
                self.say(ServerFrame::Ack { serial });
            }
            Step::Reject => {
                let serial = self.server.acked + 1;
                if serial <= self.server.received {
                    self.server.acked = serial;
                    let problem = Problem::new(Problem::NOT_HANDLED, "");
                    self.say(ServerFrame::Rejected(Rejection { serial, problem }));
                }
            }
            Step::Answer { channel } => {
                if self.subscribed.contains(&channel) {
                    let since = self.session.position(&name(channel)).map_or(0, |position| position.offset);
                    self.server.offsets.insert(Some(channel), since);
                    let position = Position::new(1, since);
                    self.say(ServerFrame::Subscribed { channel: name(channel), position, recovered: true });
                }
            }
            Step::Refuse { channel, for_now } => {
                let problem = if for_now { Problem::UNAVAILABLE } else { Problem::CHANNEL_NOT_AUTHORIZED };
                self.subscribed.remove(&channel);
                let problem = Some(Problem::new(problem, ""));
                self.say(ServerFrame::Unsubscribed { channel: name(channel), problem });
            }
            Step::Publish { channel } => self.publish(channel, 1),
            Step::Repeat { channel } => self.publish(channel, 0),
            Step::Skip { channel } => self.publish(channel, 2),
            Step::Members { channel, users } => {
                let users = (0..4).filter(|user| users & (1 << user) != 0);
                let members = users.map(|user| member(&user.to_string(), "")).collect();
                self.say(ServerFrame::Members { channel: name(channel), members });
            }
            Step::Joined { channel, user } => {
                let member = member(&user.to_string(), if user == 0 { "" } else { "x" });
                self.say(ServerFrame::Joined { channel: name(channel), member });
            }
            Step::Left { channel, user } => {
                self.say(ServerFrame::Left { channel: name(channel), member: member(&user.to_string(), "") });
            }
            Step::AckAnything { serial } => {
                let serial = serial.min((1 << 53) - 1);
                self.server.acked = self.server.received;
                self.say(ServerFrame::Ack { serial });
            }
            Step::CountAnything { sent } => {
                self.say(ServerFrame::HeartbeatAck { nonce: 1, sent: sent.into() });
            }
            other => assert!(matches!(other, Step::Welcome | Step::Forget), "{other:?} is done elsewhere"),
        }
    }

    fn fresh(&mut self) {
        self.sessions += 1;
        self.next_serial = 0;
        self.server = Server::default();
        self.server.offsets.insert(None, 0);
        self.say(welcome(&format!("s{}", self.sessions), false, 0, 0));
    }

    fn publish(&mut self, channel: Option<u8>, step: u64) {
        let Some(offset) = self.server.offsets.get_mut(&channel) else { return };
        *offset = (*offset + step).max(1);
        let offset = *offset;
        self.say(ServerFrame::Publication { channel: channel.map(name), offset, payload: "news".into() });
    }

    fn say(&mut self, frame: ServerFrame) {
        let frame = Frame::Message(frame.encode(Encoding::Json));
        self.give(SessionInput::Frame { id: self.id, frame });
    }

    fn give(&mut self, input: SessionInput) {
        self.session.handle(input, self.now);
        self.act();
    }

    /// Lets time pass. Each wake-up is followed by what a driver does, and makes progress.
    fn wait(&mut self, time: core::time::Duration) {
        let end = self.now + time;
        let mut wakes = 0;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.give(SessionInput::Timeout);
            let next = self.session.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a deadline that is handled is gone: {next:?}");
            wakes += 1;
            assert!(wakes < 1_000, "the session wakes for nothing");
        }
        self.now = end;
    }

    /// The transport takes one frame.
    fn transmit(&mut self) -> bool {
        let frame = self.session.poll_transmit(self.now);
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
                let (_, (_, fate)) = self.fates.iter().find(|(_, (sent, _))| sent == text).expect("was sent");
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
                assert!(!self.welcomed || !self.said_hello || sent <= self.next_serial, "{sent}: not here");
            }
            other => panic!("nobody asked for {other:?}"),
        }
        true
    }

    fn act(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                SessionAction::Dial { id, .. } => self.id = id,
                SessionAction::Drop { .. } => (self.said_hello, self.welcomed) = (false, false),
                SessionAction::Event(event) => self.tell(event),
                SessionAction::FetchChannelToken { .. } => {}
                other => panic!("nobody asked for {other:?}"),
            }
        }
    }

    fn tell(&mut self, event: Event) {
        let was_closed = core::mem::replace(&mut self.closed, false);
        match event {
            Event::Sent { first, last } if self.guarantee == Guarantee::AtMostOnce => {
                (first.0..=last.0).for_each(|receipt| self.fate(Receipt(receipt), Fate::Gone, ""));
            }
            Event::Acknowledged { first, last } => {
                (first.0..=last.0)
                    .for_each(|receipt| self.fate(Receipt(receipt), Fate::Acknowledged, "Acknowledged"));
            }
            Event::Rejected { receipt, .. } => self.fate(receipt, Fate::Rejected, "Rejected"),
            Event::InDoubt { receipt, .. } => self.fate(receipt, Fate::InDoubt, "InDoubt"),
            Event::Dropped { receipt, message, .. } => {
                let text = message.as_text().expect("text").to_owned();
                self.fates.entry(receipt).or_insert((text, Fate::Open));
                self.fate(receipt, Fate::Dropped, "Dropped");
            }
            Event::Message(_) => drop(self.seen.insert("Message")),
            Event::Publication { channel, position, .. } => {
                self.seen.insert("Publication");
                let before = self.told.insert(Some(channel), position);
                if let Some(before) = before.filter(|before| before.epoch == position.epoch) {
                    assert_eq!(position.offset, before.offset + 1, "no hole and no duplicate");
                }
            }
            Event::Resumed { .. } => drop(self.seen.insert("Resumed")),
            Event::ResumeRefused { .. } => drop(self.seen.insert("ResumeRefused")),
            Event::Subscribed { channel, complete } => {
                self.seen.insert("Subscribed");
                if !complete {
                    self.told.remove(&Some(channel));
                }
            }
            Event::Unsubscribed { .. } => drop(self.seen.insert("Unsubscribed")),
            Event::Presence { channel, change } => {
                self.seen.insert("Presence");
                self.presence(channel, change);
            }
            Event::Closed { .. } => self.closed = true,
            _ => {
                let is_start = matches!(event, Event::State { .. } | Event::Dialing { .. } | Event::Shown(_));
                assert!(!was_closed || is_start, "after the last event: {event:?}");
            }
        }
    }

    fn presence(&mut self, channel: Channel, change: PresenceEvent) {
        let key = |member: &relink::Member| (channel.clone(), member.user.clone());
        let info = |member: &relink::Member| member.info.as_ref().map(|info| info.as_str().to_owned());
        match &change {
            PresenceEvent::Joined(member) => {
                assert_eq!(self.present.insert(key(member), info(member)), None, "{change:?}");
            }
            PresenceEvent::Updated(member) => {
                let before = self.present.insert(key(member), info(member));
                assert!(before.is_some_and(|before| before != info(member)), "{change:?}");
            }
            PresenceEvent::Left(member) => {
                assert_eq!(self.present.remove(&key(member)), Some(info(member)), "{change:?}");
            }
        }
    }

    fn fate(&mut self, receipt: Receipt, fate: Fate, kind: &'static str) {
        self.seen.insert(kind);
        let (text, before) = self.fates.get_mut(&receipt).expect("it was taken");
        assert_eq!(*before, Fate::Open, "{text:?} has two fates, the second {fate:?}");
        *before = fate;
    }

    /// What holds between any two inputs.
    fn check(&mut self) {
        let outbox = self.session.outbox();
        let open = self.fates.values().filter(|(_, fate)| *fate == Fate::Open).count();
        assert_eq!(outbox.len() + outbox.in_flight(), open, "what has no fate yet is here");
        assert!(open <= 8 && outbox.bytes() <= 120 && outbox.in_flight() <= outbox.config().in_flight);
        assert_eq!(self.session.stats().queued as usize, open);
        for (channel, seen) in
            [("gap", self.session.stats().gaps), ("duplicate", self.session.stats().duplicates)]
        {
            if seen > 0 {
                self.seen.insert(channel);
            }
        }
        for number in 0..3 {
            let channel = name(number);
            let position = self.session.position(&channel);
            if let (Some(position), Some(told)) = (position, self.told.get(&Some(channel.clone()))) {
                assert!(
                    position.epoch != told.epoch || position.offset <= told.offset,
                    "ahead of what was told"
                );
            }
            let members = self.session.members(&channel);
            let present = self.present.keys().filter(|(at, _)| *at == channel).count();
            assert_eq!(members.len(), present, "what is told is what is so");
        }
        if let State::Closed(_) = self.session.state() {
            assert_eq!(self.session.poll_timeout(), None);
            assert_eq!((open, self.session.resume()), (0, None));
        }
    }

    /// Whatever happened: the end comes, and with it every fate.
    fn finish(&mut self) {
        self.give(SessionInput::Close(CloseCode::NORMAL.into()));
        for _ in 0..5 {
            while self.transmit() {}
            self.wait(secs(10));
        }
        self.check();
        assert!(matches!(self.session.state(), State::Closed(_)));
        assert!(self.fates.values().all(|(_, fate)| *fate != Fate::Open));
    }
}

fn welcome(session: &str, resumed: bool, received: u64, offset: u64) -> ServerFrame {
    ServerFrame::Welcome {
        session: session.into(),
        resumed,
        refused: None,
        received,
        rejected: Vec::new(),
        position: Position::new(1, offset),
    }
}
