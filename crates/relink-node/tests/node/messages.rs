//! Messages of clients: handled once, in order, and acknowledged when they are stored.

use relink_node::{NodeConfig, NodeEvent, NodeInput, StoreRequest};
use relink_sim::cluster::{Outcome, TaskKind};
use relink_v1::ClientFrame;

use crate::support::{Short, commits, lobby, nodes, nodes_with, refusal, secs};

#[test]
fn acks_of_what_was_stored_together_come_as_one() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.peer_mut(id).reads = false;
    for serial in 1..=5 {
        cluster.send(id, serial, "hello");
    }
    cluster.read(id, 100);
    assert_eq!(cluster.heard(id), ["ack 5"]);
    assert_eq!(commits(&cluster.env.requests), [1, 2, 3, 4, 5]);
}

#[test]
fn an_ack_waits_for_the_store() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Store);
    cluster.send(id, 1, "hello");
    assert!(cluster.heard(id).is_empty());
    cluster.release(TaskKind::Store);
    assert_eq!(cluster.heard(id), ["ack 1"]);
}

#[test]
fn i26_a_duplicate_serial_has_no_effect() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.send(id, 1, "once");
    cluster.send(id, 1, "once");
    assert_eq!(cluster.env.handled.len(), 1);
    let mut said = cluster.heard(id);
    said.sort();
    assert_eq!(
        said,
        ["1: once", "ack 1", "ack 1", "subscribed 0 true"],
        "acknowledged again, and no more"
    );
    assert_eq!(cluster.node(0).stats().duplicates, 1);
}

#[test]
fn i26_a_gap_in_serials_closes_with_4100() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.send(id, 1, "one");
    cluster.send(id, 3, "three");
    assert_eq!(cluster.close_code(id), Some(4100));
    assert_eq!(cluster.env.handled.len(), 1);
    let (id, welcome) = cluster.come_back(0, "ada", &session);
    assert_eq!((welcome.resumed, welcome.received), (true, 1));
    cluster.send(id, 2, "two");
    cluster.send(id, 3, "three");
    assert_eq!(cluster.env.handled.len(), 3);
}

#[test]
fn i26_a_lost_tail_shows_in_the_heartbeat() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.send(id, 1, "one");
    cluster.heard(id);
    cluster.say(id, &ClientFrame::Heartbeat { nonce: 7, sent: 1 });
    assert_eq!(cluster.heard(id), ["heartbeat 7 0"]);
    cluster.say(id, &ClientFrame::Heartbeat { nonce: 8, sent: 2 });
    assert_eq!(cluster.close_code(id), Some(4100));
}

#[test]
fn a_heartbeat_tells_how_many_publications_were_sent() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.send(id, 1, "one");
    cluster.message(id, Some(2), None, "me two");
    cluster.heard(id);
    cluster.say(id, &ClientFrame::Heartbeat { nonce: 1, sent: 2 });
    assert_eq!(cluster.heard(id), ["heartbeat 1 2"]);
}

#[test]
fn a_refused_message_is_told_in_its_place_among_the_acks() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.peer_mut(id).reads = false;
    for (serial, text) in [(1, "fine"), (2, "refuse this"), (3, "fine"), (4, "refuse that")] {
        cluster.message(id, Some(serial), None, text);
    }
    cluster.read(id, 100);
    assert_eq!(
        cluster.heard(id),
        ["rejected 2", "rejected 4"],
        "a refusal says that all before it was taken in"
    );
    cluster.message(id, Some(5), None, "fine");
    cluster.read(id, 100);
    assert_eq!(cluster.heard(id), ["ack 5"]);
    cluster.hang_up(id, 1006);
    let (_, welcome) = cluster.come_back(0, "ada", &session);
    let rejected: Vec<u64> = welcome.rejected.iter().map(|rejection| rejection.serial).collect();
    assert_eq!((welcome.received, rejected), (5, vec![2, 4]));
    assert_eq!(cluster.node(0).stats().rejected, 2);
}

#[test]
fn the_application_gets_one_message_at_a_time_and_in_order() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Handle);
    for serial in 1..=3 {
        cluster.send(id, serial, &format!("no. {serial}"));
    }
    assert_eq!(cluster.env.handled.len(), 1);
    cluster.release(TaskKind::Handle);
    assert_eq!(
        cluster.env.handled.iter().map(|(serial, _)| *serial).collect::<Vec<_>>(),
        [Some(1), Some(2), Some(3)]
    );
}

#[test]
fn a_message_without_a_serial_keeps_its_place_and_is_not_acknowledged() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.hold(TaskKind::Handle);
    cluster.send(id, 1, "first");
    cluster.message(id, None, Some(lobby()), "second");
    cluster.send(id, 2, "third");
    cluster.heard(id);
    cluster.release(TaskKind::Handle);
    let said = cluster.heard(id);
    let published: Vec<_> = said.iter().filter(|word| !word.starts_with("ack")).collect();
    assert_eq!(published, ["1: first", "2: second", "3: third"]);
    assert_eq!(said.iter().rfind(|word| word.starts_with("ack")).expect("an ack"), "ack 2");
}

#[test]
fn a_message_without_a_serial_is_published_at_most_once() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.heard(id);
    cluster.env.store = Outcome::ResultLost;
    cluster.message(id, None, Some(lobby()), "perhaps");
    cluster.env.store = Outcome::Done;
    cluster.advance(secs(20));
    assert_eq!(cluster.heard(id), ["1: perhaps"]);
    assert!(
        cluster
            .take_node_events()
            .iter()
            .any(|event| matches!(event, NodeEvent::NotPublished { .. }))
    );
    cluster.send(id, 1, "and on it goes");
    assert_eq!(cluster.heard(id).len(), 2);
}

#[test]
fn a_driver_that_reads_on_does_not_fill_the_memory() {
    let mut cluster = nodes_with(1, NodeConfig::default().with_max_unhandled(3));
    let (id, _) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Handle);
    for serial in 1..=1000 {
        cluster.send(id, serial, "work");
    }
    assert_eq!(cluster.close_code(id), Some(1008));
    assert!(cluster.node(0).stats().unhandled <= 22);
}

#[test]
fn a_message_to_oneself_comes_on_the_sessions_own_stream() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.message(id, Some(1), None, "me first");
    cluster.message(id, Some(2), None, "me second");
    let said = cluster.heard(id);
    let published: Vec<_> = said.iter().filter(|word| word.starts_with("own")).collect();
    assert_eq!(published, ["own 1: me first", "own 2: me second"]);
    let stream = relink_node::Stream::Session(session.session);
    cluster.give(0, NodeInput::Publish { stream, message: "from elsewhere".into() });
    assert_eq!(cluster.heard(id), ["own 3: from elsewhere"]);
}

#[test]
fn what_was_taken_in_before_a_clean_close_still_happens() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    let (reader, _) = cluster.join(0, "bob");
    cluster.subscribe(reader, &lobby(), None);
    cluster.hold(TaskKind::Handle);
    cluster.send(id, 1, "one");
    cluster.send(id, 2, "two");
    cluster.hang_up(id, 1000);
    cluster.release(TaskKind::Handle);
    assert_eq!(cluster.heard(reader), ["subscribed 0 true", "1: one", "2: two"]);
    assert!(
        matches!(cluster.env.requests.last(), Some(StoreRequest::End { .. })),
        "and then the session ends"
    );
    let welcome = cluster.come_back(0, "ada", &session).1;
    assert_eq!(refusal(&welcome), Some("session_unknown"));
}
