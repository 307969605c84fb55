//! The messages of a session's client, between its connection, the application and the store; and
//! the application's publications.

use alloc::vec;

use rand_core::Rng;

use crate::node::sessions::{Outcome, SessionNumber};
use crate::node::store_requests::Asker;
use crate::node::{ConnectionId, DeliveryId, Node, NodeEvent};
use crate::{StoreRequest, Stream};
use relink::internal::count;
use relink::{Channel, CloseCode, CloseFrame, Message};

impl<R: Rng> Node<R> {
    pub(super) fn message(
        &mut self,
        id: ConnectionId,
        serial: Option<u64>,
        channel: Option<Channel>,
        message: Message,
    ) {
        if self.cx.connections.passes_over(id, serial.is_some()) {
            return count(&mut self.cx.stats.passed_over);
        }
        let Some(session) = self.session_of(id) else { return };
        let message = (serial, channel, message);
        match self.sessions.receive(id, session, message, &mut self.cx) {
            Ok(true) => self.drive_messages(session),
            Ok(false) => {}
            Err(frame) => self.close(id, frame),
        }
    }

    /// A heartbeat has the number of messages that the client has sent: the last ones may be lost.
    pub(super) fn heartbeat_sent(&mut self, id: ConnectionId, sent: u64) {
        if self.cx.connections.has_passed_over(id) {
            return;
        }
        let Some(session) = self.session_of(id) else { return };
        if self.sessions.get(session).is_some_and(|intake| sent > intake.taken) {
            self.gap(id, "the last messages are missing");
        }
    }

    pub(super) fn gap(&mut self, id: ConnectionId, reason: &str) {
        count(&mut self.cx.stats.gaps);
        self.close(id, CloseFrame::new(CloseCode::GAP, reason));
    }

    /// Advances a session's messages. After that its connection may be read again, or closed, or
    /// the session may be over.
    pub(super) fn drive_messages(&mut self, session: SessionNumber) {
        match self.sessions.drive(session, &mut self.cx) {
            Some((id, true)) if self.cx.is_draining => self.close_if_done(id),
            Some((_, true)) => {}
            Some((id, false)) => self.gap(id, "there is room again for what was passed over"),
            None => self.sessions.end_if_over(session, &mut self.cx),
        }
    }

    pub(super) fn handled(&mut self, delivery: DeliveryId, result: Outcome) {
        if let Some(session) = self.sessions.handled(delivery, result, &mut self.cx) {
            self.drive_messages(session);
        }
    }

    /// Drops the session's messages and closes, so that the client sends all unacknowledged ones
    /// again.
    pub(super) fn lose_session(&mut self, session: SessionNumber, reason: &str) {
        if let Some(id) = self.sessions.connection_of(session) {
            self.gap(id, reason);
        }
        self.sessions.forget(session, &mut self.cx);
    }

    /// A message from the application.
    pub(super) fn publish(&mut self, stream: Stream, message: Message) {
        if let Err(problem) = self.cx.config.may_publish(&stream, &message) {
            return self.cx.tell(NodeEvent::NotPublished { detail: problem.detail });
        }
        let publications = vec![(stream, message)];
        self.cx.ask(Asker::Node, StoreRequest::Publish { session: None, publications });
    }
}
