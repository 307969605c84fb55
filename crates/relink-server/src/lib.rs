#![cfg_attr(docsrs, feature(doc_cfg))]
//! A server for links that stay up, on tokio: the other half of the subprotocol `relink.v1`.
//!
//! A client that loses its connection comes back, at this node or another one, and continues where
//! it was: what it sent takes effect once, what was published meanwhile follows, and the other
//! members do not notice. All decisions are made by [`relink_node::Node`], which does no IO; this
//! crate gives it sockets, time and a store.
//!
//! # Example: a room
//!
//! A chat server, and a client that writes frames by hand; applications use `relink-tokio`.
//!
//! ```
//! use futures_util::{SinkExt, StreamExt};
//! use relink::session::Problem;
//! use relink_server::{Server, User, relink};
//! use tokio::net::TcpListener;
//! use tokio_tungstenite::{connect_async, tungstenite::ClientRequestBuilder};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder()
//!     .authenticate(|token| async move {
//!         let name = token.map_or("guest".to_owned(), |token| token.expose().to_owned());
//!         Ok(User::from(name))
//!     })
//!     .on_message(|context, message| async move {
//!         let Some(room) = context.channel().cloned() else {
//!             return Err(Problem::new(Problem::NOT_HANDLED, "say it in a room"));
//!         };
//!         let said = format!("{}: {}", context.user(), message.as_text().unwrap_or("(bytes)"));
//!         context.publish(room, said.as_str()); // committed together with the message, once
//!         Ok(())
//!     })
//!     .build()?;
//! let relink = server.handle();
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let serving = tokio::spawn(server.serve(listener));
//!
//! let request = ClientRequestBuilder::new(format!("ws://{address}/").parse()?).with_sub_protocol("relink.v1");
//! let (mut client, _) = connect_async(request).await?;
//! for frame in [
//!     r#"{"type":"hello","token":"ada"}"#,
//!     r#"{"type":"subscribe","channel":"lobby"}"#,
//!     r#"{"type":"message","serial":1,"channel":"lobby","text":"hello"}"#,
//! ] {
//!     client.send(frame.into()).await?;
//! }
//! while let Some(frame) = client.next().await.transpose()? {
//!     if frame.to_text()?.contains("ada: hello") {
//!         break; // the publication, as everyone in the lobby gets it
//!     }
//! }
//! drop(client);
//!
//! relink.drain().await; // every client is told when to come back
//! serving.await??;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! * A message with a serial takes effect **once**: its effects, collected in a [`Context`], and
//!   its serial are committed to the [`History`] in one step, and only then acknowledged. A handler
//!   may run again if the store failed.
//! * Messages of a channel, and those sent to a session, arrive in order and without a gap, over
//!   any number of reconnects, as long as the history keeps them. If it does not, the client learns
//!   that there is a gap.
//! * A member who comes back within [`member_grace`](relink_node::NodeConfig::member_grace) never
//!   leaves.
//! * A slow client costs a bounded amount of memory: what is published stays in the store until
//!   there is room.
//!
//! [`ServerHandle::publish`] is the exception: it is at most once, as it is not repeated.
//!
//! # How often the application is called
//!
//! Each call holds the place of the connection that caused it (see [`AdmissionConfig`]) until it
//! returns, even if the connection is closed meanwhile. So all of them together are bounded,
//! however often a client reconnects.
//!
//! | call | at a time |
//! |---|---|
//! | [`on_request`](ServerBuilder::on_request), [`authenticate`](ServerBuilder::authenticate) in the handshake | one for a connection, for [`handshake_timeout`](ServerConfig::handshake_timeout) at most |
//! | [`authenticate`](ServerBuilder::authenticate) after `hello` and `renew` | one for a connection; of further tokens the latest waits |
//! | [`authorize`](ServerBuilder::authorize) | 16 for a connection; of further ones one waits for each channel |
//! | [`on_message`](ServerBuilder::on_message) | one for a session; [`max_unhandled`](relink_node::NodeConfig::max_unhandled) messages wait |
//! | [`History::answer`] for messages | one for a session |
//! | [`History::answer`] for subscriptions | those that readers wait for, the same for all of them asked once |
//!
//! # Threads
//!
//! A node is behind one lock that is held for microseconds; no code of the application runs under
//! it. Each connection is one task. A machine with many cores runs one node, or several that share
//! a history.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `axum` | `ServerHandle::route` and `Upgrade`: links inside an axum application |
//! | `redis` | `RedisHistory`: history that outlives a node and is shared by many |

/// The README, whose example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod admission;
mod builder;
mod clock;
mod config;
mod connection;
mod context;
mod handle;
mod handlers;
mod handshake;
mod history;
mod hub;
#[cfg(feature = "axum")]
mod mount;
mod server;
#[cfg(feature = "tracing")]
mod trace;
mod user;

pub use builder::{BuildError, ServerBuilder};
pub use config::ServerConfig;
pub use context::Context;
pub use handle::{NotPublished, ServerEvents, ServerHandle, ServerStats};
pub use history::{
    History, HistoryError, MemoryHistory, StoreEventReceiver, StoreEventSender, Watch, news,
};
#[cfg(feature = "redis")]
pub use history::{RedisConfig, RedisHistory};
#[cfg(feature = "axum")]
pub use mount::Upgrade;
#[doc(inline)]
pub use relink_node as node;
#[doc(no_inline)]
pub use relink_node::AdmissionConfig;
#[doc(inline)]
pub use relink_v1 as v1;
#[cfg(feature = "deflate")]
pub use relink_wire::DeflateConfig;
pub use server::Server;
pub use user::User;
pub use {http, relink};
