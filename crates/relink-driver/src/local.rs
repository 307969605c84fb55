//! [`Local`]: streams, timers and futures that stay on one thread.

use std::future::Future;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use send_wrapper::SendWrapper;

/// A value that is not `Send`, for a [`Runtime`](crate::Runtime) with one thread: an executor that
/// has its tasks where it was made, as tokio's `LocalSet` and the browser do.
///
/// The runtime's stream, its timer and the future of its `connect` go into a `Local`. It derefs to
/// the value, and is a stream or a future if the value is.
///
/// ```
/// use std::rc::Rc;
/// use relink_driver::Local;
///
/// fn is_send(_: impl Send) {}
///
/// let socket = Local::new(Rc::new("a handle of this thread"));
/// assert_eq!(socket.len(), 23);
/// is_send(socket);
/// ```
///
/// # Panics
///
/// If it is used or dropped on another thread than the one that made it. On a runtime with one
/// thread that does not happen.
#[derive(Debug)]
pub struct Local<T>(SendWrapper<T>);

impl<T> Local<T> {
    /// Keeps the value on this thread.
    pub fn new(value: T) -> Self {
        Self(SendWrapper::new(value))
    }
}

impl<T> Deref for Local<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Local<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Future + Unpin> Future for Local<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        Pin::new(&mut **self).poll(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Local<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self).poll_read(cx, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Local<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self).poll_close(cx)
    }
}
