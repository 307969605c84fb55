//! stub
use alloc::collections::VecDeque;
use core::marker::PhantomData;
#[derive(Debug)]
pub(crate) struct Roster<K, V>(PhantomData<(K, V)>, VecDeque<RosterChange<K, V>>);
#[derive(Debug)]
pub(crate) enum RosterChange<K, V> {
    Joined { key: K, value: V },
    Left { key: K, value: V },
}
impl<K, V> Roster<K, V> {
    pub(crate) fn new() -> Self {
        Self(PhantomData, VecDeque::new())
    }
    pub(crate) fn reset(&mut self) {}
    pub(crate) fn snapshot(&mut self, _: impl IntoIterator<Item = (K, K, V)>) {}
    pub(crate) fn joined(&mut self, _: K, _: K, _: V) {}
    pub(crate) fn left(&mut self, _: &K, _: K) {}
    pub(crate) fn poll_change(&mut self) -> Option<RosterChange<K, V>> {
        self.1.pop_front()
    }
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        core::iter::empty()
    }
}
