//! A node, two nodes, and their store, with scripted clients in virtual time. A number in a test
//! name is that of the requirement or invariant that the test proves.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks the variants that it is about")]

mod demands;
mod ends;
mod faults;
mod handshake;
mod kicks;
mod members;
mod memory;
mod messages;
mod random;
mod reading;
mod renewal;
mod resume;
mod room;
mod sizes;
mod store;
mod streams;
mod support;
mod tokens;
