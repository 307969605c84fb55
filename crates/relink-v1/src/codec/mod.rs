//! Frames as messages, and messages as frames: JSON in text messages, CBOR (RFC 8949) in binary
//! ones.
//!
//! Each frame is described once in each direction: as a [`record`] of named values, written in
//! either encoding, and from [`fields`] found in either encoding. The rest is about one encoding
//! only.
//!
//! * JSON is read by `serde_json`, in two steps: the fields' raw text first, then the values that
//!   the frame needs, with a precise error for each. Raw text comes from its non-recursive scanner,
//!   so that depth costs nothing.
//! * CBOR is read in one pass, [`item`] by item, which also decides whether it is well-formed, and
//!   written head by head. Libraries do less or more: `minicbor`'s `skip` accepts misplaced breaks
//!   and finds only the end, and `ciborium` reads whole values into a tree, which integers as keys
//!   need.

mod cbor;
mod client;
mod fields;
mod item;
mod json;
mod length;
mod malformed;
mod names;
mod parts;
mod record;
mod server;

use relink::Message;

pub use malformed::DecodeError;

/// How a frame is written. The opcode of the message shows it; a server answers in the encoding of
/// the hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a WebSocket has two kinds of data")]
pub enum Encoding {
    /// A JSON object in a text message.
    Json,
    /// A CBOR map in a binary message.
    Cbor,
}

/// Frames as messages, and messages as frames: implemented for
/// [`ClientFrame`](relink::protocol::ClientFrame) and
/// [`ServerFrame`](relink::protocol::ServerFrame), which are the frames of `relink.v1`.
///
/// ```
/// use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame};
///
/// let frame = ClientFrame::Heartbeat { nonce: 7, sent: 2 };
/// let message = frame.encode(Encoding::Json);
/// assert_eq!(message.as_text(), Some(r#"{"type":"heartbeat","nonce":7,"sent":2}"#));
/// assert_eq!(ClientFrame::decode(&message), Ok((frame, Encoding::Json)));
///
/// let frame = ServerFrame::Ack { serial: 7 };
/// let message = frame.encode(Encoding::Cbor);
/// assert_eq!(message.as_bytes(), [0xa2, 0, 8, 1, 7]);
/// assert_eq!(ServerFrame::decode(&message), Ok((frame, Encoding::Cbor)));
/// ```
pub trait Codec: Sized {
    /// The frame as a message. Checks no [`limits`](crate::limits), as the peer does, but cuts the
    /// detail of a problem to what is allowed. A duration is rounded up to the millisecond.
    #[must_use]
    fn encode(&self, encoding: Encoding) -> Message;

    /// The length of the encoded frame, without encoding it.
    #[must_use]
    fn encoded_len(&self, encoding: Encoding) -> usize;

    /// The frame in a message, and its encoding. Fields that this version does not know are
    /// ignored.
    ///
    /// Needs memory in proportion to the message, whatever its content. A payload shares the
    /// message's memory.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] with 1007 for what is not well-formed JSON or CBOR, and with 1003 for what
    /// is and is no frame of this side: another type, a field that is missing, of another kind or
    /// there twice, and a limit that is exceeded.
    fn decode(message: &Message) -> Result<(Self, Encoding), DecodeError>;
}
