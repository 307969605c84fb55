//! Who is in a channel, as the server's words say, and what of it is news to the application.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::session::event::PresenceEvent;
use crate::session::ids::Member;
use crate::session::message::Text;
use crate::session::roster::{Roster, RosterChange};
use crate::session::vocabulary::MemberChange;

/// One stay of one user: a user with two sessions is there twice.
type Stay = (String, String);

/// The members of one channel. Beside each stands what the application was told that they say of
/// themselves.
#[derive(Debug)]
pub(crate) struct Presence {
    roster: Roster<Stay, Option<Text>, (), Option<Text>>,
    /// Those whom the application was told to be there, by one stay or more.
    users: BTreeSet<String>,
    /// The pages of a list whose last one is to come.
    pages: Vec<Member>,
}

/// Each stay of nobody in particular is somebody else.
fn is_nobody(user: &str) -> bool {
    user == Member::ANONYMOUS
}

/// No server of `relink.v1` lists more. What a list has beyond is not looked at.
const MOST_MEMBERS: usize = 10_000;

impl Presence {
    pub(crate) const fn new() -> Self {
        Self { roster: Roster::new(), users: BTreeSet::new(), pages: Vec::new() }
    }

    /// The channel is asked for anew: what is said from now on waits for the list. Whoever was
    /// there stays to be seen.
    pub(crate) fn reset(&mut self) {
        self.pages = Vec::new();
        self.roster.reset();
    }

    /// The channel is not followed any more: everybody is gone.
    pub(crate) fn clear(&mut self) {
        self.pages = Vec::new();
        self.roster.clear();
    }

    /// A list, or a page of one. It takes effect with its last page; what changes meanwhile is held
    /// until then.
    pub(crate) fn set_members(&mut self, members: Vec<Member>, more: bool) {
        if more && !self.roster.is_stale() {
            self.roster.reset();
        }
        let room = MOST_MEMBERS.saturating_sub(self.pages.len());
        self.pages.extend(members.into_iter().take(room));
        if more {
            return;
        }
        let members = core::mem::take(&mut self.pages);
        self.roster.snapshot(
            members.into_iter().map(|Member { user, join, info }| ((user, join), (), info)),
        );
    }

    pub(crate) fn apply(&mut self, change: MemberChange) {
        match change {
            MemberChange::Joined(Member { user, join, info }) => {
                self.roster.joined((user, join), (), info);
            }
            MemberChange::Left(Member { user, join, .. }) => {
                self.roster.left(&(user, join), ());
            }
        }
    }

    /// Changes were lost before the list came: it has to be asked for again.
    pub(crate) const fn wants_members(&self) -> bool {
        self.roster.wants_snapshot()
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        let member = |(user, join): &Stay, info: &Option<Text>| Member {
            user: user.clone(),
            join: join.clone(),
            info: info.clone(),
        };
        self.roster.iter().map(|(stay, at)| member(stay, at.info())).collect()
    }

    /// The next thing to tell.
    pub(crate) fn poll_event(&mut self) -> Option<PresenceEvent> {
        while let Some(change) = self.roster.poll_change() {
            match change {
                RosterChange::Joined { key } => {
                    let info = self.note(&key).0;
                    let (user, join) = key;
                    let is_first = is_nobody(&user) || self.users.insert(user.clone());
                    let member = Member { user, join, info };
                    let told =
                        if is_first { PresenceEvent::Joined } else { PresenceEvent::StayBegan };
                    return Some(told(member));
                }
                // Who is there as before is no news, unless the words are.
                RosterChange::Survived { key } | RosterChange::Updated { key } => {
                    let (info, is_news) = self.note(&key);
                    let (user, join) = key;
                    if is_news {
                        return Some(PresenceEvent::Updated(Member { user, join, info }));
                    }
                }
                RosterChange::Left { key: (user, join), value } => {
                    let is_last =
                        is_nobody(&user) || !self.is_here(&user) && self.users.remove(&user);
                    let member = Member { user, join, info: value.flatten() };
                    let told = if is_last { PresenceEvent::Left } else { PresenceEvent::StayEnded };
                    return Some(told(member));
                }
            }
        }
        None
    }

    /// Whether a user has a stay, told already or to be told next.
    fn is_here(&self, user: &String) -> bool {
        let first = (user.clone(), String::new());
        self.roster.keys_from(&first).next().is_some_and(|(next, _)| next == user)
    }

    /// What somebody says of themselves, and whether the application was told something else. Now
    /// it is told.
    fn note(&mut self, stay: &Stay) -> (Option<Text>, bool) {
        let Some(member) = self.roster.get_mut(stay) else { return (None, false) };
        let info = member.info().clone();
        let before = member.value.replace(info.clone());
        (info.clone(), before.is_some_and(|before| before != info))
    }
}
