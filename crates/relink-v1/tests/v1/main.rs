//! The subprotocol `relink.v1`: its frames on the wire.

mod document;
mod golden;
mod limits;
mod malformed;
mod mutations;
mod round_trip;
