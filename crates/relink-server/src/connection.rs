//! One connection in its task: reads and writes in turn, so that neither waits for the other.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use relink::session::Text;
use relink::{CloseCode, CloseFrame, Message};
use relink_driver::CloseWatch;
use relink_node::{ConnectionId, NodeInput};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message as WsMessage, Utf8Bytes,
        error::ProtocolError,
        protocol::{CloseFrame as WsCloseFrame, Role, WebSocketConfig},
    },
};

use crate::{
    admission::Permit,
    counted::Counted,
    hub::{Hub, Mailbox},
    user::User,
};

/// Each connection has this for reading, always, and for writing, while it writes. Heartbeats and
/// short messages fit.
const BUFFER: usize = 4 * 1024;
/// At most this many messages are read before something is written, and another connection has its
/// turn.
const TURN: usize = 32;
/// At most this many pings wait for their pongs; then nothing more is read until these are written.
const PONGS: usize = TURN;

/// From the end of the handshake to the end of the socket.
pub(crate) async fn run(
    io: impl AsyncRead + AsyncWrite + Unpin + Send,
    already_read: Vec<u8>,
    hub: Arc<Hub>,
    user: Option<User>,
    permit: Permit,
) {
    let limit = Some(hub.config.max_message);
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(limit)
        .max_frame_size(limit);
    let io = Counted::new(io, &already_read);
    let ws =
        WebSocketStream::from_partially_read(io, already_read, Role::Server, Some(config)).await;
    let permit = Arc::new(permit);
    let (id, wire) = hub.open(user, Arc::clone(&permit));
    let seat = Seat { hub, id, has_left: false, _permit: permit };
    let mut connection =
        Connection { ws, seat, wire, unflushed: false, pongs: 0, heard: false, stuck: Stuck::No };
    let end = std::future::poll_fn(|cx| connection.poll(cx)).await;
    connection.leave(end).await;
}

/// A connection's place at the node. Dropping it, with or without a goodbye, leaves it.
struct Seat {
    hub: Arc<Hub>,
    id: ConnectionId,
    has_left: bool,
    _permit: Arc<Permit>,
}

impl Seat {
    fn leave(&mut self, code: CloseCode) {
        if !std::mem::replace(&mut self.has_left, true) {
            self.hub.close(self.id, code);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave(CloseCode::ABNORMAL);
    }
}

struct Connection<IO> {
    ws: WebSocketStream<Counted<IO>>,
    seat: Seat,
    wire: Arc<Mailbox>,
    /// Whether something was written that may still be in the buffer.
    unflushed: bool,
    /// How many of them are pongs.
    pongs: usize,
    /// Whether a message came in this turn.
    heard: bool,
    stuck: Stuck,
}

/// Whether the socket takes nothing more for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stuck {
    No,
    Yes,
    /// And nothing is read because of it.
    Owing,
}

/// Why a connection is over.
enum End {
    /// The peer sent a close frame. tungstenite has the answer ready, if there is none here.
    Closed(CloseCode, Option<CloseFrame>),
    /// Nobody is there.
    Lost,
    /// We close, because the node says so.
    Told(CloseFrame),
    /// We close, because of what was read.
    Wrong(CloseFrame),
}

type Step = Result<(), End>;

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.wire.register(cx.waker());
        self.heard = false;
        let step = self.turn(cx);
        if self.ws.get_mut().take_read() {
            let id = self.seat.id;
            if self.ws.get_ref().watch().is_mid_message() {
                self.seat.hub.drive(NodeInput::Arriving { id });
            } else if !self.heard {
                self.seat.hub.drive(NodeInput::Alive { id });
            }
        }
        match step {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Step {
        for _ in 0..TURN {
            if let Some(frame) = self.wire.take_close() {
                return Err(End::Told(frame));
            }
            let owes = self.pongs >= PONGS;
            let may_read = !owes && self.seat.hub.may_read(self.seat.id);
            let read = if may_read { self.read(cx)? } else { Poll::Pending };
            if read.is_pending() {
                // What was read may have been answered already.
                if let Poll::Ready(written) = self.write(cx) {
                    written?;
                    if owes {
                        cx.waker().wake_by_ref();
                    }
                }
                return self.wire.take_close().map_or(Ok(()), |frame| Err(End::Told(frame)));
            }
        }
        cx.waker().wake_by_ref();
        match self.write(cx) {
            Poll::Ready(written) => written,
            Poll::Pending => Ok(()),
        }
    }

    /// Reads one message.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        let message = match Pin::new(&mut self.ws).poll_next(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(None) => return Err(End::Lost),
            Poll::Ready(Some(Err(error))) => {
                return Err(what_is_wrong(&error, self.ws.get_ref().watch()));
            }
            Poll::Ready(Some(Ok(message))) => message,
        };
        let Seat { hub, id, .. } = &self.seat;
        self.heard = true;
        match message {
            WsMessage::Text(text) => _ = hub.receive(*id, Message::Text(text_of(text))),
            WsMessage::Binary(bytes) => _ = hub.receive(*id, Message::Binary(bytes)),
            WsMessage::Ping(_) => {
                // tungstenite has the pong ready.
                self.unflushed = true;
                self.pongs += 1;
                hub.drive(NodeInput::Alive { id: *id });
            }
            WsMessage::Pong(_) => hub.drive(NodeInput::Alive { id: *id }),
            WsMessage::Close(_) => {
                return Err(End::Closed(code_of(self.ws.get_ref().watch().close()), None));
            }
            // Never comes out of reading.
            WsMessage::Frame(_) => {}
        }
        Ok(Poll::Ready(()))
    }

    /// Writes what there is, as far as the socket takes it, and tells the node whether it takes
    /// anything.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let written = self.write_out(cx);
        let Seat { hub, id, .. } = &self.seat;
        let has_moved = self.ws.get_mut().take_written() || written.is_ready();
        if has_moved && std::mem::replace(&mut self.stuck, Stuck::No) != Stuck::No {
            hub.drive(NodeInput::Flowing { id: *id });
        }
        if written.is_pending() {
            let stuck = if self.pongs >= PONGS { Stuck::Owing } else { Stuck::Yes };
            if std::mem::replace(&mut self.stuck, stuck) != stuck && stuck == Stuck::Owing {
                hub.drive(NodeInput::Blocked { id: *id });
            }
        }
        written
    }

    fn write_out(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            ready!(Pin::new(&mut self.ws).poll_ready(cx)).map_err(|_| End::Lost)?;
            let Some(message) = self.seat.hub.transmit(self.seat.id) else { break };
            Pin::new(&mut self.ws).start_send(ws_message(message)).map_err(|_| End::Lost)?;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.ws).poll_flush(cx)).map_err(|_| End::Lost)?;
            self.unflushed = false;
            self.pongs = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Says goodbye as far as there is somebody to hear it, and not for long.
    async fn leave(mut self, end: End) {
        let farewell = self.seat.hub.config.farewell;
        let frame = match end {
            End::Lost => return,
            End::Closed(code, answer) => {
                self.seat.leave(code);
                answer
            }
            End::Told(frame) | End::Wrong(frame) => Some(frame),
        };
        let goodbye = async {
            if let Some(frame) = frame {
                while let Some(message) = self.seat.hub.transmit(self.seat.id) {
                    self.ws.feed(ws_message(message)).await?;
                }
                let code = frame.code;
                self.ws.send(WsMessage::Close(ws_close(frame))).await?;
                self.seat.leave(code);
            }
            // Reading on sends our answer to a close frame, and waits for the peer's.
            while self.ws.next().await.is_some_and(|read| read.is_ok()) {}
            let io = self.ws.get_mut();
            io.shutdown().await?;
            // A socket that is dropped over unread bytes is reset, and the peer may never see why
            // it was closed: the rest of a message that was too large is read, and thrown away.
            let mut rest = [0; BUFFER];
            while io.read(&mut rest).await? > 0 {}
            Ok::<_, Error>(())
        };
        // Where it fails, or takes too long, there is nobody left to say it to.
        _ = timeout(farewell, goodbye).await;
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "tungstenite's list of errors may grow")]
fn what_is_wrong(error: &Error, watch: &CloseWatch) -> End {
    let code = match error {
        Error::Utf8(_) => CloseCode::INVALID_DATA,
        Error::Capacity(_) => CloseCode::TOO_BIG,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return End::Lost,
        Error::Protocol(_) => CloseCode::PROTOCOL_ERROR,
        _ => return End::Lost,
    };
    let answer = CloseFrame::new(code, error.to_string());
    match watch.garbled_close() {
        said @ Some(_) if matches!(error, Error::Utf8(_)) => {
            End::Closed(code_of(said), Some(answer))
        }
        Some(_) | None => End::Wrong(answer),
    }
}

/// What the peer closed with; a code that may not stand in a close frame breaks the protocol.
fn code_of(said: Option<CloseFrame>) -> CloseCode {
    let code = said.map_or(CloseCode::NO_STATUS, |frame| frame.code);
    if code.is_sendable() || code == CloseCode::NO_STATUS {
        code
    } else {
        CloseCode::PROTOCOL_ERROR
    }
}

fn text_of(text: Utf8Bytes) -> Text {
    // It was checked before; this checks it again, as there is no unsafe code here.
    Text::try_from(Bytes::from(text)).unwrap_or_default()
}

fn ws_message(message: Message) -> WsMessage {
    match message {
        Message::Text(text) => {
            // As above.
            WsMessage::Text(Utf8Bytes::try_from(text.into_bytes()).unwrap_or_default())
        }
        Message::Binary(bytes) => WsMessage::Binary(bytes),
    }
}

fn ws_close(frame: CloseFrame) -> Option<WsCloseFrame> {
    let CloseFrame { code, reason } = frame.for_wire()?;
    Some(WsCloseFrame { code: code.0.into(), reason: reason.into() })
}
