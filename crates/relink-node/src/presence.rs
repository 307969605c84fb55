//! Who is online. A link that broke just now counts as online for a grace, so that a short drop is
//! not reported.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;
use relink::Instant;
use relink::internal::{YEAR, config, earliest, secs};

config! {
    /// How long a user whose link broke counts as online.
    pub struct PresenceConfig at "presence." {
        /// How long a user counts as online after the link broke. Shorter reports every drop on a
        /// mobile network; longer shows users who have gone. Zero reports at once.
        pub grace / with_grace: Duration = secs(30), in Duration::ZERO..=YEAR;
    }
}

/// What a new connection means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[must_use = "the others must be notified"]
#[expect(clippy::exhaustive_enums, reason = "somebody was online before, or was not")]
pub enum PresenceChange {
    /// The user was offline: report *member joined*.
    Joined,
    /// The user was online, with another connection or within the grace: report nothing.
    Unchanged,
}

/// Who is online, each by a key and with any number of connections.
///
/// A user is online until [`left`](Self::left) or [`poll_left`](Self::poll_left) reports otherwise.
/// One who comes back before that was never away.
///
/// ```
/// use core::time::Duration;
/// use relink::Instant;
/// use relink_node::{Presence, PresenceChange, PresenceConfig};
///
/// let at = |secs| Instant::from_origin(Duration::from_secs(secs));
/// let mut presence = Presence::new(PresenceConfig::default());
/// assert_eq!(presence.online("ada"), PresenceChange::Joined);
/// presence.broken(&"ada", at(60));
/// assert_eq!(presence.online("ada"), PresenceChange::Unchanged);
///
/// presence.broken(&"ada", at(100));
/// assert_eq!(presence.poll_timeout(), Some(at(130)));
/// presence.handle_timeout(at(130));
/// assert_eq!(presence.poll_left(), Some("ada")); // tell the others
/// ```
#[derive(Debug, Clone)]
pub struct Presence<K> {
    config: PresenceConfig,
    members: BTreeMap<K, Member>,
    /// When each grace ends.
    graces: BTreeSet<(Instant, K)>,
    /// Users whose grace has ended, not yet polled.
    over: BTreeSet<(Instant, K)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Member {
    /// Connections with a link.
    live: u32,
    /// Connections whose link broke, and that may come back.
    broken: u32,
    grace_until: Option<Instant>,
}

impl<K: Ord + Clone> Presence<K> {
    /// Creates an empty set.
    #[must_use]
    pub const fn new(config: PresenceConfig) -> Self {
        Self { config, members: BTreeMap::new(), graces: BTreeSet::new(), over: BTreeSet::new() }
    }

    /// Adds a usable connection of `key`: a first one, a further one, or one that came back.
    pub fn online(&mut self, key: K) -> PresenceChange {
        let Some(member) = self.members.get_mut(&key) else {
            self.members.insert(key, Member { live: 1, ..Member::default() });
            return PresenceChange::Joined;
        };
        member.live = member.live.saturating_add(1);
        member.broken = member.broken.saturating_sub(1);
        if member.broken == 0 {
            self.end_grace(&key);
        }
        PresenceChange::Unchanged
    }

    /// The link of one of `key`'s connections broke: it may come back until its grace is over.
    /// Does nothing if it has no connection.
    pub fn broken(&mut self, key: &K, now: Instant) {
        if self.members.get(key).is_none_or(|member| member.live == 0) {
            return;
        }
        self.end_grace(key);
        if let Some(member) = self.members.get_mut(key) {
            let until = now + self.config.grace;
            member.live = member.live.saturating_sub(1);
            member.broken = member.broken.saturating_add(1);
            member.grace_until = Some(until);
            self.graces.insert((until, key.clone()));
        }
    }

    /// One of `key`'s connections was ended on purpose. Returns true if it was the last one: report
    /// it at once, without a grace. A connection within its grace still counts.
    #[must_use = "the others must be notified"]
    pub fn left(&mut self, key: &K) -> bool {
        let Some(member) = self.members.get_mut(key) else { return false };
        if member.live > 0 {
            member.live = member.live.saturating_sub(1);
        } else {
            member.broken = member.broken.saturating_sub(1);
        }
        let (live, broken) = (member.live, member.broken);
        if broken == 0 {
            self.end_grace(key);
        }
        let is_gone = live == 0 && broken == 0;
        is_gone && self.members.remove(key).is_some()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        earliest([self.graces.first().map(|(at, _)| (*at, ()))]).map(|(at, ())| at)
    }

    /// Ends every grace that is over at `now`. Poll those who left with
    /// [`poll_left`](Self::poll_left).
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.graces.first().is_some_and(|(at, _)| *at <= now) {
            self.over.extend(self.graces.pop_first());
        }
    }

    /// The next user who did not come back in time, in order of time: report *member left*.
    pub fn poll_left(&mut self) -> Option<K> {
        while let Some((_, key)) = self.over.pop_first() {
            let Some(member) = self.members.get_mut(&key) else { continue };
            if member.live == 0 {
                self.members.remove(&key);
                return Some(key);
            }
            // Another connection of the user is up; only the broken ones are removed.
            member.broken = 0;
            member.grace_until = None;
        }
        None
    }

    /// Whether `key` is online, or within the grace.
    #[must_use]
    pub fn is_online(&self, key: &K) -> bool {
        self.members.contains_key(key)
    }

    /// The number of users online or within the grace.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether no users are online.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All users who are online, in the order of the keys: the list for a new member.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.members.keys()
    }

    fn end_grace(&mut self, key: &K) {
        let Some(until) = self.members.get_mut(key).and_then(|member| member.grace_until.take())
        else {
            return;
        };
        let entry = (until, key.clone());
        if !self.graces.remove(&entry) {
            self.over.remove(&entry);
        }
    }
}
