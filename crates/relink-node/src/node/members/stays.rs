//! The stays that end here: at once if a client leaves, after a grace if its connection broke.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use relink::{Channel, Instant, SessionId};

/// One session's membership of a channel, by its lease: a member that comes back may hold another
/// lease, and the end of the earlier one has no effect.
pub(super) type Stay = (Channel, SessionId, u64);

/// The stays that this node renews or ends.
#[derive(Debug)]
pub(super) struct Stays {
    grace: Duration,
    /// When the grace of each ends; `None` while its connection stands.
    all: BTreeMap<Stay, Option<Instant>>,
    graces: BTreeSet<(Instant, Stay)>,
}

impl Stays {
    pub(super) const fn new(grace: Duration) -> Self {
        Self { grace, all: BTreeMap::new(), graces: BTreeSet::new() }
    }

    /// Whether the stay lasts: its connection stands, or it is within its grace.
    pub(super) fn lasts(&self, stay: &Stay) -> bool {
        self.all.contains_key(stay)
    }

    /// A connection stands for it, for the first time or again.
    pub(super) fn begin(&mut self, stay: Stay) {
        self.end(&stay);
        self.all.insert(stay, None);
    }

    /// Its connection broke, or is not here yet: it ends after the grace. A grace that has begun is
    /// not prolonged.
    pub(super) fn begin_grace(&mut self, stay: Stay, now: Instant) {
        let ends = self.all.entry(stay.clone()).or_default();
        let ends = *ends.get_or_insert(now + self.grace);
        self.graces.insert((ends, stay));
    }

    /// It ends now. Returns false if it has ended before.
    pub(super) fn end(&mut self, stay: &Stay) -> bool {
        let Some(ends) = self.all.remove(stay) else { return false };
        if let Some(ends) = ends {
            self.graces.remove(&(ends, stay.clone()));
        }
        true
    }

    /// When the next grace is over.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.graces.first().map(|(ends, _)| *ends).filter(|ends| *ends < Instant::END)
    }

    /// Ends the next stay whose grace is over, in the order of time.
    pub(super) fn poll_over(&mut self, now: Instant) -> Option<Stay> {
        self.poll_timeout().filter(|ends| *ends <= now)?;
        let (_, stay) = self.graces.pop_first()?;
        self.all.remove(&stay);
        Some(stay)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use relink::internal::{millis, secs};

    use super::*;

    fn stay(number: u64) -> Stay {
        (Channel::from("lobby"), SessionId::from(format!("{number:03}")), number)
    }

    fn at(time: u64) -> Instant {
        Instant::from_origin(millis(time))
    }

    #[test]
    fn a_connection_that_broke_twice_has_one_grace_from_the_first_time() {
        let mut stays = Stays::new(secs(30));
        stays.begin(stay(1));
        stays.begin_grace(stay(1), at(0));
        stays.begin_grace(stay(1), at(20_000));
        assert_eq!(stays.poll_timeout(), Some(at(30_000)));
        assert_eq!(stays.poll_over(at(30_000)), Some(stay(1)));
        assert_eq!((stays.poll_over(Instant::END), stays.poll_timeout()), (None, None));
    }

    #[test]
    fn of_many_the_first_that_broke_ends_first() {
        let mut stays = Stays::new(secs(30));
        for number in 0..1000 {
            stays.begin(stay(number));
            stays.begin_grace(stay(number), at(1000 - number));
        }
        for number in (0..1000).step_by(2) {
            stays.begin(stay(number));
        }
        let over: Vec<Stay> = core::iter::from_fn(|| stays.poll_over(at(500_000))).collect();
        assert!(over.into_iter().eq((0..1000).rev().filter(|number| number % 2 == 1).map(stay)));
        assert_eq!(stays.all.len(), 500);
    }

    #[test]
    fn i32_senseless_times_are_survived() {
        let end = at(0) + Duration::MAX;
        for grace in [Duration::ZERO, secs(30), Duration::MAX] {
            let mut stays = Stays::new(grace);
            for now in [at(10_000), end, at(0), end] {
                stays.begin(stay(1));
                stays.begin_grace(stay(1), now);
                while stays.poll_over(now).is_some() {}
                assert!(stays.poll_timeout().is_none_or(|due| due > now));
            }
        }
    }

    proptest! {
        #[test]
        fn a09_what_ends_agrees_with_plain_counting(
            steps in prop::collection::vec((0_u64..12_000, 0_u64..3, 0_u8..4), 1..300),
        ) {
            let mut stays = Stays::new(secs(30));
            // Since when each stay has no connection.
            let mut model: BTreeMap<Stay, Option<Instant>> = BTreeMap::new();
            let mut now = at(0);
            for (pause, number, what) in steps {
                now = now + millis(pause);
                let is_over = |broke: Option<Instant>| broke.is_some_and(|at| at + secs(30) <= now);
                let mut over: Vec<Stay> = core::iter::from_fn(|| stays.poll_over(now)).collect();
                over.sort_unstable();
                let expected = model.iter().filter(|(_, broke)| is_over(**broke));
                prop_assert!(expected.map(|(stay, _)| stay).eq(&over));
                model.retain(|_, broke| !is_over(*broke));
                let stay = stay(number);
                match what {
                    0 => {
                        stays.begin(stay.clone());
                        model.insert(stay, None);
                    }
                    1 | 2 => {
                        stays.begin_grace(stay.clone(), now);
                        model.entry(stay).or_default().get_or_insert(now);
                    }
                    _ => prop_assert_eq!(stays.end(&stay), model.remove(&stay).is_some()),
                }
                prop_assert!(stays.all.keys().eq(model.keys()));
            }
        }
    }
}
