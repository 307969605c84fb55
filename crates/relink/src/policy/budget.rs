//! How much trying is allowed: attempts, elapsed time, a rate limit on dials, a circuit breaker.

use core::time::Duration;

use crate::base::bounded::Bounded;
use crate::base::config::{ConfigError, MILLISECOND, YEAR, config};
use crate::base::setting::within;
use crate::base::time::{Instant, millis, secs};
use crate::policy::rate_limit::{Bucket, Rate};

config! {
    /// The limits on trying.
    pub struct BudgetConfig at "budget.", then check_rates {
        /// Give up after this many failures since the link was last stable: failed attempts, and
        /// links that were lost before they were stable; with several endpoints, all of theirs
        /// together. The attempts that events number count from the last usable link instead. `off`
        /// never gives up.
        pub max_attempts / with_max_attempts: Option<u32> = None, in 1..;
        /// Give up once the link was down for this long.
        pub max_elapsed / with_max_elapsed: Option<Duration> = None, in MILLISECOND..=YEAR;
        /// A limit on dials on top of all delays, so that no combination of rules is a hot loop. It
        /// also holds for `retry_now`, which may exceed the burst by one dial, at once; the next
        /// waits for the rate. A burst of 1 to 1,000.
        pub rate / with_rate: Rate = Rate { burst: 10, refill: secs(1) };
        /// What to do after many failures in a short time: stop, or pause and probe.
        pub breaker / with_breaker: Option<Breaker> = None;
    }
}

/// A circuit breaker: it opens after `failures` within `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields, remote = "Self")
)]
#[expect(clippy::exhaustive_structs, reason = "a breaker has these three numbers")]
pub struct Breaker {
    /// The number of failed attempts. 1 to 16.
    pub failures: u32,
    /// Within this time.
    #[cfg_attr(feature = "serde", serde(with = "relink::internal::setting"))]
    pub window: Duration,
    /// While open, one attempt (the half-open probe) per this time; `off` gives up until the user
    /// acts.
    #[cfg_attr(feature = "serde", serde(with = "relink::internal::setting"))]
    pub cooldown: Option<Duration>,
}

#[cfg(feature = "serde")]
crate::base::tables::from_tables!(Breaker);

/// Which budget was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[expect(
    clippy::exhaustive_enums,
    reason = "code that maps ends ought to hear from the compiler of a new one"
)]
pub enum GiveUpReason {
    /// There were `max_attempts` failures since the link was last stable: failed attempts, and
    /// links that were lost early.
    Attempts,
    /// The link was down for `max_elapsed`.
    Elapsed,
    /// The circuit breaker opened and has no cooldown.
    CircuitOpen,
    /// The server refused `max_refusals` tokens in a row.
    TokenRefused,
    /// The first attempt failed, and `first_failure` is `stop`.
    FirstAttempt,
}

impl GiveUpReason {
    /// The symbolic name, in `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attempts => "attempts_exhausted",
            Self::Elapsed => "time_exhausted",
            Self::CircuitOpen => "circuit_open",
            Self::TokenRefused => "token_refused",
            Self::FirstAttempt => "first_attempt_failed",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Attempts | Self::Elapsed | Self::CircuitOpen => {
                "The server could not be reached; check the network and the address, then try again."
            }
            Self::TokenRefused => "The server refuses every token; log in again.",
            Self::FirstAttempt => "The first attempt failed; check the address, then try again.",
        }
    }
}

const MAX_FAILURES: usize = 16;

/// What was used of the limits.
#[derive(Debug, Clone)]
pub struct Budget {
    config: BudgetConfig,
    attempts: u32,
    down_since: Option<Instant>,
    dials: Bucket,
    /// For the breaker: the most recent failures, as many as open it.
    failures: Bounded<Instant, MAX_FAILURES>,
    open: bool,
}

impl BudgetConfig {
    fn check_rates(&self) -> Result<(), ConfigError> {
        self.rate.validate(["budget.rate.burst", "budget.rate.refill"], 1_000, MILLISECOND)?;
        let Some(breaker) = self.breaker else { return Ok(()) };
        within("budget.breaker.failures", breaker.failures as usize, 1..=MAX_FAILURES)?;
        within("budget.breaker.window", breaker.window, MILLISECOND..=YEAR)?;
        // With more frequent half-open probes it would be no breaker.
        within("budget.breaker.cooldown", breaker.cooldown, millis(100)..=YEAR)
    }
}

impl Budget {
    /// Creates a budget of which nothing is used.
    #[must_use]
    pub fn new(config: BudgetConfig) -> Self {
        Self {
            config,
            attempts: 0,
            down_since: None,
            dials: Bucket::full(config.rate),
            failures: Bounded::new(),
            open: false,
        }
    }

    /// Failures since the link was last stable: failed attempts, and links that were lost early.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether the circuit breaker is open: at most a probe per cooldown.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// The link is down, if it was not before: elapsed time counts from here.
    pub fn down(&mut self, now: Instant) {
        self.down_since.get_or_insert(now);
    }

    /// An attempt failed, or a link was lost before it was stable.
    pub fn failed(&mut self, now: Instant) {
        self.attempts = self.attempts.saturating_add(1);
        let Some(breaker) = self.config.breaker else { return };
        while self.failures.free() <= MAX_FAILURES.saturating_sub(breaker.failures as usize) {
            self.failures.pop();
        }
        self.failures.push(now);
        let nth = self.failures.newest().nth((breaker.failures as usize).saturating_sub(1));
        self.open |= nth.is_some_and(|at| now - at <= breaker.window);
    }

    /// The link is usable: elapsed time ends, though failures still count until it is stable.
    pub fn up(&mut self) {
        self.down_since = None;
    }

    /// The link is stable, or the user acted: failures are forgotten, the rate limit is not.
    pub fn reset_failures(&mut self) {
        self.attempts = 0;
        self.down_since = None;
        self.failures = Bounded::new();
        self.open = false;
    }

    /// Which limit is used up at `now`, if any.
    #[must_use]
    pub fn exhausted(&self, now: Instant) -> Option<GiveUpReason> {
        let elapsed = self.down_since.map_or(Duration::ZERO, |since| now - since);
        if self.config.max_attempts.is_some_and(|most| self.attempts >= most) {
            return Some(GiveUpReason::Attempts);
        }
        if self.config.max_elapsed.is_some_and(|most| elapsed >= most) {
            return Some(GiveUpReason::Elapsed);
        }
        let no_probe = self.config.breaker.is_some_and(|breaker| breaker.cooldown.is_none());
        (self.open && no_probe).then_some(GiveUpReason::CircuitOpen)
    }

    /// When `max_elapsed` will be used up, if the link stays down.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        Some(self.down_since? + self.config.max_elapsed?)
    }

    /// The earliest moment at which the next automatic dial may start.
    #[must_use]
    pub fn earliest_dial(&self, now: Instant) -> Instant {
        let rate = self.dials.next(self.config.rate, now);
        let pause = self.config.breaker.and_then(|breaker| breaker.cooldown).filter(|_| self.open);
        let probe =
            self.failures.newest().next().zip(pause).map_or(now, |(last, pause)| last + pause);
        rate.max(probe).max(now)
    }

    /// The earliest moment at which a dial may start that the user asked for: now, even if the rate
    /// is used up. That one is borrowed; the next waits until it has been paid back.
    #[must_use]
    pub fn earliest_asked(&self, now: Instant) -> Instant {
        self.dials.next_borrowed(now)
    }

    /// A dial starts. One that the user asked for, and a redirect, count even if the rate is used
    /// up.
    pub fn dialed(&mut self, now: Instant) {
        self.dials.borrow(self.config.rate, now);
    }
}
