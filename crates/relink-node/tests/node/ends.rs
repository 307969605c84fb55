//! How connections end, and what a shutdown does.

use relink::{CloseCode, CloseFrame};
use relink_node::{DrainConfig, NodeConfig, NodeEvent, NodeInput};
use relink_v1::ServerFrame;

use crate::world::{World, lobby, secs};

#[test]
fn w10_a_connection_silent_for_30_s_is_closed_with_4000() {
    let mut world = World::new(1);
    let (silent, session) = world.join(0, "ada");
    let (alive, _) = world.join(0, "bob");
    world.peers.get_mut(&silent).expect("a peer").pings = false;
    world.pass(secs(29));
    assert_eq!(world.close_code(silent), None);
    world.pass(secs(11));
    assert_eq!(world.close_code(silent), Some(4000));
    assert_eq!(world.close_code(alive), None);
    assert_eq!(world.nodes[0].stats().silent, 1);
    assert!(world.come_back(0, "ada", &session).1.resumed, "and its session goes on");
}

#[test]
fn w12_a_shutdown_sends_everyone_away_with_1001_and_cleans_up() {
    let config =
        NodeConfig::default().with_drain(DrainConfig::default().with_capacity_per_second(1));
    let mut world = World::with(2, config);
    let ids: Vec<_> = (0..10).map(|_| world.join(0, "ada").0).collect();
    for id in &ids {
        world.subscribe(*id, &lobby(), None);
        world.take(*id);
    }
    world.events();
    world.give(0, NodeInput::Drain);
    let mut hints = Vec::new();
    for id in &ids {
        assert_eq!(world.close_code(*id), Some(1001));
        for frame in world.take(*id) {
            if let ServerFrame::GoingAway { retry_after } = frame {
                hints.push(retry_after);
            }
        }
    }
    assert_eq!(hints.len(), 10, "told before the close");
    hints.dedup();
    assert_eq!(hints.len(), 10, "spread");
    assert!(world.watched[0].is_empty() && world.nodes[0].connections() == 0);
    assert!(matches!(world.events().last(), Some(NodeEvent::Drained)));
    let id = world.open(0);
    assert_eq!(world.close_code(id), Some(1001), "nobody comes in any more");
    assert!(
        world.peers[&id]
            .closed
            .as_ref()
            .is_some_and(|frame| frame.reason.starts_with("retry-after="))
    );
}

#[test]
fn w12_a_node_that_lingers_serves_those_whose_turn_has_not_come() {
    let drain = DrainConfig::default().with_capacity_per_second(1).with_linger(secs(2));
    let mut world = World::with(2, NodeConfig::default().with_drain(drain));
    let ids: Vec<_> = (0..4).map(|_| world.join(0, "ada").0).collect();
    world.events();
    world.give(0, NodeInput::Drain);
    let open = |world: &World| ids.iter().filter(|id| world.close_code(**id).is_none()).count();
    assert_eq!(open(&world), 3, "the first one leaves at once");
    let late = world.open(0);
    assert_eq!(world.close_code(late), Some(1001), "nobody comes in any more");
    world.send(ids[3], 1, "still here");
    assert!(world.take(ids[3]).contains(&ServerFrame::Ack { serial: 1 }));
    world.pass(secs(1));
    assert_eq!(open(&world), 2);
    world.pass(secs(1));
    assert_eq!(
        open(&world),
        0,
        "the third in its turn, and the fourth as the node waits no longer"
    );
    let told = |frame| {
        if let ServerFrame::GoingAway { retry_after } = frame { Some(retry_after) } else { None }
    };
    let hints: Vec<_> = ids
        .iter()
        .map(|id| world.take(*id).into_iter().find_map(told).expect("told before the close"))
        .collect();
    assert_eq!(hints, [1, 1, 1, 2].map(secs));
    assert!(matches!(world.events().last(), Some(NodeEvent::Drained)));
}

#[test]
fn w12_what_was_sent_before_a_shutdown_is_stored_and_acknowledged() {
    let mut world = World::new(2);
    let (id, session) = world.join(0, "ada");
    world.hold_application = true;
    world.send(id, 1, "last words");
    world.give(0, NodeInput::Drain);
    assert_eq!(world.heard(id), ["going away"]);
    assert!(!world.nodes[0].may_read(id), "and no more of them");
    world.let_application_go();
    assert_eq!(world.heard(id), ["ack 1", "error going_away"]);
    assert_eq!(world.close_code(id), Some(1001));
    let (_, welcome) = world.come_back(1, "ada", &session);
    assert_eq!((welcome.resumed, welcome.received), (true, 1));
}

#[test]
fn w12_a_shutdown_does_not_wait_for_ever() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.hold_application = true;
    world.send(id, 1, "work without end");
    world.give(0, NodeInput::Drain);
    world.pass(secs(4));
    assert_eq!(world.close_code(id), None);
    world.pass(secs(1));
    assert_eq!(world.close_code(id), Some(1001));
    assert!(world.events().contains(&NodeEvent::Drained));
}

#[test]
fn a_user_who_is_thrown_out_is_out_everywhere_here_and_for_good() {
    let mut world = World::new(1);
    let (one, session) = world.join(0, "ada");
    let (two, _) = world.join(0, "ada");
    let (other, _) = world.join(0, "bob");
    world.be_seen(other, &lobby(), "");
    world.be_seen(one, &lobby(), "");
    world.take(other);
    let frame = CloseFrame::new(CloseCode::ADMIN_DISCONNECT, "enough");
    world.give(0, NodeInput::Kick { user: "ada".into(), frame });
    assert_eq!((world.close_code(one), world.close_code(two)), (Some(4020), Some(4020)));
    assert_eq!(world.close_code(other), None);
    assert_eq!(world.heard(two), ["error admin_disconnect"]);
    assert_eq!(world.heard(other), ["left ada"], "at once");
    assert!(!world.come_back(0, "ada", &session).1.resumed);
}

#[test]
fn w16_how_long_connections_lasted_is_counted() {
    let mut world = World::new(1);
    for minutes in 1..=3 {
        let (id, _) = world.join(0, "ada");
        world.pass(secs(60 * minutes));
        world.hang_up(id, 1006);
    }
    let stats = world.nodes[0].stats();
    assert_eq!((stats.connected_for.count(), stats.opened, stats.connections), (3, 3, 0));
    assert!(stats.connected_for.quantile(50).is_some_and(|median| median >= secs(120)));
}

#[test]
fn an_idle_connection_leaves_no_deadline_behind() {
    let mut world = World::new(1);
    for code in [1000, 1006] {
        let (id, _) = world.join(0, "ada");
        world.be_seen(id, &lobby(), "");
        world.hang_up(id, code);
    }
    world.pass(secs(300));
    assert_eq!(world.nodes[0].poll_timeout(), None);
    assert_eq!((world.history.sessions(), world.watched[0].len()), (0, 0));
}
