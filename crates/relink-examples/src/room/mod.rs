//! A room of WebRTC peers on tokio: the signalling server, and a guest's side of it.
//!
//! A room is a channel of `relink.v1` with presence: who is in it is who is in the mesh. Messages
//! to a guest go through a channel that only the receiver may subscribe to, their inbox; the server
//! adds the sender.

mod guest;
mod lists;
mod server;
mod sockets;

pub use guest::{Guest, GuestConfig, GuestEvents, PeerInfo, RoomEvent};
pub use server::server;

use serde::{Deserialize, Serialize};

use crate::mesh::Signal;

/// What arrives in an inbox.
#[derive(Debug, Serialize, Deserialize)]
struct Letter {
    /// As the server knows them.
    from: String,
    signal: Signal,
}

/// The channel of a room.
fn room(name: &str) -> String {
    format!("room/{name}")
}

/// The channel by which a guest is reached.
fn inbox(guest: &str) -> String {
    format!("inbox/{guest}")
}
