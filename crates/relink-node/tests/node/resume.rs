//! Sessions that go on: on a new connection, on another node.

use relink::{Position, Resume};
use relink_node::{HistoryConfig, NodeConfig, NodeEvent, NodeInput, StoreRequest};
use relink_sim::cluster::TaskKind;
use relink_v1::ServerFrame;

use crate::support::{Short, commits, lobby, nodes, nodes_with, refusal, secs};

fn without_position(resume: &Resume) -> Resume {
    Resume { session: resume.session.clone(), position: resume.position }
}

#[test]
fn i25_resume_works_with_nothing_received() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.hang_up(id, 1006);
    let (_, welcome) = cluster.come_back(0, "ada", &session);
    assert!(welcome.resumed);
    assert_eq!((welcome.received, welcome.position), (0, session.position));
}

#[test]
fn i25_resume_works_more_than_once() {
    let mut cluster = nodes(1);
    let (mut id, session) = cluster.join(0, "ada");
    for generation in 1..=5 {
        cluster.hang_up(id, 1006);
        cluster.advance(secs(60));
        let (new, welcome) = cluster.come_back(0, "ada", &session);
        assert!(welcome.resumed, "generation {generation}");
        assert_eq!(welcome.received, generation - 1);
        cluster.send(new, generation, "still me");
        id = new;
    }
    assert_eq!(cluster.node(0).stats().resumed, 5);
}

#[test]
fn i25_the_old_transports_timeout_cannot_end_the_new_session() {
    let mut cluster = nodes(1);
    let (old, session) = cluster.join(0, "ada");
    cluster.peer_mut(old).pings = false;
    cluster.advance(secs(25));
    let (new, welcome) = cluster.come_back(0, "ada", &session);
    assert!(welcome.resumed);
    assert_eq!(cluster.close_code(old), Some(4009));
    cluster.advance(secs(60));
    assert_eq!(cluster.close_code(new), None);
    cluster.send(new, 1, "here");
    assert_eq!(cluster.heard(new), ["ack 1"]);
}

#[test]
fn i25_late_words_of_the_old_transport_change_nothing() {
    let mut cluster = nodes(1);
    let (old, session) = cluster.join(0, "ada");
    let (new, _) = cluster.come_back(0, "ada", &session);
    cluster.send(old, 1, "from the grave");
    cluster.subscribe(old, &lobby(), None);
    cluster.hang_up(old, 1000);
    assert!(cluster.env.handled.is_empty());
    assert!(
        !cluster.env.requests.iter().any(|question| matches!(question, StoreRequest::End { .. }))
    );
    cluster.send(new, 1, "here");
    assert_eq!(cluster.heard(new), ["ack 1"]);
}

#[test]
fn i25_the_old_node_cannot_end_a_session_that_has_moved_on() {
    let mut cluster = nodes(2);
    let (old, session) = cluster.join(0, "ada");
    // The old node learns of it late.
    cluster.env.are_store_events_lost = true;
    let (new, _) = cluster.come_back(1, "ada", &session);
    cluster.send(old, 1, "from the grave");
    assert_eq!(
        cluster.close_code(old),
        Some(4100),
        "its generation is over, and so is what it wants to store"
    );
    let (old, _) = cluster.join(0, "eve");
    cluster.hang_up(old, 1000);
    cluster.send(new, 1, "here");
    assert_eq!(cluster.heard(new), ["ack 1"]);
}

#[test]
fn i25_a_clean_close_on_the_old_node_does_not_end_what_goes_on_elsewhere() {
    let mut cluster = nodes(2);
    let (old, session) = cluster.join(0, "ada");
    cluster.env.are_store_events_lost = true;
    let (new, _) = cluster.come_back(1, "ada", &session);
    cluster.hang_up(old, 1000);
    assert!(
        cluster.env.requests.iter().any(|question| matches!(question, StoreRequest::End { .. }))
    );
    cluster.send(new, 1, "here");
    assert_eq!(cluster.heard(new), ["ack 1"]);
}

#[test]
fn w15_a_session_resumes_on_another_node() {
    let mut cluster = nodes(2);
    let (old, session) = cluster.join(0, "ada");
    cluster.subscribe(old, &lobby(), None);
    cluster.send(old, 1, "one");
    cluster.message(old, Some(2), None, "me two");
    cluster.heard(old);
    cluster.announce(1, "meanwhile");
    assert_eq!(cluster.heard(old), ["2: meanwhile"], "news reach every node");

    let (new, welcome) = cluster.come_back(1, "ada", &session);
    assert_eq!((welcome.resumed, welcome.received), (true, 2));
    assert_eq!(cluster.close_code(old), Some(4009), "the old node is told");
    assert_eq!(cluster.heard(new), ["own 1: me two"], "it was not acknowledged as seen");
    let since = Position { offset: 1, ..crate::support::top(&mut cluster, &lobby()) };
    cluster.subscribe(new, &lobby(), Some(since));
    assert_eq!(cluster.heard(new), ["subscribed 1 true", "2: meanwhile"]);
    cluster.send(new, 3, "three");
    assert_eq!(commits(&cluster.env.requests), [1, 2, 3]);
}

#[test]
fn s06_what_was_missed_comes_before_what_is_new() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.announce(0, "one");
    assert_eq!(cluster.heard(id), ["subscribed 0 true", "1: one"]);
    let seen = crate::support::top(&mut cluster, &lobby());
    cluster.hang_up(id, 1006);
    cluster.announce(0, "two");
    cluster.announce(0, "three");

    let (id, _) = cluster.come_back(0, "ada", &session);
    cluster.hold(TaskKind::Store);
    cluster.subscribe(id, &lobby(), Some(seen));
    let publish = cluster.env.requests.len();
    cluster.announce(0, "four");
    assert!(cluster.env.requests.len() > publish);
    cluster.release(TaskKind::Store);
    assert_eq!(cluster.heard(id), ["subscribed 1 true", "2: two", "3: three", "4: four"]);
}

#[test]
fn s06_direct_messages_that_were_missed_come_right_after_the_welcome() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.message(id, Some(1), None, "me one");
    cluster.hang_up(id, 1006);
    let stream = relink_node::Stream::Session(session.session.clone());
    let publish = NodeInput::Publish { stream, message: "two".into() };
    cluster.give(0, publish);
    let (new, welcome) = cluster.come_back(0, "ada", &session);
    assert_eq!(welcome.position, session.position);
    assert_eq!(cluster.heard(new), ["own 1: me one", "own 2: two"]);
}

/// Another process goes on with the session: it knows no message in flight, and its serials begin
/// after the stored ones.
#[test]
fn i25_what_is_under_way_at_a_take_over_does_not_stand_for_what_comes_after_it() {
    let mut cluster = nodes(1);
    let (reader, _) = cluster.join(0, "bob");
    cluster.subscribe(reader, &lobby(), None);
    let (old, session) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Handle);
    cluster.send(old, 1, "the old one");
    let (new, welcome) = cluster.come_back(0, "ada", &session);
    assert_eq!(welcome.received, 0);
    cluster.send(new, 1, "the new one");
    cluster.release(TaskKind::Handle);
    assert_eq!(cluster.heard(new).last().expect("an ack"), "ack 1");
    let heard = cluster.heard(reader);
    assert!(heard.iter().any(|line| line.contains("the new one")), "{heard:?}");
    assert!(!heard.iter().any(|line| line.contains("the old one")), "{heard:?}");
}

#[test]
fn what_is_under_way_on_another_node_is_stored_once() {
    let mut cluster = nodes(2);
    let (old, session) = cluster.join(0, "ada");
    let (reader, _) = cluster.join(1, "bob");
    cluster.subscribe(reader, &lobby(), None);
    cluster.hold(TaskKind::Handle);
    cluster.send(old, 1, "one");
    let (new, _) = cluster.come_back(1, "ada", &session);
    cluster.send(new, 1, "one");
    cluster.release(TaskKind::Handle);
    assert_eq!(cluster.heard(reader), ["subscribed 0 true", "1: one"]);
    assert_eq!(cluster.heard(new), ["ack 1"]);
}

#[test]
fn somebody_elses_session_is_not_resumed_nor_disturbed() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    let (_, welcome) = cluster.come_back(0, "eve", &session);
    assert_eq!((welcome.resumed, refusal(&welcome)), (false, Some("wrong_user")));
    assert_ne!(welcome.session, session.session);
    assert_eq!(cluster.close_code(id), None);
    cluster.send(id, 1, "still mine");
    assert_eq!(cluster.heard(id), ["ack 1"]);
}

#[test]
fn a_session_lasts_for_its_time_without_a_connection_and_no_longer() {
    let ttl = HistoryConfig::default().session_ttl;
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.advance(ttl * 3);
    cluster.hang_up(id, 1006);
    cluster.advance(ttl / 2);
    let (id, welcome) = cluster.come_back(0, "ada", &without_position(&session));
    assert!(welcome.resumed, "it is kept while it has a connection");
    cluster.hang_up(id, 1006);
    cluster.advance(ttl + secs(1));
    let (_, welcome) = cluster.come_back(0, "ada", &session);
    assert_eq!((welcome.resumed, refusal(&welcome)), (false, Some("session_unknown")));
    assert_eq!((welcome.received, cluster.node(0).stats().resume_refused), (0, 1));
}

#[test]
fn a_clean_close_ends_the_session() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.hang_up(id, 1000);
    assert!(!cluster.come_back(0, "ada", &session).1.resumed);
    let lasted = cluster.take_node_events().into_iter().find_map(|event| match event {
        NodeEvent::Disconnected { code, .. } => Some(code.0),
        _ => None,
    });
    assert_eq!(lasted, Some(1000));
}

#[test]
fn a_position_that_is_no_longer_kept_begins_at_the_top() {
    let history = HistoryConfig::default().with_max_messages(2);
    let mut cluster = nodes_with(1, NodeConfig::default().with_history(history));
    let (id, session) = cluster.join(0, "ada");
    for serial in 1..=4 {
        cluster.message(id, Some(serial), None, "me again");
    }
    cluster.hang_up(id, 1006);
    let (new, welcome) = cluster.come_back(0, "ada", &session);
    assert_eq!((welcome.resumed, welcome.position.offset), (true, 4));
    assert!(cluster.heard(new).is_empty());
}

#[test]
fn of_two_resumes_at_once_the_later_one_has_the_session() {
    let mut cluster = nodes(1);
    let (first, session) = cluster.join(0, "ada");
    cluster.hang_up(first, 1006);
    cluster.hold(TaskKind::Store);
    let (one, two) = (cluster.open(0), cluster.open(0));
    cluster.hello(one, "ada", Some(session.clone()));
    cluster.hello(two, "ada", Some(session.clone()));
    cluster.release(TaskKind::Store);
    assert_eq!((cluster.close_code(one), cluster.close_code(two)), (Some(4009), None));
    assert!(cluster.welcome(two).resumed);
    cluster.send(two, 1, "here");
    assert_eq!(cluster.heard(two), ["ack 1"]);
}

#[test]
fn whoever_leaves_during_the_handshake_leaves_nothing_behind() {
    let mut cluster = nodes(1);
    cluster.hold(TaskKind::Store);
    let id = cluster.open(0);
    cluster.hello(id, "ada", None);
    cluster.hang_up(id, 1006);
    cluster.release(TaskKind::Store);
    assert_eq!((cluster.store().sessions(), cluster.node(0).connections()), (0, 0));
    assert!(cluster.take(id).iter().all(|frame| !matches!(frame, ServerFrame::Welcome(_))));
}

#[test]
fn of_two_resumes_the_later_generation_has_the_session_whichever_answer_comes_first() {
    let mut cluster = nodes(1);
    let (first, session) = cluster.join(0, "ada");
    cluster.hang_up(first, 1006);
    cluster.hold(TaskKind::Store);
    cluster.env.are_store_events_lost = true;
    let (one, two) = (cluster.open(0), cluster.open(0));
    for id in [one, two] {
        cluster.hello(id, "ada", Some(session.clone()));
    }
    let mut answers = Vec::new();
    while let Some((node, question, what)) = cluster.next_request() {
        answers.push((node, NodeInput::Answered { question, answer: Ok(cluster.ask_store(what)) }));
    }
    for (node, answer) in answers.into_iter().rev() {
        cluster.give(node, answer);
    }
    cluster.release(TaskKind::Store);
    assert_eq!((cluster.close_code(one), cluster.close_code(two)), (Some(4009), None));
    cluster.welcome(two);
    cluster.send(two, 1, "here");
    assert_eq!(cluster.heard(two), ["ack 1"]);
}

#[test]
fn what_was_under_way_here_before_the_session_went_elsewhere_is_forgotten() {
    let mut cluster = nodes(2);
    let (here, session) = cluster.join(0, "ada");
    cluster.env.are_store_events_lost = true;
    cluster.hold(TaskKind::Handle);
    cluster.send(here, 1, "one");
    let first = cluster.take_task(TaskKind::Handle, 0).expect("under way");
    let (there, _) = cluster.come_back(1, "ada", &session);
    cluster.stop_holding(TaskKind::Handle);
    cluster.send(there, 1, "one");
    let (back, welcome) = cluster.come_back(0, "ada", &session);
    assert_eq!(welcome.received, 1);
    cluster.env.held.push_back(first);
    cluster.release(TaskKind::Handle);
    cluster.send(back, 2, "two");
    assert_eq!(cluster.heard(back), ["ack 2"]);
    assert_eq!(commits(&cluster.env.requests), [1, 2], "the late result is nothing any more");
}

/// The store was away for longer than sessions last: connected clients must not go on without one.
#[test]
fn i25_a_client_whose_session_is_gone_is_told_even_if_it_says_nothing() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    let end = StoreRequest::End { session: session.session.clone(), generation: 0 };
    cluster.ask_store(end);
    cluster.advance(secs(39));
    assert_eq!(cluster.close_code(id), None);
    cluster.advance(secs(2));
    assert_eq!(cluster.close_code(id), Some(4100));
    let (_, welcome) = cluster.come_back(0, "ada", &session);
    assert_eq!(refusal(&welcome), Some("session_unknown"));
}
