//! Agora RTM: a login that is answered within 6 s or fails, a loss that stays hidden for 4 s,
//! unlimited retries, and one connection for each user.
//!
//! From the page on connection states of its SDK for the web, version 1. `login` is relink's
//! `connect`, `logout` its `close`. The page does not describe the wire protocol; here it is
//! `relink.v1`, which has channels, members and presence texts. Nor does it give delays: they are
//! those of version 1.2.2 of the SDK, linear by 1.5 s, with a cap and jitter.
//!
//! Not copied from the real SDK: limits of 8 and 12 s for the login; no grace, but a link that is
//! declared dead after 4.5 to 9 s; banned users, which the page does not mention; and a state
//! ABORTED that needs a `logout` before the next `login`. Here `login` is enough.

use alloc::boxed::Box;
use core::time::Duration;

use relink::link::{OnFirstFailure, ReopenPolicy, Status, Timer};
use relink::policy::TokenPlacement;
use relink::policy::{Curve, Jitter};
use relink::profile::{Profile, StateLabel, StateView};
use relink::{
    Backoff, CloseCode, ClosedReason, LinkConfig, Reason, SessionConfig, State, StopReason, Verdict,
};

/// As the page describes it.
pub static PROFILE: Profile = Profile {
    name: "agora_rtm",
    about: "Agora RTM: a login within 6 s, 4 s of grace, one place for each user",
    config,
    protocol: |_| Box::new(relink_v1::RelinkV1::default()),
    subprotocol: Some(relink_v1::SUBPROTOCOL),
    token: TokenPlacement::Protocol,
    label: |view| {
        StateLabel::new(
            ConnectionState::of(view).name(),
            ChangeReason::of(view).map(ChangeReason::name),
        )
    },
    end: ClosedReason::name,
};

/// The same user logged in elsewhere. The server closes with 4009.
pub const REMOTE_LOGIN: StopReason = StopReason::custom(&(
    "remote_login",
    "The same user has logged in elsewhere; log out there, then log in here again.",
));

/// The configuration by the page. It needs a token provider: then a token that expires during a
/// reconnect is reported at once and replaced, as often as needed.
#[must_use]
pub fn config() -> SessionConfig {
    let login = Duration::from_secs(6);
    let backoff = Backoff::default()
        .with_first(Some(Duration::ZERO))
        .with_curve(Curve::Linear {
            initial: Duration::from_millis(1_500),
            step: Duration::from_millis(1_500),
        })
        .with_jitter(Jitter::Equal);
    let link = LinkConfig::default();
    let link = link
        .with_backoff(backoff)
        .with_connect_timeout(login)
        .with_attempt_timeout(Some(login))
        .with_first_failure(OnFirstFailure::Stop)
        .with_reopen(ReopenPolicy::Always)
        .with_surface(link.surface.with_grace(Some(Duration::from_secs(4))))
        .with_credentials(link.credentials.with_report_after(1).with_max_refusals(None));
    let mut config = relink_v1::adapt(SessionConfig::default().with_link(link));
    config.link.handshake.authentication = Some(login);
    let elsewhere = CloseCode::REPLACED.0;
    // The default policy has room for one more edit.
    let _ = config.link.close_policy.set_close(elsewhere..=elsewhere, Verdict::Stop(REMOTE_LOGIN));
    config
}

/// The states of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the page has five")]
pub enum ConnectionState {
    /// Not logged in.
    Disconnected,
    /// Logging in.
    Connecting,
    /// Logged in; a loss may be less than 4 s old.
    Connected,
    /// Lost for longer.
    Reconnecting,
    /// Disconnected for good.
    Aborted,
}

impl ConnectionState {
    /// The page's name. It is derived from the shown status, so that the grace hides a short loss.
    #[must_use]
    pub fn of(view: &StateView) -> Self {
        match view.shown {
            Status::Idle | Status::Closing => Self::Disconnected,
            Status::Connecting => Self::Connecting,
            Status::Connected => Self::Connected,
            Status::Reconnecting => Self::Reconnecting,
            Status::Closed => match view.state {
                State::Closed(ClosedReason::Stopped { .. }) if was_logged_in(view.from) => {
                    Self::Aborted
                }
                // A new login.
                State::Connecting(_) => Self::Connecting,
                State::Closed(_)
                | State::Idle
                | State::Connected
                | State::Reconnecting(_)
                | State::Closing => Self::Disconnected,
            },
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "DISCONNECTED",
            Self::Connecting => "CONNECTING",
            Self::Connected => "CONNECTED",
            Self::Reconnecting => "RECONNECTING",
            Self::Aborted => "ABORTED",
        }
    }
}

/// The reasons of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the page has seven")]
pub enum ChangeReason {
    /// The application logs in.
    Login,
    /// The login was accepted; after a loss, too.
    LoginSuccess,
    /// The login was refused, or could not be sent.
    LoginFailure,
    /// The login was not answered in time.
    LoginTimeout,
    /// The link was lost.
    Interrupted,
    /// The same user logged in elsewhere.
    RemoteLogin,
    /// The application logged out.
    Logout,
}

impl ChangeReason {
    /// The page's reason for the current state; `None` before the first login.
    #[must_use]
    pub fn of(view: &StateView) -> Option<Self> {
        Some(match (ConnectionState::of(view), view.state) {
            (ConnectionState::Connecting, _) => Self::Login,
            (ConnectionState::Connected, _) => Self::LoginSuccess,
            (ConnectionState::Reconnecting, _) => Self::Interrupted,
            (ConnectionState::Aborted, State::Closed(ClosedReason::Stopped { reason, .. }))
                if reason == REMOTE_LOGIN =>
            {
                Self::RemoteLogin
            }
            (ConnectionState::Aborted, _) => Self::Interrupted,
            (
                ConnectionState::Disconnected,
                State::Closed(ClosedReason::Requested) | State::Closing,
            ) => Self::Logout,
            (ConnectionState::Disconnected, State::Closed(_)) if is_timeout(view.reason) => {
                Self::LoginTimeout
            }
            (ConnectionState::Disconnected, State::Closed(_)) => Self::LoginFailure,
            (
                ConnectionState::Disconnected,
                State::Idle | State::Connecting(_) | State::Connected | State::Reconnecting(_),
            ) => return None,
        })
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "LOGIN",
            Self::LoginSuccess => "LOGIN_SUCCESS",
            Self::LoginFailure => "LOGIN_FAILURE",
            Self::LoginTimeout => "LOGIN_TIMEOUT",
            Self::Interrupted => "INTERRUPTED",
            Self::RemoteLogin => "REMOTE_LOGIN",
            Self::Logout => "LOGOUT",
        }
    }
}

const fn was_logged_in(from: State) -> bool {
    matches!(from, State::Connected | State::Reconnecting(_))
}

const fn is_timeout(reason: Reason) -> bool {
    matches!(reason, Reason::TimedOut(Timer::Dial | Timer::Step(_) | Timer::Token))
}
