//! Why a state changed, and the deadlines by their names.

use core::fmt;

use super::failure::Failure;
use super::input::Hint;
use super::state::Step;
use crate::policy::close_code::CloseCode;
use crate::policy::heartbeat::DeadReason;

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
    /// The token was fetched.
    TokenReady,
    /// The address was fetched.
    AddressReady,
    /// The transport is open.
    Opened,
    /// A handshake step is done.
    StepDone(Step),
    /// The server redirected this client.
    Redirected,
    /// The server redirected more often than is allowed.
    TooManyRedirects,
    /// The token could not be fetched.
    TokenFailed,
    /// The address could not be fetched, or cannot be dialed.
    AddressFailed,
    /// The server refused the login.
    LoginRefused,
    /// The peer closed with this code.
    ClosedByPeer(CloseCode),
    /// The transport failed.
    Failed(Failure),
    /// A deadline passed.
    TimedOut(Timer),
    /// The heartbeat found the link dead.
    Dead(DeadReason),
    /// The application asked to close.
    Close,
    /// Everything was flushed, or the flush timed out.
    Flushed,
    /// The driver is gone.
    DriverGone,
}

impl Reason {
    /// Whether a failure for this reason is about the endpoint that was dialed. A token that was
    /// not fetched, a login that took too long and a hint that the network is gone are not.
    pub(crate) const fn is_of_endpoint(self) -> bool {
        let own = matches!(
            self,
            Self::TokenFailed
                | Self::TimedOut(Timer::Token | Timer::Step(Step::Login))
                | Self::Hint(_)
        );
        !own
    }
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
            Self::AddressReady => f.write_str("the address is there"),
            Self::Opened => f.write_str("the connection is open"),
            Self::StepDone(step) => write!(f, "handshake step done: {}", step.name()),
            Self::Redirected => f.write_str("the server sent this client elsewhere"),
            Self::TooManyRedirects => f.write_str("the server redirected too often"),
            Self::TokenFailed => f.write_str("the token could not be fetched"),
            Self::AddressFailed => f.write_str("no address could be fetched"),
            Self::LoginRefused => f.write_str("the server refused the login"),
            Self::ClosedByPeer(code) => write!(f, "the server closed with code {code}"),
            Self::Failed(failure) => failure.fmt(f),
            Self::TimedOut(timer) => write!(f, "{} took too long", timer.subject()),
            Self::Dead(DeadReason::Heartbeat) => f.write_str("the heartbeat went unanswered"),
            Self::Dead(DeadReason::Watchdog) => f.write_str("nothing was heard for too long"),
            Self::Dead(DeadReason::Message) => f.write_str("a message took too long to arrive"),
            Self::Dead(DeadReason::Probe) => {
                f.write_str("the server did not answer the check after a pause")
            }
            Self::Close => f.write_str("the application asked to close"),
            Self::Flushed => f.write_str("everything queued has gone out, or its time is over"),
            Self::DriverGone => f.write_str("the driver is gone"),
        }
    }
}

/// The deadlines of a link, by name: why it is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Timer {
    /// The wait before the next attempt.
    Backoff,
    /// The token fetch.
    Token,
    /// The address fetch.
    Address,
    /// The dial: name lookup, TCP, TLS, WebSocket handshake.
    Dial,
    /// A step of the application's handshake.
    Step(Step),
    /// The next ping.
    Ping,
    /// The answer to a ping.
    Pong,
    /// No traffic at all.
    Watchdog,
    /// A message that is arriving.
    Message,
    /// The link has been up long enough to count as stable.
    Stable,
    /// The renewal of the token.
    Refresh,
    /// The flush before a close.
    Flush,
    /// The peer's answer to the close frame.
    Close,
    /// `max_elapsed`.
    Elapsed,
    /// The silent grace of the surface.
    Grace,
    /// The banner of the surface.
    Banner,
    /// The stuck notice of the surface.
    Stuck,
}

impl Timer {
    /// What timed out, as the subject of a sentence.
    #[must_use]
    pub const fn subject(self) -> &'static str {
        match self {
            Self::Backoff => "the wait",
            Self::Token | Self::Refresh => "the token",
            Self::Address => "the address",
            Self::Dial => "the dial",
            Self::Step(Step::Welcome) => "the server's welcome",
            Self::Step(Step::Challenge) => "the challenge",
            Self::Step(Step::Login) => "the application's login",
            Self::Step(Step::Authenticating) => "the answer to the login",
            Self::Ping | Self::Pong | Self::Watchdog => "the heartbeat",
            Self::Message => "a message",
            Self::Stable => "the proof of stability",
            Self::Flush => "the flush",
            Self::Close => "the close handshake",
            Self::Elapsed => "the trying",
            Self::Grace | Self::Banner | Self::Stuck => "the notice",
        }
    }
}
