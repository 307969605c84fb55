//! How long until the next attempt.
//!
//! A delay is drawn from a *window*: the curve gives its place, the jitter its width. Floor and cap
//! hold for the window's two ends, so they hold for every delay, and a window that meets the cap is
//! moved below it whole: it keeps its width there, and a fleet at the cap does not fall into step.
//! Integers only, and saturating: attempt `u32::MAX` is as safe as attempt 1.

use core::time::Duration;

use rand_core::Rng;

use crate::base::config::{ConfigError, MILLISECOND, YEAR, config, mistake};
use crate::base::setting::within;
use crate::base::time::{millis, nanos, secs};
use crate::policy::delay_table::DelayTable;

config! {
    /// The schedule of delays between attempts.
    ///
    /// The defaults keep a server that accepts and closes at once to five dials in 20 s, in the
    /// worst case of the jitter (0.75 + 1.5 + 3 + 6 + 10 s), and a fleet at the cap spread over 10
    /// s.
    ///
    /// ```
    /// use core::time::Duration;
    /// use relink::Backoff;
    /// use relink::policy::{Curve, Jitter};
    ///
    /// // 0, 10, 20, 30, 30 … seconds after a stable link, as deepstream's documentation has it.
    /// let ten = Duration::from_secs(10);
    /// let deepstream = Backoff::default()
    ///     .with_first(Some(Duration::ZERO))
    ///     .with_curve(Curve::Linear { initial: ten, step: ten })
    ///     .with_jitter(Jitter::None)
    ///     .with_cap(Duration::from_secs(30));
    /// assert!(deepstream.validate().is_ok());
    /// assert_eq!(Backoff::default().cap, Duration::from_secs(20));
    /// ```
    pub struct Backoff at "backoff.", then check_curve {
        /// How delays grow.
        pub curve / with_curve: Curve =
            Curve::Exponential { initial: millis(1500), factor_pct: 200 };
        /// How the delay is spread around the curve.
        pub jitter / with_jitter: Jitter = Jitter::Equal;
        /// No automatic delay is shorter, except the first after a stable link (see `first`). Lower
        /// means faster recovery from a blink, and more dials against a server in trouble.
        pub floor / with_floor: Duration = millis(250), in MILLISECOND..=YEAR;
        /// No delay is longer, jitter included; only a server's hint or a close code's floor can
        /// exceed it. Not below the floor. Higher spares a server that is down for long, and
        /// notices later that it is back.
        pub cap / with_cap: Duration = secs(20), in MILLISECOND..=YEAR;
        /// Where the curve itself stops growing, before jitter; between `floor` and `cap`. `off`:
        /// at `cap`. Set it lower than `cap` if additive jitter is to go on top of the longest
        /// delay.
        pub curve_cap / with_curve_cap: Option<Duration> = None, in MILLISECOND..=YEAR;
        /// The first attempt after a *stable* link dropped is drawn from zero to this, instead of
        /// the curve's first delay: the one exception to the floor. Zero dials at once; `off`
        /// follows the curve. One second is "at once" to a user, and spreads a fleet that lost its
        /// server together.
        pub first / with_first: Option<Duration> = Some(secs(1)), in Duration::ZERO..=YEAR;
    }
}

/// How delays grow from attempt to attempt, before jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields, remote = "Self")
)]
#[non_exhaustive]
pub enum Curve {
    /// Always the same.
    Fixed {
        /// The delay.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::setting"))]
        delay: Duration,
    },
    /// `initial`, `initial + step`, `initial + 2 × step` … A delay of zero is lifted to the floor.
    Linear {
        /// The first delay.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::setting"))]
        initial: Duration,
        /// What each further delay adds.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::setting"))]
        step: Duration,
    },
    /// `initial`, then `factor_pct` percent of the one before.
    Exponential {
        /// The first delay.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::setting"))]
        initial: Duration,
        /// The growth in percent: 200 doubles. 100 to 10,000.
        factor_pct: u32,
    },
    /// The delays of a table, its last one repeated.
    Table(DelayTable),
    /// Drawn between `initial` and `factor_pct` percent of the delay *drawn* before: spreads a
    /// fleet most quickly. Its own jitter; combine it with [`Jitter::None`].
    Decorrelated {
        /// The shortest delay.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::setting"))]
        initial: Duration,
        /// How far beyond the previous delay the draw may reach, in percent: 300 is usual. 100 to
        /// 10,000.
        factor_pct: u32,
    },
}

#[cfg(feature = "serde")]
crate::base::tables::from_tables!(Curve);

/// How a delay is spread, so that clients that lost their server together do not return together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields, remote = "Self")
)]
#[non_exhaustive]
pub enum Jitter {
    /// No jitter: every client of a fleet dials at the same moment. For tests, and for systems that
    /// define it so.
    None,
    /// From zero (in effect: the floor) to the delay.
    Full,
    /// From half the delay to the delay.
    Equal,
    /// The delay ± this percentage (0 to 100).
    Spread {
        /// The percentage.
        pct: u32,
    },
    /// The delay plus up to this percentage of it (0 to 1,000).
    Additive {
        /// The percentage.
        pct: u32,
    },
}

#[cfg(feature = "serde")]
crate::base::tables::from_tables!(Jitter);

/// The range that a delay is drawn from, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// The shortest delay that can be drawn.
    pub from: Duration,
    /// The longest delay that can be drawn.
    pub to: Duration,
}

impl Window {
    pub(crate) const fn new(from: Duration, to: Duration) -> Self {
        Self { from, to }
    }

    fn width(self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    /// The same width, ending at `cap` at the latest.
    pub(crate) fn capped(self, cap: Duration) -> Self {
        if self.to <= cap {
            return self;
        }
        Self::new(cap.saturating_sub(self.width()), cap)
    }

    /// Both ends lifted to at least `floor`.
    fn floored(self, floor: Duration) -> Self {
        Self::new(self.from.max(floor), self.to.max(floor))
    }

    /// The same width, starting at `floor` at the earliest: how a close code's floor lifts a
    /// window.
    pub(crate) fn lifted(self, floor: Duration) -> Self {
        if self.from >= floor {
            return self;
        }
        Self::new(floor, floor.saturating_add(self.width()))
    }

    /// The later of two windows, end by end.
    pub(crate) fn later(self, other: Self) -> Self {
        Self::new(self.from.max(other.from), self.to.max(other.to))
    }

    /// Draws a delay, evenly over the window.
    pub fn draw<R: Rng + ?Sized>(self, rng: &mut R) -> Duration {
        let from = nanos(self.from);
        let choices = u128::from(nanos(self.to).saturating_sub(from)) + 1;
        let offset = (u128::from(rng.next_u64()) * choices) >> 64;
        Duration::from_nanos(from.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX)))
    }
}

impl Backoff {
    fn check_curve(&self) -> Result<(), ConfigError> {
        within("backoff.cap", self.cap, self.floor..)?;
        within("backoff.curve_cap", self.curve_cap, self.floor..=self.cap)?;
        match self.curve {
            Curve::Fixed { delay } => within("backoff.curve.fixed.delay", delay, ..=YEAR)?,
            Curve::Linear { initial, step } => {
                within("backoff.curve.linear.initial", initial, ..=YEAR)?;
                within("backoff.curve.linear.step", step, ..=YEAR)?;
            }
            Curve::Exponential { initial, factor_pct } => {
                within("backoff.curve.exponential.initial", initial, MILLISECOND..=YEAR)?;
                within("backoff.curve.exponential.factor_pct", factor_pct, 100..=10_000)?;
            }
            Curve::Table(_) => {}
            Curve::Decorrelated { initial, factor_pct } => {
                within("backoff.curve.decorrelated.initial", initial, MILLISECOND..=YEAR)?;
                within("backoff.curve.decorrelated.factor_pct", factor_pct, 100..=10_000)?;
                if self.jitter != Jitter::None {
                    let allowed = "none: a decorrelated curve is its own jitter";
                    return Err(mistake("backoff.jitter", "set", allowed));
                }
            }
        }
        match self.jitter {
            Jitter::None | Jitter::Full | Jitter::Equal => Ok(()),
            Jitter::Spread { pct } => within("backoff.jitter.spread.pct", pct, ..=100),
            Jitter::Additive { pct } => within("backoff.jitter.additive.pct", pct, ..=1_000),
        }
    }

    /// The window of the delay before retry number `retry` (counted from 1); `previous` is the
    /// delay drawn before it, which only a decorrelated curve uses.
    #[must_use]
    pub fn window(&self, retry: u32, previous: Duration) -> Window {
        let limit = self.curve_cap.unwrap_or(self.cap);
        let spread = if let Curve::Decorrelated { initial, factor_pct } = self.curve {
            let reach = percent(previous.max(initial), factor_pct).min(limit);
            Window::new(initial.min(reach), reach)
        } else {
            self.jitter.around(self.curve.base(retry, limit))
        };
        spread.capped(self.cap).floored(self.floor)
    }

    /// The window of the delay of the first attempt after a stable link.
    #[must_use]
    pub fn first_window(&self) -> Window {
        match self.first {
            Some(within) => Window::new(Duration::ZERO, within.min(self.cap)),
            None => self.window(1, Duration::ZERO),
        }
    }
}

impl Curve {
    /// The delay of retry number `retry` before jitter, up to `limit`.
    fn base(&self, retry: u32, limit: Duration) -> Duration {
        let steps = retry.saturating_sub(1);
        let base = match *self {
            Self::Fixed { delay } => delay,
            Self::Linear { initial, step } => initial.saturating_add(step.saturating_mul(steps)),
            Self::Exponential { initial, factor_pct } => grow(initial, factor_pct, steps, limit),
            Self::Table(table) => table.at(retry),
            Self::Decorrelated { initial, .. } => initial,
        };
        base.min(limit)
    }
}

/// `initial × (factor_pct / 100)^steps`, stopping once it reaches the limit or no longer grows.
fn grow(initial: Duration, factor_pct: u32, steps: u32, limit: Duration) -> Duration {
    let mut delay = initial;
    for _ in 0..steps {
        let next = percent(delay, factor_pct);
        if delay >= limit || next <= delay {
            break;
        }
        delay = next;
    }
    delay
}

/// A percentage of a duration, saturating.
pub(crate) fn percent(of: Duration, pct: u32) -> Duration {
    let scaled = u128::from(nanos(of)) * u128::from(pct) / 100;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
}

impl Jitter {
    fn around(self, base: Duration) -> Window {
        match self {
            Self::None => Window::new(base, base),
            Self::Full => Window::new(Duration::ZERO, base),
            Self::Equal => Window::new(base / 2, base),
            Self::Spread { pct } => {
                let reach = percent(base, pct);
                Window::new(base.saturating_sub(reach), base.saturating_add(reach))
            }
            Self::Additive { pct } => Window::new(base, base.saturating_add(percent(base, pct))),
        }
    }
}

/// A position in a [`Backoff`]: how many retries it has given out since the link was last stable.
///
/// ```
/// use relink::Backoff;
/// use relink::policy::Schedule;
/// # use relink::rand_core::SeedableRng;
/// # let mut rng = rand_pcg::Pcg32::seed_from_u64(7);
/// let backoff = Backoff::default();
/// let mut schedule = Schedule::default();
/// for _ in 0..100 {
///     let delay = schedule.next_window(&backoff).draw(&mut rng);
///     schedule.record(delay);
///     assert!(delay >= backoff.floor && delay <= backoff.cap);
/// }
/// schedule.reset();
/// assert_eq!(schedule.retries(), 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    retries: u32,
    previous: Duration,
}

impl Schedule {
    /// Retries given out since the last [`reset`](Self::reset).
    #[must_use]
    pub const fn retries(&self) -> u32 {
        self.retries
    }

    /// Moves to the next retry and returns the window of its delay.
    pub fn next_window(&mut self, backoff: &Backoff) -> Window {
        self.retries = self.retries.saturating_add(1);
        backoff.window(self.retries, self.previous)
    }

    /// Remembers the delay that was drawn.
    pub const fn record(&mut self, delay: Duration) {
        self.previous = delay;
    }

    /// Starts over: the link is stable, or the user asked for it.
    pub const fn reset(&mut self) {
        *self = Self { retries: 0, previous: Duration::ZERO };
    }
}
