//! The output of a link: actions and events.

use core::time::Duration;

use super::input::TransportId;
use super::reason::Reason;
use super::state::{ClosedReason, State, Step};
use crate::link::StatusChange;
use crate::policy::close_code::CloseCode;

/// The link's output, in order: work for the driver, and events for the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Fetch a token for this attempt, or ahead of expiry for this transport. Replaces a fetch that
    /// is under way.
    FetchToken {
        /// Comes back in [`Input::Token`](super::Input::Token).
        id: TransportId,
    },
    /// Fetch an address for this attempt, to dial in place of this endpoint.
    FetchAddress {
        /// Comes back in [`Input::Address`](super::Input::Address).
        id: TransportId,
        /// Whose turn it is.
        endpoint: Endpoint,
    },
    /// Open a transport.
    Dial {
        /// The id of the new transport.
        id: TransportId,
        /// Where.
        endpoint: Endpoint,
    },
    /// Send the protocol's first message of this step: the transport is open and a handshake step
    /// begins.
    StartStep {
        /// On which transport.
        id: TransportId,
        /// Which step begins.
        step: Step,
    },
    /// Send a ping.
    SendPing {
        /// On which transport.
        id: TransportId,
        /// The number it carries.
        nonce: u32,
    },
    /// Give the fresh token to the server over the open link.
    RenewToken {
        /// On which transport.
        id: TransportId,
    },
    /// Send a close frame.
    SendClose {
        /// On which transport.
        id: TransportId,
        /// Its code.
        code: CloseCode,
    },
    /// Drop the transport, or the dial or fetch for it, after writing what can be written without
    /// waiting.
    Drop {
        /// Which.
        id: TransportId,
    },
    /// Notify the application.
    Event(LinkEvent),
}

/// Where to dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Endpoint {
    /// The configured endpoint with this index.
    Configured(u8),
    /// The address that the last redirect named.
    Redirected,
}

/// What the link reports to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(tag = "event", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The exact state changed.
    State {
        /// From this one.
        from: State,
        /// To this one.
        to: State,
        /// Because of this.
        reason: Reason,
    },
    /// An attempt starts to dial.
    Dialing {
        /// The number of the attempt since the link was last usable, from 1.
        attempt: u32,
        /// Where.
        endpoint: Endpoint,
    },
    /// The link is usable.
    Connected {
        /// Whether it was usable before.
        is_reconnect: bool,
    },
    /// A usable link was lost, or closed by the peer.
    Disconnected {
        /// The peer's close code; 1006 if there was none.
        code: CloseCode,
        /// What happened.
        reason: Reason,
        /// When the next attempt starts; `None` if there will be none.
        retry_in: Option<Duration>,
    },
    /// An attempt failed before the link was usable.
    AttemptFailed {
        /// Its number since the link was last usable, from 1.
        attempt: u32,
        /// What happened.
        reason: Reason,
        /// When the next attempt starts; `None` if there will be none.
        retry_in: Option<Duration>,
    },
    /// Several token fetches failed, or tokens were refused, in a row. The link keeps trying.
    TokenError {
        /// How many.
        consecutive_failures: u32,
    },
    /// The server will close soon, and asks the client to come back after a delay.
    GoingAway {
        /// The minimum delay.
        retry_after: Duration,
    },
    /// What a person should see changed.
    StatusChange(StatusChange),
    /// The link is closed. Emitted once, as the last event, unless the link is connected again.
    Closed {
        /// Why.
        reason: ClosedReason,
    },
}
