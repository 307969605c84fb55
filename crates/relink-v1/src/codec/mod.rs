//! Frames as messages, and messages as frames: JSON in text messages, CBOR (RFC 8949) in binary
//! ones.
//!
//! Each frame is described once in each direction: as a [`record`] of named values that either
//! encoding writes, and from [`fields`] that either encoding has found. The rest is about one
//! encoding only.
//!
//! * JSON is read by `serde_json`, in two steps: the fields' raw text first, then what the frame
//!   needs of it, with a name for what is wrong. Raw text comes from its non-recursive scanner, so
//!   that depth costs nothing.
//! * CBOR is written and its values are read by `minicbor`: it knows no reflection, allocates
//!   nothing of its own, and needs nothing but an allocator. What is well-formed is decided in
//!   [`extent`], as minicbor's `skip` takes breaks where none belong. `ciborium` would have been
//!   the alternative through serde; it reads whole values into a tree of its own, and integers as
//!   keys need a tree.

mod cbor;
mod client;
mod extent;
mod fields;
mod json;
mod length;
mod malformed;
mod names;
mod parts;
mod record;
mod server;

pub use malformed::DecodeError;

/// How a frame is written. The opcode of the message tells it; a server answers in the encoding of
/// the hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a WebSocket has two kinds of data")]
pub enum Encoding {
    /// A JSON object in a text message.
    Json,
    /// A CBOR map in a binary message.
    Cbor,
}
