//! The seam to an async runtime: connect, clock, sleep, spawn. All that a driver crate has to
//! write.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use relink::{Failure, Instant};

use crate::lookup::lookup;

/// What an async runtime offers to a link.
///
/// A runtime makes no decisions: it opens the connections and timers that it is asked to.
///
/// If its streams, timers and futures stay on one thread and are not `Send`, they go into a
/// [`Local`](crate::Local).
pub trait Runtime: Clone + Send + Sync + Unpin + 'static {
    /// Its TCP stream.
    type Tcp: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// Its timer.
    type Sleep: Sleep;

    /// The time on its monotonic clock, from any fixed origin. It should count suspended time, as
    /// [`StdClock`](crate::StdClock) does; see also [`Suspension`](crate::Suspension).
    fn now(&self) -> Instant;

    /// A timer that is not set yet.
    fn sleep(&self) -> Self::Sleep;

    /// Looks a name up: all addresses, in the resolver's order of preference.
    ///
    /// By default with the system's resolver, on a thread that neither the runtime nor the exit of
    /// the process waits for; attempts for the same name share one.
    fn lookup(
        &self,
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static {
        lookup(host, port)
    }

    /// Connects to one address, with `TCP_NODELAY`, since a link sends whole messages.
    fn connect(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Tcp>> + Send + 'static;

    /// Runs a task to its end in the background.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);
}

/// A timer.
pub trait Sleep: Send + Unpin + 'static {
    /// Ready once the clock has reached `deadline`; else the task is woken then. Called repeatedly
    /// with the same deadline or another one: only a change should cost anything.
    fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()>;
}

/// Why no transport could be opened.
#[derive(Debug, thiserror::Error)]
#[error("{failure}: {detail}")]
pub struct ConnectError {
    failure: Failure,
    detail: String,
    #[source]
    source: Option<io::Error>,
}

impl ConnectError {
    /// An error that is not an I/O error; `detail` is for display, without secrets.
    #[must_use]
    pub fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self { failure, detail: detail.into(), source: None }
    }

    /// The name could not be looked up.
    #[must_use]
    pub fn lookup(error: io::Error) -> Self {
        Self { failure: Failure::Lookup, ..Self::from(error) }
    }

    /// The TLS handshake failed.
    #[must_use]
    pub fn tls(error: io::Error) -> Self {
        Self { failure: Failure::Tls, ..Self::from(error) }
    }

    /// The failure for the core.
    #[must_use]
    pub const fn failure(&self) -> Failure {
        self.failure
    }

    /// The detail for display.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self { failure: io_failure(&error), detail: error.to_string(), source: Some(error) }
    }
}

/// The failure for an I/O error.
pub(crate) fn io_failure(error: &io::Error) -> Failure {
    #[cfg(feature = "tls")]
    if crate::tls::is_refusal(error) {
        return Failure::Tls;
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "std's list of kinds grows")]
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => Failure::Unreachable,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Failure::Reset,
        io::ErrorKind::UnexpectedEof => Failure::Eof,
        _ => Failure::Io,
    }
}
