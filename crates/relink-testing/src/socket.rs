//! The bytes below the WebSocket: TCP, with or without TLS, and the ways it ends.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest},
    net::TcpStream,
    time::{sleep, timeout},
};

/// How long a peer may take to end its half of the socket after the server has ended its own.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often a socket that is not read is checked for whether the peer is still there.
const GLANCE: Duration = Duration::from_millis(20);

pub(crate) type BoxSocket = Box<dyn Socket>;

/// A byte stream that knows the TCP socket below it.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {
    fn tcp(&mut self) -> &mut TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&mut self) -> &mut TcpStream {
        self
    }
}

#[cfg(feature = "tls")]
impl Socket for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&mut self) -> &mut TcpStream {
        self.get_mut().0
    }
}

/// What the server puts between TCP and HTTP.
#[derive(Clone)]
pub(crate) enum Security {
    Plain,
    #[cfg(feature = "tls")]
    Tls(tokio_rustls::TlsAcceptor),
}

impl Security {
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// A failure hands the socket back: an alert may be under way that the peer should read.
    pub(crate) async fn secure(&self, tcp: TcpStream) -> Result<BoxSocket, (io::Error, TcpStream)> {
        match self {
            Self::Plain => Ok(Box::new(tcp)),
            #[cfg(feature = "tls")]
            Self::Tls(acceptor) => Ok(Box::new(acceptor.accept(tcp).into_fallible().await?)),
        }
    }
}

/// From here on dropping the socket resets it; only [`leave`] ends it politely.
pub(crate) fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_zero_linger()?;
    tcp.set_nodelay(true)
}

/// Ends the server's half (FIN) and gives the peer time to read what is under way and to end its
/// own.
///
/// Closing a socket with unread bytes would reset it, and a reset can overtake the last message.
pub(crate) async fn leave(mut socket: BoxSocket) {
    let farewell = async {
        // Fails if the peer is gone or the half is ended already, which is fine.
        _ = socket.shutdown().await;
        let mut rest = [0; 4096];
        while socket.tcp().read(&mut rest).await.is_ok_and(|count| count > 0) {}
    };
    _ = timeout(FAREWELL, farewell).await;
}

/// Waits until the peer has ended or reset the connection, without reading from it.
pub(crate) async fn peer_gone(tcp: &TcpStream) {
    while let Ok(ready) = tcp.ready(Interest::READABLE).await {
        if ready.is_read_closed() {
            return;
        }
        // Unread bytes keep the socket ready, so there is nothing to wait on but time.
        sleep(GLANCE).await;
    }
}
