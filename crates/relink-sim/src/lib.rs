//! A deterministic simulator for links: virtual time, a scripted peer, and a transcript.
//!
//! No socket, no clock, no waiting: an hour of outage passes in a moment, and the same seed gives
//! the same hour every time. A scenario reads like a story:
//!
//! ```
//! use relink::LinkConfig;
//! use relink_sim::{Sim, secs};
//!
//! let mut sim = Sim::new(LinkConfig::default());
//! sim.to_connected();
//! sim.peer().silence(); // the cable is cut: no byte arrives any more, and nobody says so
//! sim.advance(secs(41)); // a ping after 30 s, no answer for 10 s, and up to 1 s until the next attempt
//! sim.expect([
//!     "dial ws://peer",
//!     "connected",
//!     "ping",
//!     "drop, saying 4000",
//!     "lost (1006): the heartbeat went unanswered",
//!     "dial ws://peer",
//!     "connected again",
//! ]);
//! ```
//!
//! A policy of your own is tested in the same way: here, that after a server's *too many
//! connections* the client waits for a minute, which no hint shortens.
//!
//! ```
//! use relink::{ClosePolicy, LinkConfig, State, Verdict};
//! use relink::link::Hint;
//! use relink_sim::{Sim, secs};
//!
//! let mut policy = ClosePolicy::default();
//! policy.set_close(4010..=4010, Verdict::RetrySlow { floor: secs(60) })?;
//!
//! let mut sim = Sim::new(LinkConfig::default().with_close_policy(policy));
//! sim.to_connected();
//! sim.peer().close(4010);
//! sim.advance(secs(59));
//! sim.hint(Hint::Online);
//! assert_eq!(sim.dials().len(), 1);
//! sim.advance(secs(1));
//! assert_eq!(sim.state(), State::Connected);
//! # Ok::<(), relink::ConfigError>(())
//! ```
//!
//! With the feature `v1` there is a second world, for both halves of `relink.v1`: see `Cluster`.
//!
//! Every scenario proves more than it asserts. Whatever it does, [`Sim`] checks that there is one
//! transport at a time, that a handled deadline is followed by a later one or by none, that nothing
//! is told after the end, and that no deadline outlives it.

/// The README, whose example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(feature = "v1")]
pub mod cluster;
pub mod fuzz;
pub mod model;
pub mod stimulus;
#[cfg(feature = "proptest")]
pub mod strategy;
pub mod trial;
#[cfg(feature = "v1")]
pub mod world;

mod apply;
mod peer;
mod scenario;
mod sim;
mod speak;
mod transcript;
#[cfg(feature = "v1")]
pub mod v1;

#[cfg(feature = "v1")]
pub use cluster::Cluster;
pub use peer::{Addresses, OnDial, Peer, Tokens};
pub use sim::{Dial, Sim, millis, secs};
pub use speak::{Direct, Speak};
