//! Metered's frames: JSON objects with a `type`.

use alloc::borrow::{Cow, ToOwned};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// A frame that a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the frames of a protocol that is fixed")]
pub enum ClientFrame {
    /// Subscribes to a channel and its presence.
    Subscribe {
        /// Which.
        channel: String,
        /// The number that the answer repeats.
        request: Option<String>,
    },
    /// Unsubscribes.
    Unsubscribe {
        /// Which.
        channel: String,
        /// The number that the answer repeats.
        request: Option<String>,
    },
    /// A message for a channel.
    Publish {
        /// Which.
        channel: String,
        /// JSON.
        data: String,
        /// The number that the answer repeats.
        request: Option<String>,
    },
    /// A message for one peer.
    Send {
        /// Which.
        to: String,
        /// JSON.
        data: String,
        /// The number that the answer repeats.
        request: Option<String>,
    },
    /// A heartbeat.
    Ping,
}

/// A frame that a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the frames of a protocol that is fixed")]
pub enum ServerFrame {
    /// The first frame: the token was accepted.
    Welcome {
        /// The server's id of the client.
        peer: String,
        /// When its token expires, in seconds since 1970; `None` if it does not.
        expires_at: Option<u64>,
        /// The server's time, likewise.
        server_time: u64,
        /// The longest message that it accepts.
        max_message_size: u64,
        /// The token's metadata, as JSON.
        metadata: Option<String>,
    },
    /// A request was carried out.
    Ack {
        /// Which.
        request: String,
    },
    /// A request was refused, or something else went wrong.
    Error {
        /// Which request, if it was one.
        request: Option<String>,
        /// A symbol.
        code: String,
        /// A text for display.
        message: Option<String>,
    },
    /// A message on a channel.
    Message {
        /// Which.
        channel: String,
        /// From whom.
        from: String,
        /// JSON.
        data: String,
    },
    /// A message from one peer to this one.
    Direct {
        /// From whom.
        from: String,
        /// JSON.
        data: String,
    },
    /// Members that joined or left a channel. The first one after a subscription has all members.
    Presence {
        /// Which.
        channel: String,
        /// Those who joined.
        joined: Vec<Peer>,
        /// Those who left.
        left: Vec<Peer>,
    },
    /// The server will close soon.
    GoingAway {
        /// When to come back, in milliseconds.
        retry_after_ms: u64,
    },
    /// The answer to a ping.
    Pong,
}

/// A member of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "as it goes over the wire")]
pub struct Peer {
    /// The server's id.
    pub id: String,
    /// Their token's metadata, as JSON.
    pub metadata: Option<String>,
}

/// A frame that cannot be read, as a symbol of the server's `error` frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(&'static str);

impl DecodeError {
    /// The symbol.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.0
    }
}

const MALFORMED: DecodeError = DecodeError("malformed_message");
const MISSING_DATA: DecodeError = DecodeError("missing_data");
const INVALID_CHANNEL: DecodeError = DecodeError("invalid_channel");
const INVALID_PEER: DecodeError = DecodeError("invalid_peer_id");

/// All fields of all frames.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_id: Option<String>,
    /// Present and null if the token does not expire.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    expires_at: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_message_size: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", deserialize_with = "json")]
    metadata: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", deserialize_with = "json")]
    data: Option<Cow<'a, RawValue>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    joined: Option<Vec<PeerFields<'a>>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    left: Option<Vec<PeerFields<'a>>>,
    /// Signed and with a fraction, if the server likes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    retry_after_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeerFields<'a> {
    peer_id: String,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "json")]
    metadata: Option<Cow<'a, RawValue>>,
}

/// A value that may be null, if the field is present.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::<u64>::deserialize(from).map(Some)
}

/// Any value, null too.
fn json<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'a, RawValue>>, D::Error> {
    <&RawValue>::deserialize(from).map(|value| Some(Cow::Borrowed(value)))
}

/// A whole number, or `None` for any other value.
fn lenient<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    <&RawValue>::deserialize(from).map(|value| value.get().parse().ok())
}

impl From<PeerFields<'_>> for Peer {
    fn from(fields: PeerFields<'_>) -> Self {
        Self { id: fields.peer_id, metadata: fields.metadata.map(|raw| raw.get().to_owned()) }
    }
}

impl From<&Peer> for PeerFields<'_> {
    fn from(peer: &Peer) -> Self {
        Self { peer_id: peer.id.clone(), metadata: peer.metadata.as_deref().and_then(raw) }
    }
}

/// JSON unchanged; `None` if it is not well-formed.
fn raw<'a>(json: &str) -> Option<Cow<'a, RawValue>> {
    let value: Result<Box<RawValue>, _> = serde_json::from_str(json);
    value.ok().map(Cow::Owned)
}

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, DecodeError> {
        serde_json::from_str(text).map_err(|_| MALFORMED)
    }

    fn of(kind: &'a str) -> Self {
        Self { kind: Cow::Borrowed(kind), ..Self::default() }
    }

    fn write(&self) -> String {
        // It has text, numbers and JSON only, which always fit JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn channel(&mut self) -> Result<String, DecodeError> {
        // At most as long as the server allows, and without control characters.
        let fits = |name: &String| {
            !name.is_empty() && name.chars().count() <= 256 && !name.chars().any(char::is_control)
        };
        self.channel.take().filter(fits).ok_or(INVALID_CHANNEL)
    }

    fn data(&mut self) -> Result<String, DecodeError> {
        self.data.take().map(|raw| raw.get().to_owned()).ok_or(MISSING_DATA)
    }
}

impl ClientFrame {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// If the message is not a frame of this protocol.
    pub fn decode(text: &str) -> Result<Self, DecodeError> {
        let mut fields = Fields::read(text)?;
        let request = fields.request_id.take();
        Ok(match &*fields.kind {
            "subscribe" => Self::Subscribe { channel: fields.channel()?, request },
            "unsubscribe" => Self::Unsubscribe { channel: fields.channel()?, request },
            "publish" => {
                Self::Publish { channel: fields.channel()?, data: fields.data()?, request }
            }
            "send" => {
                let to = fields.to.take().filter(|to| !to.is_empty()).ok_or(INVALID_PEER)?;
                Self::Send { to, data: fields.data()?, request }
            }
            "ping" => Self::Ping,
            _ => return Err(DecodeError("unknown_type")),
        })
    }

    /// The frame as it is sent.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Subscribe { channel, request } => Fields {
                channel: Some(channel.clone()),
                request_id: request.clone(),
                ..Fields::of("subscribe")
            },
            Self::Unsubscribe { channel, request } => Fields {
                channel: Some(channel.clone()),
                request_id: request.clone(),
                ..Fields::of("unsubscribe")
            },
            Self::Publish { channel, data, request } => Fields {
                channel: Some(channel.clone()),
                data: raw(data),
                request_id: request.clone(),
                ..Fields::of("publish")
            },
            Self::Send { to, data, request } => Fields {
                to: Some(to.clone()),
                data: raw(data),
                request_id: request.clone(),
                ..Fields::of("send")
            },
            Self::Ping => Fields::of("ping"),
        }
        .write()
    }
}

impl ServerFrame {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// If the message is not a frame of this protocol.
    pub fn decode(text: &str) -> Result<Self, DecodeError> {
        let mut fields = Fields::read(text)?;
        let peers = |peers: Option<Vec<PeerFields<'_>>>| {
            peers.unwrap_or_default().into_iter().map(Peer::from).collect()
        };
        Ok(match &*fields.kind {
            "welcome" => Self::Welcome {
                peer: fields.peer_id.ok_or(MALFORMED)?,
                expires_at: fields.expires_at.flatten(),
                server_time: fields.server_time.unwrap_or_default(),
                max_message_size: fields.max_message_size.unwrap_or(u64::MAX),
                metadata: fields.metadata.map(|raw| raw.get().to_owned()),
            },
            "ack" => Self::Ack { request: fields.request_id.ok_or(MALFORMED)? },
            "error" => Self::Error {
                request: fields.request_id,
                code: fields.code.ok_or(MALFORMED)?,
                message: fields.message,
            },
            "message" => Self::Message {
                channel: fields.channel()?,
                data: fields.data()?,
                from: fields.from.ok_or(MALFORMED)?,
            },
            "direct" => Self::Direct { data: fields.data()?, from: fields.from.ok_or(MALFORMED)? },
            "presence" => Self::Presence {
                channel: fields.channel()?,
                joined: peers(fields.joined),
                left: peers(fields.left),
            },
            // Without a valid hint, the server still goes away.
            "going_away" => {
                Self::GoingAway { retry_after_ms: fields.retry_after_ms.unwrap_or(1_000).max(1) }
            }
            "pong" => Self::Pong,
            _ => return Err(DecodeError("unknown_type")),
        })
    }

    /// The frame as it is sent.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Welcome { peer, expires_at, server_time, max_message_size, metadata } => Fields {
                peer_id: Some(peer.clone()),
                expires_at: Some(*expires_at),
                server_time: Some(*server_time),
                max_message_size: Some(*max_message_size),
                metadata: metadata.as_deref().and_then(raw),
                ..Fields::of("welcome")
            },
            Self::Ack { request } => {
                Fields { request_id: Some(request.clone()), ..Fields::of("ack") }
            }
            Self::Error { request, code, message } => Fields {
                request_id: request.clone(),
                code: Some(code.clone()),
                message: message.clone(),
                ..Fields::of("error")
            },
            Self::Message { channel, from, data } => Fields {
                channel: Some(channel.clone()),
                from: Some(from.clone()),
                data: raw(data),
                ..Fields::of("message")
            },
            Self::Direct { from, data } => {
                Fields { from: Some(from.clone()), data: raw(data), ..Fields::of("direct") }
            }
            Self::Presence { channel, joined, left } => Fields {
                channel: Some(channel.clone()),
                joined: Some(joined.iter().map(PeerFields::from).collect()),
                left: Some(left.iter().map(PeerFields::from).collect()),
                ..Fields::of("presence")
            },
            Self::GoingAway { retry_after_ms } => {
                Fields { retry_after_ms: Some(*retry_after_ms), ..Fields::of("going_away") }
            }
            Self::Pong => Fields::of("pong"),
        }
        .write()
    }
}
