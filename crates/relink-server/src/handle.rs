//! [`ServerHandle`]: the application's handle to a running server.

use std::{fmt, future::ready, io, net::IpAddr, sync::Arc};

use http::StatusCode;
use relink::session::{Member, Problem};
use relink::{Channel, CloseFrame, Message, SessionId};
use relink_driver::Wire;
use relink_node::{NodeEvent, NodeInput, NodeStats, Stream};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::broadcast::{Receiver, error::RecvError},
    time::timeout,
};

use crate::{
    admission::Permit,
    connection,
    handshake::{self, Failed, Refusal},
    history::HistoryError,
    hub::{Hub, Phase, reached},
    user::User,
};

/// A handle to a running server. Cheap to clone; the server lives as long as a handle or a
/// connection.
#[derive(Clone)]
pub struct ServerHandle {
    pub(crate) hub: Arc<Hub>,
}

impl ServerHandle {
    pub(crate) const fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// Publishes a message to all subscribers of a channel, at this node and others.
    ///
    /// It is queued; if the store fails, [`NodeEvent::NotPublished`] is emitted. Messages to one
    /// channel keep their order.
    ///
    /// # Errors
    ///
    /// Returns the message if it is larger than
    /// [`max_publication`](relink_node::NodeConfig::max_publication), or if no client can subscribe
    /// to the name of the channel.
    pub fn publish(
        &self,
        channel: impl Into<Channel>,
        message: impl Into<Message>,
    ) -> Result<(), NotPublished> {
        self.put(Stream::Channel(channel.into()), message.into())
    }

    /// Sends a message to one session, wherever its client is connected. It waits there until the
    /// client comes back; if the session no longer exists, the message is dropped.
    ///
    /// # Errors
    ///
    /// Returns the message if it is larger than
    /// [`max_publication`](relink_node::NodeConfig::max_publication).
    pub fn send(
        &self,
        session: impl Into<SessionId>,
        message: impl Into<Message>,
    ) -> Result<(), NotPublished> {
        self.put(Stream::Session(session.into()), message.into())
    }

    fn put(&self, stream: Stream, message: Message) -> Result<(), NotPublished> {
        if let Err(problem) = self.hub.config.node.may_publish(&stream, &message) {
            return Err(NotPublished { message, problem });
        }
        self.hub.drive(NodeInput::Publish { stream, message });
        Ok(())
    }

    /// Closes all connections of a user and ends their sessions, at all nodes of the same history,
    /// including sessions of clients that are away: they cannot be resumed, and members leave at
    /// once. The effects of the user's messages are committed before that or not at all. It is not
    /// a ban: a client that authenticates again starts a new session.
    ///
    /// Connections at this node are closed at once; if the store fails, the rest follows when it
    /// answers again. A node that was not notified, as its connection to the store was lost, closes
    /// with 4100 instead of the code.
    ///
    /// The code determines what the client does:
    /// [`ADMIN_DISCONNECT`](relink::CloseCode::ADMIN_DISCONNECT) and
    /// [`ACCOUNT_SUSPENDED`](relink::CloseCode::ACCOUNT_SUSPENDED) are meant for this; see
    /// [`CloseFrame::for_wire`] for a code that may not be sent.
    pub fn kick(&self, user: impl Into<User>, frame: impl Into<CloseFrame>) {
        let user = user.into().as_str().to_owned();
        self.hub.drive(NodeInput::Kick { user, frame: frame.into() });
    }

    /// The members of a channel, at all nodes of the same history: those who subscribed with
    /// presence. A member whose connection broke stays one for
    /// [`member_grace`](relink_node::NodeConfig::member_grace).
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn members(&self, channel: impl Into<Channel>) -> Result<Vec<Member>, HistoryError> {
        self.hub.members(channel.into()).await
    }

    /// The sessions of a user whose clients are connected to this node, in the order in which they
    /// began here: [`send`](Self::send) reaches each of them, wherever it is later.
    #[must_use]
    pub fn sessions(&self, user: impl Into<User>) -> Vec<SessionId> {
        self.hub.sessions(user.into().as_str())
    }

    /// Shuts the node down: it accepts no more connections; each client gets its own delay until it
    /// comes back, and is closed with 1001: all at once, or in turn with
    /// [`linger`](relink_node::DrainConfig::linger). Messages that clients have sent are stored
    /// before. Sessions last: they are resumed at another node, or here after the restart.
    ///
    /// Returns when the last connection is closed. Cancelling it does not cancel the shutdown.
    pub async fn drain(&self) {
        let mut phase = self.hub.phase.subscribe();
        self.hub.phase.send_if_modified(|phase| {
            let begins = *phase == Phase::Serving;
            *phase = (*phase).max(Phase::Draining);
            begins
        });
        self.hub.drive(NodeInput::Drain);
        reached(&mut phase, Phase::Drained).await;
    }

    /// The counters so far, and the current numbers.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        ServerStats { node: self.hub.stats(), not_admitted: self.hub.admission.refused() }
    }

    /// The events from now on.
    #[must_use]
    pub fn events(&self) -> ServerEvents {
        ServerEvents { receiver: self.hub.events.subscribe(), missed: 0 }
    }

    /// Serves one connection, on any byte stream, from its first byte to its last. `peer` is
    /// counted for [`max_per_address`](crate::AdmissionConfig::max_per_address). If there is a TLS
    /// handshake first, use [`accept_after`](Self::accept_after).
    pub async fn accept<IO>(&self, io: IO, peer: Option<IpAddr>)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send,
    {
        match self.admit(peer) {
            Ok(permit) => self.serve(ready(Ok(io)), permit).await,
            Err(refusal) => match self.hub.admission.courtesy() {
                Some(courtesy) => Box::pin(handshake::refuse(io, refusal, courtesy)).await,
                None => handshake::refuse_at_once(io, &refusal),
            },
        }
    }

    /// Serves one connection after a first handshake, such as TLS: the connection is counted before
    /// it, one beyond the limits is dropped without it, and
    /// [`handshake_timeout`](crate::ServerConfig::handshake_timeout) and a shutdown bound it.
    ///
    /// ```no_run
    /// # async fn example<A>(server: relink_server::Server, acceptor: A, listener: tokio::net::TcpListener) -> std::io::Result<()>
    /// # where A: Fn(tokio::net::TcpStream) -> std::future::Ready<std::io::Result<tokio::net::TcpStream>> {
    /// let relink = server.handle();
    /// loop {
    ///     let (tcp, peer) = listener.accept().await?;
    ///     tcp.set_nodelay(true)?;
    ///     let (relink, tls) = (relink.clone(), acceptor(tcp)); // a tokio_rustls::TlsAcceptor, for one
    ///     tokio::spawn(async move { relink.accept_after(tls, Some(peer.ip())).await });
    /// }
    /// # }
    /// ```
    pub async fn accept_after<IO>(
        &self,
        handshake: impl Future<Output = io::Result<IO>> + Send,
        peer: Option<IpAddr>,
    ) where
        IO: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if let Ok(permit) = self.admit(peer) {
            self.serve(handshake, permit).await;
        }
    }

    pub(crate) async fn serve<IO>(
        &self,
        io: impl Future<Output = io::Result<IO>> + Send,
        permit: Permit,
    ) where
        IO: AsyncRead + AsyncWrite + Unpin + Send,
    {
        // Boxed, so that an idle connection has no memory for the handshake.
        let greeting = Box::pin(timeout(self.hub.config.handshake_timeout, self.greet(io)));
        match greeting.await {
            Ok(Ok((io, Greeted { wire, rest, user }))) => {
                connection::run(io, wire, rest, Arc::clone(&self.hub), user, permit).await
            }
            Ok(Err(Failed::Gone)) | Err(_) => {}
            Ok(Err(Failed::Refused(_))) => {} // Answered.
        }
    }

    /// The handshake, unless the server shuts down meanwhile.
    async fn greet<IO>(
        &self,
        io: impl Future<Output = io::Result<IO>>,
    ) -> Result<(IO, Greeted), Failed>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let mut io = self.unless_draining(async { Ok::<_, Failed>(io.await?) }).await?;
        match self.unless_draining(self.agree(&mut io)).await {
            Ok(greeted) => Ok((io, greeted)),
            Err(failed) => {
                if let Failed::Refused(refusal) = &failed {
                    handshake::answer(io, refusal).await;
                }
                Err(failed)
            }
        }
    }

    async fn agree(
        &self,
        io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Result<Greeted, Failed> {
        let (request, rest) = handshake::read(io).await?;
        let (response, wire) = handshake::agree(&request, &self.hub.config)?;
        let user = handshake::identify(request, &self.hub.handlers).await?;
        handshake::write(io, &response).await?;
        Ok(Greeted { wire, rest, user })
    }

    /// Runs a part of a handshake, for which a shutdown does not wait.
    pub(crate) async fn unless_draining<T, E: From<Refusal>>(
        &self,
        part: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut phase = self.hub.phase.subscribe();
        tokio::select! {
            biased;
            done = part => done,
            () = reached(&mut phase, Phase::Draining) => Err(self.shuts_down().into()),
        }
    }

    fn shuts_down(&self) -> Refusal {
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server shuts down");
        refusal.retry_after(self.hub.admission.retry_after())
    }

    pub(crate) fn admit(&self, peer: Option<IpAddr>) -> Result<Permit, Refusal> {
        if *self.hub.phase.borrow() > Phase::Serving {
            return Err(self.shuts_down());
        }
        self.hub.admission.admit(peer)
    }
}

/// A client whose handshake is done.
struct Greeted {
    wire: Wire,
    /// What it sent behind its request.
    rest: Vec<u8>,
    user: Option<User>,
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("phase", &*self.hub.phase.borrow())
            .field("connections", &self.hub.stats().connections)
            .finish_non_exhaustive()
    }
}

/// A message that was not published, returned to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message was not published: {problem}")]
#[non_exhaustive]
pub struct NotPublished {
    /// The message, untouched.
    pub message: Message,
    /// Why it was not published.
    pub problem: Problem,
}

/// Counters of a server. A snapshot; rates are differences of two.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ServerStats {
    /// The counters of the node, which start at the WebSocket.
    pub node: NodeStats,
    /// Connections that were answered with 429, or with 503 for their number.
    pub not_admitted: u64,
}

/// A receiver of a server's events: [`ServerHandle::events`].
#[derive(Debug)]
pub struct ServerEvents {
    receiver: Receiver<NodeEvent>,
    missed: u64,
}

impl ServerEvents {
    /// The next event; `None` once the server is gone. Cancel-safe. A receiver that is 1,024 events
    /// behind misses the oldest: [`missed`](Self::missed) counts them.
    pub async fn recv(&mut self) -> Option<NodeEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(count)) => self.missed = self.missed.saturating_add(count),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// How many events were missed so far.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}
