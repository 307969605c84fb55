//! The client's half: heartbeats in JSON.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use alloc::vec::Vec;

use relink::protocol::{ClientFrame, ProtocolEvent};
use relink::session::Frame;
use relink::{CloseFrame, Instant, Message, Plain, Protocol};
use serde::{Deserialize, Serialize};

/// Heartbeats as JSON, and messages unchanged.
///
/// A heartbeat is `{"type":"heartbeat","timestamp":…,"connectionId":"…"}`, with the id from the
/// server's `connection_ack`. Neither that nor a `heartbeat_ack` is passed to the application.
#[derive(Debug, Clone, Default)]
pub struct ManagedWebSocket {
    /// Milliseconds from 1970 to the origin of the driver's time.
    origin: u64,
    connection: String,
}

/// A frame that is not a message of the application.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the listing has these three fields")]
#[serde(rename_all = "camelCase")]
pub struct Word<'a> {
    /// `heartbeat`, `heartbeat_ack` or `connection_ack`.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// The connection's id.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<Cow<'a, str>>,
}

impl Word<'_> {
    /// As JSON.
    #[must_use]
    pub fn encode(&self) -> Message {
        // It has text and numbers only, which always fit JSON.
        Message::from(serde_json::to_string(self).unwrap_or_default())
    }
}

impl ManagedWebSocket {
    /// With timestamps counted from 1970, given the milliseconds from then to the origin of the
    /// driver's time. Otherwise they count from that origin, which servers accept.
    #[must_use]
    pub const fn since(origin: u64) -> Self {
        Self { origin, connection: String::new() }
    }

    /// The id that the server gave this connection; empty before that.
    #[must_use]
    pub fn connection_id(&self) -> &str {
        &self.connection
    }
}

impl Protocol for ManagedWebSocket {
    fn opened(&mut self, _: &mut Vec<Frame>) {
        self.connection.clear();
    }

    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        let word: Option<Word<'_>> =
            message.as_text().and_then(|text| serde_json::from_str(text).ok());
        match word {
            Some(word) if word.kind == "heartbeat_ack" => events.push(ProtocolEvent::Pong(None)),
            Some(word) if word.kind == "connection_ack" => {
                word.connection_id.as_deref().unwrap_or_default().clone_into(&mut self.connection);
            }
            Some(_) | None => events.push(ProtocolEvent::Data(message)),
        }
    }

    fn closing(&mut self, frame: &CloseFrame, events: &mut Vec<ProtocolEvent>) {
        Plain::default().closing(frame, events);
    }

    fn send(&mut self, frame: ClientFrame, frames: &mut Vec<Frame>, now: Instant) {
        match frame {
            ClientFrame::Heartbeat { .. } => {
                let passed = u64::try_from(now.since_origin().as_millis()).unwrap_or(u64::MAX);
                let word = Word {
                    kind: Cow::Borrowed("heartbeat"),
                    timestamp: Some(self.origin.saturating_add(passed)),
                    connection_id: Some(Cow::Owned(self.connection.to_owned())),
                };
                frames.push(Frame::Message(word.encode()));
            }
            ClientFrame::Message { payload, .. } => frames.push(Frame::Message(payload)),
            ClientFrame::Hello { .. }
            | ClientFrame::Renew { .. }
            | ClientFrame::Subscribe { .. }
            | ClientFrame::Unsubscribe { .. } => {}
        }
    }
}
