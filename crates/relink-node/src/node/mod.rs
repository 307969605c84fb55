//! [`Node`]: the server's half of `relink.v1`.

mod close;
mod config;
mod connection;
mod handshake;
mod input_action;
mod kicks;
mod lookups;
mod member_lists;
mod members;
mod messages;
mod permission;
mod reading;
mod shared_frame;
mod sizes;
mod stats;
mod store;
mod store_requests;
mod streams;
mod subscriptions;
mod tokens;
mod work;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

use rand_core::Rng;

use crate::{Drain, Liveness, Presence, StoreEvent, Stream};
use relink::internal::earliest;
use relink::protocol::Rejection;
use relink::{Channel, ConfigError, Instant, Message, Position, SessionId};
use relink_v1::ServerFrame;

pub use config::NodeConfig;
pub use input_action::{
    AuthorizationId, ConnectionId, DeliveryId, NodeAction, NodeEvent, NodeInput, StoreRequestId,
};
pub use stats::NodeStats;

use connection::Connection;
use kicks::Kick;
use lookups::Lookup;
use member_lists::Room;
use members::Stay;
use store_requests::StoreRequests;
use streams::Watched;
use work::Intake;

/// One server process with all of its connections, without IO.
///
/// Sans-IO like a [`Session`](relink::Session), and to the same contract. A driver:
///
/// 1. hands in what happened with [`handle`](Self::handle), time last: what has arrived comes
///    before [`NodeInput::Timeout`];
/// 2. does what [`poll_action`](Self::poll_action) says until it says nothing more;
/// 3. writes the messages of [`poll_transmit`](Self::poll_transmit) of each connection that is
///    [`Ready`](NodeAction::Ready), while its socket has room, and then takes actions again: room
///    in a queue may be filled from the store;
/// 4. reads a socket only while [`may_read`](Self::may_read) allows it;
/// 5. hands in [`NodeInput::Timeout`] when [`poll_timeout`](Self::poll_timeout) says.
///
/// Every `Identify`, `Authorize`, `Handle` and `Ask` wants exactly one answer, however late and in
/// whatever order.
///
/// What a client sends is taken in by the order of its serials, handed to the application one at a
/// time, and acknowledged when the store has noted serial and effect together: so the effect
/// happens once, whichever node it was sent to and however often. What a client reads is one
/// sequence without a hole: what it missed comes from the store, a page at a time, and news are
/// joined to its end. One that is too slow for the news goes back to reading from the store, so
/// that what waits for its socket stays bounded.
#[derive(Debug)]
pub struct Node<R> {
    config: NodeConfig,
    rng: R,
    /// The latest time there was: time never goes backwards in here.
    now: Instant,
    /// The last number that was given to anything.
    number: u64,
    connections: BTreeMap<ConnectionId, Box<Connection>>,
    /// What is still to be written on connections that are closed.
    leaving: BTreeMap<ConnectionId, VecDeque<Message>>,
    /// How many connections each user has.
    users: BTreeMap<Arc<str>, u32>,
    sessions: BTreeMap<SessionId, Box<Intake>>,
    streams: BTreeMap<Stream, Watched>,
    lookups: BTreeMap<(Stream, Option<Position>), Lookup>,
    rooms: BTreeMap<Channel, Room>,
    /// Users who were kicked, until the store has ended their sessions: they resume none
    /// meanwhile.
    kicks: BTreeMap<String, Kick>,
    requests: StoreRequests,
    handlings: BTreeMap<DeliveryId, SessionId>,
    authorizations: BTreeMap<AuthorizationId, (ConnectionId, Channel)>,
    liveness: Liveness<ConnectionId>,
    presence: Presence<Stay>,
    /// What is due when. A timer that is no longer needed does nothing when it comes.
    timers: BTreeMap<(Instant, u64), Timer>,
    keeping: bool,
    draining: Option<Drain>,
    drained: bool,
    actions: VecDeque<NodeAction>,
    stats: NodeStats,
}

#[derive(Debug)]
enum Timer {
    /// The welcome should be there by now.
    Hello(ConnectionId),
    /// Perhaps this connection's reading has been held up for too long.
    Reading(ConnectionId),
    /// The token of this connection may be over.
    Token(ConnectionId),
    /// Tell the store which sessions live.
    Keep,
    /// It is this connection's turn to leave, in a shutdown.
    Leave { id: ConnectionId, hint: Duration },
    /// Whoever is still here is closed.
    DrainEnd,
}

impl<R: Rng> Node<R> {
    /// A node without connections. Session ids are secrets, and are drawn from `rng`: it has to be
    /// fit for that.
    ///
    /// # Errors
    ///
    /// The first field of the configuration that cannot work.
    pub fn new(config: NodeConfig, rng: R) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            rng,
            now: Instant::ORIGIN,
            number: 0,
            connections: BTreeMap::new(),
            leaving: BTreeMap::new(),
            users: BTreeMap::new(),
            sessions: BTreeMap::new(),
            streams: BTreeMap::new(),
            lookups: BTreeMap::new(),
            rooms: BTreeMap::new(),
            kicks: BTreeMap::new(),
            requests: StoreRequests::new(),
            handlings: BTreeMap::new(),
            authorizations: BTreeMap::new(),
            liveness: Liveness::new(config.liveness),
            presence: Presence::new(config.presence),
            timers: BTreeMap::new(),
            keeping: false,
            draining: None,
            drained: false,
            actions: VecDeque::new(),
            stats: NodeStats::default(),
        })
    }

    // Push: what happened.

    /// Hands in what happened.
    pub fn handle(&mut self, input: NodeInput, now: Instant) {
        self.now = self.now.max(now);
        match input {
            NodeInput::Opened { id, user } => self.opened(id, user),
            NodeInput::Message { id, message } => self.arrived(id, &message),
            NodeInput::Alive { id } => self.liveness.heard(&id, self.now),
            NodeInput::Arriving { id } => self.arriving(id),
            NodeInput::Blocked { id } => self.blocked(id),
            NodeInput::Flowing { id } => self.flowing(id),
            NodeInput::Closed { id, code } => self.closed(id, code),
            NodeInput::Identified { id, result } => self.identified(id, result),
            NodeInput::TokenEnds { id, after } => self.token_ends(id, after),
            NodeInput::Authorized { request, result } => self.authorized(request, result),
            NodeInput::Handled { handling, result } => self.handled(handling, result),
            NodeInput::Answered { question, answer } => self.answered(question, answer),
            NodeInput::StoreEvent(news) => self.news(news),
            NodeInput::Publish { stream, message } => self.publish(stream, message),
            NodeInput::Kick { user, frame } => self.kick(user, frame),
            NodeInput::Drain => self.drain(),
            NodeInput::Timeout => self.timeout(),
        }
        self.tell_if_drained();
    }

    fn news(&mut self, news: StoreEvent) {
        match news {
            StoreEvent::Published { stream, epoch, publication } => {
                self.published(&stream, epoch, publication)
            }
            StoreEvent::Joined { channel, member } => self.member_joined(channel, member),
            StoreEvent::Left { channel, member } => self.member_left(channel, member),
            StoreEvent::Resumed { session, turn } => self.resumed_elsewhere(&session, turn),
            StoreEvent::Ended { session, frame } => self.end_session(&session, &frame),
            StoreEvent::Lagged => self.doubt(),
        }
    }

    fn timeout(&mut self) {
        while self.timers.first_key_value().is_some_and(|((at, _), _)| *at <= self.now) {
            match self.timers.pop_first() {
                Some((_, Timer::Hello(id))) => self.hello_overdue(id),
                Some((_, Timer::Reading(id))) => self.look_at_reading(id),
                Some((_, Timer::Token(id))) => self.look_at_token(id),
                Some((_, Timer::Keep)) => self.touch_sessions(),
                Some((_, Timer::Leave { id, hint })) => self.drain_connection(id, hint),
                Some((_, Timer::DrainEnd)) => self.drain_overdue(),
                None => break,
            }
        }
        self.retry_due();
        self.end_graces();
        self.liveness.handle_timeout(self.now);
        while let Some(id) = self.liveness.poll_dead() {
            self.silent(id);
        }
    }

    // Pull: what to do.

    /// The next thing to do or to tell.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<NodeAction> {
        self.actions.pop_front()
    }

    /// The next message to write on a connection, while its socket has room. A connection that is
    /// told to close is forgotten when there is nothing more.
    #[must_use]
    pub fn poll_transmit(&mut self, id: ConnectionId) -> Option<Message> {
        if let Some(rest) = self.leaving.get_mut(&id) {
            let message = rest.pop_front();
            if message.is_none() {
                self.leaving.remove(&id);
            }
            return message;
        }
        let connection = self.connections.get_mut(&id).filter(|connection| connection.is_live())?;
        let before = connection.out.bytes();
        let message = connection.out.pop();
        connection.out.told = message.is_some();
        if message.is_some() && connection.reading.paused {
            // This peer is not read, so a successful write counts as a sign of life.
            self.liveness.heard(&id, self.now);
        }
        let half = self.config.max_outbound_bytes / 2;
        if before > half && connection.out.bytes() <= half {
            self.go_on(id);
        }
        self.list_on(id);
        self.review_reading(id);
        message
    }

    /// When to hand in [`NodeInput::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timer = self.timers.first_key_value().map(|((at, _), _)| (*at, ()));
        let check = self.liveness.poll_timeout().map(|at| (at, ()));
        let grace = self.presence.poll_timeout().map(|at| (at, ()));
        let retry = self.requests.poll_timeout().map(|at| (at, ()));
        earliest([timer, check, grace, retry]).map(|(at, ())| at)
    }

    // Look: what is so.

    /// How many connections there are, welcome or not yet.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// What happened so far, and what is so now. Adds up the queues of all connections.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        let waiting: usize =
            self.connections.values().map(|connection| connection.out.bytes()).sum();
        NodeStats {
            connections: self.connections.len() as u64,
            outbound_bytes: waiting as u64,
            ..self.stats
        }
    }

    // What all parts of it use.

    fn next_number(&mut self) -> u64 {
        self.number = self.number.wrapping_add(1);
        self.number
    }

    fn set_timer(&mut self, at: Instant, timer: Timer) {
        let number = self.next_number();
        if at < Instant::END {
            self.timers.insert((at, number), timer);
        }
    }

    fn tell(&mut self, event: NodeEvent) {
        self.actions.push_back(NodeAction::Event(event));
    }

    fn session_of(&self, id: ConnectionId) -> Option<SessionId> {
        self.connections.get(&id)?.session.clone()
    }

    fn user_of(&self, id: ConnectionId) -> Option<Arc<str>> {
        self.connections.get(&id)?.user.clone()
    }

    fn readers_of(&self, channel: &Channel) -> alloc::vec::Vec<ConnectionId> {
        let watched = self.streams.get(&Stream::Channel(channel.clone()));
        watched.map(Watched::readers).unwrap_or_default()
    }

    /// Queues an answer, even if the queue is full: what it answers has been read.
    fn push(&mut self, id: ConnectionId, frame: &ServerFrame) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let message = frame.encode(connection.out.encoding);
        connection.out.answers = connection.out.answers.saturating_add(1);
        connection.out.push(message);
        self.ready(id);
    }

    fn acknowledge(&mut self, id: ConnectionId, serial: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.out.ack = Some(serial);
            self.ready(id);
        }
    }

    fn reject(&mut self, id: ConnectionId, rejection: Rejection) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.out.rejections.push(rejection);
            self.ready(id);
        }
    }

    /// Tells the driver that there is something to write, once.
    fn ready(&mut self, id: ConnectionId) {
        let Some(connection) =
            self.connections.get_mut(&id).filter(|connection| connection.is_live())
        else {
            return;
        };
        if !core::mem::replace(&mut connection.out.told, true) {
            self.actions.push_back(NodeAction::Ready { id });
        }
    }
}
