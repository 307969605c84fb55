//! [`Output`]: the bytes for the socket.

/// Bytes that wait to be written to the socket.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    written: usize,
}

impl Output {
    /// The bytes to write.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// How many bytes there are to write.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says that this many of the [`bytes`](Self::bytes) were written.
    pub fn wrote(&mut self, count: usize) {
        self.written = (self.written + count).min(self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.written = 0;
        }
    }

    /// Moves the bytes of another output behind those of this one.
    pub fn append(&mut self, other: &mut Self) {
        self.end().extend_from_slice(other.bytes());
        other.wrote(other.len());
    }

    /// Frees buffers that hold nothing and have more than this many bytes of capacity.
    pub fn shrink(&mut self, keep: usize) {
        if self.is_empty() && self.bytes.capacity() > keep {
            *self = Self::default();
        }
    }

    /// Where more is put. What was written makes room first, once it is half of all: so no byte is
    /// moved more than once on average, none of a message that is only written in parts, and an
    /// output that is never empty does not grow.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        if self.written > 0 && self.written * 2 >= self.bytes.len() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_that_is_never_empty_does_not_grow() {
        let mut output = Output::default();
        output.end().extend(b"one byte stays: ");
        for number in 0..100_000_u32 {
            output.end().extend(number.to_be_bytes());
            output.wrote(4);
            assert_eq!(output.len(), 16);
        }
        assert_eq!(output.bytes()[12..], 99_999_u32.to_be_bytes());
        assert!(output.bytes.capacity() < 256, "{}", output.bytes.capacity());
    }
}
