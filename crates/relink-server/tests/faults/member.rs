//! A client with a ledger: what it sent, the fates, what it received.

use std::{collections::BTreeMap, time::Duration};

use rand::{RngExt, rngs::StdRng};
use relink::policy::{Curve, HeartbeatConfig, Rate};
use relink::{Backoff, Channel, Event, Message, Outgoing, Receipt, SessionConfig, Subscription};
use relink_tokio::{Client, DeflateConfig, Events};
use relink_v1 as v1;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, interval, timeout_at},
};

use crate::schedule::{Phase, Report};

const ROOM: &str = "room";
/// The number of messages, every other one to the room; then a last one to each.
const MESSAGES: usize = 24;
/// The time between two of them, while faults are made.
const PACE: Duration = Duration::from_millis(45);
/// Far longer than it takes until everything has arrived.
const PATIENCE: Duration = Duration::from_secs(25);

/// Of each message, with all that came before it.
pub(crate) fn compression() -> DeflateConfig {
    let deflate = DeflateConfig::default().with_min_size(1);
    deflate.with_context_takeover(true).with_peer_context_takeover(true)
}

pub(crate) struct Member {
    number: usize,
    count: usize,
    client: Client,
    events: Events,
    ledger: Ledger,
}

/// What happened to it.
#[derive(Default)]
struct Ledger {
    /// The fates that were reported for each receipt.
    fates: BTreeMap<Receipt, Vec<&'static str>>,
    /// Received from the room, by sender: the numbers in order of arrival.
    room: BTreeMap<usize, Vec<usize>>,
    /// Received from the session's own stream.
    own: Vec<usize>,
    subscribed: bool,
    wrong: Vec<String>,
    /// The last events, for the failure message.
    trail: Vec<String>,
    report: Report,
}

impl Member {
    pub(crate) fn new(number: usize, count: usize, url: String, chance: &mut StdRng) -> Self {
        let encoding = if chance.random() { v1::Encoding::Json } else { v1::Encoding::Cbor };
        let builder = relink_tokio::builder(&*url).relink_v1(encoding).config(hasty());
        let builder = if chance.random() { builder.deflate(compression()) } else { builder };
        let (client, events) = builder.spawn().unwrap();
        client.subscribe(ROOM, Subscription::default());
        Self { number, count, client, events, ledger: Ledger::default() }
    }

    /// Takes part until everything has arrived, or the time is over.
    pub(crate) async fn live(
        mut self,
        mut phase: watch::Receiver<Phase>,
        arrived: mpsc::Sender<()>,
    ) -> Result<Report, String> {
        let deadline = Instant::now() + PATIENCE;
        let ended = timeout_at(deadline, self.take_part(&mut phase, arrived)).await;
        let mut wrong = std::mem::take(&mut self.ledger.wrong);
        if ended.is_err() {
            wrong.push(format!("it did not come to rest: {}", self.what_is_missing()));
        }
        if let Err(problem) = self.ledger.verdict(self.count) {
            wrong.push(problem);
        }
        self.client.close().await;
        if wrong.is_empty() {
            return Ok(self.ledger.report);
        }
        let last = self.ledger.trail.len().saturating_sub(60);
        let trail = self.ledger.trail[last..].join("\n        ");
        Err(format!("client {}: {}\n        {trail}", self.number, wrong.join("; ")))
    }

    async fn take_part(&mut self, phase: &mut watch::Receiver<Phase>, arrived: mpsc::Sender<()>) {
        while !self.ledger.subscribed {
            self.hear().await;
        }
        _ = arrived.send(()).await;
        while *phase.borrow_and_update() == Phase::Arriving {
            tokio::select! {
                _ = phase.changed() => {}
                () = self.hear() => {}
            }
        }
        let mut pace = interval(PACE);
        for message in 1..=MESSAGES {
            while *phase.borrow() == Phase::Trouble {
                tokio::select! {
                    biased;
                    _ = pace.tick() => break,
                    _ = phase.changed() => break,
                    () = self.hear() => {}
                }
            }
            self.say(message).await;
        }
        while *phase.borrow_and_update() != Phase::Peace || !self.has(MESSAGES) {
            tokio::select! {
                _ = phase.changed() => {}
                () = self.hear() => {}
            }
        }
        // After these two no earlier message can arrive.
        self.say(MESSAGES + 1).await;
        self.say(MESSAGES + 2).await;
        while !self.has(MESSAGES + 2) {
            self.hear().await;
        }
    }

    async fn say(&mut self, number: usize) {
        let message = Outgoing::from(format!("{} {number}", self.number));
        let message = if to_room(number) { message.on(ROOM) } else { message };
        match self.client.send(message).await {
            Ok(accepted) => drop(self.ledger.fates.insert(accepted.receipt, Vec::new())),
            Err(refused) => {
                self.ledger.wrong.push(format!("message {number} was not taken: {refused}"))
            }
        }
    }

    /// Whether everything up to this number has come back, from everyone, and was acknowledged.
    fn has(&self, number: usize) -> bool {
        let (room, own): (Vec<_>, Vec<_>) = (1..=number).partition(|number| to_room(*number));
        let ledger = &self.ledger;
        ledger.own.len() >= own.len()
            && (0..self.count)
                .all(|sender| ledger.room.get(&sender).is_some_and(|got| got.len() >= room.len()))
            && ledger.fates.values().all(|fate| !fate.is_empty())
    }

    fn what_is_missing(&self) -> String {
        let open: Vec<_> = self
            .ledger
            .fates
            .iter()
            .filter(|(_, fate)| fate.is_empty())
            .map(|(r, _)| r.0)
            .collect();
        format!(
            "no word on {open:?}; from the room {:?}; own {:?}; {:?}",
            self.ledger.room, self.ledger.own, self.client
        )
    }

    async fn hear(&mut self) {
        match self.events.recv().await {
            Some(event) => self.ledger.note(self.number, &event),
            None => std::future::pending().await,
        }
    }
}

fn to_room(number: usize) -> bool {
    number % 2 == 0
}

impl Ledger {
    fn note(&mut self, me: usize, event: &Event) {
        self.trail.push(format!("{event:?}").chars().take(240).collect());
        match event {
            Event::Publication { channel, message, .. } if *channel == Channel::from(ROOM) => {
                let (sender, number) = parse(message);
                self.room.entry(sender).or_default().push(number);
            }
            Event::Message(message) => {
                let (sender, number) = parse(message);
                if sender != me {
                    self.wrong.push(format!("got a message that was meant for {sender}"));
                }
                self.own.push(number);
            }
            Event::Acknowledged { first, last } => {
                (first.0..=last.0).for_each(|receipt| self.fate(Receipt(receipt), "acknowledged"));
            }
            Event::Rejected { receipt, .. } => self.fate(*receipt, "rejected"),
            Event::InDoubt { first, last, .. } => {
                (first.0..=last.0).for_each(|receipt| self.fate(Receipt(receipt), "in doubt"));
            }
            Event::Dropped { first, last, .. } => {
                (first.0..=last.0).for_each(|receipt| self.fate(Receipt(receipt), "dropped"));
            }
            Event::Subscribed { complete, .. } => {
                self.subscribed = true;
                if !complete {
                    self.wrong.push("the room is told to have a gap".to_owned());
                }
            }
            Event::Resumed { complete } => {
                self.report.resumed += 1;
                if !complete {
                    self.wrong.push("the session is told to have a gap".to_owned());
                }
            }
            Event::Disconnected { .. } => self.report.lost += 1,
            Event::AttemptFailed { .. } => self.report.failed_attempts += 1,
            Event::ResumeRefused { .. } | Event::Unsubscribed { .. } | Event::Closed { .. } => {
                self.wrong.push(format!("{event:?}"));
            }
            _ => {}
        }
    }

    fn fate(&mut self, receipt: Receipt, fate: &'static str) {
        match self.fates.get_mut(&receipt) {
            Some(fates) => fates.push(fate),
            // Reported before `send` has returned.
            None => drop(self.fates.insert(receipt, vec![fate])),
        }
    }

    /// Everything must have arrived once and in order: the history is long enough, and no session
    /// ends.
    fn verdict(&mut self, count: usize) -> Result<(), String> {
        let all = MESSAGES + 2;
        let (room, own): (Vec<_>, Vec<_>) = (1..=all).partition(|number| to_room(*number));
        let got: usize = self.own.len() + self.room.values().map(Vec::len).sum::<usize>();
        self.report.sent = self.fates.len() as u64;
        self.report.acknowledged =
            self.fates.values().filter(|fate| **fate == ["acknowledged"]).count() as u64;
        self.report.expected = (own.len() + room.len() * count) as u64;
        self.report.received = got as u64;
        if let Some((receipt, fate)) =
            self.fates.iter().find(|(_, fate)| **fate != ["acknowledged"])
        {
            return Err(format!("of {receipt:?} was told: {fate:?}"));
        }
        if self.own != own {
            return Err(format!("own messages came as {:?}", self.own));
        }
        match (0..count).find(|sender| self.room.get(sender) != Some(&room)) {
            Some(sender) => {
                Err(format!("messages of {sender} came as {:?}", self.room.get(&sender)))
            }
            None => Ok(()),
        }
    }
}

fn parse(message: &Message) -> (usize, usize) {
    let text = message.as_text().unwrap_or_default();
    let (sender, number) = text.split_once(' ').unwrap_or_default();
    (sender.parse().unwrap_or(usize::MAX), number.parse().unwrap_or(usize::MAX))
}

/// Short heartbeats and delays.
fn hasty() -> SessionConfig {
    const MS: Duration = Duration::from_millis(1);
    let mut config = v1::config();
    config.link.backoff = Backoff::default()
        .with_first(Some(10 * MS))
        .with_floor(5 * MS)
        .with_cap(80 * MS)
        .with_curve(Curve::Exponential { initial: 20 * MS, factor_pct: 150 });
    config.link.heartbeat = HeartbeatConfig::default()
        .with_interval(Some(150 * MS))
        .with_timeout(150 * MS)
        .with_probe(100 * MS);
    config.link.budget.rate = Rate { burst: 1_000, refill: MS };
    config.link.connect_timeout = 500 * MS;
    config.link.handshake.authentication = Some(500 * MS);
    config.link.stable_after = 100 * MS;
    config
}
