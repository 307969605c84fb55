//! What is sent and received: messages and control frames.

use std::fmt;

use bytes::Bytes;

/// A whole message, or a control frame.
///
/// `Debug` shows how long messages are, and not what they say.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the frames of RFC 6455")]
pub enum Frame {
    /// A text message.
    Text(Text),
    /// A binary message.
    Binary(Bytes),
    /// A ping, of at most 125 bytes. One that is received has been answered.
    Ping(Bytes),
    /// A pong, of at most 125 bytes.
    Pong(Bytes),
    /// The last frame of its sender; `None` without a code. One that is received has been answered.
    Close(Option<CloseFrame>),
}

impl Frame {
    /// A text message.
    pub fn text(text: impl Into<Text>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => fmt::Debug::fmt(text, f),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
            Self::Ping(bytes) => write!(f, "Ping({} bytes)", bytes.len()),
            Self::Pong(bytes) => write!(f, "Pong({} bytes)", bytes.len()),
            Self::Close(content) => f.debug_tuple("Close").field(content).finish(),
        }
    }
}

/// UTF-8 text without a copy.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(Bytes);

impl Text {
    /// Takes bytes that were checked before. If they are not UTF-8 after all,
    /// [`as_str`](Self::as_str) is empty, and the peer that they are sent to closes with 1007.
    #[must_use]
    pub const fn assume_utf8(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The text. Checks the bytes again, as this crate has no unsafe code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl TryFrom<Bytes> for Text {
    type Error = std::str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// The content of a close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the content that RFC 6455 gives a close frame")]
pub struct CloseFrame {
    /// The status code (RFC 6455, section 7.4).
    pub code: u16,
    /// For people; at most 123 bytes.
    pub reason: String,
}

impl CloseFrame {
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// 1007: text that is not UTF-8.
    pub const INVALID_DATA: u16 = 1007;
    /// 1009: a message that is too large.
    pub const TOO_LARGE: u16 = 1009;
    /// The longest reason, in bytes: a control frame has at most 125, and the code takes two.
    pub const MAX_REASON: usize = 123;

    /// A code and a reason.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// Whether a code may stand in a close frame. RFC 6455 reserves 1004, 1005, 1006 and 1015 for
    /// reports, and leaves everything below 1000, 1016 to 2999 and above 4999 undefined; 1012 to
    /// 1014 were registered later.
    #[must_use]
    pub const fn is_sendable(code: u16) -> bool {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// What is accepted from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest message, in bytes; a larger one ends the connection with 1009. 16 MiB by
    /// default: well above what applications mean to send, and little enough that a hostile peer
    /// cannot fill memory. At least 1 makes sense; for a link with `relink.v1`, at least 128 KiB.
    pub max_message: usize,
    /// The largest frame, in bytes. 16 MiB by default, as for messages. At least 125 makes sense:
    /// the longest control frame.
    pub max_frame: usize,
}

impl Limits {
    /// Limits on messages and on frames, in bytes.
    #[must_use]
    pub const fn new(max_message: usize, max_frame: usize) -> Self {
        Self { max_message, max_frame }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(16 << 20, 16 << 20)
    }
}
