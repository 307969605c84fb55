//! One connection in its task: reads and writes alternate, so that neither blocks the other.

use std::{
    collections::VecDeque,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use relink::session::Frame;
use relink::{CloseCode, CloseFrame, Failure, Message};
use relink_driver::{Wire, WireError, WireEvent};
use relink_node::{ConnectionId, NodeInput};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use crate::{
    admission::Permit,
    hub::{Hub, Mailbox},
    user::User,
};

/// What is read on the stack, so that an idle connection has no buffer; heartbeats and short
/// messages fit. As much is collected before it is written.
const BUFFER: usize = 4 * 1024;
/// What is read at once while more than a buffer comes.
const BULK: usize = 16 * 1024;
/// The maximum number of messages that are passed on at once; after as many, something is written
/// and the task yields.
const TURN: usize = 32;
/// The maximum number of unwritten pongs; beyond it, nothing is read until they are written.
const PONGS: usize = TURN;

/// Runs a connection from the end of the handshake to the end of the socket.
pub(crate) async fn run(
    io: impl AsyncRead + AsyncWrite + Unpin + Send,
    mut wire: Wire,
    already_read: Vec<u8>,
    hub: Arc<Hub>,
    user: Option<User>,
    permit: Permit,
) {
    wire.receive(&already_read);
    let permit = Arc::new(permit);
    let (id, mailbox) = hub.open(user, Arc::clone(&permit));
    let mut connection = Connection {
        io,
        wire,
        seat: Seat { hub, id, has_left: false, _permit: permit },
        mailbox,
        is_busy: false,
        unflushed: false,
        pongs: 0,
        has_read: !already_read.is_empty(),
        has_written: false,
        heard: false,
        arrived: VecDeque::new(),
        end: None,
        stuck: Stuck::No,
    };
    let end = std::future::poll_fn(|cx| connection.poll(cx)).await;
    connection.leave(end).await;
}

/// A connection's registration at the node. Dropping it ends the connection there.
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
    io: IO,
    wire: Wire,
    seat: Seat,
    mailbox: Arc<Mailbox>,
    /// The last read filled its buffer.
    is_busy: bool,
    /// Whether something was written that the socket may still hold back.
    unflushed: bool,
    /// How many pongs may not be written yet.
    pongs: usize,
    /// Whether bytes came in this turn, which are signs of life long before a message is whole.
    has_read: bool,
    /// Whether bytes were written since the last call.
    has_written: bool,
    /// Whether a message was passed on in this turn.
    heard: bool,
    /// Messages that the node did not read yet, all from one read of the socket.
    arrived: VecDeque<Message>,
    /// What follows them, if it is the end.
    end: Option<End>,
    stuck: Stuck,
}

/// Whether the socket accepts more for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stuck {
    No,
    Yes,
    /// It does not, and reading stops because of it.
    Owing,
}

/// Why a connection ended.
enum End {
    /// The peer sent a close frame. The wire has the answer ready.
    Closed(CloseCode),
    /// The peer is gone.
    Lost,
    /// The node closes it.
    Told(CloseFrame),
    /// Closed because of what was read.
    Wrong(CloseFrame),
}

type Step = Result<(), End>;

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.mailbox.register(cx.waker());
        self.heard = false;
        let step = self.turn(cx);
        if std::mem::take(&mut self.has_read) {
            let id = self.seat.id;
            if self.wire.is_mid_message() {
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
        let mut passed = 0;
        while passed < TURN {
            if let Some(frame) = self.mailbox.take_close() {
                return Err(End::Told(frame));
            }
            let owes = self.pongs >= PONGS;
            let waiting = self.arrived.len();
            let may_read = !owes && self.seat.hub.receive(self.seat.id, &mut self.arrived);
            self.heard |= self.arrived.len() < waiting;
            passed += waiting.max(1);
            if may_read {
                if let Some(end) = self.end.take() {
                    return Err(end);
                }
            }
            let read = if may_read { self.read(cx) } else { Poll::Pending };
            if read.is_pending() {
                // What was read may have been answered already.
                if let Poll::Ready(written) = self.write(cx) {
                    written?;
                    if owes {
                        cx.waker().wake_by_ref();
                    }
                }
                return self.mailbox.take_close().map_or(Ok(()), |frame| Err(End::Told(frame)));
            }
        }
        cx.waker().wake_by_ref();
        match self.write(cx) {
            Poll::Ready(written) => written,
            Poll::Pending => Ok(()),
        }
    }

    /// Reads the next messages that are there, or the end.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = 0;
        while self.arrived.len() < TURN && bytes < BULK && self.pongs < PONGS {
            match self.wire.poll_event() {
                // Compressed, many large messages come in a few bytes.
                Ok(Some(WireEvent::Frame(frame))) => bytes += self.arrive(frame),
                Ok(Some(_)) => {}
                Ok(None) if !self.arrived.is_empty() => break,
                Ok(None) => match ready!(self.fill(cx)) {
                    Ok(_) => {}
                    Err(_) => self.end = Some(End::Lost),
                },
                Err(error) => self.end = Some(what_is_wrong(error)),
            }
            if self.end.is_some() {
                break;
            }
        }
        Poll::Ready(())
    }

    /// Returns the bytes of a message.
    fn arrive(&mut self, frame: Frame) -> usize {
        match frame {
            Frame::Message(message) => {
                let bytes = message.len();
                self.arrived.push_back(message);
                return bytes;
            }
            Frame::Ping(_) => {
                // The wire has the pong ready.
                self.pongs += 1;
                self.has_read = true;
            }
            Frame::Pong(_) => self.has_read = true,
            Frame::Close(frame) => self.end = Some(End::Closed(frame.code)),
        }
        0
    }

    /// Reads from the socket into the wire; zero is the end.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        let count = if self.is_busy {
            let mut buffer = ReadBuf::new(self.wire.spare(BULK));
            ready!(io.poll_read(cx, &mut buffer))?;
            let (count, room) = (buffer.filled().len(), buffer.remaining());
            self.wire.filled(count);
            self.is_busy = room == 0;
            if !self.is_busy {
                self.wire.shrink(BUFFER);
            }
            count
        } else {
            let mut buffer = [MaybeUninit::uninit(); BUFFER];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            ready!(io.poll_read(cx, &mut buffer))?;
            self.wire.receive(buffer.filled());
            self.is_busy = buffer.remaining() == 0;
            buffer.filled().len()
        };
        if count == 0 {
            self.wire.receive_end();
        }
        self.has_read |= count > 0;
        Poll::Ready(Ok(count))
    }

    /// Writes what waits, as far as the socket accepts it, and reports to the node whether it does.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let written = self.write_out(cx);
        let Seat { hub, id, .. } = &self.seat;
        let has_moved = std::mem::take(&mut self.has_written) || written.is_ready();
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
        let mut may_have_more = true;
        loop {
            // What the socket has no room for stays at the node, which bounds it.
            if self.wire.outgoing().is_empty() && may_have_more {
                may_have_more = self.take_messages();
            }
            let bytes = self.wire.outgoing();
            if bytes.is_empty() {
                break;
            }
            match ready!(Pin::new(&mut self.io).poll_write(cx, bytes)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(End::Lost)),
                Ok(count) => self.wire.wrote(count),
            }
            (self.has_written, self.unflushed) = (true, true);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx)).map_err(|_| End::Lost)?;
            self.unflushed = false;
        }
        self.pongs = 0;
        Poll::Ready(Ok(()))
    }

    /// Takes messages from the node, as many as are written at once. Returns true if there may be
    /// more.
    fn take_messages(&mut self) -> bool {
        let messages = self.seat.hub.transmit(self.seat.id, BUFFER);
        let bytes: usize = messages.iter().map(Message::len).sum();
        messages.into_iter().for_each(|message| self.wire.send(Frame::Message(message)));
        bytes >= BUFFER
    }

    /// Closes the connection gracefully, bounded by `farewell`.
    async fn leave(mut self, end: End) {
        let farewell = self.seat.hub.config.farewell;
        let waits = matches!(end, End::Told(_)) && self.end.is_none();
        let frame = match end {
            End::Lost => return,
            End::Closed(code) => {
                self.seat.leave(code);
                None
            }
            End::Told(frame) | End::Wrong(frame) => Some(frame),
        };
        let goodbye = async {
            if let Some(frame) = frame {
                while self.take_messages() {
                    self.flush().await?;
                }
                let code = frame.code;
                self.wire.send(Frame::Close(frame));
                self.flush().await?;
                self.seat.leave(code);
            }
            if waits {
                self.hear_out().await?;
            }
            self.flush().await?;
            self.io.shutdown().await?;
            // A socket that is dropped with unread bytes is reset, and the peer may not see the
            // close frame: the rest of a message that was too large is read and discarded.
            let mut rest = [0; BUFFER];
            while self.io.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // If it fails or takes too long, the peer is gone.
        _ = timeout(farewell, goodbye).await;
    }

    /// Writes what the wire holds.
    async fn flush(&mut self) -> io::Result<()> {
        let bytes = self.wire.outgoing();
        self.io.write_all(bytes).await?;
        let count = bytes.len();
        self.wire.wrote(count);
        self.io.flush().await
    }

    /// Reads on until the peer's close frame.
    async fn hear_out(&mut self) -> io::Result<()> {
        loop {
            match self.wire.poll_event() {
                Ok(Some(WireEvent::Frame(Frame::Close(_)))) | Err(_) => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => _ = std::future::poll_fn(|cx| self.fill(cx)).await?,
            }
        }
    }
}

fn what_is_wrong(WireError { failure, detail, .. }: WireError) -> End {
    if let Failure::Protocol(code) = failure {
        End::Wrong(CloseFrame::new(code, detail))
    } else {
        End::Lost
    }
}
