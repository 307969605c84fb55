//! Five real systems, requirement by requirement: each test carries the number of what it proves,
//! and each number has its test. Everything happens in virtual time, on the system's profile.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail a test as the tests themselves do")]

mod agora_rtm;
mod deepstream;
mod fleet;
mod jitter;
mod managed_websocket;
mod managed_websocket_server;
mod matrix;
mod metered;
mod metered_peers;
mod metered_scenarios;
mod profiles;
mod serverpod;
mod support;
mod wires;
