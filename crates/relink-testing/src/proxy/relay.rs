//! One connection through the proxy.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{io::AsyncReadExt, net::TcpStream, sync::watch, time::timeout};

use super::{
    Shared,
    fault::{Direction, Fault, Orders, Termination},
    pump::{Pump, Waiting},
};
use crate::socket;

/// How long the two sides may take to end their halves after the proxy has ended its own.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the upstream may take to accept.
const DIAL: Duration = Duration::from_secs(10);

/// What reaches into a connection.
pub(super) struct Relay {
    orders: watch::Sender<Orders>,
    up: AtomicU64,
    down: AtomicU64,
    broken: AtomicBool,
    shared: Arc<Shared>,
}

impl Relay {
    pub(super) fn new(orders: Orders, shared: Arc<Shared>) -> Self {
        let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            orders: watch::Sender::new(orders),
            up,
            down,
            broken: AtomicBool::new(false),
            shared,
        }
    }

    pub(super) fn apply(&self, fault: Fault) {
        let forwarded = (self.forwarded(Direction::Up), self.forwarded(Direction::Down));
        self.orders.send_modify(|orders| orders.apply(fault, forwarded));
    }

    /// Cuts the connection, once, when the bytes in this direction are used up.
    pub(super) fn cut(&self, way: Direction, end: Termination) {
        self.orders.send_modify(|orders| {
            orders.forget_cut(way);
            orders.apply(Fault::Cut(end), (0, 0));
        });
    }

    /// One side is gone without an end.
    pub(super) fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    pub(super) fn forwarded(&self, way: Direction) -> u64 {
        match way {
            Direction::Up => self.up.load(Ordering::Relaxed),
            Direction::Down => self.down.load(Ordering::Relaxed),
            Direction::Both => {
                self.forwarded(Direction::Up).saturating_add(self.forwarded(Direction::Down))
            }
        }
    }

    pub(super) fn count(&self, way: Direction, bytes: usize) {
        let counter = if way == Direction::Up { &self.up } else { &self.down };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
        self.shared.count(way, bytes);
    }
}

/// Forwards until both directions are at their end, or one side is lost. Dropping the sockets
/// resets them.
pub(super) async fn forward(
    mut client: TcpStream,
    upstream: SocketAddr,
    relay: &Relay,
) -> Option<[TcpStream; 2]> {
    let mut server = timeout(DIAL, TcpStream::connect(upstream)).await.ok()?.ok()?;
    socket::prepare(&server).ok()?;
    let mut reset = relay.orders.subscribe();
    let ended = tokio::select! {
        biased;
        _ = reset.wait_for(|orders| orders.reset) => Err(io::ErrorKind::ConnectionReset.into()),
        ended = both(&mut client, &mut server, relay) => ended,
    };
    ended.is_ok().then_some([client, server])
}

async fn both(client: &mut TcpStream, server: &mut TcpStream, relay: &Relay) -> io::Result<()> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let pump = |way, from, to| {
        Pump { relay, orders: relay.orders.subscribe(), way, from, to, waiting: Waiting::default() }
            .run()
    };
    tokio::try_join!(
        pump(Direction::Up, from_client, to_server),
        pump(Direction::Down, from_server, to_client)
    )?;
    Ok(())
}

/// After the end was passed to both sides, gives them time to read what is in flight. A socket that
/// is closed with unread bytes is reset, and a reset can overtake them.
pub(super) async fn leave([mut client, mut server]: [TcpStream; 2]) {
    async fn read_up(tcp: &mut TcpStream) {
        let mut rest = [0; 4096];
        while tcp.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    }
    _ = timeout(FAREWELL, async { tokio::join!(read_up(&mut client), read_up(&mut server)) }).await;
}
