//! The configuration of a link: its pieces, and the deadlines of its phases.

use core::time::Duration;

use crate::base::config::{ConfigError, MILLISECOND, YEAR, config};
use crate::base::setting::within;
use crate::base::time::{mins, secs};
use crate::link::StatusViewConfig;
use crate::policy::backoff::Backoff;
use crate::policy::budget::BudgetConfig;
use crate::policy::close_policy::ClosePolicy;
use crate::policy::credentials::CredentialsConfig;
use crate::policy::heartbeat::HeartbeatConfig;

config! {
    /// The configuration of a link. The defaults keep a plain WebSocket up.
    pub struct LinkConfig at "", then check_retry_after {
        /// How long until the next attempt.
        pub backoff / with_backoff: Backoff;
        /// What a close code or an HTTP status means.
        pub close_policy / with_close_policy: ClosePolicy;
        /// How liveness is checked.
        pub heartbeat / with_heartbeat: HeartbeatConfig;
        /// How tokens are fetched.
        pub credentials / with_credentials: CredentialsConfig;
        /// How much trying is allowed.
        pub budget / with_budget: BudgetConfig;
        /// What a person should see.
        pub surface / with_surface: StatusViewConfig;
        /// The steps between an open transport and a usable link.
        pub handshake / with_handshake: Handshake;
        /// How long an attempt may take to open its transport: name lookup, TCP, TLS and WebSocket
        /// handshake together. Shorter gives up on slow mobile networks; longer hangs on a server
        /// that accepts and then sends nothing.
        pub connect_timeout / with_connect_timeout: Duration = secs(10), in MILLISECOND..=YEAR;
        /// How long an attempt may take as a whole, from the dial to the usable link; the limit of
        /// each phase holds as well. The time that the application takes to log in does not count,
        /// and this limit starts over after it. `off`: only the limits of the phases hold. For
        /// systems that promise an answer to a login within a fixed time.
        pub attempt_timeout / with_attempt_timeout: Option<Duration> = None, in MILLISECOND..=YEAR;
        /// A link that was usable for this long is stable: failures are forgotten. If an endpoint
        /// closes sooner, the next one is tried. Zero forgets at once: a server that accepts and
        /// closes is then dialed as often as the budget allows, and no other endpoint is tried.
        pub stable_after / with_stable_after: Duration = secs(5), in Duration::ZERO..=YEAR;
        /// On close, how long queued messages may take to go out: over the usable link, or over the
        /// next one if it is down or is lost. An attempt that would begin later than that is not
        /// waited for.
        pub flush_timeout / with_flush_timeout: Duration = secs(5), in MILLISECOND..=YEAR;
        /// On close, how long to wait for the peer's close frame before the transport is dropped.
        pub close_timeout / with_close_timeout: Duration = secs(2), in MILLISECOND..=YEAR;
        /// How `Retry-After` and going-away hints are applied.
        pub retry_after / with_retry_after: RetryAfter;
        /// Whether a failed first attempt is retried like any other.
        pub first_failure / with_first_failure: OnFirstFailure = OnFirstFailure::Retry;
        /// Whether a closed link may be connected again.
        pub reopen / with_reopen: ReopenPolicy = ReopenPolicy::AfterGivingUp;
        /// What to do when the heartbeat declares the peer dead.
        pub when_dead / with_when_dead: OnDead = OnDead::Retry;
        /// What a usable link does when the system reports that there is no network
        /// ([`Hint::Offline`](crate::link::Hint::Offline)).
        pub when_offline / with_when_offline: OnOffline = OnOffline::Check;
        /// Maximum number of redirects in one attempt; more count as a failed attempt.
        pub max_redirects / with_max_redirects: u8 = 5, in 0..;
    }
}

config! {
    /// Which steps the application's handshake has, each with its deadline. `off` leaves the step
    /// out.
    pub struct Handshake at "handshake." {
        /// How long to wait for the server's first message.
        pub welcome / with_welcome: Option<Duration> = None, in MILLISECOND..=YEAR;
        /// How long to negotiate; may end in a redirect.
        pub challenge / with_challenge: Option<Duration> = None, in MILLISECOND..=YEAR;
        /// Wait for the application to log in. Once it has, later attempts do not wait again.
        pub login / with_login: bool = false;
        /// How long to wait for the application's login. `off` waits for as long as it takes: a
        /// person may be typing.
        pub login_timeout / with_login_timeout: Option<Duration> = None, in MILLISECOND..=YEAR;
        /// How long to wait for the server's answer to the login.
        pub authentication / with_authentication: Option<Duration> = None, in MILLISECOND..=YEAR;
    }
}

config! {
    /// How a delay given by the server is treated: `Retry-After` on a refused handshake, a
    /// going-away hint.
    pub struct RetryAfter at "retry_after." {
        /// Whether it delays the next attempt at all; it is reported in any case.
        pub honor / with_honor: bool = true;
        /// The longest delay that a server can ask for; a longer one is cut to this. Not below the
        /// backoff's floor.
        pub max / with_max: Duration = mins(5), in MILLISECOND..=YEAR;
        /// Adds up to this percentage of random jitter, so that clients given the same delay do not
        /// reconnect in step. If that would exceed `max`, the delay is drawn from a window of the
        /// same width that ends at `max`.
        pub spread_pct / with_spread_pct: u32 = 20, in 0..=1_000;
    }
}

/// What to do after a failure before the link was ever usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum OnFirstFailure {
    /// Retry, as after any other failure: the backoff decides.
    #[default]
    Retry,
    /// Close the link once every endpoint has had an attempt: the application wants to know at
    /// once.
    Stop,
}

/// Whether `connect` may reopen a closed link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum ReopenPolicy {
    /// Never: a closed link stays closed.
    Never,
    /// If a budget was used up, not after a deliberate close or a terminal close code.
    #[default]
    AfterGivingUp,
    /// Always, whatever closed it.
    Always,
}

/// What to do when the heartbeat declares the peer dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum OnDead {
    /// Retry, as after a loss: the backoff decides.
    #[default]
    Retry,
    /// Close the link with [`StopReason::HEARTBEAT_LOST`](crate::StopReason::HEARTBEAT_LOST), as
    /// some systems do.
    Stop,
}

/// What a usable link does when the system reports that there is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum OnOffline {
    /// Sends a quick probe: systems are often wrong about this.
    #[default]
    Check,
    /// Drops the transport and reconnects, as after a loss.
    Disconnect,
}

impl LinkConfig {
    fn check_retry_after(&self) -> Result<(), ConfigError> {
        within("retry_after.max", self.retry_after.max, self.backoff.floor..)
    }
}
