//! The machines of a server, each by its own rules. A name with a number fulfils that requirement:
//! `w10`, `m06`, `a09` are numbers of the systems that relink can behave as, `i10` of what always
//! holds.

mod admission;
mod drain;
mod liveness;
mod presence;
mod support;
