//! The configuration of a link: its pieces, and the deadlines of its phases.

use core::time::Duration;

use crate::base::config::{ConfigError, LONGEST, config, positive, positive_or_off, within};
use crate::link::StatusViewConfig;
use crate::policy::backoff::Backoff;
use crate::policy::budget::BudgetConfig;
use crate::policy::close_policy::ClosePolicy;
use crate::policy::credentials::CredentialsConfig;
use crate::policy::heartbeat::HeartbeatConfig;

config! {
    /// Everything that a link can be told in advance. The defaults keep a plain WebSocket up.
    ///
    /// | field | default |
    /// |---|---|
    /// | `backoff`, `close_policy`, `heartbeat`, `credentials`, `budget`, `surface` | their own |
    /// | `handshake` | no steps |
    /// | `connect_timeout` | 10 s |
    /// | `attempt_timeout` | off |
    /// | `stable_after` | 5 s |
    /// | `flush_timeout` | 5 s |
    /// | `close_timeout` | 2 s |
    /// | `retry_after` | honoured, up to 5 min |
    /// | `first_failure` | retry |
    /// | `reopen` | after giving up |
    /// | `when_dead` | retry |
    /// | `when_offline` | check |
    /// | `max_redirects` | 5 |
    pub struct LinkConfig {
        /// How long until the next attempt.
        pub backoff / with_backoff: Backoff = Backoff::default(),
        /// What a close code or an HTTP status means.
        pub close_policy / with_close_policy: ClosePolicy = ClosePolicy::default(),
        /// How liveness is checked.
        pub heartbeat / with_heartbeat: HeartbeatConfig = HeartbeatConfig::default(),
        /// How tokens are fetched.
        pub credentials / with_credentials: CredentialsConfig = CredentialsConfig::default(),
        /// How much trying is allowed.
        pub budget / with_budget: BudgetConfig = BudgetConfig::default(),
        /// What a person should see.
        pub surface / with_surface: StatusViewConfig = StatusViewConfig::default(),
        /// The steps between an open transport and a usable link.
        pub handshake / with_handshake: Handshake = Handshake::default(),
        /// How long an attempt may take to open its transport: name lookup, TCP, TLS and WebSocket
        /// handshake together. Shorter gives up on slow mobile networks; longer hangs on a server
        /// that accepts and says nothing.
        #[cfg_attr(feature = "serde", serde(with = "crate::base::duration_text::serde_impl"))]
        pub connect_timeout / with_connect_timeout: Duration = Duration::from_secs(10),
        /// How long an attempt may take as a whole, from the dial to the usable link; what comes
        /// first counts, this or the limit of a phase. The time that the application takes to log
        /// in is left out, and the attempt has all of this again after it. `off`: the limits of the
        /// phases add up. For systems that promise an answer to a login within so long.
        #[cfg_attr(feature = "serde", serde(with = "crate::base::duration_text::serde_impl::option"))]
        pub attempt_timeout / with_attempt_timeout: Option<Duration> = None,
        /// A link that was usable for this long is stable: failures are forgotten. An endpoint that
        /// closes sooner is left for the next one. Zero forgets at once: a server that accepts and
        /// closes is then dialled as often as the budget allows, and no other endpoint is tried.
        #[cfg_attr(feature = "serde", serde(with = "crate::base::duration_text::serde_impl"))]
        pub stable_after / with_stable_after: Duration = Duration::from_secs(5),
        /// On close, how long queued messages may take to go out: over the usable link, or over the
        /// next one where it is down or is lost. Nobody waits for an attempt that would begin later
        /// than that.
        #[cfg_attr(feature = "serde", serde(with = "crate::base::duration_text::serde_impl"))]
        pub flush_timeout / with_flush_timeout: Duration = Duration::from_secs(5),
        /// On close, how long to wait for the peer's close frame before the transport is dropped.
        #[cfg_attr(feature = "serde", serde(with = "crate::base::duration_text::serde_impl"))]
        pub close_timeout / with_close_timeout: Duration = Duration::from_secs(2),
        /// How `Retry-After` and going-away hints are applied.
        pub retry_after / with_retry_after: RetryAfter = RetryAfter::default(),
        /// Whether a failed first attempt is retried like any other.
        pub first_failure / with_first_failure: OnFirstFailure = OnFirstFailure::Retry,
        /// Whether the link may be connected again after its end.
        pub reopen / with_reopen: ReopenPolicy = ReopenPolicy::AfterGivingUp,
        /// What to do when the heartbeat declares the peer dead.
        pub when_dead / with_when_dead: OnDead = OnDead::Retry,
        /// What a usable link does when the system says that there is no network
        /// ([`Hint::Offline`](crate::link::Hint::Offline)).
        pub when_offline / with_when_offline: OnOffline = OnOffline::Check,
        /// Maximum number of redirects in one attempt; more count as a failed attempt.
        pub max_redirects / with_max_redirects: u8 = 5,
    }
}

config! {
    /// Which steps the application's handshake has, each with its deadline. `off` leaves the step
    /// out.
    ///
    /// | field | default |
    /// |---|---|
    /// | `welcome`, `challenge`, `authentication` | off |
    /// | `login` | false |
    /// | `login_timeout` | off |
    pub struct Handshake {
        /// How long to wait for the server's first word.
        #[cfg_attr(feature = "serde", serde(with = "crate::base::duration_text::serde_impl::option"))]
        pub welcome / with_welcome: Option<Duration> = None,
        /// How long to negotiate; may end in a redirect.
        #[cfg_attr(feature = "serde", serde(with = "crate::base::duration_text::serde_impl::option"))]
        pub challenge / with_challenge: Option<Duration> = None,
        /// Wait for the application to log in. Once it has, later attempts do not wait again.
        pub login / with_login: bool = false,
        /// How long to wait for the application's login. `off` waits for as long as it takes: a
        /// person may be typing.
        #[cfg_attr(feature = "serde", serde(with = "crate::base::duration_text::serde_impl::option"))]
        pub login_timeout / with_login_timeout: Option<Duration> = None,
        /// How long to wait for the server's answer to the login.
        #[cfg_attr(feature = "serde", serde(with = "crate::base::duration_text::serde_impl::option"))]
        pub authentication / with_authentication: Option<Duration> = None,
    }
}

config! {
    /// How a delay given by the server is treated: `Retry-After` on a refused handshake, a
    /// going-away hint.
    ///
    /// | field | default |
    /// |---|---|
    /// | `honour` | true |
    /// | `max` | 5 min |
    /// | `spread_pct` | 20 |
    pub struct RetryAfter {
        /// Whether it delays the next attempt at all; it is reported in any case.
        pub honour / with_honour: bool = true,
        /// No server can send a client away for longer than this.
        #[cfg_attr(feature = "serde", serde(with = "crate::base::duration_text::serde_impl"))]
        pub max / with_max: Duration = Duration::from_secs(300),
        /// Adds up to this percentage of random jitter, so that clients given the same delay do not
        /// reconnect in step. If that would exceed `max`, the delay is drawn from a stretch of the
        /// same width that ends there.
        pub spread_pct / with_spread_pct: u32 = 20,
    }
}

/// What a failure before the link was ever usable means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum OnFirstFailure {
    /// The same as any other: the backoff decides.
    #[default]
    Retry,
    /// The end, once every endpoint has had an attempt: the application wants to know at once.
    Stop,
}

/// Whether `connect` may start again from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum ReopenPolicy {
    /// Never: the end is final for the instance.
    Never,
    /// After a budget was used up, not after a deliberate close or a terminal close code.
    #[default]
    AfterGivingUp,
    /// From every end.
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
    /// The same as a link that was lost: the backoff decides.
    #[default]
    Retry,
    /// The end, as [`StopReason::HEARTBEAT_LOST`](crate::StopReason::HEARTBEAT_LOST): for systems
    /// that say so.
    Stop,
}

/// What a usable link does when the system says that there is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum OnOffline {
    /// It asks the peer, quickly: systems are wrong about this.
    #[default]
    Check,
    /// It lets go of the transport and goes on as after a loss.
    Disconnect,
}

impl LinkConfig {
    /// Checks every field of every piece.
    ///
    /// # Errors
    ///
    /// The first field that cannot work, by its path.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.backoff.validate()?;
        self.close_policy.validate()?;
        self.heartbeat.validate()?;
        self.credentials.validate()?;
        self.budget.validate()?;
        self.surface.validate()?;
        self.handshake.validate()?;
        positive("connect_timeout", self.connect_timeout)?;
        positive_or_off("attempt_timeout", self.attempt_timeout)?;
        within("stable_after", self.stable_after, Duration::ZERO, LONGEST)?;
        positive("flush_timeout", self.flush_timeout)?;
        positive("close_timeout", self.close_timeout)?;
        within("retry_after.max", self.retry_after.max, self.backoff.floor, LONGEST)?;
        within("retry_after.spread_pct", self.retry_after.spread_pct, 0, 1_000)
    }
}

impl Handshake {
    fn validate(&self) -> Result<(), ConfigError> {
        positive_or_off("handshake.welcome", self.welcome)?;
        positive_or_off("handshake.challenge", self.challenge)?;
        positive_or_off("handshake.login_timeout", self.login_timeout)?;
        positive_or_off("handshake.authentication", self.authentication)
    }
}
