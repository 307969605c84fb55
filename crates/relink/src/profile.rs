//! [`Profile`]: how one system behaves, as configuration. The crate `relink-profiles` has five.

use alloc::boxed::Box;
use core::fmt;

use crate::link::{ClosedReason, Reason, State, Status};
use crate::policy::credentials::TokenPlacement;
use crate::protocol::Protocol;
use crate::session::{Address, SessionConfig};

/// How a system behaves: its numbers, close codes and handshake, its wire protocol, and its own
/// names for states.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "profiles are written as literals, field by field")]
pub struct Profile {
    /// Its name, in `snake_case`: what `relink connect --profile` takes.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Its configuration: numbers, close codes, steps of the handshake.
    pub config: fn() -> SessionConfig,
    /// Its wire protocol, for a link to this address.
    pub protocol: fn(&Address) -> Box<dyn Protocol + Send>,
    /// The WebSocket subprotocol that it asks for.
    pub subprotocol: Option<&'static str>,
    /// How its token reaches the server.
    pub token: TokenPlacement,
    /// Its own name for the state of a link, and why.
    pub label: fn(&StateView) -> StateLabel,
    /// Its own name for the reason of an end.
    pub end: fn(ClosedReason) -> &'static str,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a system's own names are derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the states of a link, and why")]
pub struct StateView {
    /// The exact state before the last change.
    pub from: State,
    /// The exact state.
    pub state: State,
    /// Why it changed.
    pub reason: Reason,
    /// The status that is shown: a grace may hide a loss.
    pub shown: Status,
}

/// A system's own name for where a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a state, and why")]
pub struct StateLabel {
    /// Its name for the state.
    pub state: &'static str,
    /// Its name for the reason, if it has one.
    pub reason: Option<&'static str>,
}

impl StateLabel {
    /// A state, and why.
    #[must_use]
    pub const fn new(state: &'static str, reason: Option<&'static str>) -> Self {
        Self { state, reason }
    }
}
