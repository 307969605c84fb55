//! The clock of a node: tokio's, so that it stands still and jumps in tests that want it, and the
//! time for which the machine was suspended: sessions and tokens end meanwhile.

use relink::Instant;
use relink_driver::Suspension;

/// Tells time since it was made.
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
        Instant::from_origin(self.origin.elapsed() + self.suspension.so_far())
    }

    /// When it is so late; far away where the time has no end.
    pub(crate) fn at(self, time: Instant) -> tokio::time::Instant {
        let far = self.origin + std::time::Duration::from_secs(10 * 365 * 24 * 60 * 60);
        self.origin
            .checked_add(time.since_origin().saturating_sub(self.suspension.so_far()))
            .unwrap_or(far)
            .min(far)
    }
}
