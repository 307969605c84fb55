//! The store of a server: what it keeps so that nothing is lost.

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

/// Keeps streams, sessions and members for one node or for many, and emits their events.
///
/// [`MemoryHistory`] keeps them in the process, [`RedisHistory`] beyond it, for all nodes that use
/// the same server. The contract is in the docs of [`StoreRequest`] and [`StoreResponse`], and
/// `tests/contract` of this crate checks it.
pub trait History: Send + Sync + 'static {
    /// Answers a request.
    ///
    /// Requests whose futures are first polled one after the other take effect in that order, as
    /// far as they concern the same stream, session or user. An earlier [watch](Watch::watch) is in
    /// effect when [`Read`](StoreRequest::Read) and [`Members`](StoreRequest::Members) are
    /// answered, so that no message is lost between the answer and the events.
    ///
    /// # Errors
    ///
    /// If the answer is not known. The request may have taken effect nevertheless; retry it: every
    /// request but [`Publish`](StoreRequest::Publish) is idempotent.
    fn answer(&self, question: StoreRequest) -> BoxFuture<'_, Result<StoreResponse, HistoryError>>;

    /// Answers a request without waiting, under the node's lock: for a store that is in memory. The
    /// others return the request, to be passed to [`answer`](Self::answer), as this does by
    /// default.
    ///
    /// Requests that are answered here take effect before those that are returned and not answered
    /// yet, so a store answers here either all requests that concern the same stream, session or
    /// user, or none of them.
    ///
    /// # Errors
    ///
    /// The request, if the answer takes time.
    #[expect(
        clippy::result_large_err,
        reason = "the argument comes back, and is passed on at once"
    )]
    fn answer_now(&self, question: StoreRequest) -> Result<StoreResponse, StoreRequest> {
        Err(question)
    }

    /// Starts to send one node the events of the streams that it watches, until the receiver or the
    /// watch is dropped.
    fn listen(&self, news: StoreEventSender) -> Arc<dyn Watch>;

    /// How much is kept, and for how long.
    fn config(&self) -> HistoryConfig;
}

/// The streams whose events a node receives. Neither method blocks: they are called under the
/// node's lock.
pub trait Watch: Send + Sync + 'static {
    /// Starts to send the events of a stream.
    fn watch(&self, stream: Stream);

    /// Stops sending the events of a stream.
    fn unwatch(&self, stream: &Stream);
}

impl<T: History + ?Sized> History for Arc<T> {
    fn answer(&self, question: StoreRequest) -> BoxFuture<'_, Result<StoreResponse, HistoryError>> {
        (**self).answer(question)
    }

    fn answer_now(&self, question: StoreRequest) -> Result<StoreResponse, StoreRequest> {
        (**self).answer_now(question)
    }

    fn listen(&self, news: StoreEventSender) -> Arc<dyn Watch> {
        (**self).listen(news)
    }

    fn config(&self) -> HistoryConfig {
        (**self).config()
    }
}
