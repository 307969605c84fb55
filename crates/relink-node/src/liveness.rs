//! Finds silent connections among very many, without a timer for each.
//!
//! There is one check per `check_every`. A connection is assigned to the first check at which it
//! could be dead. When it sends something, only the time is stored; at its check it is found dead
//! or moved to a later one. It sent something between two such moves, so it is examined at most
//! twice per `silence`, however much it sends.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;
use relink::Instant;
use relink::internal::{MILLISECOND, YEAR, config, nanos, secs};

config! {
    /// When a silent connection counts as dead.
    pub struct LivenessConfig at "liveness." {
        /// A connection that sent nothing at all for this long is dead. Clients must ping at least
        /// this often: a shorter time finds dead ones sooner, and kills those on a slow network.
        pub silence / with_silence: Duration = secs(30), in MILLISECOND..=YEAR;
        /// The time between checks, and so how much later than `silence` a dead connection may be
        /// found. Shorter is more exact and wakes the server more often.
        pub check_every / with_check_every: Duration = secs(10), in MILLISECOND..=YEAR;
        /// How long one message may take to arrive, once a part of it is there; then the connection
        /// is closed with 4000. `off`: any bytes keep the connection alive, however slowly they
        /// arrive. With a limit, a peer that trickles cannot hold a connection and a partial
        /// message for long; it must leave time for `max_message` on the slowest line. Time in
        /// which the connection is not read does not count.
        pub message_timeout / with_message_timeout: Option<Duration> = None, in MILLISECOND..=YEAR;
    }
}

/// Watches connections, each by its key.
///
/// A connection is found dead at the earliest `silence` after it last sent something, and at the
/// latest `check_every` after that. If a check is late by half of `check_every` or more, this side
/// slept: data may still wait in the sockets, so no connection is found dead for one more
/// `check_every`. As on the client, pass what has arrived before the time.
///
/// ```
/// use core::time::Duration;
/// use relink::Instant;
/// use relink_node::{Liveness, LivenessConfig};
///
/// let at = |secs| Instant::from_origin(Duration::from_secs(secs));
/// let mut liveness = Liveness::new(LivenessConfig::default());
/// liveness.watch("talks", at(0));
/// liveness.watch("silent", at(0));
/// for check in [10, 20, 30] {
///     assert_eq!(liveness.poll_timeout(), Some(at(check)));
///     liveness.heard(&"talks", at(check));
///     liveness.handle_timeout(at(check));
/// }
/// assert_eq!(liveness.poll_dead(), Some("silent")); // close it with 4000, and do not wait for its answer
/// assert_eq!(liveness.poll_dead(), None);
/// ```
#[derive(Debug, Clone)]
pub struct Liveness<K> {
    config: LivenessConfig,
    watched: BTreeMap<K, Watched>,
    /// The connections of each check.
    checks: BTreeSet<(u64, K)>,
    /// The last check that was made, counted from the origin of time.
    checked: u64,
    excused_until: Instant,
    dead: BTreeSet<K>,
    examined: u64,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    silence: Duration,
    heard: Instant,
    check: u64,
}

impl<K: Ord + Clone> Liveness<K> {
    /// Creates an empty set.
    #[must_use]
    pub const fn new(config: LivenessConfig) -> Self {
        Self {
            config,
            watched: BTreeMap::new(),
            checks: BTreeSet::new(),
            checked: 0,
            excused_until: Instant::ORIGIN,
            dead: BTreeSet::new(),
            examined: 0,
        }
    }

    /// Watches a connection that is usable from `now` on. A key that is watched already starts
    /// over.
    pub fn watch(&mut self, key: K, now: Instant) {
        self.watch_for(key, self.config.silence, now);
    }

    /// The same with another silence, for example 15 s for clients that were suspended before. To
    /// change it, watch again.
    pub fn watch_for(&mut self, key: K, silence: Duration, now: Instant) {
        self.forget(&key);
        if self.watched.is_empty() {
            // There was nothing to check, so the missing checks do not mean that this side slept.
            self.checked = self.checked.max(self.check_at_or_before(now));
        }
        let check = self.check_for(now + silence);
        self.checks.insert((check, key.clone()));
        self.watched.insert(key, Watched { silence, heard: now, check });
    }

    /// Records that a connection sent something. A look-up and a store: this is on the path of
    /// every message. Ignored if the key is not watched.
    #[inline]
    pub fn heard(&mut self, key: &K, now: Instant) {
        if let Some(watched) = self.watched.get_mut(key) {
            watched.heard = watched.heard.max(now);
        }
    }

    /// Stops watching a connection. If it was found dead, it is no longer reported.
    pub fn forget(&mut self, key: &K) {
        self.dead.remove(key);
        if let Some((key, watched)) = self.watched.remove_entry(key) {
            self.checks.remove(&(watched.check, key));
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next: at every check, while
    /// connections are watched.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = self.time_of(self.checked.saturating_add(1));
        (!self.watched.is_empty() && next < Instant::END).then_some(next)
    }

    /// Runs the check that is due at `now`; an early call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let check = self.check_at_or_before(now);
        if check <= self.checked {
            return;
        }
        let asked_for = self.time_of(self.checked.saturating_add(1));
        if now - asked_for >= self.check_every() / 2 {
            self.excused_until = now + self.check_every();
        }
        self.checked = check;
        while self.checks.first().is_some_and(|(due, _)| *due <= check) {
            let Some((_, key)) = self.checks.pop_first() else { return };
            self.examine(key, now);
        }
    }

    /// Returns the next dead connection, in the order of the keys. It is no longer watched.
    pub fn poll_dead(&mut self) -> Option<K> {
        self.dead.pop_first()
    }

    /// The number of watched connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watched.len()
    }

    /// Whether no connections are watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// The number of times that a connection was examined, in all checks: their cost.
    #[must_use]
    pub const fn examined(&self) -> u64 {
        self.examined
    }

    fn examine(&mut self, key: K, now: Instant) {
        self.examined = self.examined.saturating_add(1);
        let Some(watched) = self.watched.get(&key) else { return };
        let dead_at = (watched.heard + watched.silence).max(self.excused_until);
        if dead_at <= now {
            self.watched.remove(&key);
            self.dead.insert(key);
            return;
        }
        let check = self.check_for(dead_at);
        if let Some(watched) = self.watched.get_mut(&key) {
            watched.check = check;
        }
        self.checks.insert((check, key));
    }

    /// The first future check at or after `time`.
    fn check_for(&self, time: Instant) -> u64 {
        let check = nanos(time.since_origin()).div_ceil(nanos(self.check_every()));
        check.max(self.checked.saturating_add(1))
    }

    fn check_at_or_before(&self, time: Instant) -> u64 {
        nanos(time.since_origin()) / nanos(self.check_every())
    }

    fn time_of(&self, check: u64) -> Instant {
        let since_origin = nanos(self.check_every()).saturating_mul(check);
        Instant::from_origin(Duration::from_nanos(since_origin))
    }

    /// A configuration that was not validated must not cause a hot loop.
    fn check_every(&self) -> Duration {
        self.config.check_every.max(MILLISECOND)
    }
}
