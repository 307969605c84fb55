//! A token bucket that gives each one it refuses another time to come back.

use core::time::Duration;
use relink::Instant;
use relink::internal::Bucket;
use relink::policy::Rate;

#[derive(Debug, Clone, Copy)]
pub(super) struct Gate {
    bucket: Bucket,
    /// The latest time that was given out.
    promised: Instant,
}

impl Gate {
    pub(super) const fn new(rate: Rate) -> Self {
        Self { bucket: Bucket::full(rate), promised: Instant::ORIGIN }
    }

    /// How long to wait if nothing is left: until the first token that was not promised yet.
    /// When that is further away than `longest`, the promises start over from the next token.
    pub(super) fn refusal(
        &mut self,
        rate: Rate,
        longest: Duration,
        now: Instant,
    ) -> Option<Duration> {
        if self.bucket.left(rate, now) > 0 {
            return None;
        }
        let next = self.bucket.next(rate, now);
        let unpromised = next.max(self.promised + rate.refill);
        self.promised = if unpromised - now > longest { next } else { unpromised };
        Some(self.promised - now)
    }

    pub(super) fn take(&mut self, rate: Rate, now: Instant) {
        self.bucket.take(rate, now);
    }

    /// When the bucket is full again.
    pub(super) fn idle_at(&self, rate: Rate) -> Instant {
        self.bucket.full_at(rate)
    }
}
