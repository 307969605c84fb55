//! The rules, checked on what an input did.

use std::time::Duration;

use relink::link::{
    Action, Endpoint, HandshakeEvent, Hint, Input, LinkEvent, OnDead, Refusal, Status, Step, Timer,
};
use relink::{
    CloseCode, ClosedReason, Failure, Instant, Phase, Reason, State, StopReason, Verdict,
};

use super::answers::Failed;
use super::deadlines::is_near_the_end;
use super::{Expected, Model, Snapshot, Violation};

pub(super) type Checked = Result<(), Violation>;

pub(super) fn ensure(holds: bool, rule: &'static str, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { rule, detail: what() }) }
}

impl Model {
    /// Checks what an input did at `now`, a time that never goes backwards.
    ///
    /// * The state afterwards is one that the input may lead to; events tell each change, in order,
    ///   without a gap.
    /// * There is one live transport at most, actions speak of it alone, and its id was never used
    ///   before.
    /// * An input from another transport changes nothing.
    /// * Before the floor there is no dial, but for the first after a stable link and those that a
    ///   person asks for; waits stay below their cap; the rate limit holds for all of them.
    /// * An endpoint that failed makes room for one that may be dialed, and is left alone for as
    ///   long as it asked for; what is final ends the link if every endpoint said so, and an HTTP
    ///   status on a link that worked before only when it has been repeated.
    /// * Attempts are counted from the last usable link; what a server says about going away is
    ///   told once.
    /// * Failures are forgotten after a stable link and by a person's word alone.
    /// * The end is told once and last, and leaves no deadline; states that wait have one.
    /// * A person is shown a usable link where there is one, or a grace.
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    pub fn check(
        &mut self,
        input: Input,
        now: Instant,
        before: &Snapshot,
        actions: &[Action],
        after: &Snapshot,
    ) -> Checked {
        let expected = self.expected(input, now);
        let was_leaving = self.leaving.is_some();
        self.stop = [if let Expected::Failure(stop) = expected { stop } else { None }, None];
        self.forgives(input, now, after.state);
        let was_stable = self.stable_at.is_some_and(|at| at <= now);
        for (index, action) in actions.iter().enumerate() {
            self.follow(*action, input, now)?;
            let is_end =
                matches!(action, Action::Event(LinkEvent::Closed { .. })) && !self.comes_back;
            ensure(!is_end || index + 1 == actions.len(), "the end is told last", || {
                format!("{actions:?}")
            })?;
        }
        ensure(self.state == after.state, "events tell each change", || {
            format!("{:?}: {after:?}", self.state)
        })?;
        ensure(self.live == after.transport, "one live transport", || {
            format!("{:?}: {after:?}", self.live)
        })?;
        let is_as_expected = if expected == Expected::Nothing {
            actions.is_empty() && before == after
        } else {
            self.leads_to(expected, was_leaving, before.state, after.state)
        };
        let what = || format!("{input:?} in {before:?} led to {after:?}, not {expected:?}");
        ensure(is_as_expected, "inputs lead where the contract says", what)?;
        if after.state == State::Closing && !after.flushing {
            self.leaving = None;
        }
        let is_closing = after.state == State::Closing || self.leaving.is_some();
        let came_back = self.comes_back && !is_closing && !after.state.is_closed();
        self.comes_back &= is_closing;
        let by_person =
            came_back || matches!(input, Input::Connect | Input::RetryNow | Input::MarkStable);
        let was_usable = matches!(after.state, State::Connected | State::Closing);
        let needs_no_proof = self.config.stable_after.is_zero() && was_usable;
        let may_forget = by_person || needs_no_proof || (input == Input::Timeout && was_stable);
        let forgot = after.attempts < before.attempts;
        ensure(!forgot || may_forget, "only stable links are forgiven", || {
            format!("{input:?}: {after:?}")
        })?;
        let hidden =
            self.config.surface.grace.is_some() && after.state.status() == Status::Reconnecting;
        let honest = after.shown != Status::Connected || after.state == State::Connected || hidden;
        ensure(honest, "what is shown is so", || format!("{after:?}"))?;
        self.check_deadline(now, after)
    }

    /// Whether what was expected leads from state to state.
    fn leads_to(&self, expected: Expected, was_leaving: bool, before: State, after: State) -> bool {
        match expected {
            Expected::Nothing => false,
            Expected::Stays => before == after,
            Expected::Becomes(state) => after == state,
            Expected::Attempt => self.is_attempt(after) || self.is_waiting(after),
            Expected::MayAttempt => before == after || self.is_attempt(after),
            Expected::MayLeave => {
                before == after
                    || self.is_attempt(after)
                    || after == State::Closed(ClosedReason::Requested)
            }
            Expected::Redirect if self.is_dialing(after) => true,
            Expected::Redirect | Expected::Failure(_) if was_leaving => self.is_last_failure(after),
            Expected::Redirect | Expected::Failure(_) => self.is_failure(after),
            Expected::Due => true,
        }
    }

    /// What an input takes back of what was said before.
    fn forgives(&mut self, input: Input, now: Instant, after: State) {
        if let Input::Handshake { id, event: HandshakeEvent::GoingAway { retry_after } } = input {
            if self.live == Some(id) {
                self.told_to_wait = Some(now + retry_after);
            }
        }
        let is_up = self.state == State::Connected && !self.answers.is_stable();
        let is_proof = input == Input::Timeout && self.stable_at.is_some_and(|at| at <= now);
        if is_up && input == Input::MarkStable {
            self.stable_at = Some(now);
            self.answers.stable(true);
        } else if is_up && is_proof {
            // At the end of time no deadline is left to pass: it may have proved stable, or not.
            self.answers.stable(after == State::Connected && !is_near_the_end(now));
        } else if input == Input::RetryNow
            && self.phase() == Some(Phase::Waiting)
            && self.leaving.is_none()
        {
            self.answers.reset_failures();
        } else if matches!(input, Input::Hint(Hint::Online | Hint::Wake)) {
            self.answers.doubt();
        }
    }

    fn follow(&mut self, action: Action, input: Input, now: Instant) -> Checked {
        let live = self.live;
        let what = || format!("{action:?} while {live:?} is live, after {input:?}");
        match action {
            Action::FetchToken { id } if self.state == State::Connected => {
                ensure(live == Some(id), "a token is renewed for the live transport", what)
            }
            Action::FetchToken { id } => {
                ensure(
                    live.is_none() && id > self.newest,
                    "one transport at a time, each with a new id",
                    what,
                )?;
                (self.live, self.newest, self.locating) = (Some(id), id, false);
                ensure(
                    self.config.credentials.fetch,
                    "tokens are fetched where there is a provider",
                    what,
                )
            }
            Action::FetchAddress { id, endpoint } => {
                let free = live.is_none() && id > self.newest;
                let is_next = if self.config.credentials.fetch { live == Some(id) } else { free };
                ensure(is_next, "an address is fetched once per attempt, after its token", what)?;
                ensure(endpoint != Endpoint::Redirected, "a redirect needs no address", what)?;
                ensure(self.is_its_turn(endpoint, now), "each endpoint has its turn", what)?;
                (self.live, self.newest, self.locating) = (Some(id), id, true);
                ensure(
                    self.config.credentials.address,
                    "addresses are fetched where there is a provider",
                    what,
                )
            }
            Action::Dial { id, endpoint } => {
                let redirected = endpoint == Endpoint::Redirected;
                let fetched = self.fetches() && !redirected;
                let free = live.is_none() && id > self.newest;
                ensure(if fetched { live == Some(id) } else { free }, "one dial at a time", what)?;
                (self.live, self.newest) = (Some(id), id);
                self.redirects = if redirected { self.redirects.saturating_add(1) } else { 0 };
                ensure(self.redirects <= self.config.max_redirects, "redirects are bounded", what)?;
                ensure(self.is_its_turn(endpoint, now), "each endpoint has its turn", what)?;
                self.dialed(now, redirected)
            }
            Action::Drop { id } => {
                self.live = None;
                ensure(live == Some(id), "only the live transport is dropped", what)
            }
            Action::StartStep { id, .. }
            | Action::SendPing { id, .. }
            | Action::RenewToken { id }
            | Action::SendClose { id, .. } => {
                ensure(live == Some(id), "only the live transport is used", what)
            }
            Action::Event(event) => self.heard(event, input, now),
            _ => Ok(()),
        }
    }

    fn heard(&mut self, event: LinkEvent, input: Input, now: Instant) -> Checked {
        let state = self.state;
        let what = || format!("{event:?} in {state:?}, after {input:?}");
        match event {
            LinkEvent::State { from, to, reason } => {
                ensure(
                    from == state && self.is_legal(to),
                    "each change follows the one before",
                    what,
                )?;
                self.state = to;
                self.asked_for |=
                    self.is_waiting(to) && matches!(reason, Reason::Connect | Reason::RetryNow);
                if let State::Closed(reason) = to {
                    // A login lasts until a deliberate end.
                    self.logged_in &= matches!(reason, ClosedReason::GaveUp(_));
                    self.leaving = None;
                }
                if to == State::Closing {
                    // What closes proves nothing any more.
                    self.stable_at = None;
                    self.answers.closes();
                }
                if self.is_attempt(to)
                    && !matches!(reason, Reason::TokenReady | Reason::AddressReady)
                {
                    self.begins(reason, now)?;
                }
                if to == State::Connected {
                    (self.stable_at, self.attempt) = (Some(now + self.config.stable_after), 0);
                    self.told_to_wait = None;
                    self.answers.usable();
                    if self.config.stable_after.is_zero() {
                        self.answers.stable(true);
                    }
                }
                Ok(())
            }
            LinkEvent::Connected { is_reconnect } => {
                let told = state == State::Connected && is_reconnect == self.again;
                self.again = true;
                ensure(told, "connected is told when it is so", what)
            }
            LinkEvent::Disconnected { code, reason, retry_in } => {
                let its_code = if let Reason::ClosedByPeer(code) = reason {
                    code
                } else {
                    CloseCode::ABNORMAL
                };
                let was_up = state == State::Connected
                    || (state == State::Closing && self.leaving.is_some());
                ensure(was_up && code == its_code, "a loss is told when it happens", what)?;
                let was_stable = self.stable_at.take().is_some_and(|at| at <= now);
                self.ended = Some((now, was_stable));
                self.failed(reason, input, now);
                self.check_wait(retry_in, input)
            }
            LinkEvent::AttemptFailed { attempt, reason, retry_in } => {
                let trying = self.phase().is_some_and(|phase| phase != Phase::Waiting);
                ensure(trying, "an attempt that fails was under way", what)?;
                ensure(attempt == self.attempt, "attempts are counted from the loss", what)?;
                self.ended = Some((now, false));
                self.failed(reason, input, now);
                self.check_wait(retry_in, input)
            }
            LinkEvent::Dialing { attempt, .. } => {
                ensure(attempt == self.attempt, "attempts are counted from the loss", what)
            }
            LinkEvent::GoingAway { .. } => {
                let is_first = self.going_away != self.live;
                self.going_away = self.live;
                ensure(is_first, "a server goes away once", what)
            }
            LinkEvent::Closed { reason } => {
                ensure(state == State::Closed(reason), "the end is told when it is so", what)
            }
            LinkEvent::TokenError { .. } | LinkEvent::StatusChange(_) | _ => Ok(()),
        }
    }

    fn is_its_turn(&mut self, endpoint: Endpoint, now: Instant) -> bool {
        let Endpoint::Configured(endpoint) = endpoint else { return true };
        self.answers.may_dial(endpoint, self.asked_for, now) || is_near_the_end(now)
    }

    /// An attempt or a link failed: records what that means for its endpoint.
    fn failed(&mut self, reason: Reason, input: Input, now: Instant) {
        let verdict = self.verdict(input);
        let is_http = matches!(input, Input::Failed { failure: Failure::Http { .. }, .. });
        let own = matches!(
            reason,
            Reason::TokenFailed
                | Reason::TimedOut(Timer::Token | Timer::Step(Step::Login))
                | Reason::Hint(_)
        );
        let [mut stop, _] = self.stop;
        if matches!(reason, Reason::Dead(_)) && self.config.when_dead == OnDead::Stop {
            stop = Some(StopReason::HEARTBEAT_LOST);
        }
        let failed = Failed {
            stop,
            is_doubtful: is_http && self.again,
            wants_token: verdict == Verdict::RefreshToken && stop.is_none(),
            is_of_endpoint: !own && (self.locating || self.phase() != Some(Phase::Authorizing)),
            pause: self.slow(input).max(self.told(input, now)),
            switches: verdict == Verdict::SwitchEndpoint,
        };
        self.told_to_wait = None;
        self.stop[1] = self.answers.failed(failed, now);
    }

    /// The pause that an endpoint asked for during an attempt.
    fn told(&self, input: Input, now: Instant) -> Duration {
        let retry_after = self.config.retry_after;
        let is_attempt = matches!(self.phase(), Some(Phase::Dialing | Phase::Handshaking(_)));
        let told = if let Input::Failed {
            failure: Failure::Http { retry_after: Some(told), .. },
            ..
        } = input
        {
            Some(told)
        } else {
            self.told_to_wait.filter(|until| *until >= now).map(|until| until - now)
        };
        let told = told.filter(|_| is_attempt && retry_after.honor);
        told.map_or(Duration::ZERO, |told| told.clamp(self.config.backoff.floor, retry_after.max))
    }

    /// An attempt begins: a person's own at any time, the link's own not before the floor.
    fn begins(&mut self, reason: Reason, now: Instant) -> Checked {
        if reason == Reason::Redirected {
            return Ok(());
        }
        self.attempt = self.attempt.saturating_add(1);
        self.asked_for |= matches!(reason, Reason::Connect | Reason::RetryNow);
        let Some((ended, was_stable)) = self.ended else {
            return ensure(self.asked_for, "the first attempt is asked for", || {
                format!("{reason:?}")
            });
        };
        let backoff = self.config.backoff;
        let exempt =
            self.asked_for || (was_stable && backoff.first.is_some()) || is_near_the_end(now);
        let gap = now - ended;
        ensure(exempt || gap >= backoff.floor, "no dial before the floor", || {
            format!("{gap:?} for {reason:?}")
        })
    }

    /// Beside all delays there is the rate limit: a burst of dials, one more for the user, then one
    /// per refill.
    fn dialed(&mut self, now: Instant, redirected: bool) -> Checked {
        let rate = self.config.budget.rate;
        self.dials.push_back(now);
        let is_asked_for = std::mem::take(&mut self.asked_for);
        if self.dials.len() <= rate.burst as usize + 1 + usize::from(is_asked_for) {
            return Ok(());
        }
        let gap = self.dials.pop_front().map_or(Duration::MAX, |first| now - first);
        let exempt = redirected || is_near_the_end(now);
        ensure(exempt || gap >= rate.refill, "the rate of dials is limited", || {
            format!("{gap:?} for {rate:?}")
        })
    }

    fn check_wait(&self, retry_in: Option<Duration>, input: Input) -> Checked {
        let Some(wait) = retry_in else { return Ok(()) };
        let (backoff, budget) = (self.config.backoff, self.config.budget);
        let slow = self.answers.longest_pause();
        let cooldown = budget.breaker.and_then(|breaker| breaker.cooldown).unwrap_or_default();
        let most = [
            slow.saturating_add(backoff.cap),
            self.config.retry_after.max,
            budget.rate.refill,
            cooldown,
        ];
        let most = most.into_iter().max().unwrap_or_default();
        ensure(wait <= most, "a wait has a cap", || {
            format!("{wait:?} after {input:?}, more than {most:?}")
        })
    }

    /// The floor of the verdict on an input.
    fn slow(&self, input: Input) -> Duration {
        if let Verdict::RetrySlow { floor } = self.verdict(input) { floor } else { Duration::ZERO }
    }

    fn verdict(&self, input: Input) -> Verdict {
        if let Input::PeerClosed { code, .. } = input {
            self.verdict_at(code)
        } else if let Input::Handshake {
            event: HandshakeEvent::Refused(Refusal::As(code)), ..
        } = input
        {
            self.verdict_at(code)
        } else if let Input::Failed { failure, .. } = input {
            self.verdict_on(failure)
        } else if let Input::Handshake { event: HandshakeEvent::Refused(Refusal::Token), .. } =
            input
        {
            Verdict::RefreshToken
        } else {
            Verdict::Retry
        }
    }
}
