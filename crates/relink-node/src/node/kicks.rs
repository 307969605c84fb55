//! A kick: all sessions of a user are over, at every node.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::Rng;

use crate::StoreRequest;
use crate::node::store_requests::Asker;
use crate::node::subscriptions::Parting;
use crate::node::{ConnectionId, Node, StoreRequestId};
use relink::{CloseFrame, Instant, SessionId};

/// A kick that the store has not done yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kick {
    pub(super) at: Instant,
    pub(super) request: StoreRequestId,
}

impl<R: Rng> Node<R> {
    /// Here at once, whatever the store does; elsewhere when it says so
    /// ([`StoreEvent::Ended`](crate::StoreEvent::Ended)).
    pub(super) fn kick(&mut self, user: String, frame: CloseFrame) {
        // What was asked of the store before comes before the end, and nothing of these sessions is
        // asked after it.
        let end =
            StoreRequest::EndUser { user: user.clone(), ago: Duration::ZERO, frame: frame.clone() };
        let request = self.request(Asker::Node, end);
        self.kicks.insert(user.clone(), Kick { at: self.now, request });
        let theirs = self.sessions.iter().filter(|(_, intake)| *intake.user == *user);
        let sessions: Vec<SessionId> = theirs.map(|(session, _)| session.clone()).collect();
        for session in sessions {
            self.end_session(&session, &frame);
        }
        let theirs = self.connections.iter().filter(|(_, it)| it.user.as_deref() == Some(&*user));
        let without_session: Vec<ConnectionId> = theirs.map(|(id, _)| *id).collect();
        for id in without_session {
            self.close_as(id, frame.clone(), Parting::Clean, true);
        }
    }

    /// A session is over for good. What the application makes of its messages now goes nowhere.
    pub(super) fn end_session(&mut self, session: &SessionId, frame: &CloseFrame) {
        let connection = self.sessions.get(session).and_then(|intake| intake.connection);
        self.forget_intake(session);
        if let Some(id) = connection {
            self.close_as(id, frame.clone(), Parting::Clean, true);
        }
    }

    /// The store has done it. A later kick may still wait.
    pub(super) fn user_ended(&mut self, user: &str, request: StoreRequestId) {
        if self.kicks.get(user).is_some_and(|kick| kick.request == request) {
            self.kicks.remove(user);
        }
    }
}
