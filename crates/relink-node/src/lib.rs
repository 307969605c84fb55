#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//! The server's half of a link, as state machines without IO.
//!
//! | machine | answers |
//! |---|---|
//! | [`Liveness`] | which connections have been silent for too long |
//! | [`Admission`] | may this address, may this user, connect now; if not, when |
//! | [`Drain`] | when each client should come back while a node shuts down |
//! | [`MemoryStore`] | what a store is asked: streams, sessions, members |
//! | `Node` | all of it together, for `relink.v1`; needs the feature `v1` |
//!
//! ```text
//!        sockets                          the application
//!  messages │  ▲ messages, close           ▲ identify?  authorize?  handle!
//!  ┌────────▼──┴───────────────────────────┴───────────────────────────────┐
//!  │ Node      handshake · serials and acks · readers of streams · members  │
//!  └────────▲──┬────────────────────────────────────────────────────────────┘
//!  answers, │  ▼ questions
//!  news     a store, shared by all nodes: MemoryStore, or one that outlives a process
//! ```
//!
//! A node makes decisions, but has no durable state: sessions, histories and members are in the
//! store, which takes [`StoreRequest`]s and emits [`StoreEvent`]s. So a client that loses its node
//! continues at another one, and an outdated node can do no harm: each resume begins a new
//! generation of the session, and the store refuses requests of an earlier one.
//!
//! # Example: a chat in one process
//!
//! The driver here is a function without sockets. Every message to a channel is published there.
//!
//! ```
//! use relink_node::{
//!     ConnectionId, Full, HistoryConfig, MemoryStore, Node, NodeAction, NodeConfig, NodeInput, Stream,
//! };
//! use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame};
//! use relink::Instant;
//! use relink::session::Problem;
//! # use relink::rand_core::SeedableRng;
//! # let rng = rand_pcg::Pcg32::seed_from_u64(1); // in earnest: the system's, since session ids are secrets
//! let mut node = Node::new(NodeConfig::default(), rng)?;
//! let mut store = MemoryStore::new(HistoryConfig::default(), 42)?;
//! let now = Instant::ORIGIN;
//!
//! let mut drive = |node: &mut Node<_>, input| {
//!     node.handle(input, now);
//!     loop {
//!         if let Some(action) = node.poll_action() {
//!             let answer = match action {
//!                 NodeAction::Identify { id, token } => {
//!                     let user = token.map(|token| token.expose().to_owned()).unwrap_or_default();
//!                     NodeInput::Identified { id, result: Ok(user) }
//!                 }
//!                 NodeAction::Authorize { request, .. } => NodeInput::Authorized { request, result: Ok(()) },
//!                 NodeAction::Handle { handling, channel, message, .. } => {
//!                     let problem = || Problem::new(Problem::NOT_HANDLED, "say it in a channel");
//!                     let to = channel.map(Stream::Channel).ok_or_else(problem);
//!                     NodeInput::Handled { handling, result: to.map(|stream| vec![(stream, message)]) }
//!                 }
//!                 NodeAction::Ask { question, what } => {
//!                     NodeInput::Answered { question, answer: Ok(store.answer(what, now)) }
//!                 }
//!                 NodeAction::Watch { stream } => { store.watch(stream); continue }
//!                 NodeAction::Unwatch { stream } => { store.unwatch(&stream); continue }
//!                 _ => continue, // sockets: Ready, Close; and events
//!             };
//!             node.handle(answer, now);
//!         } else if let Some(news) = store.poll_news() {
//!             node.handle(NodeInput::StoreEvent(news), now);
//!         } else {
//!             return;
//!         }
//!     }
//! };
//!
//! let id = ConnectionId(1);
//! drive(&mut node, NodeInput::Opened { id, user: None });
//! for frame in [
//!     ClientFrame::Hello { token: Some("ada".into()), resume: None, max_message: None },
//!     ClientFrame::Subscribe { channel: "lobby".into(), since: None, token: None, presence: None },
//!     ClientFrame::Message { serial: Some(1), channel: Some("lobby".into()), payload: "hello".into() },
//! ] {
//!     drive(&mut node, NodeInput::Message { id, message: frame.encode(Encoding::Json) });
//! }
//!
//! let mut said = Vec::new();
//! while let Some(message) = node.poll_transmit(id) {
//!     said.push(ServerFrame::decode(&message)?.0);
//! }
//! assert!(matches!(&said[0], ServerFrame::Welcome(welcome) if !welcome.resumed));
//! assert!(said.contains(&ServerFrame::Ack { serial: 1 }));
//! assert!(said.iter().any(|frame| matches!(frame, ServerFrame::Publication { offset: 1, .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// The README, whose example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

extern crate alloc;
#[cfg(test)]
extern crate std;

mod admission;
mod drain;
mod history;
mod liveness;
mod memory;
mod node;

pub use admission::{Admission, AdmissionConfig, AdmissionError, AdmissionErrorKind, address_key};
pub use drain::{Drain, DrainConfig, Turn};
pub use history::{
    Full, HistoryConfig, Publication, StoreEvent, StoreRequest, StoreResponse, Stream,
};
pub use liveness::{Liveness, LivenessConfig};
pub use memory::MemoryStore;
pub use node::{
    AuthorizationId, ConnectionId, DeliveryId, Node, NodeAction, NodeConfig, NodeEvent, NodeInput,
    NodeStats, StoreRequestId,
};
