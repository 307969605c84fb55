//! [`Server`]: a server that is ready to serve.

use std::{fmt, future::ready, io, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use crate::{
    builder::ServerBuilder,
    handle::ServerHandle,
    handshake,
    hub::{Hub, Phase, reached},
};

/// How long to wait when the system has no more sockets.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(50);

/// A server that is ready to serve.
pub struct Server {
    hub: Arc<Hub>,
}

impl Server {
    /// Creates a builder with default settings.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    pub(crate) const fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// A handle for the application, to publish, kick, drain, and mount into axum. Cheap to clone.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.hub))
    }

    /// Serves `ws://` on this listener until the server is [drained](ServerHandle::drain). Dropping
    /// the future cuts all connections; the clients come back when the server serves again.
    ///
    /// For TLS, Unix sockets and other byte streams, accept in your own loop and pass each
    /// connection to [`ServerHandle::accept`].
    ///
    /// # Errors
    ///
    /// None after the start: if the listener fails, it is retried.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let handle = self.handle();
        let mut phase = self.hub.phase.subscribe();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = reached(&mut phase, Phase::Draining) => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((tcp, peer)) => {
                        // Fails if the peer is gone already, which reading will show.
                        _ = tcp.set_nodelay(true);
                        let handle = handle.clone();
                        match handle.admit(Some(peer.ip())) {
                            Ok(permit) => {
                                connections.spawn(async move { handle.serve(ready(Ok(tcp)), permit).await });
                            }
                            Err(refusal) => {
                                let Some(courtesy) = handle.hub.admission.courtesy() else {
                                    handshake::refuse_at_once(tcp, &refusal);
                                    continue;
                                };
                                connections.spawn(handshake::refuse(tcp, refusal, courtesy));
                            }
                        }
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(_) => sleep(OUT_OF_SOCKETS).await,
                },
            }
        }
        // New clients reach another node at once.
        drop(listener);
        reached(&mut phase, Phase::Drained).await;
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

/// Whether only the connection to accept has failed.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.handle(), f)
    }
}
