//! The parts of the core, each alone. A number in a test name is that of the requirement (`d05`,
//! `s01`, `a05`, `m06`, `w18`) or invariant (`i07`) that the test proves.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks the variants that it is about")]

mod backoff;
mod budget;
mod choices;
mod config;
mod config_server;
#[cfg(feature = "serde")]
mod config_text;
mod credentials;
mod detail;
mod heartbeat;
mod outbox;
mod policy;
mod roster;
mod route;
mod stats;
mod status_view;
mod subscriptions;
mod support;
