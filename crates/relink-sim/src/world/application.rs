//! A client's application, which sends, subscribes, and takes its messages late.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rand_pcg::Pcg32;
use relink::rand_core::SeedableRng;
use relink::session::{PresenceEvent, SubscriptionState};
use relink::{
    Channel, Event, Instant, Message, Outgoing, Position, Priority, Reason, Resume, Session, State,
    Subscription,
};
use relink_node::Stream;
use relink_v1::RelinkV1;

use super::dice::Dice;
use super::plan::Plan;
use super::{Due, World};
use crate::cluster::Cluster;

/// The events that the application has not taken yet, in order.
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

#[derive(Debug, Default)]
pub(super) struct Application {
    pub(super) wants: BTreeSet<Channel>,
    /// Subscribed at some time, and not given up since.
    pub(super) followed: BTreeSet<Channel>,
    pub(super) queue: VecDeque<Item>,
    pub(super) takes: bool,
    pub(super) behind_until: Instant,
    pub(super) offline_until: Instant,
    pub(super) count: u64,
    /// When it last had a session at a node.
    pub(super) seen: Instant,
    /// Whether the transport that it last dropped was good.
    pub(super) dropped_good: bool,
}

/// A session as the plan draws it.
pub(super) fn draw_session(dice: &mut Dice) -> Session<RelinkV1, Pcg32> {
    let (config, encoding) = Plan::client(dice);
    let rng = Pcg32::seed_from_u64(dice.seed());
    let session = Session::new(config, vec!["ws://nodes".into()], RelinkV1::new(encoding), rng);
    session.expect("the plan draws what is valid")
}

impl Cluster<World> {
    pub(super) fn is_settled(&self, number: usize) -> bool {
        let session = &self.clients[number].session;
        let outbox = session.outbox();
        session.state() == State::Connected
            && outbox.is_empty()
            && outbox.in_flight() == 0
            && self.env.apps[number].queue.is_empty()
            && session.subscriptions().all(|(_, state)| state == SubscriptionState::Active)
    }

    pub(super) fn is_active(&self, number: usize, channel: &Channel) -> bool {
        let mut subscriptions = self.clients[number].session.subscriptions();
        subscriptions.any(|(name, state)| name == channel && state == SubscriptionState::Active)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most events ask nothing of an application")]
    pub(super) fn hear_event(&mut self, number: usize, event: Event) {
        let (life, roomy) = (self.clients[number].life, self.env.plan.roomy);
        if let Some(line) = self.env.speaks.then(|| crate::transcript::event(&event)).flatten() {
            self.note(|| format!("client {number} is told: {line}"));
        }
        self.env.ledger.heed(number, life, &event);
        let (client, app) = (&mut self.clients[number], &mut self.env.apps[number]);
        match event {
            Event::Message(message) => {
                let Some(session) = client.known.clone() else {
                    return self.blame("a message without a session");
                };
                app.queue.push_back(Item::Message {
                    stream: Stream::Session(session),
                    at: None,
                    message,
                });
                self.take_soon(number);
            }
            Event::Publication { channel, position, message } => {
                let (stream, at) = (Stream::Channel(channel), Some(position));
                app.queue.push_back(Item::Message { stream, at, message });
                self.take_soon(number);
            }
            Event::Subscribed { channel, complete } => {
                let first = app.followed.insert(channel.clone());
                let Some(position) = client.session.position(&channel) else {
                    return self.blame("subscribed to a channel without a position");
                };
                if first || !complete {
                    let stream = Stream::Channel(channel.clone());
                    app.queue.push_back(Item::Begin { stream, position });
                    self.take_soon(number);
                }
                if !complete && (first || roomy) {
                    self.blame(format!(
                        "client {number} is told of a gap in {channel}, and there is none"
                    ));
                }
            }
            Event::Resumed { complete: false } => {
                if let Some(Resume { session, position }) = client.session.resume() {
                    app.queue.push_back(Item::Begin { stream: Stream::Session(session), position });
                }
                if roomy {
                    self.blame(format!(
                        "client {number} is told of a gap in its session, and there is none"
                    ));
                }
                self.take_soon(number);
            }
            Event::ResumeRefused { problem } => {
                let unseen = self.now - app.seen;
                self.excuse_all(number);
                if self.env.plan.lasting && unseen < Duration::from_secs(35) {
                    self.blame(format!(
                        "i25: the session of client {number} was refused ({problem}), unseen for {unseen:?}"
                    ));
                }
            }
            Event::Unsubscribed { channel, retry_in: None, .. } => {
                let after = self.env.dice.secs(1, 6);
                self.later(after, Due::Again { client: number, life, channel });
            }
            Event::Disconnected { reason: Reason::Dead(_), .. } if app.dropped_good => {
                self.blame(format!(
                    "w10: client {number} gives up a good transport for its silence"
                ));
            }
            Event::Presence { channel, change } => self.presence(number, channel, change),
            Event::Closed { reason } if !self.env.ends => {
                self.blame(format!("client {number} has come to its end: {reason}"));
            }
            _ => {}
        }
    }

    fn presence(&mut self, number: usize, channel: Channel, change: PresenceEvent) {
        // A member that has left sees no others.
        if let PresenceEvent::Left(member) | PresenceEvent::StayEnded(member) = change {
            if self.is_active(number, &channel) {
                self.check_left(number, &channel, &member);
            }
        }
    }

    // The application.

    /// One act: it sends, or changes what it listens to.
    pub(super) fn act_up(&mut self, number: usize) {
        let channel = self.env.channels[self.env.dice.index(self.env.channels.len())].clone();
        match self.env.dice.below(20) {
            0 => self.stop_listening_to(number, &channel),
            1 | 2 => self.listen_to(number, channel, None),
            roll => {
                let several = if roll == 3 { self.env.dice.between(2, 6) } else { 1 };
                (0..several).for_each(|_| self.send(number, channel.clone()));
            }
        }
        self.settle_client(number);
    }

    fn send(&mut self, number: usize, channel: Channel) {
        let to_channel = self.env.dice.percent(60);
        let priority = if self.env.dice.percent(25) {
            self.env.dice.pick(&[Priority::High, Priority::Low])
        } else {
            Priority::Normal
        };
        let (client, app) = (&mut self.clients[number], &mut self.env.apps[number]);
        app.count += 1;
        let is_padded = self.env.plan.padded > 0 && self.env.dice.percent(self.env.plan.padded);
        let padding =
            if is_padded { "x".repeat(self.env.dice.index(1_000)) } else { String::new() };
        let tag = format!("{padding}{}/{}/{}", number, client.life, app.count);
        let message: Message =
            if app.count % 5 == 0 { tag.clone().into_bytes().into() } else { tag.clone().into() };
        let mut outgoing = Outgoing::from(message).with_priority(priority);
        if to_channel {
            outgoing = outgoing.on(channel);
        }
        if let Ok(accepted) = client.session.send(outgoing, self.now) {
            let key = (number, client.life, accepted.receipt.0);
            self.note(|| {
                format!("client {number} sends {tag}, {priority:?}, receipt {}", accepted.receipt)
            });
            self.env.ledger.sent(key, tag, priority);
        }
        self.settle_client(number);
    }

    pub(super) fn listen_to(&mut self, number: usize, channel: Channel, since: Option<Position>) {
        let index = self.env.channels.iter().position(|known| *known == channel).unwrap_or(0);
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
        self.env.apps[number].wants.insert(channel.clone());
        self.clients[number].session.subscribe(channel, subscription);
        self.settle_client(number);
    }

    fn stop_listening_to(&mut self, number: usize, channel: &Channel) {
        let (client, app) = (&mut self.clients[number], &mut self.env.apps[number]);
        if app.wants.remove(channel) {
            client.session.unsubscribe(channel);
            if app.followed.remove(channel) {
                app.queue.push_back(Item::Forget { stream: Stream::Channel(channel.clone()) });
            }
            self.note(|| format!("client {number} wants {channel} no more"));
            self.excuse(number, channel);
            self.settle_client(number);
            self.take_soon(number);
        }
    }

    /// It failed for good; the application asks again.
    pub(super) fn again(&mut self, number: usize, channel: Channel) {
        if self.env.apps[number].wants.contains(&channel) {
            self.listen_to(number, channel, None);
        }
    }

    pub(super) fn take_soon(&mut self, number: usize) {
        let app = &mut self.env.apps[number];
        if !app.takes && !app.queue.is_empty() {
            app.takes = true;
            let behind = app.behind_until;
            let after = if self.env.dice.percent(50) {
                Duration::ZERO
            } else {
                self.env.dice.millis(1, 500)
            };
            let at = (self.now + after).max(behind);
            let life = self.clients[number].life;
            self.at(at, Due::Take { client: number, life });
        }
    }

    /// The application takes some of its events.
    pub(super) fn take_some(&mut self, number: usize) {
        self.env.apps[number].takes = false;
        let most = self.env.dice.between(1, 8);
        let mut count = 0;
        while count < most {
            let Some(item) = self.env.apps[number].queue.pop_front() else { break };
            match item {
                Item::Message { stream, at, message } => {
                    count += 1;
                    self.env.ledger.take(number, &stream, at, &message);
                }
                Item::Begin { stream, position } => self.env.ledger.begin(number, stream, position),
                Item::Forget { stream } => self.env.ledger.forget(number, &stream),
            }
        }
        if count > 0 {
            self.client_takes(number, count);
        }
        self.take_soon(number);
    }
}
