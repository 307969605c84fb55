//! The events of a node: one Pub/Sub connection, which is reopened when it is lost.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::join_all};
use redis::{
    Msg, RedisResult,
    aio::{PubSubSink, PubSubStream},
};
use relink_node::{StoreEvent, Stream};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{Shared, codec, pending::Ticket};
use crate::history::{StoreEventSender, Watch};

/// How often the connection is checked, and members of dead nodes are looked for.
const ROUND: Duration = Duration::from_secs(10);
/// How often, in rounds, a watched stream is kept from expiring: well within `TOP_TTL`.
const REMEMBER: u32 = 60 * 60 / 10;
/// The delay between two attempts to connect: short, as one Redis server has few nodes.
const RETRY: Duration = Duration::from_millis(500);
/// The maximum number of orders in one batch.
const BATCH: usize = 256;

/// A change of the watched streams. Their number is bounded by what its clients subscribe to.
enum Order {
    Watch(Stream, Ticket),
    Unwatch(Stream),
}

struct Orders {
    sender: UnboundedSender<Order>,
    shared: Arc<Shared>,
}

impl Watch for Orders {
    fn watch(&self, stream: Stream) {
        _ = self.sender.send(Order::Watch(stream, self.shared.pending.begin()));
    }

    fn unwatch(&self, stream: &Stream) {
        _ = self.sender.send(Order::Unwatch(stream.clone()));
    }
}

pub(super) fn start(shared: Arc<Shared>, news: StoreEventSender) -> Arc<dyn Watch> {
    let (sender, orders) = unbounded_channel();
    let (watched, shared_too) = (BTreeSet::new(), Arc::clone(&shared));
    let listener = Listener { shared: shared_too, orders, news, watched, missed: false, rounds: 0 };
    tokio::spawn(listener.run());
    Arc::new(Orders { sender, shared })
}

struct Listener {
    shared: Arc<Shared>,
    orders: UnboundedReceiver<Order>,
    news: StoreEventSender,
    watched: BTreeSet<Stream>,
    /// Whether events may have been missed.
    missed: bool,
    rounds: u32,
}

/// Why a connection ends.
enum Lost {
    /// The connection is lost, and is reopened.
    Connection,
    /// The node is gone.
    Node,
}

impl Listener {
    async fn run(mut self) {
        loop {
            let lost = match self.connect().await {
                Ok((sink, stream)) => self.hear(sink, stream).await,
                Err(lost) => lost,
            };
            self.missed = true;
            match lost {
                Lost::Node => return,
                Lost::Connection => sleep(RETRY).await,
            }
        }
    }

    /// Connects, and watches the same streams again. Events sent meanwhile are lost.
    async fn connect(&mut self) -> Result<(PubSubSink, PubSubStream), Lost> {
        let shared = Arc::clone(&self.shared);
        let connecting = timeout(shared.config.timeout, shared.client.get_async_pubsub());
        tokio::pin!(connecting);
        // Requests that wait for them wait for this attempt; if it fails, a `Lagged` follows.
        let mut tickets = Vec::new();
        let connected = loop {
            tokio::select! {
                connected = &mut connecting => break connected,
                order = self.orders.recv() => tickets.extend(self.note(order.ok_or(Lost::Node)?)),
            }
        };
        let (sink, stream) = connected.ok().and_then(Result::ok).ok_or(Lost::Connection)?.split();
        self.subscribe(&sink, self.watched.iter()).await?;
        if self.missed && !self.news.push(StoreEvent::Lagged) {
            return Err(Lost::Node);
        }
        self.missed = false;
        Ok((sink, stream))
    }

    /// Passes events on, until the connection is lost.
    async fn hear(&mut self, sink: PubSubSink, mut stream: PubSubStream) -> Lost {
        let mut round = interval(ROUND);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut orders = Vec::new();
        loop {
            let done = tokio::select! {
                message = stream.next() => message.map_or(Err(Lost::Connection), |message| self.tell(&message)),
                count = self.orders.recv_many(&mut orders, BATCH) => match count {
                    0 => Err(Lost::Node),
                    _ => self.obey(&sink, orders.drain(..)).await,
                },
                _ = round.tick() => self.go_round(&sink).await,
            };
            if let Err(lost) = done {
                return lost;
            }
        }
    }

    fn tell(&self, message: &Msg) -> Result<(), Lost> {
        let prefix = self.prefix();
        let name = message.get_channel_name().strip_prefix(&*prefix).unwrap_or_default();
        // Ignores what our scripts did not publish.
        let news = codec::news(name, message.get_payload_bytes().to_vec());
        if news.is_ok_and(|news| !self.news.push(news)) { Err(Lost::Node) } else { Ok(()) }
    }

    async fn obey(
        &mut self,
        sink: &PubSubSink,
        orders: impl Iterator<Item = Order>,
    ) -> Result<(), Lost> {
        let (mut new, mut old, mut tickets) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for order in orders {
            let (stream, ticket) = match order {
                Order::Watch(stream, ticket) => (stream, Some(ticket)),
                Order::Unwatch(stream) => (stream, None),
            };
            // The last order for a stream counts.
            let watch = ticket.is_some();
            tickets.extend(ticket);
            let (to, from) = if watch { (&mut new, &mut old) } else { (&mut old, &mut new) };
            from.remove(&stream);
            to.insert(stream);
        }
        self.watched.retain(|stream| !old.contains(stream));
        self.watched.extend(new.iter().cloned());
        self.unsubscribe(sink, old.iter()).await?;
        self.subscribe(sink, new.iter()).await
        // The tickets end here: the watches are in effect, or a `Lagged` will follow.
    }

    fn note(&mut self, order: Order) -> Option<Ticket> {
        match order {
            Order::Watch(stream, ticket) => {
                self.watched.insert(stream);
                Some(ticket)
            }
            Order::Unwatch(stream) => {
                self.watched.remove(&stream);
                None
            }
        }
    }

    async fn subscribe(
        &self,
        sink: &PubSubSink,
        streams: impl Iterator<Item = &Stream>,
    ) -> Result<(), Lost> {
        let all = streams.map(|stream| {
            let (mut sink, name) = (sink.clone(), self.name(stream));
            async move { sink.subscribe(name).await }
        });
        self.in_time(join_all(all)).await
    }

    async fn unsubscribe(
        &self,
        sink: &PubSubSink,
        streams: impl Iterator<Item = &Stream>,
    ) -> Result<(), Lost> {
        let all = streams.map(|stream| {
            let (mut sink, name) = (sink.clone(), self.name(stream));
            async move { sink.unsubscribe(name).await }
        });
        self.in_time(join_all(all)).await
    }

    async fn in_time(&self, all: impl Future<Output = Vec<RedisResult<()>>>) -> Result<(), Lost> {
        match timeout(self.shared.config.timeout, all).await {
            Ok(done) if done.iter().all(Result::is_ok) => Ok(()),
            Ok(_) | Err(_) => Err(Lost::Connection),
        }
    }

    /// Checks the connection, looks for members of dead nodes, and keeps watched streams from
    /// expiring.
    async fn go_round(&mut self, sink: &PubSubSink) -> Result<(), Lost> {
        if self.news.is_closed() {
            return Err(Lost::Node);
        }
        let mut sink = sink.clone();
        self.in_time(async move { vec![sink.ping::<redis::Value>().await.map(drop)] }).await?;
        let (shared, remember) = (Arc::clone(&self.shared), self.rounds % REMEMBER == REMEMBER - 1);
        self.rounds = self.rounds.wrapping_add(1);
        let watched: Vec<_> = self.watched.iter().filter(|_| remember).cloned().collect();
        // In its own task, so that events do not wait for it. If it fails, another node or the next
        // round does it.
        tokio::spawn(async move {
            _ = shared.sweep().await;
            for stream in watched {
                _ = shared.read(&stream, None, 0, None).await;
            }
        });
        Ok(())
    }

    fn name(&self, stream: &Stream) -> Vec<u8> {
        [self.prefix().as_bytes(), &codec::stream(stream)].concat()
    }

    fn prefix(&self) -> String {
        format!("{}news:", self.shared.config.prefix)
    }
}
