//! Reading channels: one sequence without a hole, whatever happens to news, sockets and the store.

use relink::{Message, Position};
use relink_node::StoreEvent;
use relink_node::{HistoryConfig, NodeConfig, NodeInput, Publication, StoreRequest, Stream};
use relink_v1::ServerFrame;

use crate::world::{World, lobby, millis, secs, top};

fn offsets(frames: &[ServerFrame]) -> Vec<u64> {
    let offset = |frame: &ServerFrame| match frame {
        ServerFrame::Publication { offset, .. } => Some(*offset),
        _ => None,
    };
    frames.iter().filter_map(offset).collect()
}

#[test]
fn lost_news_show_at_the_next_one_and_are_fetched() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.lose_news = true;
    world.publish(0, "one");
    world.publish(0, "two");
    world.settle();
    world.lose_news = false;
    assert_eq!(world.heard(id), ["subscribed 0 true"]);
    world.publish(0, "three");
    assert_eq!(world.heard(id), ["1: one", "2: two", "3: three"]);
}

#[test]
fn doubt_is_answered_by_a_look_at_the_store() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.subscribe(id, &"quiet".into(), None);
    world.lose_news = true;
    world.publish(0, "one");
    let own = Stream::Session(session.session);
    world.give(0, NodeInput::Publish { stream: own, message: "direct".into() });
    world.settle();
    world.lose_news = false;
    world.heard(id);
    world.give(0, NodeInput::StoreEvent(StoreEvent::Lagged));
    let mut said = world.heard(id);
    said.sort();
    assert_eq!(said, ["1: one", "own 1: direct"]);
}

#[test]
fn news_that_come_twice_or_late_are_sent_once() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.publish(0, "one");
    world.publish(0, "two");
    let epoch = top(&mut world, &lobby()).epoch;
    let publication = Publication { offset: 1, message: "one".into() };
    let news = StoreEvent::Published { stream: Stream::Channel(lobby()), epoch, publication };
    world.give(0, NodeInput::StoreEvent(news));
    assert_eq!(world.heard(id), ["subscribed 0 true", "1: one", "2: two"]);
}

#[test]
fn news_that_overtake_an_answer_are_not_lost() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.hold_store = true;
    world.subscribe(id, &lobby(), None);
    let (node, question, what) = world.held.pop_front().expect("a question");
    let old = world.history.answer(what, world.now);
    // The store has answered; before the answer is here, there are news.
    world.hold_store = false;
    world.publish(0, "in between");
    world.give(node, NodeInput::Answered { question, answer: Ok(old) });
    assert_eq!(world.heard(id), ["subscribed 0 true", "1: in between"]);
}

#[test]
fn many_missed_messages_come_a_page_at_a_time() {
    let mut world = World::with(1, NodeConfig::default().with_page(10));
    let (id, _) = world.join(0, "ada");
    let start = top(&mut world, &lobby());
    for number in 0..95 {
        world.publish(0, &format!("no. {number}"));
    }
    world.questions.clear();
    world.subscribe(id, &lobby(), Some(start));
    assert_eq!(offsets(&world.take(id)), (1..=95).collect::<Vec<_>>());
    assert_eq!(world.questions.len(), 10);
    assert!(
        world
            .questions
            .iter()
            .all(|question| matches!(question, StoreRequest::Read { limit: 10, .. }))
    );
}

#[test]
fn a_place_that_is_lost_is_told_with_the_subscription() {
    let history = HistoryConfig::default().with_max_messages(2);
    let mut world = World::with(1, NodeConfig::default().with_history(history));
    let (id, _) = world.join(0, "ada");
    let start = top(&mut world, &lobby());
    for text in ["one", "two", "three"] {
        world.publish(0, text);
    }
    world.subscribe(id, &lobby(), Some(start));
    assert_eq!(world.heard(id), ["subscribed 3 false"]);
    world.subscribe(id, &lobby(), Some(Position { epoch: start.epoch.wrapping_add(1), offset: 3 }));
    assert_eq!(world.heard(id), ["subscribed 3 false"], "another history");
    world.subscribe(id, &lobby(), Some(Position { offset: 4, ..start }));
    assert_eq!(world.heard(id), ["subscribed 3 false"], "a future that was never told");
    world.publish(0, "four");
    assert_eq!(world.heard(id), ["4: four"]);
}

#[test]
fn a_history_that_is_lost_under_way_is_told_by_another_subscribed() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.publish(0, "one");
    world.heard(id);
    // The store starts anew.
    world.history = relink_node::MemoryStore::new(HistoryConfig::default(), 99).expect("valid");
    world.publish(0, "first of another history");
    assert_eq!(world.heard(id), ["subscribed 0 false", "1: first of another history"]);
    world.publish(0, "second");
    assert_eq!(world.heard(id), ["2: second"]);
    assert_eq!(world.nodes[0].stats().lost, 1);
}

#[test]
fn an_idle_channel_keeps_its_place_while_it_is_watched() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.publish(0, "one");
    world.pass(secs(3600));
    world.publish(0, "two");
    assert_eq!(world.heard(id), ["subscribed 0 true", "1: one", "2: two"]);
}

#[test]
fn a_slow_reader_is_bounded_and_misses_nothing() {
    let bound = 10_000;
    let mut world =
        World::with(1, NodeConfig::default().with_max_outbound_bytes(bound).with_page(50));
    let (slow, _) = world.join(0, "slow");
    let (quick, _) = world.join(0, "quick");
    world.subscribe(slow, &lobby(), None);
    world.subscribe(quick, &lobby(), None);
    world.peers.get_mut(&slow).expect("a peer").reads = false;
    let text = "x".repeat(100);
    for _ in 0..900 {
        world.publish(0, &text);
        assert!(world.nodes[0].stats().outbound_bytes < bound as u64 + 300);
    }
    assert!(!world.nodes[0].may_read(slow), "who does not read is not read");
    assert_eq!(offsets(&world.take(quick)).len(), 900);
    while world.drain(slow, 7) > 0 {
        world.settle();
        assert!(world.nodes[0].stats().outbound_bytes < bound as u64 + 300);
    }
    assert_eq!(offsets(&world.take(slow)), (1..=900).collect::<Vec<_>>());
    assert!(world.nodes[0].may_read(slow));
    assert!(world.nodes[0].stats().slow >= 1);
    world.publish(0, "live again");
    world.drain(slow, 7);
    assert_eq!(world.heard(slow), ["901: live again"]);
}

#[test]
fn a_reader_that_is_too_slow_for_the_store_is_told_what_it_missed() {
    let history = HistoryConfig::default().with_max_messages(20);
    let config = NodeConfig::default().with_history(history).with_max_outbound_bytes(2_000);
    let mut world = World::with(1, config);
    let (id, _) = world.join(0, "slow");
    world.subscribe(id, &lobby(), None);
    world.peers.get_mut(&id).expect("a peer").reads = false;
    for _ in 0..200 {
        world.publish(0, &"x".repeat(100));
    }
    world.peers.get_mut(&id).expect("a peer").reads = true;
    world.settle();
    let said = world.heard(id);
    assert_eq!(said.last().expect("something"), "subscribed 200 false");
    world.publish(0, "now");
    assert_eq!(world.heard(id), ["201: now"]);
}

#[test]
fn a_publication_is_encoded_once_for_all_its_readers() {
    let mut world = World::new(1);
    let ids: Vec<_> = (0..3).map(|_| world.join(0, "ada").0).collect();
    for id in &ids {
        world.subscribe(*id, &lobby(), None);
        world.take(*id);
        world.peers.get_mut(id).expect("a peer").reads = false;
    }
    world.publish(0, "shared");
    let messages: Vec<Message> =
        ids.iter().map(|id| world.nodes[0].poll_transmit(*id).expect("a message")).collect();
    let place = messages[0].as_bytes().as_ptr();
    assert!(messages.iter().all(|message| message.as_bytes().as_ptr() == place), "the same bytes");
}

#[test]
fn readers_that_missed_the_same_share_a_question() {
    let mut world = World::new(1);
    let ids: Vec<_> = (0..20).map(|_| world.join(0, "ada").0).collect();
    for id in &ids {
        world.subscribe(*id, &lobby(), None);
    }
    world.lose_news = true;
    world.publish(0, "one");
    world.settle();
    world.lose_news = false;
    world.questions.clear();
    world.hold_store = true;
    let epoch = top(&mut world, &lobby()).epoch;
    let publication = Publication { offset: 2, message: "two".into() };
    world.history.answer(
        StoreRequest::Publish {
            session: None,
            publications: vec![(Stream::Channel(lobby()), "two".into())],
        },
        world.now,
    );
    while world.history.poll_news().is_some() {}
    let news = StoreEvent::Published { stream: Stream::Channel(lobby()), epoch, publication };
    world.give(0, NodeInput::StoreEvent(news));
    assert_eq!(world.questions.len(), 1);
    world.let_store_go();
    for id in ids {
        assert_eq!(world.heard(id), ["subscribed 0 true", "1: one", "2: two"]);
    }
}

#[test]
fn after_unsubscribe_nothing_comes_and_nothing_is_watched() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    world.unsubscribe(id, &lobby());
    world.publish(0, "unheard");
    assert_eq!(world.heard(id), ["subscribed 0 true", "unsubscribed"]);
    assert_eq!(world.watched[0].len(), 1, "its own stream alone");
    world.hang_up(id, 1000);
    assert!(world.watched[0].is_empty());
}

#[test]
fn a_store_that_lags_behind_its_news_is_asked_again_but_not_at_once() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.subscribe(id, &lobby(), None);
    let epoch = top(&mut world, &lobby()).epoch;
    world.questions.clear();
    let publication = Publication { offset: 2, message: "two".into() };
    let news = StoreEvent::Published { stream: Stream::Channel(lobby()), epoch, publication };
    world.give(0, NodeInput::StoreEvent(news));
    assert_eq!(world.questions.len(), 1);
    world.pass(millis(400));
    assert!((2..6).contains(&world.questions.len()), "{}", world.questions.len());
    world.publish(0, "one");
    world.publish(0, "two");
    world.pass(secs(6));
    assert_eq!(world.heard(id), ["subscribed 0 true", "1: one", "2: two"]);
    let asked = world.questions.len();
    world.pass(secs(60));
    assert!(world.questions.len() <= asked + 3, "and then it is quiet, but for the keeping");
}
