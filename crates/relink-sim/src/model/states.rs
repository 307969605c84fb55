//! Which state may follow which.

use relink::link::OnFirstFailure;
use relink::policy::GiveUpReason;
use relink::{ClosedReason, Phase, State};

use super::Model;

impl Model {
    /// Whether the state may follow the present one.
    pub(super) fn is_legal(&mut self, to: State) -> bool {
        if self.state.is_closed() || self.state == State::Idle {
            (self.again, self.ended, self.stable_at, self.attempt) = (false, None, None, 0);
            self.told_to_wait = None;
            self.answers.started();
            return self.is_attempt(to)
                || self.is_waiting(to)
                || matches!(to, State::Closed(ClosedReason::Requested | ClosedReason::DriverGone));
        }
        let phase = match to {
            State::Connecting(phase) if !self.again => phase,
            State::Reconnecting(phase) if self.again => phase,
            State::Connected => return self.phase().is_some_and(|phase| phase != Phase::Waiting),
            State::Closing => return self.state == State::Connected,
            State::Closed(_) => return true,
            State::Idle | State::Connecting(_) | State::Reconnecting(_) => return false,
        };
        match (self.phase(), phase) {
            (None, phase) => {
                let is_up = self.state == State::Connected || self.leaving.is_some();
                is_up && phase == Phase::Waiting
            }
            (Some(Phase::Waiting), next) => matches!(next, Phase::Authorizing | Phase::Dialing),
            (Some(Phase::Handshaking(step)), Phase::Handshaking(next)) => next > step,
            (Some(Phase::Dialing), Phase::Handshaking(_)) => true,
            (Some(Phase::Authorizing | Phase::Handshaking(_)), Phase::Dialing) => true,
            (Some(_), next) => next == Phase::Waiting,
        }
    }

    /// Whether an attempt needs something before it dials.
    pub(super) const fn fetches(&self) -> bool {
        self.config.credentials.fetch || self.config.credentials.address
    }

    pub(super) fn is_dialing(&self, state: State) -> bool {
        matches!(state, State::Connecting(Phase::Dialing) | State::Reconnecting(Phase::Dialing))
    }

    pub(super) fn is_attempt(&self, state: State) -> bool {
        let first = if self.fetches() { Phase::Authorizing } else { Phase::Dialing };
        self.is_dialing(state)
            || state == State::Connecting(first)
            || state == State::Reconnecting(first)
    }

    pub(super) fn is_waiting(&self, state: State) -> bool {
        matches!(state, State::Connecting(Phase::Waiting) | State::Reconnecting(Phase::Waiting))
    }

    /// Whether a failure may lead there: to a wait, to the next attempt if the wait is zero, or to
    /// an end.
    pub(super) fn is_failure(&self, state: State) -> bool {
        let [_, stop] = self.stop;
        let goes_on = stop.is_none() || self.answers.is_unsure();
        match state {
            State::Closed(ClosedReason::Stopped { reason, .. }) => stop == Some(reason),
            State::Closed(ClosedReason::GaveUp(budget)) => goes_on && self.may_give_up(budget),
            State::Connecting(phase) | State::Reconnecting(phase) => {
                goes_on && (phase == Phase::Waiting || self.is_attempt(state))
            }
            State::Idle | State::Connected | State::Closing | State::Closed(_) => false,
        }
    }

    /// The same for a link that is closed and has messages left: whatever would end it, it was
    /// asked to; and it may come back from there.
    pub(super) fn is_last_failure(&self, state: State) -> bool {
        let [_, stop] = self.stop;
        let goes_on = stop.is_none() || self.answers.is_unsure() || self.comes_back;
        state == State::Closed(ClosedReason::Requested)
            || (goes_on && (self.is_waiting(state) || self.is_attempt(state)))
    }

    pub(super) fn may_give_up(&self, because: GiveUpReason) -> bool {
        let budget = self.config.budget;
        match because {
            GiveUpReason::Attempts => budget.max_attempts.is_some(),
            GiveUpReason::Elapsed => budget.max_elapsed.is_some(),
            GiveUpReason::CircuitOpen => {
                budget.breaker.is_some_and(|breaker| breaker.cooldown.is_none())
            }
            GiveUpReason::TokenRefused => self.config.credentials.max_refusals.is_some(),
            GiveUpReason::FirstAttempt => {
                !self.again && self.config.first_failure == OnFirstFailure::Stop
            }
        }
    }
}
