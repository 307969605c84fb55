//! What can go wrong.

use crate::frame::CloseFrame;

/// Why nothing more can be read.
///
/// The peer should be told with a close frame if [`close_code`](Self::close_code) has one, and the
/// connection dropped (RFC 6455, section 7.1.7).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection ended, with or without a close frame before.
    #[error("the connection ended")]
    Ended,
    /// A frame that the protocol does not allow.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// A text message, or the reason of a close frame, that is not UTF-8.
    #[error("the peer sent text that is not UTF-8")]
    NotUtf8,
    /// A message that is marked as compressed, but is not valid deflate data.
    #[cfg(feature = "deflate")]
    #[error("the peer sent a message that cannot be decompressed")]
    NotDeflate,
    /// A message that is larger than [`DeflateConfig::max_ratio`](crate::DeflateConfig::max_ratio)
    /// allows for its compressed size.
    #[cfg(feature = "deflate")]
    #[error("the peer sent a message that grows to more than {ratio} times its size, the limit")]
    Bomb {
        /// The limit.
        ratio: u32,
    },
    /// A frame or a message beyond the [`Limits`](crate::Limits).
    #[error("the peer sent a message of {size} bytes or more, above the limit of {limit}")]
    TooLarge {
        /// The size so far, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: usize,
    },
}

impl Error {
    /// The code to close with, if there is anybody to tell: 1002, 1007 or 1009.
    #[must_use]
    pub const fn close_code(&self) -> Option<u16> {
        match self {
            Self::Ended => None,
            Self::Protocol(_) => Some(CloseFrame::PROTOCOL_ERROR),
            Self::NotUtf8 => Some(CloseFrame::INVALID_DATA),
            #[cfg(feature = "deflate")]
            Self::NotDeflate => Some(CloseFrame::INVALID_DATA),
            #[cfg(feature = "deflate")]
            Self::Bomb { .. } => Some(CloseFrame::TOO_LARGE),
            Self::TooLarge { .. } => Some(CloseFrame::TOO_LARGE),
        }
    }
}

/// How a frame breaks the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set that no extension gave a meaning (RFC 6455, section 5.2).
    #[error("the peer set reserved bits of a frame")]
    ReservedBits,
    /// An opcode without a meaning (section 5.2).
    #[error("the peer sent a frame with the reserved opcode {0:#x}")]
    ReservedOpcode(u8),
    /// A client masks every frame (section 5.1).
    #[error("the client sent a frame that is not masked")]
    NotMasked,
    /// A server masks no frame (section 5.1).
    #[error("the server sent a masked frame")]
    Masked,
    /// A control frame in pieces (section 5.5).
    #[error("the peer sent a control frame in fragments")]
    FragmentedControl,
    /// A control frame with more than 125 bytes (section 5.5).
    #[error("the peer sent a control frame of {0} bytes; 125 are allowed")]
    LongControl(u64),
    /// A continuation without a beginning (section 5.4).
    #[error("the peer continued a message that had not begun")]
    NothingToContinue,
    /// A message inside of another one (section 5.4).
    #[error("the peer began a message inside of another one")]
    NotContinued,
    /// A close frame with one byte (section 5.5.1).
    #[error("the peer sent a close frame with half a code")]
    HalfACode,
    /// A close code that may not stand in a frame (section 7.4).
    #[error("the peer closed with the reserved code {0}")]
    ReservedCode(u16),
}

/// Why a frame was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// A close frame has been sent, and it was the last one.
    #[error("a close frame has been sent already")]
    Closed,
    /// The payload of a control frame is longer than 125 bytes; the reason of a close frame, than
    /// 123.
    #[error("a control frame with {0} bytes; 125 are allowed")]
    TooLong(usize),
    /// A close code that may not stand in a frame.
    #[error("the close code {0} may not be sent")]
    ReservedCode(u16),
}
