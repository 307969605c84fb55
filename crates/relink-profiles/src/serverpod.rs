//! Serverpod: a table of five delays, then an end that is shown to the user.
//!
//! From a lesson on reconnection with Serverpod, whose client keeps unsent messages and requests
//! missed ones. The lesson leaves the wire protocol of both to the reader; here it is `relink.v1`,
//! which resumes.
//!
//! Not copied from the real client: its handler for streaming connections retries every second,
//! without a limit, and sends nothing that waited.

use alloc::boxed::Box;
use core::time::Duration;

use relink::link::OnOffline;
use relink::policy::TokenPlacement;
use relink::policy::{BudgetConfig, Curve, DelayTable, Jitter};
use relink::profile::{Profile, StateLabel};
use relink::{Backoff, ClosedReason, LinkConfig, Phase, SessionConfig, State};

/// As the lesson describes it.
pub static PROFILE: Profile = Profile {
    name: "serverpod",
    about: "Serverpod's lesson on reconnection: five delays from a table, then it tells the person",
    config,
    protocol: |_| Box::new(relink_v1::RelinkV1::default()),
    subprotocol: Some(relink_v1::SUBPROTOCOL),
    token: TokenPlacement::Protocol,
    label: |view| StateLabel::new(Status::of(view.state).name(), None),
    end: ClosedReason::name,
};

/// The configuration by the lesson. Failures are forgotten on the first success: a server that
/// accepts and closes at once is dialed every second.
#[must_use]
pub fn config() -> SessionConfig {
    let backoff = Backoff::default()
        .with_first(None)
        .with_curve(Curve::Table(DelayTable::of_seconds([1, 2, 4, 8, 16])))
        .with_jitter(Jitter::None);
    let link = LinkConfig::default()
        .with_backoff(backoff)
        .with_budget(BudgetConfig::default().with_max_attempts(Some(5)))
        .with_stable_after(Duration::ZERO);
    relink_v1::adapt(SessionConfig::default().with_link(link))
}

/// The same with `disconnectOnLostInternetConnection`: false keeps the link while the system
/// reports that there is no network, true drops it.
#[must_use]
pub fn config_with(disconnect_on_lost_internet: bool) -> SessionConfig {
    let mut config = config();
    config.link.when_offline =
        if disconnect_on_lost_internet { OnOffline::Disconnect } else { OnOffline::Check };
    config
}

/// The states that Serverpod shows a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "Serverpod has four")]
pub enum Status {
    /// Not connected, and not trying.
    Disconnected,
    /// An attempt is under way.
    Connecting,
    /// Usable.
    Connected,
    /// Waiting for the next attempt.
    WaitingToRetry,
}

impl Status {
    /// Serverpod's name for this state.
    #[must_use]
    pub const fn of(state: State) -> Self {
        match state {
            State::Idle | State::Closing | State::Closed(_) => Self::Disconnected,
            State::Connecting(Phase::Waiting) | State::Reconnecting(Phase::Waiting) => {
                Self::WaitingToRetry
            }
            State::Connecting(Phase::Authorizing | Phase::Dialing | Phase::Handshaking(_))
            | State::Reconnecting(Phase::Authorizing | Phase::Dialing | Phase::Handshaking(_)) => {
                Self::Connecting
            }
            State::Connected => Self::Connected,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::WaitingToRetry => "waitingToRetry",
        }
    }
}
