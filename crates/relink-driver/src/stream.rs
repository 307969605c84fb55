//! Byte streams of any kind.

use futures_io::{AsyncRead, AsyncWrite};

/// Any byte stream: TCP, TLS, a proxy's tunnel, a Unix socket, a pipe in memory (E6).
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for T {}

/// A byte stream of any kind.
pub type BoxStream = Box<dyn ByteStream>;
