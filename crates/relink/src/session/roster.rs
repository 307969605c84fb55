//! Who else is there, as a client sees it: a list that survives the link.
//!
//! A server tells the members of a channel once, as a snapshot, and then every change. Between the
//! two lies a race that clients lose: a change that overtakes the snapshot, a *left* of somebody
//! who is back already, a list that is emptied and filled again at every reconnect. Here changes
//! wait for the snapshot, each names the join that it is about, and what the application is told is
//! the difference between what it was told before and what is so.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

/// The members of one channel. `K` names a member, `J` one join of a member, `I` is what the server
/// says about them, and `V` is what the application keeps for each: a peer connection, a cursor, a
/// row of a list.
///
/// * Until the first [`snapshot`](Self::snapshot), and after each [`reset`](Self::reset), changes
///   are held: up to [`MAX_HELD`](Self::MAX_HELD), after which
///   [`wants_snapshot`](Self::wants_snapshot) asks for another one.
/// * After a `reset` the old members stay, so that a short drop does not flicker. The next snapshot
///   tells who left, who is new, and who is still there; what the application keeps for the last is
///   untouched.
/// * A *left* of another join than the current one is dropped. A member has one join at a time, the
///   latest; where a person may be there twice, let `K` name the device.
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
///             RosterChange::Updated { key } => println!("{key} says something else about themselves"),
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
    /// Members about whom there may be something to tell.
    changed: BTreeSet<K>,
    /// What came before the snapshot; none while the list is live.
    held: Option<VecDeque<Held<K, J, I>>>,
    lost: bool,
}

/// A member who is there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RosterMember<V, J = u64, I = ()> {
    join: J,
    info: I,
    /// What the application keeps for them: none until it puts something there.
    pub value: Option<V>,
}

impl<V, J, I> RosterMember<V, J, I> {
    /// Which join of theirs is the current one.
    #[must_use]
    pub const fn join(&self) -> &J {
        &self.join
    }

    /// What the server says about them.
    #[must_use]
    pub const fn info(&self) -> &I {
        &self.info
    }
}

/// What the application should know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RosterChange<K, V> {
    /// Somebody is new.
    Joined {
        /// Who.
        key: K,
    },
    /// Somebody is still there, after their link or this one was down: their join is another, or a
    /// snapshot that came after a [`reset`](Roster::reset) has them again. What the application
    /// keeps for them is as it was; a connection to them wants to be made anew.
    Survived {
        /// Who.
        key: K,
    },
    /// The server says something else about somebody.
    Updated {
        /// Who.
        key: K,
    },
    /// Somebody is gone.
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
    /// Whether they are there, as far as is known.
    here: bool,
    /// Whether the application was told that they are.
    told: bool,
    /// What else is to be told of somebody who was and is there.
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
    /// The most changes that are held until the snapshot comes.
    pub const MAX_HELD: usize = 4_096;

    /// Nobody is known yet, and the snapshot is to come.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            changed: BTreeSet::new(),
            held: Some(VecDeque::new()),
            lost: false,
        }
    }

    /// A new link, or a new subscription: what is said from now on belongs to it, and waits for its
    /// snapshot. Everybody stays to be seen until then.
    pub fn reset(&mut self) {
        self.held = Some(VecDeque::new());
        self.lost = false;
    }

    /// These are there, and nobody else; then what was held is applied. Works at any time: without
    /// a `reset` before, it mends a list that has lost something, and those who are there as before
    /// are not told.
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
        // What could not be held came after it, or may have.
        self.lost &= after_gap;
        for change in self.held.take().into_iter().flatten() {
            match change {
                Held::Joined(key, join, info) => self.is_here(key, join, info, false),
                Held::Left(key, join) => self.is_gone(&key, &join),
            }
        }
    }

    /// Somebody joined, or says something else about themselves.
    pub fn joined(&mut self, key: K, join: J, info: I) {
        if self.held.is_some() {
            self.hold(Held::Joined(key, join, info));
        } else {
            self.is_here(key, join, info, false);
        }
    }

    /// That join of somebody is over. Dropped where another one is the current one, or nobody of
    /// that name is there.
    pub fn left(&mut self, key: &K, join: J) {
        if self.held.is_some() {
            self.hold(Held::Left(key.clone(), join));
        } else {
            self.is_gone(key, &join);
        }
    }

    /// The channel is left, or the link has ended for good: everybody is gone, and a snapshot is to
    /// come.
    pub fn clear(&mut self) {
        for (key, entry) in &mut self.entries {
            entry.here = false;
            self.changed.insert(key.clone());
        }
        self.reset();
    }

    /// The next change to tell, in the order of the keys. Only what differs from what was told
    /// before: who came and went in between is not mentioned.
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

    /// Whether the list is that of an earlier link, or empty because nothing was said yet: the
    /// snapshot is to come.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.held.is_some()
    }

    /// More changes came before the snapshot than could be held, so the list may be wrong after it:
    /// ask the server for another snapshot.
    #[must_use]
    pub const fn wants_snapshot(&self) -> bool {
        self.lost
    }

    /// A member who is there.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&RosterMember<V, J, I>> {
        self.entries.get(key).filter(|entry| entry.here).map(|entry| &entry.member)
    }

    /// A member who is there, to put something into their `value`.
    #[must_use]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut RosterMember<V, J, I>> {
        self.entries.get_mut(key).filter(|entry| entry.here).map(|entry| &mut entry.member)
    }

    /// Everybody who is there, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &RosterMember<V, J, I>)> {
        self.entries.iter().filter(|(_, entry)| entry.here).map(|(key, entry)| (key, &entry.member))
    }

    /// Everybody's names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Those of the names that are not below this one, in order.
    pub(crate) fn keys_from(&self, first: &K) -> impl Iterator<Item = &K> {
        self.entries.range(first..).filter(|(_, entry)| entry.here).map(|(key, _)| key)
    }

    /// How many are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether nobody is there.
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
