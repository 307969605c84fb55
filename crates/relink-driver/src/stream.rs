//! Byte streams of any kind.

use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

/// Any byte stream: TCP, TLS, a proxy's tunnel, a Unix socket, a pipe in memory (E6).
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for T {}

/// A byte stream of any kind.
pub type BoxStream = Box<dyn ByteStream>;

/// Whether the peer sent anything. It is noted beneath TLS, which hands on a record only when all of it is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<AtomicBool>);

impl Heard {
    /// Whether anything came since the last call.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// The stream of an attempt: it notes that something was read, and makes an error of a panic, since a connector may bring
/// any code.
pub(crate) struct Guarded {
    stream: BoxStream,
    heard: Heard,
}

impl Guarded {
    pub(crate) fn new(stream: BoxStream) -> (Self, Heard) {
        let heard = Heard::default();
        (Self { stream, heard: heard.clone() }, heard)
    }

    fn guard<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut BoxStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        catch_unwind(AssertUnwindSafe(|| poll(Pin::new(&mut self.stream))))
            .unwrap_or_else(|_| Poll::Ready(Err(io::Error::other("the stream panicked"))))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = self.guard(|stream| stream.poll_read(cx, into));
        if matches!(read, Poll::Ready(Ok(1..))) {
            self.heard.0.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.guard(|stream| stream.poll_write(cx, from))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.guard(|stream| stream.poll_write_vectored(cx, from))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.guard(|stream| stream.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.guard(|stream| stream.poll_close(cx))
    }
}
