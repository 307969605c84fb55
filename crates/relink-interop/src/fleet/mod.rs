//! A thousand clients in this process, each of which talks on a channel that it shares with
//! nineteen others, and to the server itself. What each of them sent and saw is written down, and
//! judged at the end.

mod member;
mod verdict;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use crate::{Result, child::POLL, clock};
pub(crate) use member::Seen;

pub(crate) const CLIENTS: usize = 1000;
pub(crate) const CHANNELS: usize = 50;
/// Each client sends a message this often: 500 messages a second in all, two thirds of which go to
/// twenty readers.
const EVERY: Duration = Duration::from_secs(2);
/// The time between the starts of clients, so that they do not all dial at once.
const APART: Duration = Duration::from_millis(2);

/// The clients. Dropping it ends their tasks.
pub(crate) struct Fleet {
    seen: Vec<Arc<Shared>>,
    flow: Arc<Flow>,
    begun: Instant,
    _runtime: Runtime,
}

/// The state of one client, shared by its task and the check.
struct Shared {
    seen: Mutex<Seen>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether clients send.
#[derive(Default)]
struct Flow(AtomicBool);

impl Fleet {
    /// Clients with these addresses: if one fails, they dial the next.
    pub(crate) fn start(urls: &[String]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let flow = Arc::<Flow>::default();
        let begun = clock::now();
        let urls: Arc<[String]> = urls.into();
        let seen: Vec<_> =
            (0..CLIENTS).map(|_| Arc::new(Shared { seen: Mutex::default() })).collect();
        for (id, shared) in seen.iter().enumerate() {
            runtime.spawn(member::run(
                id,
                Arc::clone(&urls),
                Arc::clone(shared),
                Arc::clone(&flow),
                begun,
            ));
        }
        Ok(Self { seen, flow, begun, _runtime: runtime })
    }

    /// The time since the start, as in all records.
    pub(crate) fn elapsed(&self) -> Duration {
        clock::now() - self.begun
    }

    pub(crate) fn talk(&self, whether: bool) {
        self.flow.0.store(whether, Ordering::Relaxed);
    }

    /// The record of each client.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Seen>> {
        self.seen.iter().map(|shared| shared.lock())
    }

    /// Waits until this holds for every client.
    pub(crate) fn wait(
        &self,
        what: &str,
        limit: Duration,
        so: impl Fn(&Seen) -> bool,
    ) -> Result<()> {
        let deadline = clock::Deadline::within(limit);
        loop {
            let missing = self.each().filter(|seen| !so(seen)).count();
            if missing == 0 {
                return Ok(());
            }
            if deadline.left().is_zero() {
                let example = self.each().enumerate().find(|(_, seen)| !so(seen));
                let example = example.map(|(id, seen)| format!("client {id}: {}", seen.summary()));
                return Err(format!(
                    "after {limit:?}, {missing} of {CLIENTS} clients are not {what}; {}",
                    example.unwrap_or_default()
                )
                .into());
            }
            thread::sleep(POLL * 5);
        }
    }

    /// Waits until all clients are connected and subscribed.
    pub(crate) fn assemble(&self) -> Result<()> {
        self.wait("subscribed", Duration::from_secs(30), |seen| seen.subscribed > 0)
    }
}

/// Spreads the clients over channels.
fn channel_of(id: usize) -> String {
    format!("room-{}", id % CHANNELS)
}

/// When the clients dialed after `since`, in order, counted from there.
pub(crate) fn dials_since(fleet: &Fleet, since: Duration) -> Vec<Duration> {
    let mut dials: Vec<Duration> = Vec::new();
    for seen in fleet.each() {
        dials.extend(seen.dials.iter().filter_map(|at| at.checked_sub(since)));
    }
    dials.sort_unstable();
    dials
}
