//! What does not depend on the load of the machine, against `ceilings.txt`.

use crate::measure::{Direction, Job, Server};
use crate::peers::Peer;
use crate::{Result, growth, served};

/// A line each: what is measured, what is counted, and the most that it may be.
const CEILINGS: &str = include_str!("../ceilings.txt");

pub(crate) fn check(part: &str) -> Result<()> {
    let server = Server::start()?;
    let (small, large) = (growth::measure(SMALL)?, growth::measure(LARGE)?);
    let mut exceeded = Vec::new();
    let lines = CEILINGS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines.filter(|line| line.contains(part)) {
        let [peer, what, most] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(
                format!("ceilings.txt: {line:?} is not a peer, a figure and a number").into()
            );
        };
        let most: f64 = most.parse()?;
        let unknown = || format!("ceilings.txt: {what:?} is not measured");
        let found = match peer {
            "server" => served(what)?,
            "part" => *small.get(what).ok_or_else(unknown)?,
            "growth" => {
                *large.get(what).ok_or_else(unknown)? / *small.get(what).ok_or_else(unknown)?
            }
            _ => figure(&server, Peer::named(peer)?, what)?,
        };
        println!("{peer:26} {what:22} {found:10.3} of {most}");
        if found > most {
            exceeded.push(line);
        }
    }
    if exceeded.is_empty() {
        Ok(())
    } else {
        Err(format!("above the ceiling: {exceeded:#?}").into())
    }
}

/// The sizes of the two worlds whose costs are compared. A larger one takes too long to build under
/// valgrind, and a smaller one does not tell a logarithm from nothing.
const SMALL: u64 = 10;
const LARGE: u64 = 10_000;

fn served(what: &str) -> Result<f64> {
    match what {
        "acknowledged-100" => served::acknowledged(100, 10),
        "fan-out-10" => served::fan_out(10, 300),
        "fan-out-10000" => served::fan_out(10_000, 5),
        _ => Err(format!("ceilings.txt: {what:?} is no figure of the server").into()),
    }
}

fn figure(server: &Server, peer: Peer, what: &str) -> Result<f64> {
    if what == "idle-bytes" {
        return Ok(server.idle(peer, 200)? as f64);
    }
    let [figure, direction, size] = what.split('-').collect::<Vec<_>>()[..] else {
        return Err(format!("ceilings.txt: {what:?} is no figure").into());
    };
    let job =
        Job { peer, direction: Direction::named(direction)?, size: size.parse()?, count: 20_000 };
    match figure {
        "instructions" => server.instructions(job),
        "blocks" => Ok(server.run(Job { count: 200_000, ..job })?.1),
        _ => Err(format!("ceilings.txt: {figure:?} is not counted").into()),
    }
}
