//! A small reference model of a link's contract, written from the contract and not from the link.
//!
//! It knows what an input may lead to, not how: the jitter is the link's own. What it checks after
//! each input is listed at [`Model::check`].

mod answers;
mod deadlines;
mod rules;
mod states;
mod table;

use std::collections::VecDeque;

use relink::link::{
    HandshakeEvent, Hint, Input, OnOffline, Refusal, ReopenPolicy, Status, Step, Timer, TransportId,
};
use relink::{
    CloseCode, ClosedReason, Failure, Instant, LinkConfig, Phase, State, StopReason, Verdict,
};

use answers::Answers;

/// A rule of the contract that a link broke.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// What happened instead.
    pub detail: String,
}

impl std::error::Error for Violation {}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "broken: {}: {}", self.rule, self.detail)
    }
}

/// What a link shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what the model compares")]
pub struct Snapshot {
    /// Its state.
    pub state: State,
    /// Whether it is still flushing.
    pub flushing: bool,
    /// Its live transport.
    pub transport: Option<TransportId>,
    /// Its next deadline.
    pub deadline: Option<(Instant, Timer)>,
    /// Failed attempts since it was last stable.
    pub attempts: u32,
    /// What a person sees.
    pub shown: Status,
}

/// The contract, and as much of a link's history as it speaks of.
#[derive(Debug, Clone)]
pub struct Model {
    config: LinkConfig,
    state: State,
    live: Option<TransportId>,
    newest: TransportId,
    logged_in: bool,
    /// Whether there is a driver.
    driven: bool,
    again: bool,
    stable_at: Option<Instant>,
    /// When the last attempt or usable link ended, and whether that link had been stable.
    ended: Option<(Instant, bool)>,
    redirects: u8,
    /// Whether the attempt under way has what it needs but for its address.
    locating: bool,
    /// Whether a person asked for the next attempt.
    asked_for: bool,
    /// Whether the link is to be connected again after the close that is under way.
    comes_back: bool,
    /// Until when a closed link tries to get rid of its messages.
    leaving: Option<Instant>,
    /// The number of the attempt since the link was last usable.
    attempt: u32,
    /// The transport whose server said that it goes away.
    going_away: Option<TransportId>,
    /// When the server said to come back.
    told_to_wait: Option<Instant>,
    answers: Answers,
    /// Why the last failure was to end the link, by itself and by earlier answers.
    stop: [Option<StopReason>; 2],
    dials: VecDeque<Instant>,
}

/// What an input may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Nothing at all.
    Nothing,
    /// No change of state.
    Stays,
    /// Just this state.
    Becomes(State),
    /// A new attempt, at once or as soon as the rate of dials allows.
    Attempt,
    /// A new attempt, if it is not too early for one.
    MayAttempt,
    /// The same, or the end, if the wait takes longer than the close may.
    MayLeave,
    /// The end of an attempt or a link: for good if there is a final reason, and no endpoint left
    /// to try.
    Failure(Option<StopReason>),
    /// Another dial in the same attempt, or its end.
    Redirect,
    /// Whatever is due.
    Due,
}

impl Model {
    /// A link that has not been started, with this many endpoints.
    #[must_use]
    pub fn new(config: LinkConfig, endpoints: u8) -> Self {
        let (state, newest) = (State::Idle, TransportId::default());
        Self {
            config,
            state,
            live: None,
            newest,
            logged_in: false,
            driven: true,
            again: false,
            stable_at: None,
            ended: None,
            redirects: 0,
            locating: false,
            asked_for: false,
            comes_back: false,
            leaving: None,
            attempt: 0,
            going_away: None,
            told_to_wait: None,
            answers: Answers::new(endpoints),
            stop: [None; 2],
            dials: VecDeque::new(),
        }
    }

    /// What an input may lead to, by the state alone.
    fn expected(&mut self, input: Input, now: Instant) -> Expected {
        self.logged_in |= input == Input::Login;
        if input == Input::DriverGone {
            (self.driven, self.comes_back) = (false, false);
        }
        let reopens = matches!(input, Input::Connect | Input::RetryNow) && self.may_reopen();
        let is_stale = input.transport().is_some_and(|id| self.live != Some(id));
        if is_stale || (self.state.is_closed() && !reopens) {
            return Expected::Nothing;
        }
        let phase = self.phase();
        let closing = self.state == State::Closing;
        let leaving = self.leaving.is_some();
        match (input, phase) {
            (Input::Timeout, _) => Expected::Due,
            (Input::DriverGone, _) => Expected::Becomes(State::Closed(ClosedReason::DriverGone)),
            (Input::Connect, _) if self.state == State::Idle => Expected::Attempt,
            _ if reopens => Expected::Attempt,
            (Input::Hint(Hint::Offline), None)
                if self.state == State::Connected
                    && self.config.when_offline == OnOffline::Disconnect =>
            {
                Expected::Failure(None)
            }
            (Input::Connect | Input::RetryNow, _) if closing || leaving => {
                self.comes_back = self.config.reopen == ReopenPolicy::Always;
                Expected::Nothing
            }
            (Input::RetryNow, Some(Phase::Waiting)) => Expected::Attempt,
            (Input::Hint(Hint::Online | Hint::Wake), Some(Phase::Waiting)) => Expected::MayAttempt,
            (Input::Close { .. }, _) if self.state == State::Connected => {
                Expected::Becomes(State::Closing)
            }
            (Input::Close { .. } | Input::Finish { .. }, _) if closing => {
                self.comes_back = false;
                Expected::Nothing
            }
            (Input::Finish { .. }, _) if leaving => {
                self.comes_back = false;
                Expected::Nothing
            }
            (Input::Finish { .. }, _) if self.state != State::Idle => {
                self.leaving = Some(now + self.config.flush_timeout);
                match phase {
                    None => Expected::Becomes(State::Closing),
                    Some(Phase::Waiting) => Expected::MayLeave,
                    Some(_) => Expected::Stays,
                }
            }
            (Input::Close { .. } | Input::Finish { .. }, _) => {
                self.comes_back = false;
                Expected::Becomes(State::Closed(ClosedReason::Requested))
            }
            (Input::Flushed, Some(_)) if leaving && self.comes_back => Expected::Attempt,
            (Input::Flushed, Some(_)) if leaving => {
                Expected::Becomes(State::Closed(ClosedReason::Requested))
            }
            (Input::Login, Some(Phase::Handshaking(Step::Login))) => {
                self.after_step(Some(Step::Login))
            }
            (Input::Token { result, .. }, Some(Phase::Authorizing)) if !self.locating => {
                match result {
                    Ok(_) if self.config.credentials.address => Expected::Stays,
                    Ok(_) => self.trying(Phase::Dialing),
                    Err(_) => Expected::Failure(None),
                }
            }
            (Input::Address { result, .. }, Some(Phase::Authorizing)) if self.locating => {
                match result {
                    Ok(()) => self.trying(Phase::Dialing),
                    Err(_) => Expected::Failure(None),
                }
            }
            (Input::Opened { .. }, Some(Phase::Dialing)) => self.after_step(None),
            (Input::Failed { .. } | Input::PeerClosed { .. }, _)
                if closing && !leaving && self.comes_back =>
            {
                Expected::Attempt
            }
            (Input::Failed { .. } | Input::PeerClosed { .. }, _) if closing && !leaving => {
                Expected::Becomes(State::Closed(ClosedReason::Requested))
            }
            (Input::Failed { failure: Failure::HttpRedirect, .. }, Some(Phase::Dialing)) => {
                Expected::Redirect
            }
            (Input::Failed { failure, .. }, _) => Expected::Failure(self.stop_on(failure)),
            (Input::PeerClosed { code, .. }, _) => Expected::Failure(self.stop_at(code)),
            (Input::Handshake { event: signal, .. }, Some(Phase::Handshaking(step))) => {
                self.signalled(signal, step)
            }
            _ => Expected::Stays,
        }
    }

    fn signalled(&self, signal: HandshakeEvent, step: Step) -> Expected {
        match (signal, step) {
            (HandshakeEvent::Welcome, Step::Welcome)
            | (HandshakeEvent::ChallengeMet, Step::Challenge)
            | (HandshakeEvent::Authenticated, Step::Authenticating) => self.after_step(Some(step)),
            (HandshakeEvent::Redirect, _) => Expected::Redirect,
            (HandshakeEvent::Refused(Refusal::As(code)), _) => {
                Expected::Failure(self.stop_at(code))
            }
            (HandshakeEvent::Refused(Refusal::Stop(reason)), _) => Expected::Failure(Some(reason)),
            (HandshakeEvent::Refused(_), _) => {
                Expected::Failure(self.stop(Verdict::RefreshToken, None))
            }
            _ => Expected::Stays,
        }
    }

    /// The next step that is configured, or the usable link.
    fn after_step(&self, step: Option<Step>) -> Expected {
        let steps = self.config.handshake;
        let exists = |step: &Step| match step {
            Step::Welcome => steps.welcome.is_some(),
            Step::Challenge => steps.challenge.is_some(),
            Step::Login => steps.login && !self.logged_in,
            Step::Authenticating => steps.authentication.is_some(),
        };
        let order = [Step::Welcome, Step::Challenge, Step::Login, Step::Authenticating];
        let next =
            order.into_iter().filter(|next| step.is_none_or(|step| *next > step)).find(exists);
        let usable = if self.leaving.is_some() { State::Closing } else { State::Connected };
        next.map_or(Expected::Becomes(usable), |next| self.trying(Phase::Handshaking(next)))
    }

    fn trying(&self, phase: Phase) -> Expected {
        Expected::Becomes(if self.again {
            State::Reconnecting(phase)
        } else {
            State::Connecting(phase)
        })
    }

    fn stop_at(&self, code: CloseCode) -> Option<StopReason> {
        self.stop(self.verdict_at(code), Some(code))
    }

    fn stop_on(&self, failure: Failure) -> Option<StopReason> {
        self.stop(self.verdict_on(failure), None)
    }

    fn verdict_on(&self, failure: Failure) -> Verdict {
        table::of_failure(&self.config.close_policy, failure)
    }

    fn verdict_at(&self, code: CloseCode) -> Verdict {
        table::of_close(&self.config.close_policy, code)
    }

    fn stop(&self, verdict: Verdict, code: Option<CloseCode>) -> Option<StopReason> {
        let expired = code == Some(CloseCode::TOKEN_EXPIRED);
        match verdict {
            Verdict::Stop(reason) => Some(reason),
            Verdict::RefreshToken if self.config.credentials.fetch => None,
            Verdict::RefreshToken if expired => Some(StopReason::TOKEN_EXPIRED),
            Verdict::RefreshToken => Some(StopReason::UNAUTHORIZED),
            Verdict::Retry
            | Verdict::RetryNow
            | Verdict::RetrySlow { .. }
            | Verdict::SwitchEndpoint
            | _ => None,
        }
    }

    fn may_reopen(&self) -> bool {
        let State::Closed(reason) = self.state else { return false };
        match self.config.reopen {
            ReopenPolicy::Always => self.driven,
            ReopenPolicy::AfterGivingUp => self.driven && matches!(reason, ClosedReason::GaveUp(_)),
            ReopenPolicy::Never | _ => false,
        }
    }

    fn phase(&self) -> Option<Phase> {
        if let State::Connecting(phase) | State::Reconnecting(phase) = self.state {
            Some(phase)
        } else {
            None
        }
    }
}
