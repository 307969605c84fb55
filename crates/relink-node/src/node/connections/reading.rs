//! Whether a connection is read.
//!
//! A connection is not read while its outbound queue is full or too many of its messages wait for
//! the application, so that memory stays bounded. But its heartbeats wait behind its
//! messages, and a client without answers takes the link for dead and comes back with all of them.
//! So a busy session holds up the reading for 5 s at most. Then its connection is read *on*: what
//! finds no room is passed over, heartbeats are answered, and when the session is idle the
//! connection is closed with 4100, upon which the client sends again from where it was passed over.

use core::time::Duration;

use super::tokens::LOOK;
use super::{Connection, Connections, Timer};
use crate::node::{ConnectionId, NodeAction, NodeConfig};
use relink::internal::earliest;
use relink::{CloseCode, CloseFrame, Instant};

/// How long a session whose application is behind stops the reading: short enough that heartbeats,
/// which may follow the next message, are answered in time.
const HOLD: Duration = Duration::from_secs(5);

/// The maximum number of messages that are answered while the queue of answers is full.
const MOST_EXCESS: u32 = 256;

const TOO_SLOW: &str = "a message took too long to arrive";

/// What stops the reading of one connection.
#[derive(Debug)]
pub(crate) struct Reading {
    /// It is not to be read now.
    pub(super) paused: bool,
    /// It is read although its session has enough to do.
    on: bool,
    /// A message was ignored: the client has to send it, and all that follow, again.
    passed_over: bool,
    /// Messages that arrived although the client had not read the answers to others.
    excess: u32,
    /// Since when its socket accepts nothing, not even pongs.
    blocked: Option<Instant>,
    /// Since when an incomplete message has been arriving, without the time in which it was not
    /// read.
    arriving: Option<Instant>,
    /// When this is checked again.
    look: Option<Instant>,
    /// The load of its session.
    load: Load,
}

/// The messages of a session that wait for the application or the store.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Load {
    pub(crate) unhandled: usize,
    pub(crate) bytes: usize,
    /// When the oldest of them came.
    pub(crate) oldest: Option<Instant>,
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
            load: Load { unhandled: 0, bytes: 0, oldest: None },
        }
    }

    pub(super) fn forget_load(&mut self) {
        self.load = Load::default();
    }

    /// Whether its unhandled messages reach the limit.
    const fn is_busy(&self, config: &NodeConfig) -> bool {
        let Load { unhandled, bytes, .. } = self.load;
        unhandled > config.max_unhandled || unhandled > 1 && bytes > config.max_unhandled_bytes
    }

    /// When the session must no longer stop the reading.
    fn held_until(&self, config: &NodeConfig) -> Option<Instant> {
        // At most a quarter of the silence, so that heartbeats are answered in time with any
        // configuration.
        let hold = HOLD.min(config.liveness.silence / 4);
        let is_held = !self.on && self.is_busy(config);
        self.load.oldest.filter(|_| is_held).map(|arrived| arrived + hold)
    }

    /// When a blocked socket times out.
    fn blocked_until(&self, config: &NodeConfig) -> Option<Instant> {
        self.blocked.map(|since| since + config.liveness.silence)
    }

    /// When the incomplete message times out.
    fn whole_by(&self, config: &NodeConfig) -> Option<Instant> {
        let is_read = !self.paused && self.blocked.is_none();
        let limit = config.liveness.message_timeout.filter(|_| is_read);
        self.arriving.zip(limit).map(|(since, limit)| since + limit)
    }

    fn deadline(&self, config: &NodeConfig) -> Option<Instant> {
        let deadlines =
            [self.held_until(config), self.blocked_until(config), self.whole_by(config)];
        earliest(deadlines)
    }
}

impl Connection {
    /// Whether the socket takes nothing, or too many answers wait for it.
    pub(crate) fn does_not_read(&self, many_answers: usize) -> bool {
        self.reading.blocked.is_some() || self.out.answers > many_answers
    }
}

impl Connections {
    pub(crate) fn may_read(&self, id: ConnectionId) -> bool {
        self.get(id).is_some_and(|connection| !connection.reading.paused)
    }

    /// The load of its session has changed, so that it may be read again. Returns false if it has
    /// to be closed, so that its client sends the ignored messages again, for which there is room
    /// now.
    pub(crate) fn set_load(&mut self, id: ConnectionId, load: Load) -> bool {
        let Some(connection) = self.all.get_mut(id) else { return true };
        let reading = &mut connection.reading;
        if reading.load == load {
            return true;
        }
        reading.load = load;
        let is_idle = load.unhandled == 0;
        if is_idle && core::mem::take(&mut reading.on) && reading.passed_over {
            return false;
        }
        if reading.paused || reading.is_busy(&self.config) {
            self.review_reading(id);
        }
        true
    }

    /// Decides again whether a connection is read.
    pub(crate) fn review_reading(&mut self, id: ConnectionId) {
        let Some(connection) = self.all.get_mut(id) else { return };
        let is_full = connection.out.bytes() > self.config.max_outbound_bytes
            || connection.out.rejections.len() >= self.config.max_unhandled;
        let is_leaving = connection.retry_after.is_some();
        let reading = &mut connection.reading;
        let is_held = !reading.on && reading.is_busy(&self.config);
        let is_paused = is_full || is_held || is_leaving;
        let was_paused = core::mem::replace(&mut reading.paused, is_paused);
        if was_paused && !is_paused {
            connection.out.told = true;
            self.actions.push_back(NodeAction::Ready { id });
            self.reads_again(id);
        }
        if is_held {
            self.look_later(id);
        }
    }

    /// Counts a message, which is a sign of life, and whole now. Returns true if it is one too many
    /// while answers to others wait: a driver that stops reading has only a few left.
    pub(crate) fn is_excessive(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.all.get_mut(id) else { return false };
        // Once for many that come together.
        if connection.heard < self.now {
            connection.heard = self.now;
            self.liveness.heard(&id, self.now);
        }
        let is_full = connection.out.bytes() > self.config.max_outbound_bytes;
        let reading = &mut connection.reading;
        reading.arriving = None;
        reading.excess = if is_full { reading.excess.saturating_add(1) } else { 0 };
        reading.excess > MOST_EXCESS
    }

    /// Whether a message with or without a serial has to be ignored.
    pub(crate) fn passes_over(&mut self, id: ConnectionId, has_serial: bool) -> bool {
        let Some(connection) = self.all.get_mut(id) else { return false };
        let reading = &mut connection.reading;
        // Those without a serial as well: otherwise the others might never be finished.
        let over = reading.on && (reading.is_busy(&self.config) || reading.passed_over);
        reading.passed_over |= over && has_serial;
        over
    }

    pub(crate) fn has_passed_over(&self, id: ConnectionId) -> bool {
        self.get(id).is_some_and(|connection| connection.reading.passed_over)
    }

    // The socket.

    pub(crate) fn blocked(&mut self, id: ConnectionId) {
        let Some(connection) = self.all.get_mut(id) else { return };
        connection.reading.blocked.get_or_insert(self.now);
        self.look_later(id);
    }

    pub(crate) fn flowing(&mut self, id: ConnectionId) {
        self.heard(id);
        if let Some(connection) = self.get_mut(id) {
            connection.reading.blocked = None;
        }
        self.reads_again(id);
    }

    // Incomplete messages.

    pub(crate) fn arriving(&mut self, id: ConnectionId) {
        self.heard(id);
        let Some(connection) = self.all.get_mut(id) else { return };
        connection.reading.arriving.get_or_insert(self.now);
        self.look_later(id);
    }

    /// The time without reading does not count: the timeout of an incomplete message starts over.
    fn reads_again(&mut self, id: ConnectionId) {
        let Some(connection) = self.all.get_mut(id) else { return };
        if connection.reading.arriving.is_some() {
            connection.reading.arriving = Some(self.now);
            self.look_later(id);
        }
    }

    // Time.

    fn look_later(&mut self, id: ConnectionId) {
        let Some(connection) = self.all.get_mut(id) else { return };
        let Some(at) = connection.reading.deadline(&self.config) else { return };
        let at = at.min(self.now + LOOK);
        // Past deadlines are handled by the next check, which is at once.
        if connection.reading.look.is_none_or(|look| at < look) {
            connection.reading.look = Some(at);
            self.set_timer(id, Timer::Reading, at);
        }
    }

    /// Checks whether the reading was stopped for too long. Returns the close frame if it was.
    pub(crate) fn look_at_reading(&mut self, id: ConnectionId) -> Option<CloseFrame> {
        let (config, now) = (self.config, self.now);
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let reading = &self.get(id)?.reading;
        if !is_over(reading.look) {
            return None;
        }
        if is_over(reading.blocked_until(&config)) {
            return Some(does_not_read());
        }
        if let Some(at) = reading.whole_by(&config).filter(|at| *at <= now) {
            // A late check means that this side slept: data of the peer may wait in the socket.
            if now - at < config.liveness.check_every / 2 {
                return Some(CloseFrame::new(CloseCode::HEARTBEAT_TIMEOUT, TOO_SLOW));
            }
            self.reads_again(id);
        }
        let reading = &mut self.get_mut(id)?.reading;
        reading.look = None;
        reading.on |= is_over(reading.held_until(&config));
        self.review_reading(id);
        self.look_later(id);
        None
    }
}

pub(crate) fn does_not_read() -> CloseFrame {
    CloseFrame::new(CloseCode::POLICY_VIOLATION, "it does not read what it is sent")
}
