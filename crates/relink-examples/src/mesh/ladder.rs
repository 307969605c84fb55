//! When a peer's connection is tried again (M18).

use core::time::Duration;

use relink::Instant;

/// How long after the last attempt each one is made, in seconds: nine in 121 s.
const RUNGS: [u64; 9] = [0, 1, 2, 4, 8, 16, 30, 30, 30];

/// So long after the last attempt it counts as failed, too.
const LAST: Duration = Duration::from_secs(30);

/// The attempts to mend one peer's connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ladder {
    /// The index of the next rung, and when it is due.
    next: Option<(usize, Instant)>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rung {
    /// The attempt with this number, from 1.
    Attempt(u32),
    /// All were in vain.
    Exhausted,
}

impl Ladder {
    pub(super) const NEW: Self = Self { next: None };

    /// Begins at once, unless it is under way.
    pub(super) fn start(&mut self, now: Instant) {
        self.next.get_or_insert((0, now));
    }

    pub(super) fn stop(&mut self) {
        self.next = None;
    }

    pub(super) fn is_running(&self) -> bool {
        self.next.is_some()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next.map(|(_, at)| at)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Rung> {
        let (index, _) = self.next.take_if(|(_, at)| *at <= now)?;
        if index >= RUNGS.len() {
            return Some(Rung::Exhausted);
        }
        let wait = RUNGS.get(index + 1).map_or(LAST, |seconds| Duration::from_secs(*seconds));
        self.next = Some((index + 1, now + wait));
        u32::try_from(index + 1).ok().map(Rung::Attempt)
    }
}
