//! [`Server`]: the handle of a test.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle},
    sync::oneshot,
    time::sleep,
};
use tokio_tungstenite::tungstenite::Message;

#[cfg(feature = "tls")]
use crate::tls::TestCertificate;
use crate::{
    event::{EventKind, Request, ServerEvent},
    log::{Events, Gave, WaitError},
    peer::close_frame,
    script::{Script, ScriptError},
    serve::{Order, Shared, serve},
    socket::Security,
    step::{MESSAGE_MAX, REASON_MAX},
    upstream::Upstream,
};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A WebSocket server that follows its [`Script`], and logs what it saw.
///
/// Dropping it stops it soon after; [`stop`](Self::stop) waits for that.
pub struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// The runtime of its timers, so that waiting works on any runtime.
    runtime: Handle,
    /// Dropping this stops the server.
    stop: oneshot::Sender<()>,
}

/// Starting.
impl Server {
    /// Starts on 127.0.0.1 with a free port, on the tokio runtime this is called on.
    ///
    /// # Errors
    ///
    /// When no port is available; with [`io::ErrorKind::InvalidInput`] and a [`ScriptError`] inside
    /// when the script is wrong.
    pub async fn start(script: impl Into<Script>) -> io::Result<Self> {
        Self::bind(LOOPBACK, script).await
    }

    /// Starts on this address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); among others when the port is taken.
    pub async fn bind(addr: SocketAddr, script: impl Into<Script>) -> io::Result<Self> {
        let (server, work) = Self::prepare(addr, script.into(), Security::Plain, None).await?;
        tokio::spawn(work);
        Ok(server)
    }

    /// Starts on this address, with another server behind: see [`Upstream`].
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub async fn bind_before(
        addr: SocketAddr,
        script: impl Into<Script>,
        upstream: Upstream,
    ) -> io::Result<Self> {
        let (server, work) =
            Self::prepare(addr, script.into(), Security::Plain, Some(upstream)).await?;
        tokio::spawn(work);
        Ok(server)
    }

    /// Starts on 127.0.0.1 with a free port, on a thread with its own runtime.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and when no thread can be started.
    pub fn spawn_thread(script: impl Into<Script>) -> io::Result<Self> {
        Self::on_thread(script.into(), Security::Plain)
    }

    /// Like [`start`](Self::start), for `wss://`.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and when the certificate does not suit rustls.
    #[cfg(feature = "tls")]
    pub async fn start_tls(
        script: impl Into<Script>,
        certificate: &TestCertificate,
    ) -> io::Result<Self> {
        let (server, work) =
            Self::prepare(LOOPBACK, script.into(), certificate.security()?, None).await?;
        tokio::spawn(work);
        Ok(server)
    }

    /// Like [`spawn_thread`](Self::spawn_thread), for `wss://`.
    ///
    /// # Errors
    ///
    /// As [`spawn_thread`](Self::spawn_thread), and when the certificate does not suit rustls.
    #[cfg(feature = "tls")]
    pub fn spawn_thread_tls(
        script: impl Into<Script>,
        certificate: &TestCertificate,
    ) -> io::Result<Self> {
        Self::on_thread(script.into(), certificate.security()?)
    }

    fn on_thread(script: Script, security: Security) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (started, server) = mpsc::sync_channel(1);
        thread::Builder::new().name("relink-testing".to_owned()).spawn(move || {
            runtime.block_on(async {
                match Self::prepare(LOOPBACK, script, security, None).await {
                    Ok((server, work)) => {
                        // If the receiver is gone, it is dropped, and the work ends at once.
                        _ = started.send(Ok(server));
                        work.await;
                    }
                    Err(error) => _ = started.send(Err(error)),
                }
            });
        })?;
        server
            .recv()
            .map_err(|_| io::Error::other("the server's thread ended before it had started"))?
    }

    async fn prepare(
        addr: SocketAddr,
        script: Script,
        security: Security,
        upstream: Option<Upstream>,
    ) -> io::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        script.validate().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(script, security, upstream));
        let (stop, stopped) = oneshot::channel();
        let work = serve(listener, Arc::clone(&shared), stopped);
        Ok((Self { addr, shared, runtime: Handle::current(), stop }, work))
    }
}

/// Queries.
impl Server {
    /// `ws://127.0.0.1:PORT/`, or `wss://localhost:PORT/` with TLS. Any other path works, too.
    #[must_use]
    pub fn url(&self) -> String {
        let addr = self.addr;
        match (self.shared.security.is_plain(), addr.ip()) {
            (false, _) => format!("wss://localhost:{}/", addr.port()),
            (true, IpAddr::V4(ip)) if ip.is_unspecified() => {
                format!("ws://{}:{}/", Ipv4Addr::LOCALHOST, addr.port())
            }
            (true, IpAddr::V6(ip)) if ip.is_unspecified() => {
                format!("ws://[{}]:{}/", Ipv6Addr::LOCALHOST, addr.port())
            }
            (true, _) => format!("ws://{addr}/"),
        }
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The number of connections that have arrived so far, whatever their fate.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.arrived()
    }

    /// The number of connections that have a socket now, including during the handshake and the
    /// close.
    #[must_use]
    pub fn live(&self) -> usize {
        self.shared.live()
    }

    /// Everything in the log, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<ServerEvent> {
        self.shared.log.events()
    }

    /// The number of events that the log has dropped: it keeps 10 000, or 16 MiB of content.
    #[must_use]
    pub fn events_dropped(&self) -> u64 {
        self.shared.log.dropped()
    }

    /// The events one by one: first those in the log, then the ones to come.
    #[must_use]
    pub fn watch(&self) -> Events {
        Events::new(Arc::clone(&self.shared.log))
    }

    /// Waits until the log meets a condition, and returns it as it was then. Works on any runtime.
    ///
    /// The condition is checked at once, after every event and whenever a socket is gone. The log
    /// is locked meanwhile, so it may call [`connections`](Self::connections) and
    /// [`live`](Self::live), but not [`events`](Self::events).
    ///
    /// # Errors
    ///
    /// When the time is over; printed, the error lists what was seen.
    pub async fn wait_for(
        &self,
        condition: impl FnMut(&[ServerEvent]) -> bool,
        within: Duration,
    ) -> Result<Vec<ServerEvent>, WaitError> {
        let deadline = {
            let _timers = self.runtime.enter();
            sleep(within)
        };
        let waited = self.shared.log.wait_for(condition, deadline).await;
        waited.map_err(|gave| WaitError::new(within, gave, self.events()))
    }

    /// Waits for the first event that is one looked for; it may be in the log already.
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for).
    pub async fn wait_for_event(
        &self,
        is_it: impl Fn(&ServerEvent) -> bool,
        within: Duration,
    ) -> Result<ServerEvent, WaitError> {
        self.wait_to_pick(|event| is_it(event).then(|| event.clone()), within).await
    }

    /// Waits for the event that [ends](EventKind::is_end) a connection.
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for).
    pub async fn wait_for_end(
        &self,
        connection: usize,
        within: Duration,
    ) -> Result<EventKind, WaitError> {
        let is_end = |event: &ServerEvent| event.connection == connection && event.kind.is_end();
        self.wait_to_pick(|event| is_end(event).then(|| event.kind.clone()), within).await
    }

    /// Waits for the request of a connection.
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for).
    pub async fn wait_for_request(
        &self,
        connection: usize,
        within: Duration,
    ) -> Result<Request, WaitError> {
        let request = |event: &ServerEvent| {
            event.kind.request().filter(|_| event.connection == connection).cloned()
        };
        self.wait_to_pick(request, within).await
    }

    async fn wait_to_pick<T>(
        &self,
        pick: impl Fn(&ServerEvent) -> Option<T>,
        within: Duration,
    ) -> Result<T, WaitError> {
        let mut picked = None;
        let pick = |log: &[ServerEvent]| {
            picked = log.iter().find_map(&pick);
            picked.is_some()
        };
        let log = self.wait_for(pick, within).await?;
        picked.ok_or_else(|| WaitError::new(within, Gave::OutOfTime, log))
    }

    /// The text messages that have arrived on a connection.
    #[must_use]
    pub fn texts(&self, connection: usize) -> Vec<String> {
        let events = self.events().into_iter().filter(|event| event.connection == connection);
        events
            .filter_map(
                |event| {
                    if let EventKind::Text(text) = event.kind { Some(text) } else { None }
                },
            )
            .collect()
    }

    /// [`wait_for`](Self::wait_for) without a runtime.
    ///
    /// It blocks the thread. If the server was started on a runtime and this is the only thread of
    /// that, nothing can happen meanwhile: use [`spawn_thread`](Self::spawn_thread) there.
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_for_blocking(
        &self,
        condition: impl FnMut(&[ServerEvent]) -> bool,
        within: Duration,
    ) -> Result<Vec<ServerEvent>, WaitError> {
        let waited = self.shared.log.wait_for_blocking(condition, within);
        waited.map_err(|gave| WaitError::new(within, gave, self.events()))
    }
}

/// Interfering. Each `_all` returns how many live connections it reached.
impl Server {
    /// The script for connections that arrive from now on, from its first entry. Live ones keep
    /// theirs.
    ///
    /// # Errors
    ///
    /// When the script is wrong; then the old one stays.
    pub fn set_script(&self, script: impl Into<Script>) -> Result<(), ScriptError> {
        let script = script.into();
        script.validate()?;
        self.shared.set_script(script);
        Ok(())
    }

    /// Sends a text message on every connection that is a WebSocket, or becomes one. A message of
    /// more than 1 MiB is not sent.
    pub fn send_all(&self, text: impl Into<String>) -> usize {
        let text: String = text.into();
        if text.len() > MESSAGE_MAX {
            return 0;
        }
        self.shared.order_all(&Order::Send(Message::text(text)))
    }

    /// Closes every connection that is a WebSocket, or becomes one, with this code and reason.
    ///
    /// A reason longer than 123 bytes is cut.
    pub fn close_all(&self, code: u16, reason: &str) -> usize {
        let fits = |end: &usize| *end <= REASON_MAX && reason.is_char_boundary(*end);
        let end = (0..=reason.len()).rev().find(fits).unwrap_or(0);
        self.shared.order_all(&Order::Close(close_frame(code, &reason[..end])))
    }

    /// Makes links half-open: every connection that is a WebSocket, or becomes one, stops reading
    /// and answering while its socket stays. [`kill_all`](Self::kill_all) and
    /// [`close_all`](Self::close_all) still end it.
    pub fn silence_all(&self) -> usize {
        self.shared.order_all(&Order::Silence)
    }

    /// Resets every live socket (RST), in whatever state it is.
    pub fn kill_all(&self) -> usize {
        self.shared.kill_all()
    }

    /// Stops: no more connections are accepted, and every live socket is reset. When this returns,
    /// the port is free.
    pub async fn stop(self) {
        drop(self.stop);
        self.shared.log.stopped().await;
    }

    /// [`stop`](Self::stop) without a runtime; it blocks the thread, with the same caution as
    /// [`wait_for_blocking`](Self::wait_for_blocking).
    pub fn stop_blocking(self) {
        drop(self.stop);
        self.shared.log.stopped_blocking();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.url())
            .field("live", &self.live())
            .finish_non_exhaustive()
    }
}
