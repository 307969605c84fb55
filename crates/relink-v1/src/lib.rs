#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//! `relink.v1`: a small subprotocol with acknowledgements, resume, subscriptions and presence.
//! `docs/protocol.md` specifies it for other implementations.

/// The README, whose example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

extern crate alloc;
#[cfg(test)]
extern crate std;

mod client;
mod codec;
pub mod limits;

pub use client::{RelinkV1, adapt, config};
pub use codec::{Codec, DecodeError, Encoding};
pub use relink::protocol::{ClientFrame, ServerFrame, Welcome};

/// The name of the subprotocol, as client and server agree on it in the WebSocket handshake.
pub const SUBPROTOCOL: &str = "relink.v1";
