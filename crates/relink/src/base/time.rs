//! The core's own time: an instant without a clock.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point in time, counted from an origin that the driver picks (its start, or boot).
///
/// The core never reads a clock: the caller passes the time. Arithmetic saturates at both ends, so
/// that no input can make it panic; 64 bits of nanoseconds last 584 years.
///
/// ```
/// use core::time::Duration;
/// use relink::Instant;
///
/// let start = Instant::ORIGIN + Duration::from_secs(3);
/// assert_eq!(start - Instant::ORIGIN, Duration::from_secs(3));
/// assert_eq!(Instant::ORIGIN - start, Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// Nanoseconds since the origin, and one more: so an `Option<Instant>` takes eight bytes, and
    /// a link has a dozen of them.
    after: NonZeroU64,
}

impl Instant {
    /// The origin: time zero.
    pub const ORIGIN: Self = Self { after: NonZeroU64::MIN };

    /// The latest instant, at which sums saturate. A deadline here never passes.
    pub const END: Self = Self { after: NonZeroU64::MAX };

    /// The instant that lies `since_origin` after the origin.
    #[must_use]
    pub const fn from_origin(since_origin: Duration) -> Self {
        Self { after: NonZeroU64::MIN.saturating_add(nanos(since_origin)) }
    }

    /// How long after the origin this instant is.
    #[must_use]
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.after.get() - 1)
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::ORIGIN
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self { after: self.after.saturating_add(nanos(duration)) }
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// The time that passed since `earlier`, or zero if `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.after.get().saturating_sub(earlier.after.get()))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t+{:?}", self.since_origin())
    }
}

/// This many seconds.
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// This many milliseconds.
pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// This many minutes.
pub const fn mins(mins: u64) -> Duration {
    secs(60 * mins)
}

/// Nanoseconds of a duration, saturated to 64 bits.
pub const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

/// The earliest of several deadlines; those that are not set do not count.
///
/// `Option::min` would be wrong here: it sorts `None` below every `Some` and so swallows a real
/// deadline. A deadline at [`Instant::END`] has saturated: it never passes, and handling it there
/// would make no progress.
pub fn earliest<const N: usize>(deadlines: [Option<Instant>; N]) -> Option<Instant> {
    deadlines.into_iter().flatten().filter(|at| *at < Instant::END).min()
}

/// The same for deadlines with what is due then.
pub(crate) fn next_due<T: Copy, const N: usize>(
    deadlines: [Option<(Instant, T)>; N],
) -> Option<(Instant, T)> {
    deadlines.into_iter().flatten().filter(|(at, _)| *at < Instant::END).min_by_key(|(at, _)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let end = Instant::ORIGIN + Duration::MAX;
        assert_eq!(end + Duration::MAX, end);
        assert_eq!(Instant::ORIGIN - end, Duration::ZERO);
    }

    #[test]
    fn an_unset_deadline_does_not_swallow_a_set_one() {
        let at = Instant::from_origin(Duration::from_secs(1));
        assert_eq!(earliest([None, Some(at), Some(Instant::END)]), Some(at));
        assert_eq!(next_due([None, Some((at, 'x')), None]), Some((at, 'x')));
        assert_eq!((earliest([None, None]), next_due::<char, 2>([None, None])), (None, None));
    }
}
