//! The program `relink` as its users run it: arguments, stdin, stdout, signals. Servers run in the
//! process of the test; every wait has a deadline.

mod closing;
mod configuration;
mod demo;
mod docs;
mod help;
mod json;
mod messages;
mod route;
mod schedule;
mod secrets;
mod serve;
mod serve_metered;
mod serve_v1;
mod support;
mod token_command;
mod unread;
mod waiting;
