#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//! WebSocket links that stay up: placeholder docs.

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod backoff;
mod budget;
mod code;
mod config;
mod credentials;
mod heartbeat;
mod human;
mod link;
mod policy;
mod policy_defaults;
#[cfg(feature = "alloc")]
mod session;
mod stats;
mod surface;
mod time;

pub use backoff::{Backoff, Curve, DelayTable, Jitter, Schedule, Window};
pub use budget::{Breaker, Budget, BudgetConfig, GaveUp, Rate};
pub use code::CloseCode;
pub use config::ConfigError;
pub use credentials::CredentialsConfig;
pub use heartbeat::{Beat, Heartbeat, HeartbeatConfig, Silence};
pub use human::{HumanDuration, ParseDurationError};
pub use link::{
    Action, ClosedReason, Endpoint, Failure, FirstFailure, Handshake, Hint, Input, Link, LinkConfig,
    LinkEvent, LinkSignal, Phase, Reason, Refusal, Reopen, RetryAfter, State, Status, Step, Timer,
    TokenFailed, TokenGrant, TransportId, Undrained,
};
pub use policy::{ClosePolicy, Row, Rule, StopReason, Verdict, row, rows};
pub use policy_defaults::{CLOSE_CODES, HTTP_STATUSES};
pub use rand_core;
#[cfg(feature = "alloc")]
pub use session::{
    Accepted, Address, CloseFrame, Command, DropReason, Event, Frame, Message, NotText, Outbox, OutboxConfig,
    Overflow, Plain, Protocol, Receipt, Refused, RefusedReason, Secret, Session, SessionAction,
    SessionConfig, SessionInput, Signal, Text, Token, WhileDown,
};
pub use stats::{Histogram, Stats};
pub use surface::{Colour, Shown, Surface, SurfaceConfig};
pub use time::Instant;
