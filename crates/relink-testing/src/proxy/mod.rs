//! A proxy that makes the faults of a network, on loopback.

mod fault;
mod listen;
mod pump;
mod relay;
mod schedule;

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

pub use fault::{Dials, Direction, Fault, Termination};
pub use schedule::{Schedule, ScheduledFault};

use fault::Orders;
use listen::Port;
use relay::Relay;

/// A TCP proxy on 127.0.0.1 that forwards to an upstream, with faults on demand.
///
/// It knows nothing of WebSocket: it cuts where the bytes are, also in the middle of a frame. What
/// a [`Fault`] does to connections and [`Dials`] to clients that come later can be changed at any
/// time, for all connections or for one, by hand or by a [`Schedule`]. Connections are counted from
/// 1, in order of arrival.
///
/// ```
/// use std::time::Duration;
///
/// use relink_testing::{Script, Server};
/// use relink_testing::proxy::{Termination, Fault, Proxy, Direction};
/// use tokio_tungstenite::{connect_async, tungstenite::Message};
/// use futures_util::{SinkExt, StreamExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::start(Script::echo()).await?;
/// let proxy = Proxy::start(server.addr()).await?;
/// let (mut client, _) = connect_async(proxy.url()).await?;
///
/// // The echo of this message ends after 3 of its 10 bytes.
/// proxy.set(Fault::CutAfter(Direction::Down, 3, Termination::Reset));
/// client.send(Message::text("12345678")).await?;
/// assert!(client.next().await.is_none_or(|frame| frame.is_err()));
///
/// let stats = proxy.wait_for(|stats| stats.live.is_empty(), Duration::from_secs(5)).await?;
/// assert_eq!(stats.dials, 1);
/// # Ok(())
/// # }
/// ```
///
/// Bounded: 1024 connections at a time (one more is reset at once), and 256 KiB on their way in
/// each direction of each. Dropping the proxy resets every connection and frees the port.
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

/// What went through a proxy so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyStats {
    /// How many clients have dialed and were accepted by the system, whatever became of them.
    pub dials: usize,
    /// The connections that are there now, by their numbers.
    pub live: Vec<usize>,
    /// Bytes forwarded to upstreams.
    pub up: u64,
    /// Bytes forwarded to clients.
    pub down: u64,
}

/// What was waited for did not come in time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("not seen within {within:?}; what went through: {stats:?}")]
#[non_exhaustive]
pub struct ProxyWaitError {
    /// How long it was waited for.
    pub within: Duration,
    /// How things were at the end.
    pub stats: ProxyStats,
}

struct Shared {
    state: Mutex<State>,
    /// Something in the state that can be waited for has changed.
    changed: Notify,
    dials: watch::Sender<Dials>,
    stopped: watch::Sender<bool>,
}

struct State {
    upstream: SocketAddr,
    /// The initial faults of the next connection.
    orders: Orders,
    live: BTreeMap<usize, Arc<Relay>>,
    dials: usize,
    up: u64,
    down: u64,
}

/// Starting and stopping.
impl Proxy {
    /// Starts on 127.0.0.1 with a free port, on the tokio runtime this is called on.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let port = Port::take(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))?;
        let shared = Arc::new(Shared::new(upstream));
        let addr = port.addr();
        tokio::spawn(listen::serve(port, Arc::clone(&shared)));
        Ok(Self { addr, shared })
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `ws://127.0.0.1:PORT/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/", self.addr)
    }
}

/// Making faults.
impl Proxy {
    /// Does this to every connection, and to those that come later. Returns how many were reached.
    pub fn set(&self, fault: Fault) -> usize {
        let mut state = self.shared.state();
        if !matches!(fault, Fault::Cut(_)) {
            state.orders.apply(fault, (0, 0));
        }
        let live: Vec<_> = state.live.values().cloned().collect();
        drop(state);
        live.iter().for_each(|relay| relay.apply(fault));
        live.len()
    }

    /// Does this to one connection. Returns whether it is still there.
    pub fn set_on(&self, connection: usize, fault: Fault) -> bool {
        let relay = self.shared.state().live.get(&connection).cloned();
        relay.is_some_and(|relay| {
            relay.apply(fault);
            true
        })
    }

    /// What happens to clients that dial from now on.
    pub fn set_dials(&self, dials: Dials) {
        self.shared.dials.send_replace(dials);
    }

    /// Sets the upstream of later connections. Live ones keep theirs.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        self.shared.state().upstream = upstream;
    }

    /// Does one act of a schedule. An upstream is chosen from those that are given.
    pub fn act(&self, act: &ScheduledFault, upstreams: &[SocketAddr]) {
        match act {
            ScheduledFault::Fault(fault) => drop(self.set(*fault)),
            ScheduledFault::Dials(dials) => self.set_dials(*dials),
            ScheduledFault::Upstream(number) => {
                let chosen =
                    number.checked_rem(upstreams.len()).and_then(|index| upstreams.get(index));
                chosen.into_iter().for_each(|upstream| self.set_upstream(*upstream));
            }
        }
    }

    /// Plays a schedule, each act at its time, counted from now. If the future is dropped, the
    /// current faults stay.
    pub async fn play(&self, schedule: &Schedule, upstreams: &[SocketAddr]) {
        let start = tokio::time::Instant::now();
        for (at, act) in schedule.acts() {
            tokio::time::sleep_until(start + *at).await;
            self.act(act, upstreams);
        }
    }
}

/// Looking.
impl Proxy {
    /// What went through so far.
    #[must_use]
    pub fn stats(&self) -> ProxyStats {
        self.shared.state().stats()
    }

    /// How many bytes of a connection that is still there were forwarded.
    #[must_use]
    pub fn forwarded(&self, connection: usize, way: Direction) -> Option<u64> {
        self.shared.state().live.get(&connection).map(|relay| relay.forwarded(way))
    }

    /// Waits until what went through meets a condition, and returns it as it was then.
    ///
    /// # Errors
    ///
    /// When the time is over.
    pub async fn wait_for(
        &self,
        mut condition: impl FnMut(&ProxyStats) -> bool,
        within: Duration,
    ) -> Result<ProxyStats, ProxyWaitError> {
        let met = async {
            loop {
                let mut changed = pin!(self.shared.changed.notified());
                changed.as_mut().enable();
                let stats = self.stats();
                if condition(&stats) {
                    return stats;
                }
                changed.await;
            }
        };
        let waited = timeout(within, met).await;
        waited.map_err(|_| ProxyWaitError { within, stats: self.stats() })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.send_replace(true);
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("addr", &self.addr)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn new(upstream: SocketAddr) -> Self {
        let state = State {
            upstream,
            orders: Orders::default(),
            live: BTreeMap::new(),
            dials: 0,
            up: 0,
            down: 0,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            dials: watch::Sender::new(Dials::default()),
            stopped: watch::Sender::new(false),
        }
    }

    /// Nothing in it is left half done by a panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, way: Direction, bytes: usize) {
        let mut state = self.state();
        let counter = if way == Direction::Up { &mut state.up } else { &mut state.down };
        *counter = counter.saturating_add(bytes as u64);
        drop(state);
        self.changed.notify_waiters();
    }
}

impl State {
    fn stats(&self) -> ProxyStats {
        let live = self.live.keys().copied().collect();
        ProxyStats { dials: self.dials, live, up: self.up, down: self.down }
    }
}
