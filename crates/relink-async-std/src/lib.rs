#![cfg_attr(docsrs, feature(doc_cfg))]
//! WebSocket links that stay up, on async-std.
//!
//! async-std is discontinued by its authors, who point to smol; this crate serves applications that
//! are built on it.
//!
//! ```no_run
//! use relink_async_std::{Event, connect};
//!
//! # #[async_std::main]
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
//! configuration are documented in [`relink`].

/// The README, whose example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod runtime;

pub use relink_driver::application::*;
pub use runtime::{AsyncStd, Timer};

/// Configures a link on async-std.
pub type Builder = relink_driver::Builder<AsyncStd>;

/// A link that is polled by its owner, on async-std.
pub type Connection = relink_driver::Connection<AsyncStd>;

/// Starts a link to this address with default settings, in its own task.
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
    Builder::new(AsyncStd::new(), address)
}
