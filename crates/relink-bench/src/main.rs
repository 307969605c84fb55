//! relink beside other WebSocket clients: processor time as ratios in one run, instructions and
//! heap blocks per message, idle links, and how costs grow.
//!
//! `relink-bench` measures all of it and writes it into docs/performance.md, `relink-bench quick`
//! tries the same with little of everything, and prints it. `relink-bench check` compares what does
//! not depend on the load of the machine with `ceilings.txt`, or the lines of it that have a word
//! in them. Each measurement is a process of its own, and so is the server, so that only the client
//! is measured.

mod callgrind;
mod ceilings;
mod growth;
mod heap;
mod measure;
mod peers;
mod report;
mod served;
mod server;

use std::process::ExitCode;

use measure::{Direction, Job};
use peers::Task;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[global_allocator]
static HEAP: heap::Counted = heap::Counted;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relink-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The last few are for [`measure`], in another process.
fn run(arguments: &[&str]) -> Result<()> {
    match *arguments {
        [] => report::write(),
        ["quick"] => report::print_quick(),
        ["check"] => ceilings::check(""),
        ["check", what] => ceilings::check(what),
        ["server"] => server::run(),
        ["served"] => served::run(),
        ["idle-server"] => server::run_idle(),
        ["growth", family, size] => growth::run(family, size.parse()?),
        ["client", address, peer, direction, size, count] => {
            let url = format!("ws://{address}/{direction}/{size}/{count}");
            let (direction, size) = (Direction::named(direction)?, size.parse()?);
            peers::run(peer, &url, Task::Job(Job { direction, size, count: count.parse()? }))
        }
        ["heap", address, peer, connections] => {
            peers::run(peer, &idle(address), Task::Heap { connections: connections.parse()? })
        }
        ["idle", address, peer, connections, seconds] => {
            let (connections, seconds) = (connections.parse()?, seconds.parse()?);
            peers::run(peer, &idle(address), Task::Idle { connections, seconds })
        }
        _ => Err("usage: relink-bench [quick | check [part of a line]]".into()),
    }
}

fn idle(address: &str) -> String {
    format!("ws://{address}/send/64/1000000")
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The resident memory of this process, in bytes.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}
