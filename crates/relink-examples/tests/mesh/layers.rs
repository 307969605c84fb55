//! The three layers, each left to its own work.

use std::time::Duration;

use relink::Instant;
use relink_examples::mesh::{MeshEvent, NotSent, PeerState};

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// The seconds at which the ladder made an attempt, counted from the first.
fn attempts(events: &[(Instant, MeshEvent)]) -> Vec<u64> {
    let at: Vec<_> = events
        .iter()
        .filter_map(|(at, event)| matches!(event, MeshEvent::Attempt { .. }).then_some(*at))
        .collect();
    at.iter().map(|at| (*at - at_first(&at_all(events))).as_secs()).collect()
}

fn at_all(events: &[(Instant, MeshEvent)]) -> Vec<Instant> {
    events
        .iter()
        .filter_map(|(at, event)| matches!(event, MeshEvent::Attempt { .. }).then_some(*at))
        .collect()
}

fn at_first(all: &[Instant]) -> Instant {
    all.first().copied().unwrap_or(Instant::ORIGIN)
}

#[test]
fn data_flows_between_all() {
    let mut world = World::with(&["ada", "bob", "cleo"]);
    for (from, to) in [("ada", "bob"), ("bob", "cleo"), ("cleo", "ada")] {
        world.says(from, to, "hello");
    }
}
