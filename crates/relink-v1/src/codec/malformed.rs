//! A message that is no frame.

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
    /// 1007 where it is not well-formed, 1003 where it is, and is no frame all the same.
    pub close: CloseCode,
    /// Which field, and what is allowed. Nothing of the message is in it: there might be a token.
    pub detail: String,
}

impl DecodeError {
    /// Not JSON, not CBOR, or text that is not UTF-8.
    pub(super) fn syntax(detail: &str) -> Self {
        Self { close: CloseCode::INVALID_DATA, detail: detail.into() }
    }

    /// Well-formed, and no frame.
    pub(super) fn refused(detail: impl Into<String>) -> Self {
        Self { close: CloseCode::UNSUPPORTED_DATA, detail: detail.into() }
    }

    pub(super) fn wanted(key: Key, allowed: &str) -> Self {
        Self::refused(format!("{}: {allowed} is wanted", key.name()))
    }

    pub(super) fn missing(key: Key) -> Self {
        Self::refused(format!("{}: missing", key.name()))
    }

    /// The same, seen from the record around it.
    pub(super) fn inside(self, outer: Key) -> Self {
        Self { detail: format!("{}.{}", outer.name(), self.detail), ..self }
    }
}

impl From<DecodeError> for CloseFrame {
    fn from(error: DecodeError) -> Self {
        Self::new(error.close, error.detail)
    }
}
