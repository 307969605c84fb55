//! The header of a frame (RFC 6455, section 5.2), as it is read.

/// Bits that only an extension may set.
pub(crate) const RESERVED: u8 = 0x70;

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// A header that has come whole.
///
/// tungstenite's `FrameHeader::parse` reads through a cursor, which takes four times the
/// instructions; its `format` costs no more than one of our own, and is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    first: u8,
    pub(crate) mask: Option<[u8; 4]>,
    /// The length of the payload.
    pub(crate) length: u64,
    /// The length of the header itself.
    pub(crate) size: usize,
}

impl Header {
    /// The header that these bytes begin with, if it is complete.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else { return None };
        let (length, rest, extended) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from(u16::from_be_bytes(*length)), rest, 2)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest, 8)
            }
            length => (u64::from(length), rest, 0),
        };
        let is_masked = second & 0x80 != 0;
        let mask = if is_masked { Some(*rest.first_chunk()?) } else { None };
        let size = 2 + extended + if is_masked { 4 } else { 0 };
        Some(Self { first: *first, mask, length, size })
    }

    pub(crate) const fn is_final(&self) -> bool {
        self.first & 0x80 != 0
    }

    pub(crate) const fn reserved(&self) -> u8 {
        self.first & RESERVED
    }

    pub(crate) const fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    pub(crate) const fn is_control(&self) -> bool {
        self.first & 0x08 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_header_is_read_once_it_is_whole() {
        let key = Some([1, 2, 3, 4]);
        let forms = [
            (&[0x81, 125][..], 125, None),
            (&[0x81, 0x80 | 125, 1, 2, 3, 4], 125, key),
            (&[0x81, 126, 0xff, 0xfe], 65_534, None),
            (&[0x81, 0x80 | 126, 0, 126, 1, 2, 3, 4], 126, key),
            (&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536, None),
            (
                &[0x81, 255, 255, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4],
                (255 << 56) | 1,
                Some([1, 2, 3, 4]),
            ),
        ];
        for (bytes, length, mask) in forms {
            for end in 0..bytes.len() {
                assert!(Header::read(&bytes[..end]).is_none(), "{bytes:?}, {end}");
            }
            let header = Header::read(&[bytes, b"payload"].concat()).unwrap();
            assert_eq!((header.length, header.mask, header.size), (length, mask, bytes.len()));
            assert!(header.is_final() && !header.is_control() && header.reserved() == 0);
        }
    }
}
