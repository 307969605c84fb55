//! A queue of fixed size: the link has no allocator.

/// First in, first out, in place.
#[derive(Debug, Clone)]
pub(crate) struct Ring<T, const N: usize> {
    slots: [Option<T>; N],
    head: usize,
    len: usize,
}

impl<T: Copy, const N: usize> Ring<T, N> {
    pub(crate) const fn new() -> Self {
        Self { slots: [None; N], head: 0, len: 0 }
    }

    pub(crate) const fn free(&self) -> usize {
        N - self.len
    }

    /// Appends an item; one that does not fit is dropped, so the caller must check
    /// [`free`](Self::free) first.
    pub(crate) fn push(&mut self, item: T) {
        debug_assert!(self.len < N, "the caller made room");
        if self.len < N {
            self.slots[(self.head + self.len) % N] = Some(item);
            self.len += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.slots[self.head].take()?;
        self.head = (self.head + 1) % N;
        self.len -= 1;
        Some(item)
    }
}
