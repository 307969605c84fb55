//! Streams and their events.

use super::*;

pub(crate) async fn w15_a_stream_begins_at_0_in_an_epoch_that_all_nodes_agree_on(
    new_store: impl NewStore,
) {
    let store = new_store(config()).await;
    let (begin, missed) = since(&*store.one, &channel("new"), None, 10).await;
    assert_eq!((begin.offset, missed), (0, Some(Vec::new())));
    assert_eq!(top(&*store.other, &channel("new")).await, begin);
    publish(&*store.other, &channel("new"), &["first"]).await;
    assert_eq!(top(&*store.one, &channel("new")).await, Position::new(begin.epoch, 1));
    let all = since(&*store.one, &channel("new"), Some(begin), 10).await.1.expect("it is known");
    assert_eq!(all, [Publication { offset: 1, message: text("first") }]);
}

pub(crate) async fn i26_offsets_count_from_1_without_holes(new_store: impl NewStore) {
    let store = new_store(config()).await;
    let stream = channel("a");
    for round in 0..10 {
        let node = if round % 2 == 0 { &store.one } else { &store.other };
        publish(&**node, &stream, &["x", "y"]).await;
    }
    let offsets: Vec<_> =
        words(&*store.one, &stream, 0).await.expect("all of it").into_iter().collect();
    let expected: Vec<_> =
        (1..=20).map(|n| (n, if n % 2 == 1 { "x" } else { "y" }.to_owned())).collect();
    assert_eq!(offsets, expected);
}

pub(crate) async fn w15_since_tells_what_follows_up_to_the_limit(new_store: impl NewStore) {
    let store = new_store(config()).await;
    let stream = channel("a");
    publish(&*store.one, &stream, &["1", "2", "3", "4"]).await;
    let at = |offset| async move { offset };
    let epoch = top(&*store.one, &stream).await.epoch;
    for (after, limit, expected) in [(0, 2, 1..=2), (1, 2, 2..=3), (2, 9, 3..=4), (3, 1, 4..=4)] {
        let after = Position::new(epoch, at(after).await);
        let (top, missed) = since(&*store.other, &stream, Some(after), limit).await;
        assert_eq!(top, Position::new(epoch, 4));
        let offsets: Vec<_> =
            missed.expect("it is kept").into_iter().map(|missed| missed.offset).collect();
        assert_eq!(offsets, expected.collect::<Vec<u64>>());
    }
}

pub(crate) async fn w15_since_is_honest_about_what_it_cannot_tell(new_store: impl NewStore) {
    let store = new_store(config().with_max_messages(2)).await;
    let stream = channel("a");
    publish(&*store.one, &stream, &["1", "2", "3"]).await;
    let now = top(&*store.one, &stream).await;
    let tell = async |position| since(&*store.one, &stream, Some(position), 10).await;
    let elsewhere = now.epoch.wrapping_add(1);
    assert_eq!(tell(now).await, (now, Some(Vec::new())), "nothing was missed");
    assert_eq!(tell(Position::new(now.epoch, 4)).await, (now, None), "beyond the top");
    assert_eq!(tell(Position::new(elsewhere, 3)).await, (now, None), "another epoch");
    assert_eq!(tell(Position::new(elsewhere, 0)).await, (now, None), "another epoch");
    assert_eq!(
        tell(Position::new(now.epoch, 0)).await,
        (now, None),
        "the first of it is no longer kept"
    );
    assert!(tell(Position::new(now.epoch, 1)).await.1.is_some_and(|missed| missed.len() == 2));
}

pub(crate) async fn w15_messages_are_bounded_in_number(new_store: impl NewStore) {
    let store = new_store(config().with_max_messages(3)).await;
    publish(&*store.one, &channel("a"), &["1", "2", "3", "4", "5"]).await;
    assert_eq!(words(&*store.other, &channel("a"), 1).await, None);
    assert_eq!(
        words(&*store.other, &channel("a"), 2).await,
        numbered(&[(3, "3"), (4, "4"), (5, "5")])
    );
}

pub(crate) async fn w15_messages_are_bounded_in_bytes_but_the_last_one_is_kept(
    new_store: impl NewStore,
) {
    let store = new_store(config().with_max_bytes(10)).await;
    let stream = channel("a");
    publish(&*store.one, &stream, &["1234", "5678", "9"]).await;
    assert_eq!(
        words(&*store.one, &stream, 0).await,
        numbered(&[(1, "1234"), (2, "5678"), (3, "9")])
    );
    publish(&*store.one, &stream, &["ab"]).await;
    assert_eq!(words(&*store.one, &stream, 0).await, None);
    assert_eq!(words(&*store.one, &stream, 1).await, numbered(&[(2, "5678"), (3, "9"), (4, "ab")]));
    publish(&*store.one, &stream, &["far more than ten bytes"]).await;
    assert_eq!(words(&*store.one, &stream, 4).await, numbered(&[(5, "far more than ten bytes")]));
    publish(&*store.one, &stream, &["short"]).await;
    assert_eq!(words(&*store.one, &stream, 5).await, numbered(&[(6, "short")]));
    publish(&*store.one, &stream, &["more"]).await;
    assert_eq!(words(&*store.one, &stream, 5).await, numbered(&[(6, "short"), (7, "more")]));
}

pub(crate) async fn w15_messages_are_bounded_in_age(new_store: impl NewStore) {
    let store = new_store(config().with_max_age(Duration::from_millis(300))).await;
    let stream = channel("a");
    publish(&*store.one, &stream, &["old"]).await;
    let begin = top(&*store.one, &stream).await;
    until(async || words(&*store.one, &stream, 0).await.is_none().then_some(())).await;
    assert_eq!(top(&*store.one, &stream).await, begin, "the place is remembered");
    assert_eq!(since(&*store.one, &stream, Some(begin), 1).await.1, Some(Vec::new()));
    publish(&*store.one, &stream, &["new"]).await;
    assert_eq!(words(&*store.one, &stream, 0).await, None);
    assert_eq!(words(&*store.one, &stream, 1).await, numbered(&[(2, "new")]));
    // A stream with new messages drops old ones, too.
    until(async || {
        publish(&*store.one, &stream, &["x"]).await;
        words(&*store.one, &stream, 1).await.is_none().then_some(())
    })
    .await;
}

pub(crate) async fn w15_streams_do_not_mix(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "a", "alice").await;
    let (to_all, to_one) = (channel("a"), Stream::Session("a".into()));
    publish(&*store.one, &to_all, &["all"]).await;
    publish(&*store.one, &to_one, &["one"]).await;
    publish(&*store.one, &channel("a:b"), &["other"]).await;
    assert_eq!(words(&*store.other, &to_all, 0).await, numbered(&[(1, "all")]));
    assert_eq!(words(&*store.other, &to_one, 0).await, numbered(&[(1, "one")]));
    assert_eq!(words(&*store.other, &channel("a:b"), 0).await, numbered(&[(1, "other")]));
}

pub(crate) async fn w15_any_payload_comes_back_as_it_was(new_store: impl NewStore) {
    let store = new_store(config()).await;
    let stream = channel("a");
    let begin = top(&*store.one, &stream).await;
    let mut ear = Ear::on(&*store.other, &[&stream]).await;
    let payloads = [
        Message::Binary((0..=255).collect::<Vec<u8>>().into()),
        Message::Binary("text".into()),
        Message::Binary("".into()),
        Message::Text("".into()),
        Message::Text("line\nline \0 ünïcode \r\n".into()),
        Message::Binary(vec![b' '; 1 << 20].into()),
    ];
    for message in &payloads {
        let publications = vec![(stream.clone(), message.clone())];
        ask(&*store.one, StoreRequest::Publish { session: None, publications }).await;
        let heard = match ear.hear().await {
            StoreEvent::Published { publication, epoch, .. } if epoch == begin.epoch => {
                publication.message
            }
            other => panic!("{other:?}"),
        };
        assert!(heard == *message);
    }
    let kept = since(&*store.other, &stream, Some(begin), 100).await.1.expect("all is kept");
    assert!(kept.iter().map(|kept| &kept.message).eq(&payloads));
}

pub(crate) async fn w15_news_of_a_watched_stream_reach_every_node(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    let own = Stream::Session("s".into());
    let mut here = Ear::on(&*store.one, &[&channel("a"), &own]).await;
    let mut there = Ear::on(&*store.other, &[&channel("a"), &own]).await;
    publish(&*store.one, &channel("a"), &["1", "2"]).await;
    publish(&*store.other, &own, &["direct"]).await;
    for ear in [&mut here, &mut there] {
        assert_eq!(ear.hear_word().await, (channel("a"), 1, "1".to_owned()));
        assert_eq!(ear.hear_word().await, (channel("a"), 2, "2".to_owned()));
        assert_eq!(ear.hear_word().await, (own.clone(), 1, "direct".to_owned()));
    }
}

pub(crate) async fn w15_what_is_not_watched_is_not_told(new_store: impl NewStore) {
    let store = new_store(config()).await;
    let mut ear = Ear::on(&*store.one, &[&channel("a"), &channel("b")]).await;
    publish(&*store.other, &channel("never"), &["unheard"]).await;
    publish(&*store.other, &channel("b"), &["heard"]).await;
    assert_eq!(ear.hear_word().await.2, "heard");
    ear.unwatch(&channel("b"));
    // Watches and unwatches are carried out in order.
    ear.watch(&*store.one, &channel("c")).await;
    publish(&*store.other, &channel("b"), &["unheard"]).await;
    publish(&*store.other, &channel("c"), &["heard"]).await;
    assert_eq!(ear.hear_word().await, (channel("c"), 1, "heard".to_owned()));
    ear.watch(&*store.one, &channel("b")).await;
    publish(&*store.other, &channel("b"), &["heard again"]).await;
    assert_eq!(ear.hear_word().await, (channel("b"), 3, "heard again".to_owned()));
}

pub(crate) async fn w15_nothing_falls_between_the_answer_and_the_news(new_store: impl NewStore) {
    let store = new_store(config()).await;
    let mut ear = Ear::on(&*store.one, &[]).await;
    for round in 0..100 {
        let stream = channel(&format!("room/{round}"));
        // It returns once the request was answered; later publications are events.
        ear.watch(&*store.one, &stream).await;
        publish(&*store.other, &stream, &["right after"]).await;
        assert_eq!(ear.hear_word().await, (stream, 1, "right after".to_owned()));
    }
}
