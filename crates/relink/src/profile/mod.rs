//! Profiles: how five real systems behave, each as configuration of the one core.
//!
//! A profile is what a system's documentation says, in relink's terms: its numbers, what its close codes mean, the steps of its
//! handshake, its wire protocol, and its own names for states and reasons. No profile has a branch of its own in the
//! core, so each is a place to start from for a system of one's own. `docs/conformance.md` lists what each of them was
//! taken from, and where the real system differs from its own documentation.
//!
//! | profile | is |
//! |---|---|
//! | [`DEFAULT`] | relink's own defaults |
//! | [`deepstream`] | deepstream's page on connectivity; [`deepstream::PROFILE_7`] does as version 7 of its client |
//! | [`serverpod`] | Serverpod's lesson on reconnection |
//! | [`agora_rtm`] | Agora RTM's page on connection states |
//! | [`metered`] | the best practices for reconnects of Metered's realtime messaging |
//! | [`managed_websocket`] | the class of that name and its server; [`managed_websocket::PROFILE_PROSE`] does as the text around it |
//!
//! ```
//! use relink::profile::{self, Narrator};
//! use relink::{Address, Instant, Session, SessionAction, SessionInput};
//! # struct Dice(u64);
//! # impl rand_core::TryRng for Dice {
//! #     type Error = core::convert::Infallible;
//! #     fn try_next_u32(&mut self) -> Result<u32, Self::Error> { Ok(self.try_next_u64()? as u32) }
//! #     fn try_next_u64(&mut self) -> Result<u64, Self::Error> { self.0 += 1; Ok(self.0) }
//! #     fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> { Ok(()) }
//! # }
//! # let rng = Dice(0);
//! let profile = profile::by_name("agora_rtm").expect("there is one");
//! let address = Address::from("wss://example.org/rtm");
//! let protocol = (profile.protocol)(&address);
//! let mut session = Session::new((profile.config)(), vec![address], protocol, rng)?;
//!
//! let mut narrator = Narrator::new(profile);
//! session.handle(SessionInput::Connect, Instant::ORIGIN);
//! while let Some(action) = session.poll_action() {
//!     if let SessionAction::Event(event) = action {
//!         if let Some(change) = narrator.observe(&event) {
//!             assert_eq!(change.to_string(), "DISCONNECTED → CONNECTING (LOGIN)");
//!         }
//!     }
//! }
//! # Ok::<(), relink::ConfigError>(())
//! ```

pub mod agora_rtm;
pub mod deepstream;
pub mod managed_websocket;
pub mod metered;
mod narrator;
pub mod serverpod;
mod streams;

use alloc::boxed::Box;
use core::fmt;

use crate::link::ClosedReason;
use crate::session::{Address, Plain, Protocol, SessionConfig};

pub use narrator::{Change, Narrator, View, Word};

/// How a real system behaves.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Profile {
    /// Its name, in `snake_case`: what `relink connect --profile` takes.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// What it starts from: numbers, close codes, steps of the handshake.
    pub config: fn() -> SessionConfig,
    /// Its wire protocol, for a link to this address.
    pub protocol: fn(&Address) -> Box<dyn Protocol + Send>,
    /// The WebSocket subprotocol that it asks for.
    pub subprotocol: Option<&'static str>,
    /// How its token reaches the server.
    pub token: TokenPlace,
    /// Its own name for where a link stands, and why.
    pub word: fn(&View) -> Word,
    /// Its own name for an end.
    pub end: fn(ClosedReason) -> &'static str,
}

/// How a token reaches the server; a driver sees to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenPlace {
    /// As `Authorization: Bearer …` in the handshake.
    Bearer,
    /// As this parameter of the query.
    Query(&'static str),
    /// In a message of the protocol.
    Protocol,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// relink's own defaults: a plain WebSocket that stays up.
pub static DEFAULT: Profile = Profile {
    name: "default",
    about: "relink's own defaults: a plain WebSocket that stays up",
    config: SessionConfig::default,
    protocol: |_| Box::new(Plain::default()),
    subprotocol: None,
    token: TokenPlace::Bearer,
    word: |view| Word::new(view.state.status().name(), None),
    end: ClosedReason::name,
};

/// All of them, the default first.
pub static ALL: [&Profile; 8] = [
    &DEFAULT,
    &deepstream::PROFILE,
    &deepstream::PROFILE_7,
    &serverpod::PROFILE,
    &agora_rtm::PROFILE,
    &metered::PROFILE,
    &managed_websocket::PROFILE,
    &managed_websocket::PROFILE_PROSE,
];

/// The profile of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Profile> {
    ALL.into_iter().find(|profile| profile.name == name)
}
