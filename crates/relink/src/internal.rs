//! What relink's own crates share. Not part of the public API: it may change in any version.

pub use crate::base::config::{MILLISECOND, Value, YEAR, config, kib, mib, mistake};
pub use crate::base::setting;
pub use crate::base::setting::within;
pub use crate::base::stats::count;
#[cfg(feature = "serde")]
pub use crate::base::tables::Tables;
pub use crate::base::time::{earliest, millis, mins, nanos, secs};
pub use crate::policy::rate_limit::Bucket;
#[cfg(feature = "alloc")]
pub use crate::session::message::cut;
