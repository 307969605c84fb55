//! What comes out of connections, and what it means for their peers.

use std::sync::Arc;

use rand_core::Rng;
use relink::Instant;
use str0m::{Event, IceConnectionState};

use super::connection::{Connection, ConnectionId, Happening};
use super::peer::{DataChannel, Peer, PeerState};
use super::signal::Signal;
use super::{Mesh, MeshEvent, Output};

impl<R: Rng> Mesh<R> {
    /// Drains a peer's connection after a change.
    pub(super) fn settle(&mut self, name: &Arc<str>, now: Instant) {
        let mut happenings = Vec::new();
        loop {
            let Some(connection) = self.connection(name) else { return };
            let (id, was_broken) = (connection.id, connection.is_broken);
            connection.drain(&mut happenings);
            if happenings.is_empty() {
                if !was_broken
                    && self.connection(name).is_some_and(|connection| connection.is_broken)
                {
                    self.interrupted(name, now);
                }
                return;
            }
            for happening in happenings.drain(..) {
                match happening {
                    Happening::Transmit { source, destination, bytes } => {
                        self.outputs.push_back(Output::Transmit {
                            connection: id,
                            source,
                            destination,
                            bytes,
                        });
                    }
                    Happening::Event(event) => self.happened(name, id, *event, now),
                }
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "media, of which there is none, and statistics"
    )]
    fn happened(&mut self, name: &Arc<str>, id: ConnectionId, event: Event, now: Instant) {
        let handle = |channel, label: &str| DataChannel {
            name: name.clone(),
            label: label.into(),
            connection: id,
            channel,
        };
        match event {
            Event::Connected => {
                if let Some(connection) = self.connection(name) {
                    connection.is_established = true;
                }
                self.connected(name);
            }
            Event::IceConnectionStateChange(state) if state.is_connected() => {
                let connection = self.connection(name);
                if connection.is_some_and(|connection| connection.is_established) {
                    self.reconnected(name);
                }
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed => {
                self.interrupted(name, now);
            }
            Event::ChannelOpen(channel, label) => {
                let opened = handle(channel, &label);
                self.with(name, |peer| {
                    peer.open.retain(|channel| channel.label != opened.label);
                    peer.open.push(opened.clone());
                });
                self.tell(MeshEvent::Opened(opened));
            }
            Event::ChannelData(data) => {
                let open = self.peer(name).map_or(&[][..], |peer| &peer.open);
                // What was on its way on a channel that is dead is lost, as with the connection of
                // a peer that is gone.
                if let Some(channel) =
                    open.iter().find(|channel| channel.channel == data.id).cloned()
                {
                    self.tell(MeshEvent::Data { channel, bytes: data.data });
                }
            }
            Event::ChannelClose(channel) => {
                self.with(name, |peer| peer.open.retain(|open| open.channel != channel));
            }
            _ => {}
        }
    }

    /// An ICE restart has repaired the connection: the side that opened its channels opens them
    /// again.
    fn reconnected(&mut self, name: &Arc<str>) {
        if self.peer(name).is_some_and(|peer| peer.state == PeerState::Connected) {
            return;
        }
        self.connected(name);
        if self.me < *name {
            let labels = self.config.channels.clone();
            if let Some(connection) = self.connection(name) {
                // No negotiation: there are data channels in this connection already.
                _ = connection.open_channels(&labels);
            }
        }
    }

    fn connected(&mut self, name: &Arc<str>) {
        self.with(name, Peer::rest);
        self.set_state(name, PeerState::Connected);
    }

    /// Data does not flow any more: the peer's restarts begin, if it can be negotiated (layer 2).
    pub(super) fn interrupted(&mut self, name: &Arc<str>, now: Instant) {
        self.leave_connected(name);
        if !self.signalling {
            return;
        }
        let has_given_up = self.with(name, |peer| {
            peer.deadline = None;
            peer.restart.lost(now);
            peer.restart.has_given_up()
        });
        if has_given_up == Some(true) {
            self.set_state(name, PeerState::Failed);
        }
    }

    pub(super) fn set_state(&mut self, name: &Arc<str>, to: PeerState) {
        let changed = self.with(name, |peer| (peer.id, std::mem::replace(&mut peer.state, to)));
        if let Some((peer, from)) = changed.filter(|(_, from)| *from != to) {
            self.tell(MeshEvent::State { peer, from, to });
        }
    }

    pub(super) fn say(&mut self, to: &Arc<str>, signal: Signal) {
        self.outputs.push_back(Output::Signal { to: to.clone(), signal });
    }

    pub(super) fn tell(&mut self, event: MeshEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.roster.keys().cloned().collect()
    }

    pub(super) fn peer_mut(&mut self, name: &Arc<str>) -> Option<&mut Peer> {
        self.roster.get_mut(name)?.value.as_mut()
    }

    pub(super) fn with<T>(
        &mut self,
        name: &Arc<str>,
        change: impl FnOnce(&mut Peer) -> T,
    ) -> Option<T> {
        self.peer_mut(name).map(change)
    }

    pub(super) fn connection(&mut self, name: &Arc<str>) -> Option<&mut Connection> {
        self.peer_mut(name)?.connection.as_mut()
    }

    pub(super) fn owner(&self, connection: ConnectionId) -> Option<Arc<str>> {
        let mut members = self.roster.iter();
        members.find_map(|(name, member)| {
            (member.value.as_ref()?.connection()? == connection).then(|| name.clone())
        })
    }
}
