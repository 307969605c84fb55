//! One other member of the room, as it is kept beside the name in the roster.

use std::sync::Arc;

use relink::Instant;
use relink_profiles::{PeerRestart, PeerRestartConfig};
use str0m::channel::ChannelId;

use super::connection::{Connection, ConnectionId};

/// Names a peer for as long as it is there: the same over any number of peer connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub(super) u64);

impl std::fmt::Display for PeerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "peer {}", self.0)
    }
}

/// How it stands with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerState {
    /// On the way to the first connection.
    Connecting,
    /// Data can flow.
    Connected,
    /// On the way back.
    Reconnecting,
    /// All attempts of the restart were in vain. The next reconcile tries again.
    Failed,
}

/// A data channel that is open, or was: once its peer's connection is interrupted it is dead for
/// good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataChannel {
    pub(super) name: Arc<str>,
    pub(super) label: Arc<str>,
    pub(super) connection: ConnectionId,
    pub(super) channel: ChannelId,
}

impl DataChannel {
    /// Whom it leads to.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.name
    }

    /// What it is for.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// A peer: what lasts, and the connection that does not.
pub struct Peer {
    pub(super) id: PeerId,
    pub(super) state: PeerState,
    pub(super) connection: Option<Connection>,
    /// The channels that are alive.
    pub(super) open: Vec<DataChannel>,
    pub(super) restart: PeerRestart,
    /// When a connection that has not come about counts as failed.
    pub(super) deadline: Option<Instant>,
}

impl Peer {
    pub(super) const fn new(id: PeerId, restart: PeerRestartConfig) -> Self {
        Self {
            id,
            state: PeerState::Connecting,
            connection: None,
            open: Vec::new(),
            restart: PeerRestart::new(restart),
            deadline: None,
        }
    }

    /// Its name for as long as it is there.
    #[must_use]
    pub const fn id(&self) -> PeerId {
        self.id
    }

    /// How it stands with it.
    #[must_use]
    pub const fn state(&self) -> PeerState {
        self.state
    }

    /// Its present connection.
    #[must_use]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.connection.as_ref().map(|connection| connection.id)
    }

    /// The channels that are open.
    #[must_use]
    pub fn channels(&self) -> &[DataChannel] {
        &self.open
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let wake = self.connection.as_ref().and_then(|connection| connection.wake);
        [wake, self.restart.poll_timeout(), self.deadline].into_iter().flatten().min()
    }

    /// No attempt is under way any more.
    pub(super) fn rest(&mut self) {
        self.restart.stop();
        self.deadline = None;
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
