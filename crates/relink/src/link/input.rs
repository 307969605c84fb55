//! Everything that can change a link.

use core::fmt;
use core::time::Duration;

use super::failure::Failure;
use crate::policy::close_code::CloseCode;
use crate::policy::stop_reason::StopReason;

/// Everything that can change a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The application wants the link up. While it closes, and if
    /// [`ReopenPolicy`](super::ReopenPolicy) allows it, this is remembered: the link starts again
    /// after its end.
    Connect,
    /// The application logs in, which the login step waits for. An early login is remembered.
    Login,
    /// The application is done: flush if the link is usable, then close with this code.
    Close {
        /// The code of the close frame.
        code: CloseCode,
    },
    /// The application is done, and messages wait: as [`Close`](Self::Close), but a link that is
    /// down goes on trying, and one that is lost comes back, until [`Flushed`](Self::Flushed) or
    /// for `flush_timeout`.
    Finish {
        /// The code of the close frame.
        code: CloseCode,
    },
    /// Everything that was queued when the close began has gone out.
    Flushed,
    /// The user wants an attempt now: the backoff starts over and the wait ends. The first such
    /// attempt starts at once, the next ones as `budget.rate` allows. While the link closes, it
    /// means the same as [`Connect`](Self::Connect).
    RetryNow,
    /// The application vouches that the link is good: failures are forgotten without waiting for
    /// `stable_after`.
    MarkStable,
    /// The environment hints that an attempt or a check is worthwhile.
    Hint(Hint),
    /// A token fetch ended.
    Token {
        /// The attempt it was fetched for.
        id: TransportId,
        /// Its result.
        result: Result<TokenInfo, TokenError>,
    },
    /// An address fetch ended; the session keeps the address.
    Address {
        /// The attempt it was fetched for.
        id: TransportId,
        /// Its result.
        result: Result<(), AddressError>,
    },
    /// The transport is open: the WebSocket handshake is done.
    Opened {
        /// Which.
        id: TransportId,
    },
    /// A frame arrived whose only meaning to the link is that the peer is alive.
    /// [`Link::received`](super::Link::received) is the same, quicker.
    Received {
        /// From which transport.
        id: TransportId,
    },
    /// A pong arrived.
    Pong {
        /// From which transport.
        id: TransportId,
        /// The number of the ping it answers, if it carries one.
        nonce: Option<u32>,
    },
    /// The application's protocol reports something about the link: a step of the handshake, a
    /// redirect, going away.
    Handshake {
        /// From which transport.
        id: TransportId,
        /// What it reports.
        event: HandshakeEvent,
    },
    /// The peer's close frame arrived.
    PeerClosed {
        /// From which transport.
        id: TransportId,
        /// Its code; [`CloseCode::NO_STATUS`] if it had none.
        code: CloseCode,
    },
    /// The transport is gone, or could not be opened.
    Failed {
        /// Which.
        id: TransportId,
        /// Why.
        failure: Failure,
    },
    /// The driver is gone: it panicked, or its runtime was shut down.
    DriverGone,
    /// Time has passed.
    Timeout,
}

impl Input {
    /// The transport that the input comes from, if it comes from one.
    #[must_use]
    pub fn transport(mut self) -> Option<TransportId> {
        self.transport_mut().copied()
    }

    /// The same input from another transport; unchanged if it comes from none.
    #[must_use]
    pub fn with_transport(mut self, from: TransportId) -> Self {
        if let Some(id) = self.transport_mut() {
            *id = from;
        }
        self
    }

    const fn transport_mut(&mut self) -> Option<&mut TransportId> {
        match self {
            Self::Token { id, .. }
            | Self::Address { id, .. }
            | Self::Opened { id }
            | Self::Received { id }
            | Self::Pong { id, .. }
            | Self::Handshake { id, .. }
            | Self::PeerClosed { id, .. }
            | Self::Failed { id, .. } => Some(id),
            Self::Connect
            | Self::Login
            | Self::Close { .. }
            | Self::Finish { .. }
            | Self::Flushed
            | Self::RetryNow
            | Self::MarkStable
            | Self::Hint(_)
            | Self::DriverGone
            | Self::Timeout => None,
        }
    }
}

/// One attempt and the transport it may open. Inputs carry the id of the transport they come from;
/// those of an earlier one change nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct TransportId(pub(crate) u32);

impl fmt::Debug for TransportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A hint from the system. Hints are never facts: they shorten a wait or cause a check, within
/// floor and budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Hint {
    /// A network is available again, or the network changed.
    Online,
    /// The system believes there is no network.
    Offline,
    /// The process or machine was asleep, or came to the foreground.
    Wake,
}

/// What a protocol reports to the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeEvent {
    /// The server's first message.
    Welcome,
    /// The challenge is met.
    ChallengeMet,
    /// The server redirects this client; the session keeps the address.
    Redirect,
    /// The login was accepted.
    Authenticated,
    /// The login was refused.
    Refused(Refusal),
    /// The server will close soon, and asks the client to come back after a delay.
    GoingAway {
        /// The minimum delay.
        retry_after: Duration,
    },
}

/// Why a login was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The token is old or wrong; a fresh one may do.
    Token,
    /// As if the peer had closed with this code.
    As(CloseCode),
    /// Refused for good, for this reason.
    Stop(StopReason),
}

/// A token was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TokenInfo {
    /// How long it is valid, if that is known.
    pub expires_in: Option<Duration>,
}

impl TokenInfo {
    /// A token that is valid for this long; `None` if that is not known.
    #[must_use]
    pub const fn new(expires_in: Option<Duration>) -> Self {
        Self { expires_in }
    }
}

/// A token could not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TokenError;

/// An address could not be fetched, or cannot be dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AddressError;
