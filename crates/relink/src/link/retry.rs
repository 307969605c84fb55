//! What comes next: the next step of a handshake; after a failure the end, or a wait of which
//! length, and which endpoint. Decided here, carried out in `transitions`.

use core::time::Duration;

use rand_core::Rng;

use super::failure::Failure;
use super::input::Refusal;
use super::reason::Reason;
use super::state::{ClosedReason, Step};
use super::state_data::Stage;
use super::{Link, OnFirstFailure, ReopenPolicy};
use crate::base::time::Instant;
use crate::policy::backoff::{Window, percent};
use crate::policy::budget::GiveUpReason;
use crate::policy::close_code::CloseCode;
use crate::policy::close_policy::Verdict;
use crate::policy::credentials::Need;
use crate::policy::stop_reason::StopReason;

/// The wait after an error that this side found, if the table has *stop* or *refresh token* for its
/// code: the same is likely to happen again.
const FOUND_WRONG: Duration = Duration::from_secs(10);
/// How long an endpoint that refused for good is not dialed, while others are tried.
const REFUSED_FOR: Duration = Duration::from_secs(30);

impl<R: Rng> Link<R> {
    /// Whether a link that was closed for this reason may be reopened.
    pub(super) fn reopens_after(&self, reason: ClosedReason) -> bool {
        match self.config.reopen {
            _ if !self.is_driven => false,
            ReopenPolicy::Never => false,
            ReopenPolicy::AfterGivingUp => matches!(reason, ClosedReason::GaveUp(_)),
            ReopenPolicy::Always => true,
        }
    }

    /// The verdict on a failure. An error that this side found has the meaning of the same close
    /// code from the peer, except that it does not close the link: this side may be mistaken, and
    /// only the peer can decide that retrying is pointless.
    pub(super) fn verdict(&self, failure: Failure) -> Verdict {
        let policy = &self.config.close_policy;
        match failure {
            Failure::Http { status, .. } => policy.on_status(status),
            Failure::NotWebSocket => policy.on_status(200),
            Failure::Tls => policy.on_close(CloseCode::TLS_HANDSHAKE),
            Failure::InvalidRequest => Verdict::Stop(StopReason::INVALID_REQUEST),
            Failure::Protocol(code) => never_the_end(policy.on_close(code)),
            Failure::Gap => never_the_end(policy.on_close(CloseCode::GAP)),
            Failure::Abandoned => Verdict::Retry,
            Failure::Lookup
            | Failure::Refused
            | Failure::Unreachable
            | Failure::HttpRedirect
            | Failure::Reset
            | Failure::Eof
            | Failure::Io => policy.on_close(CloseCode::ABNORMAL),
        }
    }

    /// The verdict on a refused login, and its close code.
    pub(super) fn judge_refusal(&self, refusal: Refusal) -> (Verdict, Option<CloseCode>) {
        match refusal {
            Refusal::Token => (Verdict::RefreshToken, None),
            Refusal::As(code) => (self.config.close_policy.on_close(code), Some(code)),
            Refusal::Stop(reason) => (Verdict::Stop(reason), None),
        }
    }

    /// The handshake step after this one, and its limit; `None` if the link is usable then.
    pub(super) fn step_after(&self, after: Option<Step>) -> Option<(Step, Option<Duration>)> {
        let handshake = self.config.handshake;
        let steps = [
            (Step::Welcome, handshake.welcome.is_some(), handshake.welcome),
            (Step::Challenge, handshake.challenge.is_some(), handshake.challenge),
            (Step::Login, handshake.login && !self.logged_in, handshake.login_timeout),
            (Step::Authenticating, handshake.authentication.is_some(), handshake.authentication),
        ];
        let next = steps.into_iter().find(|(step, exists, _)| *exists && Some(*step) > after);
        next.map(|(step, _, limit)| (step, limit))
    }

    /// Whether a failure closes the link: by its verdict, if that holds everywhere or every
    /// endpoint has said so, or by a budget. If it does not, the route is moved to the endpoint
    /// that is dialed next.
    pub(super) fn ends_link(
        &mut self,
        reason: Reason,
        verdict: Verdict,
        code: Option<CloseCode>,
        was_stable: bool,
    ) -> Option<ClosedReason> {
        let stop = self.stop(verdict, code);
        if let Some(reason) = stop.filter(|reason| reason.holds_everywhere()) {
            return Some(ClosedReason::Stopped { reason, code });
        }
        // An endpoint is not to blame for what happened before it was dialed.
        let is_of_endpoint = reason.is_of_endpoint()
            && !matches!(self.stage, Stage::Authorizing { need: Need::Token, .. });
        let is_token = stop.is_none() && verdict == Verdict::RefreshToken;
        let is_http = matches!(reason, Reason::Failed(Failure::Http { .. }));
        let is_refusal = stop.is_some() || is_token;
        if is_of_endpoint && !is_refusal {
            self.route.doubt();
        }
        let is_proven = is_refusal && (!is_http || self.is_proven());
        let stop = stop.filter(|_| is_proven);
        if is_of_endpoint {
            self.move_on(verdict, stop.is_some(), was_stable);
        }
        if is_token {
            let reported = self.credentials.refused(&self.config.credentials);
            self.tell_token_error(reported);
            if is_proven && self.credentials.is_hopeless(&self.config.credentials) {
                return Some(ClosedReason::GaveUp(GiveUpReason::TokenRefused));
            }
        }
        if let Some(reason) = stop.filter(|_| !is_of_endpoint || self.route.is_at_the_end()) {
            return Some(ClosedReason::Stopped { reason, code });
        }
        let has_tried_all = self.budget.attempts() >= u32::from(self.route.count());
        if !self.was_connected && self.config.first_failure == OnFirstFailure::Stop && has_tried_all
        {
            return Some(ClosedReason::GaveUp(GiveUpReason::FirstAttempt));
        }
        self.budget.exhausted(self.now).map(ClosedReason::GaveUp)
    }

    /// Why the endpoint with this verdict need not be dialed again.
    fn stop(&self, verdict: Verdict, code: Option<CloseCode>) -> Option<StopReason> {
        match verdict {
            Verdict::Stop(reason) => Some(reason),
            Verdict::RefreshToken if self.config.credentials.fetch => None,
            Verdict::RefreshToken if code == Some(CloseCode::TOKEN_EXPIRED) => {
                Some(StopReason::TOKEN_EXPIRED)
            }
            Verdict::RefreshToken => Some(StopReason::UNAUTHORIZED),
            Verdict::Retry
            | Verdict::RetryNow
            | Verdict::RetrySlow { .. }
            | Verdict::SwitchEndpoint => None,
        }
    }

    /// Whether an HTTP status that refuses comes from the server itself. Before the first usable
    /// link it is believed; later it may come from a captive portal, until it has been repeated.
    fn is_proven(&mut self) -> bool {
        !self.was_connected || self.route.refused(self.now)
    }

    /// Records the endpoint's answer, and moves to the next endpoint, unless this one was good
    /// until now and did not refuse.
    fn move_on(&mut self, verdict: Verdict, is_final: bool, was_stable: bool) {
        let mut pause = Duration::ZERO;
        if let Verdict::RetrySlow { floor } = verdict {
            pause = floor;
        }
        if is_final {
            pause = REFUSED_FOR;
        }
        // A delay given to an attempt is about the endpoint; one given to a usable link is about
        // the service.
        let is_attempt = matches!(self.stage, Stage::Dialing { .. } | Stage::Handshaking { .. });
        if let Some(told) = self.requested_delay().filter(|_| is_attempt) {
            pause = pause.max(told);
        }
        self.route.answered(is_final);
        self.route.leave_alone(pause, self.now);
        let is_good = was_stable && pause.is_zero() && verdict != Verdict::SwitchEndpoint;
        if is_good {
            return;
        }
        let before = self.route.origin();
        self.route.switch(self.now);
        if is_attempt && self.route.origin() != before {
            self.told_to_wait = None;
        }
    }

    /// The delay that the server asked for, within the configured bounds.
    fn requested_delay(&self) -> Option<Duration> {
        let config = self.config.retry_after;
        let told = self.told_to_wait.filter(|_| config.honor);
        // A hint whose time has passed no longer counts; one that asked for no wait at all still
        // does.
        let told = told.filter(|until| *until >= self.now).map(|until| until - self.now);
        told.map(|wait| wait.clamp(self.config.backoff.floor, config.max))
    }

    /// Until when to wait, and the minimum that no hint can shorten.
    pub(super) fn wait(&mut self, verdict: Verdict, was_stable: bool) -> (Instant, Instant) {
        let backoff = self.config.backoff;
        let told = self.requested_delay();
        self.told_to_wait = None;
        let mut pause = self.route.pause_from(self.now);
        if told >= Some(pause) {
            // A delay that the server asked for has a window of its own.
            pause = Duration::ZERO;
        }

        let first = was_stable && backoff.first.is_some() && pause.is_zero();
        let mut window = if verdict == Verdict::RetryNow {
            Window::new(backoff.floor, backoff.floor.saturating_mul(2).min(backoff.cap))
        } else if first {
            backoff.first_window()
        } else {
            self.schedule.next_window(&backoff)
        };
        window = window.lifted(pause);
        if let Some(told) = told {
            let spread = percent(told, self.config.retry_after.spread_pct);
            let told = Window::new(told, told.saturating_add(spread));
            window = window.later(told.capped(self.config.retry_after.max));
        }
        let delay = window.draw(&mut self.rng);
        self.schedule.record(delay);

        let least = backoff.floor.max(pause).max(told.unwrap_or_default());
        let until = self.budget.earliest_dial(self.now).max(self.now + delay);
        (until, until.min(self.now + least))
    }
}

fn never_the_end(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Stop(_) | Verdict::RefreshToken => Verdict::RetrySlow { floor: FOUND_WRONG },
        Verdict::Retry
        | Verdict::RetryNow
        | Verdict::RetrySlow { .. }
        | Verdict::SwitchEndpoint => verdict,
    }
}
