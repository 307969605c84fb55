//! A client: its session, its driver, and an application that sends, subscribes, and takes its
//! messages late.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rand_pcg::Pcg32;
use relink::rand_core::SeedableRng;
use relink::session::{Frame, PresenceEvent, SubscriptionState};
use relink::{
    Channel, CloseCode, Event, Instant, Message, Outgoing, Position, Priority, Reason, Resume,
    Session, SessionAction, SessionId, SessionInput, State, Subscription,
};
use relink_node::Stream;
use relink_v1::RelinkV1;

use super::plan::Plan;
use super::wire::Way;
use super::{Due, World};

/// What the application was told of its streams and has not taken yet, in order.
#[derive(Debug)]
pub(super) enum Item {
    Message {
        stream: Stream,
        at: Option<Position>,
        message: Message,
    },
    /// From here on.
    Begin {
        stream: Stream,
        position: Position,
    },
    Forget {
        stream: Stream,
    },
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) session: Session<RelinkV1, Pcg32>,
    pub(super) life: u32,
    pub(super) user: String,
    pub(super) wire: Option<u64>,
    pub(super) wants: BTreeSet<Channel>,
    /// Subscribed at some time, and not given up since.
    pub(super) followed: BTreeSet<Channel>,
    /// Which session the application knows of.
    pub(super) id: Option<SessionId>,
    pub(super) queue: VecDeque<Item>,
    takes: bool,
    pub(super) behind_until: Instant,
    pub(super) offline_until: Instant,
    pub(super) count: u64,
    /// When it last had a session at a node.
    pub(super) seen: Instant,
    /// Whether the transport that it last dropped was good.
    dropped_good: bool,
}

impl Client {
    pub(super) fn new(
        plan: &Plan,
        number: usize,
        life: u32,
        seeds: &mut super::dice::Dice,
    ) -> Self {
        let _ = plan;
        let (config, encoding) = Plan::client(seeds);
        let rng = Pcg32::seed_from_u64(seeds.seed());
        let session = Session::new(config, vec!["ws://nodes".into()], RelinkV1::new(encoding), rng);
        Self {
            session: session.expect("the plan draws what is valid"),
            life,
            user: format!("user-{number}"),
            wire: None,
            wants: BTreeSet::new(),
            followed: BTreeSet::new(),
            id: None,
            queue: VecDeque::new(),
            takes: false,
            behind_until: Instant::ORIGIN,
            offline_until: Instant::ORIGIN,
            count: 0,
            seen: Instant::ORIGIN,
            dropped_good: false,
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        let outbox = self.session.outbox();
        self.session.state() == State::Connected
            && outbox.is_empty()
            && outbox.in_flight() == 0
            && self.queue.is_empty()
            && self
                .session
                .subscriptions()
                .all(|(_, standing)| standing == SubscriptionState::Active)
    }

    pub(super) fn id(&self) -> Option<&SessionId> {
        self.id.as_ref()
    }

    pub(super) fn is_active(&self, channel: &Channel) -> bool {
        self.session
            .subscriptions()
            .any(|(name, standing)| name == channel && standing == SubscriptionState::Active)
    }
}

impl World {
    pub(super) fn tell_client(&mut self, number: usize, input: SessionInput) {
        self.clients[number].session.handle(input, self.now);
        self.settle_client(number);
    }

    /// Does what the session wants, as a driver does.
    pub(super) fn settle_client(&mut self, number: usize) {
        self.note_session(number);
        loop {
            if let Some(action) = self.clients[number].session.poll_action() {
                self.steps += 1;
                self.act(number, action);
                continue;
            }
            let client = &mut self.clients[number];
            let whole =
                client.wire.filter(|wire| self.wires.get(wire).is_some_and(|wire| wire.client_end));
            let Some(frame) = whole.and_then(|_| client.session.poll_transmit(self.now)) else {
                return;
            };
            let Some(wire) = whole else { return };
            let code = if let Frame::Close(close) = &frame { Some(close.code) } else { None };
            self.carry(wire, Way::ToNode, frame);
            if let Some(code) = code {
                self.check_code(number, code, "the client closes");
            }
        }
    }

    fn act(&mut self, number: usize, action: SessionAction) {
        let life = self.clients[number].life;
        match action {
            SessionAction::Dial { id, .. } => self.dial(number, id),
            SessionAction::Drop { farewell, .. } => {
                let Some(wire) = self.clients[number].wire.take() else { return };
                let code = farewell.as_ref().map_or(CloseCode::ABNORMAL, |frame| frame.code);
                self.note(|| format!("client {number} drops wire {wire}, saying {farewell:?}"));
                self.check_code(number, code, "the client drops its transport");
                self.clients[number].dropped_good = self.is_good(wire);
                self.client_lets_go(wire, code);
            }
            SessionAction::FetchChannelToken { channel } => {
                let after = self.dice.millis(1, 800);
                let fails = self.is_troubled() && self.tokens_fail_until > self.now;
                let result = if fails { Err("no tokens today".into()) } else { Ok("token".into()) };
                let input = SessionInput::ChannelToken { channel, result };
                self.later(after, Due::Client { client: number, life, input });
            }
            SessionAction::Event(event) => self.told(number, event),
            // No credentials are configured.
            SessionAction::FetchToken { .. } | _ => {
                self.ledger.blame("the session asks for a token")
            }
        }
    }

    /// The session may be another one now: its stream begins.
    fn note_session(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let Some(Resume { session, position }) = client.session.resume() else {
            client.id = None;
            return;
        };
        if client.id.as_ref() != Some(&session) {
            client.id = Some(session.clone());
            client.queue.push_back(Item::Begin { stream: Stream::Session(session), position });
            self.take_soon(number);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most events ask nothing of an application")]
    fn told(&mut self, number: usize, event: Event) {
        let (life, roomy) = (self.clients[number].life, self.plan.roomy);
        if let Some(line) = self.speaks.then(|| crate::transcript::event(&event)).flatten() {
            self.note(|| format!("client {number} is told: {line}"));
        }
        self.ledger.heed(number, life, &event);
        let client = &mut self.clients[number];
        match event {
            Event::Message(message) => {
                let Some(session) = client.id.clone() else {
                    return self.ledger.blame("a message without a session");
                };
                client.queue.push_back(Item::Message {
                    stream: Stream::Session(session),
                    at: None,
                    message,
                });
                self.take_soon(number);
            }
            Event::Publication { channel, position, message } => {
                let (stream, at) = (Stream::Channel(channel), Some(position));
                client.queue.push_back(Item::Message { stream, at, message });
                self.take_soon(number);
            }
            Event::Subscribed { channel, complete } => {
                let first = client.followed.insert(channel.clone());
                let Some(position) = client.session.position(&channel) else {
                    return self.ledger.blame("subscribed to a channel without a position");
                };
                if first || !complete {
                    let stream = Stream::Channel(channel.clone());
                    client.queue.push_back(Item::Begin { stream, position });
                    self.take_soon(number);
                }
                if !complete && (first || roomy) {
                    self.ledger.blame(format!(
                        "client {number} is told of a gap in {channel}, and there is none"
                    ));
                }
            }
            Event::Resumed { complete: false } => {
                if let Some(Resume { session, position }) = client.session.resume() {
                    client
                        .queue
                        .push_back(Item::Begin { stream: Stream::Session(session), position });
                }
                if roomy {
                    self.ledger.blame(format!(
                        "client {number} is told of a gap in its session, and there is none"
                    ));
                }
                self.take_soon(number);
            }
            Event::ResumeRefused { problem } => {
                let unseen = self.now - client.seen;
                self.excuse_all(number);
                if self.plan.lasting && unseen < Duration::from_secs(35) {
                    self.ledger.blame(format!(
                        "i25: the session of client {number} was refused ({problem}), unseen for {unseen:?}"
                    ));
                }
            }
            Event::Unsubscribed { channel, retry_in: None, .. } => {
                let after = self.dice.secs(1, 6);
                self.later(after, Due::Again { client: number, life, channel });
            }
            Event::Disconnected { reason: Reason::Dead(_), .. } if client.dropped_good => {
                self.ledger.blame(format!(
                    "w10: client {number} gives up a good transport for its silence"
                ));
            }
            Event::Presence { channel, change } => self.presence(number, channel, change),
            Event::Closed { reason } if !self.ends => {
                self.ledger.blame(format!("client {number} has come to its end: {reason}"));
            }
            _ => {}
        }
    }

    fn presence(&mut self, number: usize, channel: Channel, change: PresenceEvent) {
        // Who is not there any more sees nobody.
        if let PresenceEvent::Left(member) | PresenceEvent::StayEnded(member) = change {
            if self.clients[number].is_active(&channel) {
                self.check_left(number, &channel, &member);
            }
        }
    }

    // The application.

    /// One act: it sends, or changes what it listens to.
    pub(super) fn act_up(&mut self, number: usize) {
        let channel = self.channels[self.dice.index(self.channels.len())].clone();
        match self.dice.below(20) {
            0 => self.unsubscribe(number, &channel),
            1 | 2 => self.subscribe(number, channel, None),
            roll => {
                let several = if roll == 3 { self.dice.between(2, 6) } else { 1 };
                (0..several).for_each(|_| self.send(number, channel.clone()));
            }
        }
        self.settle_client(number);
    }

    fn send(&mut self, number: usize, channel: Channel) {
        let to_channel = self.dice.percent(60);
        let priority = if self.dice.percent(25) {
            self.dice.pick(&[Priority::High, Priority::Low])
        } else {
            Priority::Normal
        };
        let client = &mut self.clients[number];
        client.count += 1;
        let is_padded = self.plan.padded > 0 && self.dice.percent(self.plan.padded);
        let padding = if is_padded { "x".repeat(self.dice.index(1_000)) } else { String::new() };
        let tag = format!("{padding}{}/{}/{}", number, client.life, client.count);
        let message: Message = if client.count % 5 == 0 {
            tag.clone().into_bytes().into()
        } else {
            tag.clone().into()
        };
        let mut outgoing = Outgoing::from(message).with_priority(priority);
        if to_channel {
            outgoing = outgoing.on(channel);
        }
        if let Ok(accepted) = client.session.send(outgoing, self.now) {
            let key = (number, client.life, accepted.receipt.0);
            self.note(|| {
                format!("client {number} sends {tag}, {priority:?}, receipt {}", accepted.receipt)
            });
            self.ledger.sent(key, tag, priority);
        }
        self.settle_client(number);
    }

    pub(super) fn subscribe(&mut self, number: usize, channel: Channel, since: Option<Position>) {
        let index = self.channels.iter().position(|known| *known == channel).unwrap_or(0);
        let mut subscription = Subscription::default();
        if index == 1 {
            subscription = subscription.with_token();
        }
        // Everyone is seen in the first two.
        if index < 2 {
            subscription = subscription.with_presence("here");
        }
        if let Some(since) = since {
            subscription = subscription.with_since(since);
        }
        self.note(|| format!("client {number} wants {channel} since {since:?}"));
        let client = &mut self.clients[number];
        client.wants.insert(channel.clone());
        client.session.subscribe(channel, subscription);
        self.settle_client(number);
    }

    fn unsubscribe(&mut self, number: usize, channel: &Channel) {
        let client = &mut self.clients[number];
        if client.wants.remove(channel) {
            client.session.unsubscribe(channel);
            if client.followed.remove(channel) {
                client.queue.push_back(Item::Forget { stream: Stream::Channel(channel.clone()) });
            }
            self.note(|| format!("client {number} wants {channel} no more"));
            self.excuse(number, channel);
            self.settle_client(number);
            self.take_soon(number);
        }
    }

    /// It failed for good; the application asks again.
    pub(super) fn again(&mut self, number: usize, channel: Channel) {
        if self.clients[number].wants.contains(&channel) {
            self.subscribe(number, channel, None);
        }
    }

    pub(super) fn take_soon(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if !client.takes && !client.queue.is_empty() {
            client.takes = true;
            let behind = client.behind_until;
            let after =
                if self.dice.percent(50) { Duration::ZERO } else { self.dice.millis(1, 500) };
            let at = (self.now + after).max(behind);
            let life = self.clients[number].life;
            self.at(at, Due::Take { client: number, life });
        }
    }

    /// The application takes some of what it was told.
    pub(super) fn take(&mut self, number: usize) {
        self.clients[number].takes = false;
        let most = self.dice.between(1, 8);
        let mut count = 0;
        while count < most {
            let Some(item) = self.clients[number].queue.pop_front() else { break };
            match item {
                Item::Message { stream, at, message } => {
                    count += 1;
                    self.ledger.take(number, &stream, at, &message);
                }
                Item::Begin { stream, position } => self.ledger.begin(number, stream, position),
                Item::Forget { stream } => self.ledger.forget(number, &stream),
            }
        }
        if count > 0 {
            self.tell_client(number, SessionInput::Taken { count });
        }
        self.take_soon(number);
    }

    fn check_code(&mut self, number: usize, code: CloseCode, what: &str) {
        if matches!(code.0, 1002 | 1003 | 1007 | 1008 | 1009) {
            self.ledger.blame(format!("client {number}: {what} with {code}"));
        }
    }
}
