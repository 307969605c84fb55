//! What a failure leads to: the end, or a wait, and of what length. Decided here, carried out in `transitions`.

use core::time::Duration;

use rand_core::Rng;

use super::failure::Failure;
use super::stage::Stage;
use super::state::ClosedReason;
use super::{FirstFailure, Link, Reopen};
use crate::backoff::{Window, percent};
use crate::budget::GaveUp;
use crate::code::CloseCode;
use crate::policy::{StopReason, Verdict};
use crate::time::Instant;

/// The wait after what this side found wrong, if the table has the end, or a token, for its code: the same is likely to
/// happen again.
const FOUND_WRONG: Duration = Duration::from_secs(10);

impl<R: Rng> Link<R> {
    /// Whether the link is at an end from which it may start again.
    pub(super) fn may_reopen(&self) -> bool {
        let Stage::Closed(reason) = self.stage else { return false };
        if reason == ClosedReason::DriverGone {
            return false;
        }
        match self.config.reopen {
            Reopen::Never => false,
            Reopen::AfterGivingUp => matches!(reason, ClosedReason::GaveUp(_)),
            Reopen::Always => true,
        }
    }

    /// The verdict on a failure. What this side found wrong about the peer means what the same close code would from the
    /// peer, except that it does not end the link: this side may be mistaken, and only the peer can say that nothing would
    /// change (I13).
    pub(super) fn judge(&self, failure: Failure) -> Verdict {
        let policy = &self.config.close_policy;
        match failure {
            Failure::Http { status, .. } => policy.on_status(status),
            Failure::NotWebSocket => policy.on_status(200),
            Failure::Tls => policy.on_close(CloseCode::TLS_HANDSHAKE),
            Failure::InvalidRequest => Verdict::Stop(StopReason::INVALID_REQUEST),
            Failure::Protocol(code) => never_the_end(policy.on_close(code)),
            Failure::Gap => never_the_end(policy.on_close(CloseCode::GAP)),
            Failure::Lookup
            | Failure::Refused
            | Failure::Unreachable
            | Failure::HttpRedirect
            | Failure::Reset
            | Failure::Eof
            | Failure::Io => policy.on_close(CloseCode::ABNORMAL),
        }
    }

    /// Whether a failure is the end of the link, by its verdict or by a budget.
    pub(super) fn is_the_end(&mut self, verdict: Verdict, code: Option<CloseCode>) -> Option<ClosedReason> {
        match verdict {
            Verdict::Stop(reason) => return Some(ClosedReason::Stopped { reason, code }),
            Verdict::RefreshToken if !self.config.credentials.fetch => {
                let expired = code == Some(CloseCode::TOKEN_EXPIRED);
                let reason = if expired { StopReason::TOKEN_EXPIRED } else { StopReason::UNAUTHORIZED };
                return Some(ClosedReason::Stopped { reason, code });
            }
            Verdict::RefreshToken => {
                let reported = self.credentials.refused(&self.config.credentials);
                self.tell_token_error(reported);
                if self.credentials.hopeless(&self.config.credentials) {
                    return Some(ClosedReason::GaveUp(GaveUp::TokenRefused));
                }
            }
            Verdict::Retry | Verdict::RetryNow | Verdict::RetrySlow { .. } | Verdict::SwitchEndpoint => {}
        }
        if !self.was_connected && self.config.first_failure == FirstFailure::Stop {
            return Some(ClosedReason::GaveUp(GaveUp::FirstAttempt));
        }
        self.budget.exhausted(self.now).map(ClosedReason::GaveUp)
    }

    /// Until when to wait, and below what no hint can shorten it.
    pub(super) fn wait(&mut self, verdict: Verdict, was_stable: bool) -> (Instant, Instant) {
        let backoff = self.config.backoff;
        let told = self.told_to_wait.take().filter(|_| self.config.retry_after.honour);
        // A hint whose time is over says nothing any more; one that asked for no wait at all still does.
        let told = told.filter(|until| *until >= self.now).map(|until| until - self.now);
        let told = told.map(|wait| wait.clamp(backoff.floor, self.config.retry_after.max));
        let slow = if let Verdict::RetrySlow { floor } = verdict { floor } else { Duration::ZERO };

        let first = was_stable && backoff.first.is_some() && slow.is_zero();
        let mut window = if verdict == Verdict::RetryNow {
            Window::new(backoff.floor, backoff.floor.saturating_mul(2).min(backoff.cap))
        } else if first {
            backoff.first_window()
        } else {
            self.schedule.next_window(&backoff).lifted(slow)
        };
        if let Some(told) = told {
            let spread = percent(told, self.config.retry_after.spread_pct);
            let told = Window::new(told, told.saturating_add(spread));
            window = window.later(told.capped(self.config.retry_after.max));
        }
        let delay = window.draw(&mut self.rng);
        self.schedule.took(delay);

        let least = backoff.floor.max(slow).max(told.unwrap_or_default());
        let until = self.budget.earliest_dial(self.now).max(self.now + delay);
        (until, until.min(self.now + least))
    }
}

fn never_the_end(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Stop(_) | Verdict::RefreshToken => Verdict::RetrySlow { floor: FOUND_WRONG },
        Verdict::Retry | Verdict::RetryNow | Verdict::RetrySlow { .. } | Verdict::SwitchEndpoint => verdict,
    }
}
