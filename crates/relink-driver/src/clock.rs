//! The clocks. The only file of this crate that reads one.

use std::time::SystemTime;

use relink::Instant;

/// The time of day, for dates in HTTP headers.
#[expect(clippy::disallowed_methods, reason = "the driver's clock file")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// The monotonic clock of the standard library, counted from when this was made: for runtimes without one of their own.
#[derive(Debug, Clone, Copy)]
pub struct StdClock {
    origin: std::time::Instant,
}

impl StdClock {
    /// A clock that starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the driver's clock file")]
    pub fn start() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }
}
