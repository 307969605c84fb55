//! Virtual time.

use relink::Instant;

pub(crate) use relink_sim::{millis, secs};

/// The instant this many milliseconds after the origin.
pub(crate) fn at(time: u64) -> Instant {
    Instant::from_origin(millis(time))
}
