//! What goes into a node and what comes out.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

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
pub struct DeliveryId(pub(crate) u64);

/// The number of a [`NodeAction::Authorize`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorizationId(pub(crate) u64);

/// Everything that can change a node. An input about a connection that the node has closed, or
/// never heard of, changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeInput {
    /// A WebSocket connection was accepted, with `relink.v1` agreed on.
    Opened {
        /// Its number.
        id: ConnectionId,
        /// Whose it is, where the HTTP handshake told.
        user: Option<String>,
    },
    /// A whole message arrived.
    Message {
        /// From which connection.
        id: ConnectionId,
        /// The message.
        message: Message,
    },
    /// Something other than a message speaks for the peer: a ping, a pong, or a part of one.
    Alive {
        /// Which connection.
        id: ConnectionId,
    },
    /// A part of a message arrived, after all whole ones, and the rest did not. It is a sign of
    /// life, and the message has to be whole within
    /// [`LivenessConfig::message_timeout`](crate::LivenessConfig::message_timeout).
    Arriving {
        /// Which connection.
        id: ConnectionId,
    },
    /// The connection's socket takes nothing more, and pongs wait for it, so that the driver does
    /// not read either. If it takes nothing for as long as
    /// [`LivenessConfig::silence`](crate::LivenessConfig::silence), the connection is closed
    /// with 1008.
    Blocked {
        /// Which connection.
        id: ConnectionId,
    },
    /// The socket has taken some of what waited, which only the peer can bring about: it reads.
    Flowing {
        /// Which connection.
        id: ConnectionId,
    },
    /// The peer's close frame came, or the transport is gone. Also the last word after a
    /// [`NodeAction::Close`], if what was queued could not be written.
    Closed {
        /// Which connection.
        id: ConnectionId,
        /// The peer's code; [`CloseCode::ABNORMAL`] where there was no close frame.
        code: CloseCode,
    },
    /// The answer to [`NodeAction::Identify`].
    Identified {
        /// Which connection.
        id: ConnectionId,
        /// The user, or how to close: 4001, 4002, 4012 …
        result: Result<String, CloseFrame>,
    },
    /// How long the token of a connection is good for. Said right after [`Opened`](Self::Opened),
    /// or before each [`Identified`](Self::Identified), if the application knows; a fresh token
    /// without an end has `None`. A connection whose token is over, and was not renewed, is closed
    /// with 4002 after [`token_grace`](super::NodeConfig::token_grace).
    TokenEnds {
        /// Which connection.
        id: ConnectionId,
        /// How long from now; `None` for a token without an end.
        after: Option<Duration>,
    },
    /// The answer to [`NodeAction::Authorize`].
    Authorized {
        /// Which request.
        request: AuthorizationId,
        /// Whether the user may have the channel.
        result: Result<(), Problem>,
    },
    /// The answer to [`NodeAction::Handle`].
    Handled {
        /// Which message.
        handling: DeliveryId,
        /// What it leads to, all of it or nothing; or why it is refused.
        result: Result<Vec<(Stream, Message)>, Problem>,
    },
    /// The answer to [`NodeAction::Ask`].
    Answered {
        /// Which question.
        question: StoreRequestId,
        /// The response, or an error message. On error the request may still have taken effect.
        answer: Result<StoreResponse, String>,
    },
    /// The store has news of a watched stream. Those of streams that are not watched do no harm.
    StoreEvent(StoreEvent),
    /// A message from the application: to a channel, or to one session. At most once: a store that
    /// fails now is not asked again ([`NodeEvent::NotPublished`] tells).
    Publish {
        /// Where.
        stream: Stream,
        /// What.
        message: Message,
    },
    /// All connections of a user are closed, and their sessions are over, at every node:
    /// 4020, 4012. What is under way for them here is dropped. Connections that come later begin a
    /// new session.
    Kick {
        /// Whose.
        user: String,
        /// How.
        frame: CloseFrame,
    },
    /// The node shuts down: everyone is told to go, and when to come back, and closed with 1001.
    Drain,
    /// Time has passed.
    Timeout,
}

/// A node's output, in order: work for the server, and events. Messages to write are pulled with
/// [`poll_transmit`](super::Node::poll_transmit) instead, as a socket has room for them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeAction {
    /// Find out whose connection this is. At most one is under way for a connection.
    Identify {
        /// Which connection.
        id: ConnectionId,
        /// The token from the client's hello, or a fresh one ahead of its end; `None` where it sent
        /// none.
        token: Option<Secret>,
    },
    /// Find out whether a user may have a channel: when the client subscribes, and again when it
    /// renews its token. At most 16 are under way for a connection.
    Authorize {
        /// Comes back in the answer.
        request: AuthorizationId,
        /// Which connection wants it.
        id: ConnectionId,
        /// Who wants it.
        user: String,
        /// Which channel.
        channel: Channel,
        /// A token for this channel, where the client sent one.
        token: Option<Secret>,
    },
    /// A message for the application. Those of one session come one at a time, in order; the next
    /// one when this one is answered. May come again after a failure or a resume on another node,
    /// but its effect is committed once. On a resume on this node the answer still counts, if the
    /// client sends the same message again.
    Handle {
        /// Comes back in the answer.
        handling: DeliveryId,
        /// Which connection brought it, if it is known.
        id: Option<ConnectionId>,
        /// Who sent it.
        user: String,
        /// From which session.
        session: SessionId,
        /// Its number in the session; `None` where nobody waits for an acknowledgement.
        serial: Option<u64>,
        /// The channel it is meant for.
        channel: Option<Channel>,
        /// The message.
        message: Message,
    },
    /// Ask the store.
    Ask {
        /// Comes back in the answer.
        question: StoreRequestId,
        /// The question.
        what: StoreRequest,
    },
    /// News of this stream are wanted from now on: in force before any later question is answered.
    Watch {
        /// Which.
        stream: Stream,
    },
    /// News of this stream are not wanted any more.
    Unwatch {
        /// Which.
        stream: Stream,
    },
    /// There is something to write: told once, until [`poll_transmit`](super::Node::poll_transmit)
    /// has said that there is nothing more. Or this connection may be read again.
    Ready {
        /// Which connection.
        id: ConnectionId,
    },
    /// Write what [`poll_transmit`](super::Node::poll_transmit) still has, then this frame; then
    /// drop the connection, or drop it at once where the socket is stuck, and say
    /// [`NodeInput::Closed`].
    Close {
        /// Which connection.
        id: ConnectionId,
        /// The close frame.
        frame: CloseFrame,
    },
    /// The connection is closed, and no message that it sent is under way any more: its place is
    /// free. Told once for each connection.
    Released {
        /// Which connection.
        id: ConnectionId,
    },
    /// Tell the application.
    Event(NodeEvent),
}

/// What an application is told, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A client is welcome.
    Connected {
        /// Which connection.
        id: ConnectionId,
        /// Who.
        user: String,
        /// Its session.
        session: SessionId,
        /// Whether the session goes on from an earlier connection.
        resumed: bool,
    },
    /// A connection that was welcome has ended.
    Disconnected {
        /// Which connection.
        id: ConnectionId,
        /// Whose.
        user: String,
        /// Its session, which lasts unless the code is 1000 or the user was kicked.
        session: SessionId,
        /// The close code, the peer's or ours.
        code: CloseCode,
        /// How long it lasted.
        after: Duration,
    },
    /// A connection ended before it was welcome.
    Refused {
        /// Which connection.
        id: ConnectionId,
        /// How it was closed; 1006 where the peer went away.
        code: CloseCode,
        /// What the client is told; empty where it closed, or went away.
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
    /// A message that nobody waits for could not be published: it is too large, or the store has no
    /// room for it. Or the store failed, and perhaps it was published.
    NotPublished {
        /// What is wrong with it, or ails the store.
        detail: String,
    },
    /// The store failed; what may be asked again is.
    StoreFailed {
        /// What ails the store.
        detail: String,
    },
    /// The last connection is closed, and what the clients sent is stored: the node can go.
    Drained,
}
