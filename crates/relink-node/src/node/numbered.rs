//! A map from numbers that are given one after the other: one look-up takes a few instructions,
//! however many entries there are.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::mem;

/// A number that is never used again.
pub(crate) trait Number: Copy {
    fn from_number(number: u64) -> Self;
    fn number(self) -> u64;
}

macro_rules! numbers {
    ($($name:ident),*) => { $(
        impl $crate::node::numbered::Number for $name {
            fn from_number(number: u64) -> Self {
                Self(number)
            }

            fn number(self) -> u64 {
                self.0
            }
        }
    )* };
}
pub(crate) use numbers;

/// Values by their numbers. Values are moved, so they should be small, or boxed.
///
/// Open addressing with linear probing: an entry is at the place that its number hashes to, or
/// behind it without a gap. The numbers are our own, so nobody can choose them to collide.
#[derive(Debug)]
pub(crate) struct Numbered<K, T> {
    /// None, or a power of two, of which at most two thirds are taken.
    slots: Vec<Option<(u64, T)>>,
    len: usize,
    key: PhantomData<K>,
}

/// 2^64 divided by the golden ratio: numbers in sequence are spread evenly.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const FEWEST: usize = 8;

impl<K: Number, T> Numbered<K, T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), len: 0, key: PhantomData }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    #[inline]
    pub(crate) fn get(&self, key: K) -> Option<&T> {
        let at = self.find(key.number())?;
        self.slots.get(at)?.as_ref().map(|(_, value)| value)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let at = self.find(key.number())?;
        self.slots.get_mut(at)?.as_mut().map(|(_, value)| value)
    }

    /// Returns the value that the number had before.
    pub(crate) fn insert(&mut self, key: K, value: T) -> Option<T> {
        if (self.len + 1) * 3 > self.slots.len() * 2 {
            self.grow();
        }
        let at = self.probe(key.number())?;
        let before = self.slots.get_mut(at)?.replace((key.number(), value));
        self.len += usize::from(before.is_none());
        before.map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        let mut free = self.find(key.number())?;
        let (_, value) = self.slots.get_mut(free)?.take()?;
        self.len -= 1;
        // Later entries of the run move up, unless that would put them before their place.
        let mut at = free;
        loop {
            at = self.after(at);
            let Some(Some((number, _))) = self.slots.get(at) else { break };
            if self.distance(self.place(*number), at) >= self.distance(free, at) {
                self.slots.swap(free, at);
                free = at;
            }
        }
        Some(value)
    }

    /// All numbers, in order.
    pub(crate) fn keys(&self) -> Vec<K> {
        let mut numbers: Vec<u64> =
            self.slots.iter().flatten().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(K::from_number).collect()
    }

    #[inline]
    fn find(&self, number: u64) -> Option<usize> {
        let at = self.probe(number)?;
        self.slots.get(at)?.is_some().then_some(at)
    }

    /// The slot of a number, or the free one for it; `None` if there are no slots.
    #[inline]
    fn probe(&self, number: u64) -> Option<usize> {
        let mut at = self.place(number);
        loop {
            match self.slots.get(at)? {
                Some((other, _)) if *other != number => at = self.after(at),
                Some(_) | None => return Some(at),
            }
        }
    }

    /// Where a number is to be: the highest bits of its hash.
    #[inline]
    fn place(&self, number: u64) -> usize {
        let hash = number.wrapping_mul(SPREAD) >> 32;
        ((hash * self.slots.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        (at + 1) & self.slots.len().wrapping_sub(1)
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.slots.len().wrapping_sub(1)
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(FEWEST);
        let slots = mem::take(&mut self.slots);
        self.slots.resize_with(size, || None);
        for (number, value) in slots.into_iter().flatten() {
            if let Some(slot) = self.probe(number).and_then(|at| self.slots.get_mut(at)) {
                *slot = Some((number, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Id(u64);
    numbers!(Id);

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0..40_u64, 0..3_u8), 0..500)) {
            let (mut map, mut model) = (Numbered::new(), BTreeMap::new());
            for (at, (number, what)) in steps.into_iter().enumerate() {
                // Some collide, and some runs go around the end.
                let number = if number < 30 { number } else { u64::MAX - number };
                match what {
                    0 => prop_assert_eq!(map.insert(Id(number), at), model.insert(number, at)),
                    1 => prop_assert_eq!(map.remove(Id(number)), model.remove(&number)),
                    _ => prop_assert_eq!(map.get_mut(Id(number)), model.get_mut(&number)),
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.is_empty(), model.is_empty());
                prop_assert!(map.keys().iter().map(|id| id.0).eq(model.keys().copied()));
                for (number, value) in &model {
                    prop_assert_eq!(map.get(Id(*number)), Some(value));
                }
            }
        }
    }

    #[test]
    fn numbers_in_sequence_are_close_to_their_places() {
        let mut map = Numbered::new();
        for number in 0..100_000_u64 {
            map.insert(Id(number), ());
        }
        let away = |number| map.find(number).map_or(0, |at| map.distance(map.place(number), at));
        let furthest = (0..100_000).map(away).max();
        assert!(furthest < Some(8), "{furthest:?}");
    }
}
