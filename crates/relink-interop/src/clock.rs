//! The one place in this program that reads the clock.

use std::time::{Duration, Instant};

/// The moment by which another program must have answered.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn within(limit: Duration) -> Self {
        Self(now() + limit)
    }

    /// What is left until then; zero once it has passed.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(now())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "other programs run in real time, so waiting for them is bounded in real time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
