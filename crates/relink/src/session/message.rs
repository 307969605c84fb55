//! Messages and frames in the terms of RFC 6455, independent of a WebSocket implementation.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use crate::base::duration_text::HumanDuration;
use crate::policy::close_code::CloseCode;

/// A message of the application.
#[derive(Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a WebSocket has two kinds of data")]
pub enum Message {
    /// UTF-8 text.
    Text(Text),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// The number of bytes, without framing.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.0.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Binary(_) => None,
        }
    }

    /// The bytes, of either kind.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => &text.0,
            Self::Binary(bytes) => bytes,
        }
    }
}

/// Prints the kind and the length, not the content: messages may carry secrets, and logs are read
/// by many.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self, Self::Text(_)) { "Text" } else { "Binary" };
        write!(f, "{kind}({} bytes)", self.len())
    }
}

/// UTF-8 text in shared memory: cloning it copies nothing.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Text(Bytes);

/// Bytes that are not UTF-8, returned to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not text: these {} bytes are not UTF-8", .0.len())]
#[expect(clippy::exhaustive_structs, reason = "an error that gives back what it was given")]
pub struct NotUtf8(pub Bytes);

impl Text {
    /// Takes bytes that were checked before, as a WebSocket library checks what arrives. If they
    /// are not UTF-8 after all, [`as_str`](Self::as_str) is empty.
    #[must_use]
    pub const fn assume_utf8(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The text. Checks the bytes again, as this crate has no unsafe code; that is cheap compared
    /// with receiving them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl TryFrom<Bytes> for Text {
    type Error = NotUtf8;

    fn try_from(bytes: Bytes) -> Result<Self, NotUtf8> {
        if core::str::from_utf8(&bytes).is_ok() { Ok(Self(bytes)) } else { Err(NotUtf8(bytes)) }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// The text itself; `Debug` has its length alone, since logs should not have messages.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

/// What goes over a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the frames of RFC 6455")]
pub enum Frame {
    /// A whole message.
    Message(Message),
    /// A ping; the driver's wire answers the peer's pings.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// A close frame.
    Close(CloseFrame),
}

/// The content of a close frame.
///
/// Any code and reason can be set and read. What is sent is [`for_wire`](Self::for_wire), in both
/// roles. Its reason may say when to come back ([`with_retry_after`](Self::with_retry_after)), for
/// servers whose protocol has no other word for it:
///
/// ```
/// use core::time::Duration;
/// use relink::{CloseCode, CloseFrame};
///
/// let delay = Duration::from_secs(3);
/// let frame = CloseFrame::new(CloseCode::GOING_AWAY, "deploy").with_retry_after(delay);
/// assert_eq!(frame.reason, "deploy; retry-after=3s");
/// assert_eq!(frame.retry_after(), Some(delay));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the content of a close frame by RFC 6455")]
pub struct CloseFrame {
    /// The code; [`CloseCode::NO_STATUS`] if the frame is empty.
    pub code: CloseCode,
    /// The reason, for people; at most [`MAX_REASON`](Self::MAX_REASON) bytes on the wire.
    pub reason: String,
}

impl CloseFrame {
    /// The longest reason in bytes: a control frame holds 125, and two of them are the code (RFC
    /// 6455, section 5.5).
    pub const MAX_REASON: usize = 123;

    /// A frame with a reason for people, cut to [`MAX_REASON`](Self::MAX_REASON) between two
    /// characters.
    #[must_use]
    pub fn new(code: CloseCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }.with_reason_of(Self::MAX_REASON)
    }

    /// Tells the client to come back after this delay: the reason ends in `retry-after=3s`, and
    /// loses its own end if there is no room for both.
    #[must_use]
    pub fn with_retry_after(self, delay: Duration) -> Self {
        let hint = alloc::format!("{RETRY_AFTER}{}", HumanDuration(delay));
        if self.reason.is_empty() {
            return Self { reason: hint, ..self };
        }
        let mut frame = self.with_reason_of(Self::MAX_REASON.saturating_sub(hint.len() + 2));
        frame.reason.extend(["; ", hint.as_str()]);
        frame
    }

    /// When to come back, if the reason has a word for it: `retry-after=` and a duration such as
    /// `3s` or `500ms`, anywhere between spaces, commas and semicolons.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let hint =
            self.reason.split([' ', ';', ',']).find_map(|word| word.strip_prefix(RETRY_AFTER))?;
        hint.parse().ok().map(|HumanDuration(delay)| delay)
    }

    fn with_reason_of(mut self, most: usize) -> Self {
        self.reason.truncate(cut(&self.reason, most).len());
        self
    }

    /// The frame as it may be sent; `None` is an empty one. Every writer of close frames uses this,
    /// so that clients and servers treat an application's choice the same way:
    ///
    /// * [`CloseCode::NO_STATUS`] (1005) means a frame without a code, so the frame is empty.
    /// * Any other code that may not be sent ([`CloseCode::is_sendable`]) becomes 1008, which RFC
    ///   6455 gives for "no other more suitable status code". The reason stays.
    /// * A reason that is too long is cut between two characters.
    ///
    /// ```
    /// use relink::{CloseCode, CloseFrame};
    ///
    /// let frame = CloseFrame::new(CloseCode(5000), "maintenance").for_wire();
    /// assert_eq!(frame, Some(CloseFrame::new(CloseCode::POLICY_VIOLATION, "maintenance")));
    /// assert_eq!(CloseFrame::from(CloseCode::NO_STATUS).for_wire(), None);
    /// ```
    #[must_use]
    pub fn for_wire(mut self) -> Option<Self> {
        if self.code == CloseCode::NO_STATUS {
            return None;
        }
        if !self.code.is_sendable() {
            self.code = CloseCode::POLICY_VIOLATION;
        }
        Some(self.with_reason_of(Self::MAX_REASON))
    }
}

const RETRY_AFTER: &str = "retry-after=";

/// The beginning of a text, at most this many bytes, with no character cut in two.
pub fn cut(text: &str, most: usize) -> &str {
    (0..=most.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

impl From<CloseCode> for CloseFrame {
    fn from(code: CloseCode) -> Self {
        Self::new(code, "")
    }
}

/// A secret: a token. Never printed, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself. Do not log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(secret: T) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A token, and how long it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Token {
    /// The token itself.
    pub secret: Secret,
    /// How long it is valid, if that is known: it is refreshed before that.
    pub expires_in: Option<Duration>,
}

impl Token {
    /// A token whose expiry is not known.
    #[must_use]
    pub fn new(secret: impl Into<Secret>) -> Self {
        Self { secret: secret.into(), expires_in: None }
    }

    /// The same token, valid for this long from now.
    #[must_use]
    pub const fn with_expires_in(mut self, expires_in: Duration) -> Self {
        self.expires_in = Some(expires_in);
        self
    }
}

impl<T: Into<String>> From<T> for Token {
    fn from(secret: T) -> Self {
        Self::new(Secret(secret.into()))
    }
}
