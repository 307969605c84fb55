//! How much is kept: in all, and of whom.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use relink::{Message, SessionId};

/// What a message counts beside its payload: its place in a stream. So a bound on bytes is one on small messages, too.
const OVERHEAD: usize = 128;
/// What a stream counts, whether anything is kept of it or not.
const STREAM: usize = 512;

/// Counted by the user who sent a message; those of the application count in all only.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    bytes: usize,
    users: BTreeMap<Arc<str>, Used>,
}

#[derive(Debug, Clone, Default)]
struct Used {
    bytes: usize,
    sessions: BTreeSet<SessionId>,
}

pub(super) fn size(message: &Message) -> usize {
    message.len().saturating_add(OVERHEAD)
}

impl Ledger {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn bytes_of(&self, user: &str) -> usize {
        self.users.get(user).map_or(0, |used| used.bytes)
    }

    pub(super) fn sessions_of(&self, user: &str) -> Option<&BTreeSet<SessionId>> {
        self.users.get(user).map(|used| &used.sessions)
    }

    pub(super) fn keep(&mut self, message: &Message, by: Option<&Arc<str>>) {
        let size = size(message);
        self.bytes = self.bytes.saturating_add(size);
        self.change(by, |used| used.bytes = used.bytes.saturating_add(size));
    }

    pub(super) fn forget(&mut self, message: &Message, by: Option<&Arc<str>>) {
        let size = size(message);
        self.bytes = self.bytes.saturating_sub(size);
        self.change(by, |used| used.bytes = used.bytes.saturating_sub(size));
    }

    pub(super) const fn begin_stream(&mut self) {
        self.bytes = self.bytes.saturating_add(STREAM);
    }

    pub(super) const fn end_stream(&mut self) {
        self.bytes = self.bytes.saturating_sub(STREAM);
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
        if used.bytes == 0 && used.sessions.is_empty() {
            self.users.remove(user);
        }
    }
}
