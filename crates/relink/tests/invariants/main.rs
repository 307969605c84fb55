//! What always holds: the invariants, each with the tests that prove it, in virtual time.
//!
//! A test's name begins with the number of its invariant.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail a test as the tests themselves do")]

mod addresses;
mod backoff;
mod credentials;
mod ends;
mod heartbeat;
mod hints;
mod order;
mod outbox;
mod refusals;
mod retry_after;
mod support;
mod transport;
mod yardsticks;
