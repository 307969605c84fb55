//! A store that is unavailable, slow, or whose answers come too late.

use relink_node::{NodeEvent, NodeInput, StoreRequest, StoreResponse};

use relink_sim::cluster::{Outcome, TaskDetail, TaskKind};

use crate::support::{Short, commits, lobby, millis, nodes, secs};

#[test]
fn without_a_store_a_newcomer_is_told_to_try_again() {
    let mut cluster = nodes(1);
    cluster.env.store = Outcome::Fails;
    let id = cluster.open(0);
    cluster.hello(id, "ada", None);
    let frame = cluster.peer(id).closed.clone().expect("closed");
    assert_eq!((frame.code.0, frame.reason.as_str()), (1013, "retry-after=10s"));
    assert_eq!(cluster.heard(id), ["error unavailable"]);
    assert!(
        cluster
            .take_node_events()
            .iter()
            .any(|event| matches!(event, NodeEvent::StoreFailed { .. }))
    );
}

#[test]
fn what_the_store_does_not_take_is_offered_again_and_never_twice() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.heard(id);
    cluster.env.store = Outcome::Fails;
    for serial in 1..=3 {
        cluster.send(id, serial, &format!("no. {serial}"));
    }
    cluster.advance(secs(30));
    assert!(cluster.heard(id).is_empty());
    let tries = commits(&cluster.env.requests);
    assert!(tries.iter().all(|serial| *serial == 1), "the first one waits, the others behind it");
    assert!((8..20).contains(&tries.len()), "100 ms, doubled, to 5 s: {}", tries.len());
    cluster.env.store = Outcome::Done;
    cluster.advance(secs(5));
    let mut said = cluster.heard(id);
    said.retain(|word| !word.starts_with("ack"));
    assert_eq!(said, ["1: no. 1", "2: no. 2", "3: no. 3"]);
    assert_eq!(cluster.env.handled.len(), 3, "the application is not asked twice");
    assert!(cluster.node(0).stats().store_errors >= 8);
}

#[test]
fn a_commit_whose_answer_is_lost_happens_once() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.heard(id);
    cluster.env.store = Outcome::ResultLost;
    cluster.send(id, 1, "once");
    cluster.env.store = Outcome::Done;
    cluster.advance(secs(1));
    let mut said = cluster.heard(id);
    said.sort();
    assert_eq!(said, ["1: once", "ack 1"]);
    assert_eq!(commits(&cluster.env.requests), [1, 1]);
}

#[test]
fn what_was_missed_is_looked_up_until_the_store_answers() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    let start = crate::support::top(&mut cluster, &lobby());
    cluster.announce(0, "one");
    cluster.env.store = Outcome::Fails;
    cluster.subscribe(id, &lobby(), Some(start));
    cluster.advance(secs(20));
    assert!(cluster.heard(id).is_empty());
    cluster.env.store = Outcome::Done;
    cluster.advance(secs(5));
    assert_eq!(cluster.heard(id), ["subscribed 0 true", "1: one"]);
}

#[test]
fn a_member_joins_when_the_store_is_back() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Store);
    cluster.be_seen(id, &lobby(), "");
    let (node, question, what) = cluster.next_request().expect("a question");
    let answer = cluster.ask_store(what);
    cluster.stop_holding(TaskKind::Store);
    cluster.env.store = Outcome::Fails;
    cluster.give(node, NodeInput::Answered { question, answer: Ok(answer) });
    cluster.advance(secs(2));
    assert_eq!(cluster.heard(id), ["subscribed 0 true"]);
    cluster.env.store = Outcome::Done;
    cluster.advance(secs(6));
    let mut said = cluster.heard(id);
    said.retain(|word| word != "joined ada");
    assert_eq!(said, ["members ada"]);
}

#[test]
fn a_store_that_forgot_a_session_sends_its_client_for_a_new_one() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.send(id, 1, "one");
    *cluster.store_mut() = relink_node::MemoryStore::new(Default::default(), 12).expect("valid");
    cluster.send(id, 2, "two");
    assert_eq!(cluster.close_code(id), Some(4100));
    let (_, welcome) = cluster.come_back(0, "ada", &session);
    assert_eq!((welcome.resumed, welcome.received), (false, 0));
}

#[test]
fn a_resume_while_a_commit_is_under_way_loses_and_doubles_nothing() {
    let mut cluster = nodes(1);
    let (old, session) = cluster.join(0, "ada");
    let (reader, _) = cluster.join(0, "bob");
    cluster.subscribe(reader, &lobby(), None);
    cluster.hold(TaskKind::Store);
    cluster.send(old, 1, "one");
    let new = cluster.open(0);
    cluster.hello(new, "ada", Some(session));
    // The store sees the resume first: the commit belongs to a generation that is over.
    let commit = cluster.take_task(TaskKind::Store, 0).expect("the commit");
    assert!(matches!(
        commit.detail,
        TaskDetail::Store { request: StoreRequest::Commit { .. }, .. }
    ));
    cluster.env.held.push_back(commit);
    cluster.release(TaskKind::Store);
    let welcome = cluster.welcome(new);
    cluster.send(new, 1, "one");
    assert!(welcome.received <= 1);
    assert_eq!(cluster.heard(reader), ["subscribed 0 true", "1: one"]);
    cluster.advance(millis(10));
    cluster.send(new, 2, "two");
    assert_eq!(cluster.heard(new).last().expect("an ack"), "ack 2");
}

#[test]
fn a_store_that_answers_with_a_hole_is_not_passed_on() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    let start = crate::support::top(&mut cluster, &lobby());
    for text in ["one", "two"] {
        cluster.announce(0, text);
    }
    cluster.hold(TaskKind::Store);
    cluster.subscribe(id, &lobby(), Some(start));
    let (node, question, what) = cluster.next_request().expect("a question");
    let StoreResponse::Read { top, missed } = cluster.ask_store(what) else { panic!("since") };
    let missed = missed.map(|missed| missed.into_iter().skip(1).collect());
    let answer = Ok(StoreResponse::Read { top, missed });
    cluster.stop_holding(TaskKind::Store);
    cluster.give(node, NodeInput::Answered { question, answer });
    assert_eq!(cluster.heard(id), ["subscribed 0 true"]);
    cluster.advance(secs(1));
    assert_eq!(cluster.heard(id), ["1: one", "2: two"]);
}
