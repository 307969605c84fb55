//! A queue of at most `N` items.

#[cfg(feature = "alloc")]
use alloc::collections::VecDeque;

/// First in, first out, at most `N`. With an allocator it takes memory only while something is in
/// it, so a quiet link is small; without one it lies in place.
#[derive(Debug, Clone)]
pub(crate) struct Bounded<T, const N: usize> {
    #[cfg(feature = "alloc")]
    items: VecDeque<T>,
    #[cfg(not(feature = "alloc"))]
    items: Ring<T, N>,
}

impl<T: Copy, const N: usize> Bounded<T, N> {
    pub(crate) const fn new() -> Self {
        #[cfg(feature = "alloc")]
        let items = VecDeque::new();
        #[cfg(not(feature = "alloc"))]
        let items = Ring { slots: [None; N], head: 0, len: 0 };
        Self { items }
    }

    /// How many more fit.
    pub(crate) fn free(&self) -> usize {
        N - self.items.len()
    }

    /// Appends an item; one that does not fit is dropped, so the caller must check
    /// [`free`](Self::free) first.
    pub(crate) fn push(&mut self, item: T) {
        debug_assert!(self.free() > 0, "the caller made room");
        if self.free() > 0 {
            self.items.push_back(item);
        }
    }

    /// Removes the oldest item. Asked for one when it is empty, it gives its memory back.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front();
        #[cfg(feature = "alloc")]
        if item.is_none() && self.items.capacity() > 0 {
            self.items = VecDeque::new();
        }
        item
    }

    /// The items, the newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.items.len()).rev().filter_map(|index| self.items.get(index).copied())
    }

    /// The first item that `is_meant`.
    pub(crate) fn find(&mut self, mut is_meant: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let index = (0..self.items.len()).find(|at| self.items.get(*at).is_some_and(&mut is_meant));
        self.items.get_mut(index?)
    }
}

/// What [`Bounded`] needs of a `VecDeque`, in place.
#[cfg(not(feature = "alloc"))]
#[derive(Debug, Clone)]
struct Ring<T, const N: usize> {
    slots: [Option<T>; N],
    head: usize,
    len: usize,
}

#[cfg(not(feature = "alloc"))]
impl<T, const N: usize> Ring<T, N> {
    const fn len(&self) -> usize {
        self.len
    }

    fn get(&self, index: usize) -> Option<&T> {
        self.slots[(self.head + index) % N].as_ref()
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.slots[(self.head + index) % N].as_mut()
    }

    fn push_back(&mut self, item: T) {
        self.slots[(self.head + self.len) % N] = Some(item);
        self.len += 1;
    }

    fn pop_front(&mut self) -> Option<T> {
        let item = self.slots[self.head].take()?;
        self.head = (self.head + 1) % N;
        self.len -= 1;
        Some(item)
    }
}
