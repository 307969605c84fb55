//! The members of a channel as a client sees them: a list that survives the link.
//!
//! A server sends the members of a channel once, as a snapshot, and then every change. Clients tend
//! to lose the race between the two: a change overtakes the snapshot, a *left* concerns a member
//! who has joined again, a list is emptied and filled again at every reconnect. Here changes wait
//! for the snapshot, each names the join that it is about, and the application gets the difference
//! between what was last reported and what is current.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

/// The members of one channel. `K` identifies a member, `J` one join of a member, `I` is the
/// server's information about them, and `V` is what the application keeps for each: a peer
/// connection, a cursor, a row of a list.
///
/// * Until the first [`snapshot`](Self::snapshot), and after each [`reset`](Self::reset), changes
///   are held: up to [`MAX_HELD`](Self::MAX_HELD), after which
///   [`wants_snapshot`](Self::wants_snapshot) returns true.
/// * After a `reset` the old members stay, so that a short drop does not flicker. The next snapshot
///   shows who left, who is new, and who is still there; what the application keeps for those who
///   are still there is untouched.
/// * A *left* of another join than the current one is dropped. A member has one join at a time, the
///   latest; if a person may join twice, let `K` name the device.
///
/// ```
/// use relink::session::{Roster, RosterChange};
///
/// /// Stands for the connection to one peer.
/// #[derive(Debug, PartialEq)]
/// struct PeerConnection {
///     negotiated: u32,
/// }
///
/// fn apply(roster: &mut Roster<&'static str, PeerConnection>) {
///     while let Some(change) = roster.poll_change() {
///         match change {
///             RosterChange::Joined { key } => {
///                 let member = roster.get_mut(&key).expect("has joined");
///                 member.value = Some(PeerConnection { negotiated: 1 });
///             }
///             // The link or the member's own was down: the same object, negotiated anew.
///             RosterChange::Survived { key } => {
///                 let kept = roster.get_mut(&key).and_then(|member| member.value.as_mut());
///                 kept.expect("kept").negotiated += 1;
///             }
///             RosterChange::Updated { key } => println!("{key} has new information"),
///             RosterChange::Left { key, value } => println!("{key} is gone; close {value:?}"),
///             _ => {}
///         }
///     }
/// }
///
/// let mut roster = Roster::new();
/// roster.joined("cleo", 3, ()); // overtook the snapshot
/// roster.snapshot([("ada", 1, ()), ("bob", 2, ())]);
/// apply(&mut roster);
/// assert!(roster.keys().eq(&["ada", "bob", "cleo"]));
///
/// roster.reset(); // a new link; all three stay to be seen
/// assert_eq!(roster.len(), 3);
/// roster.snapshot([("ada", 1, ()), ("cleo", 4, ())]);
/// roster.left(&"cleo", 3); // late, and about a join that is over
/// apply(&mut roster);
/// assert!(roster.keys().eq(&["ada", "cleo"]));
/// assert_eq!(roster.get(&"ada").unwrap().value, Some(PeerConnection { negotiated: 2 }));
/// ```
#[derive(Debug, Clone)]
pub struct Roster<K, V, J = u64, I = ()> {
    entries: BTreeMap<K, Entry<V, J, I>>,
    /// Members with possible changes to report.
    changed: BTreeSet<K>,
    /// Changes that arrived before the snapshot; `None` while the list is live.
    held: Option<VecDeque<Held<K, J, I>>>,
    lost: bool,
}

/// A present member.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RosterMember<V, J = u64, I = ()> {
    join: J,
    info: I,
    /// What the application keeps for them; `None` until it is set.
    pub value: Option<V>,
}

impl<V, J, I> RosterMember<V, J, I> {
    /// Their current join.
    #[must_use]
    pub const fn join(&self) -> &J {
        &self.join
    }

    /// The server's information about them.
    #[must_use]
    pub const fn info(&self) -> &I {
        &self.info
    }
}

/// A change to report to the application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RosterChange<K, V> {
    /// A new member.
    Joined {
        /// Who.
        key: K,
    },
    /// A member is still there after their link or this one was down: their join is another one, or
    /// they are in the snapshot after a [`reset`](Roster::reset). What the application keeps for
    /// them is unchanged; a connection to them has to be restarted.
    Survived {
        /// Who.
        key: K,
    },
    /// The server's information about a member changed.
    Updated {
        /// Who.
        key: K,
    },
    /// A member left.
    Left {
        /// Who.
        key: K,
        /// What the application kept for them.
        value: Option<V>,
    },
}

#[derive(Debug, Clone)]
struct Entry<V, J, I> {
    member: RosterMember<V, J, I>,
    /// Whether they are present, as far as is known.
    here: bool,
    /// Whether they were reported as present.
    told: bool,
    /// What else is to be reported about a member who stayed.
    news: News,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    Nothing,
    Updated,
    Survived,
}

#[derive(Debug, Clone)]
enum Held<K, J, I> {
    Joined(K, J, I),
    Left(K, J),
}

impl<K: Ord + Clone, V, J: PartialEq, I: PartialEq> Roster<K, V, J, I> {
    /// Maximum number of changes that are held until the snapshot arrives.
    pub const MAX_HELD: usize = 4_096;

    /// Creates an empty list that waits for its snapshot.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            changed: BTreeSet::new(),
            held: Some(VecDeque::new()),
            lost: false,
        }
    }

    /// Starts over for a new link or subscription: changes from now on belong to it, and wait for
    /// its snapshot. Known members stay until then.
    pub fn reset(&mut self) {
        self.held = Some(VecDeque::new());
        self.lost = false;
    }

    /// Replaces the list by these members, then applies the held changes. Works at any time:
    /// without a `reset` before, it repairs a list that has lost changes, and members that stayed
    /// are not reported.
    pub fn snapshot(&mut self, members: impl IntoIterator<Item = (K, J, I)>) {
        let after_gap = self.held.is_some();
        let mut members: BTreeMap<K, (J, I)> =
            members.into_iter().map(|(key, join, info)| (key, (join, info))).collect();
        for (key, entry) in &mut self.entries {
            if entry.here && !members.contains_key(key) {
                entry.here = false;
                self.changed.insert(key.clone());
            }
        }
        while let Some((key, (join, info))) = members.pop_first() {
            self.is_here(key, join, info, after_gap);
        }
        // A change that could not be held may be newer than the snapshot.
        self.lost &= after_gap;
        for change in self.held.take().into_iter().flatten() {
            match change {
                Held::Joined(key, join, info) => self.is_here(key, join, info, false),
                Held::Left(key, join) => self.is_gone(&key, &join),
            }
        }
    }

    /// A member joined, or their information changed.
    pub fn joined(&mut self, key: K, join: J, info: I) {
        if self.held.is_some() {
            self.hold(Held::Joined(key, join, info));
        } else {
            self.is_here(key, join, info, false);
        }
    }

    /// A join of a member ended. Ignored if another one is current, or if there is no such member.
    pub fn left(&mut self, key: &K, join: J) {
        if self.held.is_some() {
            self.hold(Held::Left(key.clone(), join));
        } else {
            self.is_gone(key, &join);
        }
    }

    /// The channel was left, or the link is closed: all members are gone, and a new snapshot is
    /// awaited.
    pub fn clear(&mut self) {
        for (key, entry) in &mut self.entries {
            entry.here = false;
            self.changed.insert(key.clone());
        }
        self.reset();
    }

    /// The next change to report, in the order of the keys. Only what differs from what was
    /// reported before: a member who came and went in between is not mentioned.
    pub fn poll_change(&mut self) -> Option<RosterChange<K, V>> {
        while let Some(key) = self.changed.pop_first() {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            let news = core::mem::replace(&mut entry.news, News::Nothing);
            match (core::mem::replace(&mut entry.told, entry.here), entry.here) {
                (false, true) => return Some(RosterChange::Joined { key }),
                (true, true) => match news {
                    News::Nothing => {}
                    News::Updated => return Some(RosterChange::Updated { key }),
                    News::Survived => return Some(RosterChange::Survived { key }),
                },
                (told, false) => {
                    let value = self.entries.remove(&key).and_then(|entry| entry.member.value);
                    if told || value.is_some() {
                        return Some(RosterChange::Left { key, value });
                    }
                }
            }
        }
        None
    }

    /// Whether the snapshot has not arrived yet: the list is empty, or from an earlier link.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.held.is_some()
    }

    /// Whether more changes arrived before the snapshot than could be held, so that the list may be
    /// wrong: request another snapshot.
    #[must_use]
    pub const fn wants_snapshot(&self) -> bool {
        self.lost
    }

    /// A present member.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&RosterMember<V, J, I>> {
        self.entries.get(key).filter(|entry| entry.here).map(|entry| &entry.member)
    }

    /// A present member, to set their `value`.
    #[must_use]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut RosterMember<V, J, I>> {
        self.entries.get_mut(key).filter(|entry| entry.here).map(|entry| &mut entry.member)
    }

    /// All present members, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &RosterMember<V, J, I>)> {
        self.entries.iter().filter(|(_, entry)| entry.here).map(|(key, entry)| (key, &entry.member))
    }

    /// The keys of all present members, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// The keys from this one on, in order.
    pub(crate) fn keys_from(&self, first: &K) -> impl Iterator<Item = &K> {
        self.entries.range(first..).filter(|(_, entry)| entry.here).map(|(key, _)| key)
    }

    /// The number of present members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn is_here(&mut self, key: K, join: J, info: I, after_gap: bool) {
        self.changed.insert(key.clone());
        let Some(entry) = self.entries.get_mut(&key) else {
            let member = RosterMember { join, info, value: None };
            self.entries
                .insert(key, Entry { member, here: true, told: false, news: News::Nothing });
            return;
        };
        let news = if after_gap || !entry.here || entry.member.join != join {
            News::Survived
        } else if entry.member.info != info {
            News::Updated
        } else {
            News::Nothing
        };
        entry.news = entry.news.max(news);
        entry.here = true;
        entry.member.join = join;
        entry.member.info = info;
    }

    fn is_gone(&mut self, key: &K, join: &J) {
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.member.join == *join) {
            entry.here = false;
            self.changed.insert(key.clone());
        }
    }

    fn hold(&mut self, change: Held<K, J, I>) {
        let Some(held) = &mut self.held else { return };
        if held.len() < Self::MAX_HELD {
            held.push_back(change);
        } else {
            self.lost = true;
        }
    }
}

impl<K: Ord + Clone, V, J: PartialEq, I: PartialEq> Default for Roster<K, V, J, I> {
    fn default() -> Self {
        Self::new()
    }
}
