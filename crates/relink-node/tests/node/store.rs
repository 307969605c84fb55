//! A store that is away, slow, or answers into the void.

use relink_node::{NodeEvent, NodeInput, StoreRequest, StoreResponse};

use crate::world::{World, commits, lobby, millis, secs};

#[test]
fn without_a_store_a_newcomer_is_told_to_try_again() {
    let mut world = World::new(1);
    world.store_is_down = true;
    let id = world.open(0);
    world.hello(id, "ada", None);
    let frame = world.peers[&id].closed.clone().expect("closed");
    assert_eq!((frame.code.0, frame.reason.as_str()), (1013, "retry-after=10s"));
    assert_eq!(world.heard(id), ["error unavailable"]);
    assert!(world.events().iter().any(|event| matches!(event, NodeEvent::StoreFailed { .. })));
}

#[test]
fn what_the_store_does_not_take_is_offered_again_and_never_twice() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.heard(id);
    world.store_is_down = true;
    for serial in 1..=3 {
        world.send(id, serial, &format!("no. {serial}"));
    }
    world.pass(secs(30));
    assert!(world.heard(id).is_empty());
    let tries = commits(&world.questions);
    assert!(tries.iter().all(|serial| *serial == 1), "the first one waits, the others behind it");
    assert!((8..20).contains(&tries.len()), "100 ms, doubled, to 5 s: {}", tries.len());
    world.store_is_down = false;
    world.pass(secs(5));
    let mut said = world.heard(id);
    said.retain(|word| !word.starts_with("ack"));
    assert_eq!(said, ["1: no. 1", "2: no. 2", "3: no. 3"]);
    assert_eq!(world.handled.len(), 3, "the application is not asked twice");
    assert!(world.nodes[0].stats().store_errors >= 8);
}

#[test]
fn a_commit_whose_answer_is_lost_happens_once() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.heard(id);
    world.answers_are_lost = true;
    world.send(id, 1, "once");
    world.answers_are_lost = false;
    world.pass(secs(1));
    let mut said = world.heard(id);
    said.sort();
    assert_eq!(said, ["1: once", "ack 1"]);
    assert_eq!(commits(&world.questions), [1, 1]);
}

#[test]
fn what_was_missed_is_looked_up_until_the_store_answers() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    let start = crate::world::top(&mut world, &lobby());
    world.publish(0, "one");
    world.store_is_down = true;
    world.subscribe(id, &lobby(), Some(start));
    world.pass(secs(20));
    assert!(world.heard(id).is_empty());
    world.store_is_down = false;
    world.pass(secs(5));
    assert_eq!(world.heard(id), ["subscribed 0 true", "1: one"]);
}

#[test]
fn a_member_joins_when_the_store_is_back() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.hold_store = true;
    world.be_seen(id, &lobby(), "");
    let (node, question, what) = world.held.pop_front().expect("a question");
    let answer = world.history.answer(what, world.now);
    world.hold_store = false;
    world.store_is_down = true;
    world.give(node, NodeInput::Answered { question, answer: Ok(answer) });
    world.pass(secs(2));
    assert_eq!(world.heard(id), ["subscribed 0 true"]);
    world.store_is_down = false;
    world.pass(secs(6));
    let mut said = world.heard(id);
    said.retain(|word| word != "joined ada");
    assert_eq!(said, ["members ada"]);
}

#[test]
fn a_store_that_forgot_a_session_sends_its_client_for_a_new_one() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.send(id, 1, "one");
    world.history = relink_node::MemoryStore::new(Default::default(), 12).expect("valid");
    world.send(id, 2, "two");
    assert_eq!(world.close_code(id), Some(4100));
    let (_, welcome) = world.come_back(0, "ada", &session);
    assert_eq!((welcome.resumed, welcome.received), (false, 0));
}

#[test]
fn a_resume_while_a_commit_is_under_way_loses_and_doubles_nothing() {
    let mut world = World::new(1);
    let (old, session) = world.join(0, "ada");
    let (reader, _) = world.join(0, "bob");
    world.subscribe(reader, &lobby(), None);
    world.hold_store = true;
    world.send(old, 1, "one");
    let new = world.open(0);
    world.hello(new, "ada", Some(session));
    // The store sees the resume first: the commit belongs to a turn that is over.
    let commit = world.held.pop_front().expect("the commit");
    assert!(matches!(commit.2, StoreRequest::Commit { .. }));
    world.held.push_back(commit);
    world.let_store_go();
    let welcome = world.welcome(new);
    world.send(new, 1, "one");
    assert!(welcome.received <= 1);
    assert_eq!(world.heard(reader), ["subscribed 0 true", "1: one"]);
    world.pass(millis(10));
    world.send(new, 2, "two");
    assert_eq!(world.heard(new).last().expect("an ack"), "ack 2");
}

#[test]
fn a_store_that_answers_with_a_hole_is_not_passed_on() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    let start = crate::world::top(&mut world, &lobby());
    for text in ["one", "two"] {
        world.publish(0, text);
    }
    world.hold_store = true;
    world.subscribe(id, &lobby(), Some(start));
    let (node, question, what) = world.held.pop_front().expect("a question");
    let StoreResponse::Read { top, missed } = world.history.answer(what, world.now) else {
        panic!("since")
    };
    let missed = missed.map(|missed| missed.into_iter().skip(1).collect());
    let answer = Ok(StoreResponse::Read { top, missed });
    world.hold_store = false;
    world.give(node, NodeInput::Answered { question, answer });
    assert_eq!(world.heard(id), ["subscribed 0 true"]);
    world.pass(secs(1));
    assert_eq!(world.heard(id), ["1: one", "2: two"]);
}
