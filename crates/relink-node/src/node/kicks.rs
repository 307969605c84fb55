//! A kick: all sessions of a user are over, at every node.

use alloc::string::String;
use alloc::vec::Vec;

use rand_core::Rng;

use crate::StoreRequest;
use crate::node::store::Why;
use crate::node::subscriptions::Parting;
use crate::node::{ConnectionId, Node};
use relink::{CloseFrame, Instant, SessionId};

impl<R: Rng> Node<R> {
    /// Here at once, whatever the store does; elsewhere when it says so
    /// ([`StoreEvent::Ended`](crate::StoreEvent::Ended)).
    pub(super) fn kick(&mut self, user: String, frame: CloseFrame) {
        // What was asked of the store before comes before the end, and nothing of these sessions is
        // asked after it.
        let question = self.end_user(&user, &frame, self.now);
        self.kicks.insert(user.clone(), self.now);
        self.request(
            Why::EndUser { user: user.clone(), frame: frame.clone(), at: self.now },
            question,
        );
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

    pub(super) fn end_user(&self, user: &str, frame: &CloseFrame, at: Instant) -> StoreRequest {
        StoreRequest::EndUser { user: user.into(), ago: self.now - at, frame: frame.clone() }
    }

    /// The store has done it.
    pub(super) fn user_ended(&mut self, user: &str, at: Instant) {
        if self.kicks.get(user) == Some(&at) {
            self.kicks.remove(user);
        }
    }
}
