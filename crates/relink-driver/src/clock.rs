//! The clocks. The only file of this crate that reads one.

use std::time::{Duration, SystemTime};

use relink::Instant;

/// The time of day, for dates in HTTP headers.
#[expect(clippy::disallowed_methods, reason = "the driver's clock file")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// A monotonic clock, counted from its creation: for runtimes without a clock.
///
/// It counts suspended time if the system has such a clock (Linux, Android, macOS, iOS, Windows).
/// The clock of [`std::time::Instant`] does so on Windows only; with it, an expired message would
/// be sent hours later.
#[derive(Debug, Clone, Copy)]
pub struct StdClock {
    origin: boot_time::Instant,
}

impl StdClock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: boot_time::Instant::now() }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_origin(self.origin.elapsed())
    }
}

/// How long the machine was suspended, which the clock of a runtime misses.
///
/// For runtimes with their own clock, which tests can pause: add it to the time of that clock.
#[derive(Debug, Clone, Copy)]
pub struct Suspension {
    awake: std::time::Instant,
    all: boot_time::Instant,
}

impl Suspension {
    /// Counts from now on.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the driver's clock file")]
    pub fn start() -> Self {
        // In this order, the time between the two readings never counts as suspended.
        Self { awake: std::time::Instant::now(), all: boot_time::Instant::now() }
    }

    /// The time suspended since the start, in whole milliseconds: between suspensions it stands
    /// still.
    #[must_use]
    pub fn so_far(&self) -> Duration {
        let all = self.all.elapsed();
        let suspended = all.saturating_sub(self.awake.elapsed());
        Duration::from_millis(u64::try_from(suspended.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_stays_awake_was_never_suspended() {
        let suspension = Suspension::start();
        for _ in 0..10_000 {
            assert_eq!(suspension.so_far(), Duration::ZERO);
        }
    }
}
