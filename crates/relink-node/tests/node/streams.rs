//! Reading channels: one sequence without a gap, whatever happens to store events, sockets and the
//! store.

use relink::{CloseCode, Instant, Message, Position};
use relink_node::{ConnectionId, StoreEvent};
use relink_node::{HistoryConfig, NodeConfig, NodeInput, Publication, StoreRequest, Stream};
use relink_sim::cluster::TaskKind;
use relink_v1::ServerFrame;

use crate::support::{Cluster, Short, lobby, millis, nodes, nodes_with, secs, top};

fn offsets(frames: &[ServerFrame]) -> Vec<u64> {
    let offset = |frame: &ServerFrame| match frame {
        ServerFrame::Publication { offset, .. } => Some(*offset),
        _ => None,
    };
    frames.iter().filter_map(offset).collect()
}

#[test]
fn lost_news_show_at_the_next_one_and_are_fetched() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.env.are_store_events_lost = true;
    cluster.announce(0, "one");
    cluster.announce(0, "two");
    cluster.settle();
    cluster.env.are_store_events_lost = false;
    assert_eq!(cluster.heard(id), ["subscribed 0 true"]);
    cluster.announce(0, "three");
    assert_eq!(cluster.heard(id), ["1: one", "2: two", "3: three"]);
}

#[test]
fn doubt_is_answered_by_a_look_at_the_store() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.subscribe(id, &"quiet".into(), None);
    cluster.env.are_store_events_lost = true;
    cluster.announce(0, "one");
    let own = Stream::Session(session.session);
    cluster.give(0, NodeInput::Publish { stream: own, message: "direct".into() });
    cluster.settle();
    cluster.env.are_store_events_lost = false;
    cluster.heard(id);
    cluster.give(0, NodeInput::StoreEvent(StoreEvent::Lagged));
    let mut said = cluster.heard(id);
    said.sort();
    assert_eq!(said, ["1: one", "own 1: direct"]);
}

#[test]
fn news_that_come_twice_or_late_are_sent_once() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.announce(0, "one");
    cluster.announce(0, "two");
    let epoch = top(&mut cluster, &lobby()).epoch;
    let publication = Publication { offset: 1, message: "one".into() };
    let news = StoreEvent::Published { stream: Stream::Channel(lobby()), epoch, publication };
    cluster.give(0, NodeInput::StoreEvent(news));
    assert_eq!(cluster.heard(id), ["subscribed 0 true", "1: one", "2: two"]);
}

#[test]
fn news_that_overtake_an_answer_are_not_lost() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Store);
    cluster.subscribe(id, &lobby(), None);
    let (node, question, what) = cluster.next_request().expect("a question");
    let old = cluster.ask_store(what);
    // The store has answered; an event of the store overtakes the answer.
    cluster.stop_holding(TaskKind::Store);
    cluster.announce(0, "in between");
    cluster.give(node, NodeInput::Answered { question, answer: Ok(old) });
    assert_eq!(cluster.heard(id), ["subscribed 0 true", "1: in between"]);
}

#[test]
fn many_missed_messages_come_a_page_at_a_time() {
    let mut cluster = nodes_with(1, NodeConfig::default().with_page(10));
    let (id, _) = cluster.join(0, "ada");
    let start = top(&mut cluster, &lobby());
    for number in 0..95 {
        cluster.announce(0, &format!("no. {number}"));
    }
    cluster.env.requests.clear();
    cluster.subscribe(id, &lobby(), Some(start));
    assert_eq!(offsets(&cluster.take(id)), (1..=95).collect::<Vec<_>>());
    assert_eq!(cluster.env.requests.len(), 10);
    assert!(
        cluster
            .env
            .requests
            .iter()
            .all(|question| matches!(question, StoreRequest::Read { limit: 10, .. }))
    );
}

#[test]
fn a_place_that_is_lost_is_told_with_the_subscription() {
    let history = HistoryConfig::default().with_max_messages(2);
    let mut cluster = nodes_with(1, NodeConfig::default().with_history(history));
    let (id, _) = cluster.join(0, "ada");
    let start = top(&mut cluster, &lobby());
    for text in ["one", "two", "three"] {
        cluster.announce(0, text);
    }
    cluster.subscribe(id, &lobby(), Some(start));
    assert_eq!(cluster.heard(id), ["subscribed 3 false"]);
    cluster.subscribe(
        id,
        &lobby(),
        Some(Position { epoch: start.epoch.wrapping_add(1), offset: 3 }),
    );
    assert_eq!(cluster.heard(id), ["subscribed 3 false"], "another history");
    cluster.subscribe(id, &lobby(), Some(Position { offset: 4, ..start }));
    assert_eq!(cluster.heard(id), ["subscribed 3 false"], "a future that was never told");
    cluster.announce(0, "four");
    assert_eq!(cluster.heard(id), ["4: four"]);
}

#[test]
fn a_history_that_is_lost_under_way_is_told_by_another_subscribed() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.announce(0, "one");
    cluster.heard(id);
    // The store has lost everything and begins another epoch.
    *cluster.store_mut() =
        relink_node::MemoryStore::new(HistoryConfig::default(), 99).expect("valid");
    cluster.announce(0, "first of another history");
    assert_eq!(cluster.heard(id), ["subscribed 0 false", "1: first of another history"]);
    cluster.announce(0, "second");
    assert_eq!(cluster.heard(id), ["2: second"]);
    assert_eq!(cluster.node(0).stats().lost, 1);
}

#[test]
fn an_idle_channel_keeps_its_place_while_it_is_watched() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.announce(0, "one");
    cluster.advance(secs(3600));
    cluster.announce(0, "two");
    assert_eq!(cluster.heard(id), ["subscribed 0 true", "1: one", "2: two"]);
}

#[test]
fn a_slow_reader_is_bounded_and_misses_nothing() {
    let bound = 10_000;
    let mut cluster =
        nodes_with(1, NodeConfig::default().with_max_outbound_bytes(bound).with_page(50));
    let (slow, _) = cluster.join(0, "slow");
    let (quick, _) = cluster.join(0, "quick");
    cluster.subscribe(slow, &lobby(), None);
    cluster.subscribe(quick, &lobby(), None);
    cluster.peer_mut(slow).reads = false;
    let text = "x".repeat(100);
    for _ in 0..900 {
        cluster.announce(0, &text);
        assert!(cluster.node(0).stats().outbound_bytes < bound as u64 + 300);
    }
    assert!(!cluster.node(0).may_read(slow), "who does not read is not read");
    assert_eq!(offsets(&cluster.take(quick)).len(), 900);
    while cluster.read(slow, 7) > 0 {
        cluster.settle();
        assert!(cluster.node(0).stats().outbound_bytes < bound as u64 + 300);
    }
    assert_eq!(offsets(&cluster.take(slow)), (1..=900).collect::<Vec<_>>());
    assert!(cluster.node(0).may_read(slow));
    assert!(cluster.node(0).stats().slow >= 1);
    cluster.announce(0, "live again");
    cluster.read(slow, 7);
    assert_eq!(cluster.heard(slow), ["901: live again"]);
}

#[test]
fn a_reader_that_is_too_slow_for_the_store_is_told_what_it_missed() {
    let history = HistoryConfig::default().with_max_messages(20);
    let config = NodeConfig::default().with_history(history).with_max_outbound_bytes(2_000);
    let mut cluster = nodes_with(1, config);
    let (id, _) = cluster.join(0, "slow");
    cluster.subscribe(id, &lobby(), None);
    cluster.peer_mut(id).reads = false;
    for _ in 0..200 {
        cluster.announce(0, &"x".repeat(100));
    }
    cluster.peer_mut(id).reads = true;
    cluster.settle();
    let said = cluster.heard(id);
    assert_eq!(said.last().expect("something"), "subscribed 200 false");
    cluster.announce(0, "now");
    assert_eq!(cluster.heard(id), ["201: now"]);
}

fn three_that_do_not_read() -> (Cluster, Vec<ConnectionId>) {
    let mut cluster = nodes(1);
    let ids: Vec<_> = (0..3).map(|_| cluster.join(0, "ada").0).collect();
    for id in &ids {
        cluster.subscribe(*id, &lobby(), None);
        cluster.take(*id);
        cluster.peer_mut(*id).reads = false;
    }
    (cluster, ids)
}

#[test]
fn a_publication_is_encoded_once_for_all_its_readers() {
    let (mut cluster, ids) = three_that_do_not_read();
    cluster.announce(0, "shared");
    let messages: Vec<Message> =
        ids.iter().map(|id| cluster.node_mut(0).poll_transmit(*id).expect("a message")).collect();
    let place = messages[0].as_bytes().as_ptr();
    assert!(messages.iter().all(|message| message.as_bytes().as_ptr() == place), "the same bytes");
}

#[test]
fn the_bytes_that_wait_are_those_of_all_queues() {
    let (mut cluster, ids) = three_that_do_not_read();
    let waiting = |cluster: &Cluster| cluster.node(0).stats().outbound_bytes;
    assert_eq!(waiting(&cluster), 0);
    cluster.announce(0, "first");
    cluster.announce(0, "second");
    let all = waiting(&cluster);
    let mut taken = 0;
    while let Some(message) = cluster.node_mut(0).poll_transmit(ids[0]) {
        taken += message.len() as u64;
    }
    assert_eq!((taken * 3, waiting(&cluster)), (all, taken * 2));
    // What waits for a connection that is closed is not counted, written or not.
    cluster.hang_up(ids[1], 1006);
    assert_eq!(waiting(&cluster), taken);
    cluster.node_mut(0).handle(
        NodeInput::Kick { user: "ada".into(), frame: CloseCode::ACCOUNT_SUSPENDED.into() },
        Instant::ORIGIN,
    );
    assert_eq!(waiting(&cluster), 0);
}

#[test]
fn readers_that_missed_the_same_share_a_question() {
    let mut cluster = nodes(1);
    let ids: Vec<_> = (0..20).map(|_| cluster.join(0, "ada").0).collect();
    for id in &ids {
        cluster.subscribe(*id, &lobby(), None);
    }
    cluster.env.are_store_events_lost = true;
    cluster.announce(0, "one");
    cluster.settle();
    cluster.env.are_store_events_lost = false;
    cluster.env.requests.clear();
    cluster.hold(TaskKind::Store);
    let epoch = top(&mut cluster, &lobby()).epoch;
    let publication = Publication { offset: 2, message: "two".into() };
    let now = cluster.now();
    cluster.store_mut().answer(
        StoreRequest::Publish {
            session: None,
            publications: vec![(Stream::Channel(lobby()), "two".into())],
        },
        now,
    );
    while cluster.store_mut().poll_news().is_some() {}
    let news = StoreEvent::Published { stream: Stream::Channel(lobby()), epoch, publication };
    cluster.give(0, NodeInput::StoreEvent(news));
    assert_eq!(cluster.env.requests.len(), 1);
    cluster.release(TaskKind::Store);
    for id in ids {
        assert_eq!(cluster.heard(id), ["subscribed 0 true", "1: one", "2: two"]);
    }
}

#[test]
fn after_unsubscribe_nothing_comes_and_nothing_is_watched() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.unsubscribe(id, &lobby());
    cluster.announce(0, "unheard");
    assert_eq!(cluster.heard(id), ["subscribed 0 true", "unsubscribed"]);
    assert_eq!(cluster.watched(0).len(), 1, "its own stream alone");
    cluster.hang_up(id, 1000);
    assert!(cluster.watched(0).is_empty());
}

#[test]
fn a_store_that_lags_behind_its_news_is_asked_again_but_not_at_once() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    let epoch = top(&mut cluster, &lobby()).epoch;
    cluster.env.requests.clear();
    let publication = Publication { offset: 2, message: "two".into() };
    let news = StoreEvent::Published { stream: Stream::Channel(lobby()), epoch, publication };
    cluster.give(0, NodeInput::StoreEvent(news));
    assert_eq!(cluster.env.requests.len(), 1);
    cluster.advance(millis(400));
    assert!((2..6).contains(&cluster.env.requests.len()), "{}", cluster.env.requests.len());
    cluster.announce(0, "one");
    cluster.announce(0, "two");
    cluster.advance(secs(6));
    assert_eq!(cluster.heard(id), ["subscribed 0 true", "1: one", "2: two"]);
    let asked = cluster.env.requests.len();
    cluster.advance(secs(60));
    assert!(cluster.env.requests.len() <= asked + 3, "and then it is quiet, but for the keeping");
}
