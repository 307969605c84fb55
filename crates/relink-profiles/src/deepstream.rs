//! deepstream: linear delays from zero, a login by the application, a negotiation that may
//! redirect.
//!
//! [`PROFILE`] follows deepstream's page on client connectivity. [`PROFILE_7`] follows version 7 of
//! its JavaScript client, as far as that differs and can be configured:
//!
//! | | the page, [`PROFILE`] | version 7, [`PROFILE_7`] |
//! |---|---|---|
//! | delays | 0, 2, 4 … s | 0, 4, 8 … s |
//! | attempts used up | ERROR | CLOSED |
//! | heartbeat lost twice | ERROR, for good | RECONNECTING |
//! | before the server's first word | AWAITING_CONNECTION | CHALLENGING |
//! | first state | CLOSED | INITIALISING |
//!
//! Neither profile copies these: version 7 forgets failures as soon as a socket is open, so that
//! later failures never back off; follows redirects without a limit; waits for an answer without a
//! limit; and drops messages sent while the link is down.

mod client;
mod wire;

use alloc::boxed::Box;
use core::time::Duration;

use relink::link::{Handshake, Indicator, OnDead, ReopenPolicy, Step};
use relink::policy::TokenPlacement;
use relink::policy::{BudgetConfig, CloseRule, Curve, HTTP_STATUSES, HeartbeatConfig, Jitter};
use relink::profile::{Profile, StateLabel, StateView};
use relink::{
    Backoff, ClosePolicy, ClosedReason, LinkConfig, Phase, Reason, SessionConfig, State,
    StopReason, Verdict,
};

pub use client::Deepstream;
pub(crate) use client::wrapped;
pub use wire::{Encoding, Packet};

/// As deepstream's page on connectivity describes it.
pub static PROFILE: Profile = Profile {
    name: "deepstream",
    about: "deepstream, as its documentation has it: a login, linear delays, redirects",
    config,
    protocol: |address| Box::new(Deepstream::for_address(address)),
    subprotocol: None,
    token: TokenPlacement::Protocol,
    label: |view| StateLabel::new(ConnectionState::of(view.state).name(), None),
    end: ClosedReason::name,
};

/// As version 7 of deepstream's client behaves.
pub static PROFILE_7: Profile = Profile {
    name: "deepstream_7",
    about: "deepstream, as version 7 of its client does",
    config: config_7,
    protocol: |address| Box::new(Deepstream::for_address(address)),
    subprotocol: None,
    token: TokenPlacement::Protocol,
    label: label_7,
    end: ClosedReason::name,
};

/// The server refused the negotiation.
pub const CHALLENGE_DENIED: StopReason = StopReason::custom(&(
    "challenge_denied",
    "The server refuses this address; check where you connect to.",
));
/// Too many logins failed on one connection.
pub const TOO_MANY_AUTH_ATTEMPTS: StopReason = StopReason::custom(&(
    "too_many_auth_attempts",
    "The server refused the login several times; check it before you log in again.",
));
/// The client did not log in before the server's timeout.
pub const AUTHENTICATION_TIMEOUT: StopReason = StopReason::custom(&(
    "authentication_timeout",
    "The server waited too long for a login; connect again.",
));

/// deepstream's servers close without a code, and its clients ignore codes.
static CLOSE_CODES: [CloseRule; 1] =
    [CloseRule::range(0, u16::MAX, Verdict::Retry, "deepstream knows no close codes")];

/// The configuration by the page. The limit for each step of the handshake, which the page does not
/// give, is relink's choice.
#[must_use]
pub fn config() -> SessionConfig {
    let step = Some(Duration::from_secs(10));
    let handshake = Handshake::default()
        .with_welcome(step)
        .with_challenge(step)
        .with_login(true)
        .with_authentication(step);
    let heartbeat = HeartbeatConfig::default()
        .with_interval(Some(Duration::from_secs(30)))
        .with_timeout(Duration::from_secs(30))
        .with_missed(2);
    let link = LinkConfig::default()
        .with_backoff(backoff(Duration::from_secs(2), Duration::from_secs(180)))
        .with_budget(BudgetConfig::default().with_max_attempts(Some(5)))
        .with_heartbeat(heartbeat)
        .with_when_dead(OnDead::Stop)
        .with_handshake(handshake)
        .with_close_policy(ClosePolicy::new(&CLOSE_CODES, &HTTP_STATUSES))
        .with_reopen(ReopenPolicy::Never);
    SessionConfig::default().with_link(link)
}

/// `reconnectIntervalIncrement` and `maxReconnectInterval`: the first attempt after a loss starts
/// at once, each further delay is longer by the increment, up to the interval.
#[must_use]
pub fn backoff(increment: Duration, max_interval: Duration) -> Backoff {
    Backoff::default()
        .with_first(Some(Duration::ZERO))
        .with_curve(Curve::Linear { initial: increment, step: increment })
        .with_jitter(Jitter::None)
        .with_cap(max_interval)
}

/// The configuration of version 7.
#[must_use]
pub fn config_7() -> SessionConfig {
    let mut config = config();
    config.link.backoff = backoff(Duration::from_secs(4), Duration::from_secs(180));
    config.link.when_dead = OnDead::Retry;
    config.link.handshake.welcome = None;
    config
}

/// The states of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the page has eight")]
pub enum ConnectionState {
    /// Not started, or closed on purpose.
    Closed,
    /// Waiting for the server's first message.
    AwaitingConnection,
    /// Negotiating; may end in a redirect.
    Challenging,
    /// Waiting for the application to log in.
    AwaitingAuthentication,
    /// Waiting for the answer to the login.
    Authenticating,
    /// Usable.
    Open,
    /// Lost, and trying again.
    Reconnecting,
    /// Failed for good.
    Error,
}

impl ConnectionState {
    /// The page's name for this state.
    #[must_use]
    pub const fn of(state: State) -> Self {
        match state {
            State::Idle | State::Closing | State::Closed(ClosedReason::Requested) => Self::Closed,
            State::Connecting(Phase::Handshaking(step))
            | State::Reconnecting(Phase::Handshaking(step)) => match step {
                Step::Welcome => Self::AwaitingConnection,
                Step::Challenge => Self::Challenging,
                Step::Login => Self::AwaitingAuthentication,
                Step::Authenticating => Self::Authenticating,
            },
            State::Connecting(Phase::Waiting | Phase::Authorizing | Phase::Dialing) => {
                Self::AwaitingConnection
            }
            State::Reconnecting(Phase::Waiting | Phase::Authorizing | Phase::Dialing) => {
                Self::Reconnecting
            }
            State::Connected => Self::Open,
            State::Closed(
                ClosedReason::Stopped { .. } | ClosedReason::GaveUp(_) | ClosedReason::DriverGone,
            ) => Self::Error,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::AwaitingConnection => "AWAITING_CONNECTION",
            Self::Challenging => "CHALLENGING",
            Self::AwaitingAuthentication => "AWAITING_AUTHENTICATION",
            Self::Authenticating => "AUTHENTICATING",
            Self::Open => "OPEN",
            Self::Reconnecting => "RECONNECTING",
            Self::Error => "ERROR",
        }
    }

    /// The color of the page's indicator.
    #[must_use]
    pub const fn indicator(self) -> Indicator {
        match self {
            Self::Open => Indicator::Good,
            Self::Closed | Self::Error => Indicator::Bad,
            Self::AwaitingConnection
            | Self::Challenging
            | Self::AwaitingAuthentication
            | Self::Authenticating
            | Self::Reconnecting => Indicator::Neutral,
        }
    }
}

/// Version 7 has other names for the first and last states, and one for a redirect.
fn label_7(view: &StateView) -> StateLabel {
    let name = match view.state {
        State::Idle => "INITIALISING",
        State::Closing => "CLOSING",
        State::Connecting(Phase::Dialing) | State::Reconnecting(Phase::Dialing)
            if view.reason == Reason::Redirected =>
        {
            "REDIRECTING"
        }
        State::Connecting(Phase::Waiting | Phase::Authorizing | Phase::Dialing) => "INITIALISING",
        State::Closed(ClosedReason::Stopped { reason, .. }) if reason == CHALLENGE_DENIED => {
            "CHALLENGE_DENIED"
        }
        State::Closed(ClosedReason::Stopped { reason, .. }) if reason == TOO_MANY_AUTH_ATTEMPTS => {
            "TOO_MANY_AUTH_ATTEMPTS"
        }
        State::Closed(ClosedReason::Stopped { reason, .. }) if reason == AUTHENTICATION_TIMEOUT => {
            "AUTHENTICATION_TIMEOUT"
        }
        State::Closed(_) => "CLOSED",
        State::Connecting(Phase::Handshaking(_)) | State::Reconnecting(_) | State::Connected => {
            ConnectionState::of(view.state).name()
        }
    };
    StateLabel::new(name, None)
}
