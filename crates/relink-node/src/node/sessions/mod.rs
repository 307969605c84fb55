//! The sessions with a connection here, or with messages under way: in order, once, and
//! acknowledged when their effect is stored.

mod intake;
mod kicks;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::node::connections::Load;
use crate::node::context::Context;
use crate::node::groups::Groups;
use crate::node::numbered::{Numbered, numbers};
use crate::node::store_requests::Asker;
use crate::node::{ConnectionId, DeliveryId, NodeAction, StoreRequestId};
use crate::{Full, StoreRequest};
use relink::internal::{MILLISECOND, count};
use relink::protocol::Rejection;
use relink::{Channel, CloseCode, CloseFrame, Instant, Message, SessionId};

use intake::{Effect, Incoming};
pub(crate) use intake::{Intake, Outcome};
use kicks::Kick;

/// All sessions of this node.
#[derive(Debug)]
pub(crate) struct Sessions {
    all: Numbered<SessionNumber, Box<Intake>>,
    /// The number of each, which its connection and its requests have in place of its id.
    ids: BTreeMap<SessionId, SessionNumber>,
    last_session: u64,
    /// The sessions of each user.
    users: Groups<Arc<str>, SessionNumber>,
    last_delivery: u64,
    /// Kicked users, until the store has ended their sessions: meanwhile they cannot resume.
    kicks: BTreeMap<String, Kick>,
    /// When the next [`StoreRequest::Touch`] is due.
    touch_at: Option<Instant>,
}

/// A session at this node, until it is forgotten here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionNumber(u64);

numbers!(SessionNumber);

/// The maximum number of sessions in one request.
const TOUCHED_AT_ONCE: usize = 1000;

/// A driver may have a few messages in hand when the reading stops.
const READ_AHEAD: usize = 16;

impl Sessions {
    pub(crate) const fn new() -> Self {
        Self {
            all: Numbered::new(),
            ids: BTreeMap::new(),
            last_session: 0,
            users: Groups::new(),
            last_delivery: 0,
            kicks: BTreeMap::new(),
            touch_at: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All sessions, in the order of their ids.
    pub(crate) fn numbers(&self) -> Vec<SessionNumber> {
        self.ids.values().copied().collect()
    }

    pub(crate) fn find(&self, session: &SessionId) -> Option<SessionNumber> {
        self.ids.get(session).copied()
    }

    pub(crate) fn get(&self, session: SessionNumber) -> Option<&Intake> {
        self.all.get(session).map(|intake| &**intake)
    }

    pub(crate) fn get_by_id(&self, session: &SessionId) -> Option<&Intake> {
        self.get(self.find(session)?)
    }

    /// The sessions of a user that have a connection.
    pub(crate) fn connected(&self, user: &str) -> Vec<SessionId> {
        let sessions = self.users.all(user).into_iter().filter_map(|session| self.get(session));
        sessions.filter(|it| it.connection.is_some()).map(|it| it.id.clone()).collect()
    }

    pub(crate) fn connection_of(&self, session: SessionNumber) -> Option<ConnectionId> {
        self.get(session)?.connection
    }

    // Connections.

    /// Starts a new session, or one that is new to this node.
    pub(crate) fn begin(
        &mut self,
        session: SessionId,
        user: Arc<str>,
        (generation, received): (u64, u64),
        cx: &Context,
    ) -> SessionNumber {
        self.last_session = self.last_session.saturating_add(1);
        let number = SessionNumber(self.last_session);
        self.users.insert(&user, number);
        let intake = Intake::new(session.clone(), user, generation, received, cx.now);
        self.all.insert(number, Box::new(intake));
        self.ids.insert(session, number);
        number
    }

    /// A session goes on, perhaps from another node, which has stored everything up to `received`.
    /// What the application has of its messages is finished, for the client that sends them again:
    /// the effect of a message must not happen twice, nor be lost with the connection.
    pub(crate) fn begin_generation(
        &mut self,
        session: &SessionId,
        user: Arc<str>,
        (generation, received): (u64, u64),
        cx: &mut Context,
    ) -> SessionNumber {
        let Some(number) = self.find(session) else {
            return self.begin(session.clone(), user, (generation, received), cx);
        };
        self.users.insert(&user, number);
        if let Some(intake) = self.all.get_mut(number) {
            let before = intake.unhandled();
            intake.begin_generation(generation, received);
            let (after, left) = (intake.unhandled(), intake.left.take());
            cx.count_unhandled(before, after);
            cx.release(left);
        }
        number
    }

    /// Attaches a session to a connection.
    pub(crate) fn attach(&mut self, id: ConnectionId, session: SessionNumber, cx: &Context) {
        if let Some(intake) = self.all.get_mut(session) {
            intake.connection = Some(id);
        }
        self.arm_touch(cx);
    }

    /// The connection is closed. It is released when none of its messages is under way.
    pub(crate) fn detach(
        &mut self,
        id: ConnectionId,
        session: SessionNumber,
        is_over: bool,
        cx: &mut Context,
    ) {
        let intake = self.all.get_mut(session).filter(|intake| intake.connection == Some(id));
        let Some(intake) = intake else { return cx.release(Some(id)) };
        intake.connection = None;
        intake.left = Some(id);
        intake.left_at = cx.now;
        intake.ending |= is_over;
        self.end_if_over(session, cx);
    }

    /// Removes a session without a connection when nothing of it is under way; if its client ended
    /// it, ends it for good.
    pub(crate) fn end_if_over(&mut self, number: SessionNumber, cx: &mut Context) {
        let Some(intake) = self.all.get_mut(number) else { return };
        if intake.connection.is_some() || intake.unhandled() > 0 {
            return;
        }
        let (ending, generation) = (intake.ending, intake.generation);
        // Unclaimed messages are kept for a client that may come back; they count for no
        // connection.
        if !intake.is_idle() && !ending && !cx.is_draining {
            let left = if intake.handling().is_none() { intake.left.take() } else { None };
            return cx.release(left);
        }
        let session = intake.id.clone();
        self.forget(number, cx);
        if ending {
            cx.ask(Asker::Node, StoreRequest::End { session, generation });
        }
    }

    /// What was taken in is dropped.
    pub(crate) fn forget(&mut self, session: SessionNumber, cx: &mut Context) {
        let Some(intake) = self.all.remove(session) else { return };
        self.ids.remove(&intake.id);
        self.users.remove(&intake.user, &session);
        cx.count_unhandled(intake.unhandled(), 0);
        cx.release(intake.left);
    }

    // Messages.

    /// Handles a message from the session's client. Returns true if it is accepted, to be advanced
    /// by [`drive`](Self::drive); false if it is a duplicate.
    ///
    /// # Errors
    ///
    /// The close frame: a message is missing before this one, or the client keeps sending although
    /// it is not read.
    pub(crate) fn receive(
        &mut self,
        id: ConnectionId,
        session: SessionNumber,
        (serial, channel, message): (Option<u64>, Option<Channel>, Message),
        cx: &mut Context,
    ) -> Result<bool, CloseFrame> {
        let Some(intake) = self.all.get_mut(session) else { return Ok(false) };
        match serial {
            Some(serial) if serial <= intake.taken => {
                count(&mut cx.stats.duplicates);
                if serial <= intake.committed {
                    cx.connections.acknowledge(id, intake.committed);
                }
                return Ok(false);
            }
            Some(serial) if Some(serial) != intake.taken.checked_add(1) => {
                count(&mut cx.stats.gaps);
                return Err(CloseFrame::new(CloseCode::GAP, "a message is missing"));
            }
            Some(_) | None => {}
        }
        let before = intake.unhandled();
        if before >= cx.config.max_unhandled.saturating_mul(2).saturating_add(READ_AHEAD) {
            count(&mut cx.stats.malformed);
            let reason = "too many unprocessed messages";
            return Err(CloseFrame::new(CloseCode::POLICY_VIOLATION, reason));
        }
        intake.take(Incoming::new(serial, channel, message, cx.now));
        let after = intake.unhandled();
        count(&mut cx.stats.messages);
        cx.count_unhandled(before, after);
        Ok(true)
    }

    /// Advances the messages: one at a time to the application, one effect at a time to the store.
    /// Returns the session's connection if it may be read again, and whether it may stay.
    pub(crate) fn drive(
        &mut self,
        session: SessionNumber,
        cx: &mut Context,
    ) -> Option<(ConnectionId, bool)> {
        let intake = self.all.get_mut(session)?;
        let id = intake.connection.or(intake.left);
        let number = self.last_delivery.saturating_add(1);
        let handling = DeliveryId { session, number };
        if let Some(Incoming { serial, channel, message, .. }) = intake.hand_over(handling) {
            self.last_delivery = number;
            let (serial, channel, message) = (*serial, channel.clone(), message.clone());
            let (user, session) = (Arc::clone(&intake.user), intake.id.clone());
            cx.act(NodeAction::Handle { handling, id, user, session, serial, channel, message });
        }
        if intake.storing.is_none() {
            store_next(session, intake, cx);
        }
        let id = intake.connection?;
        let load =
            Load { unhandled: intake.unhandled(), bytes: intake.bytes(), oldest: intake.oldest() };
        Some((id, cx.connections.set_load(id, load)))
    }

    /// The application answered. Returns the message's session.
    pub(crate) fn handled(
        &mut self,
        delivery: DeliveryId,
        result: Outcome,
        cx: &mut Context,
    ) -> Option<SessionNumber> {
        let intake = self.all.get_mut(delivery.session)?;
        if intake.handling() != Some(delivery) {
            return None;
        }
        let result = cx.config.check_effect(result);
        if result.is_err() {
            count(&mut cx.stats.rejected);
        }
        intake.hand_back(delivery, result);
        Some(delivery.session)
    }

    /// Whether this request stores the session's next effect.
    pub(crate) fn is_storing(&self, session: SessionNumber, request: StoreRequestId) -> bool {
        self.all.get(session).is_some_and(|intake| intake.storing == Some(request))
    }

    fn stored(&mut self, session: SessionNumber, request: StoreRequestId) -> Option<&mut Intake> {
        let intake = self.all.get_mut(session)?;
        intake.storing.take_if(|storing| *storing == request)?;
        Some(intake)
    }

    /// The store has committed everything up to a serial. Acknowledges it to the client.
    /// Returns false if that is not far enough: the store forgot some, which the client still has.
    pub(crate) fn committed(
        &mut self,
        request: StoreRequestId,
        session: SessionNumber,
        received: u64,
        cx: &mut Context,
    ) -> bool {
        let Some(intake) = self.stored(session, request) else { return true };
        let serial = intake.effect().and_then(Effect::serial).unwrap_or(0);
        if received < serial {
            return false;
        }
        intake.committed = intake.committed.max(serial);
        let effect = pop_effect(intake, cx);
        if let Some(id) = intake.connection {
            if let Some(problem) = effect.and_then(|effect| effect.result.err()) {
                cx.connections.reject(id, Rejection { serial, problem });
            }
            cx.connections.acknowledge(id, intake.committed);
        }
        true
    }

    /// There is no room for the effects: the message is rejected, and that is stored.
    pub(crate) fn commit_has_no_room(
        &mut self,
        request: StoreRequestId,
        session: SessionNumber,
        full: Full,
        cx: &mut Context,
    ) {
        if let Some(intake) = self.stored(session, request) {
            intake.refuse_effect(full.problem());
            count(&mut cx.stats.rejected);
            store_next(session, intake, cx);
        }
    }

    /// A message without a serial is finished, stored or not.
    pub(crate) fn published(
        &mut self,
        request: StoreRequestId,
        session: SessionNumber,
        cx: &mut Context,
    ) {
        if let Some(intake) = self.stored(session, request) {
            pop_effect(intake, cx);
        }
    }

    // The store.

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.touch_at
    }

    /// Touches the sessions with a connection here, when it is time. The others are dropped when
    /// they have expired.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context) {
        if self.touch_at.is_none_or(|at| at > cx.now) {
            return;
        }
        let mut kept: Vec<SessionId> = Vec::new();
        let mut over: Vec<SessionNumber> = Vec::new();
        for (session, number) in &self.ids {
            let Some(intake) = self.get(*number) else { continue };
            if intake.connection.is_some() {
                kept.push(session.clone());
            } else if cx.now - intake.left_at >= cx.config.history.session_ttl {
                over.push(*number);
            }
        }
        for session in over {
            self.forget(session, cx);
        }
        for sessions in kept.chunks(TOUCHED_AT_ONCE) {
            cx.ask(Asker::Node, StoreRequest::Touch { sessions: sessions.to_vec() });
        }
        self.touch_at = None;
        self.arm_touch(cx);
    }

    fn arm_touch(&mut self, cx: &Context) {
        if self.touch_at.is_none() && !self.all.is_empty() {
            let third = (cx.config.history.session_ttl / 3).max(MILLISECOND);
            self.touch_at = Some(cx.now + third);
        }
    }
}

/// Stores the next effect, if there is one. A message without a serial and effects needs no
/// request.
fn store_next(number: SessionNumber, intake: &mut Intake, cx: &mut Context) {
    while let Some(effect) = intake.effect() {
        let publications = effect.result.clone().unwrap_or_default();
        let request = match effect.serial() {
            Some(serial) => {
                let problem = effect.result.as_ref().err();
                let rejection =
                    problem.map(|problem| Rejection { serial, problem: problem.clone() });
                let (session, generation) = (intake.id.clone(), intake.generation);
                StoreRequest::Commit { session, generation, serial, publications, rejection }
            }
            None if publications.is_empty() => {
                pop_effect(intake, cx);
                continue;
            }
            None => StoreRequest::Publish { session: Some(intake.id.clone()), publications },
        };
        intake.storing = Some(cx.ask(Asker::Session(number), request));
        return;
    }
}

fn pop_effect(intake: &mut Intake, cx: &mut Context) -> Option<Effect> {
    let effect = intake.pop_effect()?;
    cx.stats.unhandled = cx.stats.unhandled.saturating_sub(1);
    Some(effect)
}

impl Context {
    /// The number of a session's waiting messages has changed.
    fn count_unhandled(&mut self, before: usize, after: usize) {
        let stats = &mut self.stats;
        stats.unhandled =
            stats.unhandled.saturating_add(after as u64).saturating_sub(before as u64);
        stats.unhandled_peak = stats.unhandled_peak.max(stats.unhandled);
    }

    /// Releases a closed connection, of which nothing is under way.
    pub(crate) fn release(&mut self, id: Option<ConnectionId>) {
        if let Some(id) = id {
            self.act(NodeAction::Released { id });
        }
    }
}
