//! Sets of values, each for a key.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::borrow::Borrow;

/// A set of values for each key that has any: the streams that a connection is owed, the sessions
/// of a user.
#[derive(Debug)]
pub(crate) struct Groups<K, T>(BTreeMap<K, BTreeSet<T>>);

impl<K: Ord + Clone, T: Ord + Clone> Groups<K, T> {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn insert(&mut self, key: &K, what: T) {
        match self.0.get_mut(key) {
            Some(group) => _ = group.insert(what),
            None => _ = self.0.insert(key.clone(), BTreeSet::from([what])),
        }
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q, what: &T)
    where
        K: Borrow<Q>,
    {
        let Some(group) = self.0.get_mut(key) else { return };
        group.remove(what);
        if group.is_empty() {
            self.0.remove(key);
        }
    }

    pub(crate) fn first<Q: Ord + ?Sized>(&self, key: &Q) -> Option<T>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)?.first().cloned()
    }

    pub(crate) fn all<Q: Ord + ?Sized>(&self, key: &Q) -> Vec<T>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).into_iter().flatten().cloned().collect()
    }
}
