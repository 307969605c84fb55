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
/// Each client says something this often: 500 messages a second in all, two thirds of which go to
/// twenty readers.
const EVERY: Duration = Duration::from_secs(2);
/// Clients start this far apart, so that the check begins without a storm of its own.
const APART: Duration = Duration::from_millis(2);

/// The clients. Dropping it ends their tasks.
pub(crate) struct Fleet {
    seen: Vec<Arc<Shared>>,
    flow: Arc<Flow>,
    begun: Instant,
    _runtime: Runtime,
}

/// One client, as its task and the check share it.
struct Shared {
    seen: Mutex<Seen>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether clients talk.
#[derive(Default)]
struct Flow(AtomicBool);

impl Fleet {
    /// Clients that dial these addresses, the next one where one fails.
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

    /// Since the start, as all times that are written down.
    pub(crate) fn elapsed(&self) -> Duration {
        clock::now() - self.begun
    }

    pub(crate) fn talk(&self, whether: bool) {
        self.flow.0.store(whether, Ordering::Relaxed);
    }

    /// What each client has seen.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Seen>> {
        self.seen.iter().map(|shared| shared.lock())
    }

    /// Waits until so it is with every client.
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

    /// Everyone is connected and subscribed for the first time.
    pub(crate) fn assemble(&self) -> Result<()> {
        self.wait("subscribed", Duration::from_secs(30), |seen| seen.subscribed > 0)
    }
}

/// Spreads the clients over channels.
fn channel_of(id: usize) -> String {
    format!("room-{}", id % CHANNELS)
}

/// The whole fleet's dials since then, as times after it, in order.
pub(crate) fn dials_since(fleet: &Fleet, since: Duration) -> Vec<Duration> {
    let mut dials: Vec<Duration> = Vec::new();
    for seen in fleet.each() {
        dials.extend(seen.dials.iter().filter_map(|at| at.checked_sub(since)));
    }
    dials.sort_unstable();
    dials
}
