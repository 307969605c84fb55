//! The pieces that stand alone, each by its own rules. A name with a number fulfils that
//! requirement: `d05`, `s01`, `a05`, `m06` and `w18` are numbers of the systems that relink can
//! behave as, `i07` of what always holds.

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
