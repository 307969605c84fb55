//! Faults by chance, and the same ones again for the same seed.

use std::{num::NonZeroU32, time::Duration};

use super::fault::{Dials, Direction, Fault, Termination};

/// Something that a schedule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduledFault {
    /// To every connection, and to those that come later.
    Fault(Fault),
    /// To clients that dial from now on.
    Dials(Dials),
    /// Connections that come later lead to another upstream: the one with this number, counted
    /// around.
    Upstream(usize),
}

/// When something is done to the connections of a proxy: acts with their times, counted from the
/// start.
///
/// ```
/// use std::time::Duration;
/// use relink_testing::proxy::{ScheduledFault, Fault, Schedule};
///
/// let schedule = Schedule::random(7, 5, Duration::from_secs(1));
/// assert_eq!(schedule, Schedule::random(7, 5, Duration::from_secs(1)));
/// // At its end all is well.
/// assert!(schedule.acts().iter().any(|(_, act)| *act == ScheduledFault::Fault(Fault::Pass)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(Vec<(Duration, ScheduledFault)>);

impl Schedule {
    /// These acts, sorted by their times.
    #[must_use]
    pub fn new(acts: impl IntoIterator<Item = (Duration, ScheduledFault)>) -> Self {
        let mut acts: Vec<_> = acts.into_iter().collect();
        acts.sort_by_key(|(at, _)| *at);
        Self(acts)
    }

    /// This many faults within this time, drawn from the seed: cuts of every kind, holes, delays,
    /// low rates, refused clients, changes of the upstream. Each one ends where the next one
    /// begins, the last one at the end of the time.
    #[must_use]
    pub fn random(seed: u64, faults: usize, within: Duration) -> Self {
        let mut chance = Chance(seed);
        let mut times: Vec<_> = (0..faults).map(|_| chance.duration(within)).collect();
        times.sort_unstable();
        let mut acts = Vec::new();
        for at in times {
            acts.extend(PEACE.map(|act| (at, act)));
            acts.push((at, chance.act()));
        }
        acts.extend(PEACE.map(|act| (within, act)));
        Self(acts)
    }

    /// What is done when, in this order.
    #[must_use]
    pub fn acts(&self) -> &[(Duration, ScheduledFault)] {
        &self.0
    }
}

const PEACE: [ScheduledFault; 2] =
    [ScheduledFault::Fault(Fault::Pass), ScheduledFault::Dials(Dials::Pass)];

/// `SplitMix64`: small, and good enough to choose faults.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of 0 to `limit` - 1.
    fn below(&mut self, limit: u64) -> u64 {
        self.next().checked_rem(limit).unwrap_or(0)
    }

    fn duration(&mut self, limit: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(limit.as_micros()).unwrap_or(u64::MAX)))
    }

    fn act(&mut self) -> ScheduledFault {
        let way = self.way();
        let end =
            if self.below(2) == 0 { Termination::Reset } else { Termination::Fin(self.way()) };
        match self.below(12) {
            0 | 1 => ScheduledFault::Fault(Fault::Cut(end)),
            // From inside the handshake to a few messages on.
            2..=5 => ScheduledFault::Fault(Fault::CutAfter(way, self.below(1000), end)),
            6 | 7 => ScheduledFault::Fault(Fault::Hole(way)),
            8 => {
                ScheduledFault::Fault(Fault::Delay(way, Duration::from_millis(1 + self.below(50))))
            }
            9 => ScheduledFault::Fault(Fault::Rate(way, self.rate())),
            10 if self.below(2) == 0 => ScheduledFault::Dials(Dials::Reset),
            10 => ScheduledFault::Dials(Dials::Closed),
            _ => ScheduledFault::Upstream(usize::try_from(self.below(16)).unwrap_or(0)),
        }
    }

    fn way(&mut self) -> Direction {
        match self.below(3) {
            0 => Direction::Up,
            1 => Direction::Down,
            _ => Direction::Both,
        }
    }

    fn rate(&mut self) -> NonZeroU32 {
        let rate = u32::try_from(2_000 + self.below(20_000)).unwrap_or(u32::MAX);
        NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN)
    }
}
