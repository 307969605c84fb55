//! The mesh in virtual time: members, signals and datagrams pass through a network that can lose
//! them.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks the events that it is about")]

mod layers;
mod network;
