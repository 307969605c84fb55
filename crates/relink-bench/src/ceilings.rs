//! What does not depend on the load of the machine, against `ceilings.txt`.

use crate::Result;
use crate::measure::{Direction, Job, Server};
use crate::peers::Peer;

/// A line each: the peer, what is counted, and the most that it may be.
const CEILINGS: &str = include_str!("../ceilings.txt");

pub(crate) fn check() -> Result<()> {
    let server = Server::start()?;
    let mut exceeded = Vec::new();
    for line in CEILINGS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let [peer, what, most] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(
                format!("ceilings.txt: {line:?} is not a peer, a figure and a number").into()
            );
        };
        let (peer, most): (Peer, f64) = (Peer::named(peer)?, most.parse()?);
        let found = figure(&server, peer, what)?;
        println!("{:26} {what:22} {found:10.3} of {most}", peer.name());
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
