//! One connection in its task: reads and writes alternate, so that neither blocks the other.

use std::{
    collections::VecDeque,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
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
/// The maximum number of messages that are taken from the node at once.
const TAKEN: usize = 4;
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
        // Nobody has looked yet.
        is_readable: true,
        may_read: false,
        is_asked: true,
        has_more: false,
        unflushed: false,
        pongs: 0,
        has_read: !already_read.is_empty(),
        has_written: false,
        heard: false,
        arrived: VecDeque::new(),
        end: None,
        stuck: Stuck::No,
    };
    let waker = connection.mailbox.socket_waker();
    let end = std::future::poll_fn(|cx| connection.poll(cx, &waker)).await;
    // Boxed, so that an idle connection has no memory for its end.
    Box::pin(connection.leave(end)).await;
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
    /// The socket was not found empty since it last woke the task.
    is_readable: bool,
    /// Whether the node lets it be read, as far as is known: what is read too much waits in
    /// `arrived`.
    may_read: bool,
    /// The node has something to write, or lets the connection be read again.
    is_asked: bool,
    /// There may be more to write at the node than was taken from it.
    has_more: bool,
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
    /// `socket` is for the socket, whose wake-ups the mailbox tells from those of the node.
    fn poll(&mut self, cx: &mut Context<'_>, socket: &Waker) -> Poll<End> {
        let signals = self.mailbox.listen(cx.waker());
        self.is_asked |= signals.has_node();
        self.is_readable |= signals.has_socket();
        if signals.has_close() {
            if let Some(frame) = self.mailbox.take_close() {
                return Poll::Ready(End::Told(frame));
            }
        }
        self.heard = false;
        let step = self.turn(&mut Context::from_waker(socket));
        if std::mem::take(&mut self.has_read) {
            let id = self.seat.id;
            if self.wire.is_mid_message() {
                self.seat.hub.drive(NodeInput::Arriving { id });
            } else if !self.heard {
                self.seat.hub.drive(NodeInput::Alive { id });
            }
        }
        match step {
            Ok(goes_on) => {
                if goes_on {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Err(end) => Poll::Ready(end),
        }
    }

    /// Reads, passes on and writes. Returns true if it is to go on at once, after other tasks.
    fn turn(&mut self, socket: &mut Context<'_>) -> Result<bool, End> {
        if self.can_read() {
            self.read(socket);
        }
        let owes = self.pongs >= PONGS;
        let has_arrived = !self.arrived.is_empty() || self.end.is_some();
        if self.is_asked || (has_arrived && !owes) {
            self.exchange(!owes);
        }
        if self.may_read && self.arrived.is_empty() && !owes {
            if let Some(end) = self.end.take() {
                return Err(end);
            }
        }
        match self.write(socket) {
            Poll::Ready(written) => written.map(|()| owes || self.can_read()),
            Poll::Pending => Ok(self.can_read()),
        }
    }

    fn can_read(&self) -> bool {
        let has_room = self.arrived.is_empty() && self.end.is_none() && self.pongs < PONGS;
        self.is_readable && self.may_read && has_room
    }

    /// Passes messages to the node, if they may be, and takes what it has to write, if the socket
    /// may have room for it: what it has no room for stays at the node, which bounds it.
    fn exchange(&mut self, passes: bool) {
        self.is_asked = false;
        let waiting = self.arrived.len();
        let mut taken = [const { None }; TAKEN];
        let (mut slots, mut bytes) = (taken.iter_mut(), 0);
        let mut take = |message: Message| {
            bytes += message.len();
            if let Some(slot) = slots.next() {
                *slot = Some(message);
            }
            bytes < BUFFER && slots.len() > 0
        };
        let take = self.wire.outgoing().is_empty().then_some(&mut take);
        let arrived = passes.then_some(&mut self.arrived);
        let exchanged = self.seat.hub.exchange(self.seat.id, arrived, take);
        self.heard |= self.arrived.len() < waiting;
        self.may_read = exchanged.may_read;
        self.has_more = exchanged.may_have_more;
        for message in taken.iter().map_while(Option::as_ref) {
            self.wire.send_message(message);
        }
    }

    /// Reads the next messages that are there, or the end.
    fn read(&mut self, socket: &mut Context<'_>) {
        let mut bytes = 0;
        while self.arrived.len() < TURN && bytes < BULK && self.pongs < PONGS && self.end.is_none()
        {
            match self.wire.poll_event() {
                // Compressed, many large messages come in a few bytes.
                Ok(Some(WireEvent::Frame(frame))) => bytes += self.arrive(frame),
                Ok(Some(_)) => {}
                Ok(None) => match self.fill(socket) {
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => self.end = Some(End::Lost),
                    Poll::Pending => return self.is_readable = false,
                },
                Err(error) => self.end = Some(what_is_wrong(error)),
            }
        }
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
        loop {
            if self.wire.outgoing().is_empty() && self.has_more {
                self.exchange(false);
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
                self.has_more = true;
                while self.has_more {
                    self.flush().await?;
                    self.exchange(false);
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    fn size<A, F>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_has_no_memory_for_its_end() {
        let idle = size(|(io, wire, hub, permit): (TcpStream, Wire, Arc<Hub>, Permit)| {
            run(io, wire, Vec::new(), hub, None, permit)
        });
        assert!(idle < 2048, "{idle} bytes");
    }
}
