#![cfg_attr(docsrs, feature(doc_cfg))]
//! WebSocket links that stay up, on tokio.
//!
//! ```no_run
//! use relink_tokio::{Event, connect};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (client, mut events) = connect("wss://example.org/feed")?;
//! client.send("hello").await?;
//! while let Some(event) = events.recv().await {
//!     match event {
//!         Event::Message(message) => println!("{}", message.as_text().unwrap_or_default()),
//!         Event::Disconnected { retry_in: Some(wait), .. } => println!("lost; dialing again in {wait:?}"),
//!         Event::Closed { reason } => println!("{reason}: {}", reason.advice()),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`connect`] spawns the link into its own task and returns a [`Client`] and its [`Events`];
//! [`Builder`] does the same with a configuration, headers, a token provider, TLS and more, and can
//! create a [`Connection`] instead, which needs no task. The behavior of a link and its
//! configuration are documented in [`relink`]; the [`guide`] answers one question a page.

#[cfg(any(doc, doctest))]
pub mod guide;
mod runtime;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// The README, whose example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

/// The README of the project, whose examples are tests of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod project {}

pub use relink_driver::application::*;
pub use runtime::{Timer, Tokio};

/// Configures a link on tokio.
pub type Builder = relink_driver::Builder<Tokio>;

/// A link that is polled by its owner, on tokio.
pub type Connection = relink_driver::Connection<Tokio>;

/// Starts a link to this address with default settings, in its own task. Call it inside a runtime.
///
/// # Errors
///
/// If the URL is not a WebSocket URL, or it is `wss` and no certificate authority is known.
pub fn connect(address: impl IntoRequest) -> Result<(Client, Events), BuildError> {
    builder(address).spawn()
}

/// Creates a builder for a link to this address.
#[must_use]
pub fn builder(address: impl IntoRequest) -> Builder {
    Builder::new(Tokio::new(), address)
}

/// Adapts a tokio stream for a connector: a Unix socket, a proxy's tunnel, a pipe in memory.
///
/// ```
/// use relink_tokio::{builder, from_tokio};
/// use tokio::net::UnixStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let builder = builder("ws://service.internal/feed")
///     .connector(|_target| async { UnixStream::connect("/run/service.sock").await.map(from_tokio) });
/// # drop(builder);
/// # }
/// ```
pub fn from_tokio<S: AsyncRead + AsyncWrite>(stream: S) -> Compat<S> {
    stream.compat()
}
