//! The parts of a server, each alone. A number in a test name is that of the requirement (`w10`,
//! `m06`, `a09`) or invariant (`i10`) that the test proves.

mod admission;
mod drain;
mod liveness;
mod support;
