//! The client's session over `relink.v1`, against a server that the test controls, in virtual time.
//! A number in a test name is that of the invariant (`i24`) or requirement (`m03`, `s06`, `w19`)
//! that the test proves.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks the variants that it is about")]

mod channels;
mod ends;
mod gaps;
mod model;
mod order;
mod presence;
mod resume;
mod sizes;
mod strangers;
mod support;
mod wrapped;
