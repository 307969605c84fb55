#![cfg_attr(docsrs, feature(doc_cfg))]
//! What every async runtime shares to drive a [`relink`] session.
//!
//! Applications use a driver crate (`relink-tokio`, `relink-async-std`), which is this crate and a
//! [`Runtime`]: four functions to connect, tell the time, sleep and spawn. All decisions are in
//! [`relink`]; everything that touches the network is here, and decides nothing:
//!
//! * [`Wire`]: the WebSocket protocol over memory, by [`relink_wire`];
//! * [`Driver`]: a session over a wire, for any event loop, without IO;
//! * the engine: a poll function that dials, moves bytes and sleeps, as the driver directs;
//! * [`Connection`]: the engine polled by its owner, as a `Stream` and a `Sink`;
//! * [`Client`] and [`Events`]: the engine in a task of its own, with handles to it.

/// The README, whose example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub mod application;
mod builder;
mod channel_tokens;
mod client;
mod client_cell;
mod client_sink;
mod clock;
mod connection;
mod cookies;
mod dial;
mod driver;
mod engine;
mod events;
mod fetch;
mod handle_state;
mod happy_eyeballs;
mod inbox;
mod line;
mod local;
mod lookup;
mod preset;
mod proxy;
mod request;
mod retry_after;
mod runtime;
mod stream;
mod suspend;
#[cfg(feature = "tls")]
pub mod tls;
mod trace;
mod watch;
mod wire;

pub use builder::{BuildError, Builder};
pub use client::{Client, CloseSummary, ClosedError};
pub use client_cell::ClientCell;
pub use client_sink::ClientSink;
pub use clock::{StdClock, Suspension};
pub use connection::Connection;
pub use driver::{Driver, ReadBuffer, WriteBuffer};
pub use events::{Events, Messages};
pub use fetch::AddressRequest;
pub use inbox::InboxLimits;
pub use local::Local;
pub use relink::policy::TokenPlacement;
pub use relink::session::InvalidUrl;
#[cfg(feature = "deflate")]
pub use relink_wire::DeflateConfig;
pub use request::{IntoRequest, Target};
pub use runtime::{ConnectError, Runtime, Sleep};
pub use stream::{BoxStream, ByteStream};
pub use watch::StateWatch;
pub use wire::{Wire, WireError, WireEvent, WireLimits};

#[cfg(feature = "tls")]
pub use rustls;
/// The guide for authors of drivers, whose snippets are tests of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/driver-guide.md")]
mod guide {}

#[cfg(feature = "v1")]
#[doc(inline)]
pub use relink_v1 as v1;
pub use {http, relink, relink_wire};
