//! What surrounds clients and nodes: the network, the applications, the store's delays.

use relink::link::TransportId;
use relink::session::{Frame, Secret};
use relink::{Channel, CloseCode, CloseFrame, Event, Message, Position, SessionId};
use relink_node::{
    AuthorizationId, ConnectionId, DeliveryId, NodeEvent, StoreEvent, StoreRequest, StoreRequestId,
};

use super::{Cluster, Direction};

/// A request or an event of a node that is pending.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Task {
    /// Which node.
    pub node: usize,
    /// Which of the nodes that have run in this place: a result for an earlier one goes nowhere.
    pub life: u32,
    /// What it is.
    pub detail: TaskDetail,
}

/// What a [`Task`] is about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TaskDetail {
    /// The application authenticates a connection:
    /// [`Identified`](relink_node::NodeInput::Identified).
    #[non_exhaustive]
    Identify {
        /// The connection.
        id: ConnectionId,
        /// What it has shown.
        token: Option<Secret>,
    },
    /// The application authorizes a subscription:
    /// [`Authorized`](relink_node::NodeInput::Authorized).
    #[non_exhaustive]
    Authorize {
        /// Names the request in the answer.
        request: AuthorizationId,
        /// The channel.
        channel: Channel,
        /// The token for it.
        token: Option<Secret>,
    },
    /// The application handles a message: [`Handled`](relink_node::NodeInput::Handled).
    #[non_exhaustive]
    Handle {
        /// Names the message in the answer.
        delivery: DeliveryId,
        /// Whose it is.
        session: SessionId,
        /// Its number there.
        serial: Option<u64>,
        /// What it is meant for.
        channel: Option<Channel>,
        /// The message.
        message: Message,
    },
    /// The store does something: [`Answered`](relink_node::NodeInput::Answered).
    #[non_exhaustive]
    Store {
        /// Names the request in the answer.
        id: StoreRequestId,
        /// The request.
        request: StoreRequest,
    },
    /// The store has an event for a node that watches:
    /// [`StoreEvent`](relink_node::NodeInput::StoreEvent).
    StoreEvent(StoreEvent),
}

/// Decides what a [`Cluster`] leaves open. Each function is called when something happens, and acts
/// on it with the cluster's functions, at once or later. A cluster keeps the value that implements
/// it as [`Cluster::env`].
pub trait Environment: Sized {
    /// Something of its own that is due at some time: see [`Cluster::schedule`].
    type Due;

    /// Something of its own is due.
    fn due(cluster: &mut Cluster<Self>, due: Self::Due);

    /// A client dials. Answered with [`dial`](Cluster::dial) or [`refuse`](Cluster::refuse).
    fn dials(cluster: &mut Cluster<Self>, client: usize, id: TransportId);

    /// One end hands a frame to a transport. It arrives with [`deliver`](Cluster::deliver); without
    /// it, it is lost.
    fn carry(cluster: &mut Cluster<Self>, id: ConnectionId, way: Direction, frame: Frame);

    /// A node waits for something, or the store has an event for it.
    fn task(cluster: &mut Cluster<Self>, task: Task);

    /// A client has an event for its application.
    fn told(cluster: &mut Cluster<Self>, client: usize, event: Event);

    /// A client needs a token for a channel. Answered with
    /// [`SessionInput::ChannelToken`](relink::SessionInput::ChannelToken).
    fn fetch_channel_token(cluster: &mut Cluster<Self>, client: usize, channel: Channel);

    /// A node has an event for its application.
    fn node_event(cluster: &mut Cluster<Self>, node: usize, event: NodeEvent) {
        let _ = (cluster, node, event);
    }

    /// A client has a session that is new to it, whose own stream begins here.
    fn session_began(cluster: &mut Cluster<Self>, client: usize, session: SessionId, at: Position) {
        let _ = (cluster, client, session, at);
    }

    /// A client drops its transport with this code.
    fn drops(cluster: &mut Cluster<Self>, client: usize, id: ConnectionId, code: CloseCode) {
        let _ = (cluster, client, id, code);
    }

    /// A node closes a connection.
    fn closes(cluster: &mut Cluster<Self>, node: usize, id: ConnectionId, frame: &CloseFrame) {
        let _ = (cluster, node, id, frame);
    }

    /// A node has something to write, or reads again.
    fn ready(cluster: &mut Cluster<Self>, node: usize, id: ConnectionId) {
        let _ = (cluster, node, id);
    }

    /// A node keeps nothing more for a connection.
    fn released(cluster: &mut Cluster<Self>, node: usize, id: ConnectionId) {
        let _ = (cluster, node, id);
    }

    /// The store has an event, whichever nodes watch.
    fn stored(cluster: &mut Cluster<Self>, event: &StoreEvent) {
        let _ = (cluster, event);
    }

    /// A line of what happens, for people. Nothing keeps it by default.
    fn note(cluster: &mut Cluster<Self>, line: impl FnOnce() -> String) {
        let _ = (cluster, line);
    }

    /// A rule is broken that holds in every environment. Panics by default.
    fn broken(cluster: &mut Cluster<Self>, what: String) {
        panic!("{what} at {:?}", cluster.now());
    }

    /// Returns true once nothing more is to happen.
    fn is_over(&self) -> bool {
        false
    }
}
