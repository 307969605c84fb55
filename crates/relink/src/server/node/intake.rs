//! What a session's client sends: in order, once, and acknowledged when its effect is stored (I26).

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_core::Rng;

use crate::code::CloseCode;
use crate::server::node::asking::Why;
use crate::server::node::{ConnectionId, HandlingId, Node, NodeAction, QuestionId};
use crate::server::{Full, Question, Stream};
use crate::session::{Channel, CloseFrame, Message, Problem, Rejection, SessionId};
use crate::stats::count;
use crate::time::Instant;

/// The way of a session's messages through the node. It outlives a connection by what is under way.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) user: Arc<str>,
    pub(super) turn: u64,
    pub(super) connection: Option<ConnectionId>,
    /// The highest serial that was taken in.
    taken: u64,
    /// The highest one whose effect is stored.
    pub(super) committed: u64,
    waiting: VecDeque<Incoming>,
    handling: Option<(HandlingId, Option<u64>, usize)>,
    handled: VecDeque<Effect>,
    pub(super) storing: Option<QuestionId>,
    bytes: usize,
    /// The client closed with 1000: what is under way is the last of it.
    pub(super) ending: bool,
    /// Since when no connection has it.
    pub(super) left_at: Instant,
}

#[derive(Debug)]
struct Incoming {
    serial: Option<u64>,
    channel: Option<Channel>,
    message: Message,
}

/// What the application made of a message.
#[derive(Debug)]
struct Effect {
    serial: Option<u64>,
    result: Result<Vec<(Stream, Message)>, Problem>,
    bytes: usize,
}

impl Intake {
    pub(super) const fn new(user: Arc<str>, turn: u64, received: u64, now: Instant) -> Self {
        Self {
            user,
            turn,
            connection: None,
            taken: received,
            committed: received,
            waiting: VecDeque::new(),
            handling: None,
            handled: VecDeque::new(),
            storing: None,
            bytes: 0,
            ending: false,
            left_at: now,
        }
    }

    /// So many messages wait for the application or the store.
    pub(super) fn unhandled(&self) -> usize {
        self.waiting.len() + usize::from(self.handling.is_some()) + self.handled.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

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
                let most = self.config.max_unhandled.saturating_mul(2).saturating_add(READ_AHEAD);
                if intake.unhandled() >= most {
                    count(&mut self.stats.malformed);
                    let reason = "more messages than are read";
                    return self.close(id, CloseFrame::new(CloseCode::POLICY_VIOLATION, reason));
                }
                intake.taken = serial.unwrap_or(intake.taken);
                intake.bytes = intake.bytes.saturating_add(message.len());
                intake.waiting.push_back(Incoming { serial, channel, message });
                count(&mut self.stats.messages);
                self.stats.unhandled = self.stats.unhandled.saturating_add(1);
                self.stats.unhandled_peak = self.stats.unhandled_peak.max(self.stats.unhandled);
                self.pump(&session);
            }
        }
    }

    /// The client says how many messages it has sent: the end of them may be lost.
    pub(super) fn heartbeat_sent(&mut self, id: ConnectionId, sent: u64) {
        let session = self.session_of(id);
        let taken = session.and_then(|session| self.sessions.get(&session)).map(|intake| intake.taken);
        if taken.is_some_and(|taken| sent > taken) {
            self.gap(id, "the last messages are missing");
        }
    }

    pub(super) fn gap(&mut self, id: ConnectionId, reason: &str) {
        count(&mut self.stats.gaps);
        self.close(id, CloseFrame::new(CloseCode::GAP, reason));
    }

    /// Moves what can be moved: one message at a time to the application, one effect at a time to the store.
    pub(super) fn pump(&mut self, session: &SessionId) {
        let number = self.next_number();
        let Some(intake) = self.sessions.get_mut(session) else { return };
        if intake.handling.is_none() {
            if let Some(Incoming { serial, channel, message }) = intake.waiting.pop_front() {
                let handling = HandlingId(number);
                intake.handling = Some((handling, serial, message.len()));
                self.handlings.insert(handling, session.clone());
                self.actions.push_back(NodeAction::Handle {
                    handling,
                    user: (&*intake.user).into(),
                    session: session.clone(),
                    serial,
                    channel,
                    message,
                });
            }
        }
        if intake.storing.is_none() {
            self.store_next(session, 0);
        }
        self.relieve(session);
        self.end_if_over(session);
    }

    pub(super) fn handled(&mut self, handling: HandlingId, result: Result<Vec<(Stream, Message)>, Problem>) {
        let Some(session) = self.handlings.remove(&handling) else { return };
        let result = self.check_effect(result);
        let Some(intake) = self.sessions.get_mut(&session) else { return };
        let Some((_, serial, bytes)) = intake.handling.take_if(|(asked, ..)| *asked == handling) else {
            return;
        };
        if result.is_err() {
            count(&mut self.stats.rejected);
        }
        intake.handled.push_back(Effect { serial, result, bytes });
        self.pump(&session);
    }

    fn store_next(&mut self, session: &SessionId, tries: u8) {
        while let Some((intake, effect)) = self.next_effect(session) {
            let publications = effect.result.clone().unwrap_or_default();
            let (why, what) = match effect.serial {
                Some(serial) => {
                    let turn = intake.turn;
                    let problem = effect.result.as_ref().err();
                    let rejection = problem.map(|problem| Rejection { serial, problem: problem.clone() });
                    let session = session.clone();
                    let why = Why::Commit { session: session.clone() };
                    (why, Question::Commit { session, turn, serial, publications, rejection })
                }
                None if publications.is_empty() => {
                    self.pop_effect(session);
                    continue;
                }
                None => {
                    let user = Some((&*intake.user).into());
                    let why = Why::Publish { session: session.clone() };
                    (why, Question::Publish { user, publications })
                }
            };
            let question = self.ask_again(why, what, tries);
            if let Some(intake) = self.sessions.get_mut(session) {
                intake.storing = Some(question);
            }
            return;
        }
    }

    fn next_effect(&self, session: &SessionId) -> Option<(&Intake, &Effect)> {
        let intake = self.sessions.get(session)?;
        Some((intake, intake.handled.front()?))
    }

    /// The same question once more, if it is still the one that waits.
    pub(super) fn commit_again(&mut self, before: QuestionId, session: &SessionId, tries: u8) {
        let Some(intake) = self.sessions.get_mut(session) else { return };
        if intake.storing.take_if(|storing| *storing == before).is_some() {
            self.store_next(session, tries);
        }
    }

    pub(super) fn committed(&mut self, question: QuestionId, session: &SessionId, received: u64) {
        let Some(intake) = self.sessions.get_mut(session) else { return };
        if intake.storing != Some(question) {
            return;
        }
        intake.storing = None;
        let serial = intake.handled.front().and_then(|effect| effect.serial).unwrap_or(0);
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
        self.pump(session);
    }

    /// What the message led to cannot be kept: the message is refused, and that is stored.
    pub(super) fn commit_has_no_room(&mut self, question: QuestionId, session: &SessionId, full: Full) {
        let Some(intake) = self.sessions.get_mut(session) else { return };
        if intake.storing.take_if(|storing| *storing == question).is_none() {
            return;
        }
        if let Some(effect) = intake.handled.front_mut() {
            count(&mut self.stats.rejected);
            effect.result = Err(full.problem());
        }
        self.store_next(session, 0);
    }

    /// The session is gone, or its next turn has begun elsewhere.
    pub(super) fn commit_refused(&mut self, question: QuestionId, session: &SessionId) {
        let Some(intake) = self.sessions.get_mut(session) else { return };
        if intake.storing != Some(question) {
            return;
        }
        self.lose_intake(session, "the session is gone");
    }

    pub(super) fn published_unacknowledged(&mut self, question: QuestionId, session: &SessionId) {
        let Some(intake) = self.sessions.get_mut(session) else { return };
        if intake.storing.take_if(|storing| *storing == question).is_some() {
            self.pop_effect(session);
            self.pump(session);
        }
    }

    fn pop_effect(&mut self, session: &SessionId) -> Option<Effect> {
        let intake = self.sessions.get_mut(session)?;
        let effect = intake.handled.pop_front()?;
        intake.bytes = intake.bytes.saturating_sub(effect.bytes);
        self.stats.unhandled = self.stats.unhandled.saturating_sub(1);
        Some(effect)
    }

    /// What was taken in is dropped, and the client asked to come again: it still has all that was not acknowledged.
    pub(super) fn lose_intake(&mut self, session: &SessionId, reason: &str) {
        let connection = self.sessions.get(session).and_then(|intake| intake.connection);
        if let Some(id) = connection {
            self.gap(id, reason);
        }
        self.forget_intake(session);
    }

    pub(super) fn forget_intake(&mut self, session: &SessionId) {
        let Some(intake) = self.sessions.remove(session) else { return };
        self.stats.unhandled = self.stats.unhandled.saturating_sub(intake.unhandled() as u64);
        if let Some((handling, ..)) = intake.handling {
            self.handlings.remove(&handling);
        }
    }

    /// A session without a connection is forgotten here when nothing of it is under way; one that its client ended is
    /// over for good.
    pub(super) fn end_if_over(&mut self, session: &SessionId) {
        let Some(intake) = self.sessions.get(session) else { return };
        if intake.connection.is_some() || intake.unhandled() > 0 {
            return;
        }
        let (ending, turn) = (intake.ending, intake.turn);
        self.forget_intake(session);
        if ending {
            let (session, what) = (session.clone(), Question::End { session: session.clone(), turn });
            self.ask(Why::End { session, turn }, what);
        }
    }
}

/// A driver has a message or two in its hands when it is told to read no more.
const READ_AHEAD: usize = 16;
