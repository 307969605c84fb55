//! One client of the fleet.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use relink_tokio::{
    Client, Event, builder, from_tokio,
    relink::{Outgoing, Position, Receipt, Subscription, stats::Stats},
    v1::Encoding,
};
use tokio::{
    net::TcpStream,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{APART, EVERY, Flow, Shared, channel_of};
use crate::clock;

/// Every third message has no channel: the server sends it back.
const DIRECT: u64 = 3;

/// What one client has sent and received.
#[derive(Default)]
pub(crate) struct Seen {
    /// When it dialed, counted from the start of the fleet.
    pub(crate) dials: Vec<Duration>,
    /// When its link was usable.
    pub(crate) connected: Vec<Duration>,
    /// When its link was lost.
    pub(crate) disconnected: Vec<Duration>,
    /// How often its subscription was confirmed.
    pub(crate) subscribed: u64,
    /// Numbers of its messages to the channel, in order.
    pub(crate) said: Vec<u64>,
    /// Numbers of its messages without a channel, in order.
    pub(crate) asked: Vec<u64>,
    pub(crate) sent: BTreeSet<Receipt>,
    pub(crate) acknowledged: BTreeSet<Receipt>,
    /// What it received on the channel, in order.
    pub(crate) heard: Vec<(Position, String)>,
    /// What the server sent back, in order.
    pub(crate) answers: Vec<String>,
    /// The link's own count.
    pub(crate) stats: Stats,
    /// Events that must not occur.
    pub(crate) wrong: Vec<String>,
}

impl Seen {
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.len() > self.disconnected.len()
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "dials {:?}, connected {:?}, disconnected {:?}, subscribed {} times, sent {}, acknowledged {}, heard {}, answered {}, wrong: {:?}",
            self.dials,
            self.connected,
            self.disconnected,
            self.subscribed,
            self.sent.len(),
            self.acknowledged.len(),
            self.heard.len(),
            self.answers.len(),
            self.wrong
        )
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not about messages and sessions is no news here"
    )]
    fn note(&mut self, event: Event, now: Duration) {
        match event {
            Event::Connected { .. } => self.connected.push(now),
            Event::Disconnected { .. } => self.disconnected.push(now),
            Event::Subscribed { complete: true, .. } => self.subscribed += 1,
            Event::Resumed { complete: true } => {}
            Event::Acknowledged { first, last } => {
                for receipt in first.0..=last.0 {
                    if !self.acknowledged.insert(Receipt(receipt)) {
                        self.wrong.push(format!("message {receipt} was acknowledged twice"));
                    }
                }
            }
            Event::Publication { position, message, .. } => {
                self.heard.push((position, message.as_text().unwrap_or_default().to_owned()));
            }
            Event::Message(message) => {
                self.answers.push(message.as_text().unwrap_or_default().to_owned())
            }
            event @ (Event::Subscribed { .. }
            | Event::Resumed { .. }
            | Event::ResumeRefused { .. }
            | Event::InDoubt { .. }
            | Event::Dropped { .. }
            | Event::Rejected { .. }
            | Event::Unsubscribed { .. }
            | Event::Missed { .. }
            | Event::Closed { .. }) => self.wrong.push(format!("{event:?}")),
            _ => {}
        }
    }
}

pub(super) async fn run(
    id: usize,
    urls: Arc<[String]>,
    shared: Arc<Shared>,
    flow: Arc<Flow>,
    begun: Instant,
) {
    sleep(APART * u32::try_from(id).unwrap_or(0)).await;
    let (client, mut events) = match link(&urls, &shared, begun) {
        Ok(link) => link,
        Err(error) => return shared.lock().wrong.push(error),
    };
    client.subscribe(channel_of(id), Subscription::default());
    let mut turn = interval(EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    loop {
        tokio::select! {
            event = events.recv() => {
                let now = clock::now() - begun;
                let mut seen = shared.lock();
                let Some(event) = event else { return seen.wrong.push("the link has ended".to_owned()) };
                seen.note(event, now);
                seen.stats = client.stats();
            }
            _ = turn.tick() => {
                if flow.0.load(Ordering::Relaxed) {
                    number += 1;
                    say(id, number, &client, &mut shared.lock());
                }
            }
        }
    }
}

fn link(
    urls: &[String],
    shared: &Arc<Shared>,
    begun: Instant,
) -> Result<(Client, relink_tokio::Events), String> {
    let (first, others) = urls.split_first().ok_or("no address")?;
    let shared = Arc::clone(shared);
    let link =
        others.iter().fold(builder(first.as_str()), |builder, url| builder.endpoint(url.as_str()));
    let link = link.relink_v1(Encoding::Json).connector(move |target| {
        shared.lock().dials.push(clock::now() - begun);
        async move {
            let stream = TcpStream::connect((target.host, target.port)).await?;
            stream.set_nodelay(true)?;
            Ok(from_tokio(stream))
        }
    });
    link.spawn().map_err(|error| error.to_string())
}

fn say(id: usize, number: u64, client: &Client, seen: &mut Seen) {
    let text = format!("{id}:{number}");
    let outgoing = Outgoing::from(text);
    let is_direct = number % DIRECT == 0;
    let outgoing = if is_direct { outgoing } else { outgoing.on(channel_of(id)) };
    match client.try_send(outgoing) {
        Ok(accepted) => {
            seen.sent.insert(accepted.receipt);
            if is_direct { seen.asked.push(number) } else { seen.said.push(number) }
        }
        Err(refused) => seen.wrong.push(refused.to_string()),
    }
}
