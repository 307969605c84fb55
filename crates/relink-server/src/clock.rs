//! The clock of a node: tokio's, so that it stands still and jumps in tests that want it.

use relink::Instant;

/// Tells time since it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }

    pub(crate) fn now(self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }

    /// When it is so late; far away where the time has no end.
    pub(crate) fn at(self, time: Instant) -> tokio::time::Instant {
        let far = self.origin + std::time::Duration::from_secs(10 * 365 * 24 * 60 * 60);
        self.origin.checked_add(time.since_origin()).unwrap_or(far).min(far)
    }
}
