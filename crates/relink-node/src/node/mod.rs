//! [`Node`]: the server's half of `relink.v1`.

mod close;
mod config;
mod connections;
mod context;
mod drain;
mod groups;
mod handshake;
mod input_action;
mod members;
mod messages;
mod numbered;
mod responses;
mod sessions;
mod shared_frame;
mod sizes;
mod stats;
mod store_requests;
mod streams;
mod subscriptions;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use rand_core::Rng;

use crate::{StoreEvent, Stream};
use relink::internal::earliest;
use relink::session::MemberChange;
use relink::{Channel, ConfigError, Instant, Message, SessionId};

pub use config::NodeConfig;
pub use input_action::{
    AuthorizationId, ConnectionId, DeliveryId, NodeAction, NodeEvent, NodeInput, StoreRequestId,
};
pub use stats::NodeStats;

use connections::Timer;
use context::Context;
use drain::Draining;
use members::Members;
use sessions::{SessionNumber, Sessions};
use streams::Streams;

/// One server process with all of its connections, without IO.
///
/// Sans-IO like a [`Session`](relink::Session), and to the same contract. A driver:
///
/// 1. passes what happened to [`handle`](Self::handle), time last: what has arrived comes before
///    [`NodeInput::Timeout`];
/// 2. carries out the actions of [`poll_action`](Self::poll_action) until there are no more;
/// 3. writes the messages of [`poll_transmit`](Self::poll_transmit), or of
///    [`transmit`](Self::transmit), of each connection that is [`Ready`](NodeAction::Ready), while
///    its socket has room, and then polls for actions again: room in a queue may be filled from the
///    store;
/// 4. reads a socket only while [`may_read`](Self::may_read) allows it;
/// 5. passes [`NodeInput::Timeout`] at the time of [`poll_timeout`](Self::poll_timeout).
///
/// Every `Identify`, `Authorize`, `Handle` and `Ask` needs exactly one answer, at any time and in
/// any order.
///
/// A client's messages are accepted in the order of their serials, passed to the application one at
/// a time, and acknowledged when the store has committed serial and effect together: so the effect
/// happens once, whichever node it was sent to and however often. A client reads each stream
/// without a gap: missed messages come from the store, a page at a time, followed by live ones. A
/// client that is too slow for live messages reads from the store again, so that the output for its
/// socket stays bounded.
// Each part keeps its maps to itself. What concerns one part is a method of it; what goes from part
// to part is a method of the node, in a file for each story.
#[derive(Debug)]
pub struct Node<R> {
    rng: R,
    cx: Context,
    sessions: Sessions,
    streams: Streams,
    members: Members,
    drain: Option<Draining>,
}

impl<R: Rng> Node<R> {
    /// Creates a node without connections. Session ids are secrets drawn from `rng`, which must be
    /// cryptographically secure.
    ///
    /// # Errors
    ///
    /// The first field of the configuration that cannot work.
    pub fn new(config: NodeConfig, rng: R) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            rng,
            cx: Context::new(config),
            sessions: Sessions::new(),
            streams: Streams::new(),
            members: Members::new(&config),
            drain: None,
        })
    }

    // Input.

    /// Handles an input.
    pub fn handle(&mut self, input: NodeInput, now: Instant) {
        let connections = self.cx.advance(now);
        match input {
            NodeInput::Opened { id, user } => self.opened(id, user),
            NodeInput::Message { id, message } => self.arrived(id, &message),
            NodeInput::Alive { id } => connections.heard(id),
            NodeInput::Arriving { id } => connections.arriving(id),
            NodeInput::Blocked { id } => connections.blocked(id),
            NodeInput::Flowing { id } => connections.flowing(id),
            NodeInput::Closed { id, code } => self.closed(id, code),
            NodeInput::Identified { id, result } => self.identified(id, result),
            NodeInput::TokenEnds { id, after } => connections.token_ends(id, after),
            NodeInput::Authorized { request, result } => self.authorized(request, result),
            NodeInput::Handled { handling, result } => self.handled(handling, result),
            NodeInput::Answered { question, answer } => self.answered(question, answer),
            NodeInput::StoreEvent(news) => self.news(news),
            NodeInput::Publish { stream, message } => self.publish(stream, message),
            NodeInput::Kick { user, frame } => self.kick(user, frame),
            NodeInput::Drain => self.begin_drain(),
            NodeInput::Timeout => self.timeout(),
        }
        self.tell_if_drained();
    }

    fn news(&mut self, news: StoreEvent) {
        match news {
            StoreEvent::Published { stream, epoch, publication } => {
                self.streams.published(&stream, epoch, publication, &mut self.cx);
            }
            StoreEvent::MemberChanged { channel, change } => self.member_changed(channel, change),
            StoreEvent::Resumed { session, generation } => {
                self.resumed_elsewhere(&session, generation)
            }
            StoreEvent::Ended { session, frame } => self.ended(&session, &frame),
            StoreEvent::Lagged => {
                self.streams.check_all(&mut self.cx);
                self.members.refresh_all(&mut self.cx);
            }
        }
    }

    fn member_changed(&mut self, channel: Channel, mut change: MemberChange) {
        if let MemberChange::Left(member) = &mut change {
            member.info = None;
        }
        self.members.changed(&channel, &change, &mut self.cx);
        if self.streams.is_watched(&Stream::Channel(channel.clone())) {
            self.cx.tell(NodeEvent::MemberChanged { channel, change });
        }
    }

    fn timeout(&mut self) {
        while let Some((id, timer)) = self.cx.connections.poll_due() {
            match timer {
                Timer::Hello => self.hello_overdue(id),
                Timer::Reading => {
                    let over = self.cx.connections.look_at_reading(id);
                    self.close_if(id, over);
                }
                Timer::Token => {
                    let over = self.cx.connections.look_at_token(id);
                    self.close_if(id, over);
                }
                Timer::Leave { hint } => self.drain_connection(id, hint),
            }
        }
        self.end_drain();
        self.sessions.handle_timeout(&mut self.cx);
        self.retry_due();
        self.members.handle_timeout(&mut self.cx);
        for id in self.cx.connections.poll_silent() {
            self.silent(id);
        }
    }

    // Output.

    /// Returns the next action.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<NodeAction> {
        self.cx.poll_action()
    }

    /// The next message to write on a connection, while its socket has room. A closing connection
    /// is removed when there is nothing more.
    #[must_use]
    pub fn poll_transmit(&mut self, id: ConnectionId) -> Option<Message> {
        let mut next = None;
        self.transmit(id, |message| {
            next = Some(message);
            false
        });
        next
    }

    /// Passes the next messages to `write`, until it returns false, since the socket has no room
    /// for another one. Returns true then: there may be others.
    pub fn transmit(&mut self, id: ConnectionId, write: impl FnMut(Message) -> bool) -> bool {
        let cx = &mut self.cx;
        let (may_have_more, has_room) = cx.connections.transmit(id, write);
        if has_room {
            self.streams.resume(id, cx);
            self.members.resume(id, cx);
        }
        self.members.list_on(id, cx);
        may_have_more
    }

    /// When to pass [`NodeInput::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let parts = [
            self.cx.connections.poll_timeout(),
            self.sessions.poll_timeout(),
            self.members.poll_timeout(),
            self.cx.requests.poll_timeout(),
            self.drain_ends(),
        ];
        earliest(parts)
    }

    /// Whether the connection's socket may be read now. If not, [`NodeAction::Ready`] is emitted
    /// when it may again.
    #[must_use]
    pub fn may_read(&self, id: ConnectionId) -> bool {
        self.cx.connections.may_read(id)
    }

    // Queries.

    /// The number of connections, before and after the welcome.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.cx.connections.len()
    }

    /// The counters so far, and the current numbers.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        NodeStats {
            connections: self.cx.connections.len() as u64,
            outbound_bytes: self.cx.connections.bytes() as u64,
            ..self.cx.stats.clone()
        }
    }

    /// The sessions of a user whose clients are connected to this node, in the order in which they
    /// began here.
    #[must_use]
    pub fn sessions(&self, user: &str) -> Vec<SessionId> {
        self.sessions.connected(user)
    }

    /// A connection, its place in a stream, and its seat among the members, as `Debug` shows their
    /// states: for the table of transitions.
    #[doc(hidden)]
    #[must_use]
    pub fn states(&self, id: ConnectionId, stream: &Stream) -> [Option<String>; 3] {
        let connection = self.cx.connections.get(id);
        let (start, wish, seat) = match stream {
            Stream::Session(_) => (None, None, None),
            Stream::Channel(channel) => {
                let subscription = connection.and_then(|it| it.subscription(channel));
                (
                    subscription.and_then(|it| it.start).map(|start| format!("{start:?}")),
                    subscription.and_then(|it| it.seat.as_ref()).map(|seat| format!("{seat:?}")),
                    self.members.state(id, channel),
                )
            }
        };
        let stage = connection.map(|connection| format!("{:?}", connection.stage));
        [stage, start.or_else(|| self.streams.state(id, stream)), wish.or(seat)]
    }

    fn session_of(&self, id: ConnectionId) -> Option<SessionNumber> {
        self.cx.connections.get(id)?.number
    }
}
