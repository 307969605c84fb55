//! The client's session over `relink.v1`, against a server that a test plays by hand, in virtual
//! time. A name with a number fulfils that requirement: `i24` of what always holds, `m03`, `s06`
//! and `w19` of the systems that relink can behave as.

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
