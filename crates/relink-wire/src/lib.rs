#![cfg_attr(docsrs, feature(doc_cfg))]
//! WebSocket over memory (RFC 6455), both roles, without IO: bytes in, frames out; frames in, bytes
//! out.
//!
//! Nothing here names a socket, a runtime or a clock. A program reads its socket into an [`Input`],
//! asks for frames, and writes what stands in an [`Output`], whether it waits for the socket in a
//! thread, in a future, in an event loop or in an interrupt.
//!
//! ```
//! use relink_wire::{Frame, Limits, Role, WebSocket};
//!
//! // Two ends, after their handshake. In between there would be a network.
//! let mut client = WebSocket::new(Role::Client, Limits::default());
//! let mut server = WebSocket::new(Role::Server, Limits::default());
//!
//! client.send(&Frame::text("hello"))?;
//! server.input().extend(client.output().bytes());
//! assert_eq!(server.poll_frame()?, Some(Frame::text("hello")));
//! assert_eq!(server.poll_frame()?, None); // until more bytes come
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The loop
//!
//! A client over a blocking socket, from the handshake to the end:
//!
//! ```
//! use std::io::{self, Read, Write};
//!
//! use relink_wire::{ClientHandshake, Error, Frame, Input, Limits, Output};
//!
//! fn read(socket: &mut impl Read, input: &mut Input) -> io::Result<()> {
//!     match socket.read(input.spare(4096))? {
//!         0 => input.end(),
//!         count => input.filled(count),
//!     }
//!     Ok(())
//! }
//!
//! fn write(socket: &mut impl Write, output: &mut Output) -> io::Result<()> {
//!     socket.write_all(output.bytes())?;
//!     output.wrote(output.len());
//!     Ok(())
//! }
//!
//! /// Says hello, and returns all that was said until the server closed.
//! fn talk(
//!     mut socket: impl Read + Write,
//!     request: &http::Request<()>,
//! ) -> Result<Vec<Frame>, Box<dyn std::error::Error>> {
//!     let mut handshake = ClientHandshake::new(request)?;
//!     write(&mut socket, handshake.output())?;
//!     let answer = loop {
//!         read(&mut socket, handshake.input())?;
//!         if let Some(answer) = handshake.poll_answer()? {
//!             break answer;
//!         }
//!     };
//!     handshake.check(&answer)?;
//!     let mut websocket = handshake.into_websocket(Limits::default());
//!
//!     let mut heard = Vec::new();
//!     websocket.send(&Frame::text("hello"))?;
//!     loop {
//!         // Pings and close frames are answered already; the answers stand in the output.
//!         match websocket.poll_frame() {
//!             Ok(Some(frame)) => heard.push(frame),
//!             Ok(None) => {
//!                 write(&mut socket, websocket.output())?;
//!                 read(&mut socket, websocket.input())?;
//!             }
//!             Err(Error::Ended) => return Ok(heard),
//!             Err(error) => return Err(error.into()), // and close with `error.close_code()`
//!         }
//!     }
//! }
//! # let request = http::Request::get("ws://example.org/").body(()).unwrap();
//! # assert!(talk(std::io::Cursor::new(vec![]), &request).is_err());
//! ```
//!
//! # What it promises
//!
//! * **No copies but those that must be.** The socket is read into the memory that messages are
//!   slices of; memory is used again when they are gone. A message in several frames is joined, and
//!   one that a client sends is masked while it is put into the output; each is one copy.
//! * **Bounded memory.** [`Limits`] hold for frames and messages, and are checked at the header. A
//!   header alone takes no memory, whatever it announces. What the application has to bound is
//!   the output: stop reading while the peer does not read its pongs.
//! * **Errors as early as they can be known.** Text fails at its first byte that is not UTF-8, in
//!   whatever pieces it comes. Each [`Error`] has the code to close with.
//! * **A peer's close code is the peer's own**, also if it was registered after RFC 6455 (1012 to
//!   1014), or if the reason beside it is not UTF-8.
//! * **No panic and no unsafe code**, on any input. A million streams, broken in all ways, are read
//!   as tungstenite reads them, and in any chunks.
//!
//! It is not a client or a server: no connections, no TLS, no timeouts. [`relink-tokio`] is a
//! client that stays up, and [`relink-server`] its server.
//!
//! # Compression
//!
//! With the feature `deflate`, messages are compressed if both ends want it (RFC 7692): see
//! `DeflateConfig`. It is off unless it is configured. A message that grows beyond the limits as it
//! is decompressed is too large like any other; one that grows beyond its limit in relation to what
//! was sent is a bomb.
//!
//! From tungstenite it has the arithmetic of the handshake and the writing of headers.
//!
//! [`relink-tokio`]: https://docs.rs/relink-tokio
//! [`relink-server`]: https://docs.rs/relink-server

/// The README, whose example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod client;
#[cfg(feature = "deflate")]
mod deflate;
mod error;
mod frame;
mod head;
mod header;
mod input;
mod mask;
mod output;
mod reader;
mod server;
mod websocket;

pub use client::{ClientHandshake, HandshakeError, InvalidRequest};
#[cfg(feature = "deflate")]
pub use deflate::{Deflate, DeflateConfig};
pub use error::{Error, ProtocolError, SendError};
pub use frame::{CloseFrame, Frame, Limits, Text};
pub use head::list as header_list;
pub use input::Input;
pub use output::Output;
pub use server::{RequestError, ServerHandshake};
pub use websocket::{Role, WebSocket};
