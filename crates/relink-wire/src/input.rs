//! [`Input`]: where the bytes of the peer are read into, and where frames are slices of.

use bytes::{Buf, Bytes, BytesMut};

/// How many pieces of earlier memory are kept: one for messages that the application has, one for
/// those that wait for it.
const EARLIER: usize = 2;

/// The bytes of the peer, from the socket to the parser.
///
/// A socket is read straight into [`spare`](Self::spare); what was read counts once
/// [`filled`](Self::filled) says so. Payloads are handed out as slices of the same memory, which
/// is used again when they are gone.
#[derive(Debug, Default)]
pub struct Input {
    /// All of it is initialized, so that no byte is cleared twice.
    bytes: BytesMut,
    /// Memory of earlier reads, whose frames the application may still have. It is used again once
    /// they are gone.
    earlier: Vec<BytesMut>,
    /// How many bytes at the front came from the peer, and were not taken yet.
    unread: usize,
    /// How many more the payload needs that is under way, as far as it is trusted.
    wanted: usize,
    /// How much memory was asked for, of which frames may have a part.
    memory: usize,
    has_ended: bool,
}

impl Input {
    /// Room to read into, never empty: at least half of `size`, unless `size` bytes are unread, and
    /// enough for a large payload that is under way.
    ///
    /// Memory of `size` bytes or more is taken if there is none, or if the frames that were read
    /// into it are still in use.
    pub fn spare(&mut self, size: usize) -> &mut [u8] {
        let room = self.bytes.len() - self.unread;
        let is_short = room * 2 < size && self.unread < size;
        if room < self.wanted.max(1) || is_short {
            self.grow(size.max(1));
        }
        self.bytes.get_mut(self.unread..).unwrap_or_default()
    }

    /// Says that this many bytes were read into the beginning of [`spare`](Self::spare).
    pub fn filled(&mut self, count: usize) {
        self.unread = (self.unread + count).min(self.bytes.len());
    }

    /// Takes bytes that were read elsewhere, and copies them.
    pub fn extend(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let spare = self.spare(rest.len());
            let (now, later) = rest.split_at(rest.len().min(spare.len()));
            if let Some(into) = spare.get_mut(..now.len()) {
                into.copy_from_slice(now);
            }
            self.filled(now.len());
            rest = later;
        }
    }

    /// Says that the socket will bring no more bytes.
    pub const fn end(&mut self) {
        self.has_ended = true;
    }

    /// Whether the socket will bring no more bytes.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// The bytes that were not taken yet.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        self.bytes.get(..self.unread).unwrap_or_default()
    }

    /// Frees buffers that hold nothing and have more than this many bytes of capacity.
    pub fn shrink(&mut self, keep: usize) {
        if self.memory > keep {
            self.earlier = Vec::new();
            if self.unread == 0 {
                (self.bytes, self.memory) = (BytesMut::new(), 0);
            }
        }
    }

    pub(crate) fn unread_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.unread).unwrap_or_default()
    }

    /// Says how many more bytes the payload needs that is under way.
    pub(crate) const fn want(&mut self, count: usize) {
        self.wanted = count;
    }

    /// Throws bytes away.
    #[inline]
    pub(crate) fn skip(&mut self, count: usize) {
        let count = count.min(self.unread);
        self.bytes.advance(count);
        self.unread -= count;
    }

    /// Hands bytes out, without a copy.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        let count = count.min(self.unread);
        if count == 0 {
            return Bytes::new();
        }
        self.unread -= count;
        self.bytes.split_to(count).freeze()
    }

    /// Makes the memory this large, and larger if half of it is taken or a payload wants more:
    /// where frames were that are gone, or else in new memory.
    #[cold]
    fn grow(&mut self, size: usize) {
        let size = size.max(self.unread * 2).max(self.unread + self.wanted);
        self.memory = size;
        self.bytes.truncate(self.unread);
        if self.bytes.try_reclaim(size - self.unread) {
            return self.bytes.resize(size, 0);
        }
        let mut memory = match self.earlier.iter_mut().position(|it| it.try_reclaim(size)) {
            Some(index) => self.earlier.swap_remove(index),
            None => BytesMut::zeroed(size),
        };
        memory.resize(size, 0);
        if let Some(start) = memory.get_mut(..self.unread) {
            start.copy_from_slice(&self.bytes);
        }
        let mut left = std::mem::replace(&mut self.bytes, memory);
        left.clear();
        self.earlier.push(left);
        if self.earlier.len() > EARLIER {
            self.earlier.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_once_its_frames_are_gone() {
        let mut input = Input::default();
        input.extend(&[1; 4096]);
        let memory = input.unread().as_ptr();
        let frame = input.take(4096);
        input.spare(4096);
        input.filled(1);
        assert_ne!(input.unread().as_ptr(), memory, "a frame is still in use");
        assert_eq!(frame, [1; 4096][..]);

        let second = input.unread().as_ptr();
        drop(input.take(1));
        for _ in 0..100 {
            input.spare(4096);
            input.filled(4000);
            drop(input.take(4000));
        }
        input.spare(4096);
        input.filled(1);
        assert_eq!(input.unread().as_ptr(), second);
    }

    #[test]
    fn memory_of_a_message_that_waits_is_used_again_behind_the_next_one() {
        let mut input = Input::default();
        let mut read = |count: usize| {
            input.want(count);
            input.spare(65_536);
            input.filled(count);
            input.take(count)
        };
        let first = read(1_000_000);
        let place = first.as_ptr();
        let second = read(1_000_000);
        assert_ne!(second.as_ptr(), place, "the first is still in use");
        drop(first);
        // If its memory were free, this would be the next to get it.
        let other = vec![1_u8; 1_000_000];
        assert_eq!(read(1_000_000).as_ptr(), place);
        assert_eq!((second.len(), other.len()), (1_000_000, 1_000_000));
        input.shrink(0);
        assert!(input.earlier.is_empty() && input.bytes.capacity() == 0);
    }

    #[test]
    fn what_was_not_taken_stays_in_front_of_what_is_read() {
        let mut input = Input::default();
        input.extend(b"abc");
        input.skip(1);
        input.spare(10_000)[..2].copy_from_slice(b"de");
        input.filled(2);
        assert_eq!(input.unread(), b"bcde");
        assert_eq!(input.take(3), "bcd");
        input.shrink(0);
        assert_eq!(input.unread(), b"e");
        input.skip(5);
        input.shrink(0);
        assert_eq!(input.bytes.capacity(), 0);
    }
}
