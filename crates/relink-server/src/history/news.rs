//! The way of news from a store to a node: a bounded queue that admits what it lost.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use futures_util::task::AtomicWaker;
use relink_node::News;

/// So many news wait for a busy node; then they are given up for one doubt. In bytes they are bounded by what a history
/// keeps: messages are shared, not copied.
const WAITING_MAX: usize = 16 * 1024;

/// A queue of news for one node, for a [`History`](crate::History) of one's own.
#[must_use]
pub fn news() -> (NewsSender, NewsReceiver) {
    let shared = Arc::new(Shared::default());
    (NewsSender { shared: Arc::clone(&shared) }, NewsReceiver { shared })
}

/// Where a store puts news. Dropping it ends them.
#[derive(Debug)]
pub struct NewsSender {
    shared: Arc<Shared>,
}

/// Where a node takes news from.
#[derive(Debug)]
pub struct NewsReceiver {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<News>,
    closed: bool,
}

impl NewsSender {
    /// Tells the node; never waits. Where too much waits already, all of it becomes one [`Doubt`](News::Doubt), upon which
    /// the node looks for itself.
    ///
    /// `false` once nobody listens any more.
    pub fn push(&self, news: News) -> bool {
        let mut queue = self.shared.lock();
        if queue.closed {
            return false;
        }
        if queue.waiting.len() >= WAITING_MAX || news == News::Doubt {
            queue.waiting.clear();
            queue.waiting.push_back(News::Doubt);
        } else {
            queue.waiting.push_back(news);
        }
        drop(queue);
        self.shared.filled.wake();
        true
    }

    /// Whether the receiver was dropped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }
}

impl NewsReceiver {
    /// The next piece of news; `None` once the store is gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<News> {
        std::future::poll_fn(|cx| {
            self.shared.filled.register(cx.waker());
            let mut queue = self.shared.lock();
            match queue.waiting.pop_front() {
                Some(news) => Poll::Ready(Some(news)),
                None if queue.closed => Poll::Ready(None),
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.filled.wake();
    }
}

impl Drop for NewsSender {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Drop for NewsReceiver {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn w15_too_many_news_become_one_doubt() {
        let (sender, mut receiver) = news();
        for _ in 0..=WAITING_MAX {
            assert!(sender.push(News::Left { channel: "a".into(), member: member() }));
        }
        assert_eq!(receiver.recv().await, Some(News::Doubt));
        assert!(sender.push(News::Joined { channel: "a".into(), member: member() }));
        assert_eq!(receiver.recv().await, Some(News::Joined { channel: "a".into(), member: member() }));
        drop(sender);
        assert_eq!(receiver.recv().await, None);
    }

    #[test]
    fn nobody_fills_a_queue_that_nobody_empties() {
        let (sender, receiver) = news();
        drop(receiver);
        assert!(sender.is_closed());
        assert!(!sender.push(News::Doubt));
    }

    fn member() -> relink::Member {
        relink::Member { user: "alice".into(), join: "1".into(), info: None }
    }
}
