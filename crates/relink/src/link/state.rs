//! The states of a link, as an application sees them.

use core::fmt;

use crate::policy::budget::GiveUpReason;
use crate::policy::close_code::CloseCode;
use crate::policy::stop_reason::StopReason;

/// The exact state of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[expect(
    clippy::exhaustive_enums,
    reason = "code that maps states ought to hear from the compiler of a new one"
)]
pub enum State {
    /// Not started.
    Idle,
    /// On the way to the first usable link. Also while a close waits for queued messages to go out.
    Connecting(Phase),
    /// Usable.
    Connected,
    /// On the way back after a loss. Also while a close waits for queued messages to go out.
    Reconnecting(Phase),
    /// Closed by the application: flushing, then waiting for the peer's close frame.
    Closing,
    /// Closed; see the reason.
    Closed(ClosedReason),
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[expect(
    clippy::exhaustive_enums,
    reason = "code that maps states ought to hear from the compiler of a new one"
)]
pub enum Phase {
    /// Waiting for the backoff delay to pass.
    Waiting,
    /// What the attempt needs is being fetched: a token, an address.
    Authorizing,
    /// A transport is being opened: name lookup, TCP, TLS, WebSocket handshake.
    Dialing,
    /// The transport is open; the application's own handshake is under way.
    Handshaking(Step),
}

/// The steps of an application's handshake, in their order. Which of them exist is configuration;
/// the plain link has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[expect(
    clippy::exhaustive_enums,
    reason = "code that maps states ought to hear from the compiler of a new one"
)]
pub enum Step {
    /// Waiting for the server's first message.
    Welcome,
    /// Negotiating; may end in a redirect.
    Challenge,
    /// Waiting for the application to log in.
    Login,
    /// Waiting for the server's answer to the login.
    Authenticating,
}

impl Step {
    /// The name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::Challenge => "challenge",
            Self::Login => "login",
            Self::Authenticating => "authenticating",
        }
    }
}

/// The state without its detail, as applications usually show or log it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[expect(
    clippy::exhaustive_enums,
    reason = "code that maps states ought to hear from the compiler of a new one"
)]
pub enum Status {
    /// Not started.
    Idle,
    /// On the way to the first usable link.
    Connecting,
    /// Usable.
    Connected,
    /// On the way back after a loss.
    Reconnecting,
    /// Being closed by the application.
    Closing,
    /// Closed.
    Closed,
}

impl State {
    /// The state without its detail.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Idle => Status::Idle,
            Self::Connecting(_) => Status::Connecting,
            Self::Connected => Status::Connected,
            Self::Reconnecting(_) => Status::Reconnecting,
            Self::Closing => Status::Closing,
            Self::Closed(_) => Status::Closed,
        }
    }

    /// Whether messages can go out now.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Connected)
    }

    /// Whether the link is closed.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

impl Status {
    /// The name, in lower case, as in logs and the program's output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a link is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[expect(
    clippy::exhaustive_enums,
    reason = "code that maps states ought to hear from the compiler of a new one"
)]
pub enum ClosedReason {
    /// The application closed it.
    Requested,
    /// The peer ended it for good: retrying would be pointless.
    Stopped {
        /// Why, and what a person can do.
        reason: StopReason,
        /// The peer's close code, if it was one.
        code: Option<CloseCode>,
    },
    /// A budget is used up.
    GaveUp(GiveUpReason),
    /// The driver is gone: it panicked, or its runtime was shut down. Final, whatever the
    /// [`ReopenPolicy`](super::ReopenPolicy).
    DriverGone,
}

impl ClosedReason {
    /// The symbolic name, in `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Stopped { reason, .. } => reason.name(),
            Self::GaveUp(budget) => budget.name(),
            Self::DriverGone => "driver_gone",
        }
    }

    /// The close code that ended it, if there was one.
    #[must_use]
    pub const fn code(self) -> Option<CloseCode> {
        match self {
            Self::Stopped { code, .. } => code,
            Self::Requested | Self::GaveUp(_) | Self::DriverGone => None,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Requested => "Nothing: it was closed from this side.",
            Self::Stopped { reason, .. } => reason.advice(),
            Self::GaveUp(budget) => budget.advice(),
            Self::DriverGone => {
                "Make a new link. If the runtime still runs, code that the driver called has panicked; see its message."
            }
        }
    }
}

impl fmt::Display for ClosedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.code() {
            Some(code) => write!(f, " (close code {code})"),
            None => Ok(()),
        }
    }
}
