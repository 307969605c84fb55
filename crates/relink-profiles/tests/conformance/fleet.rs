//! W21 and W23: many links, and a bad network.

use std::collections::BTreeMap;

use rand_pcg::Pcg32;
use relink::Failure;
use relink::link::Hint;
use relink::policy::Jitter;
use relink::rand_core::{Rng, SeedableRng};
use relink_profiles::{ALL, managed_websocket, metered};
use relink_sim::{OnDial, millis, secs};

use crate::support::Rig;

#[test]
fn w23_a_fleet_that_lost_its_server_does_not_come_back_at_the_same_moment() {
    for profile in ALL {
        let config = (profile.config)();
        if config.link.backoff.jitter == Jitter::None {
            continue; // deepstream and Serverpod, whose documents have none
        }
        let mut by_tenth = BTreeMap::<u128, u32>::new();
        for seed in 0..400 {
            let mut rig = Rig::seeded(profile, config, seed);
            rig.stable();
            let lost = rig.outage();
            // By the fifth attempt the fleet has forgotten when it lost its server.
            while rig.dialled_after(lost).len() < 5 {
                rig.next_dial();
            }
            let fifth = rig.dialled_after(lost)[4];
            *by_tenth.entry(fifth.as_millis() / 100).or_default() += 1;
        }
        let fullest = by_tenth.values().max().unwrap();
        assert!(by_tenth.len() >= 20, "{}: {} tenths of a second", profile.name, by_tenth.len());
        assert!(*fullest <= 60, "{}: {fullest} of 400 in a tenth of a second", profile.name);
    }
}

/// Everything that a network does, by dice: loss of whole transports, silence, refusals, deploys,
/// partitions, sleep.
#[test]
fn w21_it_comes_through_loss_latency_deploys_and_partitions() {
    for profile in [&managed_websocket::PROFILE_PROSE, &metered::PROFILE] {
        for seed in 0..60 {
            let mut config = (profile.config)();
            config.link.budget.max_attempts = None;
            config.link.budget.breaker = None;
            let mut rig = Rig::seeded(profile, config, seed);
            let mut dice = Pcg32::seed_from_u64(seed);
            rig.up();
            for _ in 0..60 {
                match dice.next_u32() % 8 {
                    0 => rig.peer().reset(),               // a connection is lost
                    1 => rig.peer().silence(),             // packets are, and nobody says so
                    2 => rig.peer().close(1001),           // a rolling deploy
                    3 => rig.peer().on_dial(OnDial::Hold), // a partition that swallows
                    4 => rig.peer().on_dial(OnDial::Refuse(Failure::Unreachable)), // one that answers
                    5 => rig.hint(Hint::Online),
                    6 => rig.sleep(secs(u64::from(dice.next_u32() % 600))),
                    _ => rig.peer().on_dial(OnDial::Accept),
                }
                rig.handshake();
                rig.advance(millis(u64::from(dice.next_u32() % 20_000)));
                rig.peer().accept();
                rig.handshake();
            }
            // The network is well again: it is found again, in bounded time.
            rig.peer().on_dial(OnDial::Accept);
            let well = rig.now();
            while !rig.state().is_usable() {
                if !rig.next_dial() {
                    panic!("{} gave up with seed {seed}", profile.name);
                }
                rig.handshake();
            }
            assert!(rig.now() - well <= secs(120), "{} took {:?}", profile.name, rig.now() - well);
        }
    }
}
