//! [`Line`]: tasks that wait in order of arrival.

use std::collections::BTreeMap;
use std::task::Waker;

/// Tasks that wait, each under its own number. All operations cost the same for one and for ten
/// thousand.
#[derive(Default)]
pub(crate) struct Line {
    tasks: BTreeMap<u64, Waker>,
    last: u64,
}

/// A place in a line; `None` before the first wait.
pub(crate) type Place = Option<u64>;

impl Line {
    /// Waits at this place; without one, at the end of the line.
    pub(crate) fn wait(&mut self, place: &mut Place, waker: &Waker) {
        let number = *place.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        match self.tasks.get_mut(&number) {
            Some(known) => known.clone_from(waker),
            None => drop(self.tasks.insert(number, waker.clone())),
        }
    }

    /// Gives a place up.
    pub(crate) fn leave(&mut self, place: &mut Place) {
        if let Some(number) = place.take() {
            self.tasks.remove(&number);
        }
    }

    /// Whether this place is the first.
    pub(crate) fn is_first(&self, place: Place) -> bool {
        self.tasks.keys().next().is_none_or(|first| place == Some(*first))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(crate) fn wake_first(&self) {
        if let Some(waker) = self.tasks.values().next() {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn wake_all(&self) {
        self.tasks.values().for_each(Waker::wake_by_ref);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served_and_who_leaves_leaves_nothing_behind() {
        let waker = Waker::noop();
        let (mut line, mut places) = (Line::default(), [None; 3]);
        assert!(line.is_first(None), "nobody waits");
        for place in &mut places {
            line.wait(place, waker);
            line.wait(place, waker);
        }
        assert_eq!(line.tasks.len(), 3, "who waits again keeps its place");
        assert_eq!(places.map(|place| line.is_first(place)), [true, false, false]);
        assert!(!line.is_first(None), "who comes later stands behind");
        line.leave(&mut places[1]);
        line.leave(&mut places[0]);
        assert!(line.is_first(places[2]));
        line.leave(&mut places[2]);
        assert!(line.tasks.is_empty());
    }
}
