//! The clocks. The only file of this crate that reads one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
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
    all: boot_time::Instant,
    before: Duration,
}

/// The time suspended since the first clock of this process started, in milliseconds.
static SUSPENDED: AtomicU64 = AtomicU64::new(0);

impl Suspension {
    /// Counts from now on.
    #[must_use]
    pub fn start() -> Self {
        // First the clock: the runtime's was read just now.
        Self { all: boot_time::Instant::now(), before: measured() }
    }

    /// The time suspended since the start, in whole milliseconds: between suspensions it stands
    /// still. `awake` is the time since the start by the runtime's clock.
    ///
    /// Reads one clock. Another one is read if the two disagree: after a suspension, or if the
    /// runtime's clock is paused.
    #[must_use]
    pub fn so_far(&self, awake: Duration) -> Duration {
        let known = self.known();
        if self.all.elapsed().abs_diff(awake.saturating_add(known)) < Duration::from_millis(1) {
            return known;
        }
        measured().saturating_sub(self.before)
    }

    /// The time suspended, as it was last measured by any clock of this process. Reads no clock.
    #[must_use]
    pub fn known(&self) -> Duration {
        Duration::from_millis(SUSPENDED.load(Ordering::Relaxed)).saturating_sub(self.before)
    }
}

/// Measures [`SUSPENDED`].
#[expect(clippy::disallowed_methods, reason = "the driver's clock file")]
fn measured() -> Duration {
    static START: OnceLock<(std::time::Instant, boot_time::Instant)> = OnceLock::new();
    // In this order, the time between the two readings never counts as suspended.
    let (awake, all) = START.get_or_init(|| (std::time::Instant::now(), boot_time::Instant::now()));
    let all = all.elapsed();
    let suspended = all.saturating_sub(awake.elapsed());
    let suspended = u64::try_from(suspended.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(SUSPENDED.fetch_max(suspended, Ordering::Relaxed).max(suspended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the runtime's clock")]
    fn a_machine_that_stays_awake_was_never_suspended() {
        let (awake, suspension) = (std::time::Instant::now(), Suspension::start());
        for _ in 0..10_000 {
            assert_eq!(suspension.so_far(awake.elapsed()), Duration::ZERO);
        }
    }

    #[test]
    fn a_paused_clock_is_no_suspension() {
        let suspension = Suspension::start();
        for awake in [Duration::ZERO, Duration::from_secs(3600)] {
            assert_eq!(suspension.so_far(awake), Duration::ZERO);
        }
        assert_eq!(suspension.known(), Duration::ZERO);
    }
}
