//! Virtual time.

use core::time::Duration;

use relink::Instant;

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// So many milliseconds after the origin.
pub(crate) fn at(time: u64) -> Instant {
    Instant::from_origin(millis(time))
}
