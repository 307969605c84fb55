//! The ways from state to state that several inputs share. [`Link::enter`] is the only one that
//! sets the state.

use rand_core::Rng;

use crate::base::stats::count;
use crate::base::time::Instant;
use crate::link::Link;
use crate::link::action::{Action, LinkEvent};
use crate::link::input::TransportId;
use crate::link::reason::Reason;
use crate::link::state::{ClosedReason, Step};
use crate::link::state_data::{Leaving, Live, Refresh, Stage};
use crate::policy::close_code::CloseCode;
use crate::policy::close_policy::Verdict;
use crate::policy::credentials::Need;
use crate::policy::heartbeat::Heartbeat;

impl<R: Rng> Link<R> {
    pub(super) fn start(&mut self, reason: Reason) {
        self.was_connected = false;
        self.lost_at = None;
        self.attempt = 0;
        self.told_to_wait = None;
        self.credentials.accepted();
        self.reset_failures();
        self.budget.down(self.now);
        self.attempt_as_asked(reason);
    }

    /// Reopens a closed link if that is allowed: now, or once a close that is under way is done.
    pub(super) fn reopen(&mut self, reason: Reason) {
        if self.may_connect().is_err() {
            return;
        }
        if let Stage::Closed(_) = self.stage {
            self.start(reason);
        } else {
            self.comes_back = self.is_closing();
        }
    }

    /// Begins the attempt that the user asked for: at once, or when the rate allows.
    pub(super) fn attempt_as_asked(&mut self, reason: Reason) {
        let until = self.budget.earliest_asked(self.now);
        if until <= self.now {
            return self.attempt(reason);
        }
        self.enter(Stage::Waiting { until, not_before: until }, reason);
    }

    /// Ends the wait as early as floor and budget allow.
    pub(super) fn hurry(&mut self, reason: Reason) {
        let Stage::Waiting { until, not_before } = &mut self.stage else { return };
        *until = self.budget.earliest_dial(self.now).max(*not_before).min(*until);
        if *until <= self.now {
            self.attempt(reason);
        }
    }

    /// A usable link sends what is queued before it closes.
    pub(super) fn flush(&mut self, code: CloseCode, deadline: Instant) {
        if let Stage::Connected(Live { id, since, .. }) = self.stage {
            self.stats.connected_for.record(self.now - since);
            self.enter(Stage::Closing { id, code, flushed: false, deadline }, Reason::Close);
        }
    }

    /// A link that is down closes: there is nothing to flush, or no time left for it.
    pub(super) fn leave(&mut self, code: CloseCode, reason: Reason) {
        if let Stage::Handshaking { id, .. } = self.stage {
            self.push(Action::SendClose { id, code });
        }
        self.release();
        self.end(ClosedReason::Requested, reason);
    }

    /// Begins an attempt.
    pub(super) fn attempt(&mut self, reason: Reason) {
        let id = self.next_id();
        self.attempt = self.attempt.saturating_add(1);
        self.route.back_to_origin();
        self.prepare(id, None, reason);
    }

    /// The id of a new transport.
    const fn next_id(&mut self) -> TransportId {
        self.last_id = TransportId(self.last_id.0.wrapping_add(1));
        self.told_going_away = false;
        self.last_id
    }

    /// Fetches what the attempt needs next, or dials if it has everything.
    pub(super) fn prepare(&mut self, id: TransportId, had: Option<Need>, reason: Reason) {
        let Some(need) = self.config.credentials.need_after(had) else {
            return self.dial(id, self.attempt_ends(), reason);
        };
        let deadline = self.now + self.config.credentials.timeout;
        self.enter(Stage::Authorizing { id, need, deadline }, reason);
        let endpoint = self.route.endpoint();
        self.push(match need {
            Need::Token => Action::FetchToken { id },
            Need::Address => Action::FetchAddress { id, endpoint },
        });
    }

    /// When an attempt that begins now times out as a whole.
    pub(super) fn attempt_ends(&self) -> Option<Instant> {
        self.config.attempt_timeout.map(|limit| self.now + limit)
    }

    pub(super) fn dial(&mut self, id: TransportId, until: Option<Instant>, reason: Reason) {
        count(&mut self.stats.dials);
        self.budget.dialed(self.now);
        let endpoint = self.route.endpoint();
        let deadline = sooner(self.now + self.config.connect_timeout, until);
        self.enter(Stage::Dialing { id, deadline, until }, reason);
        self.emit(LinkEvent::Dialing { attempt: self.attempt, endpoint });
        self.push(Action::Dial { id, endpoint });
    }

    /// Continues the same attempt at another address, with the token it has.
    pub(super) fn redirect(&mut self) {
        if !self.route.redirect(self.config.max_redirects) {
            return self.fail(Reason::TooManyRedirects, Verdict::Retry, None);
        }
        let until = self.stage.until();
        self.release();
        let id = self.next_id();
        self.dial(id, until, Reason::Redirected);
    }

    /// Enters the handshake step after this one, or `Connected` if none is left.
    pub(super) fn next_step(&mut self, id: TransportId, after: Option<Step>, reason: Reason) {
        let Some((step, limit)) = self.step_after(after) else { return self.usable(id, reason) };
        // The time that the application takes does not count.
        let until = match (step, after) {
            (Step::Login, _) => None,
            (_, Some(Step::Login)) => self.attempt_ends(),
            (Step::Welcome | Step::Challenge | Step::Authenticating, _) => self.stage.until(),
        };
        let deadline = limit.map(|limit| sooner(self.now + limit, until));
        self.enter(Stage::Handshaking { id, step, deadline, until }, reason);
        self.push(Action::StartStep { id, step });
    }

    pub(super) fn usable(&mut self, id: TransportId, reason: Reason) {
        let now = self.now;
        count(&mut self.stats.connects);
        if let Some(lost_at) = self.lost_at.take() {
            self.stats.recovered_in.record(now - lost_at);
        }
        self.attempt = 0;
        self.told_to_wait = None;
        self.route.doubt();
        self.budget.up();
        let live = Live {
            id,
            since: now,
            heartbeat: Heartbeat::start(self.config.heartbeat, now),
            stable_at: Some(now + self.config.stable_after),
            refresh: self.refresh_at.take().map_or(Refresh::Off, Refresh::At),
        };
        self.enter(Stage::Connected(live), reason);
        let is_reconnect = core::mem::replace(&mut self.was_connected, true);
        self.emit(LinkEvent::Connected { is_reconnect });
        if self.config.stable_after.is_zero() {
            self.mark_stable();
        }
        if let Some(Leaving { code, deadline }) = self.leaving {
            self.flush(code, deadline);
        }
    }

    /// Ends an attempt, or a usable link, and decides what comes next.
    pub(in crate::link) fn fail(
        &mut self,
        reason: Reason,
        verdict: Verdict,
        code: Option<CloseCode>,
    ) {
        let now = self.now;
        let attempt = self.attempt;
        let lost = match &self.stage {
            Stage::Connected(live) => {
                self.stats.connected_for.record(now - live.since);
                Some(live.stable_at.is_none())
            }
            // What was to be flushed still waits.
            Stage::Closing { .. } => Some(false),
            Stage::Idle
            | Stage::Waiting { .. }
            | Stage::Authorizing { .. }
            | Stage::Dialing { .. }
            | Stage::Handshaking { .. }
            | Stage::Closed(_) => None,
        };
        let was_stable = lost == Some(true);
        self.release();
        match lost {
            Some(_) => {
                count(&mut self.stats.disconnects);
                self.lost_at = Some(now);
            }
            None => count(&mut self.stats.failed_attempts),
        }
        self.budget.down(now);
        if !was_stable {
            self.budget.failed(now);
        }
        let end = self.ends_link(reason, verdict, code, was_stable);
        let wait = if end.is_some() { None } else { Some(self.wait(verdict, was_stable)) };
        // An attempt that comes too late to flush anything is not waited for.
        let wait =
            wait.filter(|(until, _)| self.leaving.is_none_or(|leaving| *until <= leaving.deadline));
        let retry_in = wait.map(|(until, _)| until - now);
        self.emit(match lost {
            Some(_) => LinkEvent::Disconnected {
                code: code.unwrap_or(CloseCode::ABNORMAL),
                reason,
                retry_in,
            },
            None => LinkEvent::AttemptFailed { attempt, reason, retry_in },
        });
        let Some((until, not_before)) = wait else {
            return self.end(end.unwrap_or(ClosedReason::Requested), reason);
        };
        self.enter(Stage::Waiting { until, not_before }, reason);
        if until <= now && until < Instant::END {
            self.attempt(Reason::DelayOver);
        }
    }

    /// Closes the link and emits that once, last; then starts again, if the application asked for
    /// it while the link closed.
    pub(super) fn end(&mut self, end: ClosedReason, reason: Reason) {
        self.refresh_at = None;
        // Once the application has closed the link, that is the reason, whatever fails afterwards.
        let end = if self.leaving.take().is_some() { ClosedReason::Requested } else { end };
        // After giving up, the login is kept; after any other end the application logs in again.
        self.logged_in &= matches!(end, ClosedReason::GaveUp(_));
        self.enter(Stage::Closed(end), reason);
        self.emit(LinkEvent::Closed { reason: end });
        if core::mem::take(&mut self.comes_back) {
            self.start(Reason::Connect);
        }
    }

    /// Drops the transport, the dial or the fetch of this state.
    pub(super) fn release(&mut self) {
        if let Some(id) = self.stage.transport() {
            self.push(Action::Drop { id });
        }
    }

    /// Enters a state, emits the change, and updates the status view.
    pub(super) fn enter(&mut self, stage: Stage, reason: Reason) {
        let from = self.state();
        self.stage = stage;
        let to = self.state();
        if from != to {
            self.emit(LinkEvent::State { from, to, reason });
            let actions = &mut self.actions;
            let tell = |shown| actions.push(Action::Event(LinkEvent::StatusChange(shown)));
            self.surface.observe(to.status(), self.now, tell);
        }
    }
}

fn sooner(deadline: Instant, until: Option<Instant>) -> Instant {
    until.map_or(deadline, |until| until.min(deadline))
}
