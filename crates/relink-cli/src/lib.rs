//! The program `relink`: WebSocket links that stay up, from the command line.
//!
//! It uses only the public API of the libraries: `relink-tokio` keeps the link up, `relink-testing`
//! is the server. `relink --help` describes it for people; two interfaces are for programs and
//! described in the repository: `docs/json-lines.md` (what `connect --json` prints) and
//! `docs/serve-script.md` (what `serve --script` reads).

mod args;
mod connect;
mod demo;
mod exit;
mod output;
mod pages;
mod schedule;
mod serve;
mod settings;
mod signals;
mod style;
mod text;
mod width;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Runs the command line, and returns the exit status.
#[must_use]
pub fn run() -> ExitCode {
    let done = match Args::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Connect(args) => connect::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Schedule(args) => schedule::run(&args),
        Command::Completions(args) => pages::completions(&args),
        Command::Man(args) => pages::man(&args),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(mistake) => mistake.report(),
    }
}
