//! History in memory, which lasts as long as the process.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_core::future::BoxFuture;
use relink::ConfigError;
use relink_node::{HistoryConfig, MemoryStore, StoreEvent, StoreRequest, StoreResponse, Stream};
use tokio::time::sleep;

use super::{History, HistoryError, StoreEventSender, Watch};
use crate::clock::Clock;

/// How often members that have left are looked for; without requests, the maximum delay of the
/// event.
const ROUND: Duration = Duration::from_secs(10);

/// History in the memory of this process: for a server with one node, and for tests. Clones share
/// it, so that several nodes in one process can.
///
/// A restart loses all of it: clients that come back get a new session, and learn that messages may
/// be missing. A [`RedisHistory`](crate::RedisHistory) (feature `redis`) survives a restart.
#[derive(Clone)]
pub struct MemoryHistory {
    shared: Arc<Shared>,
}

struct Shared {
    config: HistoryConfig,
    state: Mutex<State>,
}

struct State {
    clock: Clock,
    history: MemoryStore,
    nodes: BTreeMap<u64, Node>,
    next_node: u64,
}

struct Node {
    news: StoreEventSender,
    watched: BTreeSet<Stream>,
}

impl MemoryHistory {
    /// Creates an empty history.
    ///
    /// # Errors
    ///
    /// If the configuration is wrong.
    pub fn new(config: HistoryConfig) -> Result<Self, ConfigError> {
        let history = MemoryStore::new(config, rand::random())?;
        let clock = Clock::new();
        let state = Mutex::new(State { clock, history, nodes: BTreeMap::new(), next_node: 0 });
        Ok(Self { shared: Arc::new(Shared { config, state }) })
    }
}

impl History for MemoryHistory {
    /// Takes effect at once, not when it is polled.
    fn answer(&self, question: StoreRequest) -> BoxFuture<'_, Result<StoreResponse, HistoryError>> {
        Box::pin(std::future::ready(Ok(self.shared.answer(question))))
    }

    fn answer_now(&self, question: StoreRequest) -> Result<StoreResponse, StoreRequest> {
        Ok(self.shared.answer(question))
    }

    /// Call it inside a runtime.
    fn listen(&self, news: StoreEventSender) -> Arc<dyn Watch> {
        let mut state = self.shared.lock();
        let number = state.next_node;
        state.next_node += 1;
        state.nodes.insert(number, Node { news, watched: BTreeSet::new() });
        drop(state);
        let round = ROUND.min(self.shared.config.session_ttl / 2).max(Duration::from_millis(1));
        tokio::spawn(go_rounds(Arc::downgrade(&self.shared), number, round));
        Arc::new(Listener { shared: Arc::clone(&self.shared), number })
    }

    fn config(&self) -> HistoryConfig {
        self.shared.config
    }
}

/// Emits members that have left, while the node listens.
async fn go_rounds(shared: Weak<Shared>, number: u64, round: Duration) {
    loop {
        sleep(round).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.with(|state, now| state.history.handle_timeout(now));
        let listens = shared.lock().nodes.get(&number).is_some_and(|node| !node.news.is_closed());
        if !listens {
            return shared.remove(number);
        }
    }
}

impl Shared {
    fn answer(&self, question: StoreRequest) -> StoreResponse {
        self.with(|state, now| state.history.answer(question, now))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State, relink::Instant) -> T) -> T {
        let mut state = self.lock();
        // What expires is looked for when the time has changed: once a millisecond will do.
        let now = state.clock.now_in_millis();
        let done = act(&mut state, now);
        let State { history, nodes, .. } = &mut *state;
        while let Some(news) = history.poll_news() {
            tell(nodes, &news);
        }
        done
    }

    fn remove(&self, number: u64) {
        let mut state = self.lock();
        let State { history, nodes, .. } = &mut *state;
        if let Some(node) = nodes.remove(&number) {
            node.watched.iter().for_each(|stream| history.unwatch(stream));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notifies the nodes that watch.
#[expect(clippy::wildcard_enum_match_arm, reason = "the list of news may grow")]
fn tell(nodes: &BTreeMap<u64, Node>, news: &StoreEvent) {
    let stream = match news {
        StoreEvent::Published { stream, .. } => Some(stream.clone()),
        StoreEvent::MemberChanged { channel, .. } => Some(Stream::Channel(channel.clone())),
        StoreEvent::Resumed { session, .. } | StoreEvent::Ended { session, .. } => {
            Some(Stream::Session(session.clone()))
        }
        // Of no particular stream, or of an unknown kind.
        _ => None,
    };
    for node in nodes.values() {
        if stream.as_ref().is_none_or(|stream| node.watched.contains(stream)) {
            node.news.push(news.clone());
        }
    }
}

struct Listener {
    shared: Arc<Shared>,
    number: u64,
}

impl Watch for Listener {
    fn watch(&self, stream: Stream) {
        let mut state = self.shared.lock();
        let State { history, nodes, .. } = &mut *state;
        if nodes.get_mut(&self.number).is_some_and(|node| node.watched.insert(stream.clone())) {
            history.watch(stream);
        }
    }

    fn unwatch(&self, stream: &Stream) {
        let mut state = self.shared.lock();
        let State { history, nodes, .. } = &mut *state;
        if nodes.get_mut(&self.number).is_some_and(|node| node.watched.remove(stream)) {
            history.unwatch(stream);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.remove(self.number);
    }
}

impl fmt::Debug for MemoryHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHistory").field("config", &self.shared.config).finish_non_exhaustive()
    }
}
