//! relink beside other WebSocket clients: processor time as ratios in one run, instructions and
//! heap blocks per message, memory per idle link.
//!
//! `relink-bench` prints all tables; `relink-bench check` compares what does not depend on the load
//! of the machine with `ceilings.txt`, or the lines of it that have a word in them. Each
//! measurement is a process of its own, and so is the server, so that only the client is measured.

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
use peers::Peer;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[global_allocator]
static HEAP: heap::Counted = heap::Counted;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => report::print(),
        ["check"] => ceilings::check(""),
        ["check", what] => ceilings::check(what),
        ["server"] => server::run(),
        ["served"] => served::run(),
        ["growth", size] => size.parse().map_err(Into::into).and_then(growth::run),
        ["client", address, peer, direction, size, count] => {
            client(address, peer, direction, size, count)
        }
        ["idle", address, peer, links] => idle(address, peer, links),
        _ => Err("usage: relink-bench [check [part of a line]]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relink-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one measurement in this process, for [`measure`] in another.
fn client(address: &str, peer: &str, direction: &str, size: &str, count: &str) -> Result<()> {
    let job = Job {
        peer: Peer::named(peer)?,
        direction: Direction::named(direction)?,
        size: size.parse()?,
        count: count.parse()?,
    };
    let url = format!("ws://{address}/{direction}/{size}/{count}");
    let spent =
        runtime()?.block_on(tokio::task::LocalSet::new().run_until(peers::run(&url, job)))?;
    println!("{} {}", spent.cpu.as_nanos(), spent.blocks);
    Ok(())
}

/// Opens links that do nothing, and prints the bytes that each keeps on the heap.
fn idle(address: &str, peer: &str, links: &str) -> Result<()> {
    let (peer, links) = (Peer::named(peer)?, links.parse()?);
    let url = format!("ws://{address}/send/64/1000000");
    let each = runtime()?
        .block_on(tokio::task::LocalSet::new().run_until(peers::idle(&url, peer, links)))?;
    println!("{each}");
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
