//! What an application on any runtime names. Driver crates re-export it whole at their roots, so
//! that one dependency is enough.

#[cfg(feature = "tls")]
pub use crate::tls;
#[cfg(feature = "tls")]
pub use rustls;
pub use {http, relink};

pub use relink::link::{
    Hint, OnDead, OnFirstFailure, OnOffline, ReopenPolicy, RetryAfter, Status, StatusChange,
    StatusViewConfig,
};
pub use relink::policy::{
    BudgetConfig, CredentialsConfig, Curve, HeartbeatConfig, Jitter, TokenPlacement,
};
pub use relink::session::{
    DropReason, InvalidUrl, Member, OfflineSend, OutboxConfig, Overflow, PresenceEvent, Problem,
    Secret, SendErrorKind, SendReceipt, SubscriptionsConfig, Text,
};
pub use relink::stats::Stats;
pub use relink::{
    Address, Backoff, Channel, CloseCode, CloseFrame, ClosePolicy, ClosedReason, ConfigError,
    Event, Failure, Guarantee, LinkConfig, Message, Outgoing, Phase, Position, Priority, Protocol,
    Reason, Receipt, Resume, SendError, SessionConfig, SessionId, State, StopReason, Subscription,
    Token, Verdict,
};
#[cfg(feature = "v1")]
#[doc(inline)]
pub use relink_v1 as v1;
#[cfg(feature = "deflate")]
pub use relink_wire::DeflateConfig;

pub use crate::BuildError;
pub use crate::client::{Client, CloseSummary, ClosedError};
pub use crate::client_cell::ClientCell;
pub use crate::client_sink::ClientSink;
pub use crate::events::{Events, Messages};
pub use crate::fetch::AddressRequest;
pub use crate::inbox::InboxLimits;
pub use crate::request::{IntoRequest, Target};
pub use crate::runtime::ConnectError;
pub use crate::stream::{BoxStream, ByteStream};
pub use crate::watch::StateWatch;
pub use crate::wire::WireLimits;
