//! What goes into a link and what comes out: inputs, actions, events.

use core::fmt;
use core::time::Duration;

use crate::code::CloseCode;
use crate::heartbeat::Silence;
use crate::link::state::{ClosedReason, State, Step};
use crate::surface::Shown;

/// One attempt and the transport it may open. Inputs carry the id of the transport they come from; those of an
/// earlier one change nothing (I1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct TransportId(pub(crate) u32);

impl fmt::Debug for TransportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Where to dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Endpoint {
    /// The configured endpoint with this index.
    Configured(u8),
    /// The address that the last redirect named.
    Redirected,
}

/// Everything that can change a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The application wants the link up.
    Connect,
    /// The application logs in: the word that the login step waits for. Early ones are remembered (D4).
    Login,
    /// The application is done: flush, close with this code, then end.
    Close {
        /// The code of the close frame.
        code: CloseCode,
    },
    /// Everything that was queued when the close began has gone out.
    Flushed,
    /// A person wants an attempt now: the backoff starts anew and the wait ends (M17).
    RetryNow,
    /// The application vouches that the link is good: failures are forgotten without waiting for `stable_after` (I5).
    MarkStable,
    /// Something outside hints that an attempt or a check is worth while.
    Hint(Hint),
    /// A token fetch ended.
    Token {
        /// The attempt it was fetched for.
        id: TransportId,
        /// What came of it.
        result: Result<TokenGrant, TokenFailed>,
    },
    /// The transport is open: the WebSocket handshake is done.
    Opened {
        /// Which.
        id: TransportId,
    },
    /// A frame arrived that says nothing but that the peer lives. [`Link::received`](super::Link::received) is the
    /// same, quicker.
    Received {
        /// From which transport.
        id: TransportId,
    },
    /// A pong arrived.
    Pong {
        /// From which transport.
        id: TransportId,
        /// The number of the ping it answers, where it carries one.
        nonce: Option<u32>,
    },
    /// The application's protocol says something about the link.
    Signal {
        /// From which transport.
        id: TransportId,
        /// What it says.
        signal: LinkSignal,
    },
    /// The peer's close frame arrived.
    PeerClosed {
        /// From which transport.
        id: TransportId,
        /// Its code; [`CloseCode::NO_STATUS`] where it had none.
        code: CloseCode,
    },
    /// The transport is gone, or could not be opened.
    Failed {
        /// Which.
        id: TransportId,
        /// Why.
        failure: Failure,
    },
    /// Time has passed.
    Timeout,
}

/// A hint from the system. Hints are never facts: they shorten a wait or cause a check, within floor and budget (I18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Hint {
    /// A network is there again, or another one.
    Online,
    /// The system believes there is no network.
    Offline,
    /// The process or machine was asleep, or came to the foreground (M14).
    Wake,
}

/// What a protocol tells the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkSignal {
    /// The server's first word.
    Welcome,
    /// The challenge is met.
    ChallengeMet,
    /// The server sends this client elsewhere; the session keeps the address.
    Redirect,
    /// The login was accepted.
    Authenticated,
    /// The login was refused.
    Refused(Refusal),
    /// The server will close soon and says when to come back.
    GoingAway {
        /// How long to wait at least.
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
}

/// A token was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TokenGrant {
    /// How long it is good for, if that is known.
    pub expires_in: Option<Duration>,
}

impl TokenGrant {
    /// A token that is good for so long; `None` where that is not known.
    #[must_use]
    pub const fn new(expires_in: Option<Duration>) -> Self {
        Self { expires_in }
    }
}

/// A token could not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TokenFailed;

/// Why a transport ended without a close frame, or was never opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Failure {
    /// The name could not be looked up.
    Lookup,
    /// Nobody listens at the address.
    Refused,
    /// The network has no way there.
    Unreachable,
    /// The TLS handshake failed: an unknown authority, a wrong name, an old certificate.
    Tls,
    /// The handshake was answered with another HTTP status.
    Http {
        /// The status.
        status: u16,
        /// The `Retry-After` header, where there was one.
        retry_after: Option<Duration>,
    },
    /// The handshake was answered with an HTTP redirect; the session keeps the address.
    HttpRedirect,
    /// The answer to the handshake was not a WebSocket's.
    NotWebSocket,
    /// The request itself is not valid, and no attempt can succeed.
    InvalidRequest,
    /// The transport was reset or cut.
    Reset,
    /// The peer ended the stream without a close frame.
    Eof,
    /// The peer broke the protocol; the code says how.
    Protocol(CloseCode),
    /// Any other trouble of the transport.
    Io,
}

impl Failure {
    /// What happened, as a part of a sentence.
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
            | Self::Io => Ok(()),
        }
    }
}

/// Everything a link wants done or told, in one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Fetch a token for this attempt, or ahead of expiry for this transport. Replaces a fetch that is under way.
    FetchToken {
        /// Comes back in [`Input::Token`].
        id: TransportId,
    },
    /// Open a transport.
    Dial {
        /// The id of the transport to be.
        id: TransportId,
        /// Where.
        endpoint: Endpoint,
    },
    /// Send the protocol's opening word: the transport is open and a handshake step begins.
    StartStep {
        /// On which transport.
        id: TransportId,
        /// Which step begins.
        step: Step,
    },
    /// Send a ping.
    SendPing {
        /// On which transport.
        id: TransportId,
        /// The number it carries.
        nonce: u32,
    },
    /// Give the fresh token to the server over the open link.
    RenewToken {
        /// On which transport.
        id: TransportId,
    },
    /// Send a close frame.
    SendClose {
        /// On which transport.
        id: TransportId,
        /// Its code.
        code: CloseCode,
    },
    /// Let go of the transport, or of the dial or fetch for it: write what can be written without waiting, then drop.
    Drop {
        /// Which.
        id: TransportId,
    },
    /// Tell the application.
    Event(LinkEvent),
}

/// What the link tells the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "event", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LinkEvent {
    /// The exact state changed.
    State {
        /// From this one.
        from: State,
        /// To this one.
        to: State,
        /// Because of this.
        reason: Reason,
    },
    /// An attempt starts to dial.
    Dialing {
        /// The number of the attempt since the link was last stable, from 1.
        attempt: u32,
        /// Where.
        endpoint: Endpoint,
    },
    /// The link is usable.
    Connected {
        /// Whether it was usable before (M20).
        is_reconnect: bool,
    },
    /// A usable link was lost, or closed by the peer.
    Disconnected {
        /// The peer's close code; 1006 where there was none.
        code: CloseCode,
        /// What happened.
        reason: Reason,
        /// When the next attempt starts; `None` where there will be none (M8).
        retry_in: Option<Duration>,
    },
    /// An attempt failed before the link was usable.
    AttemptFailed {
        /// Its number since the link was last stable, from 1.
        attempt: u32,
        /// What happened.
        reason: Reason,
        /// When the next attempt starts; `None` where there will be none.
        retry_in: Option<Duration>,
    },
    /// Several token fetches failed, or tokens were refused, in a row. Tries go on (M10).
    TokenError {
        /// So many.
        consecutive_failures: u32,
    },
    /// The server will close soon and says when to come back (M12).
    GoingAway {
        /// How long to wait at least.
        retry_after: Duration,
    },
    /// What a person should see changed.
    Shown(Shown),
    /// The link has come to its end. The last event, and only once (I31).
    Closed {
        /// Why.
        reason: ClosedReason,
    },
}

/// Why a state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Reason {
    /// The application asked to connect.
    Connect,
    /// The backoff delay is over.
    DelayOver,
    /// A person asked to retry.
    RetryNow,
    /// A hint shortened the wait.
    Hint(Hint),
    /// The token is there.
    TokenReady,
    /// The transport is open.
    Opened,
    /// A handshake step is done.
    StepDone(Step),
    /// The server sent this client elsewhere.
    Redirected,
    /// The server redirected more often than is allowed.
    TooManyRedirects,
    /// The token could not be fetched.
    TokenFailed,
    /// The server refused the login.
    LoginRefused,
    /// The peer closed with this code.
    ClosedByPeer(CloseCode),
    /// The transport failed.
    Failed(Failure),
    /// A deadline passed.
    TimedOut(Timer),
    /// The heartbeat found the link dead.
    Dead(Silence),
    /// The application asked to close.
    Close,
    /// Everything is flushed, or its time is over.
    Flushed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("the application asked to connect"),
            Self::DelayOver => f.write_str("the wait is over"),
            Self::RetryNow => f.write_str("a retry was asked for"),
            Self::Hint(Hint::Online) => f.write_str("the network is back"),
            Self::Hint(Hint::Offline) => f.write_str("the network may be gone"),
            Self::Hint(Hint::Wake) => f.write_str("the machine woke up"),
            Self::TokenReady => f.write_str("the token is there"),
            Self::Opened => f.write_str("the connection is open"),
            Self::StepDone(step) => write!(f, "handshake step done: {}", step.name()),
            Self::Redirected => f.write_str("the server sent this client elsewhere"),
            Self::TooManyRedirects => f.write_str("the server redirected too often"),
            Self::TokenFailed => f.write_str("the token could not be fetched"),
            Self::LoginRefused => f.write_str("the server refused the login"),
            Self::ClosedByPeer(code) => write!(f, "the server closed with code {code}"),
            Self::Failed(failure) => failure.fmt(f),
            Self::TimedOut(timer) => write!(f, "{} took too long", timer.subject()),
            Self::Dead(Silence::Heartbeat) => f.write_str("the heartbeat went unanswered"),
            Self::Dead(Silence::Watchdog) => f.write_str("nothing was heard for too long"),
            Self::Dead(Silence::Probe) => f.write_str("the server did not answer the check after a pause"),
            Self::Close => f.write_str("the application asked to close"),
            Self::Flushed => f.write_str("everything queued has gone out, or its time is over"),
        }
    }
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

/// The deadlines of a link, by name: why it wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Timer {
    /// The wait before the next attempt.
    Backoff,
    /// The token fetch.
    Token,
    /// The dial: name lookup, TCP, TLS, WebSocket handshake.
    Dial,
    /// A step of the application's handshake.
    Step(Step),
    /// The next ping.
    Ping,
    /// The answer to a ping.
    Pong,
    /// Silence as a whole.
    Watchdog,
    /// The link has been up long enough to count as stable.
    Stable,
    /// The token wants to be renewed.
    Refresh,
    /// The flush before a close.
    Flush,
    /// The peer's answer to the close frame.
    Close,
    /// The trying as a whole.
    Elapsed,
    /// The silent grace of the surface.
    Grace,
    /// The banner of the surface.
    Banner,
    /// The stuck notice of the surface.
    Stuck,
}

impl Timer {
    /// What took too long, as the subject of a sentence.
    #[must_use]
    pub const fn subject(self) -> &'static str {
        match self {
            Self::Backoff => "the wait",
            Self::Token | Self::Refresh => "the token",
            Self::Dial => "the dial",
            Self::Step(Step::Welcome) => "the server's welcome",
            Self::Step(Step::Challenge) => "the challenge",
            Self::Step(Step::Login) => "the application's login",
            Self::Step(Step::Authenticating) => "the answer to the login",
            Self::Ping | Self::Pong | Self::Watchdog => "the heartbeat",
            Self::Stable => "the proof of stability",
            Self::Flush => "the flush",
            Self::Close => "the close handshake",
            Self::Elapsed => "the trying",
            Self::Grace | Self::Banner | Self::Stuck => "the notice",
        }
    }
}
