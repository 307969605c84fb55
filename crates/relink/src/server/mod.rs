//! The other half of a link: what a server needs to keep its side, as machines without IO.
//!
//! | machine | answers |
//! |---|---|
//! | [`Liveness`] | which connections have been silent for too long (W10) |
//! | [`Admission`] | may this address, may this user, connect now; if not, when (W20, M6) |
//! | [`Presence`] | who is online, counting those whose link broke just now (A9) |
//! | [`Drain`] | when each client should come back while a node shuts down (W12, M12) |

mod admission;
mod drain;
mod history;
mod liveness;
#[cfg(feature = "v1")]
mod node;
mod presence;

pub use admission::{Admission, AdmissionConfig, TooMany, TooManyReason, address_key};
pub use drain::{Drain, DrainConfig};
pub use history::{Answer, HistoryConfig, News, Publication, Question, Stream};
pub use liveness::{Liveness, LivenessConfig};
#[cfg(feature = "v1")]
pub use node::{
    AuthorizationId, ConnectionId, HandlingId, Node, NodeAction, NodeConfig, NodeEvent, NodeInput, NodeStats,
    QuestionId,
};
pub use presence::{Presence, PresenceChange, PresenceConfig};
