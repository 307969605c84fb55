//! A socket that remembers whether bytes have moved, which are signs of life long before a message
//! is whole, and what was under way in them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use relink_driver::CloseWatch;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) struct Counted<IO> {
    io: IO,
    has_read: bool,
    has_written: bool,
    watch: CloseWatch,
}

impl<IO> Counted<IO> {
    /// What was read already comes before what is read from the socket.
    pub(crate) fn new(io: IO, already_read: &[u8]) -> Self {
        let mut watch = CloseWatch::default();
        watch.read(already_read);
        Self { io, has_read: !already_read.is_empty(), has_written: false, watch }
    }

    pub(crate) const fn watch(&self) -> &CloseWatch {
        &self.watch
    }

    /// Whether bytes came since the last look.
    pub(crate) fn take_read(&mut self) -> bool {
        std::mem::take(&mut self.has_read)
    }

    /// Whether bytes went out since the last look.
    pub(crate) fn take_written(&mut self) -> bool {
        std::mem::take(&mut self.has_written)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        self.has_read |= !read.is_empty();
        self.watch.read(read);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.has_written |= written > 0;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
