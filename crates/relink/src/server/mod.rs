//! The other half of a link: what a server needs to keep its side, as machines without IO.
//!
//! | machine | answers |
//! |---|---|
//! | [`Liveness`] | which connections have been silent for too long (W10) |

mod liveness;

pub use liveness::{Liveness, LivenessConfig};
