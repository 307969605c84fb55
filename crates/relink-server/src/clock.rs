//! The clock of a node: tokio's, so that tests can pause and advance it, plus the time for which
//! the machine was suspended, in which sessions and tokens expire.

use std::time::Duration;

use relink::Instant;
use relink_driver::Suspension;

/// Counts from its creation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: tokio::time::Instant,
    suspension: Suspension,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { origin: tokio::time::Instant::now(), suspension: Suspension::start() }
    }

    pub(crate) fn now(self) -> Instant {
        let awake = self.origin.elapsed();
        Instant::from_origin(awake + self.suspension.so_far(awake))
    }

    /// The same in whole milliseconds.
    pub(crate) fn now_in_millis(self) -> Instant {
        let time = self.now().since_origin();
        Instant::from_origin(
            time - Duration::from_nanos(u64::from(time.subsec_nanos() % 1_000_000)),
        )
    }

    /// The instant of this time; far in the future if the time is unbounded.
    pub(crate) fn at(self, time: Instant) -> tokio::time::Instant {
        let far = self.origin + Duration::from_secs(10 * 365 * 24 * 60 * 60);
        self.origin
            .checked_add(time.since_origin().saturating_sub(self.suspension.known()))
            .unwrap_or(far)
            .min(far)
    }
}
