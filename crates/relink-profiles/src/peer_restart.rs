//! Restarts of one peer's connection at growing delays: the layer above a link, one state machine
//! per peer.
//!
//! Peer-to-peer layers restart a connection through the signalling link, repeatedly, at growing
//! intervals. Two mistakes are common there. If a timer for the answer and a timer for the next
//! attempt both advance, the attempts are used up twice as fast; if the next delay waits for the
//! answer to an attempt, they take twice as long. Here one clock owns the delays: attempts are made
//! at fixed intervals, whatever their results.

use core::time::Duration;
use relink::Instant;
use relink::internal::{MILLISECOND, YEAR, config, secs};
use relink::policy::DelayTable;

config! {
    /// When a peer's connection is restarted.
    pub struct PeerRestartConfig at "peer_restart." {
        /// The delay before each attempt, counted from the attempt before it; the first one from
        /// the loss. Nine attempts over 121 s by default: a roam from one network to another takes
        /// seconds, a lift a minute.
        pub delays / with_delays: DelayTable =
            DelayTable::of_seconds([0, 1, 2, 4, 8, 16, 30, 30, 30]);
        /// How long the last attempt may take.
        pub last_attempt_timeout / with_last_attempt_timeout: Duration =
            secs(15), in MILLISECOND..=YEAR;
    }
}

/// What to do for the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RestartAction {
    /// Restart the connection. An earlier attempt that is still waiting is abandoned.
    Restart {
        /// The number of the attempt, from 1.
        attempt: u32,
    },
    /// No attempt succeeded. Notify the application; the peer stays lost until it is started again.
    GiveUp,
}

/// The restarts of one peer's connection. Each peer has its own, so that the others are not
/// affected.
///
/// * [`lost`](Self::lost) starts it; while it runs, further losses change nothing, except after the
///   last attempt.
/// * [`recovered`](Self::recovered) ends it, and the next loss starts over.
/// * [`stop`](Self::stop) ends it, too: the signalling link itself is down and restarts cannot get
///   through; which peers survive is known when it is back ([`Roster`](relink::session::Roster)).
///
/// ```
/// use core::time::Duration;
/// use relink::Instant;
/// use relink_profiles::{PeerRestart, PeerRestartConfig, RestartAction};
///
/// let at = |secs| Instant::from_origin(Duration::from_secs(secs));
/// let mut restart = PeerRestart::new(PeerRestartConfig::default());
/// restart.lost(at(100));
/// let mut restarts = Vec::new();
/// while let Some(now) = restart.poll_timeout() {
///     if let Some(RestartAction::Restart { .. }) = restart.handle_timeout(now) {
///         restarts.push((now - at(100)).as_secs()); // … and nobody ever answers
///     }
/// }
/// assert_eq!(restarts, [0, 1, 3, 7, 15, 31, 61, 91, 121]);
/// assert!(restart.has_given_up());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerRestart {
    config: PeerRestartConfig,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The connection is good, or was stopped.
    Idle,
    /// The attempts made so far; the next one, or the end, is due at `next`.
    Climbing {
        attempts: u32,
        next: Instant,
    },
    GaveUp,
}

impl PeerRestart {
    /// Creates the machine of a peer whose connection is good, or not made yet.
    #[must_use]
    pub const fn new(config: PeerRestartConfig) -> Self {
        Self { config, stage: Stage::Idle }
    }

    /// The peer's connection is lost, or an attempt to restart it failed.
    pub fn lost(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::Idle => {
                let next = now + self.config.delays.get(0).unwrap_or_default();
                self.stage = Stage::Climbing { attempts: 0, next };
            }
            Stage::Climbing { attempts, next } => {
                if self.config.delays.get(*attempts).is_none() {
                    *next = now.min(*next);
                }
            }
            Stage::GaveUp => {}
        }
    }

    /// The peer's connection is good.
    pub fn recovered(&mut self) {
        self.stage = Stage::Idle;
    }

    /// The signalling link is down, or the peer has left: no more restarts.
    pub fn stop(&mut self) {
        self.stage = Stage::Idle;
    }

    /// Whether this peer is reconnecting.
    #[must_use]
    pub const fn is_restarting(&self) -> bool {
        matches!(self.stage, Stage::Climbing { .. })
    }

    /// Whether no attempt succeeded.
    #[must_use]
    pub const fn has_given_up(&self) -> bool {
        matches!(self.stage, Stage::GaveUp)
    }

    /// The number of attempts made since the loss.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        match self.stage {
            Stage::Climbing { attempts, .. } => attempts,
            Stage::Idle | Stage::GaveUp => 0,
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Climbing { next, .. } => Some(next),
            Stage::Idle | Stage::GaveUp => None,
        }
    }

    /// Handles what is due at `now`. An early call does nothing. A late one, as after sleep, makes
    /// one attempt, and the delay of the next one counts from it.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Instant) -> Option<RestartAction> {
        let Stage::Climbing { attempts, next } = &mut self.stage else { return None };
        if now < *next {
            return None;
        }
        if self.config.delays.get(*attempts).is_none() {
            self.stage = Stage::GaveUp;
            return Some(RestartAction::GiveUp);
        }
        *attempts += 1;
        *next = now + self.config.delays.get(*attempts).unwrap_or(self.config.last_attempt_timeout);
        Some(RestartAction::Restart { attempt: *attempts })
    }
}

impl Default for PeerRestart {
    fn default() -> Self {
        Self::new(PeerRestartConfig::default())
    }
}
