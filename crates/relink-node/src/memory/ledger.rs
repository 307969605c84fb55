//! How much is kept: in all, and of whom.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use relink::protocol::Rejection;
use relink::session::Member;
use relink::{Message, SessionId};

/// What a message, a member or a refusal counts beside its bytes: its place. So a bound on bytes is
/// one on small ones, too.
const OVERHEAD: usize = 128;
/// What a stream counts, whether anything is kept of it or not.
pub(super) const STREAM: usize = 512;

/// Counted by the user who made the store keep it; what nobody in particular did counts in all
/// only.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    bytes: usize,
    users: BTreeMap<Arc<str>, Used>,
}

#[derive(Debug, Clone, Default)]
struct Used {
    bytes: usize,
    /// Apart from the rest: who has used up the room is refused, and that has to be kept.
    refusals: usize,
    sessions: BTreeSet<SessionId>,
}

pub(super) fn size(message: &Message) -> usize {
    message.len().saturating_add(OVERHEAD)
}

pub(super) fn size_of_member(member: &Member) -> usize {
    member.info.as_ref().map_or(0, |words| words.as_str().len()).saturating_add(OVERHEAD)
}

pub(super) fn size_of_refusal(rejection: &Rejection) -> usize {
    let problem = &rejection.problem;
    problem.name.len().saturating_add(problem.detail.len()).saturating_add(OVERHEAD)
}

impl Ledger {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn bytes_of(&self, user: &str) -> usize {
        self.users.get(user).map_or(0, |used| used.bytes)
    }

    pub(super) fn refusals_of(&self, user: &str) -> usize {
        self.users.get(user).map_or(0, |used| used.refusals)
    }

    pub(super) fn sessions_of(&self, user: &str) -> Option<&BTreeSet<SessionId>> {
        self.users.get(user).map(|used| &used.sessions)
    }

    pub(super) fn keep(&mut self, size: usize, by: Option<&Arc<str>>) {
        self.bytes = self.bytes.saturating_add(size);
        self.change(by, |used| used.bytes = used.bytes.saturating_add(size));
    }

    pub(super) fn forget(&mut self, size: usize, by: Option<&Arc<str>>) {
        self.bytes = self.bytes.saturating_sub(size);
        self.change(by, |used| used.bytes = used.bytes.saturating_sub(size));
    }

    pub(super) fn keep_refusal(&mut self, size: usize, by: &Arc<str>) {
        self.bytes = self.bytes.saturating_add(size);
        self.change(Some(by), |used| used.refusals = used.refusals.saturating_add(size));
    }

    pub(super) fn forget_refusal(&mut self, size: usize, by: &Arc<str>) {
        self.bytes = self.bytes.saturating_sub(size);
        self.change(Some(by), |used| used.refusals = used.refusals.saturating_sub(size));
    }

    pub(super) fn begin_session(&mut self, user: &Arc<str>, session: SessionId) {
        self.change(Some(user), |used| _ = used.sessions.insert(session));
    }

    pub(super) fn end_session(&mut self, user: &Arc<str>, session: &SessionId) {
        self.change(Some(user), |used| _ = used.sessions.remove(session));
    }

    fn change(&mut self, user: Option<&Arc<str>>, change: impl FnOnce(&mut Used)) {
        let Some(user) = user else { return };
        let used = self.users.entry(Arc::clone(user)).or_default();
        change(used);
        if used.bytes == 0 && used.refusals == 0 && used.sessions.is_empty() {
            self.users.remove(user);
        }
    }
}
