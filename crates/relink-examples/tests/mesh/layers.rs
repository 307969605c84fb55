//! The three layers: each recovers alone.

use std::time::Duration;

use relink::Instant;
use relink_examples::mesh::{MeshEvent, NotSent, PeerState};

use crate::network::MeshNetwork;

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
    let mut network = MeshNetwork::with(&["ada", "bob", "cleo"]);
    for (from, to) in [("ada", "bob"), ("bob", "cleo"), ("cleo", "ada")] {
        network.says(from, to, "hello");
    }
}

#[test]
fn an_offer_that_overtakes_the_list_of_members_is_answered_when_it_is_there() {
    let mut network = MeshNetwork::new();
    network.join("ada");
    network.arrive("bob");
    network.run_for(SECOND);
    assert_eq!(network.events("bob"), [], "ada, who offers, is not known yet");
    network.link_up("bob");
    network.run_until(MeshNetwork::all_connected);
    assert!(network.now < Instant::ORIGIN + SECOND * 5, "no ladder was needed: {:?}", network.now);
    network.says("bob", "ada", "hello");
}

#[test]
fn m18_a_first_connection_that_does_not_come_about_in_15_s_is_tried_again() {
    let mut network = MeshNetwork::new();
    network.block("ada", "bob");
    network.join("ada");
    network.join("bob");
    network.run_for(SECOND * 15 - Duration::from_millis(1));
    assert!(attempts(&network.events("ada")).is_empty(), "too early");
    network.run_for(SECOND * 20);
    assert_eq!(attempts(&network.events("ada")), [0, 1, 3, 7, 15]);
    assert_eq!(
        network.state("ada", "bob"),
        PeerState::Connecting,
        "there is nothing to reconnect yet"
    );
    network.unblock();
    network.run_until(MeshNetwork::all_connected);
    network.says("ada", "bob", "at last");
}

#[test]
fn m18_nine_attempts_over_121_s_and_only_that_peer_is_reconnecting() {
    let mut network = MeshNetwork::with(&["ada", "bob", "cleo"]);
    let others = [network.channel("ada", "cleo"), network.channel("cleo", "bob")];
    for name in ["ada", "bob", "cleo"] {
        network.events(name);
    }
    network.block("ada", "bob");
    network.run_until(|network| network.state("ada", "bob") == PeerState::Reconnecting);
    assert_eq!(network.state("ada", "cleo"), PeerState::Connected);
    network.run_for(SECOND * 300);

    assert_eq!(network.state("ada", "bob"), PeerState::Failed);
    for name in ["ada", "bob"] {
        let events = network.events(name);
        assert_eq!(attempts(&events), [0, 1, 3, 7, 15, 31, 61, 91, 121], "{name}");
        assert_eq!(states(&events), [PeerState::Reconnecting, PeerState::Failed], "{name}");
    }
    assert_eq!(network.events("cleo"), [], "nothing happened to cleo");
    assert_eq!([network.channel("ada", "cleo"), network.channel("cleo", "bob")], others);
    network.says("ada", "cleo", "still there");
}

#[test]
fn m18_an_ice_restart_mends_the_same_connection() {
    let mut network = MeshNetwork::with(&["ada", "bob"]);
    let before = ["ada", "bob"].map(|name| {
        network.mesh(name).peers().next().map(|(_, peer)| (peer.id(), peer.connection()))
    });
    network.block("ada", "bob");
    network.run_until(|network| network.state("ada", "bob") == PeerState::Reconnecting);
    network.run_for(SECOND * 20);
    network.unblock();
    network.run_until(MeshNetwork::all_connected);
    let after = ["ada", "bob"].map(|name| {
        network.mesh(name).peers().next().map(|(_, peer)| (peer.id(), peer.connection()))
    });
    assert_eq!(before, after, "the same peer over the same peer connection");
    network.says("ada", "bob", "back");
    network.says("bob", "ada", "so am I");
    network.events("ada");
    network.run_for(SECOND * 60);
    assert_eq!(network.events("ada"), [], "the ladder has ended");
}

#[test]
fn m18_the_ladder_ends_with_the_signalling_link_and_the_reconcile_takes_over() {
    let mut network = MeshNetwork::with(&["ada", "bob"]);
    network.block("ada", "bob");
    network.run_until(|network| network.state("ada", "bob") == PeerState::Reconnecting);
    network.run_for(SECOND * 5);
    network.events("ada");
    network.link_down("ada");
    network.run_for(SECOND * 200);
    assert_eq!(network.events("ada"), [], "no attempts, and no end of them");
    assert_eq!(network.state("ada", "bob"), PeerState::Reconnecting);

    network.unblock();
    network.link_up("ada");
    network.run_until(MeshNetwork::all_connected);
    network.says("ada", "bob", "back");
}

#[test]
fn m18_a_peer_that_was_given_up_comes_back_with_the_reconcile() {
    let mut network = MeshNetwork::with(&["ada", "bob"]);
    network.block("ada", "bob");
    network.run_for(SECOND * 300);
    assert_eq!(network.state("bob", "ada"), PeerState::Failed);
    network.unblock();
    for name in ["ada", "bob"] {
        network.link_down(name);
        network.link_up(name);
    }
    network.run_until(MeshNetwork::all_connected);
    network.says("bob", "ada", "back");
}

#[test]
fn m19_survivors_are_the_same_with_a_fresh_connection_others_have_left_or_joined() {
    // Whichever side makes the offers, and whichever was away.
    for away in ["ada", "cleo"] {
        let mut network = MeshNetwork::with(&["ada", "bob", "cleo", "dora"]);
        let here = |network: &mut MeshNetwork| -> Vec<_> {
            let peers = network.mesh(away).peers();
            peers.map(|(name, peer)| (name.to_owned(), peer.id(), peer.connection())).collect()
        };
        let before = here(&mut network);
        network.link_down(away);
        network.leave("dora");
        network.join("eve");
        network.run_for(SECOND);
        assert_eq!(here(&mut network), before, "no member leaves while the link is down");
        network.events(away);

        network.link_up(away);
        network.run_until(MeshNetwork::all_connected);
        let after = here(&mut network);
        let ids = |all: &[(String, _, _)]| -> Vec<_> {
            all.iter().map(|(name, id, _)| (name.clone(), *id)).collect()
        };
        assert_eq!(ids(&after)[..2], ids(&before)[..2], "the same peers");
        for index in 0..2 {
            assert_ne!(after[index].2, before[index].2, "over a fresh connection");
        }
        let told: Vec<_> = network
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
            network.says(away, other, "hello again");
            network.says(other, away, "welcome back");
        }
    }
}

#[test]
fn m19_data_flows_while_the_signalling_link_is_down() {
    let mut network = MeshNetwork::with(&["ada", "bob"]);
    network.link_down("ada");
    network.link_down("bob");
    network.run_for(SECOND * 60);
    network.says("ada", "bob", "peer to peer");
}

#[test]
fn m19_both_come_back_at_once() {
    let mut network = MeshNetwork::with(&["ada", "bob"]);
    for round in 0..3 {
        network.link_down("ada");
        network.link_down("bob");
        network.run_for(SECOND * round);
        network.link_up(if round == 1 { "ada" } else { "bob" });
        network.link_up(if round == 1 { "bob" } else { "ada" });
        network.run_until(MeshNetwork::all_connected);
        network.says("ada", "bob", "back");
        network.says("bob", "ada", "so am I");
    }
}

#[test]
fn m21_channels_are_opened_again_and_handles_from_before_are_dead() {
    let mut network = MeshNetwork::with(&["ada", "bob"]);
    // By a reconcile and by an ICE restart, from both sides.
    for restart in [false, true] {
        for name in ["ada", "bob"] {
            let other = if name == "ada" { "bob" } else { "ada" };
            let old = [network.channel("ada", "bob"), network.channel("bob", "ada")]
                .map(|channel| channel.expect("open"));
            network.events("ada");
            let now = network.now;
            if restart {
                network.mesh(name).restart(other, now);
            } else {
                network.link_down(name);
                network.link_up(name);
            }
            network.run_until(|network| network.state("ada", "bob") == PeerState::Reconnecting);
            let now = network.now;
            assert_eq!(
                network.mesh("ada").send(&old[0], b"?", now),
                Err(NotSent::Dead),
                "as soon as it is interrupted"
            );
            network.run_until(MeshNetwork::all_connected);
            let now = network.now;
            for (from, old) in ["ada", "bob"].into_iter().zip(&old) {
                assert_eq!(
                    network.mesh(from).send(old, b"?", now),
                    Err(NotSent::Dead),
                    "and for good"
                );
            }
            let opened = |event: &MeshEvent| matches!(event, MeshEvent::Opened(channel) if channel.label() == "data");
            let times = network.events("ada").iter().filter(|(_, event)| opened(event)).count();
            assert_eq!(times, 1, "once for each → connected; restart: {restart}, {name}");
            network.says("ada", "bob", "over the new one");
            network.says("bob", "ada", "over the new one");
        }
    }
}
