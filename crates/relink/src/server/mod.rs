//! The other half of a link: what a server needs to keep its side, as machines without IO.

mod history;
#[cfg(feature = "v1")]
mod node;

pub use history::{Answer, HistoryConfig, News, Publication, Question, Stream};
#[cfg(feature = "v1")]
pub use node::{
    AuthorizationId, ConnectionId, HandlingId, Node, NodeAction, NodeConfig, NodeEvent, NodeInput, NodeStats,
    QuestionId,
};
