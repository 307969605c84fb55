//! The accept loop, and what the server and its connections share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, oneshot},
    task::JoinSet,
    time::sleep,
};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::{
    conduct::conduct,
    event::EventKind,
    log::Log,
    script::{Connection, Script},
    socket::{self, Security},
    upstream::Upstream,
};

/// Few in tests: a process may not have a thousand sockets.
const LIVE_MAX: usize = if cfg!(test) { 8 } else { 1024 };
/// How many orders may wait for a connection that is stuck in a write.
const ORDERS_MAX: usize = 256;
/// How long to wait when the system has no more sockets.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(10);

/// Accepts until it is stopped, also by dropping the sender. Then every socket is reset.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: oneshot::Receiver<()>,
) {
    // Locals drop in reverse order: when the log has stopped, the port is free.
    let stopping = Stopping(shared);
    let listener = listener;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => stopping.0.admit(tcp, &mut connections),
                Err(_) => sleep(OUT_OF_SOCKETS).await,
            },
        }
    }
    connections.shutdown().await;
}

struct Stopping(Arc<Shared>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.log.stop();
    }
}

/// What a test asks of a live connection.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Send(Message),
    Close(CloseFrame),
    Silence,
}

pub(crate) struct Shared {
    pub(crate) log: Arc<Log>,
    pub(crate) security: Security,
    pub(crate) upstream: Option<Upstream>,
    arrived: AtomicUsize,
    cast: Mutex<Cast>,
    live: Mutex<BTreeMap<usize, Wires>>,
}

/// The script and how far it has come.
struct Cast {
    script: Script,
    served: usize,
}

/// The channels to a live connection.
struct Wires {
    orders: mpsc::Sender<Order>,
    kill: Arc<Notify>,
}

impl Shared {
    pub(crate) fn new(script: Script, security: Security, upstream: Option<Upstream>) -> Self {
        Self {
            log: Arc::new(Log::new()),
            security,
            upstream,
            arrived: AtomicUsize::new(0),
            cast: Mutex::new(Cast { script, served: 0 }),
            live: Mutex::default(),
        }
    }

    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(Ordering::Relaxed)
    }

    pub(crate) fn live(&self) -> usize {
        lock(&self.live).len()
    }

    pub(crate) fn set_script(&self, script: Script) {
        *lock(&self.cast) = Cast { script, served: 0 };
    }

    pub(crate) fn has_deflate(&self) -> bool {
        lock(&self.cast).script.has_deflate()
    }

    pub(crate) fn kill_all(&self) -> usize {
        let live = lock(&self.live);
        live.values().for_each(|wires| wires.kill.notify_one());
        live.len()
    }

    /// Returns how many connections took it; one with too many orders waiting does not.
    pub(crate) fn order_all(&self, order: &Order) -> usize {
        lock(&self.live)
            .values()
            .filter(|wires| wires.orders.try_send(order.clone()).is_ok())
            .count()
    }

    fn admit(self: &Arc<Self>, tcp: TcpStream, connections: &mut JoinSet<()>) {
        let number = self.arrived.fetch_add(1, Ordering::Relaxed) + 1;
        self.log.push(number, EventKind::Arrived);
        if socket::prepare(&tcp).is_err() {
            let why = "gone before the server could look at it".to_owned();
            return self.log.push(number, EventKind::PeerLost { why });
        }
        if self.live() >= LIVE_MAX {
            drop(tcp);
            return self.log.push(number, EventKind::AdmissionError);
        }
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let kill = Arc::new(Notify::new());
        lock(&self.live).insert(number, Wires { orders, kill: Arc::clone(&kill) });
        let seat = Seat { shared: Arc::clone(self), number };
        let entry = lock(&self.cast).next();
        connections.spawn(play(tcp, entry, seat, inbox, kill));
    }
}

/// One connection from its arrival to its end.
async fn play(
    tcp: TcpStream,
    entry: Connection,
    seat: Seat,
    orders: mpsc::Receiver<Order>,
    kill: Arc<Notify>,
) {
    let over = tokio::select! {
        biased;
        () = kill.notified() => Over::reset(EventKind::Reset),
        over = conduct(tcp, &entry, &seat, orders) => over,
    };
    seat.log(over.kind);
    if let Some(socket) = over.socket {
        socket::leave(socket).await;
    }
}

/// How a connection ended.
pub(crate) struct Over {
    kind: EventKind,
    /// Present if it is to be closed gracefully.
    socket: Option<socket::BoxSocket>,
}

impl Over {
    /// The socket is gone already, and was reset by that unless the peer had ended it.
    pub(crate) fn reset(kind: EventKind) -> Self {
        Self { kind, socket: None }
    }

    /// The same end by another name.
    pub(crate) fn called(self, kind: EventKind) -> Self {
        Self { kind, ..self }
    }

    pub(crate) fn polite(kind: EventKind, socket: socket::BoxSocket) -> Self {
        Self { kind, socket: Some(socket) }
    }
}

/// A connection's place among the live ones, until it is dropped.
pub(crate) struct Seat {
    pub(crate) shared: Arc<Shared>,
    number: usize,
}

impl Seat {
    pub(crate) fn log(&self, kind: EventKind) {
        self.shared.log.push(self.number, kind);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.shared.live).remove(&self.number);
        self.shared.log.wake();
    }
}

impl Cast {
    fn next(&mut self) -> Connection {
        let entry = self.script.entry(self.served);
        self.served = self.served.saturating_add(1);
        entry
    }
}

/// Nothing here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use crate::Server;

    use super::*;

    #[tokio::test]
    async fn one_connection_too_many_is_reset_and_the_script_waits() {
        const LONG: Duration = Duration::from_secs(10);
        let refusing = Script::new().then(crate::AfterLast::Refuse);
        let script =
            (0..LIVE_MAX).fold(refusing, |script, _| script.connection(Connection::blackhole()));
        let server = Server::start(script).await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..=LIVE_MAX {
            clients.push(TcpStream::connect(server.addr()).await.unwrap());
        }
        let end = |events: &[crate::ServerEvent]| {
            events.iter().any(|event| event.kind == EventKind::AdmissionError)
        };
        let events = server.wait_for(end, LONG).await.unwrap();
        assert_eq!(events.last().map(|event| event.connection), Some(LIVE_MAX + 1));
        assert_eq!((server.live(), server.connections()), (LIVE_MAX, LIVE_MAX + 1));

        clients.clear();
        server.wait_for(|_| server.live() == 0, LONG).await.unwrap();
    }
}
