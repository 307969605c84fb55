//! The log of events: bounded, and something to wait on, with and without a runtime.

use std::{
    collections::VecDeque,
    fmt,
    pin::pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, Sleep},
};

use crate::event::{EventKind, ServerEvent};

const EVENTS_MAX: usize = 10_000;
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many of the last events a [`WaitError`] prints.
const SHOWN_MAX: usize = 50;

pub(crate) struct Log {
    start: Instant,
    state: Mutex<State>,
    changed: Notify,
    changed_blocking: Condvar,
}

#[derive(Default)]
struct State {
    events: VecDeque<ServerEvent>,
    bytes: usize,
    dropped: u64,
    stopped: bool,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            state: Mutex::default(),
            changed: Notify::new(),
            changed_blocking: Condvar::new(),
        }
    }

    pub(crate) fn push(&self, connection: usize, kind: EventKind) {
        let at = self.start.elapsed();
        self.state().push(ServerEvent { at, connection, kind });
        self.wake();
    }

    /// No event comes after this.
    pub(crate) fn stop(&self) {
        self.state().stopped = true;
        self.wake();
    }

    /// Lets everyone who waits ask again.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
        self.changed_blocking.notify_all();
    }

    pub(crate) fn events(&self) -> Vec<ServerEvent> {
        self.state().events.iter().cloned().collect()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Waits for the condition, the end of the server or the deadline; returns the events that met
    /// the condition.
    pub(crate) async fn wait_for(
        &self,
        mut condition: impl FnMut(&[ServerEvent]) -> bool,
        deadline: Sleep,
    ) -> Result<Vec<ServerEvent>, Gave> {
        tokio::select! {
            verdict = self.until(|state| state.verdict(&mut condition)) => verdict,
            () = deadline => Err(Gave::OutOfTime),
        }
    }

    /// The same, blocking the thread.
    pub(crate) fn wait_for_blocking(
        &self,
        mut condition: impl FnMut(&[ServerEvent]) -> bool,
        within: Duration,
    ) -> Result<Vec<ServerEvent>, Gave> {
        let mut verdict = None;
        let waited = self.changed_blocking.wait_timeout_while(self.state(), within, |state| {
            verdict = state.verdict(&mut condition);
            verdict.is_none()
        });
        drop(waited);
        verdict.unwrap_or(Err(Gave::OutOfTime))
    }

    pub(crate) async fn stopped(&self) {
        self.until(|state| state.stopped.then_some(())).await;
    }

    pub(crate) fn stopped_blocking(&self) {
        drop(self.changed_blocking.wait_while(self.state(), |state| !state.stopped));
    }

    /// Asks now and after every change until there is an answer.
    async fn until<T>(&self, mut answer: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(answer) = answer(&mut self.state()) {
                return answer;
            }
            changed.await;
        }
    }

    /// A panic in a test's condition must not take the server with it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, event: ServerEvent) {
        self.bytes += event.kind.weight();
        self.events.push_back(event);
        while self.events.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.kind.weight();
            self.dropped += 1;
        }
    }

    fn verdict(
        &mut self,
        condition: &mut impl FnMut(&[ServerEvent]) -> bool,
    ) -> Option<Result<Vec<ServerEvent>, Gave>> {
        let events = self.events.make_contiguous();
        if condition(events) {
            return Some(Ok(events.to_vec()));
        }
        self.stopped.then_some(Err(Gave::Stopped))
    }
}

/// The events one by one, from the oldest still in the log on; made by
/// [`Server::watch`](crate::Server::watch).
pub struct Events {
    log: Arc<Log>,
    /// Counted over the whole life of the server.
    next: u64,
    missed: u64,
}

impl Events {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        let next = log.dropped();
        Self { log, next, missed: 0 }
    }

    /// The next event; `None` when the server has stopped and everything was read.
    ///
    /// Cancel-safe: an event is either returned or still there.
    pub async fn next(&mut self) -> Option<ServerEvent> {
        let Self { log, next, missed } = self;
        log.until(|state| {
            let oldest = state.dropped;
            *missed += oldest.saturating_sub(*next);
            *next = oldest.max(*next);
            let index = usize::try_from(*next - oldest).unwrap_or(usize::MAX);
            match state.events.get(index) {
                Some(event) => {
                    *next += 1;
                    Some(Some(event.clone()))
                }
                None => state.stopped.then_some(None),
            }
        })
        .await
    }

    /// How many events left the log before they were read here.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("next", &self.next)
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}

/// Why a wait ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gave {
    OutOfTime,
    Stopped,
}

/// What a test waited for did not happen. Printed, also by `unwrap`, with the last events that did.
#[derive(Clone, PartialEq, Eq)]
pub struct WaitError {
    within: Duration,
    gave: Gave,
    seen: Vec<ServerEvent>,
}

impl WaitError {
    pub(crate) fn new(within: Duration, gave: Gave, seen: Vec<ServerEvent>) -> Self {
        Self { within, gave, seen }
    }

    /// The log at the end of the wait.
    #[must_use]
    pub fn seen(&self) -> &[ServerEvent] {
        &self.seen
    }
}

impl std::error::Error for WaitError {}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gave {
            Gave::OutOfTime => {
                write!(f, "not seen within {}", humantime::format_duration(self.within))?
            }
            Gave::Stopped => write!(f, "not seen before the server stopped")?,
        }
        let skipped = self.seen.len().saturating_sub(SHOWN_MAX);
        write!(f, "; the log has {} events", self.seen.len())?;
        f.write_str(if skipped > 0 { ", the last of them:" } else { ":" })?;
        self.seen.iter().skip(skipped).try_for_each(|event| write!(f, "\n{event}"))
    }
}

impl fmt::Debug for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_log_forgets_the_oldest_and_counts_them() {
        let log = Arc::new(Log::new());
        log.push(1, EventKind::Arrived);
        let mut events = Events::new(Arc::clone(&log));
        for connection in 2..=EVENTS_MAX + 3 {
            log.push(connection, EventKind::Arrived);
        }
        assert_eq!((log.events().len(), log.dropped()), (EVENTS_MAX, 3));
        assert_eq!(events.next().await.unwrap().connection, 4);
        assert_eq!(events.missed(), 3);
    }

    #[test]
    fn the_log_holds_a_bounded_amount_of_content() {
        let log = Log::new();
        for _ in 0..20 {
            log.push(1, EventKind::Binary(vec![0; 1024 * 1024]));
        }
        assert_eq!((log.events().len(), log.dropped()), (16, 4));
    }

    #[tokio::test]
    async fn a_stopped_log_ends_every_wait() {
        let log = Arc::new(Log::new());
        log.push(1, EventKind::Arrived);
        log.stop();
        let deadline = tokio::time::sleep(Duration::from_secs(3600));
        assert_eq!(log.wait_for(|_| false, deadline).await, Err(Gave::Stopped));
        assert_eq!(log.wait_for_blocking(|_| false, Duration::from_secs(3600)), Err(Gave::Stopped));
        let mut events = Events::new(Arc::clone(&log));
        assert_eq!(events.next().await.map(|event| event.kind), Some(EventKind::Arrived));
        assert_eq!(events.next().await, None);
    }

    #[test]
    fn a_panic_in_a_condition_leaves_the_log_usable() {
        let log = Log::new();
        let waits = std::panic::AssertUnwindSafe(|| {
            log.wait_for_blocking(|_| panic!("a test failed"), Duration::ZERO)
        });
        assert!(std::panic::catch_unwind(waits).is_err());
        log.push(1, EventKind::Arrived);
        assert_eq!(log.events().len(), 1);
    }
}
