//! The nodes with their drivers, and the store that they share.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_pcg::Pcg32;
use relink::rand_core::SeedableRng;
use relink::session::Frame;
use relink::{CloseCode, Instant};
use relink_node::{
    ConnectionId, Node, NodeAction, NodeInput, StoreEvent, StoreRequest, StoreResponse, Stream,
};

use super::{Cluster, Direction, Due, Environment, Task, TaskDetail};

/// A place where nodes run, one after the other.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) node: Option<Node<Pcg32>>,
    pub(crate) life: u32,
    pub(crate) watched: BTreeSet<Stream>,
    /// What arrived on sockets that are not read.
    pub(super) unread: BTreeMap<ConnectionId, VecDeque<Frame>>,
    /// Sockets that take nothing now.
    pub(super) stuck: BTreeSet<ConnectionId>,
}

impl<E: Environment> Cluster<E> {
    /// Starts a node in this place, if none runs there.
    ///
    /// # Panics
    ///
    /// If the configuration is wrong.
    pub fn start_node(&mut self, node: usize, seed: u64) {
        if self.nodes[node].node.is_none() {
            let fresh = Node::new(self.config, Pcg32::seed_from_u64(seed));
            self.nodes[node].node = Some(fresh.expect("a valid configuration"));
            E::note(self, || format!("node {node} begins"));
        }
    }

    /// Returns true if a node runs in this place.
    pub fn is_running(&self, node: usize) -> bool {
        self.nodes[node].node.is_some()
    }

    /// The node in this place.
    ///
    /// # Panics
    ///
    /// If none runs there.
    pub fn node(&self, node: usize) -> &Node<Pcg32> {
        self.nodes[node].node.as_ref().expect("the node runs")
    }

    /// The same, for direct use. Its actions are carried out by [`settle`](Self::settle).
    ///
    /// # Panics
    ///
    /// If none runs there.
    pub fn node_mut(&mut self, node: usize) -> &mut Node<Pcg32> {
        self.nodes[node].node.as_mut().expect("the node runs")
    }

    /// The streams that a node watches.
    pub fn watched(&self, node: usize) -> &BTreeSet<Stream> {
        &self.nodes[node].watched
    }

    /// Ends a node, with all its state, and cuts its transports. Returns them; their clients notice
    /// with [`lose_client`](Self::lose_client).
    pub fn kill_node(&mut self, node: usize) -> Vec<ConnectionId> {
        let it = &mut self.nodes[node];
        if it.node.take().is_none() {
            return Vec::new();
        }
        it.life += 1;
        it.unread.clear();
        it.stuck.clear();
        for stream in std::mem::take(&mut it.watched) {
            self.store.unwatch(&stream);
        }
        E::note(self, || format!("node {node} is gone"));
        let mut cut = Vec::new();
        for (id, transport) in &mut self.transports {
            if transport.node == node && transport.node_end {
                transport.node_end = false;
                transport.is_cut = true;
                cut.push(*id);
            }
        }
        cut
    }

    /// A client finds its transport reset at this moment.
    pub fn lose_client(&mut self, id: ConnectionId, at: Instant) {
        self.push(at, Due::ClientEnd { id });
    }

    /// Passes an input to a node, and carries out its actions.
    pub fn tell_node(&mut self, node: usize, input: NodeInput) {
        let Some(it) = &mut self.nodes[node].node else { return };
        it.handle(input, self.now);
        self.settle_node(node);
    }

    /// The same as if the node's clock showed another time.
    pub fn tell_node_as_if(&mut self, now: Instant, node: usize, input: NodeInput) {
        let Some(it) = &mut self.nodes[node].node else { return };
        it.handle(input, now);
        self.settle_node(node);
    }

    /// The same at a later time, if the node still runs.
    pub fn tell_node_at(&mut self, at: Instant, node: usize, input: NodeInput) {
        let life = self.nodes[node].life;
        self.push(at, Due::Node { node, life, input });
    }

    pub(super) fn node_deadline(&self, node: usize) -> Option<Instant> {
        self.nodes[node].node.as_ref()?.poll_timeout()
    }

    /// A frame arrived at a node: it is read when the node reads.
    pub(super) fn hear(&mut self, node: usize, id: ConnectionId, frame: Frame) {
        self.nodes[node].unread.entry(id).or_default().push_back(frame);
        self.hand_over(node, id);
        self.settle_node(node);
    }

    fn hand_over(&mut self, node: usize, id: ConnectionId) {
        loop {
            let host = &mut self.nodes[node];
            let Some(it) = host.node.as_mut().filter(|it| it.may_read(id)) else { return };
            let Some(frame) = host.unread.get_mut(&id).and_then(VecDeque::pop_front) else {
                return;
            };
            match frame {
                Frame::Message(message) if message.len() > self.max_message => {
                    E::note(self, || format!("transport {}: too large for node {node}", id.0));
                    E::carry(
                        self,
                        id,
                        Direction::ToClient,
                        Frame::Close(CloseCode::TOO_BIG.into()),
                    );
                    return self.node_end(id, CloseCode::TOO_BIG);
                }
                Frame::Message(message) => it.handle(NodeInput::Message { id, message }, self.now),
                Frame::Ping(_) | Frame::Pong(_) => it.handle(NodeInput::Alive { id }, self.now),
                Frame::Close(close) => {
                    // The WebSocket library answers a close frame.
                    E::carry(self, id, Direction::ToClient, Frame::Close(close.code.into()));
                    return self.node_end(id, close.code);
                }
            }
        }
    }

    pub(super) fn settle_node(&mut self, node: usize) {
        while let Some(action) = self.nodes[node].node.as_mut().and_then(Node::poll_action) {
            self.steps += 1;
            self.carry_out(node, action);
        }
    }

    fn carry_out(&mut self, node: usize, action: NodeAction) {
        let detail = match action {
            NodeAction::Identify { id, token } => TaskDetail::Identify { id, token },
            NodeAction::Authorize { request, channel, token, .. } => {
                TaskDetail::Authorize { request, channel, token }
            }
            NodeAction::Handle {
                handling: delivery, session, serial, channel, message, ..
            } => TaskDetail::Handle { delivery, session, serial, channel, message },
            NodeAction::Ask { question: id, what: request } => TaskDetail::Store { id, request },
            NodeAction::Watch { stream } => return self.watch(node, stream),
            NodeAction::Unwatch { stream } => return self.unwatch(node, &stream),
            NodeAction::Ready { id } => {
                E::ready(self, node, id);
                self.write(node, id);
                return self.hand_over(node, id);
            }
            NodeAction::Close { id, frame } => {
                E::note(self, || format!("node {node} closes {} with {frame:?}", id.0));
                E::closes(self, node, id, &frame);
                self.write(node, id);
                if self.peers.contains_key(&id) {
                    return self.close_peer(id, frame);
                }
                let code = frame.code;
                E::carry(self, id, Direction::ToClient, Frame::Close(frame));
                return self.node_end(id, code);
            }
            NodeAction::Released { id } => return E::released(self, node, id),
            NodeAction::Event(event) => return E::node_event(self, node, event),
            _ => return E::broken(self, "a node does something unknown".into()),
        };
        let life = self.nodes[node].life;
        E::task(self, Task { node, life, detail });
    }

    fn watch(&mut self, node: usize, stream: Stream) {
        if self.nodes[node].watched.insert(stream.clone()) {
            self.store.watch(stream);
        } else {
            E::broken(self, "a node watches a stream twice".into());
        }
    }

    fn unwatch(&mut self, node: usize, stream: &Stream) {
        if self.nodes[node].watched.remove(stream) {
            self.store.unwatch(stream);
        } else {
            E::broken(self, "a node gives up a stream that it does not watch".into());
        }
    }

    /// Writes what waits, if the socket takes it.
    pub(super) fn write(&mut self, node: usize, id: ConnectionId) {
        if self.nodes[node].stuck.contains(&id) {
            return;
        }
        if self.peers.contains_key(&id) {
            return self.write_to_peer(id);
        }
        while let Some(message) =
            self.nodes[node].node.as_mut().and_then(|node| node.poll_transmit(id))
        {
            E::carry(self, id, Direction::ToClient, Frame::Message(message));
        }
    }

    /// The socket takes something again.
    pub(super) fn unstick(&mut self, id: ConnectionId) {
        let Some(node) = self.transports.get(&id).map(|transport| transport.node) else { return };
        if self.nodes[node].stuck.remove(&id) {
            E::note(self, || format!("transport {} has room again", id.0));
            self.write(node, id);
            self.tell_node(node, NodeInput::Flowing { id });
            self.hand_over(node, id);
            self.settle_node(node);
        }
    }

    // The store.

    /// Sends a request to the store now, and passes its events to every node that watches.
    pub fn ask_store(&mut self, request: StoreRequest) -> StoreResponse {
        let answer = self.store.answer(request, self.now);
        self.spread_store_events();
        answer
    }

    pub(super) fn spread_store_events(&mut self) {
        while let Some(event) = self.store.poll_news() {
            E::stored(self, &event);
            let stream = stream_of(&event);
            for node in 0..self.nodes.len() {
                if stream.as_ref().is_none_or(|stream| self.nodes[node].watched.contains(stream)) {
                    let (life, detail) =
                        (self.nodes[node].life, TaskDetail::StoreEvent(event.clone()));
                    E::task(self, Task { node, life, detail });
                }
            }
        }
    }
}

/// Which stream an event is about; `None` if it is about all of them.
fn stream_of(event: &StoreEvent) -> Option<Stream> {
    match event {
        StoreEvent::Published { stream, .. } => Some(stream.clone()),
        StoreEvent::MemberChanged { channel, .. } => Some(Stream::Channel(channel.clone())),
        StoreEvent::Resumed { session, .. } | StoreEvent::Ended { session, .. } => {
            Some(Stream::Session(session.clone()))
        }
        StoreEvent::Lagged | _ => None,
    }
}
