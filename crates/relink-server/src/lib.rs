#![cfg_attr(docsrs, feature(doc_cfg))]
//! A server.

mod history;

pub use history::{History, HistoryError, NewsReceiver, NewsSender, Watch, news};
#[cfg(feature = "redis")]
pub use history::{RedisConfig, RedisHistory};
