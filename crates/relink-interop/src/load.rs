//! Ten thousand links to one server that send only heartbeats: none is declared dead. Measures what
//! they cost.

use std::{path::Path, thread, time::Duration};

use futures_util::FutureExt as _;
use relink_tokio::{
    Client, Event, Events, builder,
    v1::{self, Encoding},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;

use crate::{
    Result,
    clock::{self, Deadline},
    node::{Node, Usage},
};

const LINKS: usize = 10_000;
/// The number of links in a batch; one batch starts every 50 ms.
const BATCH: usize = 50;
const PAUSE: Duration = Duration::from_millis(50);
const CONNECTED: Duration = Duration::from_secs(120);
const IDLE: Duration = Duration::from_secs(60);
/// The interval of `v1::config`.
const HEARTBEAT: Duration = Duration::from_secs(10);

pub(crate) fn run(program: &Path) -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let mut node = Node::start("the server", program, &[])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;

    let before = (node.usage()?, Usage::of("self")?);
    let links = connect(&runtime, &node.url())?;
    let begin = (node.usage()?, Usage::of("self")?);
    let answered = heartbeats(&mut node)?;
    let round_trips = idle(&links);
    let answered = heartbeats(&mut node)? - answered;
    let end = (node.usage()?, Usage::of("self")?);
    let closed =
        links.iter().map(|link| link.0.stats()).filter(|stats| stats.disconnects > 0).count();
    let lost: u64 = links.iter().map(|link| link.0.stats().heartbeats_lost).sum();
    let stats = node.stats()?;

    println!(
        "ok  load: {LINKS} links to one server, {IDLE:?} with a heartbeat every {HEARTBEAT:?}"
    );
    for (name, before, begin, end) in
        [("server", before.0, begin.0, end.0), ("client", before.1, begin.1, end.1)]
    {
        let kilobytes = |usage: Usage| {
            usage.resident.saturating_sub(before.resident) as f64 / LINKS as f64 / 1e3
        };
        println!(
            "    {name}     {:.1} kB per link, {:.1} kB after the heartbeats; {:.2} s of CPU in {IDLE:?}",
            kilobytes(begin),
            kilobytes(end),
            (end.cpu - begin.cpu).as_secs_f64()
        );
    }
    println!(
        "    heartbeats {answered} answered; of {} round trips half took {:.2?} or less, 99 % {:.2?} or less",
        round_trips.len(),
        quantile(&round_trips, 50),
        quantile(&round_trips, 99)
    );
    println!(
        "    closed     {closed} links, {lost} of them by the client for want of a heartbeat; the server closed {} as silent",
        stats["silent"]
    );
    if closed > 0 || stats["silent"] != 0 || stats["connections"] != LINKS {
        return Err(format!("links were closed: {stats}").into());
    }
    Ok(())
}

fn heartbeats(node: &mut Node) -> Result<u64> {
    Ok(node.stats()?["heartbeats"].as_u64().ok_or("no count of heartbeats")?)
}

struct Link(Client, Events);

/// Waits until all of them are connected, and drops the events until then.
fn connect(runtime: &Runtime, url: &str) -> Result<Vec<Link>> {
    let _runtime = runtime.enter();
    let mut links = Vec::with_capacity(LINKS);
    while links.len() < LINKS {
        for _ in 0..BATCH.min(LINKS - links.len()) {
            let config = v1::config();
            let (client, events) = builder(url).relink_v1(Encoding::Cbor).config(config).spawn()?;
            links.push(Link(client, events));
        }
        thread::sleep(PAUSE);
    }
    let deadline = Deadline::within(CONNECTED);
    loop {
        let missing = links.iter().filter(|link| link.0.stats().connects == 0).count();
        if missing == 0 {
            break;
        }
        if deadline.left().is_zero() {
            return Err(format!("{missing} of {LINKS} links are not up").into());
        }
        thread::sleep(PAUSE);
    }
    for Link(_, events) in &mut links {
        while let Some(Some(event)) = events.recv().now_or_never() {
            if let Event::Disconnected { .. } | Event::Closed { .. } = event {
                return Err(format!("{event:?} while the others connect").into());
            }
        }
    }
    Ok(links)
}

/// The latest round trip of every link, sampled once per heartbeat; sorted.
fn idle(links: &[Link]) -> Vec<Duration> {
    let end = Deadline::within(IDLE);
    let mut round_trips = Vec::new();
    while !end.left().is_zero() {
        let next = clock::now() + HEARTBEAT.min(end.left());
        thread::sleep(next.saturating_duration_since(clock::now()));
        round_trips.extend(links.iter().filter_map(|link| link.0.stats().last_round_trip));
    }
    round_trips.sort_unstable();
    round_trips
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}
