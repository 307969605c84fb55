//! The scripted server, the proxy and what they show, seen by a client that others wrote.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod common;
mod control;
mod handshake;
mod proxy;
mod script;
mod steps;
#[cfg(feature = "tls")]
mod tls;
mod upstream;
