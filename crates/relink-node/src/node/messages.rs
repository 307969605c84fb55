//! What a session's client sends: in order, once, and acknowledged when its effect is stored.

use alloc::vec;
use alloc::vec::Vec;

use rand_core::Rng;

use crate::node::store_requests::Asker;
use crate::node::work::{Effect, Incoming};
use crate::node::{ConnectionId, DeliveryId, Node, NodeAction, NodeEvent, StoreRequestId, Timer};
use crate::{Full, StoreRequest, Stream};
use relink::internal::{SHORTEST, count};
use relink::protocol::Rejection;
use relink::session::Problem;
use relink::{Channel, CloseCode, CloseFrame, Message, SessionId};

/// What became of a message that arrived.
enum Arrival {
    Taken,
    Duplicate,
    Gap,
}

impl<R: Rng> Node<R> {
    pub(super) fn message(
        &mut self,
        id: ConnectionId,
        serial: Option<u64>,
        channel: Option<Channel>,
        message: Message,
    ) {
        if self.passes_over(id, serial.is_some()) {
            return count(&mut self.stats.passed_over);
        }
        let now = self.now;
        let Some(session) = self.session_of(id) else { return };
        let Some(intake) = self.sessions.get_mut(&session) else { return };
        let arrival = match serial {
            Some(serial) if serial <= intake.taken => Arrival::Duplicate,
            Some(serial) if Some(serial) != intake.taken.checked_add(1) => Arrival::Gap,
            Some(_) | None => Arrival::Taken,
        };
        match arrival {
            Arrival::Duplicate => {
                count(&mut self.stats.duplicates);
                let committed = intake.committed;
                if serial.is_some_and(|serial| serial <= committed) {
                    self.acknowledge(id, committed);
                }
            }
            Arrival::Gap => self.gap(id, "a message is missing"),
            Arrival::Taken => {
                self.take_in(id, &session, Incoming::new(serial, channel, message, now))
            }
        }
    }

    fn take_in(&mut self, id: ConnectionId, session: &SessionId, incoming: Incoming) {
        let Some(intake) = self.sessions.get_mut(session) else { return };
        let most = self.config.max_unhandled.saturating_mul(2).saturating_add(READ_AHEAD);
        if intake.unhandled() >= most {
            count(&mut self.stats.malformed);
            let reason = "too many unprocessed messages";
            return self.close(id, CloseFrame::new(CloseCode::POLICY_VIOLATION, reason));
        }
        let before = intake.unhandled();
        intake.take(incoming);
        let after = intake.unhandled();
        count(&mut self.stats.messages);
        self.count_unhandled(before, after);
        self.drive_messages(session);
    }

    pub(super) fn count_unhandled(&mut self, before: usize, after: usize) {
        let (before, after) = (before as u64, after as u64);
        self.stats.unhandled = self.stats.unhandled.saturating_add(after).saturating_sub(before);
        self.stats.unhandled_peak = self.stats.unhandled_peak.max(self.stats.unhandled);
    }

    /// The client says how many messages it has sent: the end of them may be lost.
    pub(super) fn heartbeat_sent(&mut self, id: ConnectionId, sent: u64) {
        if self.has_passed_over(id) {
            return;
        }
        let session = self.session_of(id);
        let taken =
            session.and_then(|session| self.sessions.get(&session)).map(|intake| intake.taken);
        if taken.is_some_and(|taken| sent > taken) {
            self.gap(id, "the last messages are missing");
        }
    }

    pub(super) fn gap(&mut self, id: ConnectionId, reason: &str) {
        count(&mut self.stats.gaps);
        self.close(id, CloseFrame::new(CloseCode::GAP, reason));
    }

    /// Moves what can be moved: one message at a time to the application, one effect at a time to
    /// the store.
    pub(super) fn drive_messages(&mut self, session: &SessionId) {
        let number = self.next_number();
        let Some(intake) = self.sessions.get_mut(session) else { return };
        let (user, from) = (intake.user.clone(), intake.connection.or(intake.left));
        let handling = DeliveryId(number);
        if let Some(Incoming { serial, channel, message, .. }) = intake.hand_over(handling) {
            self.handlings.insert(handling, session.clone());
            self.actions.push_back(NodeAction::Handle {
                handling,
                id: from,
                user: (&*user).into(),
                session: session.clone(),
                serial: *serial,
                channel: channel.clone(),
                message: message.clone(),
            });
        }
        if intake.storing.is_none() {
            self.store_next(session);
        }
        self.session_moved_on(session);
        self.end_if_over(session);
    }

    pub(super) fn handled(
        &mut self,
        handling: DeliveryId,
        result: Result<Vec<(Stream, Message)>, Problem>,
    ) {
        let Some(session) = self.handlings.remove(&handling) else { return };
        let result = self.check_effect(result);
        let Some(intake) = self.sessions.get_mut(&session) else { return };
        if result.is_err() {
            count(&mut self.stats.rejected);
        }
        intake.hand_back(handling, result);
        self.drive_messages(&session);
    }

    fn store_next(&mut self, session: &SessionId) {
        while let Some(intake) = self.sessions.get(session) {
            let Some(effect) = intake.effect() else { return };
            let publications = effect.result.clone().unwrap_or_default();
            let request = match effect.serial() {
                Some(serial) => {
                    let problem = effect.result.as_ref().err();
                    let rejection =
                        problem.map(|problem| Rejection { serial, problem: problem.clone() });
                    let (session, turn) = (session.clone(), intake.turn);
                    StoreRequest::Commit { session, turn, serial, publications, rejection }
                }
                None if publications.is_empty() => {
                    self.pop_effect(session);
                    continue;
                }
                None => StoreRequest::Publish { session: Some(session.clone()), publications },
            };
            let question = self.request(Asker::Node, request);
            if let Some(intake) = self.sessions.get_mut(session) {
                intake.storing = Some(question);
            }
            return;
        }
    }

    pub(super) fn committed(
        &mut self,
        question: StoreRequestId,
        session: &SessionId,
        received: u64,
    ) {
        let Some(intake) = self.sessions.get_mut(session) else { return };
        if intake.storing != Some(question) {
            return;
        }
        intake.storing = None;
        let serial = intake.effect().and_then(Effect::serial).unwrap_or(0);
        if received < serial {
            // The store forgot what it had received. The client still has it, and is asked for it.
            return self.lose_intake(session, "the server lost messages");
        }
        intake.committed = intake.committed.max(serial);
        let (committed, connection) = (intake.committed, intake.connection);
        let refused = self.pop_effect(session).and_then(|effect| effect.result.err());
        if let Some(id) = connection {
            if let Some(problem) = refused {
                self.reject(id, Rejection { serial, problem });
            }
            self.acknowledge(id, committed);
        }
        self.drive_messages(session);
    }

    /// What the message led to cannot be kept: the message is refused, and that is stored.
    pub(super) fn commit_has_no_room(
        &mut self,
        question: StoreRequestId,
        session: &SessionId,
        full: Full,
    ) {
        let Some(intake) = self.sessions.get_mut(session) else { return };
        if intake.storing.take_if(|storing| *storing == question).is_none() {
            return;
        }
        intake.refuse_effect(full.problem());
        count(&mut self.stats.rejected);
        self.store_next(session);
    }

    /// The session is gone, or its next turn has begun elsewhere.
    pub(super) fn commit_refused(&mut self, question: StoreRequestId, session: &SessionId) {
        let Some(intake) = self.sessions.get_mut(session) else { return };
        if intake.storing != Some(question) {
            return;
        }
        self.lose_intake(session, "the session is gone");
    }

    pub(super) fn published_unacknowledged(
        &mut self,
        question: StoreRequestId,
        session: &SessionId,
    ) {
        let Some(intake) = self.sessions.get_mut(session) else { return };
        if intake.storing.take_if(|storing| *storing == question).is_some() {
            self.pop_effect(session);
            self.drive_messages(session);
        }
    }

    fn pop_effect(&mut self, session: &SessionId) -> Option<Effect> {
        let intake = self.sessions.get_mut(session)?;
        let effect = intake.pop_effect()?;
        self.stats.unhandled = self.stats.unhandled.saturating_sub(1);
        Some(effect)
    }

    /// What was taken in is dropped, and the client asked to come again: it still has all that was
    /// not acknowledged.
    pub(super) fn lose_intake(&mut self, session: &SessionId, reason: &str) {
        let connection = self.sessions.get(session).and_then(|intake| intake.connection);
        if let Some(id) = connection {
            self.gap(id, reason);
        }
        self.forget_intake(session);
    }

    pub(super) fn forget_intake(&mut self, session: &SessionId) {
        let Some(intake) = self.sessions.remove(session) else { return };
        self.count_unhandled(intake.unhandled(), 0);
        if let Some(handling) = intake.handling() {
            self.handlings.remove(&handling);
        }
        self.release(intake.left);
    }

    /// A session without a connection is forgotten here when nothing of it is under way; one that
    /// its client ended is over for good.
    pub(super) fn end_if_over(&mut self, session: &SessionId) {
        let Some(intake) = self.sessions.get_mut(session) else { return };
        if intake.connection.is_some() || intake.unhandled() > 0 {
            return;
        }
        let (ending, turn) = (intake.ending, intake.turn);
        // What the client has not sent again yet is kept for a client that may come back; no
        // connection pays for it.
        if !intake.is_idle() && !ending && self.draining.is_none() {
            let left = if intake.handling().is_none() { intake.left.take() } else { None };
            return self.release(left);
        }
        self.forget_intake(session);
        if ending {
            self.request(Asker::Node, StoreRequest::End { session: session.clone(), turn });
        }
    }

    /// A message from the application.
    pub(super) fn publish(&mut self, stream: Stream, message: Message) {
        if let Err(problem) = self.config.may_publish(&stream, &message) {
            return self.tell(NodeEvent::NotPublished { detail: problem.detail });
        }
        let publications = vec![(stream, message)];
        self.request(Asker::Node, StoreRequest::Publish { session: None, publications });
    }

    /// Those sessions live on that have a connection here. The others are given up when they would
    /// be over anyway.
    pub(super) fn touch_sessions(&mut self) {
        let mut kept: Vec<SessionId> = Vec::new();
        let mut over: Vec<SessionId> = Vec::new();
        for (session, intake) in &self.sessions {
            match intake.connection {
                Some(_) => kept.push(session.clone()),
                None if self.now - intake.left_at >= self.config.history.session_ttl => {
                    over.push(session.clone());
                }
                None => {}
            }
        }
        for session in over {
            self.forget_intake(&session);
        }
        for sessions in kept.chunks(TOUCHED_AT_ONCE) {
            self.request(Asker::Node, StoreRequest::Touch { sessions: sessions.to_vec() });
        }
        self.keeping = false;
        self.arm_keep();
    }

    /// There are sessions no more whose clients are here: they begin anew, and are told so when
    /// they come back.
    pub(super) fn sessions_touched(&mut self, lost: Vec<SessionId>) {
        for session in lost {
            self.lose_intake(&session, "the session is gone");
        }
    }

    pub(super) fn arm_keep(&mut self) {
        if !self.keeping && !self.sessions.is_empty() {
            self.keeping = true;
            let third = (self.config.history.session_ttl / 3).max(SHORTEST);
            self.set_timer(self.now + third, Timer::Keep);
        }
    }

    /// A connection is closed, and nothing that it sent is under way.
    pub(super) fn release(&mut self, id: Option<ConnectionId>) {
        self.actions.extend(id.map(|id| NodeAction::Released { id }));
    }
}

/// At most this many sessions are named in one request.
const TOUCHED_AT_ONCE: usize = 1000;

/// A driver has a message or two in its hands when it is told to read no more.
const READ_AHEAD: usize = 16;
