//! [`Transport`]: the transport, from the dial to the close. It moves bytes between the stream and
//! the wire, and frames between the wire and the session.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use relink::link::TransportId;
use relink::session::Frame;
use relink::{CloseFrame, Instant, SessionInput};

use crate::dial::Dialed;
use crate::handle_state::Shared;
use crate::runtime::{ConnectError, io_failure};
use crate::stream::{BoxStream, Heard};
use crate::wire::{Wire, WireError, WireEvent};

/// The maximum bytes per turn and direction, so that one busy link does not block a thread.
const TURN: usize = 64 << 10;
/// A heartbeat or a short message is read with this much, on the stack: an idle link has no buffer
/// to read into. More is taken while reads fill it.
const SMALL_READ: usize = 1 << 10;
/// A link that reads little keeps buffers of this size, so that a message needs no new one.
const KEPT: usize = 4 << 10;

pub(crate) struct Transport {
    pub(crate) id: TransportId,
    stage: Stage,
}

pub(crate) type Dialing = BoxFuture<'static, Result<Dialed, ConnectError>>;

enum Stage {
    Dialing(Dialing),
    Open(Open),
    /// Reported as gone; the session will drop it.
    Gone(Option<Open>),
}

struct Open {
    stream: BoxStream,
    heard: Heard,
    wire: Wire,
    opened: bool,
    unflushed: bool,
    /// When the incomplete message or TLS record began.
    arriving: Option<Instant>,
    /// The last write found the transport full.
    blocked: bool,
    /// Bytes of the session's frames that are not written yet.
    taken: usize,
    /// An error found after frames that the application should see, and may answer, first.
    failed: Option<WireError>,
}

/// What every transport of a link uses.
#[derive(Default)]
pub(crate) struct Buffers {
    /// How much is read at once, beyond a small read.
    read: usize,
    frames: Vec<Frame>,
}

impl Transport {
    pub(crate) fn new(id: TransportId, dialing: Dialing) -> Self {
        Self { id, stage: Stage::Dialing(dialing) }
    }

    /// Moves what can be moved, up to a turn; returns true if anything was.
    pub(crate) fn poll(
        &mut self,
        shared: &Shared,
        buffers: &mut Buffers,
        cx: &mut Context<'_>,
    ) -> bool {
        let moved = match &mut self.stage {
            Stage::Dialing(dialing) => match dialing.as_mut().poll(cx) {
                Poll::Ready(Ok(dialed)) => {
                    self.stage = Stage::Open(Open::new(dialed));
                    Ok(true)
                }
                Poll::Ready(Err(error)) => Err(WireError::new(error.failure(), error.detail())),
                Poll::Pending => Ok(false),
            },
            Stage::Open(open) => open.poll(self.id, shared, buffers, cx),
            Stage::Gone(_) => return false,
        };
        moved.unwrap_or_else(|WireError { failure, detail, location }| {
            let gone = std::mem::replace(&mut self.stage, Stage::Gone(None));
            self.stage = Stage::Gone(if let Stage::Open(open) = gone { Some(open) } else { None });
            shared.hand_in(SessionInput::Failed { id: self.id, failure, detail, location });
            true
        })
    }

    /// Whether all frames of the session were written to the stream.
    pub(crate) fn is_flushed(&mut self) -> bool {
        match &mut self.stage {
            Stage::Open(open) => open.wire.outgoing().is_empty() && !open.unflushed,
            Stage::Dialing(_) | Stage::Gone(_) => true,
        }
    }

    /// Writes what can be written without waiting, including a last frame, and drops the transport.
    /// A silent peer cannot delay this.
    pub(crate) fn leave(self, farewell: Option<CloseFrame>) {
        if let Stage::Open(open) | Stage::Gone(Some(open)) = self.stage {
            open.leave(farewell);
        }
    }
}

impl Open {
    fn new(Dialed { stream, heard, wire }: Dialed) -> Self {
        Self {
            stream,
            heard,
            wire,
            opened: false,
            unflushed: false,
            arriving: None,
            blocked: false,
            taken: 0,
            failed: None,
        }
    }

    fn poll(
        &mut self,
        id: TransportId,
        shared: &Shared,
        buffers: &mut Buffers,
        cx: &mut Context<'_>,
    ) -> Result<bool, WireError> {
        let wrote = self.write(id, shared, buffers, cx);
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        // After the peer closed, the write fails. The reason is in what has arrived, which is read
        // first.
        let holds_back = wrote.is_ok() && (shared.lock().is_shut() || self.owes_too_much());
        if holds_back {
            // While this side does not read, nothing is late.
            self.arriving = self.arriving.map(|_| shared.now());
        }
        let read = !holds_back && self.read(id, shared, buffers, cx)?;
        match wrote {
            Ok(wrote) => Ok(read | wrote),
            Err(_) if read => Ok(true),
            Err(error) => Err(io_error(&error)),
        }
    }

    /// Whether pongs pile up because the peer does not read: then reading stops, or the peer could
    /// fill memory.
    fn owes_too_much(&mut self) -> bool {
        self.wire.outgoing().len() > self.taken + TURN
    }

    /// Reads what has arrived.
    fn read(
        &mut self,
        id: TransportId,
        shared: &Shared,
        buffers: &mut Buffers,
        cx: &mut Context<'_>,
    ) -> Result<bool, WireError> {
        let (arrived, broken) = self.fill(&mut buffers.read, cx);
        let heard = self.heard.take();
        if !arrived {
            if heard {
                self.arriving =
                    self.is_partial().then(|| self.arriving.unwrap_or_else(|| shared.now()));
                shared.hand_in(SessionInput::Arriving { id, since: self.arriving });
            }
            return Ok(false);
        }

        let mut opened = false;
        self.failed = loop {
            match self.wire.poll_event() {
                Ok(Some(WireEvent::Opened(headers))) => {
                    opened = true;
                    shared.lock().subprotocol = subprotocol(&headers);
                }
                Ok(Some(WireEvent::Frame(frame))) => buffers.frames.push(frame),
                Ok(None) => break broken.map(|error| io_error(&error)),
                Err(error) => break Some(error),
            }
        };
        self.opened |= opened;
        let told = opened || !buffers.frames.is_empty();
        let opened = opened.then_some(SessionInput::Opened { id });
        let arriving = self.arriving(id, shared, &buffers.frames);
        let frames = buffers.frames.drain(..).map(|frame| SessionInput::Frame { id, frame });
        shared.hand_in_all(opened.into_iter().chain(frames).chain(arriving));
        match self.failed.take_if(|_| !told) {
            Some(failed) => Err(failed),
            None => Ok(true),
        }
    }

    /// The input for bytes that arrived beside these frames: whether something is incomplete, and
    /// since when.
    fn arriving(
        &mut self,
        id: TransportId,
        shared: &Shared,
        frames: &[Frame],
    ) -> Option<SessionInput> {
        let before = self.arriving.take();
        if self.is_partial() {
            let is_next = frames.iter().any(|frame| matches!(frame, Frame::Message(_)));
            self.arriving = before.filter(|_| !is_next).or_else(|| Some(shared.now()));
        }
        let says_more = before.is_some() || self.arriving.is_some() || frames.is_empty();
        says_more.then_some(SessionInput::Arriving { id, since: self.arriving })
    }

    /// Whether a message or a TLS record is incomplete.
    fn is_partial(&self) -> bool {
        self.wire.is_mid_message() || self.heard.is_mid_record()
    }

    /// Reads into the wire, up to a turn; returns whether anything arrived, the end included, and
    /// the error.
    fn fill(&mut self, size: &mut usize, cx: &mut Context<'_>) -> (bool, Option<io::Error>) {
        *size = (*size).max(SMALL_READ);
        let mut total = 0;
        while total < *size {
            let mut small = [0; SMALL_READ];
            let is_small = *size <= SMALL_READ;
            let into = if is_small { &mut small } else { self.wire.spare(*size - total) };
            let room = into.len();
            match Pin::new(&mut self.stream).poll_read(cx, into) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => {
                    self.wire.receive_end();
                    return (true, None);
                }
                Poll::Ready(Ok(count)) => {
                    total += count;
                    if is_small {
                        self.wire.receive(small.get(..count).unwrap_or_default());
                    } else {
                        self.wire.filled(count);
                    }
                    if count == room {
                        // What is read has to be looked at first, or it would be moved.
                        *size = (*size * 4).min(TURN);
                        break;
                    }
                }
                Poll::Ready(Err(error)) => return (true, Some(error)),
            }
        }
        if total > 0 && total < *size / 4 {
            *size /= 4;
            self.wire.shrink((*size).max(KEPT));
        }
        (total > 0, None)
    }

    /// Writes the bytes of the wire, and takes frames from the session while the transport has
    /// room.
    fn write(
        &mut self,
        id: TransportId,
        shared: &Shared,
        buffers: &mut Buffers,
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        let was_blocked = std::mem::take(&mut self.blocked);
        let mut total = 0;
        while total < TURN {
            match self.write_some(shared, buffers, cx) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(count)) => total += count,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.blocked = true;
                    break;
                }
            }
        }
        if was_blocked && total > 0 {
            // There is room again, so the peer has read: a ping may still wait behind a long
            // message.
            shared.hand_in(SessionInput::Alive { id });
        }
        Ok(total > 0)
    }

    /// Writes once. Zero: there is nothing to write.
    fn write_some(
        &mut self,
        shared: &Shared,
        buffers: &mut Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.opened && self.wire.outgoing().is_empty() {
            take_frames(shared, &mut buffers.frames);
            for frame in buffers.frames.drain(..) {
                self.wire.send(frame);
            }
            self.taken = self.wire.outgoing().len();
        }
        let outgoing = self.wire.outgoing();
        if outgoing.is_empty() {
            if self.unflushed {
                ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                self.unflushed = false;
            }
            return Poll::Ready(Ok(0));
        }
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, outgoing))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.wire.wrote(count);
        self.taken = self.taken.saturating_sub(count);
        self.unflushed = true;
        Poll::Ready(Ok(count))
    }

    fn leave(mut self, farewell: Option<CloseFrame>) {
        if let Some(frame) = farewell.or(self.wire.parting()) {
            self.wire.send(Frame::Close(frame));
        }
        let cx = &mut Context::from_waker(futures_util::task::noop_waker_ref());
        loop {
            let outgoing = self.wire.outgoing();
            if outgoing.is_empty() {
                break;
            }
            match Pin::new(&mut self.stream).poll_write(cx, outgoing) {
                Poll::Ready(Ok(count)) if count > 0 => self.wire.wrote(count),
                Poll::Ready(_) | Poll::Pending => return,
            }
        }
        // Only the stream's own close remains, which is not waited for.
        let _ = Pin::new(&mut self.stream).poll_flush(cx);
        let _ = Pin::new(&mut self.stream).poll_close(cx);
    }
}

/// Frames for about one turn: the outbox keeps the rest, where bounds and time to live still hold.
fn take_frames(shared: &Shared, frames: &mut Vec<Frame>) {
    let now = shared.now();
    let mut state = shared.lock();
    let mut bytes = 0;
    while bytes < TURN {
        let Some(frame) = state.session.poll_transmit(now) else { break };
        bytes += match &frame {
            Frame::Message(message) => message.len(),
            Frame::Ping(payload) | Frame::Pong(payload) => payload.len(),
            Frame::Close(_) => 0,
        };
        frames.push(frame);
    }
    if !frames.is_empty() {
        state.senders.wake_first();
    }
}

/// The subprotocol that the server chose.
fn subprotocol(headers: &HeaderMap) -> Option<String> {
    let chosen = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    Some(chosen.to_owned())
}

fn io_error(error: &io::Error) -> WireError {
    WireError::new(io_failure(error), error.to_string())
}
