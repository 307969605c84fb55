//! The server on real sockets and on pipes, and the contract of a history, in memory and in Redis.

mod admission;
#[cfg(feature = "axum")]
mod axum;
mod client;
mod contract;
mod deflate;
#[cfg(unix)]
mod descriptors;
mod memory_history;
mod misbehaving;
mod protocol;
#[cfg(feature = "redis")]
mod redis_history;
#[cfg(feature = "redis")]
mod redis_nodes;
#[cfg(feature = "redis")]
mod redis_server;
mod rooms;
mod silence;
mod sizes;
