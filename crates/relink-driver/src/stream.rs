//! Byte streams of any kind.

use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

/// Any byte stream: TCP, TLS, a proxy's tunnel, a Unix socket, a pipe in memory.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for T {}

/// A byte stream of any kind.
pub type BoxStream = Box<dyn ByteStream>;

/// What was seen of the peer beneath TLS, which passes on a record only when it is complete.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    anything: AtomicBool,
    part_of_record: AtomicBool,
}

impl Heard {
    /// Whether anything arrived since the last call.
    pub(crate) fn take(&self) -> bool {
        self.0.anything.swap(false, Ordering::Relaxed)
    }

    /// Whether a TLS record is incomplete.
    pub(crate) fn is_mid_record(&self) -> bool {
        self.0.part_of_record.load(Ordering::Relaxed)
    }
}

/// Finds where TLS records end. Some carry no data: new keys, session tickets.
#[derive(Default)]
struct Records {
    header: [u8; 5],
    header_len: usize,
    /// Bytes of the current record that have not arrived.
    missing: usize,
}

impl Records {
    fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.missing > 0 {
                let count = self.missing.min(bytes.len());
                self.missing -= count;
                bytes = &bytes[count..];
                continue;
            }
            self.header[self.header_len] = *first;
            self.header_len = (self.header_len + 1) % self.header.len();
            if self.header_len == 0 {
                let [_, _, _, high, low] = self.header;
                self.missing = u16::from_be_bytes([high, low]).into();
            }
            bytes = rest;
        }
    }

    const fn is_mid_record(&self) -> bool {
        self.header_len > 0 || self.missing > 0
    }
}

/// The stream of an attempt: records that something was read, and turns a panic into an error,
/// since a connector may run any code.
pub(crate) struct Guarded {
    stream: BoxStream,
    heard: Heard,
    /// `None` without TLS.
    records: Option<Records>,
}

impl Guarded {
    pub(crate) fn new(stream: BoxStream, has_tls: bool) -> (Self, Heard) {
        let heard = Heard::default();
        let records = has_tls.then(Records::default);
        (Self { stream, heard: heard.clone(), records }, heard)
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
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = self.guard(|stream| stream.poll_read(cx, into));
        let Self { heard: Heard(seen), records, .. } = &mut *self;
        if let Poll::Ready(Ok(count @ 1..)) = read {
            seen.anything.store(true, Ordering::Relaxed);
            if let Some(records) = records {
                records.pass(into.get(..count).unwrap_or_default());
                seen.part_of_record.store(records.is_mid_record(), Ordering::Relaxed);
            }
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
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
