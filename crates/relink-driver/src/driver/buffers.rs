//! [`ReadBuffer`] and [`WriteBuffer`]: bytes between a socket and a driver, lent to the loop that
//! moves them.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};

use relink::link::TransportId;
use relink_wire::{Input, Output};

/// The maximum bytes per turn and direction, so that one busy link does not block a thread.
pub(super) const TURN: usize = 64 << 10;
/// Heartbeats and short messages are read with this much, into memory of the thread: an idle link
/// has no buffer to read into. More is taken while reads fill it.
pub(super) const SMALL_READ: usize = 4 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What arrives at a socket, on its way to [`Driver::end_read`](super::Driver::end_read).
#[derive(Debug)]
pub struct ReadBuffer {
    pub(super) id: TransportId,
    pub(super) input: Input,
    /// How much is read at once.
    pub(super) size: usize,
    /// How much was read.
    pub(super) count: usize,
    /// The socket had no more.
    pub(super) is_drained: bool,
    /// The end of the stream, or an error.
    pub(super) end: Option<io::Result<()>>,
    /// Something arrived beneath TLS, and whether a record of it is incomplete.
    pub(super) beneath: Option<bool>,
}

impl ReadBuffer {
    pub(super) const fn new(id: TransportId, input: Input, size: usize) -> Self {
        Self { id, input, size, count: 0, is_drained: false, end: None, beneath: None }
    }

    /// Reads from a stream until it would block or has ended, at most 64 KiB. Errors are recorded:
    /// they are inputs of the driver.
    pub fn read_from(&mut self, stream: &mut impl Read) {
        let is_small = self.size <= SMALL_READ;
        // A stream that runs another link inside its `read` leaves that link to allocate its own.
        let mut small = if is_small { SCRATCH.take() } else { Vec::new() };
        if is_small {
            small.resize(SMALL_READ, 0);
        }
        self.read_with(&mut small, stream);
        if is_small {
            SCRATCH.set(small);
        }
    }

    fn read_with(&mut self, small: &mut [u8], stream: &mut impl Read) {
        let is_small = !small.is_empty();
        while self.count < self.size && self.end.is_none() {
            let into =
                if is_small { &mut *small } else { self.input.spare(self.size - self.count) };
            let room = into.len();
            match stream.read(into) {
                Ok(0) => self.end = Some(Ok(())),
                Ok(count) => {
                    self.count += count;
                    if is_small {
                        self.input.extend(small.get(..count).unwrap_or_default());
                    } else {
                        self.input.filled(count);
                    }
                    if count == room {
                        // What is read has to be looked at first, or it would be moved.
                        self.size = (self.size * 4).min(TURN);
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_drained = true;
                    return;
                }
                Err(error) => self.end = Some(Err(error)),
            }
        }
    }

    /// Records that bytes arrived beneath the stream, as a part of a TLS record or a whole one: the
    /// peer is alive, although the stream has nothing to read.
    pub const fn arrived_beneath(&mut self, is_incomplete: bool) {
        self.beneath = Some(is_incomplete);
    }
}

/// What a driver has to say, on its way to a socket and back to
/// [`Driver::end_write`](super::Driver::end_write).
#[derive(Debug)]
pub struct WriteBuffer {
    pub(super) id: TransportId,
    pub(super) output: Output,
    /// How much was written.
    pub(super) count: usize,
    /// Bytes were written that are not flushed yet.
    pub(super) is_unflushed: bool,
    /// The socket was full.
    pub(super) is_blocked: bool,
    pub(super) error: Option<io::Error>,
}

impl WriteBuffer {
    pub(super) const fn new(id: TransportId, output: Output, is_unflushed: bool) -> Self {
        Self { id, output, count: 0, is_unflushed, is_blocked: false, error: None }
    }

    /// Writes to a stream until all is written or it would block, and flushes it. Errors are
    /// recorded: they are inputs of the driver.
    pub fn write_to(&mut self, stream: &mut impl Write) {
        match self.try_write(stream) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_blocked = true,
            Err(error) => self.error = Some(error),
        }
    }

    fn try_write(&mut self, stream: &mut impl Write) -> io::Result<()> {
        while !self.output.is_empty() {
            match stream.write(self.output.bytes()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.output.wrote(count);
                    self.count += count;
                    self.is_unflushed = true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.is_unflushed {
            stream.flush()?;
            self.is_unflushed = false;
        }
        Ok(())
    }
}
