//! A link in a manual [`Sim`], for parts that cannot be tested alone.

use core::time::Duration;

use rand_pcg::Pcg32;
use relink::rand_core::SeedableRng;
use relink::{Failure, Instant, LinkConfig, SessionConfig, State};
use relink_sim::{Direct, Sim};

pub(crate) use relink_sim::{millis, secs};

pub(crate) fn at(time: Duration) -> Instant {
    Instant::from_origin(time)
}

pub(crate) fn dice(seed: u64) -> Pcg32 {
    Pcg32::seed_from_u64(seed)
}

pub(crate) fn link(config: LinkConfig) -> Sim<Direct> {
    with_endpoints(config, 1)
}

/// A link with this many endpoints, `ws://0` and so on.
pub(crate) fn with_endpoints(config: LinkConfig, endpoints: u8) -> Sim<Direct> {
    seeded(config, endpoints, 7)
}

pub(crate) fn seeded(config: LinkConfig, endpoints: u8, seed: u64) -> Sim<Direct> {
    let addresses: Vec<String> = (0..endpoints).map(|number| format!("ws://{number}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let config = SessionConfig::default().with_link(config);
    Sim::with(config, &addresses, Direct::default(), seed).expect("a valid configuration").manual()
}

/// A link that was connected, and has become stable.
pub(crate) fn stable(config: LinkConfig) -> Sim<Direct> {
    let mut sim = link(config);
    sim.to_stable();
    sim
}

/// The dial succeeds, and the link is usable.
#[track_caller]
pub(crate) fn open(sim: &mut Sim<Direct>) {
    sim.peer().accept();
    assert_eq!(sim.state(), State::Connected);
}

/// The transport is reset, or the dial refused; returns the wait for the next attempt.
pub(crate) fn fail(sim: &mut Sim<Direct>) -> Option<Duration> {
    sim.peer().refuse(Failure::Refused);
    sim.retry_in()
}

/// The peer closes with this code; returns the wait for the next attempt.
pub(crate) fn peer_closes(sim: &mut Sim<Direct>, code: u16) -> Option<Duration> {
    sim.peer().close(code);
    sim.retry_in()
}
