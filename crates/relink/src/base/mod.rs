//! What everything stands on: time, configuration, statistics.

pub(crate) mod bounded;
pub(crate) mod config;
pub(crate) mod duration_text;
pub mod setting;
pub(crate) mod stats;
#[cfg(feature = "serde")]
pub(crate) mod tables;
pub(crate) mod time;
