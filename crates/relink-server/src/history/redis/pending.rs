//! Watches that are not in effect yet, which some requests wait for.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Pending {
    tickets: Mutex<Tickets>,
    fewer: Notify,
}

#[derive(Default)]
struct Tickets {
    next: u64,
    open: BTreeSet<u64>,
}

/// One watch that is not in effect yet; dropped when it is, or need not be waited for.
pub(super) struct Ticket {
    pending: Arc<Pending>,
    number: u64,
}

impl Pending {
    pub(super) fn begin(self: &Arc<Self>) -> Ticket {
        let mut tickets = self.lock();
        let number = tickets.next;
        tickets.next += 1;
        tickets.open.insert(number);
        Ticket { pending: Arc::clone(self), number }
    }

    /// Waits for the earlier watches.
    pub(super) async fn settled(&self) {
        let before = self.lock().next;
        loop {
            let fewer = self.fewer.notified();
            tokio::pin!(fewer);
            fewer.as_mut().enable();
            if self.lock().open.first().is_none_or(|first| *first >= before) {
                return;
            }
            fewer.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pending.lock().open.remove(&self.number);
        self.pending.fewer.notify_waiters();
    }
}
