//! Two nodes with one Redis; one node is killed while messages are in flight.

use std::{path::Path, thread, time::Duration};

use crate::{
    Result,
    fleet::{CLIENTS, Fleet},
    node::Node,
    redis::Redis,
};

/// How long the fleet sends before the kill, and after all clients are back.
const TALK: Duration = Duration::from_secs(8);
/// A second of the first delay, a failed dial of the dead node, 1.5 s of the second delay, and a
/// thousand handshakes.
const BACK: Duration = Duration::from_secs(30);

pub(crate) fn run(program: &Path) -> Result<()> {
    let redis = Redis::start()?;
    let url = redis.url();
    let arguments = ["--redis", url.as_str()];
    let (first, mut second) =
        (Node::start("node A", program, &arguments)?, Node::start("node B", program, &arguments)?);
    let fleet = Fleet::start(&[first.url(), second.url()])?;
    fleet.assemble()?;
    fleet.talk(true);
    thread::sleep(TALK);

    first.kill();
    let killed = fleet.elapsed();
    fleet.wait("back", BACK, |seen| {
        seen.connected.last().is_some_and(|at| *at > killed) && seen.is_connected()
    })?;
    let mut back: Vec<Duration> = fleet
        .each()
        .filter_map(|seen| Some(seen.connected.last()?.saturating_sub(killed)))
        .collect();
    back.sort_unstable();
    thread::sleep(TALK);

    let totals = fleet.judge(&redis)?;
    let stats = second.stats()?;
    if stats["resumed"] != CLIENTS || stats["created"] != 0 {
        return Err(format!(
            "node B should have resumed {CLIENTS} sessions and begun none: {stats}"
        )
        .into());
    }
    let (median, last) = (back.get(back.len() / 2), back.last());
    println!("ok  cluster: {CLIENTS} clients, node A killed while they talk");
    println!(
        "    back       half of them after {:.1?}, the last one after {:.1?}",
        median.copied().unwrap_or_default(),
        last.copied().unwrap_or_default()
    );
    println!("{totals}");
    Ok(())
}
