//! A pipe in memory: one end for a connector of the link under test, the other for a thread that
//! plays the server. It shows what loopback hides: every byte that was written, and what was
//! written to a peer that does not read.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
};

use futures_util::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::{self, WebSocket};

/// The server's end, spoken to through a WebSocket that blocks its thread.
pub(crate) type Peer = WebSocket<Far>;

/// Opens a pipe whose far end a thread of its own accepts as a WebSocket.
pub(crate) fn serve_pipe(play: impl FnOnce(Peer) + Send + 'static) -> Near {
    let (near, far) = pipe();
    thread::spawn(move || {
        if let Ok(peer) = tungstenite::accept(far) {
            play(peer);
        }
    });
    near
}

/// Opens a pipe.
pub(crate) fn pipe() -> (Near, Far) {
    let (out, back) = (Arc::<Lane>::default(), Arc::<Lane>::default());
    (Near { reads: Arc::clone(&back), writes: Arc::clone(&out) }, Far { reads: out, writes: back })
}

/// The end for a connector.
pub(crate) struct Near {
    reads: Arc<Lane>,
    writes: Arc<Lane>,
}

/// The end that blocks.
pub(crate) struct Far {
    reads: Arc<Lane>,
    writes: Arc<Lane>,
}

/// One direction.
#[derive(Default)]
struct Lane {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    ended: bool,
    reader: Option<Waker>,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, from: &[u8]) -> io::Result<usize> {
        if self.lock().ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.change(|state| state.bytes.extend(from));
        Ok(from.len())
    }

    fn end(&self) {
        self.change(|state| state.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let reader = state.reader.take();
        drop(state);
        self.changed.notify_all();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl State {
    /// Zero at the end; `None` before there is anything.
    fn read(&mut self, into: &mut [u8]) -> Option<usize> {
        if self.bytes.is_empty() && !self.ended {
            return None;
        }
        let count = self.bytes.len().min(into.len());
        for (byte, from) in into.iter_mut().zip(self.bytes.drain(..count)) {
            *byte = from;
        }
        Some(count)
    }
}

impl AsyncRead for Near {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.reads.lock();
        if let Some(count) = state.read(into) {
            return Poll::Ready(Ok(count));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Near {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.writes.write(from))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writes.end();
        Poll::Ready(Ok(()))
    }
}

/// What the far end still writes goes nowhere, as on a socket whose peer has left.
impl Drop for Near {
    fn drop(&mut self) {
        self.writes.end();
    }
}

impl Read for Far {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.reads.lock();
        loop {
            if let Some(count) = state.read(into) {
                return Ok(count);
            }
            state = self.reads.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Write for Far {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.writes.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.writes.end();
        self.reads.end();
    }
}
