//! Many links, and a bad network.

use std::collections::BTreeMap;

use rand_pcg::Pcg32;
use relink::Failure;
use relink::link::Hint;
use relink::policy::Jitter;
use relink::rand_core::{Rng, SeedableRng};
use relink_profiles::{ALL, managed_websocket, metered};
use relink_sim::{OnDial, millis, secs};

use crate::support::ProfileSim;

#[test]
fn w23_a_fleet_that_lost_its_server_does_not_come_back_at_the_same_moment() {
    for profile in ALL {
        let config = (profile.config)();
        if config.link.backoff.jitter == Jitter::None {
            continue; // deepstream and Serverpod, whose documents have none
        }
        let mut by_tenth = BTreeMap::<u128, u32>::new();
        for seed in 0..400 {
            let mut sim = ProfileSim::seeded(profile, config, seed);
            sim.stable();
            let lost = sim.outage();
            // By the fifth attempt, jitter has spread the fleet whatever the moment of the loss.
            while sim.dialed_after(lost).len() < 5 {
                sim.next_dial();
            }
            let fifth = sim.dialed_after(lost)[4];
            *by_tenth.entry(fifth.as_millis() / 100).or_default() += 1;
        }
        let fullest = by_tenth.values().max().unwrap();
        assert!(by_tenth.len() >= 20, "{}: {} tenths of a second", profile.name, by_tenth.len());
        assert!(*fullest <= 60, "{}: {fullest} of 400 in a tenth of a second", profile.name);
    }
}

/// Random faults of a network: lost transports, silence, refusals, deploys, partitions, sleep.
#[test]
fn w21_it_comes_through_loss_latency_deploys_and_partitions() {
    for profile in [&managed_websocket::PROFILE_PROSE, &metered::PROFILE] {
        for seed in 0..60 {
            let mut config = (profile.config)();
            config.link.budget.max_attempts = None;
            config.link.budget.breaker = None;
            let mut sim = ProfileSim::seeded(profile, config, seed);
            let mut dice = Pcg32::seed_from_u64(seed);
            sim.up();
            for _ in 0..60 {
                match dice.next_u32() % 8 {
                    0 => sim.peer().reset(),               // a connection is lost
                    1 => sim.peer().silence(),             // packets are, and nobody says so
                    2 => sim.peer().close(1001),           // a rolling deploy
                    3 => sim.peer().on_dial(OnDial::Hold), // a partition that swallows
                    4 => sim.peer().on_dial(OnDial::Refuse(Failure::Unreachable)), // one that answers
                    5 => sim.hint(Hint::Online),
                    6 => sim.sleep(secs(u64::from(dice.next_u32() % 600))),
                    _ => sim.peer().on_dial(OnDial::Accept),
                }
                sim.handshake();
                sim.advance(millis(u64::from(dice.next_u32() % 20_000)));
                sim.peer().accept();
                sim.handshake();
            }
            // The network works again: the link reconnects in bounded time.
            sim.peer().on_dial(OnDial::Accept);
            let well = sim.now();
            while !sim.state().is_usable() {
                if !sim.next_dial() {
                    panic!("{} gave up with seed {seed}", profile.name);
                }
                sim.handshake();
            }
            assert!(sim.now() - well <= secs(120), "{} took {:?}", profile.name, sim.now() - well);
        }
    }
}
