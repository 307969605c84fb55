//! A connection until its WebSocket handshake has succeeded or failed.

use std::time::Duration;

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::server::Request as HttpRequest,
        protocol::{Role, WebSocketConfig},
    },
};

use crate::{
    deflate::{Agreed, Deflated},
    event::{EventKind, Request},
    handshake,
    peer::Peer,
    script::{Connection, Refusal},
    serve::{Order, Over, Seat},
    socket::{self, BoxSocket},
    step::{Answer, MESSAGE_MAX, Opening, Step},
    upstream::{Behind, Upstream},
};

/// For the client's part of TLS and HTTP together.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Not HTTP, not TLS, and readable in a packet dump.
const GARBAGE: &[u8] = b"\x00\xffthis is not HTTP\r\n\r\n";

pub(crate) async fn conduct(
    tcp: TcpStream,
    entry: &Connection,
    seat: &Seat,
    orders: mpsc::Receiver<Order>,
) -> Over {
    let (opening, steps) = entry.opening();
    match opening {
        Opening::Blackhole => blackhole(&tcp, seat).await,
        Opening::Reset => {
            drop(tcp);
            Over::reset(EventKind::Reset)
        }
        Opening::Drop => Over::polite(EventKind::Dropped, Box::new(tcp)),
        Opening::Answer(answer) => {
            let deadline = Instant::now() + HANDSHAKE;
            let arrival = timeout_at(deadline, Arrival::receive(tcp, seat)).await;
            match arrival.unwrap_or_else(|_| Err(failed("the request did not come within 10 s"))) {
                Ok(arrival) => arrival.answer(answer, steps, seat, orders).await,
                Err(over) => over,
            }
        }
    }
}

async fn blackhole(tcp: &TcpStream, seat: &Seat) -> Over {
    seat.log(EventKind::Blackholed);
    socket::peer_gone(tcp).await;
    Over::reset(EventKind::PeerLost { why: "it left the blackhole".to_owned() })
}

fn failed(why: impl Into<String>) -> Over {
    Over::reset(EventKind::HandshakeFailed { why: why.into() })
}

/// A client that has sent its request.
struct Arrival {
    socket: BoxSocket,
    http: HttpRequest,
    /// What the client sent after its request without waiting for the answer.
    early: Vec<u8>,
}

impl Arrival {
    async fn receive(tcp: TcpStream, seat: &Seat) -> Result<Self, Over> {
        let secured = seat.shared.security.secure(tcp).await;
        let mut socket = secured.map_err(|(error, tcp)| {
            Over::polite(EventKind::HandshakeFailed { why: format!("TLS: {error}") }, Box::new(tcp))
        })?;
        match handshake::read_request(&mut socket).await {
            Ok((http, early)) => Ok(Self { socket, http, early }),
            Err(why) => Err(Over::polite(EventKind::HandshakeFailed { why }, socket)),
        }
    }

    async fn answer(
        self,
        answer: Answer<'_>,
        steps: &[Step],
        seat: &Seat,
        orders: mpsc::Receiver<Order>,
    ) -> Over {
        match answer {
            Answer::Refuse(refusal) => self.refuse(refusal).await,
            Answer::Garbage => self.garbage().await,
            Answer::Accept { subprotocol } => match self.accept(subprotocol, seat).await {
                Ok((ws, behind)) => Peer::new(ws, behind, seat, orders).follow(steps).await,
                Err(over) => over,
            },
        }
    }

    async fn refuse(mut self, refusal: &Refusal) -> Over {
        let request = Request::new(&self.http);
        match self.socket.write_all(handshake::refusal(refusal).as_bytes()).await {
            Ok(()) => {
                Over::polite(EventKind::Refused { status: refusal.status, request }, self.socket)
            }
            Err(error) => failed(format!("the refusal could not be sent: {error}")),
        }
    }

    async fn garbage(mut self) -> Over {
        let request = Request::new(&self.http);
        match self.socket.write_all(GARBAGE).await {
            Ok(()) => Over::polite(EventKind::AnsweredGarbage { request }, self.socket),
            Err(error) => failed(format!("the garbage could not be sent: {error}")),
        }
    }

    async fn accept(
        mut self,
        subprotocol: Option<&str>,
        seat: &Seat,
    ) -> Result<(WebSocketStream<BoxSocket>, Behind), Over> {
        let upstream = seat.shared.upstream.as_ref();
        let upstream = upstream.filter(|upstream| upstream.is_offered(self.http.headers()));
        let wanted = subprotocol.or(upstream.map(Upstream::subprotocol));
        let deflate =
            seat.shared.has_deflate().then(|| Agreed::with(self.http.headers())).flatten();
        let extension = deflate.as_ref().map(|agreed| agreed.answer.as_str());
        let (response, subprotocol) = match handshake::upgrade(&self.http, wanted, extension) {
            Ok(upgrade) => upgrade,
            Err(why) => {
                let refused = self.refuse(&Refusal::new(400)).await;
                return Err(refused.called(EventKind::HandshakeFailed { why }));
            }
        };
        let upstream = upstream.filter(|upstream| upstream.serves(subprotocol.as_deref()));
        let behind = match upstream {
            Some(upstream) => match upstream.connect(&self.http).await {
                Ok(behind) => behind,
                Err(refusal) => return Err(self.refuse(&refusal).await),
            },
            None if seat.shared.upstream.as_ref().is_some_and(|upstream| upstream.is_only) => {
                let why = "it does not ask for the subprotocol that alone is served".to_owned();
                let refused = self.refuse(&Refusal::new(400)).await;
                return Err(refused.called(EventKind::HandshakeFailed { why }));
            }
            None => Behind::NOTHING,
        };
        if let Err(error) = self.socket.write_all(&response).await {
            return Err(failed(format!("the answer could not be sent: {error}")));
        }
        seat.log(EventKind::Accepted { request: Request::new(&self.http), subprotocol });
        let (socket, early): (BoxSocket, _) = match deflate {
            Some(agreed) => (Box::new(Deflated::new(self.socket, &agreed, self.early)), Vec::new()),
            None => (self.socket, self.early),
        };
        let ws =
            WebSocketStream::from_partially_read(socket, early, Role::Server, Some(limits())).await;
        Ok((ws, behind))
    }
}

/// Small buffers, since a test may hold a thousand connections; and nothing without a limit.
pub(crate) fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MESSAGE_MAX)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX))
}
