//! Whether a connection is read: what it does not take, and messages that nobody has handled yet,
//! stop the reading, but neither for ever.

use core::time::Duration;

use rand_core::Rng;

use crate::node::connection::Connection;
use crate::node::tokens::LOOK;
use crate::node::{ConnectionId, Node, NodeAction, Timer};
use relink::internal::earliest;
use relink::{CloseCode, CloseFrame, Instant, SessionId};

/// How long a session whose application is behind holds up the reading: short enough that
/// heartbeats, which may stand behind the next message, are answered in time.
const HOLD: Duration = Duration::from_secs(5);

/// At most this many messages are answered while the queue of answers is full.
const MOST_EXCESS: u32 = 256;

const TOO_SLOW: &str = "a message took too long to arrive";

/// What holds up the reading of one connection.
#[derive(Debug)]
pub(super) struct Reading {
    /// It is not to be read now.
    pub(super) paused: bool,
    /// It is read although its session has enough to do: what finds no room is passed over.
    on: bool,
    /// A message was passed over: the client has to send it, and all that follows, again.
    passed_over: bool,
    /// Messages that came although the client had not taken the answers to others.
    excess: u32,
    /// Since when its socket takes nothing, not even the pongs that it asked for.
    pub(super) blocked: Option<Instant>,
    /// Since when a message has been arriving that is not whole, without the time in which it could
    /// not be read.
    arriving: Option<Instant>,
    /// When this is looked at again.
    look: Option<Instant>,
}

impl Reading {
    pub(super) const fn new() -> Self {
        Self {
            paused: false,
            on: false,
            passed_over: false,
            excess: 0,
            blocked: None,
            arriving: None,
            look: None,
        }
    }
}

impl<R: Rng> Node<R> {
    /// Whether the connection's socket may be read now. Where not, [`NodeAction::Ready`] tells when
    /// it may again.
    #[must_use]
    pub fn may_read(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| !connection.reading.paused)
    }

    /// The messages of a session have moved on: perhaps its connection may be read again, or
    /// closed.
    pub(super) fn session_moved_on(&mut self, session: &SessionId) {
        let Some(intake) = self.sessions.get(session) else { return };
        let (idle, Some(id)) = (intake.unhandled() == 0, intake.connection) else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if idle && core::mem::take(&mut connection.reading.on) && connection.reading.passed_over {
            return self.gap(id, "there is room again for what was passed over");
        }
        self.review_reading(id);
        self.close_if_done(id);
    }

    /// Decides anew whether a connection is read.
    pub(super) fn review_reading(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let full = connection.out.bytes() > self.config.max_outbound_bytes
            || connection.out.rejections.len() >= self.config.max_unhandled;
        let busy = !connection.reading.on && self.is_busy(connection);
        let paused = full || busy || connection.retry_after.is_some();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let was_paused = core::mem::replace(&mut connection.reading.paused, paused);
        if was_paused && !paused {
            connection.out.told = true;
            self.actions.push_back(NodeAction::Ready { id });
            self.reads_again(id);
        }
        if busy {
            self.look_later(id);
        }
    }

    /// A message came. Whether it is one too many while answers to others wait: a driver that is
    /// told to stop reading has few in its hands.
    pub(super) fn is_excessive(&mut self, id: ConnectionId) -> bool {
        let most = self.config.max_outbound_bytes;
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let is_full = connection.out.bytes() > most;
        connection.reading.excess =
            if is_full { connection.reading.excess.saturating_add(1) } else { 0 };
        connection.reading.excess > MOST_EXCESS
    }

    /// Whether the application and the store have enough of its messages to do: more than its
    /// client may have on their way.
    fn is_busy(&self, connection: &Connection) -> bool {
        let intake = connection.session.as_ref().and_then(|session| self.sessions.get(session));
        intake.is_some_and(|intake| {
            intake.unhandled() > self.config.max_unhandled
                || intake.unhandled() > 1 && intake.bytes() > self.config.max_unhandled_bytes
        })
    }

    /// Whether a message with or without a serial has to be passed over.
    pub(super) fn passes_over(&mut self, id: ConnectionId, has_serial: bool) -> bool {
        let Some(connection) = self.connections.get(&id).filter(|connection| connection.reading.on)
        else {
            return false;
        };
        // Those without a serial as well: otherwise the others might never be done with.
        let over = self.is_busy(connection) || connection.reading.passed_over;
        if let Some(connection) = self.connections.get_mut(&id).filter(|_| over && has_serial) {
            connection.reading.passed_over = true;
        }
        over
    }

    pub(super) fn has_passed_over(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.reading.passed_over)
    }

    // The socket.

    pub(super) fn blocked(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.reading.blocked.get_or_insert(now);
        self.look_later(id);
    }

    pub(super) fn flowing(&mut self, id: ConnectionId) {
        self.liveness.heard(&id, self.now);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.reading.blocked = None;
        }
        self.reads_again(id);
    }

    // A message, part by part.

    pub(super) fn arriving(&mut self, id: ConnectionId) {
        let now = self.now;
        self.liveness.heard(&id, now);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.reading.arriving.get_or_insert(now);
        self.look_later(id);
    }

    pub(super) fn is_whole(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.reading.arriving = None;
        }
    }

    /// What was not read was not late: a message that is arriving has all its time again.
    fn reads_again(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.reading.arriving.is_some() {
            connection.reading.arriving = Some(now);
            self.look_later(id);
        }
    }

    // Time.

    /// When the session has held up the reading for long enough.
    fn held_until(&self, connection: &Connection) -> Option<Instant> {
        let intake = connection.session.as_ref().and_then(|session| self.sessions.get(session))?;
        // A quarter, so that silence is noticed and heartbeats are answered with any patience.
        let hold = HOLD.min(self.config.liveness.silence / 4);
        let held = !connection.reading.on && self.is_busy(connection);
        intake.oldest().filter(|_| held).map(|arrived| arrived + hold)
    }

    /// When the socket has taken nothing for long enough.
    fn blocked_until(&self, connection: &Connection) -> Option<Instant> {
        connection.reading.blocked.map(|since| since + self.config.liveness.silence)
    }

    /// When the message that is arriving has taken too long.
    fn whole_by(&self, connection: &Connection) -> Option<Instant> {
        let Reading { paused, blocked, arriving, .. } = &connection.reading;
        let is_read = !paused && blocked.is_none();
        let limit = self.config.liveness.message_timeout.filter(|_| is_read);
        arriving.zip(limit).map(|(since, limit)| since + limit)
    }

    fn look_later(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let deadlines = [
            self.held_until(connection),
            self.blocked_until(connection),
            self.whole_by(connection),
        ];
        let Some((at, ())) = earliest(deadlines.map(|at| at.map(|at| (at, ())))) else { return };
        let at = at.min(self.now + LOOK);
        // Deadlines of the past are for the next look, which is at once.
        if connection.reading.look.is_none_or(|look| at < look) {
            self.set_timer(at, Timer::Reading(id));
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.reading.look = Some(at);
            }
        }
    }

    /// A moment has come at which the reading may have been held up for too long.
    pub(super) fn look_at_reading(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        if connection.reading.look.is_none_or(|look| look > self.now) {
            return;
        }
        if self.blocked_until(connection).is_some_and(|at| at <= self.now) {
            return self.close(id, does_not_read());
        }
        if let Some(at) = self.whole_by(connection).filter(|at| *at <= self.now) {
            // A look that is late means that this side slept: what the peer sent meanwhile may wait
            // in the socket.
            if self.now - at < self.config.liveness.check_every / 2 {
                return self.close(id, CloseFrame::new(CloseCode::HEARTBEAT_TIMEOUT, TOO_SLOW));
            }
            self.reads_again(id);
        }
        let Some(connection) = self.connections.get(&id) else { return };
        let over = self.held_until(connection).is_some_and(|at| at <= self.now);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.reading.look = None;
            connection.reading.on |= over;
        }
        self.review_reading(id);
        self.look_later(id);
    }
}

pub(super) fn does_not_read() -> CloseFrame {
    CloseFrame::new(CloseCode::POLICY_VIOLATION, "it does not read what it is sent")
}
