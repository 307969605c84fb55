//! How connections end: by the peer, by silence, by another connection of the same session, by a
//! shutdown.

use alloc::vec::Vec;
use core::time::Duration;

use rand_core::Rng;

use crate::node::connection::{Connection, Stage, problem_of};
use crate::node::handshake::{CAP_RETRY, retry_after};
use crate::node::reading::does_not_read;
use crate::node::subscriptions::Parting;
use crate::node::{ConnectionId, Node, NodeAction, NodeEvent, Timer};
use crate::{Drain, Full, Stream, Turn};
use relink::internal::count;
use relink::{Channel, CloseCode, CloseFrame, SessionId};
use relink_v1::ServerFrame;

/// How long a client waits at least when the store is away: as clients do by themselves on 1013.
const STORE_RETRY: Duration = Duration::from_secs(10);

/// A client that leaves this many answers unread, beside those to its subscriptions, asks for them
/// and does not want them; one whose application is behind has some for its heartbeats.
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
        let Some(mut connection) = self.detach(id, &frame, parting) else { return };
        if flush && !matches!(connection.stage, Stage::Silent) {
            if !connection.is_live() {
                connection.out.ack = None;
                connection.out.rejections.clear();
            }
            let error = ServerFrame::Error(problem_of(&frame));
            connection.out.push(error.encode(connection.out.encoding));
            self.leaving.insert(id, connection.out.into_rest());
        }
        self.actions.push_back(NodeAction::Close { id, frame });
    }

    /// The store is away before the client is in.
    pub(super) fn close_unavailable(&mut self, id: ConnectionId) {
        let in_handshake =
            self.connections.get(&id).is_some_and(|connection| !connection.is_live());
        if in_handshake {
            self.close(id, retry_after(CloseCode::TRY_AGAIN_LATER, STORE_RETRY));
        }
    }

    /// There is no room for one more session.
    pub(super) fn close_full(&mut self, id: ConnectionId, full: Full) {
        match full {
            Full::Store => self.close_unavailable(id),
            Full::User => self.close(id, retry_after(CloseCode::CONCURRENT_CAP, CAP_RETRY)),
        }
    }

    /// Another connection has the session now. Nothing that this one had matters any more.
    pub(super) fn replace(&mut self, id: ConnectionId) {
        count(&mut self.stats.replaced);
        let frame = CloseFrame::new(CloseCode::REPLACED, "another connection has the session now");
        self.close_as(id, frame, Parting::Broken, false);
    }

    /// The peer closed, or the transport is gone.
    pub(super) fn closed(&mut self, id: ConnectionId, code: CloseCode) {
        self.leaving.remove(&id);
        let parting = if code == CloseCode::NORMAL { Parting::Clean } else { Parting::Broken };
        self.detach(id, &CloseFrame::from(code), parting);
    }

    /// Nothing came for too long. What is queued would not arrive either.
    pub(super) fn silent(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        count(&mut self.stats.silent);
        // It may have said much that is not read, as it takes no answers.
        let many = MANY_ANSWERS.saturating_add(self.config.max_subscriptions);
        let asks = connection.reading.blocked.is_some() || connection.out.answers > many;
        let timeout = || CloseFrame::new(CloseCode::HEARTBEAT_TIMEOUT, "heartbeat timeout");
        let frame = if asks { does_not_read() } else { timeout() };
        self.close_as(id, frame, Parting::Broken, false);
    }

    pub(super) fn hello_overdue(&mut self, id: ConnectionId) {
        match self.connections.get(&id).map(|connection| &connection.stage) {
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
        let channels: Vec<Channel> = self
            .connections
            .get(&id)?
            .channels
            .iter()
            .map(|(channel, _)| channel.clone())
            .collect();
        for channel in channels {
            self.end_subscription(id, &channel, parting);
        }
        let connection = *self.connections.remove(&id)?;
        let code = frame.code;
        self.liveness.forget(&id);
        self.release_place(&connection);
        let session = connection.session.clone();
        if let Some(session) = &session {
            self.unwatch(id, &Stream::Session(session.clone()));
        }
        match (&connection.stage, &session) {
            (Stage::Live(since), Some(session)) => {
                let after = self.now - *since;
                self.stats.connected_for.record(after);
                let (user, session) = (connection.user_name(), session.clone());
                self.tell(NodeEvent::Disconnected { id, user, session, code, after });
            }
            (Stage::Silent | Stage::Greeting(_) | Stage::Live(_), _) => {
                count(&mut self.stats.refused);
                self.tell(NodeEvent::Refused { id, code, reason: frame.reason.clone() });
            }
        }
        let Some(session) = session else {
            self.release(Some(id));
            return Some(connection);
        };
        let is_over = match &connection.stage {
            Stage::Live(_) => parting == Parting::Clean,
            // Nobody knows of a session whose welcome was never sent.
            Stage::Greeting(greeting) => !greeting.resumed,
            Stage::Silent => false,
        };
        self.detach_session(id, &session, is_over);
        Some(connection)
    }

    /// The connection is released when nothing that it sent is under way any more.
    fn detach_session(&mut self, id: ConnectionId, session: &SessionId, is_over: bool) {
        let intake = self.sessions.get_mut(session).filter(|intake| intake.connection == Some(id));
        let Some(intake) = intake else { return self.release(Some(id)) };
        intake.connection = None;
        intake.left = Some(id);
        intake.left_at = self.now;
        intake.ending |= is_over;
        self.end_if_over(session);
    }

    fn release_place(&mut self, connection: &Connection) {
        let Some(user) = connection.user.as_ref().filter(|_| connection.counted) else { return };
        let Some(users) = self.users.get_mut(user) else { return };
        *users = users.saturating_sub(1);
        if *users == 0 {
            self.users.remove(user);
        }
    }

    /// The session was resumed: perhaps elsewhere, while its old connection is still here.
    pub(super) fn resumed_elsewhere(&mut self, session: &SessionId, turn: u64) {
        let Some(intake) = self.sessions.get(session).filter(|intake| intake.turn < turn) else {
            return;
        };
        if let Some(id) = intake.connection {
            self.replace(id);
        }
    }

    // Shutting down.

    pub(super) fn drain(&mut self) {
        if self.draining.is_some() {
            return;
        }
        let mut drain = Drain::new(self.config.drain, self.connections.len());
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        let turns: Vec<(ConnectionId, Turn)> =
            ids.into_iter().map(|id| (id, drain.next_turn())).collect();
        self.draining = Some(drain);
        for session in self.sessions.keys().cloned().collect::<Vec<SessionId>>() {
            self.end_if_over(&session);
        }
        let mut last = Duration::ZERO;
        for (id, Turn { after, hint }) in turns {
            last = after;
            if after.is_zero() {
                self.drain_connection(id, hint);
            } else {
                self.set_timer(self.now + after, Timer::Leave { id, hint });
            }
        }
        let end = last.saturating_add(self.config.drain_timeout);
        self.set_timer(self.now + end, Timer::DrainEnd);
    }

    /// Rejects a connection that arrives while the node is draining.
    pub(super) fn refuse_while_draining(&mut self, id: ConnectionId) {
        let Some(drain) = &mut self.draining else { return };
        let Turn { after, hint } = drain.next_turn();
        self.drain_connection(id, after.saturating_add(hint));
    }

    /// Tells a client when to come back, and closes as soon as what it has sent is stored.
    pub(super) fn drain_connection(&mut self, id: ConnectionId, hint: Duration) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.retry_after = Some(hint);
        if connection.is_live() {
            self.push(id, &ServerFrame::GoingAway { retry_after: hint });
        }
        self.review_reading(id);
        self.close_if_done(id);
    }

    /// In a shutdown: whether this connection waits for nothing any more.
    pub(super) fn close_if_done(&mut self, id: ConnectionId) {
        let Some(hint) = self.connections.get(&id).and_then(|connection| connection.retry_after)
        else {
            return;
        };
        let session = self.session_of(id);
        let intake = session.and_then(|session| self.sessions.get(&session));
        if intake.is_none_or(|intake| intake.unhandled() == 0) {
            self.close_going_away(id, hint);
        }
    }

    pub(super) fn drain_overdue(&mut self) {
        let ids: Vec<(ConnectionId, Option<Duration>)> =
            self.connections.iter().map(|(id, connection)| (*id, connection.retry_after)).collect();
        for (id, hint) in ids {
            self.close_going_away(id, hint.unwrap_or_default());
        }
        let sessions: Vec<SessionId> = self.sessions.keys().cloned().collect();
        for session in sessions {
            self.forget_intake(&session);
        }
    }

    fn close_going_away(&mut self, id: ConnectionId, hint: Duration) {
        let is_live = self.connections.get(&id).is_some_and(|connection| connection.is_live());
        let frame = retry_after(CloseCode::GOING_AWAY, hint);
        // A live one has had its word; to the others the reason says it.
        self.close_as(id, frame, Parting::Broken, is_live);
    }

    pub(super) fn tell_if_drained(&mut self) {
        let is_over = self.connections.is_empty() && self.sessions.is_empty();
        if self.draining.is_some() && is_over && !self.drained {
            self.drained = true;
            self.tell(NodeEvent::Drained);
        }
    }
}
