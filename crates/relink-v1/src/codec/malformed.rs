//! A message that is not a frame.

use alloc::format;
use alloc::string::String;
use relink::{CloseCode, CloseFrame};

use super::names::Key;

/// A message that is not a frame of `relink.v1`. The receiver closes the transport with
/// [`CloseFrame::from`] it.
///
/// ```
/// use relink::CloseFrame;
/// use relink_v1::{ClientFrame, Codec};
///
/// let error = ClientFrame::decode(&r#"{"type":"renew","token":7}"#.into()).unwrap_err();
/// let close = CloseFrame::from(error);
/// assert_eq!((close.code.0, close.reason.as_str()), (1003, "token: text of 0 to 16384 bytes is wanted"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid relink.v1 frame: {detail}")]
#[non_exhaustive]
pub struct DecodeError {
    /// 1007 if it is not well-formed, 1003 if it is well-formed but not a frame.
    pub close: CloseCode,
    /// Which field, and what is allowed. It has nothing of the message, which may have a token.
    pub detail: String,
}

impl DecodeError {
    /// Not JSON, not CBOR, or text that is not UTF-8.
    pub(super) fn syntax(detail: &str) -> Self {
        Self { close: CloseCode::INVALID_DATA, detail: detail.into() }
    }

    /// Well-formed, but not a frame.
    pub(super) fn refused(detail: impl Into<String>) -> Self {
        Self { close: CloseCode::UNSUPPORTED_DATA, detail: detail.into() }
    }

    pub(super) fn wanted(key: Key, allowed: &str) -> Self {
        Self::refused(format!("{}: {allowed} is wanted", key.name()))
    }

    pub(super) fn missing(key: Key) -> Self {
        Self::refused(format!("{}: missing", key.name()))
    }

    /// The same, with the path of the record around it.
    pub(super) fn inside(self, outer: Key) -> Self {
        Self { detail: format!("{}.{}", outer.name(), self.detail), ..self }
    }
}

impl From<DecodeError> for CloseFrame {
    fn from(error: DecodeError) -> Self {
        Self::new(error.close, error.detail)
    }
}
