//! The members of a channel as the server reports them, and what of it is new to the application.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::session::event::PresenceEvent;
use crate::session::ids::Member;
use crate::session::message::Text;
use crate::session::roster::{Roster, RosterChange};
use crate::session::vocabulary::MemberChange;

/// One stay of one user: a user with two sessions has two.
type Stay = (String, String);

/// The members of one channel. Each has the presence text that was last reported to the
/// application.
#[derive(Debug)]
pub(crate) struct Presence {
    roster: Roster<Stay, Option<Text>, (), Option<Text>>,
    /// The users that were reported as present, with one stay or more.
    users: BTreeSet<String>,
    /// The pages so far of an incomplete list.
    pages: Vec<Member>,
}

/// Each stay of the anonymous user is another person.
fn is_nobody(user: &str) -> bool {
    user == Member::ANONYMOUS
}

/// No server of `relink.v1` lists more. Further members are ignored.
const MOST_MEMBERS: usize = 10_000;

impl Presence {
    pub(crate) const fn new() -> Self {
        Self { roster: Roster::new(), users: BTreeSet::new(), pages: Vec::new() }
    }

    /// The channel is requested again: changes wait for the new list. Known members stay until it
    /// arrives.
    pub(crate) fn reset(&mut self) {
        self.pages = Vec::new();
        self.roster.reset();
    }

    /// The channel is not followed any more: all members are gone.
    pub(crate) fn clear(&mut self) {
        self.pages = Vec::new();
        self.roster.clear();
    }

    /// Takes a list, or a page of one. It takes effect with its last page; changes are held until
    /// then.
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

    /// Whether changes were lost before the list arrived, so that it must be requested again.
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

    /// The next event.
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
                // A member that stayed is not reported, unless the text changed.
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

    /// Whether a user has a stay, reported or about to be.
    fn is_here(&self, user: &String) -> bool {
        let first = (user.clone(), String::new());
        self.roster.keys_from(&first).next().is_some_and(|(next, _)| next == user)
    }

    /// Returns the text of a stay, and whether it differs from the one last reported; marks it as
    /// reported.
    fn note(&mut self, stay: &Stay) -> (Option<Text>, bool) {
        let Some(member) = self.roster.get_mut(stay) else { return (None, false) };
        let info = member.info().clone();
        let before = member.value.replace(info.clone());
        (info.clone(), before.is_some_and(|before| before != info))
    }
}
