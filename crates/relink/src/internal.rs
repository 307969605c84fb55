//! What relink's own crates share, and no promise: it may change with any version.

pub use crate::base::config::{
    LONGEST, SHORTEST, Value, config, mistake, positive, positive_or_off, within,
};
#[cfg(feature = "serde")]
pub use crate::base::duration_text::serde_impl as duration;
pub use crate::base::stats::count;
#[cfg(feature = "serde")]
pub use crate::base::tables::Tables;
pub use crate::base::time::{earliest, nanos};
pub use crate::policy::rate_limit::Bucket;
#[cfg(feature = "alloc")]
pub use crate::session::message::cut;
