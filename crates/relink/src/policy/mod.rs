//! The rules that a link follows, each a value or a small state machine that can be tested alone:
//! how long to wait, what a close code means, when a peer counts as dead, how many attempts are
//! allowed, what an attempt needs before it dials.

pub(crate) mod backoff;
pub(crate) mod budget;
pub(crate) mod close_code;
pub(crate) mod close_codes;
pub(crate) mod close_policy;
pub(crate) mod credentials;
pub(crate) mod delay_table;
pub(crate) mod heartbeat;
pub(crate) mod rate_limit;
pub(crate) mod stop_reason;

pub use backoff::{Backoff, Curve, Jitter, Schedule, Window};
pub use budget::{Breaker, Budget, BudgetConfig, GiveUpReason};
pub use close_code::CloseCode;
pub use close_codes::{CLOSE_CODES, HTTP_STATUSES};
pub use close_policy::{ClosePolicy, CloseRule, Verdict};
pub use credentials::CredentialsConfig;
#[cfg(feature = "alloc")]
pub use credentials::TokenPlacement;
pub use delay_table::DelayTable;
pub use heartbeat::{DeadReason, Heartbeat, HeartbeatAction, HeartbeatConfig};
pub use rate_limit::Rate;
pub use stop_reason::StopReason;
