//! How much is kept: in total, and of each user.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use relink::protocol::Rejection;
use relink::session::Member;
use relink::{Message, SessionId};

/// The overhead of a message, a member or a refusal, so that a bound on bytes also bounds their
/// number.
const OVERHEAD: usize = 128;
/// The size of a stream, even if it is empty.
pub(super) const STREAM: usize = 512;

/// Counted for the user who caused it; what has no user counts in total only.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    bytes: usize,
    users: BTreeMap<Arc<str>, Used>,
}

#[derive(Debug, Clone, Default)]
struct Used {
    bytes: usize,
    /// Separate from the rest: the refusals of a user without room have to be kept, too.
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
