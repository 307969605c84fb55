//! What connections are owed until their sockets have room.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::node::ConnectionId;

/// Some of a connection's streams or channels, for each connection that has any.
#[derive(Debug)]
pub(crate) struct Owed<T>(BTreeMap<ConnectionId, BTreeSet<T>>);

impl<T: Ord + Clone> Owed<T> {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn insert(&mut self, id: ConnectionId, what: &T) {
        self.0.entry(id).or_default().insert(what.clone());
    }

    pub(crate) fn remove(&mut self, id: ConnectionId, what: &T) {
        let Some(owed) = self.0.get_mut(&id) else { return };
        owed.remove(what);
        if owed.is_empty() {
            self.0.remove(&id);
        }
    }

    pub(crate) fn first(&self, id: ConnectionId) -> Option<T> {
        self.0.get(&id)?.first().cloned()
    }

    pub(crate) fn all(&self, id: ConnectionId) -> Vec<T> {
        self.0.get(&id).into_iter().flatten().cloned().collect()
    }
}
