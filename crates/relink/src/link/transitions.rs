//! Every transition of a link is made in this file, and nowhere else.
//!
//! Nothing else can: [`Link::enter`] is private to it. One function per input, each read from the top: *in which states
//! does this mean something, and what?* Whatever is not named changes nothing. Three functions end in another state on
//! behalf of all others: [`Link::attempt`] begins an attempt, [`Link::fail`] ends an attempt or a usable link,
//! [`Link::end`] ends everything. `docs/transitions.txt` is generated from this file and compared by a test.

use rand_core::Rng;

use super::action::{Action, LinkEvent};
use super::failure::Failure;
use super::input::{AddressError, HandshakeEvent, Hint, Input, TokenError, TokenInfo, TransportId};
use super::reason::{Reason, Timer};
use super::state::{ClosedReason, Step};
use super::state_data::{Leaving, Live, Refresh, Stage};
use super::{Link, MOST_ACTIONS, OnOffline};
use crate::base::stats::count;
use crate::base::time::Instant;
use crate::policy::budget::GiveUpReason;
use crate::policy::close_code::CloseCode;
use crate::policy::close_policy::Verdict;
use crate::policy::credentials::Need;
use crate::policy::heartbeat::Heartbeat;

impl<R: Rng> Link<R> {
    pub(super) fn apply(&mut self, input: Input) {
        match input {
            Input::Connect => self.connect(),
            Input::Login => self.login(),
            Input::Close { code } => self.close(code),
            Input::Finish { code } => self.finish(code),
            Input::Flushed => self.flushed(),
            Input::RetryNow => self.retry_now(),
            Input::MarkStable => self.mark_stable(),
            Input::Hint(hint) => self.hint(hint),
            Input::Token { id, result } => self.token(id, result),
            Input::Address { id, result } => self.address(id, result),
            Input::Opened { id } => self.opened(id),
            Input::Received { id } => self.received(id, self.now),
            Input::Pong { id, nonce } => self.pong(id, nonce),
            Input::Handshake { id, event: signal } => self.signal(id, signal),
            Input::PeerClosed { id, code } => self.peer_closed(id, code),
            Input::Failed { id, failure } => self.transport_failed(id, failure),
            Input::DriverGone => self.driver_gone(),
            Input::Timeout => self.timeout(),
        }
    }

    // The application's word.

    fn connect(&mut self) {
        if matches!(self.stage, Stage::Idle) {
            self.start(Reason::Connect);
        } else {
            self.reopen(Reason::Connect);
        }
    }

    fn login(&mut self) {
        self.logged_in = true;
        if let Stage::Handshaking { id, step: Step::Login, .. } = self.stage {
            self.next_step(id, Some(Step::Login), Reason::StepDone(Step::Login));
        }
    }

    fn close(&mut self, code: CloseCode) {
        self.comes_back = false;
        match self.stage {
            Stage::Idle
            | Stage::Waiting { .. }
            | Stage::Authorizing { .. }
            | Stage::Dialing { .. }
            | Stage::Handshaking { .. } => self.leave(code, Reason::Close),
            Stage::Connected(_) => self.flush(code, self.now + self.config.flush_timeout),
            Stage::Closing { .. } | Stage::Closed(_) => {}
        }
    }

    fn finish(&mut self, code: CloseCode) {
        self.comes_back = false;
        if self.leaving.is_some() {
            return;
        }
        let deadline = self.now + self.config.flush_timeout;
        if self.stage.is_trying() {
            self.leaving = Some(Leaving { code, deadline });
            self.hurry(Reason::Close);
            if matches!(self.stage, Stage::Waiting { until, .. } if until > deadline) {
                self.leave(code, Reason::Close);
            }
        } else {
            self.leaving = matches!(self.stage, Stage::Connected(_)).then_some(Leaving { code, deadline });
            self.close(code);
        }
    }

    fn flushed(&mut self) {
        if let Stage::Closing { id, code, flushed: false, .. } = self.stage {
            self.leaving = None;
            self.push(Action::SendClose { id, code });
            let deadline = self.now + self.config.close_timeout;
            self.enter(Stage::Closing { id, code, flushed: true, deadline }, Reason::Flushed);
        } else if let Some(Leaving { code, .. }) = self.leaving {
            self.leave(code, Reason::Flushed);
        }
    }

    fn driver_gone(&mut self) {
        self.is_driven = false;
        self.comes_back = false;
        if !matches!(self.stage, Stage::Closed(_)) {
            self.leaving = None;
            self.release();
            self.end(ClosedReason::DriverGone, Reason::DriverGone);
        }
    }

    fn retry_now(&mut self) {
        if matches!(self.stage, Stage::Waiting { .. }) && !self.is_closing() {
            self.reset_failures();
            self.budget.down(self.now);
            self.attempt_as_asked(Reason::RetryNow);
        } else {
            self.reopen(Reason::RetryNow);
        }
    }

    fn hint(&mut self, hint: Hint) {
        if hint != Hint::Offline {
            self.route.doubt();
        }
        if let Stage::Connected(live) = &mut self.stage {
            if hint == Hint::Offline && self.config.when_offline == OnOffline::Disconnect {
                return self.fail(Reason::Hint(hint), Verdict::Retry, None);
            }
            let beat = live.heartbeat.probe(self.now);
            self.handle_heartbeat(beat);
        } else if matches!(hint, Hint::Online | Hint::Wake) {
            self.hurry(Reason::Hint(hint));
        }
    }

    // What an attempt needs before it dials.

    fn token(&mut self, id: TransportId, result: Result<TokenInfo, TokenError>) {
        if self.stage.transport() != Some(id) {
            return;
        }
        if let Stage::Authorizing { need: Need::Token, .. } = self.stage {
            match result {
                Ok(grant) => {
                    self.granted(grant);
                    self.prepare(id, Some(Need::Token), Reason::TokenReady);
                }
                Err(TokenError) => self.token_failed(Reason::TokenFailed),
            }
        } else {
            self.renewed(id, result);
        }
    }

    fn token_failed(&mut self, reason: Reason) {
        count(&mut self.stats.token_failures);
        let reported = self.credentials.failed(&self.config.credentials);
        self.tell_token_error(reported);
        self.fail(reason, Verdict::Retry, None);
    }

    fn address(&mut self, id: TransportId, result: Result<(), AddressError>) {
        if self.stage.transport() != Some(id) || !self.is_locating() {
            return;
        }
        match result {
            Ok(()) => {
                count(&mut self.stats.addresses_fetched);
                self.prepare(id, Some(Need::Address), Reason::AddressReady);
            }
            Err(AddressError) => self.address_failed(Reason::AddressFailed),
        }
    }

    fn address_failed(&mut self, reason: Reason) {
        count(&mut self.stats.address_failures);
        self.fail(reason, Verdict::Retry, None);
    }

    // The transport.

    fn opened(&mut self, id: TransportId) {
        let Stage::Dialing { id: dialled, .. } = self.stage else { return };
        if dialled == id {
            self.next_step(id, None, Reason::Opened);
        }
    }

    fn signal(&mut self, id: TransportId, signal: HandshakeEvent) {
        if self.stage.transport() != Some(id) {
            return;
        }
        let step = if let Stage::Handshaking { step, .. } = self.stage { Some(step) } else { None };
        match (signal, step) {
            (HandshakeEvent::GoingAway { retry_after }, _) => {
                self.told_to_wait = Some(self.now + retry_after);
                // A frame and the reason of the close behind it both say it: the later one counts.
                if !core::mem::replace(&mut self.told_going_away, true) {
                    self.emit(LinkEvent::GoingAway { retry_after });
                }
            }
            (HandshakeEvent::Welcome, Some(Step::Welcome))
            | (HandshakeEvent::ChallengeMet, Some(Step::Challenge))
            | (HandshakeEvent::Authenticated, Some(Step::Authenticating)) => {
                self.next_step(id, step, Reason::StepDone(step.unwrap_or(Step::Welcome)));
            }
            (HandshakeEvent::Redirect, Some(_)) => {
                self.push(Action::SendClose { id, code: CloseCode::NORMAL });
                self.redirect();
            }
            (HandshakeEvent::Refused(refusal), Some(_)) => {
                let (verdict, code) = self.judge_refusal(refusal);
                self.push(Action::SendClose { id, code: self.config.heartbeat.close_code });
                self.fail(Reason::LoginRefused, verdict, code);
            }
            (
                HandshakeEvent::Welcome
                | HandshakeEvent::ChallengeMet
                | HandshakeEvent::Authenticated
                | HandshakeEvent::Redirect
                | HandshakeEvent::Refused(_),
                _,
            ) => {}
        }
    }

    fn peer_closed(&mut self, id: TransportId, code: CloseCode) {
        if self.stage.transport() != Some(id) {
            return;
        }
        if matches!(self.stage, Stage::Closing { .. }) && self.leaving.is_none() {
            self.release();
            return self.end(ClosedReason::Requested, Reason::ClosedByPeer(code));
        }
        let verdict = self.config.close_policy.on_close(code);
        self.fail(Reason::ClosedByPeer(code), verdict, Some(code));
    }

    fn transport_failed(&mut self, id: TransportId, failure: Failure) {
        if self.stage.transport() != Some(id) {
            return;
        }
        if matches!(self.stage, Stage::Closing { .. }) && self.leaving.is_none() {
            self.release();
            return self.end(ClosedReason::Requested, Reason::Failed(failure));
        }
        if failure == Failure::HttpRedirect && matches!(self.stage, Stage::Dialing { .. }) {
            return self.redirect();
        }
        if let Failure::Http { retry_after: Some(wait), .. } = failure {
            self.told_to_wait = Some(self.now + wait);
        }
        self.fail(Reason::Failed(failure), self.verdict(failure), None);
    }

    // Time.

    /// Everything that is due, one after the other, as long as there is room for what it leaves to do.
    fn timeout(&mut self) {
        while let Some((at, timer)) = self.next_deadline() {
            if at > self.now || self.actions.free() < MOST_ACTIONS {
                return;
            }
            self.expire(timer);
        }
    }

    fn expire(&mut self, timer: Timer) {
        match timer {
            Timer::Backoff => self.attempt(Reason::DelayOver),
            Timer::Token => self.token_failed(Reason::TimedOut(timer)),
            Timer::Address => self.address_failed(Reason::TimedOut(timer)),
            Timer::Dial => self.fail(Reason::TimedOut(timer), Verdict::Retry, None),
            Timer::Step(_) => {
                if let Some(id) = self.transport() {
                    self.push(Action::SendClose { id, code: self.config.heartbeat.close_code });
                }
                self.fail(Reason::TimedOut(timer), Verdict::Retry, None);
            }
            Timer::Ping | Timer::Pong | Timer::Watchdog | Timer::Message => {
                if let Stage::Connected(live) = &mut self.stage {
                    let beat = live.heartbeat.handle_timeout(self.now);
                    self.handle_heartbeat(beat);
                }
            }
            Timer::Stable => self.mark_stable(),
            Timer::Refresh => self.refresh(),
            Timer::Flush => self.flushed(),
            Timer::Close => {
                self.release();
                self.end(ClosedReason::Requested, Reason::TimedOut(timer));
            }
            Timer::Elapsed => {
                self.release();
                self.end(ClosedReason::GaveUp(GiveUpReason::Elapsed), Reason::TimedOut(timer));
            }
            Timer::Grace | Timer::Banner | Timer::Stuck => {
                let actions = &mut self.actions;
                self.surface.handle_timeout(self.now, |shown| {
                    actions.push(Action::Event(LinkEvent::StatusChange(shown)))
                });
            }
        }
    }

    // The ways that several inputs share.

    fn start(&mut self, reason: Reason) {
        self.was_connected = false;
        self.lost_at = None;
        self.attempt = 0;
        self.told_to_wait = None;
        self.credentials.accepted();
        self.reset_failures();
        self.budget.down(self.now);
        self.attempt_as_asked(reason);
    }

    /// Starts again from an end that allows it: now, or once a close that is under way has come to that end.
    fn reopen(&mut self, reason: Reason) {
        if self.may_connect().is_err() {
            return;
        }
        if let Stage::Closed(_) = self.stage {
            self.start(reason);
        } else {
            self.comes_back = self.is_closing();
        }
    }

    /// Begins the attempt that a person asked for: at once, unless those before it were too many.
    fn attempt_as_asked(&mut self, reason: Reason) {
        let until = self.budget.earliest_asked(self.now);
        if until <= self.now {
            return self.attempt(reason);
        }
        self.enter(Stage::Waiting { until, not_before: until }, reason);
    }

    /// Ends the wait as early as floor and budget allow.
    fn hurry(&mut self, reason: Reason) {
        let Stage::Waiting { until, not_before } = &mut self.stage else { return };
        *until = self.budget.earliest_dial(self.now).max(*not_before).min(*until);
        if *until <= self.now {
            self.attempt(reason);
        }
    }

    /// A usable link sends what is queued before it closes.
    fn flush(&mut self, code: CloseCode, deadline: Instant) {
        if let Stage::Connected(Live { id, since, .. }) = self.stage {
            self.stats.connected_for.record(self.now - since);
            self.enter(Stage::Closing { id, code, flushed: false, deadline }, Reason::Close);
        }
    }

    /// A link that is down closes: there is nothing to flush, or no time left for it.
    fn leave(&mut self, code: CloseCode, reason: Reason) {
        if let Stage::Handshaking { id, .. } = self.stage {
            self.push(Action::SendClose { id, code });
        }
        self.release();
        self.end(ClosedReason::Requested, reason);
    }

    /// Begins an attempt.
    fn attempt(&mut self, reason: Reason) {
        let id = self.next_id();
        self.attempt = self.attempt.saturating_add(1);
        self.route.back_to_origin();
        self.prepare(id, None, reason);
    }

    /// Of a transport that nothing is known about.
    const fn next_id(&mut self) -> TransportId {
        self.last_id = TransportId(self.last_id.0.wrapping_add(1));
        self.told_going_away = false;
        self.last_id
    }

    /// Fetches what the attempt needs next, or dials if it has everything.
    fn prepare(&mut self, id: TransportId, had: Option<Need>, reason: Reason) {
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

    /// When an attempt that begins now has taken too long as a whole.
    fn attempt_ends(&self) -> Option<Instant> {
        self.config.attempt_timeout.map(|limit| self.now + limit)
    }

    fn dial(&mut self, id: TransportId, until: Option<Instant>, reason: Reason) {
        count(&mut self.stats.dials);
        self.budget.dialled(self.now);
        let endpoint = self.route.endpoint();
        let deadline = sooner(self.now + self.config.connect_timeout, until);
        self.enter(Stage::Dialing { id, deadline, until }, reason);
        self.emit(LinkEvent::Dialing { attempt: self.attempt, endpoint });
        self.push(Action::Dial { id, endpoint });
    }

    /// The same attempt goes on elsewhere, with the token it has.
    fn redirect(&mut self) {
        if !self.route.redirect(self.config.max_redirects) {
            return self.fail(Reason::TooManyRedirects, Verdict::Retry, None);
        }
        let until = self.stage.until();
        self.release();
        let id = self.next_id();
        self.dial(id, until, Reason::Redirected);
    }

    /// Enters the handshake step after this one, or the usable link where none is left.
    fn next_step(&mut self, id: TransportId, after: Option<Step>, reason: Reason) {
        let Some((step, limit)) = self.step_after(after) else { return self.usable(id, reason) };
        // The time that the application takes is its own.
        let until = match (step, after) {
            (Step::Login, _) => None,
            (_, Some(Step::Login)) => self.attempt_ends(),
            (Step::Welcome | Step::Challenge | Step::Authenticating, _) => self.stage.until(),
        };
        let deadline = limit.map(|limit| sooner(self.now + limit, until));
        self.enter(Stage::Handshaking { id, step, deadline, until }, reason);
        self.push(Action::StartStep { id, step });
    }

    fn usable(&mut self, id: TransportId, reason: Reason) {
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
    pub(super) fn fail(&mut self, reason: Reason, verdict: Verdict, code: Option<CloseCode>) {
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
        // Nobody waits for an attempt that comes too late to flush anything.
        let wait = wait.filter(|(until, _)| self.leaving.is_none_or(|leaving| *until <= leaving.deadline));
        let retry_in = wait.map(|(until, _)| until - now);
        self.emit(match lost {
            Some(_) => {
                LinkEvent::Disconnected { code: code.unwrap_or(CloseCode::ABNORMAL), reason, retry_in }
            }
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

    /// The end, told once and last; then a new start, if the application asked for one while the link closed.
    fn end(&mut self, end: ClosedReason, reason: Reason) {
        self.refresh_at = None;
        // Whatever went wrong after the application closed the link, it is closed because of that.
        let end = if self.leaving.take().is_some() { ClosedReason::Requested } else { end };
        // Who gave up comes back as who it was; after any other end the application logs in again (A7).
        self.logged_in &= matches!(end, ClosedReason::GaveUp(_));
        self.enter(Stage::Closed(end), reason);
        self.emit(LinkEvent::Closed { reason: end });
        if core::mem::take(&mut self.comes_back) {
            self.start(Reason::Connect);
        }
    }

    /// Lets go of the transport, the dial or the fetch that this state holds.
    fn release(&mut self) {
        if let Some(id) = self.stage.transport() {
            self.push(Action::Drop { id });
        }
    }

    /// Enters a state, tells of it, and lets the surface follow.
    fn enter(&mut self, stage: Stage, reason: Reason) {
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
