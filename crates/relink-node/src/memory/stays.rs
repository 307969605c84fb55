//! The members of one channel.

use alloc::collections::BTreeMap;
use alloc::string::String;

use relink::SessionId;
use relink::session::Member;

use super::ledger;

/// By session, and the bytes of their texts together.
#[derive(Debug, Clone, Default)]
pub(super) struct Stays {
    stays: BTreeMap<SessionId, Stay>,
    words: usize,
}

#[derive(Debug, Clone)]
struct Stay {
    member: Member,
    lease: u64,
}

impl Stays {
    pub(super) fn members(&self) -> impl Iterator<Item = Member> {
        self.stays.values().map(|stay| stay.member.clone())
    }

    pub(super) fn lease(&self, session: &SessionId) -> Option<u64> {
        self.stays.get(session).map(|stay| stay.lease)
    }

    pub(super) fn len(&self) -> usize {
        self.stays.len()
    }

    /// The size of a member.
    pub(super) fn size(&self, session: &SessionId) -> Option<usize> {
        self.stays.get(session).map(|stay| ledger::size_of_member(&stay.member))
    }

    /// Returns the id of the stay, and the member if the others are to be notified.
    pub(super) fn join(
        &mut self,
        session: SessionId,
        mut member: Member,
        lease: u64,
        max_words: usize,
    ) -> (String, Option<Member>) {
        let before = self.stays.get(&session);
        let others = self.words - before.map_or(0, |stay| words(&stay.member));
        if others.saturating_add(words(&member)) > max_words {
            member.info = None;
        }
        if let Some(before) = before {
            member.join = before.member.join.clone();
        }
        self.words = others.saturating_add(words(&member));
        let is_news = before.is_none_or(|before| before.member.info != member.info);
        self.stays.insert(session, Stay { member: member.clone(), lease });
        (member.join.clone(), is_news.then_some(member))
    }

    /// Returns the member that left, without its text, and its size; if a lease is given, only if
    /// it is the current one.
    pub(super) fn leave(
        &mut self,
        session: &SessionId,
        lease: Option<u64>,
    ) -> Option<(usize, Member)> {
        let present = self.lease(session)?;
        if lease.is_some_and(|lease| lease != present) {
            return None;
        }
        let Stay { member, .. } = self.stays.remove(session)?;
        self.words = self.words.saturating_sub(words(&member));
        Some((ledger::size_of_member(&member), Member { info: None, ..member }))
    }
}

fn words(member: &Member) -> usize {
    member.info.as_ref().map_or(0, |words| words.as_str().len())
}
