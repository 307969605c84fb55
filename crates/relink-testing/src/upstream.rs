//! Another server behind the scripted one.

use std::{
    collections::VecDeque,
    fmt,
    future::{pending, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{FutureExt, Sink, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error, Message,
        handshake::server::Request as HttpRequest,
        http::{
            HeaderMap, HeaderValue, Response, Uri,
            header::{RETRY_AFTER, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL},
        },
        protocol::CloseFrame,
    },
};

use crate::{conduct::limits, script::Refusal};

/// The maximum number of a client's messages that wait for the upstream; beyond it, the client is
/// not read.
const WAITING_MAX: usize = 256;
/// How long the upstream may take to see a close.
const CLOSE: Duration = Duration::from_secs(1);

type Io = Box<dyn Bytes>;
type Dialed = Pin<Box<dyn Future<Output = io::Result<Io>> + Send>>;

trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytes for S {}

/// Another server, to be put behind a scripted one with
/// [`Server::bind_before`](crate::Server::bind_before): it serves the connections that offer its
/// subprotocol, or all of them, and the script troubles them.
///
/// Such a connection is accepted if the upstream accepts it, and otherwise refused with the same
/// HTTP status. During the step `echo`, and after the script, the upstream is relayed: its messages
/// reach the client, and its close, too. In the other steps it takes in what the client says, and
/// its own messages wait. When the script ends the connection, the upstream sees it lost.
///
/// ```
/// use relink_testing::{Script, Server, Upstream};
/// use tokio::net::TcpStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # let chat = Server::start(Script::echo()).await?.addr();
/// let upstream = Upstream::new("chat.v2", move || TcpStream::connect(chat));
/// let server = Server::bind_before("127.0.0.1:0".parse().unwrap(), Script::echo(), upstream).await?;
/// # drop(server);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Upstream {
    /// `None` for one that serves all connections.
    subprotocol: Option<HeaderValue>,
    pub(crate) is_only: bool,
    dial: Arc<dyn Fn() -> Dialed + Send + Sync>,
}

impl Upstream {
    /// A server for connections that ask for this subprotocol; `dial` opens a byte stream to it for
    /// each of them.
    ///
    /// # Panics
    ///
    /// If the name cannot stand in a header.
    #[must_use]
    pub fn new<F, Fut, S>(subprotocol: &'static str, dial: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self { subprotocol: Some(HeaderValue::from_static(subprotocol)), ..Self::for_all(dial) }
    }

    /// A server for every connection, whatever it asks for; no subprotocol is agreed on.
    #[must_use]
    pub fn for_all<F, Fut, S>(dial: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let dial = move || -> Dialed {
            let dialed = dial();
            Box::pin(async move { Ok(Box::new(dialed.await?) as Io) })
        };
        Self { subprotocol: None, is_only: false, dial: Arc::new(dial) }
    }

    /// Connections that do not ask for the subprotocol are refused with 400, instead of being
    /// echoed.
    #[must_use]
    pub fn only(self) -> Self {
        Self { is_only: true, ..self }
    }

    /// The name to agree on; empty for none.
    pub(crate) fn subprotocol(&self) -> &str {
        self.subprotocol.as_ref().and_then(|name| name.to_str().ok()).unwrap_or_default()
    }

    /// Whether it serves those who agreed on this.
    pub(crate) fn serves(&self, agreed: Option<&str>) -> bool {
        self.subprotocol.is_none() || agreed == Some(self.subprotocol())
    }

    pub(crate) fn is_offered(&self, headers: &HeaderMap) -> bool {
        if self.subprotocol.is_none() {
            return true;
        }
        let offered =
            headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        offered.flat_map(|value| value.split(',')).any(|name| name.trim() == self.subprotocol())
    }

    /// Asks it for what the client asks for. If it refuses, so should we.
    pub(crate) async fn connect(&self, request: &HttpRequest) -> Result<Behind, Refusal> {
        let unreachable = || Refusal::new(502);
        let mut asked = request.clone();
        let path = asked.uri().path_and_query().map_or("/", |path| path.as_str());
        *asked.uri_mut() =
            Uri::try_from(format!("ws://upstream{path}")).map_err(|_| unreachable())?;
        asked.headers_mut().remove(SEC_WEBSOCKET_EXTENSIONS);
        asked.headers_mut().remove(SEC_WEBSOCKET_PROTOCOL);
        if let Some(subprotocol) = &self.subprotocol {
            asked.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocol.clone());
        }
        let io = (self.dial)().await.map_err(|_| unreachable())?;
        match client_async_with_config(asked, io, Some(limits())).await {
            Ok((ws, _)) => {
                Ok(Behind(Some(Served { ws, waiting: VecDeque::new(), is_unflushed: false })))
            }
            Err(Error::Http(response)) => Err(refusal(&response)),
            Err(_) => Err(unreachable()),
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("subprotocol", &self.subprotocol).finish_non_exhaustive()
    }
}

fn refusal(response: &Response<Option<Vec<u8>>>) -> Refusal {
    let refusal = Refusal::new(response.status().as_u16());
    match response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()) {
        Some(value) => refusal.retry_after(value),
        None => refusal,
    }
}

/// What is behind one connection: the upstream, or nothing.
pub(crate) struct Behind(Option<Served>);

pub(crate) struct Served {
    ws: WebSocketStream<Io>,
    /// What the client said and the upstream has not taken.
    waiting: VecDeque<Message>,
    is_unflushed: bool,
}

impl Behind {
    pub(crate) const NOTHING: Self = Self(None);

    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.0.as_ref().is_none_or(|served| served.waiting.len() < WAITING_MAX)
    }

    /// Queues a message of the client, pings included: the upstream should see signs of life.
    pub(crate) fn push(&mut self, message: &Message) {
        let is_its_own =
            matches!(message, Message::Pong(_) | Message::Close(_) | Message::Frame(_));
        if let Some(served) = self.0.as_mut().filter(|_| !is_its_own) {
            served.waiting.push_back(message.clone());
        }
    }

    /// Writes what waits; if nothing does, it never returns. Cancel-safe.
    pub(crate) async fn flush(&mut self) {
        match &mut self.0 {
            Some(served) if served.has_something() => {
                // If that fails, reading will show why.
                _ = poll_fn(|cx| served.poll_flush(cx)).await;
            }
            Some(_) | None => pending().await,
        }
    }

    /// Returns its next message; writes what waits meanwhile. If there is nothing, it never
    /// returns. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Result<Message, Error>> {
        let Some(served) = &mut self.0 else { return pending().await };
        poll_fn(|cx| {
            if served.has_something() {
                // If that fails, reading shows why.
                _ = served.poll_flush(cx);
            }
            served.ws.poll_next_unpin(cx)
        })
        .await
    }

    /// Passes the client's close to the upstream, after its earlier messages.
    pub(crate) async fn close(&mut self, frame: Option<CloseFrame>) {
        let Some(mut served) = self.0.take() else { return };
        let goodbye = async {
            poll_fn(|cx| served.poll_flush(cx)).await?;
            served.ws.close(frame).await?;
            while served.ws.next().await.is_some_and(|read| read.is_ok()) {}
            Ok::<_, Error>(())
        };
        // Fails if the upstream is gone already.
        _ = timeout(CLOSE, goodbye).await;
    }

    /// The connection is lost, as far as it is concerned. What was said before is still said.
    pub(crate) fn lose(&mut self) {
        if let Some(mut served) = self.0.take() {
            _ = poll_fn(|cx| served.poll_flush(cx)).now_or_never();
        }
    }
}

impl Served {
    fn has_something(&self) -> bool {
        self.is_unflushed || !self.waiting.is_empty()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let flushed = ready!(self.poll_write(cx));
        self.is_unflushed = false;
        if flushed.is_err() {
            self.waiting.clear();
        }
        Poll::Ready(flushed)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.waiting.is_empty() {
            ready!(Pin::new(&mut self.ws).poll_ready(cx))?;
            if let Some(message) = self.waiting.pop_front() {
                self.is_unflushed = true;
                Pin::new(&mut self.ws).start_send(message)?;
            }
        }
        Pin::new(&mut self.ws).poll_flush(cx)
    }
}
