//! What holds for every profile.

use std::collections::BTreeSet;

use relink::{Address, Event, Plain, Protocol as _, Reason, Session, State};
use relink_profiles::{ALL, StateMapper, by_name};

use crate::support::ProfileSim;

#[test]
fn every_profile_is_found_by_its_name_and_can_work() {
    let names: BTreeSet<_> = ALL.iter().map(|profile| profile.name).collect();
    assert_eq!(names.len(), ALL.len(), "each name once");
    for profile in ALL {
        assert_eq!(by_name(profile.name).unwrap().name, profile.name);
        assert!(
            profile.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        );
        assert!(!profile.about.is_empty());
        let address = Address::from("ws://peer");
        let rng = rand_pcg::Pcg32::new(0, 0);
        let session = Session::new(
            (profile.config)(),
            vec![address.clone()],
            (profile.protocol)(&address),
            rng,
        );
        assert_eq!(session.err(), None, "{}", profile.name);
    }
    assert!(by_name("no such").is_none());
}

#[test]
fn every_profile_gets_to_a_usable_link_and_back() {
    for profile in ALL {
        let mut sim = ProfileSim::new(profile);
        sim.stable();
        sim.outage();
        sim.advance(relink_sim::millis(1_400));
        sim.up();
        assert!(sim.dials().len() > 1, "{}", profile.name);
        sim.close(1000);
        let changes = sim.changes();
        let ends: Vec<_> = changes
            .iter()
            .map(|change| change.split(" (").next().unwrap().split_once(" → ").unwrap())
            .collect();
        assert!(
            ends.windows(2).all(|pair| pair[0].1 == pair[1].0),
            "{}: {changes:?}",
            profile.name
        );
        assert!(changes.len() >= 3, "{}: {changes:?}", profile.name);
    }
}

#[test]
fn a_narrator_tells_of_changes_alone() {
    let profile = by_name("default").unwrap();
    let mut states = StateMapper::new(profile);
    assert_eq!(states.label().state, "idle");
    let (from, to) = (State::Idle, State::Connected);
    let event = Event::State { from, to, reason: Reason::Opened };
    assert_eq!(states.observe(&event).unwrap().to_string(), "idle → connected");
    assert_eq!(states.observe(&event), None);
    assert_eq!(states.observe(&Event::Connected { is_reconnect: false }), None);
    assert!(!Plain::default().acknowledges());
}
