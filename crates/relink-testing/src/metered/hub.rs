//! The server's half of Metered's protocol: peers, channels, and routing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use relink::Message;
use relink_profiles::metered::{ClientFrame, DecodeError, Peer, ServerFrame};

/// A frame for one of the connections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a frame and its destination")]
pub struct Reply<K> {
    /// For this connection.
    pub to: K,
    /// What to send it.
    pub frame: ServerFrame,
}

/// A server's peers and channels, each connection by a key. It opens nothing and keeps no time; who
/// may connect, and who is silent, is decided elsewhere ([`Admission`](relink_node::Admission),
/// [`Liveness`](relink_node::Liveness)).
///
/// ```
/// use relink_profiles::metered::{Peer, ServerFrame};
/// use relink_testing::Hub;
///
/// let mut hub = Hub::new(65_536);
/// let ada = Peer { id: "ada".into(), metadata: None };
/// assert!(matches!(hub.connected(1, ada, None, 0), ServerFrame::Welcome { .. }));
/// let replies = hub.received(&1, &r#"{"type":"subscribe","channel":"lobby","requestId":"1"}"#.into());
/// let said: Vec<_> = replies.iter().map(|reply| reply.frame.encode()).collect();
/// assert_eq!(said, [
///     r#"{"type":"ack","requestId":"1"}"#,
///     r#"{"type":"presence","channel":"lobby","joined":[{"peerId":"ada"}],"left":[]}"#,
/// ]);
/// ```
#[derive(Debug, Clone)]
pub struct Hub<K> {
    max_message_size: u64,
    peers: BTreeMap<K, Peer>,
    channels: BTreeMap<String, BTreeSet<K>>,
}

impl<K: Ord + Clone> Hub<K> {
    /// Creates a hub without connections. The wire refuses messages of more bytes than this.
    #[must_use]
    pub const fn new(max_message_size: u64) -> Self {
        Self { max_message_size, peers: BTreeMap::new(), channels: BTreeMap::new() }
    }

    /// A client connected, with a token that is valid until `expires_at`; times in seconds
    /// since 1970. Returns the first frame for it.
    #[must_use = "the client waits for it"]
    pub fn connected(
        &mut self,
        key: K,
        peer: Peer,
        expires_at: Option<u64>,
        server_time: u64,
    ) -> ServerFrame {
        let welcome = ServerFrame::Welcome {
            peer: peer.id.clone(),
            expires_at,
            server_time,
            max_message_size: self.max_message_size,
            metadata: peer.metadata.clone(),
        };
        self.peers.insert(key, peer);
        welcome
    }

    /// A message arrived; what it leads to, in order.
    #[must_use = "the clients wait for it"]
    pub fn received(&mut self, from: &K, message: &Message) -> Vec<Reply<K>> {
        let Some(peer) = self.peers.get(from).cloned() else { return Vec::new() };
        match message.as_text().map_or_else(|| ClientFrame::decode(""), ClientFrame::decode) {
            Ok(ClientFrame::Subscribe { channel, request }) => {
                let mut replies = ack(from, request);
                let members = self.channels.entry(channel.clone()).or_default();
                let is_new = members.insert(from.clone());
                let everybody =
                    members.iter().filter_map(|key| self.peers.get(key)).cloned().collect();
                let all = presence(&channel, everybody, Vec::new());
                replies.push(Reply { to: from.clone(), frame: all });
                if is_new {
                    replies.extend(self.tell(
                        &channel,
                        Some(from),
                        &presence(&channel, [peer].into(), Vec::new()),
                    ));
                }
                replies
            }
            Ok(ClientFrame::Unsubscribe { channel, request }) => {
                let mut replies = ack(from, request);
                replies.extend(self.leave(from, &channel, &peer));
                replies
            }
            Ok(ClientFrame::Publish { channel, data, request }) => {
                let frame = ServerFrame::Message { channel: channel.clone(), from: peer.id, data };
                let mut replies = ack(from, request);
                replies.extend(self.tell(&channel, None, &frame));
                replies
            }
            Ok(ClientFrame::Send { to, data, request }) => {
                let found =
                    self.peers.iter().find(|(_, peer)| peer.id == to).map(|(key, _)| key.clone());
                let Some(to) = found else { return refuse(from, request, "peer_not_found") };
                let mut replies = ack(from, request);
                replies.push(Reply { to, frame: ServerFrame::Direct { from: peer.id, data } });
                replies
            }
            Ok(ClientFrame::Ping) => [Reply { to: from.clone(), frame: ServerFrame::Pong }].into(),
            Err(malformed) => refuse(from, None, DecodeError::code(malformed)),
        }
    }

    /// Removes a connection; returns the frames for the others.
    #[must_use = "the others must be notified"]
    pub fn disconnected(&mut self, key: &K) -> Vec<Reply<K>> {
        let Some(peer) = self.peers.remove(key) else { return Vec::new() };
        let channels: Vec<String> = self.channels.keys().cloned().collect();
        channels.iter().flat_map(|channel| self.leave(key, channel, &peer)).collect()
    }

    /// The frame for a connection when the server shuts down; close it with 1001 after that.
    #[must_use = "the client must be notified"]
    pub fn going_away(retry_after: Duration) -> ServerFrame {
        let retry_after_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        ServerFrame::GoingAway { retry_after_ms }
    }

    /// All connections.
    pub fn connections(&self) -> impl Iterator<Item = (&K, &Peer)> {
        self.peers.iter()
    }

    fn leave(&mut self, key: &K, channel: &str, peer: &Peer) -> Vec<Reply<K>> {
        let Some(members) = self.channels.get_mut(channel) else { return Vec::new() };
        if !members.remove(key) {
            return Vec::new();
        }
        if members.is_empty() {
            self.channels.remove(channel);
            return Vec::new();
        }
        self.tell(channel, None, &presence(channel, Vec::new(), [peer.clone()].into()))
    }

    fn tell(&self, channel: &str, but: Option<&K>, frame: &ServerFrame) -> Vec<Reply<K>> {
        let members = self.channels.get(channel).into_iter().flatten();
        let others = members.filter(|key| Some(*key) != but);
        others.map(|key| Reply { to: key.clone(), frame: frame.clone() }).collect()
    }
}

fn presence(channel: &str, joined: Vec<Peer>, left: Vec<Peer>) -> ServerFrame {
    ServerFrame::Presence { channel: channel.into(), joined, left }
}

fn ack<K: Clone>(to: &K, request: Option<String>) -> Vec<Reply<K>> {
    request
        .map(|request| Reply { to: to.clone(), frame: ServerFrame::Ack { request } })
        .into_iter()
        .collect()
}

fn refuse<K: Clone>(to: &K, request: Option<String>, code: &str) -> Vec<Reply<K>> {
    let frame = ServerFrame::Error { request, code: code.into(), message: None };
    [Reply { to: to.clone(), frame }].into()
}
