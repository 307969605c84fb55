//! Bounds on what one client can make a server keep.

use relink::session::Member;
use relink::{Channel, Instant, Message};
use relink_node::{
    Full, HistoryConfig, MemoryStore, NodeConfig, NodeEvent, StoreRequest, StoreResponse, Stream,
};
use relink_v1::{ClientFrame, Codec, ServerFrame};

use crate::support::{Cluster, Short, lobby, nodes, nodes_with, secs};

fn keeping(history: HistoryConfig) -> Cluster {
    nodes_with(1, NodeConfig::default().with_history(history))
}

#[test]
fn one_client_that_fills_channel_after_channel_is_refused_and_the_others_are_not() {
    let mut cluster = keeping(HistoryConfig::default().with_user_bytes(100_000));
    let (mallory, session) = cluster.join(0, "mallory");
    let (ada, _) = cluster.join(0, "ada");
    let words = "x".repeat(9_000);
    for serial in 1..=30 {
        cluster.message(
            mallory,
            Some(serial),
            Some(Channel::from(format!("room {serial}"))),
            &words,
        );
    }
    let said = cluster.take(mallory);
    let refused = said.iter().filter_map(|frame| match frame {
        ServerFrame::Rejected(rejection) => Some((rejection.serial, &*rejection.problem.name)),
        _ => None,
    });
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.first(), Some(&(11, "limit_exceeded")), "{refused:?}");
    assert_eq!(refused.len(), 20);
    assert!(cluster.store().bytes() < 120_000, "{}", cluster.store().bytes());
    cluster.send(ada, 1, "heard");
    assert_eq!(cluster.heard(ada), ["ack 1"]);
    // The serials are committed: nothing is sent again after a return, and the refusals are known.
    cluster.hang_up(mallory, 1006);
    let (mallory, welcome) = cluster.come_back(0, "mallory", &session);
    assert_eq!((welcome.received, welcome.rejected.len()), (30, 20));
    // Later there is room again.
    cluster.advance(secs(301));
    cluster.message(mallory, Some(31), Some(lobby()), &words);
    assert_eq!(cluster.heard(mallory).last().map(String::as_str), Some("ack 31"));
}

#[test]
fn messages_without_a_serial_count_too() {
    let mut cluster = keeping(HistoryConfig::default().with_user_bytes(100_000));
    let (mallory, _) = cluster.join(0, "mallory");
    for number in 0..30 {
        let channel = Some(Channel::from(format!("room {number}")));
        let payload = Message::from("x".repeat(9_000));
        cluster.say(mallory, &ClientFrame::Message { serial: None, channel, payload });
    }
    assert!(cluster.store().bytes() < 120_000, "{}", cluster.store().bytes());
    assert!(
        cluster
            .take_node_events()
            .iter()
            .any(|event| matches!(event, NodeEvent::NotPublished { .. }))
    );
    cluster.send(mallory, 1, "small");
    assert_eq!(cluster.heard(mallory), ["ack 1"], "the session goes on");
}

#[test]
fn a_user_with_too_many_sessions_is_told_to_come_later_and_another_one_is_welcome() {
    let mut cluster = keeping(HistoryConfig::default().with_user_sessions(3).with_max_sessions(5));
    for _ in 0..3 {
        let (id, _) = cluster.join(0, "mallory");
        cluster.hang_up(id, 1006);
    }
    let fourth = cluster.open(0);
    cluster.hello(fourth, "mallory", None);
    assert_eq!(cluster.close_code(fourth), Some(4010));
    let (_, ada) = cluster.join(0, "ada");
    cluster.join(0, "bob");
    let cleo = cluster.open(0);
    cluster.hello(cleo, "cleo", None);
    assert_eq!(cluster.close_code(cleo), Some(1013), "the store is full");
    assert!(cluster.come_back(0, "ada", &ada).1.resumed, "who is in stays in");
    cluster.advance(secs(121));
    cluster.join(0, "mallory");
}

#[test]
fn a_room_that_is_full_is_seen_by_those_who_are_not_listed() {
    let mut cluster = keeping(HistoryConfig::default().with_max_members(2));
    let (ada, _) = cluster.join(0, "ada");
    let (bob, _) = cluster.join(0, "bob");
    let (eve, _) = cluster.join(0, "eve");
    for id in [ada, bob, eve] {
        cluster.be_seen(id, &lobby(), "");
    }
    let said = cluster.heard(eve);
    assert!(
        said == ["subscribed 0 true", "members ada,bob"]
            || said == ["subscribed 0 true", "members bob,ada"]
    );
    assert!(!cluster.heard(ada).contains(&"joined eve".to_owned()));
    assert_eq!(cluster.node(0).stats().unlisted, 1);
    cluster.unsubscribe(bob, &lobby());
    assert_eq!(cluster.heard(eve), ["left bob"]);
    cluster.unsubscribe(eve, &lobby());
    assert_eq!(cluster.heard(ada), ["left bob"], "only members leave");
    cluster.be_seen(eve, &lobby(), "");
    assert_eq!(cluster.heard(ada), ["joined eve"], "there was room");
}

/// Seven hundred members join one after the other and lose their links, each with a presence text
/// of the maximum length.
#[test]
fn a_room_that_strangers_filled_is_open_and_its_list_is_small() {
    let mut cluster = nodes(1);
    for number in 0..700 {
        let (id, _) = cluster.join(0, &format!("stranger {number}"));
        cluster.peer_mut(id).reads = false;
        cluster.be_seen(id, &lobby(), &"\u{1}".repeat(4096));
        cluster.hang_up(id, 1006);
    }
    let (ada, _) = cluster.join(0, "ada");
    cluster.be_seen(ada, &lobby(), "hello");
    let (mut bytes, mut listed) = (0, 0);
    for frame in cluster.take(ada) {
        if let ServerFrame::Members { members, .. } = &frame {
            listed += members.len();
            bytes += frame.encode(relink_v1::Encoding::Cbor).len();
        }
    }
    assert_eq!(listed, 701);
    assert!(bytes < 1_200_000, "{bytes}");
    cluster.advance(secs(31));
    cluster.take(ada);
    cluster.unsubscribe(ada, &lobby());
    cluster.be_seen(ada, &lobby(), "hello");
    assert!(cluster.heard(ada).contains(&"members ada".to_owned()), "no member lingers");
}

#[test]
fn beyond_the_bound_of_all_the_oldest_messages_go_first() {
    let config = HistoryConfig::default().with_max_total_bytes(100_000);
    let mut history = MemoryStore::new(config, 1).expect("valid");
    let stream = |number: usize| Stream::Channel(Channel::from(format!("room {number}")));
    let mut now = Instant::from_origin(secs(1));
    for number in 0..100 {
        now = now + secs(1);
        let publications = vec![(stream(number), "x".repeat(9_000).into())];
        history.answer(StoreRequest::Publish { session: None, publications }, now);
        assert!(history.bytes() <= 100_000 && history.kept(&stream(number)).0 == 1);
    }
    assert_eq!((history.kept(&stream(0)).0, history.kept(&stream(99)).0), (0, 1));
}

#[test]
fn streams_that_are_asked_for_and_left_are_forgotten_where_there_is_no_room() {
    let config = HistoryConfig::default().with_max_total_bytes(100_000);
    let mut history = MemoryStore::new(config, 1).expect("valid");
    let now = Instant::from_origin(secs(1));
    let watched = Stream::Channel(lobby());
    history.watch(watched.clone());
    let since = |stream| StoreRequest::Read { stream, after: None, limit: 1, by: None };
    let first = history.answer(since(watched.clone()), now);
    for number in 0..1000 {
        history.answer(since(Stream::Channel(Channel::from(format!("room {number}")))), now);
        assert!(history.bytes() <= 100_000, "{}", history.bytes());
    }
    assert_eq!(history.answer(since(watched), now), first, "what is watched is kept");
}

fn small() -> MemoryStore {
    MemoryStore::new(HistoryConfig::default().with_max_total_bytes(100_000), 1).expect("valid")
}

fn room(number: usize) -> Stream {
    Stream::Channel(Channel::from(format!("room {number}")))
}

fn since(stream: Stream) -> StoreRequest {
    StoreRequest::Read { stream, after: None, limit: 1, by: None }
}

#[test]
fn where_all_streams_are_watched_a_further_one_is_refused() {
    let mut history = small();
    let now = Instant::from_origin(secs(1));
    for number in 0..195 {
        history.watch(room(number));
        assert!(
            matches!(history.answer(since(room(number)), now), StoreResponse::Read { .. }),
            "{number}"
        );
    }
    assert_eq!(history.answer(since(room(195)), now), StoreResponse::Full(Full::Store));
    assert!(
        matches!(history.answer(since(room(7)), now), StoreResponse::Read { .. }),
        "what there is is told"
    );
    let publish =
        |to| StoreRequest::Publish { session: None, publications: vec![(to, "x".into())] };
    assert_eq!(
        history.answer(publish(room(195)), now),
        StoreResponse::Full(Full::Store),
        "whoever publishes it"
    );
    assert_eq!(history.bytes(), 195 * 512);
    history.unwatch(&room(3));
    assert!(matches!(history.answer(since(room(195)), now), StoreResponse::Read { .. }));
    assert_eq!(history.streams(), 195);
}

#[test]
fn channels_that_hold_nothing_are_forgotten_before_any_message() {
    let mut history = small();
    let mut now = Instant::from_origin(secs(1));
    history.answer(
        StoreRequest::Publish { session: None, publications: vec![(room(0), "old".into())] },
        now,
    );
    for number in 1..1_000 {
        now = now + secs(1) / 4;
        history.answer(since(room(number)), now);
    }
    assert_eq!(history.kept(&room(0)).0, 1);
    assert!(history.bytes() <= 100_000 && history.streams() > 190, "{}", history.streams());
}

#[test]
fn members_and_refusals_count_in_all_and_the_oldest_messages_make_room_for_them() {
    let mut history = small();
    let now = Instant::from_origin(secs(1));
    let join = |number: usize| StoreRequest::Join {
        channel: Channel::from(format!("room {number}")),
        session: "s".into(),
        member: Member {
            user: "ada".into(),
            join: "j".into(),
            info: Some("x".repeat(4_000).into()),
        },
        lease: 1,
    };
    let publish = || StoreRequest::Publish {
        session: None,
        publications: vec![(room(0), "x".repeat(9_000).into())],
    };
    history.answer(StoreRequest::Create { session: "s".into(), user: "ada".into() }, now);
    for _ in 0..11 {
        assert_eq!(history.answer(publish(), now), StoreResponse::Done);
    }
    assert_eq!(history.kept(&room(0)).0, 10);
    let mut joined = 0;
    while matches!(history.answer(join(joined), now), StoreResponse::Joined { .. }) {
        joined += 1;
        assert!(history.bytes() <= 100_000);
    }
    assert_eq!(history.answer(join(joined), now), StoreResponse::Full(Full::Store));
    assert_eq!(history.kept(&room(0)).0, 0);
    assert_eq!(history.answer(publish(), now), StoreResponse::Full(Full::Store));
    let rejection = relink::protocol::Rejection {
        serial: 1,
        problem: relink::session::Problem::new("no", "x".repeat(1_000)),
    };
    let (publications, rejection) = (Vec::new(), Some(rejection));
    let refused = StoreRequest::Commit {
        session: "s".into(),
        generation: 0,
        serial: 1,
        publications,
        rejection,
    };
    assert_eq!(
        history.answer(refused, now),
        StoreResponse::Committed { received: 1 },
        "it came, whatever is kept of it"
    );
    assert!(history.bytes() <= 100_000, "{}", history.bytes());
    history.answer(StoreRequest::End { session: "s".into(), generation: 0 }, now);
    assert!(history.bytes() <= 512, "{}", history.bytes());
    assert_eq!(history.answer(publish(), now), StoreResponse::Done);
}
