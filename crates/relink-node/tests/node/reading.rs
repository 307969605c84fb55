//! When a connection is read: a slow application, a peer that does not read its answers, and one
//! that is gone meanwhile.

use relink::Channel;
use relink_node::{LivenessConfig, NodeAction, NodeConfig, NodeInput};
use relink_sim::cluster::{TaskDetail, TaskKind};
use relink_v1::{ClientFrame, Codec};

use crate::support::{Cluster, Short, commits, lobby, nodes, nodes_with, secs};

fn busy(max_unhandled: usize) -> Cluster {
    let mut cluster = nodes_with(1, NodeConfig::default().with_max_unhandled(max_unhandled));
    cluster.hold(TaskKind::Handle);
    cluster
}

#[test]
fn a_busy_application_stops_the_reading_until_it_has_room() {
    let mut cluster = busy(3);
    let (id, _) = cluster.join(0, "ada");
    for serial in 1..=4 {
        assert!(cluster.node(0).may_read(id), "before no. {serial}");
        cluster.send(id, serial, "work");
    }
    assert!(!cluster.node(0).may_read(id), "one more than a client may have on their way");
    assert_eq!(cluster.node(0).stats().unhandled, 4);
    cluster.advance(secs(4));
    assert!(!cluster.node(0).may_read(id));
    cluster.env.ready.clear();
    cluster.release(TaskKind::Handle);
    assert!(cluster.node(0).may_read(id));
    assert!(cluster.env.ready.contains(&id), "and the driver is told");
    assert_eq!((cluster.node(0).stats().unhandled, cluster.node(0).stats().unhandled_peak), (0, 4));
    assert_eq!(cluster.close_code(id), None);
}

#[test]
fn a_single_message_of_any_size_does_not_stop_the_reading() {
    let mut cluster = nodes_with(1, NodeConfig::default().with_max_unhandled_bytes(10));
    cluster.hold(TaskKind::Handle);
    let (id, _) = cluster.join(0, "ada");
    cluster.send(id, 1, "a message of more than ten bytes");
    assert!(cluster.node(0).may_read(id));
    cluster.send(id, 2, "x");
    assert!(!cluster.node(0).may_read(id));
}

#[test]
fn heartbeats_are_answered_behind_any_number_of_messages_that_nobody_handles() {
    for behind in [1, 3, 4, 5, 10, 200] {
        let mut cluster = busy(3);
        let (id, session) = cluster.join(0, "ada");
        let mut next = 1;
        for nonce in 1..=20 {
            while next <= behind && cluster.node(0).may_read(id) {
                cluster.send(id, next, "work");
                next += 1;
            }
            if cluster.node(0).may_read(id) {
                cluster.say(id, &ClientFrame::Heartbeat { nonce, sent: next - 1 });
                assert_eq!(cluster.heard(id), [format!("heartbeat {nonce} 0")], "{behind} behind");
            }
            cluster.advance(secs(10));
            assert!(cluster.node(0).may_read(id), "{behind}: not for ever");
        }
        assert_eq!(cluster.close_code(id), None, "{behind}");
        assert!(cluster.node(0).stats().unhandled <= 4, "{behind}: and the memory is bounded");
        cluster.release(TaskKind::Handle);
        let id = if behind > 4 {
            assert_eq!(cluster.close_code(id), Some(4100), "{behind}: the rest is wanted now");
            let (id, welcome) = cluster.come_back(0, "ada", &session);
            assert_eq!(welcome.received, 4, "{behind}: all that was taken in");
            for serial in welcome.received + 1..=behind {
                cluster.send(id, serial, "work");
            }
            id
        } else {
            id
        };
        assert_eq!(cluster.heard(id).last().expect("an ack"), &format!("ack {behind}"));
        assert_eq!(cluster.env.handled.len() as u64, behind, "each once");
        assert_eq!(commits(&cluster.env.requests), (1..=behind).collect::<Vec<_>>());
    }
}

#[test]
fn a_client_that_says_nothing_is_noticed_whatever_the_application_does() {
    let mut cluster = busy(3);
    let (id, _) = cluster.join(0, "ada");
    for serial in 1..=4 {
        cluster.send(id, serial, "work");
    }
    cluster.peer_mut(id).pings = false;
    cluster.advance(secs(50));
    assert_eq!(cluster.close_code(id), Some(4000));
}

#[test]
fn what_the_application_has_begun_is_finished_and_counts_after_a_resume() {
    let mut cluster = busy(64);
    let (mut id, session) = cluster.join(0, "ada");
    cluster.send(id, 1, "slow");
    for serial in 2..=5 {
        cluster.send(id, serial, "next");
    }
    // The network fails again and again while the application works.
    for _ in 0..5 {
        cluster.hang_up(id, 1006);
        cluster.advance(secs(3));
        let (new, welcome) = cluster.come_back(0, "ada", &session);
        assert_eq!((welcome.resumed, welcome.received), (true, 0));
        id = new;
        for serial in 1..=5 {
            cluster.send(id, serial, if serial == 1 { "slow" } else { "next" });
        }
        cluster.advance(secs(3));
    }
    assert_eq!(cluster.env.handled.len(), 1, "it is not started again");
    cluster.release(TaskKind::Handle);
    assert_eq!(cluster.heard(id).last().expect("an ack"), "ack 5");
    assert_eq!(commits(&cluster.env.requests), [1, 2, 3, 4, 5]);
    let handled: Vec<_> = cluster.env.handled.iter().filter_map(|(serial, _)| *serial).collect();
    assert_eq!(handled, [1, 2, 3, 4, 5], "each once");
    assert_eq!(cluster.node(0).stats().unhandled, 0);
}

#[test]
fn an_effect_that_was_not_stored_before_a_resume_is_stored_after_it() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Store);
    cluster.send(id, 1, "one");
    cluster.send(id, 2, "two");
    cluster.env.held.clear(); // The store never hears of it.
    cluster.stop_holding(TaskKind::Store);
    cluster.env.requests.clear();
    cluster.hang_up(id, 1006);
    let (id, welcome) = cluster.come_back(0, "ada", &session);
    assert_eq!(welcome.received, 0);
    assert!(commits(&cluster.env.requests).is_empty(), "not before the client sends them again");
    cluster.send(id, 1, "one");
    cluster.send(id, 2, "two");
    assert_eq!(cluster.env.handled.len(), 2);
    assert_eq!(cluster.heard(id), ["ack 1", "ack 2"]);
}

#[test]
fn a_message_to_another_channel_is_another_message() {
    let mut cluster = busy(64);
    let (id, session) = cluster.join(0, "ada");
    cluster.send(id, 1, "the same words");
    cluster.hang_up(id, 1006);
    let (id, _) = cluster.come_back(0, "ada", &session);
    cluster.message(id, Some(1), None, "the same words");
    cluster.release(TaskKind::Handle);
    assert_eq!(cluster.env.handled.len(), 2, "the answer to the first one goes nowhere");
    assert_eq!(cluster.heard(id), ["ack 1"]);
    assert_eq!(commits(&cluster.env.requests), [1]);
}

#[test]
fn the_application_has_one_message_of_a_session_at_a_time_over_any_number_of_resumes() {
    let mut cluster = busy(64);
    let (mut id, session) = cluster.join(0, "ada");
    for process in 0..10 {
        cluster.send(id, 1, &format!("of process {process}"));
        cluster.hang_up(id, 1006);
        id = cluster.come_back(0, "ada", &session).0;
    }
    assert_eq!(cluster.env.handled.len(), 1);
}

#[test]
fn a_message_without_a_serial_that_was_begun_is_finished_after_a_resume() {
    let mut cluster = busy(64);
    let (reader, _) = cluster.join(0, "bob");
    cluster.subscribe(reader, &lobby(), None);
    let (id, session) = cluster.join(0, "ada");
    cluster.message(id, None, Some(lobby()), "first");
    cluster.message(id, None, Some(lobby()), "second");
    cluster.hang_up(id, 1006);
    let (id, _) = cluster.come_back(0, "ada", &session);
    cluster.send(id, 1, "third");
    cluster.release(TaskKind::Handle);
    assert_eq!(cluster.heard(reader), ["subscribed 0 true", "1: first", "2: second", "3: third"]);
}

#[test]
fn a_shutdown_does_not_wait_for_what_nobody_sends_again() {
    let mut cluster = busy(64);
    let (id, session) = cluster.join(0, "ada");
    cluster.send(id, 1, "slow");
    cluster.hang_up(id, 1006);
    let (id, _) = cluster.come_back(0, "ada", &session);
    cluster.give(0, NodeInput::Drain);
    assert_eq!(cluster.close_code(id), Some(1001), "at once");
    assert!(cluster.take_node_events().contains(&relink_node::NodeEvent::Drained));
}

#[test]
fn a_socket_that_takes_nothing_is_closed_with_1008_however_much_its_peer_says() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.give(0, NodeInput::Blocked { id });
    cluster.advance(secs(29));
    assert_eq!(cluster.close_code(id), None);
    cluster.give(0, NodeInput::Flowing { id });
    cluster.give(0, NodeInput::Blocked { id });
    cluster.advance(secs(29));
    assert_eq!(cluster.close_code(id), None, "it reads, slowly");
    cluster.advance(secs(2));
    assert_eq!(cluster.close_code(id), Some(1008));
}

#[test]
fn a_socket_that_takes_nothing_and_is_not_read_is_not_blamed_for_silence() {
    let silence = LivenessConfig::default().with_check_every(secs(1));
    let mut cluster = nodes_with(1, NodeConfig::default().with_liveness(silence));
    let (id, _) = cluster.join(0, "ada");
    cluster.peer_mut(id).pings = false;
    cluster.advance(secs(2));
    cluster.give(0, NodeInput::Blocked { id });
    cluster.advance(secs(29));
    assert_eq!(cluster.close_code(id), Some(1008));
}

#[test]
fn a_connections_place_is_free_when_nothing_that_it_sent_is_under_way() {
    let mut cluster = busy(64);
    let (id, session) = cluster.join(0, "ada");
    cluster.send(id, 1, "slow");
    cluster.hang_up(id, 1006);
    assert!(cluster.env.released.is_empty(), "the application has one of its messages");
    let (new, _) = cluster.come_back(0, "ada", &session);
    assert_eq!(cluster.env.released, [id], "it is the new one's now");
    cluster.send(new, 1, "slow");
    cluster.hang_up(new, 1006);
    cluster.release(TaskKind::Handle);
    assert_eq!(cluster.env.released, [id, new]);
    let never_welcome = cluster.open(0);
    cluster.hang_up(never_welcome, 1006);
    let (kicked, _) = cluster.join(0, "eve");
    cluster.give(
        0,
        NodeInput::Kick { user: "eve".into(), frame: relink::CloseCode::ADMIN_DISCONNECT.into() },
    );
    assert_eq!(cluster.env.released, [id, new, never_welcome, kicked]);
}

fn limited() -> Cluster {
    let liveness = LivenessConfig::default().with_message_timeout(Some(secs(40)));
    nodes_with(1, NodeConfig::default().with_liveness(liveness))
}

#[test]
fn a_message_that_takes_longer_than_the_application_allows_is_closed_with_4000() {
    for (mut cluster, code) in [(limited(), Some(4000)), (nodes(1), None)] {
        let (id, _) = cluster.join(0, "ada");
        for _ in 0..13 {
            assert_eq!(cluster.close_code(id), None);
            cluster.give(0, NodeInput::Arriving { id });
            cluster.advance(secs(3));
        }
        assert_eq!(cluster.close_code(id), None, "after 39 s");
        cluster.advance(secs(2));
        assert_eq!(cluster.close_code(id), code);
    }
}

#[test]
fn each_message_has_its_own_time_to_arrive() {
    let mut cluster = limited();
    let (id, _) = cluster.join(0, "ada");
    for serial in 1..=10 {
        cluster.give(0, NodeInput::Arriving { id });
        cluster.advance(secs(30));
        cluster.send(id, serial, "whole");
    }
    cluster.advance(secs(300));
    assert_eq!(cluster.close_code(id), None, "nothing is under way");
}

#[test]
fn time_in_which_a_connection_is_not_read_makes_no_message_late() {
    let mut cluster = limited();
    let (id, _) = cluster.join(0, "ada");
    cluster.give(0, NodeInput::Arriving { id });
    cluster.advance(secs(30));
    cluster.give(0, NodeInput::Blocked { id });
    cluster.advance(secs(20));
    cluster.give(0, NodeInput::Flowing { id });
    cluster.advance(secs(39));
    assert_eq!(cluster.close_code(id), None, "it has all its time again");
    cluster.advance(secs(2));
    assert_eq!(cluster.close_code(id), Some(4000));
}

#[test]
fn a_node_that_slept_blames_no_message() {
    let mut cluster = limited();
    let (id, _) = cluster.join(0, "ada");
    cluster.give(0, NodeInput::Arriving { id });
    cluster.suspend(secs(100));
    cluster.give(0, NodeInput::Timeout);
    assert_eq!(cluster.close_code(id), None);
    cluster.advance(secs(39));
    assert_eq!(cluster.close_code(id), None);
    cluster.advance(secs(2));
    assert_eq!(cluster.close_code(id), Some(4000));
}

#[test]
fn what_a_client_has_not_sent_again_takes_no_connections_place() {
    let mut cluster = busy(64);
    let (id, session) = cluster.join(0, "ada");
    cluster.send(id, 1, "slow");
    cluster.hang_up(id, 1006);
    let (begun, _) = cluster.come_back(0, "ada", &session);
    cluster.hang_up(begun, 1006);
    assert_eq!(cluster.env.released, [id], "the application is at work on the message");
    cluster.release(TaskKind::Handle);
    assert_eq!(
        cluster.env.released,
        [id, begun],
        "what it made of it waits, and nothing is under way"
    );
    let (handled, _) = cluster.come_back(0, "ada", &session);
    cluster.hang_up(handled, 1006);
    assert_eq!(cluster.env.released, [id, begun, handled]);
    let (last, welcome) = cluster.come_back(0, "ada", &session);
    assert_eq!(welcome.received, 0);
    cluster.send(last, 1, "slow");
    assert_eq!(cluster.env.handled.len(), 1, "it was not handled twice");
    assert_eq!(commits(&cluster.env.requests), [1]);
}

/// A client that subscribes and reads nothing: the node stops reading it, whatever the answers are.
#[test]
fn a_slow_reader_with_many_channels_is_not_blamed_for_the_answers() {
    let config = NodeConfig::default().with_max_outbound_bytes(16 << 10);
    for is_store_slow in [false, true] {
        let mut cluster = nodes_with(1, config);
        let (id, _) = cluster.join(0, "ada");
        if is_store_slow {
            cluster.hold(TaskKind::Store);
        }
        cluster.peer_mut(id).reads = false;
        for number in 0..1_000 {
            while !cluster.node(0).may_read(id) {
                cluster.read(id, 1);
            }
            cluster.subscribe(id, &Channel::from(format!("{number} {}", "x".repeat(100))), None);
        }
        cluster.release(TaskKind::Store);
        assert_eq!(cluster.close_code(id), None);
        cluster.peer_mut(id).reads = true;
        cluster.settle();
        let heard = cluster.heard(id);
        let subscribed = heard.iter().filter(|frame| frame.starts_with("subscribed")).count();
        assert_eq!(subscribed, 1_000);
        assert_eq!(cluster.close_code(id), None);
    }
}

#[test]
fn who_asks_although_it_is_not_read_is_closed_with_1008() {
    let mut cluster = nodes_with(1, NodeConfig::default().with_max_outbound_bytes(16 << 10));
    let (id, _) = cluster.join(0, "ada");
    cluster.peer_mut(id).reads = false;
    let ask = ClientFrame::Heartbeat { nonce: 1, sent: 0 };
    while cluster.node(0).may_read(id) {
        cluster.say(id, &ask);
    }
    let mut beyond = 0;
    while cluster.close_code(id).is_none() {
        cluster.say(id, &ask);
        beyond += 1;
        assert!(beyond <= 300, "what waits is bounded");
    }
    assert_eq!(cluster.close_code(id), Some(1008));
    assert!(beyond > 200, "a driver has some in its hands");
}

#[test]
fn a_shutdown_tells_everyone_once_to_go() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Handle);
    cluster.send(id, 1, "work");
    cluster.give(0, NodeInput::Drain);
    cluster.give(0, NodeInput::Drain);
    cluster.advance(secs(60));
    let told = cluster.heard(id);
    assert_eq!(told.iter().filter(|line| line.starts_with("going away")).count(), 1, "{told:?}");
    assert_eq!(cluster.close_code(id), Some(1001));
}

#[test]
fn the_actions_of_a_closed_connection_say_whose_they_are() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    let now = cluster.now();
    cluster.node_mut(0).handle(
        NodeInput::Message {
            id,
            message: ClientFrame::Message { serial: Some(1), channel: None, payload: "x".into() }
                .encode(relink_v1::Encoding::Json),
        },
        now,
    );
    let actions: Vec<NodeAction> =
        std::iter::from_fn(|| cluster.node_mut(0).poll_action()).collect();
    assert!(actions.iter().any(
        |action| matches!(action, NodeAction::Handle { id: Some(whose), .. } if *whose == id)
    ));
}

#[test]
fn what_was_passed_over_is_asked_for_again_although_others_keep_coming() {
    let mut cluster = busy(3);
    let (id, _) = cluster.join(0, "ada");
    for serial in 1..=4 {
        cluster.send(id, serial, "work");
    }
    cluster.advance(secs(10));
    cluster.send(id, 5, "passed over");
    for _ in 0..4 {
        assert_eq!(cluster.close_code(id), None);
        cluster.message(id, None, Some(lobby()), "without a serial");
        let task = cluster.take_task(TaskKind::Handle, 0).expect("the application has one");
        let TaskDetail::Handle { delivery: handling, .. } = task.detail else { unreachable!() };
        cluster.give(0, NodeInput::Handled { handling, result: Ok(Vec::new()) });
    }
    assert_eq!(cluster.close_code(id), Some(4100));
}

#[test]
fn a_client_that_falls_silent_after_its_subscriptions_comes_back() {
    let mut cluster = nodes(1);
    let id = cluster.open(0);
    let peer = cluster.peer_mut(id);
    (peer.reads, peer.pings) = (false, false);
    cluster.hello(id, "ada", None);
    for number in 0..1_000 {
        cluster.subscribe(id, &Channel::from(format!("room {number}")), None);
    }
    cluster.advance(secs(120));
    assert_eq!(cluster.close_code(id), Some(4000));
}
