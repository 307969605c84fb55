//! Sessions that go on: on a new connection, on another node.

use relink::{Position, Resume};
use relink_node::{HistoryConfig, NodeConfig, NodeEvent, NodeInput, StoreRequest};
use relink_v1::ServerFrame;

use crate::world::{World, commits, lobby, secs};

fn without_position(resume: &Resume) -> Resume {
    Resume { session: resume.session.clone(), position: resume.position }
}

#[test]
fn i25_resume_works_with_nothing_received() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.hang_up(id, 1006);
    let (_, welcome) = world.come_back(0, "ada", &session);
    assert!(welcome.resumed);
    assert_eq!((welcome.received, welcome.position), (0, session.position));
}

#[test]
fn i25_resume_works_more_than_once() {
    let mut world = World::new(1);
    let (mut id, session) = world.join(0, "ada");
    for turn in 1..=5 {
        world.hang_up(id, 1006);
        world.pass(secs(60));
        let (new, welcome) = world.come_back(0, "ada", &session);
        assert!(welcome.resumed, "turn {turn}");
        assert_eq!(welcome.received, turn - 1);
        world.send(new, turn, "still me");
        id = new;
    }
    assert_eq!(world.nodes[0].stats().resumed, 5);
}

#[test]
fn i25_the_old_transports_timeout_cannot_end_the_new_session() {
    let mut world = World::new(1);
    let (old, session) = world.join(0, "ada");
    world.peers.get_mut(&old).expect("a peer").pings = false;
    world.pass(secs(25));
    let (new, welcome) = world.come_back(0, "ada", &session);
    assert!(welcome.resumed);
    assert_eq!(world.close_code(old), Some(4009));
    world.pass(secs(60));
    assert_eq!(world.close_code(new), None);
    world.send(new, 1, "here");
    assert_eq!(world.heard(new), ["ack 1"]);
}

#[test]
fn i25_late_words_of_the_old_transport_change_nothing() {
    let mut world = World::new(1);
    let (old, session) = world.join(0, "ada");
    let (new, _) = world.come_back(0, "ada", &session);
    world.send(old, 1, "from the grave");
    world.subscribe(old, &lobby(), None);
    world.hang_up(old, 1000);
    assert!(world.handled.is_empty());
    assert!(!world.questions.iter().any(|question| matches!(question, StoreRequest::End { .. })));
    world.send(new, 1, "here");
    assert_eq!(world.heard(new), ["ack 1"]);
}

#[test]
fn i25_the_old_node_cannot_end_a_session_that_has_moved_on() {
    let mut world = World::new(2);
    let (old, session) = world.join(0, "ada");
    // The old node does not hear of it in time.
    world.lose_news = true;
    let (new, _) = world.come_back(1, "ada", &session);
    world.send(old, 1, "from the grave");
    assert_eq!(
        world.close_code(old),
        Some(4100),
        "its turn is over, and so is what it wants to store"
    );
    let (old, _) = world.join(0, "eve");
    world.hang_up(old, 1000);
    world.send(new, 1, "here");
    assert_eq!(world.heard(new), ["ack 1"]);
}

#[test]
fn i25_a_clean_close_on_the_old_node_does_not_end_what_goes_on_elsewhere() {
    let mut world = World::new(2);
    let (old, session) = world.join(0, "ada");
    world.lose_news = true;
    let (new, _) = world.come_back(1, "ada", &session);
    world.hang_up(old, 1000);
    assert!(world.questions.iter().any(|question| matches!(question, StoreRequest::End { .. })));
    world.send(new, 1, "here");
    assert_eq!(world.heard(new), ["ack 1"]);
}

#[test]
fn w15_a_session_resumes_on_another_node() {
    let mut world = World::new(2);
    let (old, session) = world.join(0, "ada");
    world.subscribe(old, &lobby(), None);
    world.send(old, 1, "one");
    world.message(old, Some(2), None, "me two");
    world.heard(old);
    world.publish(1, "meanwhile");
    assert_eq!(world.heard(old), ["2: meanwhile"], "news reach every node");

    let (new, welcome) = world.come_back(1, "ada", &session);
    assert_eq!((welcome.resumed, welcome.received), (true, 2));
    assert_eq!(world.close_code(old), Some(4009), "the old node is told");
    assert_eq!(world.heard(new), ["own 1: me two"], "it was not acknowledged as seen");
    let since = Position { offset: 1, ..crate::world::top(&mut world, &lobby()) };
    world.subscribe(new, &lobby(), Some(since));
    assert_eq!(world.heard(new), ["subscribed 1 true", "2: meanwhile"]);
    world.send(new, 3, "three");
    assert_eq!(commits(&world.questions), [1, 2, 3]);
}

#[test]
fn s06_what_was_missed_comes_before_what_is_new() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.publish(0, "one");
    assert_eq!(world.heard(id), ["subscribed 0 true", "1: one"]);
    let seen = crate::world::top(&mut world, &lobby());
    world.hang_up(id, 1006);
    world.publish(0, "two");
    world.publish(0, "three");

    let (id, _) = world.come_back(0, "ada", &session);
    world.hold_store = true;
    world.subscribe(id, &lobby(), Some(seen));
    let publish = world.questions.len();
    world.publish(0, "four");
    assert!(world.questions.len() > publish);
    world.let_store_go();
    assert_eq!(world.heard(id), ["subscribed 1 true", "2: two", "3: three", "4: four"]);
}

#[test]
fn s06_direct_messages_that_were_missed_come_right_after_the_welcome() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.message(id, Some(1), None, "me one");
    world.hang_up(id, 1006);
    let stream = relink_node::Stream::Session(session.session.clone());
    let publish = NodeInput::Publish { stream, message: "two".into() };
    world.give(0, publish);
    let (new, welcome) = world.come_back(0, "ada", &session);
    assert_eq!(welcome.position, session.position);
    assert_eq!(world.heard(new), ["own 1: me one", "own 2: two"]);
}

/// Another process goes on with the session: it knows of no message in flight, and its own begin
/// after what is stored.
#[test]
fn i25_what_is_under_way_at_a_take_over_does_not_stand_for_what_comes_after_it() {
    let mut world = World::new(1);
    let (reader, _) = world.join(0, "bob");
    world.subscribe(reader, &lobby(), None);
    let (old, session) = world.join(0, "ada");
    world.hold_application = true;
    world.send(old, 1, "the old one");
    let (new, welcome) = world.come_back(0, "ada", &session);
    assert_eq!(welcome.received, 0);
    world.send(new, 1, "the new one");
    world.let_application_go();
    assert_eq!(world.heard(new).last().expect("an ack"), "ack 1");
    let heard = world.heard(reader);
    assert!(heard.iter().any(|line| line.contains("the new one")), "{heard:?}");
    assert!(!heard.iter().any(|line| line.contains("the old one")), "{heard:?}");
}

#[test]
fn what_is_under_way_on_another_node_is_stored_once() {
    let mut world = World::new(2);
    let (old, session) = world.join(0, "ada");
    let (reader, _) = world.join(1, "bob");
    world.subscribe(reader, &lobby(), None);
    world.hold_application = true;
    world.send(old, 1, "one");
    let (new, _) = world.come_back(1, "ada", &session);
    world.send(new, 1, "one");
    world.let_application_go();
    assert_eq!(world.heard(reader), ["subscribed 0 true", "1: one"]);
    assert_eq!(world.heard(new), ["ack 1"]);
}

#[test]
fn somebody_elses_session_is_not_resumed_nor_disturbed() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    let (_, welcome) = world.come_back(0, "eve", &session);
    assert_eq!((welcome.resumed, welcome.refused.as_deref()), (false, Some("wrong_user")));
    assert_ne!(welcome.session, session.session);
    assert_eq!(world.close_code(id), None);
    world.send(id, 1, "still mine");
    assert_eq!(world.heard(id), ["ack 1"]);
}

#[test]
fn a_session_lasts_for_its_time_without_a_connection_and_no_longer() {
    let ttl = HistoryConfig::default().session_ttl;
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.pass(ttl * 3);
    world.hang_up(id, 1006);
    world.pass(ttl / 2);
    let (id, welcome) = world.come_back(0, "ada", &without_position(&session));
    assert!(welcome.resumed, "it is kept while it has a connection");
    world.hang_up(id, 1006);
    world.pass(ttl + secs(1));
    let (_, welcome) = world.come_back(0, "ada", &session);
    assert_eq!((welcome.resumed, welcome.refused.as_deref()), (false, Some("session_unknown")));
    assert_eq!((welcome.received, world.nodes[0].stats().resume_refused), (0, 1));
}

#[test]
fn a_clean_close_ends_the_session() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.hang_up(id, 1000);
    assert!(!world.come_back(0, "ada", &session).1.resumed);
    let lasted = world.events().into_iter().find_map(|event| match event {
        NodeEvent::Disconnected { code, .. } => Some(code.0),
        _ => None,
    });
    assert_eq!(lasted, Some(1000));
}

#[test]
fn a_position_that_is_no_longer_kept_begins_at_the_top() {
    let history = HistoryConfig::default().with_max_messages(2);
    let mut world = World::with(1, NodeConfig::default().with_history(history));
    let (id, session) = world.join(0, "ada");
    for serial in 1..=4 {
        world.message(id, Some(serial), None, "me again");
    }
    world.hang_up(id, 1006);
    let (new, welcome) = world.come_back(0, "ada", &session);
    assert_eq!((welcome.resumed, welcome.position.offset), (true, 4));
    assert!(world.heard(new).is_empty());
}

#[test]
fn of_two_resumes_at_once_the_later_one_has_the_session() {
    let mut world = World::new(1);
    let (first, session) = world.join(0, "ada");
    world.hang_up(first, 1006);
    world.hold_store = true;
    let (one, two) = (world.open(0), world.open(0));
    world.hello(one, "ada", Some(session.clone()));
    world.hello(two, "ada", Some(session.clone()));
    world.let_store_go();
    assert_eq!((world.close_code(one), world.close_code(two)), (Some(4009), None));
    assert!(world.welcome(two).resumed);
    world.send(two, 1, "here");
    assert_eq!(world.heard(two), ["ack 1"]);
}

#[test]
fn whoever_leaves_during_the_handshake_leaves_nothing_behind() {
    let mut world = World::new(1);
    world.hold_store = true;
    let id = world.open(0);
    world.hello(id, "ada", None);
    world.hang_up(id, 1006);
    world.let_store_go();
    assert_eq!((world.history.sessions(), world.nodes[0].connections()), (0, 0));
    assert!(world.take(id).iter().all(|frame| !matches!(frame, ServerFrame::Welcome { .. })));
}

#[test]
fn of_two_resumes_the_later_turn_has_the_session_whichever_answer_comes_first() {
    let mut world = World::new(1);
    let (first, session) = world.join(0, "ada");
    world.hang_up(first, 1006);
    world.hold_store = true;
    world.lose_news = true;
    let (one, two) = (world.open(0), world.open(0));
    for id in [one, two] {
        world.hello(id, "ada", Some(session.clone()));
    }
    let mut answers = Vec::new();
    while let Some((node, question, what)) = world.held.pop_front() {
        answers.push((
            node,
            NodeInput::Answered { question, answer: Ok(world.history.answer(what, world.now)) },
        ));
    }
    for (node, answer) in answers.into_iter().rev() {
        world.give(node, answer);
    }
    world.let_store_go();
    assert_eq!((world.close_code(one), world.close_code(two)), (Some(4009), None));
    world.welcome(two);
    world.send(two, 1, "here");
    assert_eq!(world.heard(two), ["ack 1"]);
}

#[test]
fn what_was_under_way_here_before_the_session_went_elsewhere_is_forgotten() {
    let mut world = World::new(2);
    let (here, session) = world.join(0, "ada");
    world.lose_news = true;
    world.hold_application = true;
    world.send(here, 1, "one");
    let first = world.waiting.pop_front().expect("under way");
    let (there, _) = world.come_back(1, "ada", &session);
    world.hold_application = false;
    world.send(there, 1, "one");
    let (back, welcome) = world.come_back(0, "ada", &session);
    assert_eq!(welcome.received, 1);
    world.waiting.push_back(first);
    world.let_application_go();
    world.send(back, 2, "two");
    assert_eq!(world.heard(back), ["ack 2"]);
    assert_eq!(commits(&world.questions), [1, 2], "the late result is nothing any more");
}

/// The store was away for longer than its sessions last: who is connected must not go on without
/// one.
#[test]
fn i25_a_client_whose_session_is_gone_is_told_even_if_it_says_nothing() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    let end = StoreRequest::End { session: session.session.clone(), turn: 0 };
    world.history.answer(end, world.now);
    world.pass(secs(39));
    assert_eq!(world.close_code(id), None);
    world.pass(secs(2));
    assert_eq!(world.close_code(id), Some(4100));
    let (_, welcome) = world.come_back(0, "ada", &session);
    assert_eq!(welcome.refused.as_deref(), Some("session_unknown"));
}
