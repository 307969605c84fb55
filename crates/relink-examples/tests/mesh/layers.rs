//! The three layers, each left to its own work.

use std::time::Duration;

use relink::Instant;
use relink_examples::mesh::{MeshEvent, NotSent, PeerState};

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// When the attempts were made, in seconds after the first.
fn attempts(events: &[(Instant, MeshEvent)]) -> Vec<u64> {
    let at: Vec<_> = events
        .iter()
        .filter_map(|(at, event)| matches!(event, MeshEvent::Attempt { .. }).then_some(*at))
        .collect();
    at.iter().map(|then| (*then - at[0]).as_secs()).collect()
}

fn states(events: &[(Instant, MeshEvent)]) -> Vec<PeerState> {
    let to = |event: &MeshEvent| match event {
        MeshEvent::State { to, .. } => Some(*to),
        _ => None,
    };
    events.iter().filter_map(|(_, event)| to(event)).collect()
}

#[test]
fn data_flows_between_all() {
    let mut world = World::with(&["ada", "bob", "cleo"]);
    for (from, to) in [("ada", "bob"), ("bob", "cleo"), ("cleo", "ada")] {
        world.says(from, to, "hello");
    }
}

#[test]
fn an_offer_that_overtakes_the_list_of_members_is_answered_when_it_is_there() {
    let mut world = World::new();
    world.join("ada");
    world.arrive("bob");
    world.run_for(SECOND);
    assert_eq!(world.events("bob"), [], "ada, who offers, is not known yet");
    world.link_up("bob");
    world.run_until(World::all_connected);
    assert!(world.now < Instant::ORIGIN + SECOND * 5, "no ladder was needed: {:?}", world.now);
    world.says("bob", "ada", "hello");
}

#[test]
fn m18_a_first_connection_that_does_not_come_about_in_15_s_is_tried_again() {
    let mut world = World::new();
    world.block("ada", "bob");
    world.join("ada");
    world.join("bob");
    world.run_for(SECOND * 15 - Duration::from_millis(1));
    assert!(attempts(&world.events("ada")).is_empty(), "too early");
    world.run_for(SECOND * 20);
    assert_eq!(attempts(&world.events("ada")), [0, 1, 3, 7, 15]);
    assert_eq!(
        world.state("ada", "bob"),
        PeerState::Connecting,
        "there is nothing to reconnect yet"
    );
    world.unblock();
    world.run_until(World::all_connected);
    world.says("ada", "bob", "at last");
}

#[test]
fn m18_nine_attempts_over_121_s_and_only_that_peer_is_reconnecting() {
    let mut world = World::with(&["ada", "bob", "cleo"]);
    let others = [world.channel("ada", "cleo"), world.channel("cleo", "bob")];
    for name in ["ada", "bob", "cleo"] {
        world.events(name);
    }
    world.block("ada", "bob");
    world.run_until(|world| world.state("ada", "bob") == PeerState::Reconnecting);
    assert_eq!(world.state("ada", "cleo"), PeerState::Connected);
    world.run_for(SECOND * 300);

    assert_eq!(world.state("ada", "bob"), PeerState::Failed);
    for name in ["ada", "bob"] {
        let events = world.events(name);
        assert_eq!(attempts(&events), [0, 1, 3, 7, 15, 31, 61, 91, 121], "{name}");
        assert_eq!(states(&events), [PeerState::Reconnecting, PeerState::Failed], "{name}");
    }
    assert_eq!(world.events("cleo"), [], "nothing happened to cleo");
    assert_eq!([world.channel("ada", "cleo"), world.channel("cleo", "bob")], others);
    world.says("ada", "cleo", "still there");
}

#[test]
fn m18_an_ice_restart_mends_the_same_connection() {
    let mut world = World::with(&["ada", "bob"]);
    let before = ["ada", "bob"].map(|name| {
        world.mesh(name).peers().next().map(|(_, peer)| (peer.id(), peer.connection()))
    });
    world.block("ada", "bob");
    world.run_until(|world| world.state("ada", "bob") == PeerState::Reconnecting);
    world.run_for(SECOND * 20);
    world.unblock();
    world.run_until(World::all_connected);
    let after = ["ada", "bob"].map(|name| {
        world.mesh(name).peers().next().map(|(_, peer)| (peer.id(), peer.connection()))
    });
    assert_eq!(before, after, "the same peer over the same peer connection");
    world.says("ada", "bob", "back");
    world.says("bob", "ada", "so am I");
    world.events("ada");
    world.run_for(SECOND * 60);
    assert_eq!(world.events("ada"), [], "the ladder has ended");
}

#[test]
fn m18_the_ladder_ends_with_the_signalling_link_and_the_reconcile_takes_over() {
    let mut world = World::with(&["ada", "bob"]);
    world.block("ada", "bob");
    world.run_until(|world| world.state("ada", "bob") == PeerState::Reconnecting);
    world.run_for(SECOND * 5);
    world.events("ada");
    world.link_down("ada");
    world.run_for(SECOND * 200);
    assert_eq!(world.events("ada"), [], "no attempts, and no end of them");
    assert_eq!(world.state("ada", "bob"), PeerState::Reconnecting);

    world.unblock();
    world.link_up("ada");
    world.run_until(World::all_connected);
    world.says("ada", "bob", "back");
}

#[test]
fn m18_a_peer_that_was_given_up_comes_back_with_the_reconcile() {
    let mut world = World::with(&["ada", "bob"]);
    world.block("ada", "bob");
    world.run_for(SECOND * 300);
    assert_eq!(world.state("bob", "ada"), PeerState::Failed);
    world.unblock();
    for name in ["ada", "bob"] {
        world.link_down(name);
        world.link_up(name);
    }
    world.run_until(World::all_connected);
    world.says("bob", "ada", "back");
}

#[test]
fn m19_survivors_are_the_same_with_a_fresh_connection_others_have_left_or_joined() {
    // Whoever makes the offers, and whoever was away.
    for away in ["ada", "cleo"] {
        let mut world = World::with(&["ada", "bob", "cleo", "dora"]);
        let here = |world: &mut World| -> Vec<_> {
            let peers = world.mesh(away).peers();
            peers.map(|(name, peer)| (name.to_owned(), peer.id(), peer.connection())).collect()
        };
        let before = here(&mut world);
        world.link_down(away);
        world.leave("dora");
        world.join("eve");
        world.run_for(SECOND);
        assert_eq!(here(&mut world), before, "nobody is gone while nobody can tell");
        world.events(away);

        world.link_up(away);
        world.run_until(World::all_connected);
        let after = here(&mut world);
        let ids = |all: &[(String, _, _)]| -> Vec<_> {
            all.iter().map(|(name, id, _)| (name.clone(), *id)).collect()
        };
        assert_eq!(ids(&after)[..2], ids(&before)[..2], "the same peers");
        for index in 0..2 {
            assert_ne!(after[index].2, before[index].2, "over a fresh connection");
        }
        let told: Vec<_> = world
            .events(away)
            .into_iter()
            .filter_map(|(_, event)| match event {
                MeshEvent::Joined { name, .. } => Some(format!("{name} joined")),
                MeshEvent::Left { name, .. } => Some(format!("{name} left")),
                _ => None,
            })
            .collect();
        assert_eq!(told, ["dora left", "eve joined"]);
        for other in ["bob", "eve"] {
            world.says(away, other, "hello again");
            world.says(other, away, "welcome back");
        }
    }
}

#[test]
fn m19_data_flows_while_the_signalling_link_is_down() {
    let mut world = World::with(&["ada", "bob"]);
    world.link_down("ada");
    world.link_down("bob");
    world.run_for(SECOND * 60);
    world.says("ada", "bob", "peer to peer");
}

#[test]
fn m19_both_come_back_at_once() {
    let mut world = World::with(&["ada", "bob"]);
    for round in 0..3 {
        world.link_down("ada");
        world.link_down("bob");
        world.run_for(SECOND * round);
        world.link_up(if round == 1 { "ada" } else { "bob" });
        world.link_up(if round == 1 { "bob" } else { "ada" });
        world.run_until(World::all_connected);
        world.says("ada", "bob", "back");
        world.says("bob", "ada", "so am I");
    }
}

#[test]
fn m21_channels_are_opened_again_and_handles_from_before_are_dead() {
    let mut world = World::with(&["ada", "bob"]);
    // By a reconcile, and by an ICE restart; from both sides.
    for restart in [false, true] {
        for name in ["ada", "bob"] {
            let other = if name == "ada" { "bob" } else { "ada" };
            let old = [world.channel("ada", "bob"), world.channel("bob", "ada")]
                .map(|channel| channel.expect("open"));
            world.events("ada");
            let now = world.now;
            if restart {
                world.mesh(name).restart(other, now);
            } else {
                world.link_down(name);
                world.link_up(name);
            }
            world.run_until(|world| world.state("ada", "bob") == PeerState::Reconnecting);
            let now = world.now;
            assert_eq!(
                world.mesh("ada").send(&old[0], b"?", now),
                Err(NotSent::Dead),
                "as soon as it is interrupted"
            );
            world.run_until(World::all_connected);
            let now = world.now;
            for (from, old) in ["ada", "bob"].into_iter().zip(&old) {
                assert_eq!(
                    world.mesh(from).send(old, b"?", now),
                    Err(NotSent::Dead),
                    "and for good"
                );
            }
            let opened = |event: &MeshEvent| matches!(event, MeshEvent::Opened(channel) if channel.label() == "data");
            let times = world.events("ada").iter().filter(|(_, event)| opened(event)).count();
            assert_eq!(times, 1, "once for each → connected; restart: {restart}, {name}");
            world.says("ada", "bob", "over the new one");
            world.says("bob", "ada", "over the new one");
        }
    }
}
