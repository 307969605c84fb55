//! The program `relink` as its users meet it: started, fed, listened to, interrupted. Servers run
//! in the test's own process; every wait ends with what it waits for, or with a deadline.

mod closing;
mod configuration;
mod demo;
mod docs;
mod help;
mod json;
mod messages;
mod schedule;
mod secrets;
mod serve;
mod serve_metered;
mod serve_v1;
mod support;
mod token_command;
mod unread;
mod waiting;
