//! The one source of chance in a world.

use std::time::Duration;

use rand_pcg::Pcg32;
use relink::rand_core::{Rng, SeedableRng};

/// Draws what a world needs: numbers, yes or no, delays.
#[derive(Debug)]
pub(super) struct Dice(Pcg32);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Pcg32::seed_from_u64(seed))
    }

    /// From 0 up to, and not including, `end`; 0 if that is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.0.next_u64() % end }
    }

    /// An index into something of this length.
    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// Both ends included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    pub(super) fn percent(&mut self, of: u64) -> bool {
        self.below(100) < of
    }

    pub(super) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    pub(super) fn secs(&mut self, low: u64, high: u64) -> Duration {
        self.millis(low * 1000, high * 1000)
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    pub(super) fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }
}
