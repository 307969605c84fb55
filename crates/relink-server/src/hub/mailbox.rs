//! Signals to a connection's task.

use std::{
    sync::{Mutex, PoisonError},
    task::Waker,
};

use futures_util::task::AtomicWaker;
use relink::CloseFrame;

/// One per connection: the node wakes its task.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    waker: AtomicWaker,
    close: Mutex<Option<CloseFrame>>,
}

impl Mailbox {
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    pub(crate) fn close(&self, frame: CloseFrame) {
        *self.close.lock().unwrap_or_else(PoisonError::into_inner) = Some(frame);
        self.wake();
    }

    /// The close frame, once the connection is to be closed.
    pub(crate) fn take_close(&self) -> Option<CloseFrame> {
        self.close.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
