//! Two nodes behind HAProxy are replaced, one after the other, as a rolling deploy does it.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::setpriority_process;

use crate::{
    Result, clock,
    fleet::{CLIENTS, Fleet, dials_since},
    haproxy::Proxy,
    node::Node,
    redis::Redis,
};

/// The configured capacity of the other nodes: it spreads a drain of all clients over ten seconds.
const PER_SECOND: u32 = 100;
/// For how many seconds a draining node serves clients whose turn has not come.
const LINGER: &str = "20";
/// The maximum number of measured drains: one that the machine disturbed is repeated.
const MOST_DRAINS: usize = 6;
/// If the machine stalls for longer, dials bunch whatever their planned times.
const PAUSE: Duration = Duration::from_millis(30);
/// HAProxy checks every 100 ms whether a node is there.
const SEEN: Duration = Duration::from_millis(500);
/// The spread, and the delay of a busy machine.
const BACK: Duration = Duration::from_secs(40);
const TALK: Duration = Duration::from_secs(6);
const WINDOW: Duration = Duration::from_millis(100);

/// Dials are measured to some milliseconds. Other load on the machine must not look like a burst of
/// dials.
const PRIORITY: i32 = -10;

pub(crate) fn run(program: &Path) -> Result<()> {
    // Fails without the permission; then the machine should be idle. Children inherit it.
    let asked = setpriority_process(None, PRIORITY);
    let result = replace_both(program);
    if asked.is_ok() {
        setpriority_process(None, 0)?;
    }
    result
}

fn replace_both(program: &Path) -> Result<()> {
    let redis = Redis::start()?;
    let (url, capacity) = (redis.url(), PER_SECOND.to_string());
    let arguments = ["--redis", url.as_str(), "--capacity", capacity.as_str(), "--linger", LINGER];
    let start = |name, address: &str| {
        let arguments = [&arguments[..], &["--listen", address]].concat();
        Node::start(name, program, &arguments)
    };
    let mut node = start("node A", "127.0.0.1:0")?;
    let other = start("node B", "127.0.0.1:0")?;
    let mut free = other.address.to_string();
    let proxy = Proxy::start(redis.folder(), [node.address, other.address])?;
    // All clients are to be at the node that is drained: so the other one is down until then.
    other.kill();
    let fleet = Fleet::start(&[format!("ws://{}/", proxy.address)])?;
    fleet.assemble()?;
    fleet.talk(true);
    thread::sleep(TALK);

    let pauses = Pauses::watch();
    let mut drains = Vec::new();
    let mut even = 0;
    for name in ["node B", "node A"].into_iter().cycle().take(MOST_DRAINS) {
        let next = start(name, &free)?;
        free = node.address.to_string();
        let drain = replace(&fleet, node, &pauses)?;
        node = next;
        even += u32::from(drain.is_even());
        drains.push(drain);
        thread::sleep(TALK);
        if even == 2 {
            break;
        }
    }
    let _last = start("node A or B", &free)?;

    let totals = fleet.judge(&redis)?;
    if even < 2 {
        println!("the machine is too busy to measure when clients dial:");
    } else {
        println!(
            "ok  rolling: {CLIENTS} clients behind HAProxy, both nodes replaced while they talk"
        );
    }
    for drain in &drains {
        println!("{drain}");
    }
    println!("{totals}");
    if even < 2 { Err("fewer than two of these drains are even".into()) } else { Ok(()) }
}

/// Drains a node, and waits until its clients are elsewhere.
fn replace(fleet: &Fleet, mut node: Node, pauses: &Pauses) -> Result<Drain> {
    let connections = node.stats()?["connections"].as_u64().unwrap_or_default();
    if connections != CLIENTS as u64 {
        return Err(format!("{} has {connections} of {CLIENTS} connections", node.name).into());
    }
    thread::sleep(SEEN);
    pauses.longest();
    let told = fleet.elapsed();
    node.terminate()?;
    node.wait()?;
    let gone = fleet.elapsed() - told;
    fleet.wait("back", BACK, |seen| {
        seen.connected.last().is_some_and(|at| *at > told) && seen.is_connected()
    })?;
    let peak = Peak::of(&dials_since(fleet, told))?;
    let drain = Drain { node: node.name, gone, peak, pause: pauses.longest() };
    if drain.is_even() || drain.pause > PAUSE { Ok(drain) } else { Err(drain.to_string().into()) }
}

/// The result of one drain.
struct Drain {
    node: &'static str,
    gone: Duration,
    peak: Peak,
    /// The longest stall of the machine meanwhile.
    pause: Duration,
}

impl Drain {
    fn spread() -> f64 {
        CLIENTS as f64 / f64::from(PER_SECOND)
    }

    /// Of dials in a window.
    fn mean() -> f64 {
        CLIENTS as f64 / Self::spread() * WINDOW.as_secs_f64()
    }

    fn is_even(&self) -> bool {
        self.peak.fullest as f64 <= 2.0 * Self::mean()
    }
}

impl fmt::Display for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, gone, peak: Peak { dials, first, last, fullest, anywhere }, pause } = self;
        let (spread, mean) = (Self::spread(), Self::mean());
        write!(
            f,
            "    {node:<10} gone {gone:.1?} after its SIGTERM; {dials} dials from {first:.1?} to {last:.1?} after it, in the \
             fullest 100 ms {fullest} (wherever they begin: {anywhere}), {:.2} times the mean: {CLIENTS} connections in \
             {spread} s are {mean:.0} in 100 ms",
            *fullest as f64 / mean
        )?;
        if *pause > PAUSE { write!(f, "; the machine stood still for {pause:.0?}") } else { Ok(()) }
    }
}

/// Measures stalls of the machine, by sleeps that end late. What was due during a stall, in any
/// process, comes all at once after it.
struct Pauses(Arc<AtomicU64>);

impl Pauses {
    fn watch() -> Self {
        const STEP: Duration = Duration::from_millis(5);
        let longest = Arc::<AtomicU64>::default();
        let watched = Arc::downgrade(&longest);
        thread::spawn(move || {
            while let Some(longest) = watched.upgrade() {
                let begin = clock::now();
                thread::sleep(STEP);
                let late = (clock::now() - begin).saturating_sub(STEP);
                longest.fetch_max(
                    u64::try_from(late.as_micros()).unwrap_or(u64::MAX),
                    Ordering::Relaxed,
                );
            }
        });
        Self(longest)
    }

    /// The longest stall since the last call.
    fn longest(&self) -> Duration {
        Duration::from_micros(self.0.swap(0, Ordering::Relaxed))
    }
}

/// How evenly dials were spread.
struct Peak {
    dials: usize,
    first: Duration,
    last: Duration,
    /// The most in one of the tenths of a second after the first one.
    fullest: usize,
    /// The most in any tenth of a second, wherever it begins.
    anywhere: usize,
}

impl Peak {
    fn of(dials: &[Duration]) -> Result<Self> {
        let (Some(first), Some(last)) = (dials.first().copied(), dials.last().copied()) else {
            return Err("no client has dialed".into());
        };
        let mut tenths = BTreeMap::<u128, usize>::new();
        for at in dials {
            *tenths.entry((*at - first).as_nanos() / WINDOW.as_nanos()).or_default() += 1;
        }
        let from = |(index, begin): (usize, &Duration)| {
            dials.iter().skip(index).take_while(|at| **at < *begin + WINDOW).count()
        };
        let anywhere = dials.iter().enumerate().map(from).max().unwrap_or_default();
        let fullest = tenths.into_values().max().unwrap_or_default();
        Ok(Self { dials: dials.len(), first, last, fullest, anywhere })
    }
}
