//! What clients send: once, in order, acknowledged when it is stored.

use relink_node::{NodeConfig, NodeEvent, NodeInput, StoreRequest};
use relink_v1::ClientFrame;

use crate::world::{World, commits, lobby, secs};

#[test]
fn acks_of_what_was_stored_together_come_as_one() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.peers.get_mut(&id).expect("a peer").reads = false;
    for serial in 1..=5 {
        world.send(id, serial, "hello");
    }
    world.drain(id, 100);
    assert_eq!(world.heard(id), ["ack 5"]);
    assert_eq!(commits(&world.questions), [1, 2, 3, 4, 5]);
}

#[test]
fn an_ack_waits_for_the_store() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.hold_store = true;
    world.send(id, 1, "hello");
    assert!(world.heard(id).is_empty());
    world.let_store_go();
    assert_eq!(world.heard(id), ["ack 1"]);
}

#[test]
fn i26_a_duplicate_serial_has_no_effect() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.send(id, 1, "once");
    world.send(id, 1, "once");
    assert_eq!(world.handled.len(), 1);
    let mut said = world.heard(id);
    said.sort();
    assert_eq!(
        said,
        ["1: once", "ack 1", "ack 1", "subscribed 0 true"],
        "acknowledged again, and no more"
    );
    assert_eq!(world.nodes[0].stats().duplicates, 1);
}

#[test]
fn i26_a_gap_in_serials_closes_with_4100() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.send(id, 1, "one");
    world.send(id, 3, "three");
    assert_eq!(world.close_code(id), Some(4100));
    assert_eq!(world.handled.len(), 1);
    let (id, welcome) = world.come_back(0, "ada", &session);
    assert_eq!((welcome.resumed, welcome.received), (true, 1));
    world.send(id, 2, "two");
    world.send(id, 3, "three");
    assert_eq!(world.handled.len(), 3);
}

#[test]
fn i26_a_lost_tail_shows_in_the_heartbeat() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.send(id, 1, "one");
    world.heard(id);
    world.say(id, &ClientFrame::Heartbeat { nonce: 7, sent: 1 });
    assert_eq!(world.heard(id), ["heartbeat 7 0"]);
    world.say(id, &ClientFrame::Heartbeat { nonce: 8, sent: 2 });
    assert_eq!(world.close_code(id), Some(4100));
}

#[test]
fn a_heartbeat_tells_how_many_publications_were_sent() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.send(id, 1, "one");
    world.message(id, Some(2), None, "me two");
    world.heard(id);
    world.say(id, &ClientFrame::Heartbeat { nonce: 1, sent: 2 });
    assert_eq!(world.heard(id), ["heartbeat 1 2"]);
}

#[test]
fn a_refused_message_is_told_in_its_place_among_the_acks() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.peers.get_mut(&id).expect("a peer").reads = false;
    for (serial, text) in [(1, "fine"), (2, "refuse this"), (3, "fine"), (4, "refuse that")] {
        world.message(id, Some(serial), None, text);
    }
    world.drain(id, 100);
    assert_eq!(
        world.heard(id),
        ["rejected 2", "rejected 4"],
        "a refusal says that all before it was taken in"
    );
    world.message(id, Some(5), None, "fine");
    world.drain(id, 100);
    assert_eq!(world.heard(id), ["ack 5"]);
    world.hang_up(id, 1006);
    let (_, welcome) = world.come_back(0, "ada", &session);
    assert_eq!((welcome.received, welcome.rejected), (5, vec![2, 4]));
    assert_eq!(world.nodes[0].stats().rejected, 2);
}

#[test]
fn the_application_gets_one_message_at_a_time_and_in_order() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.hold_application = true;
    for serial in 1..=3 {
        world.send(id, serial, &format!("no. {serial}"));
    }
    assert_eq!(world.handled.len(), 1);
    world.let_application_go();
    assert_eq!(
        world.handled.iter().map(|(serial, _)| *serial).collect::<Vec<_>>(),
        [Some(1), Some(2), Some(3)]
    );
}

#[test]
fn a_message_without_a_serial_keeps_its_place_and_is_not_acknowledged() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.hold_application = true;
    world.send(id, 1, "first");
    world.message(id, None, Some(lobby()), "second");
    world.send(id, 2, "third");
    world.heard(id);
    world.let_application_go();
    let said = world.heard(id);
    let published: Vec<_> = said.iter().filter(|word| !word.starts_with("ack")).collect();
    assert_eq!(published, ["1: first", "2: second", "3: third"]);
    assert_eq!(said.iter().rfind(|word| word.starts_with("ack")).expect("an ack"), "ack 2");
}

#[test]
fn a_message_without_a_serial_is_published_at_most_once() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.heard(id);
    world.answers_are_lost = true;
    world.message(id, None, Some(lobby()), "perhaps");
    world.answers_are_lost = false;
    world.pass(secs(20));
    assert_eq!(world.heard(id), ["1: perhaps"]);
    assert!(world.events().iter().any(|event| matches!(event, NodeEvent::NotPublished { .. })));
    world.send(id, 1, "and on it goes");
    assert_eq!(world.heard(id).len(), 2);
}

#[test]
fn a_driver_that_reads_on_does_not_fill_the_memory() {
    let mut world = World::with(1, NodeConfig::default().with_max_unhandled(3));
    let (id, _) = world.join(0, "ada");
    world.hold_application = true;
    for serial in 1..=1000 {
        world.send(id, serial, "work");
    }
    assert_eq!(world.close_code(id), Some(1008));
    assert!(world.nodes[0].stats().unhandled <= 22);
}

#[test]
fn a_message_to_oneself_comes_on_the_sessions_own_stream() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.message(id, Some(1), None, "me first");
    world.message(id, Some(2), None, "me second");
    let said = world.heard(id);
    let published: Vec<_> = said.iter().filter(|word| word.starts_with("own")).collect();
    assert_eq!(published, ["own 1: me first", "own 2: me second"]);
    let stream = relink_node::Stream::Session(session.session);
    world.give(0, NodeInput::Publish { stream, message: "from elsewhere".into() });
    assert_eq!(world.heard(id), ["own 3: from elsewhere"]);
}

#[test]
fn what_was_taken_in_before_a_clean_close_still_happens() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    let (reader, _) = world.join(0, "bob");
    world.subscribe(reader, &lobby(), None);
    world.hold_application = true;
    world.send(id, 1, "one");
    world.send(id, 2, "two");
    world.hang_up(id, 1000);
    world.let_application_go();
    assert_eq!(world.heard(reader), ["subscribed 0 true", "1: one", "2: two"]);
    assert!(
        matches!(world.questions.last(), Some(StoreRequest::End { .. })),
        "and then the session ends"
    );
    assert_eq!(world.come_back(0, "ada", &session).1.refused.as_deref(), Some("session_unknown"));
}
