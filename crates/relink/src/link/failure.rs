//! Why a transport ended without a close frame, or was never opened.

use core::fmt;
use core::time::Duration;

use crate::policy::close_code::CloseCode;

/// Why a transport ended without a close frame, or was never opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Failure {
    /// The name could not be looked up.
    Lookup,
    /// Nothing listens at the address.
    Refused,
    /// The network has no route to it.
    Unreachable,
    /// The TLS handshake failed: an unknown authority, a wrong name, an old certificate.
    Tls,
    /// The handshake was answered with another HTTP status.
    Http {
        /// The status.
        status: u16,
        /// The `Retry-After` header, if there was one.
        retry_after: Option<Duration>,
    },
    /// The handshake was answered with an HTTP redirect; the session keeps the address.
    HttpRedirect,
    /// The answer to the handshake was not that of a WebSocket server.
    NotWebSocket,
    /// The request itself is not valid, and no attempt can succeed.
    InvalidRequest,
    /// The transport was reset or cut.
    Reset,
    /// The peer ended the stream without a close frame.
    Eof,
    /// The peer broke the protocol; the code gives the kind.
    Protocol(CloseCode),
    /// Messages are missing, or the two sides disagree about them: the transport is closed, and the
    /// session resumes from what both have.
    Gap,
    /// The application asked for another connection.
    Abandoned,
    /// Any other error of the transport.
    Io,
}

impl Failure {
    /// The failure, as a part of a sentence.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Lookup => "the name could not be looked up",
            Self::Refused => "the connection was refused",
            Self::Unreachable => "the network is unreachable",
            Self::Tls => "the TLS handshake failed",
            Self::Http { .. } => "the server answered the handshake with an HTTP error",
            Self::HttpRedirect => "the server redirected the handshake",
            Self::NotWebSocket => "the server's answer was not a WebSocket handshake",
            Self::InvalidRequest => "the request is not valid",
            Self::Reset => "the connection was reset",
            Self::Eof => "the connection ended without a close frame",
            Self::Protocol(_) => "the server broke the WebSocket protocol",
            Self::Gap => "messages are missing",
            Self::Abandoned => "the application asked for another connection",
            Self::Io => "the connection failed",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())?;
        match self {
            Self::Http { status, .. } => write!(f, " ({status})"),
            Self::Protocol(code) => write!(f, " ({code})"),
            Self::Lookup
            | Self::Refused
            | Self::Unreachable
            | Self::Tls
            | Self::HttpRedirect
            | Self::NotWebSocket
            | Self::InvalidRequest
            | Self::Reset
            | Self::Eof
            | Self::Gap
            | Self::Abandoned
            | Self::Io => Ok(()),
        }
    }
}
