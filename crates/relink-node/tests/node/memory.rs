//! The store in memory, compared with a naive one that keeps everything and searches all of it.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use relink::protocol::Rejection;
use relink::session::{Member, MemberChange, Problem, Text};
use relink::{Channel, Instant, Message, Position, SessionId};
use relink_node::{
    HistoryConfig, MemoryStore, Publication, StoreEvent, StoreRequest, StoreResponse, Stream,
};

use crate::support::secs;

fn at(time: Duration) -> Instant {
    Instant::from_origin(time)
}

fn session(name: &str) -> SessionId {
    SessionId::from(name)
}

fn channel(name: &str) -> Stream {
    Stream::Channel(Channel::from(name))
}

fn history(config: HistoryConfig) -> MemoryStore {
    MemoryStore::new(config, 1).expect("a valid configuration")
}

fn publish(history: &mut MemoryStore, stream: &Stream, text: &str, now: Instant) {
    let publications = vec![(stream.clone(), text.into())];
    assert_eq!(
        history.answer(StoreRequest::Publish { session: None, publications }, now),
        StoreResponse::Done
    );
}

fn since(
    history: &mut MemoryStore,
    stream: &Stream,
    after: Option<Position>,
    now: Instant,
) -> (Position, Option<Vec<Publication>>) {
    match history
        .answer(StoreRequest::Read { stream: stream.clone(), after, limit: 1000, by: None }, now)
    {
        StoreResponse::Read { top, missed } => (top, missed),
        other => panic!("not an answer to that: {other:?}"),
    }
}

fn begin(history: &mut MemoryStore, name: &str, now: Instant) {
    let answer =
        history.answer(StoreRequest::Create { session: session(name), user: "ada".into() }, now);
    assert!(matches!(answer, StoreResponse::Session { received: 0, generation: 0, .. }));
}

fn commit(serial: u64, generation: u64, publications: Vec<(Stream, Message)>) -> StoreRequest {
    StoreRequest::Commit {
        session: session("s"),
        generation,
        serial,
        publications,
        rejection: None,
    }
}

#[test]
fn i26_a_commit_happens_once_and_only_in_its_place() {
    let mut history = history(HistoryConfig::default());
    let now = Instant::ORIGIN;
    begin(&mut history, "s", now);
    let two = || vec![(channel("a"), "a".into()), (channel("b"), "b".into())];
    assert_eq!(
        history.answer(commit(2, 0, two()), now),
        StoreResponse::Committed { received: 0 },
        "a gap"
    );
    assert_eq!(history.poll_news(), None, "and nothing of it happened");
    assert_eq!(history.answer(commit(1, 0, two()), now), StoreResponse::Committed { received: 1 });
    assert_eq!(
        history.answer(commit(1, 0, two()), now),
        StoreResponse::Committed { received: 1 },
        "a duplicate"
    );
    assert_eq!(history.answer(commit(0, 0, two()), now), StoreResponse::Committed { received: 1 });
    let news: Vec<StoreEvent> = std::iter::from_fn(|| history.poll_news()).collect();
    assert_eq!(news.len(), 2);
    for name in ["a", "b"] {
        assert_eq!(since(&mut history, &channel(name), None, now).0.offset, 1);
    }
}

#[test]
fn i25_a_generation_that_is_over_stores_and_ends_nothing() {
    let mut history = history(HistoryConfig::default());
    let now = Instant::ORIGIN;
    begin(&mut history, "s", now);
    let resume = StoreRequest::Resume { session: session("s"), user: "ada".into() };
    assert!(matches!(history.answer(resume, now), StoreResponse::Session { generation: 1, .. }));
    assert_eq!(
        history.poll_news(),
        Some(StoreEvent::Resumed { session: session("s"), generation: 1 })
    );
    let text = || vec![(channel("a"), "a".into())];
    assert_eq!(history.answer(commit(1, 0, text()), now), StoreResponse::Unknown);
    assert_eq!(
        history.answer(StoreRequest::End { session: session("s"), generation: 0 }, now),
        StoreResponse::Done
    );
    assert_eq!(history.answer(commit(1, 1, text()), now), StoreResponse::Committed { received: 1 });
    let stranger = StoreRequest::Resume { session: session("s"), user: "eve".into() };
    let answer = history.answer(stranger, now);
    assert!(matches!(answer, StoreResponse::Session { user, generation: 1, .. } if user == "ada"));
    assert_eq!(
        history.answer(StoreRequest::End { session: session("s"), generation: 1 }, now),
        StoreResponse::Done
    );
    assert_eq!(history.sessions(), 0);
}

#[test]
fn the_last_1024_rejections_are_kept() {
    let mut history = history(HistoryConfig::default());
    let now = Instant::ORIGIN;
    begin(&mut history, "s", now);
    for serial in 1..=1100 {
        let problem = Problem::new(Problem::NOT_HANDLED, "no");
        let rejection = Some(Rejection { serial, problem });
        let (session, publications) = (session("s"), Vec::new());
        history.answer(
            StoreRequest::Commit { session, generation: 0, serial, publications, rejection },
            now,
        );
    }
    let resume = StoreRequest::Resume { session: session("s"), user: "ada".into() };
    let StoreResponse::Session { rejected, received, .. } = history.answer(resume, now) else {
        panic!("a session")
    };
    assert_eq!((rejected.len(), rejected[0].serial, received), (1024, 77, 1100));
}

#[test]
fn a_stream_keeps_to_its_bounds() {
    let config =
        HistoryConfig::default().with_max_messages(5).with_max_bytes(10).with_max_age(secs(60));
    let mut history = history(config);
    let stream = channel("a");
    for number in 0..10 {
        publish(&mut history, &stream, "x", at(secs(number)));
    }
    assert_eq!(history.kept(&stream), (5, 5));
    publish(&mut history, &stream, "123456789", at(secs(10)));
    assert_eq!(history.kept(&stream), (2, 10));
    publish(&mut history, &stream, "longer than ten bytes", at(secs(11)));
    assert_eq!(history.kept(&stream), (1, 21), "a larger single message is kept alone");
    history.handle_timeout(at(secs(70)));
    assert_eq!(history.kept(&stream).0, 1);
    history.handle_timeout(at(secs(71)));
    assert_eq!(history.kept(&stream).0, 0, "and not longer than its age");
    assert_eq!(since(&mut history, &stream, None, at(secs(71))).0.offset, 12, "its place stays");
}

#[test]
fn a_stream_that_was_forgotten_comes_back_in_another_epoch() {
    let mut history = history(HistoryConfig::default());
    let stream = channel("a");
    publish(&mut history, &stream, "x", Instant::ORIGIN);
    let (top, _) = since(&mut history, &stream, None, Instant::ORIGIN);
    assert_eq!(history.poll_timeout(), Some(at(secs(300))));
    history.handle_timeout(at(secs(601)));
    assert_eq!(history.streams(), 0);
    publish(&mut history, &stream, "x", at(secs(602)));
    let (again, missed) = since(&mut history, &stream, Some(top), at(secs(602)));
    assert_ne!(top.epoch, again.epoch);
    assert_eq!(missed, None);
    // A watched stream is not forgotten.
    history.watch(stream.clone());
    history.handle_timeout(at(secs(5000)));
    assert_eq!(
        since(&mut history, &stream, Some(again), at(secs(5000))),
        (again, Some(Vec::new()))
    );
    history.unwatch(&stream);
    history.handle_timeout(at(secs(9000)));
    assert_eq!(history.streams(), 0);
}

#[test]
fn a_session_takes_its_stream_and_its_memberships_with_it() {
    let mut history = history(HistoryConfig::default());
    begin(&mut history, "s", Instant::ORIGIN);
    let own = Stream::Session(session("s"));
    publish(&mut history, &own, "direct", Instant::ORIGIN);
    let member = Member { user: "ada".into(), join: "j".into(), info: Some(Text::from("hi")) };
    let (channel, session) = (Channel::from("a"), session("s"));
    let join =
        StoreRequest::Join { channel: channel.clone(), session: session.clone(), member, lease: 1 };
    assert_eq!(
        history.answer(join.clone(), Instant::ORIGIN),
        StoreResponse::Joined { join: "j".into() }
    );
    while history.poll_news().is_some() {}
    history.answer(StoreRequest::Touch { sessions: vec![session.clone()] }, at(secs(100)));
    history.handle_timeout(at(secs(219)));
    assert_eq!(history.sessions(), 1);
    history.handle_timeout(at(secs(220)));
    assert!(
        matches!(history.poll_news(), Some(StoreEvent::MemberChanged { change: MemberChange::Left(member), .. }) if member.join == "j")
    );
    assert_eq!((history.sessions(), history.streams()), (0, 0));
    assert_eq!(history.answer(join, at(secs(220))), StoreResponse::Unknown);
    publish(&mut history, &own, "to nobody", at(secs(220)));
    assert_eq!((history.streams(), history.poll_news()), (0, None));
}

#[test]
fn a_lease_that_was_replaced_takes_nobody_out() {
    let mut history = history(HistoryConfig::default());
    let now = Instant::ORIGIN;
    begin(&mut history, "s", now);
    let join = |lease, join: &str| StoreRequest::Join {
        channel: Channel::from("a"),
        session: session("s"),
        member: Member { user: "ada".into(), join: join.into(), info: None },
        lease,
    };
    let leave =
        |lease| StoreRequest::Leave { channel: Channel::from("a"), session: session("s"), lease };
    history.answer(join(1, "first"), now);
    assert!(history.poll_news().is_some());
    assert_eq!(
        history.answer(join(2, "second"), now),
        StoreResponse::Joined { join: "first".into() }
    );
    history.answer(leave(1), now);
    assert_eq!(history.poll_news(), None);
    let StoreResponse::Members(members) =
        history.answer(StoreRequest::Members { channel: Channel::from("a") }, now)
    else {
        panic!("a list")
    };
    assert_eq!(members.len(), 1);
    history.answer(leave(2), now);
    assert!(matches!(
        history.poll_news(),
        Some(StoreEvent::MemberChanged { change: MemberChange::Left(_), .. })
    ));
}

#[test]
fn news_that_nobody_takes_are_bounded() {
    let mut history = history(HistoryConfig::default());
    for _ in 0..20_000 {
        publish(&mut history, &channel("a"), "x", Instant::ORIGIN);
    }
    assert_eq!(history.poll_news(), Some(StoreEvent::Lagged));
    assert!(std::iter::from_fn(|| history.poll_news()).count() < 16_384);
}

/// Everything that ever happened.
#[derive(Default)]
struct Naive {
    streams: BTreeMap<Stream, Vec<(Instant, Message)>>,
    received: BTreeMap<SessionId, u64>,
}

#[derive(Debug, Clone)]
enum Step {
    Publish { stream: u8, len: usize },
    Commit { session: u8, serial: u64, stream: u8 },
    Since { stream: u8, after: u64, limit: usize },
    Begin { session: u8 },
    End { session: u8 },
    Keep { session: u8 },
    Join { session: u8, channel: u8, lease: u64 },
    Leave { session: u8, channel: u8, lease: u64 },
    Pass { millis: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_u8, 0..40_usize).prop_map(|(stream, len)| Step::Publish { stream, len }),
        (0..3_u8, 1..8_u64, 0..3_u8).prop_map(|(session, serial, stream)| Step::Commit {
            session,
            serial,
            stream
        }),
        (0..3_u8, 0..30_u64, 0..9_usize).prop_map(|(stream, after, limit)| Step::Since {
            stream,
            after,
            limit
        }),
        (0..3_u8).prop_map(|session| Step::Begin { session }),
        (0..3_u8).prop_map(|session| Step::End { session }),
        (0..3_u8).prop_map(|session| Step::Keep { session }),
        (0..3_u8, 0..2_u8, 0..3_u64).prop_map(|(session, channel, lease)| Step::Join {
            session,
            channel,
            lease
        }),
        (0..3_u8, 0..2_u8, 0..3_u64).prop_map(|(session, channel, lease)| Step::Leave {
            session,
            channel,
            lease
        }),
        (0..20_000_u64).prop_map(|millis| Step::Pass { millis }),
    ]
}

proptest! {
    #[test]
    fn i26_the_store_agrees_with_one_that_forgets_nothing(steps in vec(step(), 1..200)) {
        let config = HistoryConfig::default()
            .with_max_messages(6)
            .with_max_bytes(100)
            .with_max_age(secs(40))
            .with_session_ttl(secs(30));
        let mut history = history(config);
        let mut naive = Naive::default();
        let mut now = Instant::ORIGIN;
        let name = |number: u8| session(&format!("s{number}"));
        let place = |number: u8| channel(&format!("c{number}"));
        // All streams are watched, so that none is dropped and offsets go on.
        (0..3).for_each(|number| history.watch(place(number)));
        for step in steps {
            match step {
                Step::Publish { stream, len } => {
                    let message = Message::from("x".repeat(len));
                    naive.streams.entry(place(stream)).or_default().push((now, message.clone()));
                    history.answer(StoreRequest::Publish { session: None, publications: vec![(place(stream), message)] }, now);
                }
                Step::Commit { session, serial, stream } => {
                    let publications = vec![(place(stream), Message::from("y")), (place(0), Message::from("z"))];
                    let question = StoreRequest::Commit {
                        session: name(session), generation: 0, serial, publications: publications.clone(), rejection: None,
                    };
                    match history.answer(question, now) {
                        StoreResponse::Unknown => { naive.received.remove(&name(session)); }
                        StoreResponse::Committed { received } => {
                            let known = naive.received.entry(name(session)).or_default();
                            if serial == *known + 1 {
                                *known = serial;
                                for (stream, message) in publications {
                                    naive.streams.entry(stream).or_default().push((now, message));
                                }
                            }
                            prop_assert_eq!(received, *known);
                        }
                        other => prop_assert!(false, "not an answer to that: {:?}", other),
                    }
                }
                Step::Since { stream, after, limit } => {
                    let (top, _) = since(&mut history, &place(stream), None, now);
                    let after = Position { epoch: top.epoch, offset: after };
                    let question = StoreRequest::Read { stream: place(stream), after: Some(after), limit, by: None };
                    let StoreResponse::Read { missed, .. } = history.answer(question, now) else { panic!("since") };
                    let all = naive.streams.get(&place(stream)).cloned().unwrap_or_default();
                    prop_assert_eq!(top.offset, all.len() as u64);
                    if let Some(missed) = missed {
                        prop_assert!(missed.len() <= limit);
                        for (publication, offset) in missed.iter().zip(after.offset + 1..) {
                            prop_assert_eq!(publication.offset, offset, "no hole");
                            prop_assert_eq!(&publication.message, &all[offset as usize - 1].1);
                            prop_assert!(now - all[offset as usize - 1].0 < config.max_age);
                        }
                        let whole = (all.len() as u64 - after.offset).min(limit as u64);
                        prop_assert_eq!(missed.len() as u64, whole, "and to the end");
                    } else {
                        let first = all.get(after.offset as usize);
                        let rest: Vec<_> = all.iter().skip(after.offset as usize).collect();
                        let bytes: usize = rest.iter().map(|(_, message)| message.len()).sum();
                        prop_assert!(
                            after.offset > top.offset
                                || rest.len() > config.max_messages
                                || bytes > config.max_bytes
                                || first.is_some_and(|(at, _)| now - *at >= config.max_age),
                            "it was thrown away too soon"
                        );
                    }
                }
                Step::Begin { session } => {
                    let answer = history.answer(StoreRequest::Create { session: name(session), user: "ada".into() }, now);
                    if let StoreResponse::Session { received, .. } = answer {
                        let known = naive.received.entry(name(session)).or_default();
                        if received == 0 { *known = 0; }
                        prop_assert_eq!(received, *known);
                    }
                }
                Step::End { session } => {
                    history.answer(StoreRequest::End { session: name(session), generation: 0 }, now);
                    naive.received.remove(&name(session));
                }
                Step::Keep { session } => {
                    history.answer(StoreRequest::Touch { sessions: vec![name(session)] }, now);
                }
                Step::Join { session, channel, lease } => {
                    let member = Member { user: "ada".into(), join: format!("{lease}"), info: None };
                    let channel = Channel::from(format!("c{channel}"));
                    history.answer(StoreRequest::Join { channel, session: name(session), member, lease }, now);
                }
                Step::Leave { session, channel, lease } => {
                    let channel = Channel::from(format!("c{channel}"));
                    history.answer(StoreRequest::Leave { channel, session: name(session), lease }, now);
                }
                Step::Pass { millis } => now = now + Duration::from_millis(millis),
            }
            for number in 0..3 {
                let (messages, bytes) = history.kept(&place(number));
                prop_assert!(messages <= config.max_messages && (bytes <= config.max_bytes || messages == 1));
            }
            history.handle_timeout(now);
            prop_assert!(history.poll_timeout().is_none_or(|at| at > now));
        }
        // Members joined and left alternately, and only members left.
        let mut present: BTreeMap<(Channel, String), bool> = BTreeMap::new();
        while let Some(news) = history.poll_news() {
            match news {
                StoreEvent::MemberChanged { channel, change: MemberChange::Joined(member) } => {
                    *present.entry((channel, member.join)).or_default() = true;
                }
                StoreEvent::MemberChanged { channel, change: MemberChange::Left(member) } => {
                    prop_assert!(present.contains_key(&(channel, member.join)), "left without having joined");
                }
                _ => {}
            }
        }
        history.handle_timeout(now + secs(1000));
        prop_assert_eq!(history.sessions(), 0);
        for number in 0..2 {
            let channel = Channel::from(format!("c{number}"));
            let members = history.answer(StoreRequest::Members { channel }, now + secs(1000));
            prop_assert_eq!(members, StoreResponse::Members(Vec::new()), "no member is left behind");
        }
        prop_assert!(history.streams() <= 3, "those that are watched");
        (0..3).for_each(|number| history.unwatch(&place(number)));
        history.handle_timeout(now + secs(3000));
        prop_assert_eq!((history.streams(), history.poll_timeout()), (0, None), "nothing is left at all");
    }
}
