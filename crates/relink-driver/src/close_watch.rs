//! What a close frame really said, and whether a message is on its way.

use relink::{CloseCode, CloseFrame};

/// The longest payload of a control frame (RFC 6455, section 5.5).
const LONGEST_CONTROL: u64 = 125;

/// Reads along with the frames of a peer, in whatever chunks they come, from the end of the HTTP
/// on.
///
/// tungstenite reports a close code that it takes for a reserved one as 1002, and 1014 (bad
/// gateway, registered later than its list) is among them; of a close frame whose reason is not
/// UTF-8 it reports no code at all. This reads frame headers along with it, skips every other
/// payload, and keeps the first close frame. It serves both ends.
#[derive(Debug, Default)]
pub struct CloseWatch {
    header: Vec<u8>,
    /// The key of the frame under way, if its payload is masked.
    mask: Option<[u8; 4]>,
    /// What is left of the payload of the frame under way.
    left: u64,
    /// A message has begun, and its last frame has not.
    is_open: bool,
    /// The frame under way belongs to a message.
    is_data: bool,
    /// The payload of the first close frame, as far as it has come.
    close: Option<Vec<u8>>,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Looking,
    Keeping,
    Done,
}

impl CloseWatch {
    /// Takes the next bytes of the peer.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.state != State::Done {
            if self.left == 0 {
                let (first, rest) = bytes.split_at(1);
                self.header.extend(first);
                bytes = rest;
                self.begin_payload();
                continue;
            }
            let count = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let (payload, rest) = bytes.split_at(count);
            if let (State::Keeping, Some(close)) = (self.state, &mut self.close) {
                close.extend(payload);
            }
            self.left -= count as u64;
            bytes = rest;
            self.end_payload();
        }
    }

    /// The first close frame, once it has come whole; `None` for one without a code.
    #[must_use]
    pub fn close(&self) -> Option<CloseFrame> {
        let (code, reason) = self.parts()?;
        Some(CloseFrame { code, reason: String::from_utf8_lossy(reason).into_owned() })
    }

    /// The same frame, if its reason is not UTF-8. The peer is told so with 1007, and judged by the
    /// code that it sent.
    #[must_use]
    pub fn garbled_close(&self) -> Option<CloseFrame> {
        let (_, reason) = self.parts()?;
        if std::str::from_utf8(reason).is_ok() { None } else { self.close() }
    }

    fn parts(&self) -> Option<(CloseCode, &[u8])> {
        let close = self.close.as_ref().filter(|_| self.state == State::Done)?;
        let (code, reason) = close.split_first_chunk()?;
        Some((CloseCode(u16::from_be_bytes(*code)), reason))
    }

    /// Whether a part of a message has come, and not all of it.
    #[must_use]
    pub const fn is_mid_message(&self) -> bool {
        self.is_open || (self.is_data && self.left > 0)
    }

    /// Begins a payload, if the header is complete.
    fn begin_payload(&mut self) {
        let [first, second, extended @ ..] = self.header.as_slice() else { return };
        let (length, key) = match second & 0x7f {
            126 => (
                extended.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))),
                extended.get(2..),
            ),
            127 => {
                (extended.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), extended.get(8..))
            }
            length => (Some(u64::from(length)), Some(extended)),
        };
        let (Some(length), Some(key)) = (length, key) else { return };
        let is_masked = second & 0x80 != 0;
        self.mask = key.first_chunk().copied();
        if is_masked && self.mask.is_none() {
            return;
        }
        if first & 0x0f == 8 && length <= LONGEST_CONTROL {
            self.state = State::Keeping;
            self.close = Some(Vec::new());
        }
        self.is_data = first & 0x0f < 8;
        if self.is_data {
            self.is_open = first & 0x80 == 0;
        }
        self.header.clear();
        self.left = length;
        self.end_payload();
    }

    fn end_payload(&mut self) {
        if self.left != 0 || self.state != State::Keeping {
            return;
        }
        self.state = State::Done;
        if let (Some(close), Some(mask)) = (&mut self.close, self.mask) {
            close.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ping, a text of 200 bytes, a binary of 70,000, and a close with 1014; then bytes that mean
    /// nothing.
    fn stream() -> Vec<u8> {
        let mut stream = vec![0x89, 2, 0x88, 2];
        stream.extend([0x81, 126, 0, 200]);
        stream.extend([b'x'; 200]);
        stream.extend([0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
        stream.extend(vec![0x88; 70_000]);
        stream.extend([0x88, 5, 0x03, 0xf6, b'o', b'n', b'e', 0x88, 2, 0x03, 0xe8, 7, 7]);
        stream
    }

    fn one() -> CloseFrame {
        CloseFrame::new(CloseCode(1014), "one")
    }

    #[test]
    fn the_first_close_frame_is_found_behind_other_frames() {
        let mut watch = CloseWatch::default();
        watch.read(&stream());
        assert_eq!(watch.close(), Some(one()));
    }

    #[test]
    fn chunks_make_no_difference_and_half_a_frame_is_none() {
        for size in [1, 2, 3, 7, 1000] {
            let mut watch = CloseWatch::default();
            for chunk in stream().chunks(size) {
                watch.read(chunk);
            }
            assert_eq!(watch.close(), Some(one()), "in chunks of {size}");
        }
        let mut watch = CloseWatch::default();
        watch.read(&[0x88, 5, 0x03, 0xf6, b'o']);
        assert_eq!(watch.close(), None);
        watch.read(b"ne");
        assert_eq!(watch.close(), Some(one()));
    }

    #[test]
    fn a_client_masks_what_it_says() {
        let mut stream = vec![0x89, 0x82, 1, 2, 3, 4, 0x88, 2];
        stream.extend([0x81, 0xfe, 0, 200, 1, 2, 3, 4]);
        stream.extend([b'x'; 200]);
        stream.extend([0x82, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x70, 1, 2, 3, 4]);
        stream.extend(vec![0x88; 70_000]);
        stream.extend([0x88, 0x85, 9, 8, 7, 6, 0x03 ^ 9, 0xf6 ^ 8, b'o' ^ 7, b'n' ^ 6, b'e' ^ 9]);
        for size in [1, 3, 1000, stream.len()] {
            let mut watch = CloseWatch::default();
            stream.chunks(size).for_each(|chunk| watch.read(chunk));
            assert_eq!(watch.close(), Some(one()), "in chunks of {size}");
            assert_eq!(watch.garbled_close(), None);
        }
    }

    #[test]
    fn a_reason_that_is_no_utf_8_hides_no_code() {
        let mut watch = CloseWatch::default();
        watch.read(&[0x88, 3, 0x03, 0xe8, 0xff]);
        assert_eq!(watch.garbled_close().map(|frame| frame.code), Some(CloseCode::NORMAL));
    }

    #[test]
    fn a_message_is_on_its_way_from_its_first_header_to_its_last_byte() {
        let mut watch = CloseWatch::default();
        // A text in two frames, with a ping between them, and one that is whole.
        let bytes = [0x01, 1, b'a', 0x89, 1, b'?', 0x80, 1, b'b', 0x81, 1, b'c'];
        let on_its_way = bytes.map(|byte| {
            watch.read(&[byte]);
            watch.is_mid_message()
        });
        let (yes, no) = (true, false);
        assert_eq!(on_its_way, [no, yes, yes, yes, yes, yes, yes, yes, no, no, yes, no]);
    }

    #[test]
    fn a_close_frame_without_a_code_says_nothing() {
        let mut watch = CloseWatch::default();
        watch.read(&[0x88, 0]);
        assert_eq!(watch.close(), None);
    }
}
