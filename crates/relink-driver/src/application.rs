//! What an application on any runtime names. Driver crates re-export it whole at their roots, so
//! that one dependency is enough.

#[cfg(feature = "tls")]
pub use rustls;
pub use {http, relink};

pub use relink::{
    Address, Backoff, BudgetConfig, Channel, CloseCode, CloseFrame, ClosePolicy, ClosedReason,
    ConfigError, CredentialsConfig, Curve, DropReason, Event, Failure, Guarantee, HeartbeatConfig,
    Hint, InvalidUrl, Jitter, LinkConfig, Member, Message, OfflineSend, OnDead, OnFirstFailure,
    OnOffline, OutboxConfig, Outgoing, Overflow, Phase, Position, PresenceEvent, Priority, Problem,
    Protocol, Reason, Receipt, ReopenPolicy, Resume, RetryAfter, Secret, SendError, SendErrorKind,
    SendReceipt, SessionConfig, SessionId, State, Stats, Status, StatusChange, StatusViewConfig,
    StopReason, Subscription, SubscriptionsConfig, Text, Token, TokenPlacement, Verdict,
};
#[cfg(feature = "v1")]
#[doc(inline)]
pub use relink_v1 as v1;

pub use crate::BuildError;
pub use crate::client::{Client, CloseSummary, ClosedError, Events};
pub use crate::client_cell::ClientCell;
pub use crate::fetch::AddressRequest;
pub use crate::inbox::InboxLimits;
pub use crate::request::{IntoRequest, Target};
pub use crate::runtime::ConnectError;
pub use crate::stream::ByteStream;
pub use crate::wire::WireLimits;
