//! The rules, checked on what an input did.

use std::time::Duration;

use relink::{
    Action, CloseCode, ClosedReason, Endpoint, FirstFailure, GaveUp, Input, Instant, LinkEvent, LinkSignal,
    Phase, Reason, Refusal, State, Status, Step, StopReason, Verdict,
};

use super::{Broken, Expected, Look, Model};

type Checked = Result<(), Broken>;

fn ensure(holds: bool, rule: &'static str, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Broken { rule, what: what() }) }
}

impl Model {
    /// Checks what an input did at `now`, a time that never goes backwards.
    ///
    /// * The state afterwards is one that the input may lead to; events tell each change, in order, without a gap (I4).
    /// * There is one live transport at the most, actions speak of it alone, and its id was never used before (I1).
    /// * An input from another transport changes nothing (I1).
    /// * Before the floor there is no dial, but for the first after a stable link and those that a person asks for
    ///   (I6); waits stay below their cap (I7); the rate limit holds.
    /// * Failures are forgotten after a stable link and by a person's word alone (I5).
    /// * The end is told once and last, and leaves no deadline (I2, I31); states that wait have one (I16).
    /// * A person is shown a usable link where there is one, or a grace (I3).
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    pub fn check(
        &mut self,
        input: Input,
        now: Instant,
        before: &Look,
        actions: &[Action],
        after: &Look,
    ) -> Checked {
        let expected = self.expected(input);
        if input == Input::MarkStable && self.state == State::Connected {
            self.stable_at = Some(now);
        }
        let was_stable = self.stable_at.is_some_and(|at| at <= now);
        for (index, action) in actions.iter().enumerate() {
            self.follow(*action, input, now)?;
            let is_end = matches!(action, Action::Event(LinkEvent::Closed { .. }));
            ensure(!is_end || index + 1 == actions.len(), "the end is told last", || format!("{actions:?}"))?;
        }
        ensure(self.state == after.state, "events tell each change", || {
            format!("{:?}: {after:?}", self.state)
        })?;
        ensure(self.live == after.transport, "one live transport", || format!("{:?}: {after:?}", self.live))?;
        let is_as_expected = match expected {
            Expected::Nothing => actions.is_empty() && before == after,
            Expected::Stays => before.state == after.state,
            Expected::Becomes(state) => after.state == state,
            Expected::Attempt => self.is_attempt(after.state),
            Expected::MayAttempt => before.state == after.state || self.is_attempt(after.state),
            Expected::Redirect => self.is_dialing(after.state) || self.is_failure(after.state, None),
            Expected::Failure(stop) => self.is_failure(after.state, stop),
            Expected::Due => true,
        };
        let what = || format!("{input:?} in {before:?} led to {after:?}, not {expected:?}");
        ensure(is_as_expected, "inputs lead where the contract says", what)?;

        let by_person = matches!(input, Input::Connect | Input::RetryNow | Input::MarkStable);
        let needs_no_proof = self.config.stable_after.is_zero() && after.state == State::Connected;
        let may_forget = by_person || needs_no_proof || (input == Input::Timeout && was_stable);
        let forgot = after.attempts < before.attempts;
        ensure(!forgot || may_forget, "only stable links are forgiven", || format!("{input:?}: {after:?}"))?;
        let hidden = self.config.surface.grace.is_some() && after.state.status() == Status::Reconnecting;
        let honest = after.shown != Status::Connected || after.state == State::Connected || hidden;
        ensure(honest, "what is shown is so", || format!("{after:?}"))?;
        self.check_deadline(now, after)
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
                ensure(self.config.credentials.fetch, "tokens are fetched where there is a provider", what)
            }
            Action::FetchAddress { id, endpoint } => {
                let free = live.is_none() && id > self.newest;
                let is_next = if self.config.credentials.fetch { live == Some(id) } else { free };
                ensure(is_next, "an address is fetched once per attempt, after its token", what)?;
                ensure(endpoint != Endpoint::Redirected, "a redirect needs no address", what)?;
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
                self.dialled(now, redirected)
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
            Action::Event(event) => self.told(event, input, now),
            _ => Ok(()),
        }
    }

    fn told(&mut self, event: LinkEvent, input: Input, now: Instant) -> Checked {
        let state = self.state;
        let what = || format!("{event:?} in {state:?}, after {input:?}");
        match event {
            LinkEvent::State { from, to, reason } => {
                ensure(from == state && self.is_legal(to), "each change follows the one before", what)?;
                self.state = to;
                if let State::Closed(reason) = to {
                    // A login lasts until a deliberate end.
                    self.logged_in &= matches!(reason, ClosedReason::GaveUp(_));
                }
                if self.is_attempt(to) && !matches!(reason, Reason::TokenReady | Reason::AddressReady) {
                    self.begins(reason, now)?;
                }
                if to == State::Connected {
                    self.stable_at = Some(now + self.config.stable_after);
                }
                Ok(())
            }
            LinkEvent::Connected { is_reconnect } => {
                let told = state == State::Connected && is_reconnect == self.again;
                self.again = true;
                ensure(told, "connected is told when it is so", what)
            }
            LinkEvent::Disconnected { code, reason, retry_in } => {
                let its_code =
                    if let Reason::ClosedByPeer(code) = reason { code } else { CloseCode::ABNORMAL };
                ensure(
                    state == State::Connected && code == its_code,
                    "a loss is told when it happens",
                    what,
                )?;
                let was_stable = self.stable_at.take().is_some_and(|at| at <= now);
                self.ended = Some((now, was_stable));
                self.check_wait(retry_in, input)
            }
            LinkEvent::AttemptFailed { retry_in, .. } => {
                let trying = self.phase().is_some_and(|phase| phase != Phase::Waiting);
                ensure(trying, "an attempt that fails was under way", what)?;
                self.ended = Some((now, false));
                self.check_wait(retry_in, input)
            }
            LinkEvent::Closed { reason } => {
                ensure(state == State::Closed(reason), "the end is told when it is so", what)
            }
            LinkEvent::Dialing { .. }
            | LinkEvent::TokenError { .. }
            | LinkEvent::GoingAway { .. }
            | LinkEvent::Shown(_)
            | _ => Ok(()),
        }
    }

    /// An attempt begins: a person's own at any time, the link's own not before the floor.
    fn begins(&mut self, reason: Reason, now: Instant) -> Checked {
        if reason == Reason::Redirected {
            return Ok(());
        }
        self.asked_for = matches!(reason, Reason::Connect | Reason::RetryNow);
        let Some((ended, was_stable)) = self.ended else {
            return ensure(self.asked_for, "the first attempt is asked for", || format!("{reason:?}"));
        };
        let backoff = self.config.backoff;
        let exempt = self.asked_for || (was_stable && backoff.first.is_some()) || is_near_the_end(now);
        let gap = now - ended;
        ensure(exempt || gap >= backoff.floor, "no dial before the floor", || {
            format!("{gap:?} for {reason:?}")
        })
    }

    /// Behind all delays stands the rate limit: so many dials at once, then one per refill.
    fn dialled(&mut self, now: Instant, redirected: bool) -> Checked {
        let rate = self.config.budget.rate;
        self.dials.push_back(now);
        if self.dials.len() <= rate.burst as usize + 1 {
            return Ok(());
        }
        let gap = self.dials.pop_front().map_or(Duration::MAX, |first| now - first);
        let exempt = self.asked_for || redirected || is_near_the_end(now);
        ensure(exempt || gap >= rate.refill, "the rate of dials is limited", || {
            format!("{gap:?} for {rate:?}")
        })
    }

    fn check_wait(&self, retry_in: Option<Duration>, input: Input) -> Checked {
        let Some(wait) = retry_in else { return Ok(()) };
        let (backoff, budget) = (self.config.backoff, self.config.budget);
        let slow = self.slow(input);
        let cooldown = budget.breaker.and_then(|breaker| breaker.cooldown).unwrap_or_default();
        let most =
            [slow.saturating_add(backoff.cap), self.config.retry_after.max, budget.rate.refill, cooldown];
        let most = most.into_iter().max().unwrap_or_default();
        ensure(wait <= most, "a wait has a cap", || format!("{wait:?} after {input:?}, more than {most:?}"))
    }

    /// The floor of the verdict on an input.
    fn slow(&self, input: Input) -> Duration {
        let verdict = if let Input::PeerClosed { code, .. } = input {
            self.config.close_policy.on_close(code)
        } else if let Input::Signal { signal: LinkSignal::Refused(Refusal::As(code)), .. } = input {
            self.config.close_policy.on_close(code)
        } else if let Input::Failed { failure, .. } = input {
            self.verdict_on(failure)
        } else {
            Verdict::Retry
        };
        if let Verdict::RetrySlow { floor } = verdict { floor } else { Duration::ZERO }
    }

    /// Whether the state may follow the present one.
    fn is_legal(&mut self, to: State) -> bool {
        if self.state.is_closed() || self.state == State::Idle {
            (self.again, self.ended, self.stable_at) = (false, None, None);
            return self.is_attempt(to) || to == State::Closed(ClosedReason::Requested);
        }
        let phase = match to {
            State::Connecting(phase) if !self.again => phase,
            State::Reconnecting(phase) if self.again => phase,
            State::Connected => return self.phase().is_some_and(|phase| phase != Phase::Waiting),
            State::Closing => return self.state == State::Connected,
            State::Closed(_) => return true,
            State::Idle | State::Connecting(_) | State::Reconnecting(_) | _ => return false,
        };
        match (self.phase(), phase) {
            (None, phase) => self.state == State::Connected && phase == Phase::Waiting,
            (Some(Phase::Waiting), next) => matches!(next, Phase::Authorizing | Phase::Dialing),
            (Some(Phase::Handshaking(step)), Phase::Handshaking(next)) => next > step,
            (Some(Phase::Dialing), Phase::Handshaking(_)) => true,
            (Some(Phase::Authorizing | Phase::Handshaking(_)), Phase::Dialing) => true,
            (Some(_), next) => next == Phase::Waiting,
        }
    }

    /// Whether an attempt needs something before it dials.
    const fn fetches(&self) -> bool {
        self.config.credentials.fetch || self.config.credentials.address
    }

    fn is_dialing(&self, state: State) -> bool {
        matches!(state, State::Connecting(Phase::Dialing) | State::Reconnecting(Phase::Dialing))
    }

    fn is_attempt(&self, state: State) -> bool {
        let first = if self.fetches() { Phase::Authorizing } else { Phase::Dialing };
        self.is_dialing(state) || state == State::Connecting(first) || state == State::Reconnecting(first)
    }

    /// Whether a failure may lead there: to a wait, to the next attempt where the wait is none, or to an end.
    fn is_failure(&self, state: State, stop: Option<StopReason>) -> bool {
        match state {
            State::Closed(ClosedReason::Stopped { reason, .. }) => stop == Some(reason),
            State::Closed(ClosedReason::GaveUp(budget)) => stop.is_none() && self.may_give_up(budget),
            State::Connecting(phase) | State::Reconnecting(phase) => {
                stop.is_none() && (phase == Phase::Waiting || self.is_attempt(state))
            }
            State::Idle | State::Connected | State::Closing | State::Closed(_) | _ => false,
        }
    }

    fn may_give_up(&self, because: GaveUp) -> bool {
        let budget = self.config.budget;
        match because {
            GaveUp::Attempts => budget.max_attempts.is_some(),
            GaveUp::Elapsed => budget.max_elapsed.is_some(),
            GaveUp::CircuitOpen => budget.breaker.is_some_and(|breaker| breaker.cooldown.is_none()),
            GaveUp::TokenRefused => self.config.credentials.max_refusals.is_some(),
            GaveUp::FirstAttempt => !self.again && self.config.first_failure == FirstFailure::Stop,
            _ => false,
        }
    }

    /// The deadline of a state is there, and within what the state may take; at the end nothing is left.
    fn check_deadline(&self, now: Instant, after: &Look) -> Checked {
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
                Phase::Handshaking(_) | _ => None,
            },
            State::Connected => config
                .heartbeat
                .interval
                .map(|interval| interval.max(config.heartbeat.timeout).max(config.heartbeat.probe)),
            State::Closing if after.flushing => Some(config.flush_timeout),
            State::Closing => Some(config.close_timeout),
            _ => None,
        };
        let in_time = |limit| after.deadline.is_some_and(|(at, _)| at <= now + limit);
        ensure(limit.is_none_or(in_time), "each phase has its deadline", || format!("{after:?} at {now:?}"))
    }
}

/// Where time ends, sums saturate, and nothing can be said of what lies between two moments.
fn is_near_the_end(now: Instant) -> bool {
    let far = Duration::from_secs(800 * 24 * 3600);
    (now + far) - now < far
}
