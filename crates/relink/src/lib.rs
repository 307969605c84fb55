#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//! WebSocket links that stay up: the part that decides, without the part that touches the network.
//!
//! Every real-time application notices that a link is dead, decides whether and when to dial again,
//! fetches a fresh token, tells the user, and tries to lose nothing on the way. This crate does
//! that once, as a pure state machine: what happened goes in, what to do comes out. It opens no
//! socket, reads no clock, spawns no task and draws no random number of its own, so that the same
//! inputs always give the same actions: on a server, in a browser, on a microcontroller, and in a
//! test that runs a week of bad network in a millisecond.
//!
//! Applications on tokio or async-std use `relink-tokio` or `relink-async-std`, which are this
//! crate and a driver. Use this one alone to embed a link in an event loop of your own.
//!
//! # The shape of it
//!
//! ```text
//!    your application
//!         │  send · close · retry now                      ▲  events, messages
//!    ┌────▼───────────────────────────────────────────────┴────┐
//!    │ Session   messages: outbox, protocol                     │  needs `alloc`
//!    │ Link      states, deadlines, what a close code means     │  needs nothing
//!    └────▲───────────────────────────────────────────────┬────┘
//!         │  what happened, what time it is                ▼  what to do, when to wake
//!    a driver: dials, moves bytes, sleeps
//! ```
//!
//! ```text
//!  Idle ─connect→ Connecting ────────── usable ─────────→ Connected
//!                  Waiting · Authorizing                    │    ▲
//!                  Dialing · Handshaking         lost, closed,   │ usable
//!                                                 or found dead  │
//!                                                           ▼    │
//!                                                      Reconnecting
//!                                                       Waiting · Authorizing
//!                                                       Dialing · Handshaking
//!  any state ─close→ Closing → Closed(requested)
//!  any failure that trying again cannot mend, or a budget used up → Closed(reason)
//! ```
//!
//! # Example: a night of bad network
//!
//! The driver here is a loop over virtual time, and its network refuses every dial for an hour.
//!
//! ```
//! use core::time::Duration;
//! use relink::{
//!     Event, Failure, Instant, Plain, Session, SessionAction, SessionConfig, SessionId,
//!     SessionInput, State,
//! };
//! # use relink::rand_core::SeedableRng;
//! # let rng = rand_pcg::Pcg32::seed_from_u64(1);
//! let addresses = vec!["wss://example.org/feed".into()];
//! let mut session = Session::new(SessionConfig::default(), addresses, Plain::default(), rng)?;
//! let mut now = Instant::ORIGIN;
//! let mut dials = 0;
//!
//! session.handle(SessionInput::Connect, now);
//! session.send("kept until the link is up", now)?;
//! while session.state() != State::Connected {
//!     // Do what it wants.
//!     while let Some(action) = session.poll_action() {
//!         match action {
//!             SessionAction::Dial { id, .. } => {
//!                 dials += 1;
//!                 if now < Instant::from_origin(Duration::from_secs(3600)) {
//!                     let failure = Failure::Refused;
//!                     let detail = "nothing listens".into();
//!                     session.handle(SessionInput::Failed { id, failure, detail, location: None }, now);
//!                 } else {
//!                     session.handle(SessionInput::Opened { id }, now);
//!                 }
//!             }
//!             SessionAction::Event(Event::AttemptFailed { attempt, retry_in, .. }) => {
//!                 println!("{now:?}: attempt {attempt} failed; the next one in {retry_in:?}");
//!             }
//!             _ => {}
//!         }
//!     }
//!     // Sleep until it wants to be woken: here, by setting the clock.
//!     if let Some(at) = session.poll_timeout() {
//!         now = at.max(now);
//!         session.handle(SessionInput::Timeout, now);
//!     }
//! }
//! assert!((180..360).contains(&dials), "one dial each 10 to 20 s at the cap");
//! assert!(session.poll_transmit(now).is_some(), "the message goes out now");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Time, chance, pressure
//!
//! * [`Instant`] counts from an origin that the driver picks. `now` is a parameter of everything
//!   that needs it; time that goes backwards counts as standing still, and after a jump forward the
//!   peer is probed before it is declared dead.
//! * The random generator is passed to the constructor and used for jitter only. Seed it
//!   differently in every process.
//! * The outbox is bounded in count and bytes, and returns what it refuses. Inbound messages are
//!   not kept here: a driver that falls behind stops reading its socket.
//!
//! The words are in the [glossary](https://github.com/relink-rs/relink/blob/main/docs/GLOSSARY.md).
//!
//! # What it is not
//!
//! No WebSocket implementation (the drivers use `relink-wire`), no TLS, no name lookup, no async
//! runtime. Nothing here is specific to WebSocket but the close codes; any framed transport with a
//! close frame will do.
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `alloc` | yes | [`Session`] and what stands on it. Without it [`Link`] and the pieces remain, which allocate nothing. |
//! | `serde` | no | configuration from files, durations as `"30s"`; the link's events and statistics as data |

/// The README, whose example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(feature = "alloc")]
extern crate alloc;
// By its name, as the macro for configuration calls it in other crates.
extern crate self as relink;
#[cfg(test)]
extern crate std;

mod base;
#[doc(hidden)]
pub mod internal;
pub mod link;
pub mod policy;
#[cfg(feature = "alloc")]
pub mod profile;
#[cfg(feature = "alloc")]
pub mod session;

/// Time as the machines count it, and durations as people write them.
pub mod time {
    pub use crate::base::duration_text::{HumanDuration, ParseDurationError};
    pub use crate::base::time::Instant;
}

/// What a link counts while it runs.
pub mod stats {
    pub use crate::base::stats::{Histogram, Stats};
}

pub use base::config::ConfigError;
pub use link::{ClosedReason, Failure, Link, LinkConfig, Phase, Reason, State};
pub use policy::{Backoff, CloseCode, ClosePolicy, StopReason, Verdict};
pub use rand_core;
#[cfg(feature = "alloc")]
pub use session::protocol::{self, Plain, Protocol};
#[cfg(feature = "alloc")]
pub use session::{
    Address, Channel, CloseFrame, Event, Guarantee, Message, Outgoing, Position, Priority, Receipt,
    Resume, SendError, Session, SessionAction, SessionConfig, SessionId, SessionInput,
    Subscription, Token,
};
pub use time::Instant;
