//! Three applications, in the form that the guide teaches: a chat over axum, a ticker against
//! somebody else's server, and a worker whose reconnecting loop was replaced.

pub mod chat;
pub mod ticker;
pub mod worker;
