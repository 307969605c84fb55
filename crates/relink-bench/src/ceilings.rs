//! What does not depend on the load of the machine, against `ceilings.txt`.

use std::collections::BTreeMap;

use crate::measure::{Direction, Job, Server};
use crate::{Result, growth, served};

/// A line each: what is measured, what is counted, and the most that it may be.
const CEILINGS: &str = include_str!("../ceilings.txt");

pub(crate) fn check(part: &str) -> Result<()> {
    let mut measured = Measured { server: Server::start("server")?, growth: BTreeMap::new() };
    let mut exceeded = Vec::new();
    let lines = CEILINGS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines.filter(|line| line.contains(part)) {
        let [what, figure, most] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(
                format!("ceilings.txt: {line:?} is not a thing, a figure and a number").into()
            );
        };
        let most: f64 = most.parse()?;
        let found = measured.figure(what, figure)?;
        println!("{what:26} {figure:26} {found:10.3} of {most}");
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

/// The sizes of the two worlds whose costs are compared. `just bench` has smaller and larger ones.
const SMALL: u64 = 10;
const LARGE: u64 = 10_000;

struct Measured {
    server: Server,
    /// By family and size.
    growth: BTreeMap<(String, u64), BTreeMap<String, f64>>,
}

impl Measured {
    fn figure(&mut self, what: &str, figure: &str) -> Result<f64> {
        match what {
            "server" => served(figure),
            "frames" => self.operation(what, 1, figure),
            family if growth::FAMILIES.contains(&family) => Ok(self
                .operation(family, LARGE, figure)?
                / self.operation(family, SMALL, figure)?),
            peer => self.message(peer, figure),
        }
    }

    fn operation(&mut self, family: &str, size: u64, operation: &str) -> Result<f64> {
        let key = (family.to_owned(), size);
        if !self.growth.contains_key(&key) {
            self.growth.insert(key.clone(), growth::measure(family, size)?);
        }
        let unknown = || format!("ceilings.txt: {operation:?} is not measured");
        Ok(*self.growth[&key].get(operation).ok_or_else(unknown)?)
    }

    fn message(&self, peer: &str, figure: &str) -> Result<f64> {
        if figure == "idle-bytes" {
            return self.server.heap(peer, 200);
        }
        let [counted, direction, size] = figure.split('-').collect::<Vec<_>>()[..] else {
            return Err(format!("ceilings.txt: {figure:?} is no figure").into());
        };
        let (direction, size): (_, usize) = (Direction::named(direction)?, size.parse()?);
        let count = (64 << 20) / size.max(256) as u64;
        match counted {
            "instructions" => {
                self.server.instructions(peer, Job { direction, size, count: 20_000 })
            }
            "blocks" => Ok(self.server.run(peer, Job { direction, size, count })?.1),
            _ => Err(format!("ceilings.txt: {counted:?} is not counted").into()),
        }
    }
}

fn served(what: &str) -> Result<f64> {
    match what {
        "acknowledged-100" => served::acknowledged(100, 10),
        "fan-out-10" => served::fan_out(10, 300),
        "fan-out-10000" => served::fan_out(10_000, 5),
        _ => Err(format!("ceilings.txt: {what:?} is no figure of the server").into()),
    }
}
