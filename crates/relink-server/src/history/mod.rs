//! What a server keeps so that nothing is lost, and who keeps it.

mod error;
mod memory;

mod news;
#[cfg(feature = "redis")]
mod redis;

use std::sync::Arc;

use futures_core::future::BoxFuture;
use relink_node::{HistoryConfig, StoreRequest, StoreResponse, Stream};

#[cfg(feature = "redis")]
pub use self::redis::{RedisConfig, RedisHistory};
pub use self::{
    error::HistoryError,
    memory::MemoryHistory,
    news::{StoreEventReceiver, StoreEventSender, news},
};

/// Keeps streams, sessions and members for one node or for many, and tells their news.
///
/// [`MemoryHistory`] keeps them as long as the process lives, [`RedisHistory`] longer and for every
/// node that uses the same server. The contract is in the docs of [`StoreRequest`] and
/// [`StoreResponse`], and `tests/contract` of this crate checks it.
pub trait History: Send + Sync + 'static {
    /// Answers one question.
    ///
    /// Questions whose futures are polled for the first time one after the other take effect in
    /// that order, as far as they concern the same stream, session or user. What was
    /// [watched](Watch::watch) before is in effect when [`Read`](StoreRequest::Read) and
    /// [`Members`](StoreRequest::Members) are answered: between the answer and the news no message
    /// falls through.
    ///
    /// # Errors
    ///
    /// If the answer is not known. It may have taken effect nevertheless; ask again: everything but
    /// [`Publish`](StoreRequest::Publish) may be asked twice without harm.
    fn answer(&self, question: StoreRequest) -> BoxFuture<'_, Result<StoreResponse, HistoryError>>;

    /// Begins to tell one node what happens on the streams that it watches, until the receiver or
    /// the watch is dropped.
    fn listen(&self, news: StoreEventSender) -> Arc<dyn Watch>;

    /// How much is kept, and for how long.
    fn config(&self) -> HistoryConfig;
}

/// Which streams a node hears of. Neither method waits for anything.
pub trait Watch: Send + Sync + 'static {
    /// From now on its news are told.
    fn watch(&self, stream: Stream);

    /// From now on its news need not be told.
    fn unwatch(&self, stream: &Stream);
}

impl<T: History + ?Sized> History for Arc<T> {
    fn answer(&self, question: StoreRequest) -> BoxFuture<'_, Result<StoreResponse, HistoryError>> {
        (**self).answer(question)
    }

    fn listen(&self, news: StoreEventSender) -> Arc<dyn Watch> {
        (**self).listen(news)
    }

    fn config(&self) -> HistoryConfig {
        (**self).config()
    }
}
