//! Signals to a connection's task.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Wake, Waker},
};

use futures_util::task::AtomicWaker;
use relink::CloseFrame;

/// One per connection: the node and the socket wake its task, which so knows what for, and leaves
/// the other alone.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    signals: AtomicU8,
    waker: AtomicWaker,
    close: Mutex<Option<CloseFrame>>,
}

/// Why a task was woken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signals(u8);

const NODE: u8 = 1;
const SOCKET: u8 = 2;
const CLOSE: u8 = 4;

impl Signals {
    /// The node has something to write, or lets the connection be read again.
    pub(crate) const fn has_node(self) -> bool {
        self.0 & NODE != 0
    }

    /// The socket has become ready.
    pub(crate) const fn has_socket(self) -> bool {
        self.0 & SOCKET != 0
    }

    /// There is a close frame.
    pub(crate) const fn has_close(self) -> bool {
        self.0 & CLOSE != 0
    }
}

impl Mailbox {
    /// The signals since the last call. Later ones wake this task.
    pub(crate) fn listen(&self, waker: &Waker) -> Signals {
        self.waker.register(waker);
        Signals(self.signals.swap(0, Ordering::AcqRel))
    }

    /// The node wakes the task.
    pub(crate) fn call(&self) {
        self.signal(NODE);
    }

    pub(crate) fn close(&self, frame: CloseFrame) {
        *self.close.lock().unwrap_or_else(PoisonError::into_inner) = Some(frame);
        self.signal(CLOSE);
    }

    /// The close frame, once the connection is to be closed.
    pub(crate) fn take_close(&self) -> Option<CloseFrame> {
        self.close.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The waker for the socket.
    pub(crate) fn socket_waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    fn signal(&self, what: u8) {
        // Who was first has woken the task, or is about to.
        if self.signals.fetch_or(what, Ordering::AcqRel) == 0 {
            self.waker.wake();
        }
    }
}

impl Wake for Mailbox {
    fn wake(self: Arc<Self>) {
        self.signal(SOCKET);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.signal(SOCKET);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_is_woken_once_and_told_by_whom() {
        let (mailbox, woken) = (Arc::<Mailbox>::default(), Arc::<Woken>::default());
        let waker = Waker::from(Arc::clone(&woken));
        let first = mailbox.listen(&waker);
        assert!(!first.has_node() && !first.has_socket() && !first.has_close());
        mailbox.call();
        mailbox.call();
        mailbox.socket_waker().wake();
        let both = mailbox.listen(&waker);
        assert!(both.has_node() && both.has_socket() && !both.has_close());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        mailbox.close(CloseFrame::from(relink::CloseCode::NORMAL));
        assert!(mailbox.listen(&waker).has_close() && mailbox.take_close().is_some());
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    }
}
