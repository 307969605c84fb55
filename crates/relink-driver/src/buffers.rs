//! What tungstenite takes for a socket: two buffers.

use std::io::{self, Read, Write};

/// The stream that tungstenite reads and writes.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) inbound: Buffer,
    pub(crate) outbound: Buffer,
    /// The peer will send no more.
    pub(crate) ended: bool,
}

impl Read for Buffers {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let unread = self.inbound.unread();
        if unread.is_empty() {
            return if self.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = unread.len().min(into.len());
        into[..count].copy_from_slice(&unread[..count]);
        self.inbound.consume(count);
        Ok(count)
    }
}

impl Write for Buffers {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.outbound.extend(from);
        Ok(from.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes in at the end, out at the front.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    read: usize,
}

impl Buffer {
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.clear_read();
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.read = (self.read + count).min(self.bytes.len());
    }

    pub(crate) fn shrink(&mut self) {
        self.clear_read();
        if self.bytes.is_empty() {
            self.bytes.shrink_to(0);
        }
    }

    /// Gives back what was read, once that is half of it: so no byte is moved more than once on
    /// average, and one that is never empty does not grow either.
    fn clear_read(&mut self) {
        if self.read * 2 >= self.bytes.len() {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_is_never_empty_does_not_grow() {
        let mut buffer = Buffer::default();
        buffer.extend(b"one byte stays: ");
        for number in 0..100_000_u32 {
            buffer.extend(&number.to_be_bytes());
            buffer.consume(4);
            assert_eq!(buffer.unread().len(), 16);
        }
        assert_eq!(buffer.unread()[12..], 99_999_u32.to_be_bytes());
        assert!(buffer.bytes.capacity() < 256, "{}", buffer.bytes.capacity());
    }
}
