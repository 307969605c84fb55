//! A token bucket: a burst at once, then one per interval.

use core::time::Duration;

use crate::base::config::{ConfigError, YEAR};
use crate::base::setting::within;
use crate::base::time::Instant;

/// A token bucket: `burst` at once, then one per `refill`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields, remote = "Self")
)]
#[expect(clippy::exhaustive_structs, reason = "a token bucket has these two numbers")]
pub struct Rate {
    /// The size of the bucket: this many at once. At least 1.
    pub burst: u32,
    /// The time in which the bucket gains one.
    #[cfg_attr(feature = "serde", serde(with = "relink::internal::setting"))]
    pub refill: Duration,
}

#[cfg(feature = "serde")]
crate::base::tables::from_tables!(Rate);

impl Rate {
    /// Checks both fields, under their paths in the configuration.
    pub fn validate(
        &self,
        [burst, refill]: [&'static str; 2],
        most: u32,
        shortest: Duration,
    ) -> Result<(), ConfigError> {
        within(burst, self.burst, 1..=most)?;
        within(refill, self.refill, shortest..=YEAR)
    }
}

/// The state of a bucket. The rate is a parameter, so that many buckets can share one.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    left: u32,
    refilled_at: Instant,
}

impl Bucket {
    /// A bucket that holds a whole burst.
    #[must_use]
    pub const fn full(rate: Rate) -> Self {
        Self { left: rate.burst, refilled_at: Instant::ORIGIN }
    }

    /// How many the bucket holds at `now`.
    pub fn left(&self, rate: Rate, now: Instant) -> u32 {
        let gained = (now - self.refilled_at).as_nanos() / rate.refill.as_nanos().max(1);
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        self.left.saturating_add(gained).min(rate.burst)
    }

    /// When the next one is available: `now`, if the bucket is not empty.
    pub fn next(&self, rate: Rate, now: Instant) -> Instant {
        if self.left(rate, now) > 0 { now } else { self.refilled_at + rate.refill }
    }

    /// Takes one. An empty bucket stays empty.
    pub fn take(&mut self, rate: Rate, now: Instant) {
        let left = self.left(rate, now);
        if left >= rate.burst {
            self.refilled_at = now;
        } else {
            let gained = left.saturating_sub(self.left);
            self.refilled_at = self.refilled_at + rate.refill.saturating_mul(gained);
        }
        self.left = left.saturating_sub(1);
    }

    /// Takes one; from an empty bucket, borrows the next one. At most one is borrowed.
    pub fn borrow(&mut self, rate: Rate, now: Instant) {
        if self.left(rate, now) > 0 {
            return self.take(rate, now);
        }
        if self.refilled_at <= now {
            self.refilled_at = self.refilled_at + rate.refill;
        }
    }

    /// When one can be borrowed: `now`, unless one is owed already.
    pub fn next_borrowed(&self, now: Instant) -> Instant {
        self.refilled_at.max(now)
    }

    /// When the bucket is full again, if nothing is taken.
    #[cfg(feature = "alloc")]
    pub fn full_at(&self, rate: Rate) -> Instant {
        self.refilled_at + rate.refill.saturating_mul(rate.burst.saturating_sub(self.left))
    }
}
