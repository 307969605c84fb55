//! A scripted WebSocket server, for tests of WebSocket clients.
//!
//! A client that stays connected is only as good as its bad days. [`Server`] stages them on
//! loopback: it accepts, refuses, closes with a code, resets, hangs up, answers garbage or goes
//! silent, each connection by its entry in the [`Script`], and it logs everything that happened.
//! Tests wait for events; they never sleep.
//!
//! ```
//! use std::time::Duration;
//!
//! use futures_util::{SinkExt, StreamExt};
//! use relink_testing::{Connection, EventKind, Script, Server};
//! use tokio_tungstenite::{connect_async, tungstenite::Message};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The first connection is told to go away, the second one is echoed for good.
//! let script = Script::new()
//!     .connection(Connection::new().expect_text("hello").close(1001, "deploy"))
//!     .connection(Connection::new());
//! let server = Server::start(script).await?;
//!
//! let (mut first, _) = connect_async(server.url()).await?;
//! first.send(Message::text("hello")).await?;
//! assert!(first.next().await.is_some_and(|frame| frame.is_ok_and(|frame| frame.is_close())));
//!
//! let (mut second, _) = connect_async(server.url()).await?;
//! second.send(Message::text("still there?")).await?;
//! assert_eq!(second.next().await.transpose()?, Some(Message::text("still there?")));
//!
//! // What the server saw: wait for it, with a limit.
//! let asked = EventKind::Text("still there?".into());
//! let events = server
//!     .wait_for(|events| events.iter().any(|event| event.kind == asked), Duration::from_secs(5))
//!     .await?;
//! assert!(events.iter().any(|event| event.kind == asked && event.connection == 2));
//! # Ok(())
//! # }
//! ```
//!
//! # Scripts as files
//!
//! The same in TOML, for `relink serve --script` and [`Script::from_toml`]; the table of steps is
//! at [`Script`]:
//!
//! ```
//! # fn main() -> Result<(), relink_testing::ScriptError> {
//! let script = relink_testing::Script::from_toml(r#"
//!     [[connection]]
//!     steps = [
//!         { do = "expect", text = "hello" },
//!         { do = "close", code = 1001, reason = "deploy" },
//!     ]
//!
//!     [[connection]]
//!     steps = []   # after the last step: echo until the peer leaves
//! "#)?;
//! # let _ = script;
//! # Ok(())
//! # }
//! ```
//!
//! # Faults of the network
//!
//! A script makes the faults of a server. Those of the network are made by [`proxy::Proxy`]:
//! silence in one direction or both, delays, low rates, resets and ends, also in the middle of a
//! frame, another server behind the same address. It works in front of any server that speaks TCP.
//!
//! [`ForwardProxy`] is the other kind of proxy: one that a client is configured with, and asks for
//! a tunnel by HTTP CONNECT or SOCKS5.
//!
//! A script can also trouble a server of your own: see [`Upstream`].
//!
//! # Where it runs
//!
//! [`Server::start`] runs on the tokio runtime it is called on. [`Server::spawn_thread`] starts a
//! thread with its own runtime, for tests on another runtime, on none, or on a paused tokio clock.
//! Everything a [`Server`] offers works from anywhere, its `async` functions on any runtime; the
//! two `_blocking` ones are for threads that may block.
//!
//! # Limits
//!
//! 1024 live connections (one more is reset at once), messages of at most 1 MiB, 10 s for a
//! handshake, 1 s for a peer to answer a close, and a log of 10 000 events or 16 MiB, whichever is
//! reached first (then the oldest are dropped).
//!
//! # Features
//!
//! `tls` (off): `wss://` with certificates made on the spot, see `TestCertificate`. It pulls in
//! `rcgen`, whose newest releases need Rust 1.88; without the feature Rust 1.85 is enough.
//!
//! `rig` (off): a link under test with waits for what happens to it, see `rig`.
//!
//! `conformance` (off): the suite that every driver of `relink` has to pass, also one of your own,
//! see `conformance`. It brings `tls` and `rig` along.
//!
//! `metered` (off): a server of Metered's realtime messaging, see `Metered`. Without this feature
//! and the last one this crate knows nothing of relink.

/// The README, whose example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod conduct;
#[cfg(feature = "conformance")]
pub mod conformance;
mod deflate;
mod event;
mod forward;
mod handshake;
mod log;
#[cfg(feature = "profiles")]
pub mod managed_websocket;
#[cfg(feature = "profiles")]
mod metered;
mod peer;
pub mod proxy;
mod reading;
#[cfg(feature = "rig")]
pub mod rig;
mod script;
mod serve;
mod server;
mod socket;
mod step;
#[cfg(feature = "tls")]
mod tls;
mod upstream;

pub use event::{EventKind, Request, ServerEvent};
pub use forward::{Forward, ForwardProxy, Tunnel};
pub use log::{Events, WaitError};
#[cfg(feature = "profiles")]
pub use metered::{Hub, Metered, Reply};
pub use script::{AfterLast, Connection, Refusal, Script, ScriptError};
pub use server::Server;
#[cfg(feature = "tls")]
pub use tls::{ClientIdentity, TestCertificate};
pub use upstream::Upstream;
