//! Peers: clients that a test controls, frame by frame.

use relink::session::{MemberChange, Secret, Text};
use relink::{Channel, CloseCode, CloseFrame, Position, Resume};
use relink_node::{ConnectionId, NodeInput, Stream};
use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame, Welcome};

use super::{Cluster, Environment};

/// A connection to a node whose client is the test itself.
#[derive(Debug)]
#[non_exhaustive]
pub struct Peer {
    /// The node that it is connected to.
    pub node: usize,
    /// What arrived and was not [taken](Cluster::take) yet.
    pub inbox: Vec<ServerFrame>,
    /// The frame that the node closed with.
    pub closed: Option<CloseFrame>,
    /// Whether the node's frames are read from the socket at once; true at first. If not, see
    /// [`Cluster::read`].
    pub reads: bool,
    /// Whether it pings every few seconds; true at first.
    pub pings: bool,
    /// Whether the connection stands.
    pub is_open: bool,
    /// How its frames are encoded.
    pub encoding: Encoding,
    has_said_hello: bool,
}

/// Peers. Their actions take effect at once; the node's frames are then in their inbox.
impl<E: Environment> Cluster<E> {
    /// Connects a peer, which sends nothing yet. Its frames are JSON.
    pub fn open(&mut self, node: usize) -> ConnectionId {
        self.open_as(node, Encoding::Json)
    }

    /// The same with another encoding.
    pub fn open_as(&mut self, node: usize, encoding: Encoding) -> ConnectionId {
        self.open_peer(node, None, encoding)
    }

    /// The same for a user whom the HTTP handshake names.
    pub fn open_known(&mut self, node: usize, user: &str) -> ConnectionId {
        self.open_peer(node, Some(user.to_owned()), Encoding::Json)
    }

    fn open_peer(&mut self, node: usize, user: Option<String>, encoding: Encoding) -> ConnectionId {
        let id = self.new_id();
        self.add_peer(id, node, encoding);
        self.give(node, NodeInput::Opened { id, user });
        id
    }

    /// Adds a peer with this id, which the node does not know yet.
    pub fn add_peer(&mut self, id: ConnectionId, node: usize, encoding: Encoding) {
        let peer = Peer {
            node,
            inbox: Vec::new(),
            closed: None,
            reads: true,
            pings: true,
            is_open: true,
            encoding,
            has_said_hello: false,
        };
        self.peers.insert(id, peer);
    }

    /// Hands an input to a node, and does everything that can be done then.
    pub fn give(&mut self, node: usize, input: NodeInput) {
        self.tell_node(node, input);
        self.settle();
    }

    /// A peer.
    ///
    /// # Panics
    ///
    /// If there is none of this id.
    pub fn peer(&self, id: ConnectionId) -> &Peer {
        self.peers.get(&id).expect("a peer")
    }

    /// The same, to change how it behaves.
    ///
    /// # Panics
    ///
    /// If there is none of this id.
    pub fn peer_mut(&mut self, id: ConnectionId) -> &mut Peer {
        self.peers.get_mut(&id).expect("a peer")
    }

    /// Sends a frame of a peer, which the node gets whether or not it reads.
    pub fn say(&mut self, id: ConnectionId, frame: &ClientFrame) {
        let peer = self.peer_mut(id);
        peer.has_said_hello |= matches!(frame, ClientFrame::Hello { .. });
        let (node, message) = (peer.node, frame.encode(peer.encoding));
        self.give(node, NodeInput::Message { id, message });
    }

    /// Sends a peer's hello, with a token and perhaps a session to resume.
    pub fn hello(&mut self, id: ConnectionId, token: &str, resume: Option<Resume>) {
        let token = Some(Secret::from(token));
        self.say(id, &ClientFrame::Hello { token, resume, max_message: None });
    }

    /// A peer with a new session, and what it needs to come back.
    ///
    /// # Panics
    ///
    /// If it is not welcome.
    pub fn join(&mut self, node: usize, token: &str) -> (ConnectionId, Resume) {
        let id = self.open(node);
        self.hello(id, token, None);
        let welcome = self.welcome(id);
        assert!(!welcome.resumed, "a new session");
        (id, Resume { session: welcome.session, position: welcome.position })
    }

    /// A peer that comes back with a session.
    ///
    /// # Panics
    ///
    /// If it is not welcome; it may be welcome with another session.
    pub fn come_back(
        &mut self,
        node: usize,
        token: &str,
        resume: &Resume,
    ) -> (ConnectionId, Welcome) {
        let id = self.open(node);
        self.hello(id, token, Some(resume.clone()));
        let welcome = self.welcome(id);
        (id, welcome)
    }

    /// Takes the welcome out of the inbox.
    ///
    /// # Panics
    ///
    /// If it does not come first.
    pub fn welcome(&mut self, id: ConnectionId) -> Welcome {
        let peer = self.peer_mut(id);
        assert!(!peer.inbox.is_empty(), "no welcome, closed: {:?}", peer.closed);
        let first = peer.inbox.remove(0);
        let ServerFrame::Welcome(welcome) = first else {
            panic!("a welcome comes first, not {first:?}");
        };
        welcome
    }

    /// A peer sends a message.
    pub fn message(
        &mut self,
        id: ConnectionId,
        serial: Option<u64>,
        channel: Option<Channel>,
        text: &str,
    ) {
        self.say(id, &ClientFrame::Message { serial, channel, payload: text.into() });
    }

    /// A peer subscribes.
    pub fn subscribe(&mut self, id: ConnectionId, channel: &Channel, since: Option<Position>) {
        let channel = channel.clone();
        self.say(id, &ClientFrame::Subscribe { channel, since, token: None, presence: None });
    }

    /// Subscribes a peer, with this presence text.
    pub fn be_seen(&mut self, id: ConnectionId, channel: &Channel, words: &str) {
        let (channel, presence) = (channel.clone(), Some(Text::from(words)));
        self.say(id, &ClientFrame::Subscribe { channel, since: None, token: None, presence });
    }

    /// A peer unsubscribes.
    pub fn unsubscribe(&mut self, id: ConnectionId, channel: &Channel) {
        self.say(id, &ClientFrame::Unsubscribe { channel: channel.clone() });
    }

    /// The application publishes a message through a node.
    pub fn publish(&mut self, node: usize, channel: &Channel, text: &str) {
        let stream = Stream::Channel(channel.clone());
        self.give(node, NodeInput::Publish { stream, message: text.into() });
    }

    /// A peer's connection ends. Also for one that the node has closed.
    pub fn hang_up(&mut self, id: ConnectionId, code: u16) {
        let peer = self.peer_mut(id);
        peer.is_open = false;
        let node = peer.node;
        self.give(node, NodeInput::Closed { id, code: CloseCode(code) });
    }

    // The frames that a peer received.

    /// Reads at most this many messages from the socket of a peer, and returns how many there were.
    pub fn read(&mut self, id: ConnectionId, most: usize) -> usize {
        let node = self.peer(id).node;
        let read = self.read_some(id, most);
        self.settle_node(node);
        read
    }

    fn read_some(&mut self, id: ConnectionId, most: usize) -> usize {
        let Self { nodes, peers, .. } = self;
        let Some(peer) = peers.get_mut(&id) else { return 0 };
        let Some(node) = &mut nodes[peer.node].node else { return 0 };
        let mut read = 0;
        while read < most {
            let Some(message) = node.poll_transmit(id) else { break };
            let (frame, encoding) = ServerFrame::decode(&message).expect("a frame");
            assert!(!peer.has_said_hello || encoding == peer.encoding, "that of the hello");
            peer.inbox.push(frame);
            read += 1;
        }
        read
    }

    pub(super) fn write_to_peer(&mut self, id: ConnectionId) {
        if self.peers.get(&id).is_some_and(|peer| peer.reads) {
            self.read_some(id, usize::MAX);
        }
    }

    pub(super) fn write_to_peers(&mut self) {
        let reading: Vec<ConnectionId> =
            self.peers.iter().filter(|(_, peer)| peer.reads).map(|(id, _)| *id).collect();
        for id in reading {
            if self.read(id, usize::MAX) > 0 {
                self.do_what_is_due();
            }
        }
    }

    pub(super) fn close_peer(&mut self, id: ConnectionId, frame: CloseFrame) {
        let peer = self.peer_mut(id);
        peer.is_open = false;
        if peer.closed.replace(frame).is_some() {
            E::broken(self, "a connection is closed twice".into());
        }
    }

    pub(super) fn ping_from_peers(&mut self) {
        let pinging = self.peers.iter().filter(|(_, peer)| peer.is_open && peer.pings);
        let pinging: Vec<(usize, ConnectionId)> =
            pinging.map(|(id, peer)| (peer.node, *id)).collect();
        for (node, id) in pinging {
            self.tell_node(node, NodeInput::Alive { id });
        }
    }

    /// Takes the frames that a peer has received.
    pub fn take(&mut self, id: ConnectionId) -> Vec<ServerFrame> {
        std::mem::take(&mut self.peer_mut(id).inbox)
    }

    /// The same, each in short.
    pub fn heard(&mut self, id: ConnectionId) -> Vec<String> {
        self.take(id).iter().map(in_words).collect()
    }

    /// The code that the node closed with.
    pub fn close_code(&self, id: ConnectionId) -> Option<u16> {
        self.peer(id).closed.as_ref().map(|frame| frame.code.0)
    }
}

fn in_words(frame: &ServerFrame) -> String {
    match frame {
        ServerFrame::Welcome(_) => "welcome".into(),
        ServerFrame::Ack { serial } => format!("ack {serial}"),
        ServerFrame::Rejected(rejection) => format!("rejected {}", rejection.serial),
        ServerFrame::Publication { channel, offset, payload } => {
            let own = if channel.is_none() { "own " } else { "" };
            format!("{own}{offset}: {}", payload.as_text().unwrap_or("(bytes)"))
        }
        ServerFrame::Withheld { channel, offset, problem } => {
            let own = if channel.is_none() { "own " } else { "" };
            format!("{own}{offset} withheld: {}", problem.name)
        }
        ServerFrame::Subscribed { position, recovered, .. } => {
            format!("subscribed {} {recovered}", position.offset)
        }
        ServerFrame::Unsubscribed { problem: None, .. } => "unsubscribed".into(),
        ServerFrame::Unsubscribed { problem: Some(problem), .. } => {
            format!("unsubscribed {}", problem.name)
        }
        ServerFrame::Members { members, more, .. } => {
            let names: Vec<&str> = members.iter().map(|member| member.user.as_str()).collect();
            format!("members {}{}", names.join(","), if *more { " …" } else { "" })
        }
        ServerFrame::MemberChanged { change: MemberChange::Joined(member), .. } => {
            format!("joined {}", member.user)
        }
        ServerFrame::MemberChanged { change: MemberChange::Left(member), .. } => {
            format!("left {}", member.user)
        }
        ServerFrame::HeartbeatAck { nonce, sent } => format!("heartbeat {nonce} {sent}"),
        ServerFrame::GoingAway { .. } => "going away".into(),
        ServerFrame::Error(problem) => format!("error {}", problem.name),
    }
}
