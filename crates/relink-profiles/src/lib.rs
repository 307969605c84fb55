#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//! Profiles: the behavior of five real systems, each as configuration of the same core.
//!
//! A profile has a system's documented behavior in relink's terms: its numbers, its close codes,
//! the steps of its handshake, its wire protocol, and its own names for states and reasons. The
//! core has no code for any profile, so each is a starting point for a system of your own.
//! `docs/conformance.md` lists the source of each requirement, and where the real system differs
//! from its documentation.
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
//! use relink_profiles::StateMapper;
//! use relink::{Address, Instant, Session, SessionAction, SessionInput};
//! # use relink::rand_core::SeedableRng;
//! # let rng = rand_pcg::Pcg32::seed_from_u64(0);
//! let profile = relink_profiles::by_name("agora_rtm").expect("there is one");
//! let address = Address::from("wss://example.org/rtm");
//! let protocol = (profile.protocol)(&address);
//! let mut session = Session::new((profile.config)(), vec![address], protocol, rng)?;
//!
//! let mut states = StateMapper::new(profile);
//! session.handle(SessionInput::Connect, Instant::ORIGIN);
//! while let Some(action) = session.poll_action() {
//!     if let SessionAction::Event(event) = action {
//!         if let Some(change) = states.observe(&event) {
//!             assert_eq!(change.to_string(), "DISCONNECTED → CONNECTING (LOGIN)");
//!         }
//!     }
//! }
//! # Ok::<(), relink::ConfigError>(())
//! ```

/// The README, whose example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod agora_rtm;
pub mod deepstream;
pub mod managed_websocket;
pub mod metered;
mod peer_restart;
pub mod serverpod;
mod state_mapper;
mod streams;

use alloc::boxed::Box;

use relink::policy::TokenPlacement;
use relink::profile::{Profile, StateLabel};
use relink::{ClosedReason, Plain, SessionConfig};

pub use peer_restart::{PeerRestart, PeerRestartConfig, RestartAction};
pub use state_mapper::{StateChange, StateMapper};

/// relink's own defaults: a plain WebSocket that stays up.
pub static DEFAULT: Profile = Profile {
    name: "default",
    about: "relink's own defaults: a plain WebSocket that stays up",
    config: SessionConfig::default,
    protocol: |_| Box::new(Plain::default()),
    subprotocol: None,
    token: TokenPlacement::Bearer,
    label: |view| StateLabel::new(view.state.status().name(), None),
    end: ClosedReason::name,
};

/// All profiles, the default first.
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

/// The profile with this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Profile> {
    ALL.into_iter().find(|profile| profile.name == name)
}
