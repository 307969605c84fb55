//! What relink's own crates share, and no promise: it may change with any version.

pub use crate::bucket::Bucket;
pub use crate::config::{LONGEST, SHORTEST, Value, config, mistake, positive, positive_or_off, within};
#[cfg(feature = "serde")]
pub use crate::human::serde_impl as duration;
#[cfg(feature = "alloc")]
pub use crate::session::cut;
pub use crate::stats::count;
#[cfg(feature = "serde")]
pub use crate::tables::Tables;
pub use crate::time::{earliest, nanos};
