//! The server's half of `ManagedWebSocket`: who is connected, who is silent, what each message is.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use relink::{Channel, CloseCode, CloseFrame, ConfigError, Instant, Message};
use relink_node::{Liveness, LivenessConfig};
use relink_profiles::managed_websocket::Word;
use serde::de::IgnoredAny;

/// What a server does about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a heartbeat, a message, or neither")]
pub enum Received {
    /// It was a heartbeat: answer with this.
    Heartbeat(Message),
    /// It is for the application.
    Data(Message),
    /// It cannot be read: close this connection with this frame. The others are not concerned.
    Malformed(CloseFrame),
}

/// The connections of a server, each by a key: greets them, answers heartbeats, finds the silent
/// ones.
///
/// ```
/// use core::time::Duration;
/// use relink::Instant;
/// use relink_testing::managed_websocket::{ConnectionManager, Received};
/// use relink_node::LivenessConfig;
///
/// let at = |secs| Instant::from_origin(Duration::from_secs(secs));
/// let mut manager = ConnectionManager::new(LivenessConfig::default(), 0)?;
/// let hello = manager.connected(1, "srv-1", at(0));
/// assert_eq!(hello.as_text(), Some(r#"{"type":"connection_ack","timestamp":0,"connectionId":"srv-1"}"#));
///
/// let heartbeat = r#"{"type":"heartbeat","timestamp":5,"connectionId":"srv-1"}"#.into();
/// assert!(matches!(manager.received(&1, heartbeat, at(5)), Received::Heartbeat(_)));
///
/// // Every 10 s it looks; nothing came for 30 s at the fourth time.
/// let (silent, frame) = loop {
///     let now = manager.poll_timeout().expect("a connection is watched");
///     manager.handle_timeout(now);
///     if let Some(dead) = manager.poll_dead() {
///         assert_eq!(now, at(40));
///         break dead;
///     }
/// };
/// assert_eq!((silent, frame.code.0), (1, 4000));
/// # Ok::<(), relink::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConnectionManager<K> {
    origin: u64,
    liveness: Liveness<K>,
    connections: BTreeMap<K, Connection>,
}

/// What is known about one connection.
#[derive(Debug, Clone, Default)]
struct Connection {
    id: String,
    subscriptions: BTreeSet<Channel>,
}

impl<K: Ord + Clone> ConnectionManager<K> {
    /// Creates a server without connections; `origin` is the milliseconds from 1970 to the origin
    /// of the driver's time.
    ///
    /// # Errors
    ///
    /// The first field of the configuration that cannot work.
    pub fn new(config: LivenessConfig, origin: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { origin, liveness: Liveness::new(config), connections: BTreeMap::new() })
    }

    /// A client connected; returns the first message for it.
    #[must_use = "the client must be notified"]
    pub fn connected(&mut self, key: K, id: impl Into<String>, now: Instant) -> Message {
        let id = id.into();
        let word = Word {
            kind: Cow::Borrowed("connection_ack"),
            timestamp: Some(self.unix(now)),
            connection_id: Some(Cow::Owned(id.clone())),
        };
        self.liveness.watch(key.clone(), now);
        self.connections.insert(key, Connection { id, subscriptions: BTreeSet::new() });
        word.encode()
    }

    /// Sets how long this connection may be silent: for example 15 s for one that was suspended.
    pub fn allow_silence(&mut self, key: &K, silence: Duration, now: Instant) {
        if self.connections.contains_key(key) {
            self.liveness.watch_for(key.clone(), silence, now);
        }
    }

    /// A message arrived.
    pub fn received(&mut self, key: &K, message: Message, now: Instant) -> Received {
        self.liveness.heard(key, now);
        let text = message.as_text().unwrap_or_default();
        let is_heartbeat =
            serde_json::from_str(text).is_ok_and(|word: Word<'_>| word.kind == "heartbeat");
        if is_heartbeat {
            let word = Word {
                kind: Cow::Borrowed("heartbeat_ack"),
                timestamp: Some(self.unix(now)),
                connection_id: None,
            };
            return Received::Heartbeat(word.encode());
        }
        if serde_json::from_str::<IgnoredAny>(text).is_ok() {
            return Received::Data(message);
        }
        Received::Malformed(CloseFrame::new(CloseCode::UNSUPPORTED_DATA, "Invalid message format"))
    }

    /// Subscribes a connection to a channel, until it is gone.
    pub fn subscribe(&mut self, key: &K, channel: Channel) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.subscriptions.insert(channel);
        }
    }

    /// The subscribers of a channel.
    pub fn subscribers(&self, channel: &Channel) -> impl Iterator<Item = &K> {
        let wants =
            move |(_, connection): &(&K, &Connection)| connection.subscriptions.contains(channel);
        self.connections.iter().filter(wants).map(|(key, _)| key)
    }

    /// The id of a connection.
    #[must_use]
    pub fn id(&self, key: &K) -> Option<&str> {
        self.connections.get(key).map(|connection| connection.id.as_str())
    }

    /// The number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there are no connections.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Removes a connection and all its data.
    pub fn disconnected(&mut self, key: &K) {
        self.liveness.forget(key);
        self.connections.remove(key);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.liveness.poll_timeout()
    }

    /// Looks for connections that have been silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.liveness.handle_timeout(now);
    }

    /// The next connection that is dead, and what to close it with. It is forgotten.
    #[must_use]
    pub fn poll_dead(&mut self) -> Option<(K, CloseFrame)> {
        let key = self.liveness.poll_dead()?;
        self.disconnected(&key);
        Some((key, CloseFrame::new(CloseCode::HEARTBEAT_TIMEOUT, "Heartbeat timeout")))
    }

    /// Shuts down: returns and removes all connections, each to be closed with 1001.
    #[must_use = "the clients must be notified"]
    pub fn shutdown(&mut self) -> Vec<(K, CloseFrame)> {
        let frame = CloseFrame::new(CloseCode::GOING_AWAY, "Server shutting down");
        let all: Vec<K> = std::mem::take(&mut self.connections).into_keys().collect();
        all.into_iter()
            .map(|key| {
                self.liveness.forget(&key);
                (key, frame.clone())
            })
            .collect()
    }

    fn unix(&self, now: Instant) -> u64 {
        self.origin
            .saturating_add(u64::try_from(now.since_origin().as_millis()).unwrap_or(u64::MAX))
    }
}
