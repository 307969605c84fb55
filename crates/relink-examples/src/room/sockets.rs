//! A UDP socket for each peer connection.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::AbortHandle;

use crate::mesh::ConnectionId;

/// Larger than any datagram of WebRTC.
const LARGEST: usize = 2_048;

/// The number of packets that wait; further ones are dropped, as a network may.
const QUEUE: usize = 256;

pub(super) struct Datagram {
    pub(super) connection: ConnectionId,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

pub(super) struct Sockets {
    ip: IpAddr,
    bound: BTreeMap<ConnectionId, Bound>,
    sender: Sender<Datagram>,
    received: Receiver<Datagram>,
}

struct Bound {
    socket: Arc<UdpSocket>,
    reader: AbortHandle,
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Sockets {
    pub(super) fn new(ip: IpAddr) -> Self {
        let (sender, received) = mpsc::channel(QUEUE);
        Self { ip, bound: BTreeMap::new(), sender, received }
    }

    pub(super) async fn bind(&mut self, connection: ConnectionId) -> io::Result<SocketAddr> {
        let socket = Arc::new(UdpSocket::bind((self.ip, 0)).await?);
        let address = socket.local_addr()?;
        let reader = tokio::spawn(read(socket.clone(), connection, address, self.sender.clone()))
            .abort_handle();
        self.bound.insert(connection, Bound { socket, reader });
        Ok(address)
    }

    pub(super) fn unbind(&mut self, connection: ConnectionId) {
        self.bound.remove(&connection);
    }

    /// Sends it, or loses it, which WebRTC expects.
    pub(super) fn send(&self, connection: ConnectionId, destination: SocketAddr, bytes: &[u8]) {
        if let Some(bound) = self.bound.get(&connection) {
            _ = bound.socket.try_send_to(bytes, destination);
        }
    }

    /// The next datagram. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Option<Datagram> {
        self.received.recv().await
    }
}

async fn read(
    socket: Arc<UdpSocket>,
    connection: ConnectionId,
    destination: SocketAddr,
    sender: Sender<Datagram>,
) {
    let mut buffer = [0; LARGEST];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, source)) => {
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                if sender.send(Datagram { connection, source, destination, bytes }).await.is_err() {
                    return;
                }
            }
            // An ICMP answer to something that was sent; what is sent next may arrive.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(_) => return,
        }
    }
}
