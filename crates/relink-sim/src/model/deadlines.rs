//! When a link must do something next, by its state.

use std::time::Duration;

use relink::link::Step;
use relink::{Instant, Phase, State};

use super::rules::{Checked, ensure};
use super::{Model, Snapshot};

impl Model {
    /// The deadline of a state is there, and within what the state may take; at the end nothing is
    /// left.
    pub(super) fn check_deadline(&self, now: Instant, after: &Snapshot) -> Checked {
        if is_near_the_end(now) {
            return Ok(());
        }
        let config = &self.config;
        let steps = config.handshake;
        let limit = match after.state {
            State::Idle | State::Closed(_) => {
                return ensure(after.deadline.is_none(), "nothing is left after the end", || {
                    format!("{after:?}")
                });
            }
            State::Connecting(phase) | State::Reconnecting(phase) => match phase {
                Phase::Waiting => Some(Duration::MAX),
                Phase::Authorizing => Some(config.credentials.timeout),
                Phase::Dialing => Some(config.connect_timeout),
                Phase::Handshaking(Step::Welcome) => steps.welcome,
                Phase::Handshaking(Step::Challenge) => steps.challenge,
                Phase::Handshaking(Step::Login) => steps.login_timeout,
                Phase::Handshaking(Step::Authenticating) => steps.authentication,
            },
            State::Connected => config
                .heartbeat
                .interval
                .map(|interval| interval.max(config.heartbeat.timeout).max(config.heartbeat.probe)),
            State::Closing if after.flushing => Some(config.flush_timeout),
            State::Closing => Some(config.close_timeout),
        };
        let in_time = |limit| after.deadline.is_some_and(|(at, _)| at <= now + limit);
        let until = self.leaving.unwrap_or(Instant::END);
        let ends = self.leaving.is_none() || after.deadline.is_some_and(|(at, _)| at <= until);
        ensure(ends, "a close has its deadline", || format!("{after:?}, closing until {until:?}"))?;
        ensure(limit.is_none_or(in_time), "each phase has its deadline", || {
            format!("{after:?} at {now:?}")
        })
    }
}

/// Where time ends, sums saturate, and nothing can be said of what lies between two moments.
pub(super) fn is_near_the_end(now: Instant) -> bool {
    let far = Duration::from_secs(800 * 24 * 3600);
    (now + far) - now < far
}
