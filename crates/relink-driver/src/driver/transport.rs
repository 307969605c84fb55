//! The transport of a driver: what was read becomes the session's inputs, and its frames become
//! bytes to write.

use std::io::{self, Read, Write};
use std::mem;

use http::HeaderMap;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use relink::link::TransportId;
use relink::rand_core::Rng;
use relink::session::Frame;
use relink::{CloseFrame, Event, Instant, Protocol, SessionInput};
use relink_wire::Output;

use super::Driver;
use super::buffers::{ReadBuffer, SMALL_READ, TURN, WriteBuffer};
use crate::wire::{Wire, WireError, WireEvent};

/// Messages of this size are passed on at once. What was read may stand for much more if it is
/// compressed.
const BATCH: usize = 2 * TURN;
/// After this many short reads in a row, less is read at once. One alone says little: a burst comes
/// in pieces, and memory that is given back between them is asked for again.
const SHORT_READS: u8 = 16;
/// A link that reads little keeps buffers of this size, so that a message needs no new one.
const KEPT: usize = 4 << 10;

pub(super) struct Transport {
    id: TransportId,
    wire: Wire,
    /// Bytes that were taken from the wire to be written.
    writing: Output,
    is_unflushed: bool,
    /// The socket was full when it was last written to.
    is_blocked: bool,
    /// The last write failed. After the peer closed, it does; the reason is in what has arrived.
    broken: Option<io::Error>,
    /// Answers to the peer's pings that are not written yet, in bytes at most.
    owed: usize,
    /// The session may have more frames than are taken in a turn.
    is_cut: bool,
    opened: bool,
    /// How much is read at once.
    read_size: usize,
    /// How many reads in a row brought less than a quarter of that.
    short_reads: u8,
    /// There may be more to read.
    is_undrained: bool,
    /// The wire may have more frames than were passed on in the last turn.
    has_more: bool,
    /// The last turn did not read.
    is_held: bool,
    /// When the incomplete message or TLS record began.
    arriving: Option<Instant>,
    /// A TLS record is incomplete.
    is_mid_record: bool,
    /// An error found after frames that the application should see, and may answer, first.
    failed: Option<WireError>,
    /// Reported as gone; the session will drop it.
    is_gone: bool,
}

impl Transport {
    pub(super) fn new(id: TransportId, wire: Wire) -> Self {
        Self {
            id,
            wire,
            writing: Output::default(),
            is_unflushed: false,
            is_blocked: false,
            broken: None,
            owed: 0,
            is_cut: false,
            opened: false,
            read_size: SMALL_READ,
            short_reads: 0,
            is_undrained: false,
            has_more: false,
            is_held: false,
            arriving: None,
            is_mid_record: false,
            failed: None,
            is_gone: false,
        }
    }

    pub(super) const fn id(&self) -> TransportId {
        self.id
    }

    /// Whether every frame of the session was written.
    pub(super) fn is_flushed(&mut self) -> bool {
        self.is_gone || self.unwritten() == 0 && !self.is_unflushed
    }

    /// Whether a frame of the session can be encoded now.
    pub(super) fn has_room(&mut self) -> bool {
        self.opened && !self.is_blocked && !self.is_gone && self.wire.outgoing().len() < TURN
    }

    /// Encodes a frame of the session.
    #[inline]
    pub(super) fn send(&mut self, frame: Frame) {
        match frame {
            Frame::Message(message) => self.wire.send_message(&message),
            Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => self.wire.send(frame),
        }
    }

    /// Gives back memory in which nothing is.
    pub(super) fn shrink(&mut self) {
        self.writing.shrink(0);
        self.wire.shrink(0);
    }

    fn unwritten(&mut self) -> usize {
        self.writing.len() + self.wire.outgoing().len()
    }

    /// Whether pongs pile up because the peer does not read: then reading stops, or the peer could
    /// fill memory.
    fn owes_too_much(&mut self) -> bool {
        self.owed.min(self.unwritten()) > TURN
    }

    /// Whether a message or a TLS record is incomplete.
    const fn is_partial(&self) -> bool {
        self.wire.is_mid_message() || self.is_mid_record
    }

    /// What remains to be written, a last frame included.
    pub(super) fn leave(mut self, farewell: Option<CloseFrame>) -> WriteBuffer {
        if let Some(frame) = farewell.or(self.wire.parting()) {
            self.wire.send(Frame::Close(frame));
        }
        if let Some(output) = self.wire.output() {
            self.writing.append(output);
        }
        WriteBuffer::new(self.id, self.writing, self.is_unflushed)
    }
}

impl<P: Protocol, R: Rng> Driver<P, R> {
    /// Writes what can be written without waiting, and takes frames from the session while the
    /// socket has room: [`begin_write`](Self::begin_write) to [`end_write`](Self::end_write).
    pub fn write(&mut self, stream: &mut impl Write, now: Instant) {
        if let Some(mut buffer) = self.begin_write(now) {
            buffer.write_to(stream);
            self.end_write(buffer, now);
        }
    }

    /// Reads what has arrived, up to a turn: [`begin_read`](Self::begin_read) to
    /// [`end_read`](Self::end_read).
    pub fn read(&mut self, stream: &mut impl Read, now: Instant) {
        if let Some(mut buffer) = self.begin_read(now) {
            buffer.read_from(stream);
            self.end_read(buffer, now);
        }
    }

    /// Whether another turn may make progress now, without waiting for the socket, the time or the
    /// application.
    pub fn is_busy(&mut self) -> bool {
        let Some(it) = self.transport.as_mut().filter(|it| !it.is_gone) else { return false };
        let can_write = !it.is_blocked && (it.is_cut || it.unwritten() > 0 || it.is_unflushed);
        let is_due = it.failed.is_some() && !it.has_more || it.broken.is_some();
        let may_read = it.is_undrained || it.has_more || it.is_held;
        is_due || can_write || may_read && !self.holds_back()
    }

    /// Whether to wait until the stream can be read, in a loop that waits for a level and not for
    /// an edge.
    pub fn wants_read(&mut self) -> bool {
        self.transport.as_ref().is_some_and(|it| !it.is_gone) && !self.holds_back()
    }

    /// Whether to wait until the stream can be written: it was full.
    pub fn wants_write(&self) -> bool {
        self.transport.as_ref().is_some_and(|it| !it.is_gone && it.is_blocked)
    }

    /// Lends what is to be written, about 64 KiB at most; `None` if that is nothing. The rest stays
    /// in the outbox, where bounds and time to live still hold.
    pub fn begin_write(&mut self, now: Instant) -> Option<WriteBuffer> {
        let it = self.transport.as_mut().filter(|it| !it.is_gone)?;
        if it.writing.is_empty() {
            self.take_frames(now);
        } else {
            it.is_cut = true;
        }
        let it = self.transport.as_mut()?;
        if let (true, Some(output)) = (it.writing.is_empty(), it.wire.output()) {
            mem::swap(&mut it.writing, output);
        }
        let output = mem::take(&mut it.writing);
        let is_idle = output.is_empty() && !it.is_unflushed;
        if is_idle {
            it.writing = output;
            return None;
        }
        Some(WriteBuffer::new(it.id, output, it.is_unflushed))
    }

    /// Takes a lent buffer back, with what became of it.
    pub fn end_write(&mut self, buffer: WriteBuffer, now: Instant) {
        let Some(it) = self.transport.as_mut().filter(|it| it.id == buffer.id) else { return };
        let WriteBuffer { id, output, count, is_unflushed, is_blocked, error } = buffer;
        let was_blocked = mem::replace(&mut it.is_blocked, is_blocked);
        (it.writing, it.is_unflushed) = (output, is_unflushed);
        it.broken = error;
        if was_blocked && count > 0 && it.broken.is_none() {
            // There is room again, so the peer has read: a ping may still wait behind a long
            // message.
            self.session.handle(SessionInput::Alive { id }, now);
        }
    }

    /// Encodes frames of the session while there is room for them.
    pub(super) fn take_frames(&mut self, now: Instant) {
        let Some(it) = self.transport.as_mut().filter(|it| it.opened && !it.is_blocked) else {
            return;
        };
        let mut room = TURN;
        it.is_cut = loop {
            if room == 0 || !it.has_room() {
                break true;
            }
            let Some(frame) = self.session.poll_transmit(now) else { break false };
            room = room.saturating_sub(size(&frame));
            it.send(frame);
        };
    }

    /// Whether the socket is not read: the application is behind, or the peer does not read.
    fn holds_back(&mut self) -> bool {
        self.is_shut() || self.transport.as_mut().is_some_and(Transport::owes_too_much)
    }

    /// Lends room to read into; `None` if nothing should be read now.
    pub fn begin_read(&mut self, now: Instant) -> Option<ReadBuffer> {
        let it = self.transport.as_mut().filter(|it| !it.is_gone)?;
        let has_more = it.has_more;
        if let Some(failed) = it.failed.take_if(|_| !has_more) {
            // Answers to what came before it go out with the close frame.
            self.take_frames(now);
            self.lose(failed, now);
            return None;
        }
        let must_read = it.broken.is_some();
        let holds_back = !must_read && self.holds_back();
        let it = self.transport.as_mut()?;
        it.is_held = holds_back;
        if holds_back {
            // While this side does not read, nothing is late.
            it.arriving = it.arriving.map(|_| now);
            return None;
        }
        if has_more {
            self.handle_more(now);
            return None;
        }
        Some(ReadBuffer::new(it.id, it.wire.take_input(), it.read_size))
    }

    /// Passes frames on that the wire has from the last read. What ended that comes after them.
    fn handle_more(&mut self, now: Instant) {
        let end = self.transport.as_mut().and_then(|it| it.failed.take());
        self.handle_frames(now);
        if let Some(it) = &mut self.transport {
            it.failed = it.failed.take().or(end);
        }
    }

    /// Takes a lent buffer back, and handles what was read into it.
    pub fn end_read(&mut self, buffer: ReadBuffer, now: Instant) {
        let Some(it) = self.transport.as_mut().filter(|it| it.id == buffer.id) else { return };
        let ReadBuffer { id, input, size, count, is_drained, end, beneath } = buffer;
        it.wire.put_input(input);
        (it.read_size, it.is_undrained) = (size, !is_drained && end.is_none());
        it.is_mid_record = beneath.unwrap_or(it.is_mid_record);
        let broken = it.broken.take();
        if count == 0 && end.is_none() {
            if beneath.is_some() {
                it.arriving = it.is_partial().then(|| it.arriving.unwrap_or(now));
                let since = it.arriving;
                self.session.handle(SessionInput::Arriving { id, since }, now);
            }
            if let Some(error) = broken {
                self.lose(error.into(), now);
            }
            return;
        }
        if let Some(Ok(())) = end {
            it.wire.receive_end();
        }
        let has_spoken = self.handle_frames(now);
        let Some(it) = self.transport.as_mut() else { return };
        if let (None, Some(Err(error))) = (&it.failed, end) {
            it.failed = Some(error.into());
        }
        if let Some(failed) = it.failed.take_if(|_| !has_spoken) {
            return self.lose(failed, now);
        }
        it.short_reads = if count < size / 4 { it.short_reads + 1 } else { 0 };
        if it.short_reads == SHORT_READS {
            (it.read_size, it.short_reads) = ((size / 4).max(SMALL_READ), 0);
            it.wire.shrink(it.read_size.max(KEPT));
        }
    }

    /// Passes what the wire has read to the session. Returns true if that was more than bytes.
    fn handle_frames(&mut self, now: Instant) -> bool {
        self.tell_quietly();
        let Some(it) = &mut self.transport else { return false };
        let (id, was_open) = (it.id, it.opened);
        let before = it.unwritten();
        let (mut has_frame, mut has_message, mut room) = (false, false, BATCH);
        let failed = loop {
            let Some(it) = &mut self.transport else { return false };
            it.has_more = room == 0;
            if it.has_more {
                break None;
            }
            match it.wire.poll_event() {
                Ok(Some(WireEvent::Opened(headers))) => {
                    it.opened = true;
                    self.subprotocol = subprotocol(&headers);
                    self.session.handle(SessionInput::Opened { id }, now);
                }
                Ok(Some(WireEvent::Frame(frame))) => {
                    has_frame = true;
                    room = room.saturating_sub(size(&frame));
                    has_message |= matches!(frame, Frame::Message(_));
                    self.handle_frame(id, frame, now);
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let Some(it) = &mut self.transport else { return false };
        it.failed = failed;
        it.owed = it.owed.min(before) + it.unwritten().saturating_sub(before);
        let before = it.arriving.take();
        if it.is_partial() {
            it.arriving = before.filter(|_| !has_message).or(Some(now));
        }
        let since = it.arriving;
        if before.is_some() || since.is_some() || !has_frame {
            self.session.handle(SessionInput::Arriving { id, since }, now);
        }
        has_frame || it.opened != was_open
    }

    /// Passes a frame on: a message for the application at once, if nothing is before it.
    fn handle_frame(&mut self, id: TransportId, frame: Frame, now: Instant) {
        let frame = match frame {
            Frame::Message(message) => match self.session.receive(id, message, now) {
                Ok(message) => return self.tell(Event::Message(message)),
                Err(message) => Frame::Message(message),
            },
            Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => frame,
        };
        self.session.handle(SessionInput::Frame { id, frame }, now);
    }

    /// The transport is gone. The session will drop it.
    fn lose(&mut self, error: WireError, now: Instant) {
        let Some(it) = &mut self.transport else { return };
        it.is_gone = true;
        let id = it.id;
        self.failed(id, error, now);
    }
}

/// How many bytes a frame brings.
fn size(frame: &Frame) -> usize {
    match frame {
        Frame::Message(message) => message.len(),
        Frame::Ping(payload) | Frame::Pong(payload) => payload.len(),
        Frame::Close(_) => 0,
    }
}

/// The subprotocol that the server chose.
fn subprotocol(headers: &HeaderMap) -> Option<String> {
    let chosen = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    Some(chosen.to_owned())
}
