//! How connections end: by the peer, by silence, by another connection of the same session, by a
//! kick.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::Rng;

use crate::node::connections::{Connection, Stage, does_not_read};
use crate::node::members::Parting;
use crate::node::sessions::SessionNumber;
use crate::node::{ConnectionId, Node, NodeAction, NodeEvent};
use crate::{Full, Stream};
use relink::internal::count;
use relink::session::Problem;
use relink::{Channel, CloseCode, CloseFrame, SessionId};
use relink_v1::ServerFrame;

/// The minimum delay of a client when the store is unavailable: the same as clients use for 1013.
const STORE_RETRY: Duration = Duration::from_secs(10);
/// The minimum delay of a client that was refused for lack of room: until dead connections are
/// noticed.
const CAP_RETRY: Duration = Duration::from_secs(30);

/// The number of unread answers, beside those to its subscriptions, from which on a client counts
/// as not reading; one whose application is behind has some for its heartbeats.
const MANY_ANSWERS: usize = 1000;

impl<R: Rng> Node<R> {
    /// Closes with what is queued, the reason as an `error` frame, and the close frame.
    pub(super) fn close(&mut self, id: ConnectionId, frame: CloseFrame) {
        self.close_as(id, frame, Parting::Broken, true);
    }

    pub(super) fn close_as(
        &mut self,
        id: ConnectionId,
        frame: CloseFrame,
        parting: Parting,
        flush: bool,
    ) {
        let Some(connection) = self.detach(id, &frame, parting) else { return };
        if flush && !matches!(connection.stage, Stage::Silent) {
            self.cx.connections.flush(id, connection, &ServerFrame::Error(problem_of(&frame)));
        }
        self.cx.act(NodeAction::Close { id, frame });
    }

    pub(super) fn close_if(&mut self, id: ConnectionId, frame: Option<CloseFrame>) {
        if let Some(frame) = frame {
            self.close(id, frame);
        }
    }

    /// Closes a connection whose welcome failed in the store.
    pub(super) fn close_unavailable(&mut self, id: ConnectionId) {
        let in_handshake =
            self.cx.connections.get(id).is_some_and(|connection| !connection.is_live());
        if in_handshake {
            let frame = CloseFrame::from(CloseCode::TRY_AGAIN_LATER);
            self.close(id, frame.with_retry_after(STORE_RETRY));
        }
    }

    /// There is no room for one more session, or connection of this user.
    pub(super) fn close_full(&mut self, id: ConnectionId, full: Full) {
        match full {
            Full::Store => self.close_unavailable(id),
            Full::User => {
                let frame = CloseFrame::from(CloseCode::CONCURRENT_CAP);
                self.close(id, frame.with_retry_after(CAP_RETRY));
            }
        }
    }

    /// Closes a connection whose session was taken over by another one, and drops its state.
    pub(super) fn replace(&mut self, id: ConnectionId) {
        count(&mut self.cx.stats.replaced);
        let frame = CloseFrame::new(CloseCode::REPLACED, "another connection has the session now");
        self.close_as(id, frame, Parting::Broken, false);
    }

    /// The peer closed, or the transport is gone.
    pub(super) fn closed(&mut self, id: ConnectionId, code: CloseCode) {
        self.cx.connections.discard(id);
        let parting = if code == CloseCode::NORMAL { Parting::Clean } else { Parting::Broken };
        self.detach(id, &CloseFrame::from(code), parting);
    }

    /// The connection was silent for too long. What is queued would not arrive either.
    pub(super) fn silent(&mut self, id: ConnectionId) {
        let Some(connection) = self.cx.connections.get(id) else { return };
        count(&mut self.cx.stats.silent);
        // It may have sent data that was not read, since it does not read answers.
        let many = MANY_ANSWERS.saturating_add(self.cx.config.max_subscriptions);
        let frame = if connection.does_not_read(many) {
            does_not_read()
        } else {
            CloseFrame::new(CloseCode::HEARTBEAT_TIMEOUT, "heartbeat timeout")
        };
        self.close_as(id, frame, Parting::Broken, false);
    }

    pub(super) fn hello_overdue(&mut self, id: ConnectionId) {
        match self.cx.connections.get(id).map(|connection| &connection.stage) {
            Some(Stage::Silent) => {
                self.close(id, CloseFrame::new(CloseCode::HEARTBEAT_TIMEOUT, "no hello"))
            }
            Some(Stage::Greeting(_)) => self.close_unavailable(id),
            Some(Stage::Live(_)) | None => {}
        }
    }

    /// Takes a connection out of everything it was part of.
    fn detach(
        &mut self,
        id: ConnectionId,
        frame: &CloseFrame,
        parting: Parting,
    ) -> Option<Connection> {
        let channels: Vec<Channel> = self.cx.connections.get(id)?.channels().cloned().collect();
        for channel in channels {
            self.end_subscription(id, &channel, parting);
        }
        let connection = self.cx.connections.remove(id)?;
        let code = frame.code;
        let session = connection.session.clone();
        if let Some(session) = &session {
            self.streams.unwatch(id, &Stream::Session(session.clone()), &mut self.cx);
        }
        match (&connection.stage, &session) {
            (Stage::Live(since), Some(session)) => {
                let after = self.cx.now - *since;
                self.cx.stats.connected_for.record(after);
                let (user, session) = (connection.user_name(), session.clone());
                self.cx.tell(NodeEvent::Disconnected { id, user, session, code, after });
            }
            (Stage::Silent | Stage::Greeting(_) | Stage::Live(_), _) => {
                count(&mut self.cx.stats.refused);
                self.cx.tell(NodeEvent::Refused { id, code, reason: frame.reason.clone() });
            }
        }
        let Some(number) = connection.number else {
            self.cx.release(Some(id));
            return Some(connection);
        };
        let is_over = match &connection.stage {
            Stage::Live(_) => parting == Parting::Clean,
            // The client does not know of a session without a welcome.
            Stage::Greeting(greeting) => !greeting.resumed,
            Stage::Silent => false,
        };
        self.sessions.detach(id, number, is_over, &mut self.cx);
        Some(connection)
    }

    /// The session was resumed, perhaps at another node, while its old connection is still here.
    pub(super) fn resumed_elsewhere(&mut self, session: &SessionId, generation: u64) {
        let known =
            self.sessions.get_by_id(session).filter(|intake| intake.generation < generation);
        if let Some(id) = known.and_then(|intake| intake.connection) {
            self.replace(id);
        }
    }

    /// All sessions of a user are over: here at once, whatever the store does; at other nodes by
    /// its event ([`StoreEvent::Ended`](crate::StoreEvent::Ended)).
    pub(super) fn kick(&mut self, user: String, frame: CloseFrame) {
        let connections = self.cx.connections.of_user(&user);
        for session in self.sessions.kick(user, frame.clone(), &mut self.cx) {
            self.end_session(session, &frame);
        }
        // Connections without a session yet.
        for id in connections {
            self.close_as(id, frame.clone(), Parting::Clean, true);
        }
    }

    /// The store has ended a session, which may be one of this node.
    pub(super) fn ended(&mut self, session: &SessionId, frame: &CloseFrame) {
        if let Some(session) = self.sessions.find(session) {
            self.end_session(session, frame);
        }
    }

    /// A session is over for good. Effects of its messages in the application are dropped.
    fn end_session(&mut self, session: SessionNumber, frame: &CloseFrame) {
        let connection = self.sessions.connection_of(session);
        self.sessions.forget(session, &mut self.cx);
        if let Some(id) = connection {
            self.close_as(id, frame.clone(), Parting::Clean, true);
        }
    }
}

/// The name of the problem behind a close code, for the `error` frame before it.
fn problem_of(frame: &CloseFrame) -> Problem {
    let name = match frame.code {
        CloseCode::GOING_AWAY => "going_away",
        CloseCode::PROTOCOL_ERROR => "protocol_error",
        CloseCode::UNSUPPORTED_DATA | CloseCode::INVALID_DATA => "malformed",
        CloseCode::TOO_BIG => "too_big",
        CloseCode::TRY_AGAIN_LATER => Problem::UNAVAILABLE,
        CloseCode::FORBIDDEN => "forbidden",
        CloseCode::HEARTBEAT_TIMEOUT => "heartbeat_timeout",
        CloseCode::INVALID_TOKEN => "invalid_token",
        CloseCode::TOKEN_EXPIRED => Problem::TOKEN_EXPIRED,
        CloseCode::REPLACED => "replaced",
        CloseCode::CONCURRENT_CAP => "concurrent_cap",
        CloseCode::ACCOUNT_SUSPENDED => "account_suspended",
        CloseCode::ADMIN_DISCONNECT => "admin_disconnect",
        CloseCode::GAP => "gap",
        _ => "closed",
    };
    Problem::new(name, frame.reason.clone())
}
