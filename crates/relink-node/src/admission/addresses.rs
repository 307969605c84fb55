//! The connections of each address; and a gate for each that comes, in bounded memory: one that is
//! as good as new need not be remembered.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;
use relink::Instant;
use relink::policy::Rate;

use super::gate::Gate;

#[derive(Debug, Clone)]
pub(super) struct Addresses<A> {
    /// How many connections there are from each address.
    connections: BTreeMap<A, usize>,
    gates: BTreeMap<A, Gate>,
    /// When each address can be forgotten.
    idle: BTreeSet<(Instant, A)>,
}

/// Each call adds at most one address, so removing two keeps up, and each call stays cheap.
const FORGOTTEN_PER_CALL: usize = 2;

impl<A: Ord + Clone> Addresses<A> {
    pub(super) const fn new() -> Self {
        Self { connections: BTreeMap::new(), gates: BTreeMap::new(), idle: BTreeSet::new() }
    }

    pub(super) fn connections(&self, address: &A) -> usize {
        self.connections.get(address).copied().unwrap_or(0)
    }

    pub(super) fn enter(&mut self, address: A) {
        let count = self.connections.entry(address).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn leave(&mut self, address: &A) {
        let Some(count) = self.connections.get_mut(address) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.connections.remove(address);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.gates.len()
    }

    pub(super) fn forget_idle(&mut self, now: Instant) {
        for _ in 0..FORGOTTEN_PER_CALL {
            if self.idle.first().is_none_or(|(at, _)| *at > now) {
                return;
            }
            if let Some((_, address)) = self.idle.pop_first() {
                self.gates.remove(&address);
            }
        }
    }

    /// How long an address has to wait, if at all.
    pub(super) fn refusal(
        &mut self,
        address: &A,
        rate: Rate,
        longest: Duration,
        now: Instant,
    ) -> Option<Duration> {
        self.gates.get_mut(address)?.refusal(rate, longest, now)
    }

    /// Counts a connection; false if the table has no room for the address.
    pub(super) fn take(&mut self, address: A, rate: Rate, max: usize, now: Instant) -> bool {
        let known = self.gates.get(&address).copied();
        if known.is_none() && self.gates.len() >= max {
            return false;
        }
        if let Some(gate) = known {
            self.idle.remove(&(gate.idle_at(rate), address.clone()));
        }
        let mut gate = known.unwrap_or(Gate::new(rate));
        gate.take(rate, now);
        self.idle.insert((gate.idle_at(rate), address.clone()));
        self.gates.insert(address, gate);
        true
    }
}
