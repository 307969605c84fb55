//! When a connection is read: a slow application, a peer that takes no answers, and one that is
//! gone meanwhile.

use relink::Channel;
use relink_node::{LivenessConfig, NodeAction, NodeConfig, NodeInput};
use relink_v1::ClientFrame;

use crate::world::{World, commits, lobby, secs};

fn busy(max_unhandled: usize) -> World {
    let mut world = World::with(1, NodeConfig::default().with_max_unhandled(max_unhandled));
    world.hold_application = true;
    world
}

#[test]
fn a_busy_application_stops_the_reading_until_it_has_room() {
    let mut world = busy(3);
    let (id, _) = world.join(0, "ada");
    for serial in 1..=4 {
        assert!(world.nodes[0].may_read(id), "before no. {serial}");
        world.send(id, serial, "work");
    }
    assert!(!world.nodes[0].may_read(id), "one more than a client may have on their way");
    assert_eq!(world.nodes[0].stats().unhandled, 4);
    world.pass(secs(4));
    assert!(!world.nodes[0].may_read(id));
    world.ready.clear();
    world.let_application_go();
    assert!(world.nodes[0].may_read(id));
    assert!(world.ready.contains(&id), "and the driver is told");
    assert_eq!((world.nodes[0].stats().unhandled, world.nodes[0].stats().unhandled_peak), (0, 4));
    assert_eq!(world.close_code(id), None);
}

#[test]
fn a_single_message_of_any_size_does_not_stop_the_reading() {
    let mut world = World::with(1, NodeConfig::default().with_max_unhandled_bytes(10));
    world.hold_application = true;
    let (id, _) = world.join(0, "ada");
    world.send(id, 1, "a message of more than ten bytes");
    assert!(world.nodes[0].may_read(id));
    world.send(id, 2, "x");
    assert!(!world.nodes[0].may_read(id));
}

#[test]
fn heartbeats_are_answered_behind_any_number_of_messages_that_nobody_handles() {
    for behind in [1, 3, 4, 5, 10, 200] {
        let mut world = busy(3);
        let (id, session) = world.join(0, "ada");
        let mut next = 1;
        for nonce in 1..=20 {
            while next <= behind && world.nodes[0].may_read(id) {
                world.send(id, next, "work");
                next += 1;
            }
            if world.nodes[0].may_read(id) {
                world.say(id, &ClientFrame::Heartbeat { nonce, sent: next - 1 });
                assert_eq!(world.heard(id), [format!("heartbeat {nonce} 0")], "{behind} behind");
            }
            world.pass(secs(10));
            assert!(world.nodes[0].may_read(id), "{behind}: not for ever");
        }
        assert_eq!(world.close_code(id), None, "{behind}");
        assert!(world.nodes[0].stats().unhandled <= 4, "{behind}: and the memory is bounded");
        world.let_application_go();
        let id = if behind > 4 {
            assert_eq!(world.close_code(id), Some(4100), "{behind}: the rest is wanted now");
            let (id, welcome) = world.come_back(0, "ada", &session);
            assert_eq!(welcome.received, 4, "{behind}: all that was taken in");
            for serial in welcome.received + 1..=behind {
                world.send(id, serial, "work");
            }
            id
        } else {
            id
        };
        assert_eq!(world.heard(id).last().expect("an ack"), &format!("ack {behind}"));
        assert_eq!(world.handled.len() as u64, behind, "each once");
        assert_eq!(commits(&world.questions), (1..=behind).collect::<Vec<_>>());
    }
}

#[test]
fn a_client_that_says_nothing_is_noticed_whatever_the_application_does() {
    let mut world = busy(3);
    let (id, _) = world.join(0, "ada");
    for serial in 1..=4 {
        world.send(id, serial, "work");
    }
    world.peers.get_mut(&id).expect("a peer").pings = false;
    world.pass(secs(50));
    assert_eq!(world.close_code(id), Some(4000));
}

#[test]
fn what_the_application_has_begun_is_finished_and_counts_after_a_resume() {
    let mut world = busy(64);
    let (mut id, session) = world.join(0, "ada");
    world.send(id, 1, "slow");
    for serial in 2..=5 {
        world.send(id, serial, "next");
    }
    // The network fails again and again while the application works.
    for _ in 0..5 {
        world.hang_up(id, 1006);
        world.pass(secs(3));
        let (new, welcome) = world.come_back(0, "ada", &session);
        assert_eq!((welcome.resumed, welcome.received), (true, 0));
        id = new;
        for serial in 1..=5 {
            world.send(id, serial, if serial == 1 { "slow" } else { "next" });
        }
        world.pass(secs(3));
    }
    assert_eq!(world.handled.len(), 1, "it is not begun anew");
    world.let_application_go();
    assert_eq!(world.heard(id).last().expect("an ack"), "ack 5");
    assert_eq!(commits(&world.questions), [1, 2, 3, 4, 5]);
    let handled: Vec<_> = world.handled.iter().filter_map(|(serial, _)| *serial).collect();
    assert_eq!(handled, [1, 2, 3, 4, 5], "each once");
    assert_eq!(world.nodes[0].stats().unhandled, 0);
}

#[test]
fn an_effect_that_was_not_stored_before_a_resume_is_stored_after_it() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.hold_store = true;
    world.send(id, 1, "one");
    world.send(id, 2, "two");
    world.held.clear(); // The store never hears of it.
    world.hold_store = false;
    world.questions.clear();
    world.hang_up(id, 1006);
    let (id, welcome) = world.come_back(0, "ada", &session);
    assert_eq!(welcome.received, 0);
    assert!(commits(&world.questions).is_empty(), "not before the client sends them again");
    world.send(id, 1, "one");
    world.send(id, 2, "two");
    assert_eq!(world.handled.len(), 2);
    assert_eq!(world.heard(id), ["ack 1", "ack 2"]);
}

#[test]
fn a_message_to_another_channel_is_another_message() {
    let mut world = busy(64);
    let (id, session) = world.join(0, "ada");
    world.send(id, 1, "the same words");
    world.hang_up(id, 1006);
    let (id, _) = world.come_back(0, "ada", &session);
    world.message(id, Some(1), None, "the same words");
    world.let_application_go();
    assert_eq!(world.handled.len(), 2, "the answer to the first one goes nowhere");
    assert_eq!(world.heard(id), ["ack 1"]);
    assert_eq!(commits(&world.questions), [1]);
}

#[test]
fn the_application_has_one_message_of_a_session_at_a_time_over_any_number_of_resumes() {
    let mut world = busy(64);
    let (mut id, session) = world.join(0, "ada");
    for process in 0..10 {
        world.send(id, 1, &format!("of process {process}"));
        world.hang_up(id, 1006);
        id = world.come_back(0, "ada", &session).0;
    }
    assert_eq!(world.handled.len(), 1);
}

#[test]
fn a_message_without_a_serial_that_was_begun_is_finished_after_a_resume() {
    let mut world = busy(64);
    let (reader, _) = world.join(0, "bob");
    world.subscribe(reader, &lobby(), None);
    let (id, session) = world.join(0, "ada");
    world.message(id, None, Some(lobby()), "first");
    world.message(id, None, Some(lobby()), "second");
    world.hang_up(id, 1006);
    let (id, _) = world.come_back(0, "ada", &session);
    world.send(id, 1, "third");
    world.let_application_go();
    assert_eq!(world.heard(reader), ["subscribed 0 true", "1: first", "2: second", "3: third"]);
}

#[test]
fn a_shutdown_does_not_wait_for_what_nobody_sends_again() {
    let mut world = busy(64);
    let (id, session) = world.join(0, "ada");
    world.send(id, 1, "slow");
    world.hang_up(id, 1006);
    let (id, _) = world.come_back(0, "ada", &session);
    world.give(0, NodeInput::Drain);
    assert_eq!(world.close_code(id), Some(1001), "at once");
    assert!(world.events().contains(&relink_node::NodeEvent::Drained));
}

#[test]
fn a_socket_that_takes_nothing_is_closed_with_1008_however_much_its_peer_says() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.give(0, NodeInput::Blocked { id });
    world.pass(secs(29));
    assert_eq!(world.close_code(id), None);
    world.give(0, NodeInput::Flowing { id });
    world.give(0, NodeInput::Blocked { id });
    world.pass(secs(29));
    assert_eq!(world.close_code(id), None, "it reads, slowly");
    world.pass(secs(2));
    assert_eq!(world.close_code(id), Some(1008));
}

#[test]
fn a_socket_that_takes_nothing_and_is_not_read_is_not_blamed_for_silence() {
    let silence = LivenessConfig::default().with_check_every(secs(1));
    let mut world = World::with(1, NodeConfig::default().with_liveness(silence));
    let (id, _) = world.join(0, "ada");
    world.peers.get_mut(&id).expect("a peer").pings = false;
    world.pass(secs(2));
    world.give(0, NodeInput::Blocked { id });
    world.pass(secs(29));
    assert_eq!(world.close_code(id), Some(1008));
}

#[test]
fn a_connections_place_is_free_when_nothing_that_it_sent_is_under_way() {
    let mut world = busy(64);
    let (id, session) = world.join(0, "ada");
    world.send(id, 1, "slow");
    world.hang_up(id, 1006);
    assert!(world.released.is_empty(), "the application has one of its messages");
    let (new, _) = world.come_back(0, "ada", &session);
    assert_eq!(world.released, [id], "it is the new one's now");
    world.send(new, 1, "slow");
    world.hang_up(new, 1006);
    world.let_application_go();
    assert_eq!(world.released, [id, new]);
    let never_welcome = world.open(0);
    world.hang_up(never_welcome, 1006);
    let (kicked, _) = world.join(0, "eve");
    world.give(
        0,
        NodeInput::Kick { user: "eve".into(), frame: relink::CloseCode::ADMIN_DISCONNECT.into() },
    );
    assert_eq!(world.released, [id, new, never_welcome, kicked]);
}

fn limited() -> World {
    let liveness = LivenessConfig::default().with_message_timeout(Some(secs(40)));
    World::with(1, NodeConfig::default().with_liveness(liveness))
}

#[test]
fn a_message_that_takes_longer_than_the_application_allows_is_closed_with_4000() {
    for (mut world, code) in [(limited(), Some(4000)), (World::new(1), None)] {
        let (id, _) = world.join(0, "ada");
        for _ in 0..13 {
            assert_eq!(world.close_code(id), None);
            world.give(0, NodeInput::Arriving { id });
            world.pass(secs(3));
        }
        assert_eq!(world.close_code(id), None, "after 39 s");
        world.pass(secs(2));
        assert_eq!(world.close_code(id), code);
    }
}

#[test]
fn each_message_has_its_own_time_to_arrive() {
    let mut world = limited();
    let (id, _) = world.join(0, "ada");
    for serial in 1..=10 {
        world.give(0, NodeInput::Arriving { id });
        world.pass(secs(30));
        world.send(id, serial, "whole");
    }
    world.pass(secs(300));
    assert_eq!(world.close_code(id), None, "nothing is under way");
}

#[test]
fn time_in_which_a_connection_is_not_read_makes_no_message_late() {
    let mut world = limited();
    let (id, _) = world.join(0, "ada");
    world.give(0, NodeInput::Arriving { id });
    world.pass(secs(30));
    world.give(0, NodeInput::Blocked { id });
    world.pass(secs(20));
    world.give(0, NodeInput::Flowing { id });
    world.pass(secs(39));
    assert_eq!(world.close_code(id), None, "it has all its time again");
    world.pass(secs(2));
    assert_eq!(world.close_code(id), Some(4000));
}

#[test]
fn a_node_that_slept_blames_no_message() {
    let mut world = limited();
    let (id, _) = world.join(0, "ada");
    world.give(0, NodeInput::Arriving { id });
    world.now = world.now + secs(100);
    world.give(0, NodeInput::Timeout);
    assert_eq!(world.close_code(id), None);
    world.pass(secs(39));
    assert_eq!(world.close_code(id), None);
    world.pass(secs(2));
    assert_eq!(world.close_code(id), Some(4000));
}

#[test]
fn what_a_client_has_not_sent_again_takes_no_connections_place() {
    let mut world = busy(64);
    let (id, session) = world.join(0, "ada");
    world.send(id, 1, "slow");
    world.hang_up(id, 1006);
    let (begun, _) = world.come_back(0, "ada", &session);
    world.hang_up(begun, 1006);
    assert_eq!(world.released, [id], "the application is at work on the message");
    world.let_application_go();
    assert_eq!(world.released, [id, begun], "what it made of it waits, and nothing is under way");
    let (handled, _) = world.come_back(0, "ada", &session);
    world.hang_up(handled, 1006);
    assert_eq!(world.released, [id, begun, handled]);
    let (last, welcome) = world.come_back(0, "ada", &session);
    assert_eq!(welcome.received, 0);
    world.send(last, 1, "slow");
    assert_eq!(world.handled.len(), 1, "it was not handled twice");
    assert_eq!(commits(&world.questions), [1]);
}

/// A client that reads nothing and subscribes: what the node may read of it is honest, whatever it
/// is answered.
#[test]
fn a_slow_reader_with_many_channels_is_not_blamed_for_the_answers() {
    let config = NodeConfig::default().with_max_outbound_bytes(16 << 10);
    for hold_store in [false, true] {
        let mut world = World::with(1, config);
        let (id, _) = world.join(0, "ada");
        world.hold_store = hold_store;
        world.peers.get_mut(&id).expect("a peer").reads = false;
        for number in 0..1_000 {
            while !world.nodes[0].may_read(id) {
                world.drain(id, 1);
            }
            world.subscribe(id, &Channel::from(format!("{number} {}", "x".repeat(100))), None);
        }
        world.let_store_go();
        assert_eq!(world.close_code(id), None);
        world.peers.get_mut(&id).expect("a peer").reads = true;
        world.settle();
        let heard = world.heard(id);
        let subscribed = heard.iter().filter(|frame| frame.starts_with("subscribed")).count();
        assert_eq!(subscribed, 1_000);
        assert_eq!(world.close_code(id), None);
    }
}

#[test]
fn who_asks_although_it_is_not_read_is_closed_with_1008() {
    let mut world = World::with(1, NodeConfig::default().with_max_outbound_bytes(16 << 10));
    let (id, _) = world.join(0, "ada");
    world.peers.get_mut(&id).expect("a peer").reads = false;
    let ask = ClientFrame::Heartbeat { nonce: 1, sent: 0 };
    while world.nodes[0].may_read(id) {
        world.say(id, &ask);
    }
    let mut beyond = 0;
    while world.close_code(id).is_none() {
        world.say(id, &ask);
        beyond += 1;
        assert!(beyond <= 300, "what waits is bounded");
    }
    assert_eq!(world.close_code(id), Some(1008));
    assert!(beyond > 200, "a driver has some in its hands");
}

#[test]
fn a_shutdown_tells_everyone_once_to_go() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.hold_application = true;
    world.send(id, 1, "work");
    world.give(0, NodeInput::Drain);
    world.give(0, NodeInput::Drain);
    world.pass(secs(60));
    let told = world.heard(id);
    assert_eq!(told.iter().filter(|line| line.starts_with("going away")).count(), 1, "{told:?}");
    assert_eq!(world.close_code(id), Some(1001));
}

#[test]
fn the_actions_of_a_closed_connection_say_whose_they_are() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.nodes[0].handle(
        NodeInput::Message {
            id,
            message: ClientFrame::Message { serial: Some(1), channel: None, payload: "x".into() }
                .encode(relink_v1::Encoding::Json),
        },
        world.now,
    );
    let actions: Vec<NodeAction> = std::iter::from_fn(|| world.nodes[0].poll_action()).collect();
    assert!(actions.iter().any(
        |action| matches!(action, NodeAction::Handle { id: Some(whose), .. } if *whose == id)
    ));
}

#[test]
fn what_was_passed_over_is_asked_for_again_although_others_keep_coming() {
    let mut world = busy(3);
    let (id, _) = world.join(0, "ada");
    for serial in 1..=4 {
        world.send(id, serial, "work");
    }
    world.pass(secs(10));
    world.send(id, 5, "passed over");
    for _ in 0..4 {
        assert_eq!(world.close_code(id), None);
        world.message(id, None, Some(lobby()), "without a serial");
        let (_, handling, ..) = world.waiting.pop_front().expect("the application has one");
        world.give(0, NodeInput::Handled { handling, result: Ok(Vec::new()) });
    }
    assert_eq!(world.close_code(id), Some(4100));
}

#[test]
fn a_client_that_falls_silent_after_its_subscriptions_comes_back() {
    let mut world = World::new(1);
    let id = world.open(0);
    let peer = world.peers.get_mut(&id).expect("a peer");
    (peer.reads, peer.pings) = (false, false);
    world.hello(id, "ada", None);
    for number in 0..1_000 {
        world.subscribe(id, &Channel::from(format!("room {number}")), None);
    }
    world.pass(secs(120));
    assert_eq!(world.close_code(id), Some(4000));
}
