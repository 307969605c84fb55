#![cfg_attr(docsrs, feature(doc_cfg))]
//! A server.

mod clock;
mod history;

pub use history::{History, HistoryError, Memory, NewsReceiver, NewsSender, Watch, news};
#[cfg(feature = "redis")]
pub use history::{RedisConfig, RedisHistory};
