//! Kicks: ending all sessions of a user, at every node.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{SessionNumber, Sessions};
use crate::StoreRequest;
use crate::node::StoreRequestId;
use crate::node::context::Context;
use crate::node::store_requests::Asker;
use relink::{CloseFrame, Instant};

/// A kick that the store has not confirmed yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kick {
    at: Instant,
    request: StoreRequestId,
}

impl Sessions {
    /// Requests the store to end all sessions of a user, and returns those that are here.
    pub(crate) fn kick(
        &mut self,
        user: String,
        frame: CloseFrame,
        cx: &mut Context,
    ) -> Vec<SessionNumber> {
        let sessions = self.users.all(&*user);
        // Earlier requests come before the end, and no later request concerns these sessions.
        let end = StoreRequest::EndUser { user: user.clone(), ago: Duration::ZERO, frame };
        let request = cx.ask(Asker::Node, end);
        self.kicks.insert(user, Kick { at: cx.now, request });
        sessions
    }

    pub(crate) fn is_kicked(&self, user: &str) -> bool {
        self.kicks.contains_key(user)
    }

    /// The age of a kick, if this is its request: after a later kick, only that one's counts.
    pub(crate) fn kicked_ago(
        &self,
        user: &str,
        request: StoreRequestId,
        now: Instant,
    ) -> Option<Duration> {
        self.kicks.get(user).filter(|kick| kick.request == request).map(|kick| now - kick.at)
    }

    /// The store has confirmed.
    pub(crate) fn user_ended(&mut self, user: &str, request: StoreRequestId) {
        if self.kicks.get(user).is_some_and(|kick| kick.request == request) {
            self.kicks.remove(user);
        }
    }
}
