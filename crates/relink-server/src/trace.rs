//! `tracing`: what happens on a server, told by a task of its own, outside of the node's lock.

use relink_node::NodeEvent;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Tells the events of a server until it is gone: what the store could not do at `warn`, refusals
/// and the end of a drain at `info`, the rest at `debug`. No field has a secret: a session's id is
/// one, since it resumes the session.
pub(crate) async fn tell(mut events: Receiver<NodeEvent>) {
    loop {
        match events.recv().await {
            Ok(event) => event_of_node(&event),
            Err(RecvError::Lagged(count)) => tracing::warn!(count, "events were not traced"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn event_of_node(event: &NodeEvent) {
    match event {
        NodeEvent::Connected { id, user, resumed, .. } => {
            tracing::debug!(connection = id.0, user, resumed, "client connected");
        }
        NodeEvent::Disconnected { id, user, code, after, .. } => {
            tracing::debug!(connection = id.0, user, %code, ?after, "client disconnected");
        }
        NodeEvent::Refused { id, code, reason } => {
            tracing::info!(connection = id.0, %code, reason, "connection refused");
        }
        NodeEvent::MemberChanged { channel, .. } => {
            tracing::debug!(%channel, "members changed");
        }
        NodeEvent::NotPublished { detail } => tracing::warn!(detail, "message not published"),
        NodeEvent::StoreFailed { detail } => tracing::warn!(detail, "store failed"),
        NodeEvent::Drained => tracing::info!("drained; the node can stop"),
        _ => {}
    }
}
