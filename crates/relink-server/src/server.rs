//! The server as its owner holds it.

use std::{fmt, future::ready, io, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use crate::{
    builder::ServerBuilder,
    handle::ServerHandle,
    handshake,
    hub::{Hub, Phase, reached},
};

/// How long to wait when the system has no socket to give.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(50);

/// A server that is ready to serve.
pub struct Server {
    hub: Arc<Hub>,
}

impl Server {
    /// Everything at its default, to be changed.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    pub(crate) const fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// What the rest of the application holds: it publishes, kicks, drains, mounts into axum. Cheap
    /// to clone.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.hub))
    }

    /// Serves `ws://` on this listener until the server is [drained](ServerHandle::drain). Dropping
    /// it cuts every connection; the clients come back when somebody serves again.
    ///
    /// For TLS, Unix sockets and everything else that carries bytes, accept in a loop of your own
    /// and hand each connection to [`ServerHandle::accept`].
    ///
    /// # Errors
    ///
    /// None after it has begun: a listener that fails is asked again.
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
                        // Fails where the peer is gone already, which reading will tell.
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
        // Whoever comes now finds another node at once.
        drop(listener);
        reached(&mut phase, Phase::Drained).await;
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

/// Whether only the connection that was to be accepted has failed.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.handle(), f)
    }
}
