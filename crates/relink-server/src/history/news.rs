//! A bounded queue of store events from a store to a node. On overflow it collapses to `Lagged`.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use futures_util::task::AtomicWaker;
use relink_node::StoreEvent;

/// The maximum number of events that wait for a busy node; beyond it they collapse to one `Lagged`.
/// Their bytes are bounded by what a history keeps: messages are shared, not copied.
const WAITING_MAX: usize = 16 * 1024;

/// Creates a queue of events for one node, for your own [`History`](crate::History).
#[must_use]
pub fn news() -> (StoreEventSender, StoreEventReceiver) {
    let shared = Arc::new(Shared::default());
    (StoreEventSender { shared: Arc::clone(&shared) }, StoreEventReceiver { shared })
}

/// The store's end of the queue. Dropping it ends the events.
#[derive(Debug)]
pub struct StoreEventSender {
    shared: Arc<Shared>,
}

/// The node's end of the queue.
#[derive(Debug)]
pub struct StoreEventReceiver {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<StoreEvent>,
    closed: bool,
}

impl StoreEventSender {
    /// Queues an event; never blocks. If the queue is full, all of it becomes one
    /// [`Lagged`](StoreEvent::Lagged), upon which the node reads the streams again.
    ///
    /// Returns false once the receiver was dropped.
    pub fn push(&self, news: StoreEvent) -> bool {
        let mut queue = self.shared.lock();
        if queue.closed {
            return false;
        }
        if queue.waiting.len() >= WAITING_MAX || news == StoreEvent::Lagged {
            queue.waiting.clear();
            queue.waiting.push_back(StoreEvent::Lagged);
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

impl StoreEventReceiver {
    /// The next event; `None` once the store is gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<StoreEvent> {
        self.take(VecDeque::pop_front).await
    }

    /// All events that wait, at least one; `None` once the store is gone. Cancel-safe.
    pub(crate) async fn recv_all(&mut self) -> Option<VecDeque<StoreEvent>> {
        let all = |waiting: &mut VecDeque<_>| Some(mem::take(waiting)).filter(|it| !it.is_empty());
        self.take(all).await
    }

    async fn take<T>(
        &mut self,
        take: impl Fn(&mut VecDeque<StoreEvent>) -> Option<T>,
    ) -> Option<T> {
        std::future::poll_fn(|cx| {
            self.shared.filled.register(cx.waker());
            let mut queue = self.shared.lock();
            match take(&mut queue.waiting) {
                Some(taken) => Poll::Ready(Some(taken)),
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

impl Drop for StoreEventSender {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Drop for StoreEventReceiver {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests {
    use relink::session::MemberChange;

    use super::*;

    #[tokio::test]
    async fn w15_too_many_news_become_one_doubt() {
        let (sender, mut receiver) = news();
        for _ in 0..=WAITING_MAX {
            assert!(sender.push(StoreEvent::MemberChanged {
                channel: "a".into(),
                change: MemberChange::Left(member())
            }));
        }
        assert_eq!(receiver.recv().await, Some(StoreEvent::Lagged));
        assert!(sender.push(StoreEvent::MemberChanged {
            channel: "a".into(),
            change: MemberChange::Joined(member())
        }));
        assert_eq!(
            receiver.recv().await,
            Some(StoreEvent::MemberChanged {
                channel: "a".into(),
                change: MemberChange::Joined(member())
            })
        );
        drop(sender);
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn all_that_waits_is_taken_at_once_and_in_order() {
        let (sender, mut receiver) = news();
        let events = ["a", "b"].map(|channel| StoreEvent::MemberChanged {
            channel: channel.into(),
            change: MemberChange::Left(member()),
        });
        assert!(events.iter().all(|event| sender.push(event.clone())));
        assert_eq!(receiver.recv_all().await, Some(events.into()));
        drop(sender);
        assert_eq!(receiver.recv_all().await, None);
    }

    #[test]
    fn nobody_fills_a_queue_that_nobody_empties() {
        let (sender, receiver) = news();
        drop(receiver);
        assert!(sender.is_closed());
        assert!(!sender.push(StoreEvent::Lagged));
    }

    fn member() -> relink::session::Member {
        relink::session::Member { user: "alice".into(), join: "1".into(), info: None }
    }
}
