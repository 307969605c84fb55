//! deepstream's messages: as protobuf behind `/deepstream`, as JSON behind `/deepstream-json`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message as _;
use relink::{CloseCode, CloseFrame, Message};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The topics that relink uses.
pub(super) mod topic {
    pub(in super::super) const CONNECTION: i32 = 2;
    pub(in super::super) const AUTH: i32 = 3;
    pub(in super::super) const EVENT: i32 = 4;
}

/// Actions on a connection.
pub(super) mod connection {
    pub(in super::super) const PING: i32 = 2;
    pub(in super::super) const PONG: i32 = 3;
    pub(in super::super) const ACCEPT: i32 = 4;
    pub(in super::super) const CHALLENGE: i32 = 5;
    pub(in super::super) const REJECT: i32 = 6;
    pub(in super::super) const REDIRECT: i32 = 7;
    pub(in super::super) const AUTHENTICATION_TIMEOUT: i32 = 100;
}

/// Actions on a login.
pub(super) mod auth {
    pub(in super::super) const REQUEST: i32 = 2;
    pub(in super::super) const SUCCESSFUL: i32 = 3;
    pub(in super::super) const UNSUCCESSFUL: i32 = 4;
    pub(in super::super) const TOO_MANY: i32 = 100;
}

/// Actions on events.
pub(super) mod event {
    pub(in super::super) const EMIT: i32 = 2;
    pub(in super::super) const SUBSCRIBE: i32 = 3;
    pub(in super::super) const UNSUBSCRIBE: i32 = 4;
    pub(in super::super) const PERMISSION_ERROR: i32 = 103;
    pub(in super::super) const DENIED: i32 = 104;
    pub(in super::super) const MULTIPLE_SUBSCRIPTIONS: i32 = 106;
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Encoding {
    /// Length-delimited protobuf, for `/deepstream`: what deepstream's own client speaks.
    #[default]
    Protobuf,
    /// JSON text, for `/deepstream-json`.
    Json,
}

/// One message of any topic: the fields that relink writes or reads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_structs, reason = "as it goes over the wire")]
pub struct Packet {
    /// What it is about: 2 connection, 3 login, 4 events.
    pub topic: i32,
    /// The action.
    pub action: i32,
    /// JSON in a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The number that an answer repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The name of an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The names of several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The action that an error answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_action: Option<i32>,
    /// The address of a challenge or a redirect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Of a challenge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<String>,
    /// Of a challenge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk_version: Option<String>,
    /// Of a challenge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk_type: Option<String>,
    /// Whether it answers a request.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub is_ack: bool,
    /// Whether it is an error.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub is_error: bool,
}

impl Packet {
    /// A message with a topic and an action only.
    #[must_use]
    pub fn new(topic: i32, action: i32) -> Self {
        Self { topic, action, ..Self::default() }
    }

    /// The message as it is sent.
    #[must_use]
    pub fn encode(&self, encoding: Encoding) -> Message {
        match encoding {
            // It has text and numbers only, which always fit JSON.
            Encoding::Json => Message::from(serde_json::to_string(self).unwrap_or_default()),
            Encoding::Protobuf => {
                let message = match self.topic {
                    topic::CONNECTION => ConnectionMessage::from(self).encode_to_vec(),
                    topic::EVENT => EventMessage::from(self).encode_to_vec(),
                    _ => AuthMessage::from(self).encode_to_vec(),
                };
                let frame = Envelope { topic: Some(self.topic), message: Some(message.into()) };
                Message::from(Bytes::from(frame.encode_length_delimited_to_vec()))
            }
        }
    }

    /// Reads a message in the encoding of its kind: text is JSON, binary is protobuf. Of topics
    /// that relink does not use, only the topic is read.
    ///
    /// # Errors
    ///
    /// The close frame, if it is not a message of this protocol.
    pub fn decode(message: &Message) -> Result<Self, CloseFrame> {
        match message {
            Message::Text(text) => {
                let read: JsonPacket<'_> = serde_json::from_str(text.as_str()).map_err(|_| {
                    CloseFrame::new(CloseCode::UNSUPPORTED_DATA, "no message of deepstream's")
                })?;
                Ok(read.into())
            }
            Message::Binary(bytes) => Self::from_protobuf(bytes.clone()).map_err(|_| {
                CloseFrame::new(CloseCode::UNSUPPORTED_DATA, "no message of deepstream's")
            }),
        }
    }

    fn from_protobuf(bytes: Bytes) -> Result<Self, prost::DecodeError> {
        let Envelope { topic, message } = Envelope::decode_length_delimited(bytes)?;
        let (topic, message) = (topic.unwrap_or_default(), message.unwrap_or_default());
        Ok(match topic {
            topic::CONNECTION => ConnectionMessage::decode(message)?.into(),
            topic::AUTH => AuthMessage::decode(message)?.into(),
            topic::EVENT => EventMessage::decode(message)?.into(),
            _ => Self::new(topic, 0),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonPacket<'a> {
    topic: i32,
    #[serde(default)]
    action: i32,
    data: Option<String>,
    /// Servers send this if the data was published as a value.
    #[serde(borrow)]
    parsed_data: Option<&'a RawValue>,
    correlation_id: Option<String>,
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    original_action: Option<i32>,
    url: Option<String>,
    protocol_version: Option<String>,
    sdk_version: Option<String>,
    sdk_type: Option<String>,
    #[serde(default)]
    is_ack: bool,
    #[serde(default)]
    is_error: bool,
}

impl From<JsonPacket<'_>> for Packet {
    fn from(read: JsonPacket<'_>) -> Self {
        let data = read.data.or_else(|| read.parsed_data.map(|raw| raw.get().to_string()));
        Self {
            topic: read.topic,
            action: read.action,
            data,
            correlation_id: read.correlation_id,
            name: read.name,
            names: read.names,
            original_action: read.original_action,
            url: read.url,
            protocol_version: read.protocol_version,
            sdk_version: read.sdk_version,
            sdk_type: read.sdk_type,
            is_ack: read.is_ack,
            is_error: read.is_error,
        }
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Envelope {
    #[prost(int32, optional, tag = "2")]
    topic: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    message: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct ConnectionMessage {
    #[prost(int32, optional, tag = "1")]
    action: Option<i32>,
    #[prost(bool, optional, tag = "3")]
    is_error: Option<bool>,
    #[prost(string, optional, tag = "5")]
    url: Option<String>,
    #[prost(string, optional, tag = "6")]
    protocol_version: Option<String>,
    #[prost(string, optional, tag = "7")]
    sdk_version: Option<String>,
    #[prost(string, optional, tag = "8")]
    sdk_type: Option<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct AuthMessage {
    #[prost(int32, optional, tag = "1")]
    action: Option<i32>,
    #[prost(string, optional, tag = "2")]
    data: Option<String>,
    #[prost(bool, optional, tag = "3")]
    is_error: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct EventMessage {
    #[prost(int32, optional, tag = "1")]
    action: Option<i32>,
    #[prost(string, optional, tag = "2")]
    data: Option<String>,
    #[prost(string, optional, tag = "3")]
    correlation_id: Option<String>,
    #[prost(bool, optional, tag = "4")]
    is_error: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    is_ack: Option<bool>,
    #[prost(string, optional, tag = "6")]
    name: Option<String>,
    #[prost(string, repeated, tag = "7")]
    names: Vec<String>,
    #[prost(int32, optional, tag = "11")]
    original_action: Option<i32>,
}

fn flag(set: bool) -> Option<bool> {
    set.then_some(true)
}

impl From<&Packet> for ConnectionMessage {
    fn from(packet: &Packet) -> Self {
        Self {
            action: Some(packet.action),
            is_error: flag(packet.is_error),
            url: packet.url.clone(),
            protocol_version: packet.protocol_version.clone(),
            sdk_version: packet.sdk_version.clone(),
            sdk_type: packet.sdk_type.clone(),
        }
    }
}

impl From<ConnectionMessage> for Packet {
    fn from(message: ConnectionMessage) -> Self {
        Self {
            is_error: message.is_error(),
            url: message.url,
            protocol_version: message.protocol_version,
            sdk_version: message.sdk_version,
            sdk_type: message.sdk_type,
            ..Self::new(topic::CONNECTION, message.action.unwrap_or_default())
        }
    }
}

impl From<&Packet> for AuthMessage {
    fn from(packet: &Packet) -> Self {
        Self {
            action: Some(packet.action),
            data: packet.data.clone(),
            is_error: flag(packet.is_error),
        }
    }
}

impl From<AuthMessage> for Packet {
    fn from(message: AuthMessage) -> Self {
        let is_error = message.is_error();
        let action = message.action.unwrap_or_default();
        Self { is_error, data: message.data, ..Self::new(topic::AUTH, action) }
    }
}

impl From<&Packet> for EventMessage {
    fn from(packet: &Packet) -> Self {
        Self {
            action: Some(packet.action),
            data: packet.data.clone(),
            correlation_id: packet.correlation_id.clone(),
            is_error: flag(packet.is_error),
            is_ack: flag(packet.is_ack),
            name: packet.name.clone(),
            names: packet.names.clone(),
            original_action: packet.original_action,
        }
    }
}

impl From<EventMessage> for Packet {
    fn from(message: EventMessage) -> Self {
        Self {
            is_error: message.is_error(),
            is_ack: message.is_ack(),
            data: message.data,
            correlation_id: message.correlation_id,
            name: message.name,
            names: message.names,
            original_action: message.original_action,
            ..Self::new(topic::EVENT, message.action.unwrap_or_default())
        }
    }
}
