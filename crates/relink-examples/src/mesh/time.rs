//! `str0m` uses the standard library's instants, relink its own.

use relink::Instant;

/// Translates between the two. Reads no clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    origin: std::time::Instant,
}

impl Time {
    pub(super) const fn new(origin: std::time::Instant) -> Self {
        Self { origin }
    }

    pub(super) fn std(self, time: Instant) -> std::time::Instant {
        self.origin.checked_add(time.since_origin()).unwrap_or(self.origin)
    }

    pub(super) fn ours(self, time: std::time::Instant) -> Instant {
        Instant::from_origin(time.saturating_duration_since(self.origin))
    }
}
