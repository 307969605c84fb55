//! How connections end, and what a shutdown does.

use relink::{CloseCode, CloseFrame};
use relink_node::{DrainConfig, NodeConfig, NodeEvent, NodeInput};
use relink_sim::cluster::TaskKind;
use relink_v1::ServerFrame;

use crate::support::{Cluster, Short, lobby, nodes, nodes_with, secs};

#[test]
fn w10_a_connection_silent_for_30_s_is_closed_with_4000() {
    let mut cluster = nodes(1);
    let (silent, session) = cluster.join(0, "ada");
    let (alive, _) = cluster.join(0, "bob");
    cluster.peer_mut(silent).pings = false;
    cluster.advance(secs(29));
    assert_eq!(cluster.close_code(silent), None);
    cluster.advance(secs(11));
    assert_eq!(cluster.close_code(silent), Some(4000));
    assert_eq!(cluster.close_code(alive), None);
    assert_eq!(cluster.node(0).stats().silent, 1);
    assert!(cluster.come_back(0, "ada", &session).1.resumed, "and its session goes on");
}

#[test]
fn w12_a_shutdown_sends_everyone_away_with_1001_and_cleans_up() {
    let config =
        NodeConfig::default().with_drain(DrainConfig::default().with_capacity_per_second(1));
    let mut cluster = nodes_with(2, config);
    let ids: Vec<_> = (0..10).map(|_| cluster.join(0, "ada").0).collect();
    for id in &ids {
        cluster.subscribe(*id, &lobby(), None);
        cluster.take(*id);
    }
    cluster.take_node_events();
    cluster.give(0, NodeInput::Drain);
    let mut hints = Vec::new();
    for id in &ids {
        assert_eq!(cluster.close_code(*id), Some(1001));
        for frame in cluster.take(*id) {
            if let ServerFrame::GoingAway { retry_after } = frame {
                hints.push(retry_after);
            }
        }
    }
    assert_eq!(hints.len(), 10, "told before the close");
    hints.dedup();
    assert_eq!(hints.len(), 10, "spread");
    assert!(cluster.watched(0).is_empty() && cluster.node(0).connections() == 0);
    assert!(matches!(cluster.take_node_events().last(), Some(NodeEvent::Drained)));
    let id = cluster.open(0);
    assert_eq!(cluster.close_code(id), Some(1001), "new connections are refused");
    assert!(
        cluster
            .peer(id)
            .closed
            .as_ref()
            .is_some_and(|frame| frame.reason.starts_with("retry-after="))
    );
}

#[test]
fn w12_a_node_that_lingers_serves_those_whose_turn_has_not_come() {
    let drain = DrainConfig::default().with_capacity_per_second(1).with_linger(secs(2));
    let mut cluster = nodes_with(2, NodeConfig::default().with_drain(drain));
    let ids: Vec<_> = (0..4).map(|_| cluster.join(0, "ada").0).collect();
    cluster.take_node_events();
    cluster.give(0, NodeInput::Drain);
    let open =
        |cluster: &Cluster| ids.iter().filter(|id| cluster.close_code(**id).is_none()).count();
    assert_eq!(open(&cluster), 3, "the first one leaves at once");
    let late = cluster.open(0);
    assert_eq!(cluster.close_code(late), Some(1001), "new connections are refused");
    cluster.send(ids[3], 1, "still here");
    assert!(cluster.take(ids[3]).contains(&ServerFrame::Ack { serial: 1 }));
    cluster.advance(secs(1));
    assert_eq!(open(&cluster), 2);
    cluster.advance(secs(1));
    assert_eq!(
        open(&cluster),
        0,
        "the third in its turn, and the fourth as the node waits no longer"
    );
    let told = |frame| {
        if let ServerFrame::GoingAway { retry_after } = frame { Some(retry_after) } else { None }
    };
    let hints: Vec<_> = ids
        .iter()
        .map(|id| cluster.take(*id).into_iter().find_map(told).expect("told before the close"))
        .collect();
    assert_eq!(hints, [1, 1, 1, 2].map(secs));
    assert!(matches!(cluster.take_node_events().last(), Some(NodeEvent::Drained)));
}

#[test]
fn w12_what_was_sent_before_a_shutdown_is_stored_and_acknowledged() {
    let mut cluster = nodes(2);
    let (id, session) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Handle);
    cluster.send(id, 1, "last words");
    cluster.give(0, NodeInput::Drain);
    assert_eq!(cluster.heard(id), ["going away"]);
    assert!(!cluster.node(0).may_read(id), "and no more of them");
    cluster.release(TaskKind::Handle);
    assert_eq!(cluster.heard(id), ["ack 1", "error going_away"]);
    assert_eq!(cluster.close_code(id), Some(1001));
    let (_, welcome) = cluster.come_back(1, "ada", &session);
    assert_eq!((welcome.resumed, welcome.received), (true, 1));
}

#[test]
fn w12_a_shutdown_does_not_wait_for_ever() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Handle);
    cluster.send(id, 1, "work without end");
    cluster.give(0, NodeInput::Drain);
    cluster.advance(secs(4));
    assert_eq!(cluster.close_code(id), None);
    cluster.advance(secs(1));
    assert_eq!(cluster.close_code(id), Some(1001));
    assert!(cluster.take_node_events().contains(&NodeEvent::Drained));
}

#[test]
fn a_user_who_is_thrown_out_is_out_everywhere_here_and_for_good() {
    let mut cluster = nodes(1);
    let (one, session) = cluster.join(0, "ada");
    let (two, _) = cluster.join(0, "ada");
    let (other, _) = cluster.join(0, "bob");
    cluster.be_seen(other, &lobby(), "");
    cluster.be_seen(one, &lobby(), "");
    cluster.take(other);
    let frame = CloseFrame::new(CloseCode::ADMIN_DISCONNECT, "enough");
    cluster.give(0, NodeInput::Kick { user: "ada".into(), frame });
    assert_eq!((cluster.close_code(one), cluster.close_code(two)), (Some(4020), Some(4020)));
    assert_eq!(cluster.close_code(other), None);
    assert_eq!(cluster.heard(two), ["error admin_disconnect"]);
    assert_eq!(cluster.heard(other), ["left ada"], "at once");
    assert!(!cluster.come_back(0, "ada", &session).1.resumed);
}

#[test]
fn w16_how_long_connections_lasted_is_counted() {
    let mut cluster = nodes(1);
    for minutes in 1..=3 {
        let (id, _) = cluster.join(0, "ada");
        cluster.advance(secs(60 * minutes));
        cluster.hang_up(id, 1006);
    }
    let stats = cluster.node(0).stats();
    assert_eq!((stats.connected_for.count(), stats.opened, stats.connections), (3, 3, 0));
    assert!(stats.connected_for.quantile(50).is_some_and(|median| median >= secs(120)));
}

#[test]
fn an_idle_connection_leaves_no_deadline_behind() {
    let mut cluster = nodes(1);
    for code in [1000, 1006] {
        let (id, _) = cluster.join(0, "ada");
        cluster.be_seen(id, &lobby(), "");
        cluster.hang_up(id, code);
    }
    cluster.advance(secs(300));
    assert_eq!(cluster.node(0).poll_timeout(), None);
    assert_eq!((cluster.store().sessions(), cluster.watched(0).len()), (0, 0));
}
