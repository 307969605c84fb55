//! The inputs, actions and events of a node.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::node::numbered::numbers;
use crate::node::sessions::SessionNumber;
use crate::{StoreEvent, StoreRequest, StoreResponse, Stream};
use relink::session::{MemberChange, Problem, Secret};
use relink::{Channel, CloseCode, CloseFrame, Message, SessionId};

/// A connection's number, given by the driver and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a newtype: nothing can be added")]
pub struct ConnectionId(pub u64);

/// The number of a [`NodeAction::Ask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreRequestId(pub(crate) u64);

/// The number of a [`NodeAction::Handle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    pub(crate) session: SessionNumber,
    pub(crate) number: u64,
}

/// The number of a [`NodeAction::Authorize`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorizationId(pub(crate) u64);

numbers!(ConnectionId, StoreRequestId, AuthorizationId);

/// Everything that can change a node. An input about a connection that the node has closed, or does
/// not know, changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeInput {
    /// A WebSocket connection was accepted, with `relink.v1` agreed on.
    Opened {
        /// Its number.
        id: ConnectionId,
        /// Its user, if the HTTP handshake authenticated it.
        user: Option<String>,
    },
    /// A whole message arrived.
    Message {
        /// From which connection.
        id: ConnectionId,
        /// The message.
        message: Message,
    },
    /// Another sign of life of the peer: a ping, a pong, or a part of one.
    Alive {
        /// Which connection.
        id: ConnectionId,
    },
    /// A message is incomplete, after all complete ones. It is a sign of life, and the message has
    /// to be complete within
    /// [`LivenessConfig::message_timeout`](crate::LivenessConfig::message_timeout).
    Arriving {
        /// Which connection.
        id: ConnectionId,
    },
    /// The connection's socket is full, and pongs wait for it, so that the driver does not read
    /// either. If it accepts nothing for as long as
    /// [`LivenessConfig::silence`](crate::LivenessConfig::silence), the connection is closed
    /// with 1008.
    Blocked {
        /// Which connection.
        id: ConnectionId,
    },
    /// The socket has accepted some of what waited, so the peer reads.
    Flowing {
        /// Which connection.
        id: ConnectionId,
    },
    /// The peer's close frame arrived, or the transport is gone. Also sent after a
    /// [`NodeAction::Close`], if what was queued could not be written.
    Closed {
        /// Which connection.
        id: ConnectionId,
        /// The peer's code; [`CloseCode::ABNORMAL`] without a close frame.
        code: CloseCode,
    },
    /// The answer to [`NodeAction::Identify`].
    Identified {
        /// Which connection.
        id: ConnectionId,
        /// The user, or how to close: 4001, 4002, 4012 …
        result: Result<String, CloseFrame>,
    },
    /// How long the token of a connection is valid. Passed right after [`Opened`](Self::Opened), or
    /// before each [`Identified`](Self::Identified), if the application knows; a fresh token that
    /// does not expire has `None`. A connection whose token has expired, and was not renewed, is
    /// closed with 4002 after [`token_grace`](super::NodeConfig::token_grace).
    TokenEnds {
        /// Which connection.
        id: ConnectionId,
        /// How long from now; `None` for a token that does not expire.
        after: Option<Duration>,
    },
    /// The answer to [`NodeAction::Authorize`].
    Authorized {
        /// Which request.
        request: AuthorizationId,
        /// Whether the user may subscribe to the channel.
        result: Result<(), Problem>,
    },
    /// The answer to [`NodeAction::Handle`].
    Handled {
        /// Which message.
        handling: DeliveryId,
        /// Its effects, all or nothing; or why it is rejected.
        result: Result<Vec<(Stream, Message)>, Problem>,
    },
    /// The answer to [`NodeAction::Ask`].
    Answered {
        /// Which request.
        question: StoreRequestId,
        /// The response, or an error message. On error the request may still have taken effect.
        answer: Result<StoreResponse, String>,
    },
    /// The store has an event of a watched stream. Events of other streams are ignored.
    StoreEvent(StoreEvent),
    /// A message from the application: to a channel, or to one session. At most once: if the store
    /// fails, it is not retried ([`NodeEvent::NotPublished`]).
    Publish {
        /// Where.
        stream: Stream,
        /// What.
        message: Message,
    },
    /// Closes all connections of a user and ends their sessions, at every node: 4020, 4012. What is
    /// under way for them here is dropped. Later connections get a new session.
    Kick {
        /// Its user.
        user: String,
        /// The close frame.
        frame: CloseFrame,
    },
    /// Shuts the node down: each client gets a delay until it should come back, and is closed
    /// with 1001.
    Drain,
    /// Time has passed.
    Timeout,
}

/// A node's output, in order: work for the server, and events. Messages to write are pulled with
/// [`poll_transmit`](super::Node::poll_transmit) instead, as a socket has room for them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeAction {
    /// Authenticate a connection. At most one of these is under way for a connection.
    Identify {
        /// Which connection.
        id: ConnectionId,
        /// The token from the client's hello, or a fresh one before it expires; `None` if it sent
        /// none.
        token: Option<Secret>,
    },
    /// Authorize a subscription: when the client subscribes, and again when it renews its token. At
    /// most 16 of these are under way for a connection.
    Authorize {
        /// Comes back in the answer.
        request: AuthorizationId,
        /// Which connection.
        id: ConnectionId,
        /// Its user.
        user: String,
        /// Which channel.
        channel: Channel,
        /// A token for this channel, if the client sent one.
        token: Option<Secret>,
    },
    /// Handle a message in the application. Those of one session come one at a time, in order; the
    /// next one when this one is answered. It may come again after a failure or a resume on another
    /// node, but its effect is committed once. After a resume on this node, the answer still counts
    /// if the client sends the same message again.
    Handle {
        /// Comes back in the answer.
        handling: DeliveryId,
        /// Which connection sent it, if it is known.
        id: Option<ConnectionId>,
        /// Who sent it.
        user: Arc<str>,
        /// From which session.
        session: SessionId,
        /// Its number in the session; `None` if no acknowledgement is wanted.
        serial: Option<u64>,
        /// The channel it is meant for.
        channel: Option<Channel>,
        /// The message.
        message: Message,
    },
    /// Send a request to the store.
    Ask {
        /// Comes back in the answer.
        question: StoreRequestId,
        /// The request.
        what: StoreRequest,
    },
    /// Watch this stream, in effect before any later request is answered.
    Watch {
        /// Which.
        stream: Stream,
    },
    /// Stop watching this stream.
    Unwatch {
        /// Which.
        stream: Stream,
    },
    /// There is something to write, or this connection may be read again. Emitted once, until
    /// [`poll_transmit`](super::Node::poll_transmit) has returned `None`.
    Ready {
        /// Which connection.
        id: ConnectionId,
    },
    /// Write what [`poll_transmit`](super::Node::poll_transmit) still has, then this frame; then
    /// drop the connection, or drop it at once if the socket is stuck, and pass
    /// [`NodeInput::Closed`].
    Close {
        /// Which connection.
        id: ConnectionId,
        /// The close frame.
        frame: CloseFrame,
    },
    /// The connection is closed, and none of its messages is under way: its place is free. Emitted
    /// once for each connection.
    Released {
        /// Which connection.
        id: ConnectionId,
    },
    /// Notify the application.
    Event(NodeEvent),
}

/// What happened, in order, for the application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A client is connected.
    Connected {
        /// Which connection.
        id: ConnectionId,
        /// Who.
        user: String,
        /// Its session.
        session: SessionId,
        /// Whether the session was resumed.
        resumed: bool,
    },
    /// A connected client has disconnected.
    Disconnected {
        /// Which connection.
        id: ConnectionId,
        /// Its user.
        user: String,
        /// Its session, which lasts unless the code is 1000 or the user was kicked.
        session: SessionId,
        /// The close code, the peer's or ours.
        code: CloseCode,
        /// How long it lasted.
        after: Duration,
    },
    /// A connection ended before its welcome.
    Refused {
        /// Which connection.
        id: ConnectionId,
        /// The close code; 1006 if the peer went away.
        code: CloseCode,
        /// The reason sent to the client; empty if it closed, or went away.
        reason: String,
    },
    /// A member joined or left a channel that a client of this node reads: one stay, of a user who
    /// may have others.
    MemberChanged {
        /// Which channel.
        channel: Channel,
        /// Who, and which of the two.
        change: MemberChange,
    },
    /// A message without an acknowledgement could not be published: it is too large, or the store
    /// has no room for it. Or the store failed, and it may have been published.
    NotPublished {
        /// Why, or the store's error.
        detail: String,
    },
    /// The store failed; requests that can be retried are.
    StoreFailed {
        /// The store's error.
        detail: String,
    },
    /// The last connection is closed, and all messages are stored: the node can stop.
    Drained,
}
