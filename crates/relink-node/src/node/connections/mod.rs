//! The connections: their state, output, reading and timers.

mod connection;
mod outbound;
mod permission;
mod reading;
mod tokens;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::Liveness;
use crate::node::groups::Groups;
use crate::node::input_action::AuthorizationId;
use crate::node::numbered::Numbered;
use crate::node::shared_frame::Encoded;
use crate::node::{ConnectionId, NodeAction, NodeConfig};
use relink::internal::earliest;
use relink::protocol::Rejection;
use relink::{Channel, Instant, Message, SessionId};
use relink_v1::{Codec, Encoding, ServerFrame};

pub(crate) use connection::{Connection, Greeting, Seat, Stage, Start, Subscription};
pub(crate) use reading::{Load, does_not_read};

/// All connections between their accept and their close, and what is still to be written after it.
#[derive(Debug)]
pub(crate) struct Connections {
    config: NodeConfig,
    /// The latest time: it never goes backwards.
    pub(crate) now: Instant,
    all: Numbered<ConnectionId, Box<Connection>>,
    /// The remaining output of closed connections.
    leaving: BTreeMap<ConnectionId, VecDeque<Message>>,
    /// The connections of each user that is known, and how many of them count for its limit.
    users: Groups<Arc<str>, ConnectionId>,
    counted: BTreeMap<Arc<str>, u32>,
    /// The bytes that wait for all sockets.
    bytes: usize,
    liveness: Liveness<ConnectionId>,
    /// Timers by time. One that is no longer needed does nothing.
    timers: BTreeMap<(Instant, u64), (ConnectionId, Timer)>,
    last_timer: u64,
    authorizations: Numbered<AuthorizationId, (ConnectionId, Channel)>,
    last_authorization: u64,
    actions: VecDeque<NodeAction>,
}

/// Why a connection is checked again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Timer {
    /// The welcome is due.
    Hello,
    /// Its reading may have been stopped for too long.
    Reading,
    /// Its token may have expired.
    Token,
    /// It is its turn to leave, in a shutdown.
    Leave { hint: Duration },
}

/// The result of offering a frame that may be left out for want of room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// `is_withheld` if it was too large for the client, which got a notice instead.
    Queued { is_withheld: bool },
    /// Its queue is full.
    Full,
    /// There is no such connection.
    Gone,
}

impl Connections {
    pub(crate) const fn new(config: NodeConfig) -> Self {
        Self {
            config,
            now: Instant::ORIGIN,
            all: Numbered::new(),
            leaving: BTreeMap::new(),
            users: Groups::new(),
            counted: BTreeMap::new(),
            bytes: 0,
            liveness: Liveness::new(config.liveness),
            timers: BTreeMap::new(),
            last_timer: 0,
            authorizations: Numbered::new(),
            last_authorization: 0,
            actions: VecDeque::new(),
        }
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.all.get(id).map(|connection| &**connection)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.all.get_mut(id).map(|connection| &mut **connection)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The bytes that wait for all sockets.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        self.all.keys()
    }

    // From the accept to the close.

    /// A connection was accepted. Returns false if its number is in use.
    pub(crate) fn open(&mut self, id: ConnectionId, user: Option<Arc<str>>) -> bool {
        let is_new = !self.all.contains(id) && !self.leaving.contains_key(&id);
        if is_new {
            self.all.insert(id, Box::new(Connection::new()));
            user.into_iter().for_each(|user| self.set_user(id, user));
        }
        is_new
    }

    /// The connection's user is known now.
    pub(crate) fn set_user(&mut self, id: ConnectionId, user: Arc<str>) {
        if let Some(connection) = self.all.get_mut(id) {
            self.users.insert(&user, id);
            connection.user = Some(user);
        }
    }

    /// The client was welcomed.
    pub(crate) fn watch(&mut self, id: ConnectionId) {
        self.liveness.watch(id, self.now);
    }

    /// The peer sent something.
    pub(crate) fn heard(&mut self, id: ConnectionId) {
        self.liveness.heard(&id, self.now);
    }

    /// Forgets a connection, apart from what is still to be written on it.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = *self.all.remove(id)?;
        self.liveness.forget(&id);
        self.bytes = self.bytes.saturating_sub(connection.out.bytes());
        if let Some(user) = &connection.user {
            self.users.remove(user, &id);
        }
        if let Some(user) = connection.user.as_ref().filter(|_| connection.counted) {
            if let Some(counted) = self.counted.get_mut(user) {
                *counted = counted.saturating_sub(1);
                if *counted == 0 {
                    self.counted.remove(user);
                }
            }
        }
        Some(connection)
    }

    /// Keeps the output of a closed connection to be written, with this frame after it.
    pub(crate) fn flush(&mut self, id: ConnectionId, connection: Connection, last: &ServerFrame) {
        self.leaving.insert(id, connection.into_rest(last));
    }

    /// The transport is gone: drops its output.
    pub(crate) fn discard(&mut self, id: ConnectionId) {
        self.leaving.remove(&id);
    }

    /// All connections of a user.
    pub(crate) fn of_user(&self, user: &str) -> Vec<ConnectionId> {
        self.users.all(user)
    }

    /// The number of a user's connections that [count](Self::count).
    pub(crate) fn counted(&self, user: &str) -> u32 {
        self.counted.get(user).copied().unwrap_or(0)
    }

    /// Counts this connection for its user.
    pub(crate) fn count(&mut self, id: ConnectionId) {
        let Some(connection) = self.all.get_mut(id) else { return };
        let Some(user) = connection.user.clone() else { return };
        connection.counted = true;
        let counted = self.counted.entry(user).or_default();
        *counted = counted.saturating_add(1);
    }

    /// Takes the session from a connection before its welcome.
    pub(crate) fn take_session(&mut self, id: ConnectionId) -> Option<SessionId> {
        let connection = self.get_mut(id)?;
        connection.reading.forget_load();
        connection.number = None;
        connection.session.take()
    }

    // To the socket.

    /// Queues an answer, even if the queue is full, since its request has been read.
    pub(crate) fn push(&mut self, id: ConnectionId, frame: &ServerFrame) {
        let Some(connection) = self.all.get_mut(id) else { return };
        let message = frame.encode(connection.out.encoding);
        connection.out.answers = connection.out.answers.saturating_add(1);
        self.send(id, message);
    }

    /// Queues a message.
    pub(crate) fn send(&mut self, id: ConnectionId, message: Message) {
        let Some(connection) = self.all.get_mut(id) else { return };
        self.bytes = self.bytes.saturating_add(message.len());
        connection.out.push(message);
        connection.ready(id, &mut self.actions);
    }

    /// Queues a frame for many connections, if there is room for it.
    pub(crate) fn offer(&mut self, id: ConnectionId, frame: &mut Encoded) -> Offered {
        let Some(connection) = self.all.get_mut(id) else { return Offered::Gone };
        if connection.out.bytes() > self.config.max_outbound_bytes {
            return Offered::Full;
        }
        let before = connection.out.bytes();
        let is_withheld = connection.out.offer(frame);
        let after = connection.out.bytes();
        connection.ready(id, &mut self.actions);
        self.bytes = self.bytes.saturating_add(after).saturating_sub(before);
        if after > self.config.max_outbound_bytes {
            self.review_reading(id);
        }
        Offered::Queued { is_withheld }
    }

    pub(crate) fn acknowledge(&mut self, id: ConnectionId, serial: u64) {
        if let Some(connection) = self.all.get_mut(id) {
            connection.out.ack = Some(serial);
            connection.ready(id, &mut self.actions);
        }
    }

    pub(crate) fn reject(&mut self, id: ConnectionId, rejection: Rejection) {
        if let Some(connection) = self.all.get_mut(id) {
            connection.out.rejections.push(rejection);
            connection.ready(id, &mut self.actions);
            self.review_reading(id);
        }
    }

    /// The bytes that wait for a socket, and the encoding of what is added to them.
    pub(crate) fn queued(&self, id: ConnectionId) -> Option<(usize, Encoding)> {
        self.all.get(id).map(|connection| (connection.out.bytes(), connection.out.encoding))
    }

    /// Writes messages, until `write` returns false. Returns whether there may be more, and whether
    /// that freed half of the queue.
    pub(crate) fn transmit(
        &mut self,
        id: ConnectionId,
        mut write: impl FnMut(Message) -> bool,
    ) -> (bool, bool) {
        let Some(connection) = self.all.get_mut(id) else {
            return (self.transmit_rest(id, write), false);
        };
        if !connection.is_live() {
            return (false, false);
        }
        let before = connection.out.bytes();
        let mut has_written = false;
        let is_full = loop {
            let Some(message) = connection.out.pop() else { break false };
            has_written = true;
            if !write(message) {
                break true;
            }
        };
        let after = connection.out.bytes();
        self.bytes = self.bytes.saturating_add(after).saturating_sub(before);
        connection.out.told = is_full;
        if connection.reading.paused {
            if has_written {
                // This peer is not read, so a successful write counts as a sign of life.
                self.liveness.heard(&id, self.now);
            }
            self.review_reading(id);
        }
        let half = self.config.max_outbound_bytes / 2;
        (is_full, before > half && after <= half)
    }

    /// The same for a connection that is closed, whose output is forgotten at its end.
    fn transmit_rest(&mut self, id: ConnectionId, write: impl FnMut(Message) -> bool) -> bool {
        let Some(rest) = self.leaving.get_mut(&id) else { return false };
        let is_full = !core::iter::from_fn(|| rest.pop_front()).all(write);
        if !is_full {
            self.leaving.remove(&id);
        }
        is_full
    }

    pub(crate) fn poll_action(&mut self) -> Option<NodeAction> {
        self.actions.pop_front()
    }

    // Time.

    pub(crate) fn set_timer(&mut self, id: ConnectionId, timer: Timer, at: Instant) {
        self.last_timer = self.last_timer.saturating_add(1);
        if at < Instant::END {
            self.timers.insert((at, self.last_timer), (id, timer));
        }
    }

    /// The next timer that is due.
    pub(crate) fn poll_due(&mut self) -> Option<(ConnectionId, Timer)> {
        let due = self.timers.first_entry().filter(|entry| entry.key().0 <= self.now);
        due.map(|entry| entry.remove())
    }

    /// The connections that were silent for too long.
    pub(crate) fn poll_silent(&mut self) -> Vec<ConnectionId> {
        self.liveness.handle_timeout(self.now);
        core::iter::from_fn(|| self.liveness.poll_dead()).collect()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let timer = self.timers.first_key_value().map(|((at, _), _)| *at);
        earliest([timer, self.liveness.poll_timeout()])
    }
}

impl Connection {
    /// Emits once that there is something to write.
    fn ready(&mut self, id: ConnectionId, actions: &mut VecDeque<NodeAction>) {
        if self.is_live() && !core::mem::replace(&mut self.out.told, true) {
            actions.push_back(NodeAction::Ready { id });
        }
    }
}
