//! Where clients arrive.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};

use super::{
    Shared,
    fault::Dials,
    relay::{Relay, forward, leave},
};
use crate::socket;

const LIVE_MAX: usize = 1024;
const BACKLOG: u32 = 1024;
/// How long to wait when the system has no socket to give, or not this port.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(10);

/// A port that stays reserved while the proxy does not listen.
pub(super) struct Port {
    addr: SocketAddr,
    /// Bound and never listening: the system does not reassign the port, and refuses connections to
    /// it. On other systems the port is free while it is closed.
    #[cfg(target_os = "linux")]
    _placeholder: TcpSocket,
    listener: Option<TcpListener>,
}

impl Port {
    pub(super) fn take(addr: SocketAddr) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        let (addr, placeholder) = {
            let placeholder = bind(addr)?;
            (placeholder.local_addr()?, placeholder)
        };
        let listener = bind(addr)?.listen(BACKLOG)?;
        Ok(Self {
            addr: listener.local_addr()?,
            #[cfg(target_os = "linux")]
            _placeholder: placeholder,
            listener: Some(listener),
        })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    async fn accept(&mut self) -> TcpStream {
        loop {
            let accepted = match &self.listener {
                Some(listener) => listener.accept().await.map(|(tcp, _)| tcp),
                None => {
                    bind(self.addr).and_then(|socket| socket.listen(BACKLOG)).and_then(|listener| {
                        self.listener = Some(listener);
                        Err(io::ErrorKind::WouldBlock.into())
                    })
                }
            };
            match accepted {
                Ok(tcp) => return tcp,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => sleep(OUT_OF_SOCKETS).await,
            }
        }
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Accepts until the proxy is dropped. Then every socket is reset.
pub(super) async fn serve(mut port: Port, shared: Arc<Shared>) {
    let mut stopped = shared.stopped.subscribe();
    let mut dials = shared.dials.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let now = *dials.borrow_and_update();
        if now == Dials::Closed {
            port.listener = None;
        }
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            told = dials.changed() => if told.is_err() { break },
            Some(_) = connections.join_next() => {}
            tcp = port.accept(), if now != Dials::Closed => admit(tcp, now, &shared, &mut connections),
        }
    }
    connections.shutdown().await;
}

fn admit(client: TcpStream, dials: Dials, shared: &Arc<Shared>, connections: &mut JoinSet<()>) {
    let mut state = shared.state();
    state.dials += 1;
    let number = state.dials;
    let is_welcome =
        socket::prepare(&client).is_ok() && dials == Dials::Pass && state.live.len() < LIVE_MAX;
    if is_welcome {
        let relay = Arc::new(Relay::new(state.orders, Arc::clone(shared)));
        state.live.insert(number, Arc::clone(&relay));
        let seat = Seat { shared: Arc::clone(shared), number };
        let upstream = state.upstream;
        connections.spawn(async move {
            let ended = forward(client, upstream, &relay).await;
            drop(seat);
            if let Some(sockets) = ended {
                leave(sockets).await;
            }
        });
    }
    drop(state);
    shared.changed.notify_waiters();
}

/// A connection's place among the live ones, until it is dropped.
struct Seat {
    shared: Arc<Shared>,
    number: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.state().live.remove(&self.number);
        self.shared.changed.notify_waiters();
    }
}
