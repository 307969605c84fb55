//! A server of Metered's realtime messaging, to be put behind a scripted one.

mod hub;

use std::{
    collections::BTreeMap,
    fmt,
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use futures_util::{SinkExt, StreamExt};
use relink_profiles::metered::{Peer, ServerFrame};
use tokio::{
    io::{AsyncRead, AsyncWrite, duplex},
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

pub use hub::{Hub, Reply};

use crate::{conduct::limits, peer::close_frame, upstream::Upstream};

/// The size of the pipe between the two servers; more waits in the sockets.
const PIPE: usize = 64 * 1024;
/// A client that is behind by more frames than this is disconnected.
const WAITING_MAX: usize = 256;
/// The limit of Metered's own servers.
const MESSAGE_MAX: u64 = 64 * 1024;

/// A server that speaks as Metered does: a welcome, channels with presence, messages from peer to
/// peer. A script troubles its connections, and [`Server`](crate::Server) ends them with any close
/// code.
///
/// The test decides which clients may connect: by the token in the query, and the number of
/// connections.
///
/// ```
/// use relink_testing::{Metered, Script, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let metered = Metered::new(|token, others| match token {
///     "expired" => Some(4002),
///     _ if others >= 2 => Some(4010),
///     _ => None,
/// });
/// let server = Server::bind_before("127.0.0.1:0".parse().unwrap(), Script::echo(), metered.upstream()).await?;
/// # drop(server);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Metered {
    judge: Arc<Judge>,
    state: Arc<Mutex<State>>,
}

type Judge = dyn Fn(&str, usize) -> Option<u16> + Send + Sync;

struct State {
    hub: Hub<u64>,
    peers: BTreeMap<u64, mpsc::Sender<ServerFrame>>,
    count: u64,
}

impl Metered {
    /// Sets the check of a connection by its token and the number of others: the close code that
    /// ends it at once, or `None` to accept it. A publishable key counts as a token.
    #[must_use]
    pub fn new(judge: impl Fn(&str, usize) -> Option<u16> + Send + Sync + 'static) -> Self {
        let state = State { hub: Hub::new(MESSAGE_MAX), peers: BTreeMap::new(), count: 0 };
        Self { judge: Arc::new(judge), state: Arc::new(Mutex::new(state)) }
    }

    /// The way to it, in memory. All of its connections meet in the same channels.
    #[must_use]
    pub fn upstream(&self) -> Upstream {
        let this = self.clone();
        Upstream::for_all(move || {
            let (ours, its) = duplex(PIPE);
            tokio::spawn(this.clone().serve(its));
            ready(Ok(ours))
        })
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, io: S) {
        let mut token = String::new();
        #[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
        let read_token =
            |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
                token = token_of(request.uri().query().unwrap_or_default()).to_owned();
                Ok(response)
            };
        let Ok(mut ws) = accept_hdr_async_with_config(io, read_token, Some(limits())).await else {
            return;
        };
        match self.enter(&token) {
            Ok((number, frames)) => {
                // Fails if the client leaves without a close frame, which is fine.
                _ = self.attend(number, &mut ws, frames).await;
                self.leave(number);
            }
            Err(code) => {
                // Fails if the client is gone already.
                _ = ws.close(Some(close_frame(code, ""))).await;
                while ws.next().await.is_some_and(|read| read.is_ok()) {}
            }
        }
    }

    async fn attend<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        number: u64,
        ws: &mut WebSocketStream<S>,
        mut frames: mpsc::Receiver<ServerFrame>,
    ) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        loop {
            tokio::select! {
                frame = frames.recv() => match frame {
                    Some(frame) => ws.send(Message::text(frame.encode())).await?,
                    None => return ws.close(Some(close_frame(1008, "too far behind"))).await,
                },
                read = ws.next() => match read.transpose()? {
                    Some(Message::Text(text)) => self.received(number, &text.as_str().into()),
                    Some(Message::Binary(bytes)) => self.received(number, &bytes.into()),
                    Some(_) => {}
                    None => return Ok(()),
                },
            }
        }
    }

    /// Its number and the frames for it; or the code that it is closed with.
    fn enter(&self, token: &str) -> Result<(u64, mpsc::Receiver<ServerFrame>), u16> {
        let (sender, frames) = mpsc::channel(WAITING_MAX);
        let mut state = self.lock();
        (self.judge)(token, state.peers.len()).map_or(Ok(()), Err)?;
        state.count += 1;
        let number = state.count;
        state.peers.insert(number, sender);
        let peer = Peer { id: format!("peer-{number}"), metadata: None };
        let frame = state.hub.connected(number, peer, None, seconds());
        state.tell(vec![Reply { to: number, frame }]);
        Ok((number, frames))
    }

    fn received(&self, number: u64, message: &relink::Message) {
        let mut state = self.lock();
        let replies = state.hub.received(&number, message);
        state.tell(replies);
    }

    fn leave(&self, number: u64) {
        let mut state = self.lock();
        state.peers.remove(&number);
        let replies = state.hub.disconnected(&number);
        state.tell(replies);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, replies: Vec<Reply<u64>>) {
        for Reply { to, frame } in replies {
            if self.peers.get(&to).is_some_and(|peer| peer.try_send(frame).is_err()) {
                // Its task finds the sender gone, and closes.
                self.peers.remove(&to);
            }
        }
    }
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered").field("peers", &self.lock().peers.len()).finish_non_exhaustive()
    }
}

/// A token, or a publishable key; tokens need no percent-encoding.
fn token_of(query: &str) -> &str {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| matches!(*name, "token" | "key")).map_or("", |(_, value)| value)
}

#[expect(clippy::disallowed_methods, reason = "a welcome tells the time of day")]
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
