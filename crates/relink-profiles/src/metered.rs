//! Metered: a fresh token for every attempt, a table of close codes, channels that are restored,
//! peers that keep their identity.
//!
//! From the best practices for reconnects of its realtime messaging. Above the link, one
//! [`PeerRestart`](crate::PeerRestart) for each peer restarts its connection, which the link does
//! not, and a [`Roster`](relink::session::Roster) compares the members before and after a
//! reconnect. [`Client`] is the client's half of its wire protocol.
//!
//! Not copied from the real SDK: jitter that takes delays beyond the cap, and below the floor of 30
//! s for 4010; a first connect that is never retried; a wait of 30 s for the answer to a close
//! frame, which a dead peer never sends.

mod client;
mod wire;

use alloc::boxed::Box;
use core::time::Duration;

use alloc::borrow::Cow;
use relink::link::{Handshake, Status};
use relink::policy::TokenPlacement;
use relink::policy::{
    BudgetConfig, CloseRule, Curve, GiveUpReason, HTTP_STATUSES, HeartbeatConfig, Jitter,
};
use relink::session::{OfflineSend, OutboxConfig};
use relink::{Backoff, ClosePolicy, ClosedReason, LinkConfig, SessionConfig, StopReason, Verdict};

use relink::profile::{Profile, StateLabel};

pub use client::Client;
pub use wire::{ClientFrame, DecodeError, Peer, ServerFrame};

/// As the best practices describe it.
pub static PROFILE: Profile = Profile {
    name: "metered",
    about: "Metered's realtime messaging: fresh tokens, a table of close codes, channels that come back",
    config,
    protocol: |_| Box::new(Client::default()),
    subprotocol: None,
    token: TokenPlacement::Query(Cow::Borrowed("token")),
    label: |view| StateLabel::new(state_name(view.state.status()), None),
    end: error_name,
};

/// Too many messages; only the SDK has it.
const TOO_FAST: Verdict = Verdict::RetrySlow { floor: Duration::from_secs(5) };
const CAP: Verdict = Verdict::RetrySlow { floor: Duration::from_secs(30) };

/// The document's close codes: those that are not terminal are retried.
static CLOSE_CODES: [CloseRule; 8] = [
    CloseRule::new(
        4001,
        Verdict::Stop(StopReason::INVALID_TOKEN),
        "signature, key or format of the token are wrong",
    ),
    CloseRule::new(4002, Verdict::RefreshToken, "the token expired; the next one is fresh"),
    CloseRule::new(
        4003,
        Verdict::Stop(StopReason::CHANNEL_NOT_AUTHORIZED),
        "the channel is not in the token",
    ),
    CloseRule::new(4010, CAP, "too many connections: 30 s at least under every delay"),
    CloseRule::new(4011, TOO_FAST, "too many messages: not at once"),
    CloseRule::new(4012, Verdict::Stop(StopReason::ACCOUNT_SUSPENDED), "the account is suspended"),
    CloseRule::new(
        4020,
        Verdict::Stop(StopReason::ADMIN_DISCONNECT),
        "an administrator decided it",
    ),
    CloseRule::range(
        0,
        u16::MAX,
        Verdict::Retry,
        "going away, abnormal, and all others: the normal curve",
    ),
];

/// The configuration by the document. A going-away hint is reported but not honored, as in the
/// SDK; opt in with `config.link.retry_after.honor`. `send` is refused while the link is down;
/// `config.outbox.while_down` queues.
#[must_use]
pub fn config() -> SessionConfig {
    let backoff = Backoff::default()
        .with_first(None)
        .with_curve(Curve::Exponential { initial: Duration::from_millis(500), factor_pct: 200 })
        .with_jitter(Jitter::Spread { pct: 20 })
        .with_cap(Duration::from_secs(30));
    // The watchdog decides; pings keep a good link from being silent for that long.
    let heartbeat = HeartbeatConfig::default()
        .with_interval(Some(Duration::from_secs(20)))
        .with_timeout(Duration::from_secs(60))
        .with_watchdog(Some(Duration::from_secs(60)));
    let link = LinkConfig::default();
    let link = link
        .with_backoff(backoff)
        .with_heartbeat(heartbeat)
        .with_budget(BudgetConfig::default().with_max_attempts(Some(100)))
        .with_handshake(Handshake::default().with_welcome(Some(Duration::from_secs(10))))
        .with_attempt_timeout(Some(Duration::from_secs(10)))
        .with_close_policy(ClosePolicy::new(&CLOSE_CODES, &HTTP_STATUSES))
        .with_retry_after(link.retry_after.with_honor(false));
    SessionConfig::default()
        .with_link(link)
        .with_outbox(OutboxConfig::default().with_while_down(OfflineSend::Refuse))
}

/// The SDK's name for a state.
#[must_use]
pub const fn state_name(status: Status) -> &'static str {
    match status {
        Status::Idle => "idle",
        Status::Connecting => "connecting",
        Status::Connected => "connected",
        Status::Reconnecting => "reconnecting",
        Status::Closing | Status::Closed => "closed",
    }
}

/// The document's name for the reason of an end. The SDK's `TokenProviderError` is not an end: it
/// is [`Event::TokenError`](relink::Event::TokenError).
#[must_use]
pub const fn error_name(reason: ClosedReason) -> &'static str {
    match reason {
        ClosedReason::GaveUp(GiveUpReason::TokenRefused) => "token_expired",
        ClosedReason::GaveUp(
            GiveUpReason::Attempts
            | GiveUpReason::Elapsed
            | GiveUpReason::CircuitOpen
            | GiveUpReason::FirstAttempt,
        )
        | ClosedReason::Requested
        | ClosedReason::DriverGone
        | ClosedReason::Stopped { .. } => reason.name(),
    }
}

/// The document's name for a provider that keeps failing.
pub const TOKEN_PROVIDER_ERROR: &str = "TokenProviderError";
