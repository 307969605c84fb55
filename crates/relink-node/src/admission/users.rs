//! Which connections each user holds a place for.

use alloc::collections::{BTreeMap, BTreeSet};
use relink::Instant;

#[derive(Debug, Clone)]
pub(super) struct Users<U, K> {
    /// The connections of each user; those that only claim to be theirs, with the end of the claim.
    held: BTreeMap<U, BTreeMap<K, Option<Instant>>>,
    claims: BTreeSet<(Instant, U, K)>,
}

impl<U: Ord + Clone, K: Ord + Clone> Users<U, K> {
    pub(super) const fn new() -> Self {
        Self { held: BTreeMap::new(), claims: BTreeSet::new() }
    }

    pub(super) fn count(&self, user: &U) -> usize {
        self.held.get(user).map_or(0, BTreeMap::len)
    }

    /// Gives a connection a place; false where the user has no more of them. A place that is held
    /// for good stays so.
    pub(super) fn hold(&mut self, user: U, id: K, until: Option<Instant>, cap: u32) -> bool {
        let count = self.count(&user);
        let present = self.held.get(&user).and_then(|ids| ids.get(&id)).copied();
        match present {
            Some(None) => return true,
            Some(Some(claimed_until)) => {
                self.claims.remove(&(claimed_until, user.clone(), id.clone()));
            }
            None if count >= usize::try_from(cap).unwrap_or(usize::MAX) => return false,
            None => {}
        }
        if let Some(until) = until {
            self.claims.insert((until, user.clone(), id.clone()));
        }
        self.held.entry(user).or_default().insert(id, until);
        true
    }

    pub(super) fn leave(&mut self, user: &U, id: &K) {
        let Some(ids) = self.held.get_mut(user) else { return };
        if let Some(Some(until)) = ids.remove(id) {
            self.claims.remove(&(until, user.clone(), id.clone()));
        }
        if ids.is_empty() {
            self.held.remove(user);
        }
    }

    /// Drops the claims whose time is over.
    pub(super) fn release_overdue(&mut self, now: Instant) {
        while self.claims.first().is_some_and(|(until, ..)| *until <= now) {
            let Some((_, user, id)) = self.claims.pop_first() else { return };
            self.leave(&user, &id);
        }
    }
}
