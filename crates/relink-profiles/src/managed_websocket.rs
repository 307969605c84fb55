//! `ManagedWebSocket` and `WebSocketConnectionManager`: a client with six states and its own
//! heartbeats, and the server that answers them.
//!
//! The class contradicts the text around it: in the listing 1000 and 1001 are final, in the text
//! the client reconnects at once. [`PROFILE`] follows the listing, [`PROFILE_PROSE`] the text, with
//! its circuit breaker. The listing gives only the server's numbers; those of the client are chosen
//! to fit them.
//!
//! Not copied: the listing's heartbeat clock, which is not restarted for a new connection, so that
//! after a long outage every link is killed; its wait for the answer to a close frame, which a dead
//! peer never sends; and its missing limit on connecting.

mod client;

use alloc::boxed::Box;
use core::time::Duration;

use relink::link::ReopenPolicy;
use relink::policy::TokenPlacement;
use relink::policy::{
    Breaker, BudgetConfig, CloseRule, Curve, HTTP_STATUSES, HeartbeatConfig, Jitter,
};
use relink::profile::{Profile, StateLabel};
use relink::session::{OfflineSend, OutboxConfig};
use relink::{
    Backoff, ClosePolicy, ClosedReason, LinkConfig, SessionConfig, State, StopReason, Verdict,
};

pub use client::{ManagedWebSocket, Word};

/// As in the listing.
pub static PROFILE: Profile = Profile {
    name: "managed_websocket",
    about: "ManagedWebSocket, as its listing does: 1000 and 1001 are the end",
    config,
    protocol: |_| Box::new(ManagedWebSocket::default()),
    subprotocol: None,
    token: TokenPlacement::Bearer,
    label: |view| StateLabel::new(ConnectionState::of(view.state).name(), None),
    end: ClosedReason::name,
};

/// As in the text around the listing.
pub static PROFILE_PROSE: Profile = Profile {
    name: "managed_websocket_prose",
    about: "ManagedWebSocket, by the text around it: 1000 and 1001 come back quickly",
    config: config_prose,
    protocol: PROFILE.protocol,
    subprotocol: None,
    token: TokenPlacement::Bearer,
    label: PROFILE.label,
    end: PROFILE.end,
};

/// The server goes away, which is final in the listing.
pub const GOING_AWAY: StopReason =
    StopReason::custom(&("going_away", "The server went away; connect again when it is back."));

/// The listing's close codes.
static LISTING: [CloseRule; 5] = [
    CloseRule::new(1000, Verdict::Stop(StopReason::NORMAL_CLOSURE), "a normal closure"),
    CloseRule::new(1001, Verdict::Stop(GOING_AWAY), "going away counts as a normal closure"),
    CloseRule::new(
        1003,
        Verdict::Stop(StopReason::UNSUPPORTED_DATA),
        "unsupported data fails for good",
    ),
    CloseRule::new(
        1008,
        Verdict::Stop(StopReason::POLICY_VIOLATION),
        "a policy violation fails for good",
    ),
    CloseRule::range(0, u16::MAX, Verdict::Retry, "any other closure is unexpected"),
];

/// The text's close codes.
static PROSE: [CloseRule; 4] = [
    CloseRule::range(
        1000,
        1001,
        Verdict::RetryNow,
        "the server moves: reconnect with minimal backoff",
    ),
    CloseRule::new(1003, Verdict::Stop(StopReason::UNSUPPORTED_DATA), "as in the listing"),
    CloseRule::new(
        1008,
        Verdict::Stop(StopReason::POLICY_VIOLATION),
        "credentials or rights are wrong: never",
    ),
    CloseRule::range(0, u16::MAX, Verdict::Retry, "network trouble: exponential, with jitter"),
];

/// The configuration by the listing. Its delay is the base, doubled up to 30 s, plus up to 30 %
/// jitter.
#[must_use]
pub fn config() -> SessionConfig {
    let backoff = Backoff::default()
        .with_first(None)
        .with_curve(Curve::Exponential { initial: Duration::from_secs(1), factor_pct: 200 })
        .with_jitter(Jitter::Additive { pct: 30 })
        .with_curve_cap(Some(Duration::from_secs(30)))
        .with_cap(Duration::from_secs(39));
    let heartbeat = HeartbeatConfig::default()
        .with_interval(Some(Duration::from_secs(15)))
        .with_timeout(Duration::from_secs(5));
    let link = LinkConfig::default()
        .with_backoff(backoff)
        .with_heartbeat(heartbeat)
        .with_budget(BudgetConfig::default().with_max_attempts(Some(10)))
        .with_close_policy(ClosePolicy::new(&LISTING, &HTTP_STATUSES))
        .with_reopen(ReopenPolicy::Always)
        // A close drops the queue, except what can be sent at once.
        .with_flush_timeout(Duration::from_millis(1));
    let outbox =
        OutboxConfig::default().with_max_messages(100).with_while_down(OfflineSend::QueueAfterLoss);
    SessionConfig::default().with_link(link).with_outbox(outbox)
}

/// The configuration by the text: other close codes, and a circuit breaker.
#[must_use]
pub fn config_prose() -> SessionConfig {
    let mut config = config();
    config.link.close_policy = ClosePolicy::new(&PROSE, &HTTP_STATUSES);
    config.link.budget.breaker =
        Some(Breaker { failures: 5, window: Duration::from_secs(60), cooldown: None });
    config
}

/// The states of the listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the listing has six")]
pub enum ConnectionState {
    /// On the way to the first usable link. (The listing has this state at each attempt, and
    /// accepts no messages in it.)
    Connecting,
    /// Usable.
    Connected,
    /// On the way back.
    Reconnecting,
    /// Not started.
    Disconnected,
    /// Failed for good, or given up.
    Failed,
    /// Closed by one side or the other.
    Closed,
}

impl ConnectionState {
    /// The listing's name for this state.
    #[must_use]
    pub fn of(state: State) -> Self {
        match state {
            State::Idle => Self::Disconnected,
            State::Connecting(_) => Self::Connecting,
            State::Connected => Self::Connected,
            State::Reconnecting(_) => Self::Reconnecting,
            State::Closing | State::Closed(ClosedReason::Requested) => Self::Closed,
            State::Closed(ClosedReason::Stopped { reason, .. })
                if reason == StopReason::NORMAL_CLOSURE || reason == GOING_AWAY =>
            {
                Self::Closed
            }
            State::Closed(
                ClosedReason::Stopped { .. } | ClosedReason::GaveUp(_) | ClosedReason::DriverGone,
            ) => Self::Failed,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "CONNECTING",
            Self::Connected => "CONNECTED",
            Self::Reconnecting => "RECONNECTING",
            Self::Disconnected => "DISCONNECTED",
            Self::Failed => "FAILED",
            Self::Closed => "CLOSED",
        }
    }

    /// Whether the listing accepts a message in this state.
    #[must_use]
    pub const fn takes_messages(self) -> bool {
        matches!(self, Self::Connected | Self::Reconnecting)
    }
}
