//! Sessions and their commits.

use super::*;

pub(crate) async fn w09_a_session_is_known_to_all_nodes(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    let answer = ask(&*store.one, commit("s", 0, 1, &[("a", "hello")])).await;
    assert_eq!(answer, StoreResponse::Committed { received: 1 });
    assert_eq!(resume(&*store.other, "s", "alice").await, session_of("alice", 1, &[], 1));
    assert_eq!(resume(&*store.one, "s", "alice").await, session_of("alice", 1, &[], 2));
}

pub(crate) async fn w09_a_session_begins_once(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    _ = ask(&*store.one, commit("s", 0, 1, &[])).await;
    let again = async |user: &str| {
        ask(&*store.one, StoreRequest::Create { session: "s".into(), user: user.to_owned() }).await
    };
    assert_eq!(again("alice").await, session_of("alice", 1, &[], 0));
    assert_eq!(again("mallory").await, StoreResponse::Unknown);
}

pub(crate) async fn w09_an_unknown_session_is_not_resumed(new_store: impl NewStore) {
    let store = new_store(config()).await;
    assert_eq!(resume(&*store.one, "s", "alice").await, StoreResponse::Unknown);
    assert_eq!(
        ask(&*store.one, commit("s", 0, 1, &[("a", "hello")])).await,
        StoreResponse::Unknown
    );
    assert_eq!(top(&*store.one, &channel("a")).await.offset, 0);
    let sessions = vec![SessionId::from("s")];
    ask(&*store.one, StoreRequest::Touch { sessions }).await;
    assert_eq!(
        resume(&*store.one, "s", "alice").await,
        StoreResponse::Unknown,
        "to keep it does not make it"
    );
}

pub(crate) async fn w09_a_session_of_somebody_else_is_left_alone(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    let StoreResponse::Session { user, generation, .. } =
        resume(&*store.other, "s", "mallory").await
    else {
        panic!()
    };
    assert_eq!((&*user, generation), ("alice", 0), "the answer says whose it is");
    let answer = ask(&*store.one, commit("s", 0, 1, &[])).await;
    assert_eq!(answer, StoreResponse::Committed { received: 1 }, "its generation goes on");
    assert_eq!(resume(&*store.one, "s", "alice").await, session_of("alice", 1, &[], 1));
}

pub(crate) async fn i25_a_resume_begins_a_generation_and_tells_it(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    let mut ear = Ear::on(&*store.one, &[&Stream::Session("s".into())]).await;
    _ = resume(&*store.other, "s", "mallory").await;
    for generation in 1..=3 {
        assert_eq!(
            resume(&*store.other, "s", "alice").await,
            session_of("alice", 0, &[], generation)
        );
        assert_eq!(ear.hear().await, StoreEvent::Resumed { session: "s".into(), generation });
    }
}

pub(crate) async fn i25_a_commit_of_an_earlier_generation_changes_nothing(
    new_store: impl NewStore,
) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    _ = resume(&*store.other, "s", "alice").await;
    assert_eq!(ask(&*store.one, commit("s", 0, 1, &[("a", "late")])).await, StoreResponse::Unknown);
    assert_eq!(top(&*store.one, &channel("a")).await.offset, 0);
    let answer = ask(&*store.other, commit("s", 1, 1, &[("a", "in turn")])).await;
    assert_eq!(answer, StoreResponse::Committed { received: 1 });
    assert_eq!(words(&*store.one, &channel("a"), 0).await, numbered(&[(1, "in turn")]));
}

pub(crate) async fn w09_a_commit_is_all_or_nothing_and_once(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    create(&*store.one, "t", "bob").await;
    let to_bob = Stream::Session("t".into());
    let publications = vec![
        (channel("a"), text("1")),
        (channel("b"), text("2")),
        (channel("a"), text("3")),
        (to_bob.clone(), text("4")),
    ];
    for _ in 0..2 {
        let (session, publications) = (SessionId::from("s"), publications.clone());
        let question = StoreRequest::Commit {
            session,
            generation: 0,
            serial: 1,
            publications,
            rejection: None,
        };
        assert_eq!(ask(&*store.one, question).await, StoreResponse::Committed { received: 1 });
    }
    assert_eq!(words(&*store.one, &channel("a"), 0).await, numbered(&[(1, "1"), (2, "3")]));
    assert_eq!(words(&*store.one, &channel("b"), 0).await, numbered(&[(1, "2")]));
    assert_eq!(words(&*store.one, &to_bob, 0).await, numbered(&[(1, "4")]));
    assert_eq!(
        ask(&*store.one, commit("s", 0, 2, &[])).await,
        StoreResponse::Committed { received: 2 }
    );
    let again = ask(&*store.one, commit("s", 0, 1, &[("a", "again")])).await;
    assert_eq!(
        again,
        StoreResponse::Committed { received: 2 },
        "one beyond it, as it was a duplicate"
    );
    assert_eq!(top(&*store.one, &channel("a")).await.offset, 2);
}

pub(crate) async fn w09_two_nodes_commit_the_same_serial_once(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    for serial in 1..=50 {
        let question = || commit("s", 0, serial, &[("a", "once")]);
        let (one, other) =
            tokio::join!(ask(&*store.one, question()), ask(&*store.other, question()));
        assert_eq!([one, other], [(); 2].map(|()| StoreResponse::Committed { received: serial }));
    }
    assert_eq!(top(&*store.one, &channel("a")).await.offset, 50);
}

pub(crate) async fn w09_a_commit_with_a_hole_before_it_changes_nothing(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    _ = ask(&*store.one, commit("s", 0, 2, &[("a", "too early")])).await;
    assert_eq!(top(&*store.one, &channel("a")).await.offset, 0);
    assert_eq!(resume(&*store.one, "s", "alice").await, session_of("alice", 0, &[], 1));
}

pub(crate) async fn w09_rejections_are_remembered_in_order(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    let details = ["no", "", "with 7 words\nin two lines: ü"];
    for (serial, detail) in (1..).zip(details) {
        ask(&*store.one, refused("s", serial, "not_handled", detail)).await;
        // A duplicate is not stored twice.
        ask(&*store.one, refused("s", serial, "another", "again")).await;
    }
    ask(&*store.one, commit("s", 0, 4, &[])).await;
    let rejected: Vec<_> = (1..)
        .zip(details)
        .map(|(serial, detail)| rejection(serial, "not_handled", detail))
        .collect();
    assert_eq!(resume(&*store.other, "s", "alice").await, session_of("alice", 4, &rejected, 1));
}

pub(crate) async fn w09_rejections_are_bounded(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    for serial in 1..=1030 {
        ask(&*store.one, refused("s", serial, "no", "no")).await;
    }
    let StoreResponse::Session { received, rejected, .. } =
        resume(&*store.other, "s", "alice").await
    else {
        panic!()
    };
    let first_and_last = (rejected[0].serial, rejected[1023].serial);
    assert_eq!((received, rejected.len(), first_and_last), (1030, 1024, (7, 1030)));
}

pub(crate) async fn w09_a_session_lasts_for_its_time_unless_it_is_kept(new_store: impl NewStore) {
    let store = new_store(config().with_session_ttl(Duration::from_millis(600))).await;
    create(&*store.one, "kept", "alice").await;
    create(&*store.one, "left", "alice").await;
    // A resume by another user does not keep the session.
    until(async || {
        keep(&*store.other, "kept").await;
        (resume(&*store.one, "left", "mallory").await == StoreResponse::Unknown).then_some(())
    })
    .await;
    assert_eq!(resume(&*store.one, "kept", "alice").await, session_of("alice", 0, &[], 1));
    assert_eq!(ask(&*store.one, commit("left", 0, 1, &[])).await, StoreResponse::Unknown);
}

pub(crate) async fn w09_a_session_that_is_not_has_no_stream(new_store: impl NewStore) {
    let store = new_store(config()).await;
    let own = Stream::Session("s".into());
    publish(&*store.one, &own, &["to nobody"]).await;
    for after in [None, Some(Position::new(1, 0))] {
        let question = StoreRequest::Read { stream: own.clone(), after, limit: 1, by: None };
        assert_eq!(ask(&*store.one, question).await, StoreResponse::Unknown);
    }
    create(&*store.one, "s", "alice").await;
    assert_eq!(words(&*store.one, &own, 0).await, Some(Vec::new()));
}

pub(crate) async fn w09_an_ended_session_is_gone_with_its_stream(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    let own = Stream::Session("s".into());
    publish(&*store.one, &own, &["direct"]).await;
    let before = top(&*store.one, &own).await;
    assert_eq!(
        ask(&*store.one, StoreRequest::End { session: "s".into(), generation: 0 }).await,
        StoreResponse::Done
    );
    assert_eq!(resume(&*store.other, "s", "alice").await, StoreResponse::Unknown);
    assert_eq!(ask(&*store.one, commit("s", 0, 1, &[])).await, StoreResponse::Unknown);
    let question = StoreRequest::Read {
        stream: own,
        after: Some(Position { offset: 0, ..before }),
        limit: 10,
        by: None,
    };
    assert_eq!(ask(&*store.one, question).await, StoreResponse::Unknown);
}

pub(crate) async fn i25_an_earlier_generation_cannot_end_a_session(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    _ = resume(&*store.other, "s", "alice").await;
    assert_eq!(
        ask(&*store.one, StoreRequest::End { session: "s".into(), generation: 0 }).await,
        StoreResponse::Done
    );
    assert_eq!(resume(&*store.other, "s", "alice").await, session_of("alice", 0, &[], 2));
    assert_eq!(
        ask(&*store.one, StoreRequest::End { session: "s".into(), generation: 2 }).await,
        StoreResponse::Done
    );
    assert_eq!(resume(&*store.other, "s", "alice").await, StoreResponse::Unknown);
}

pub(crate) async fn w09_who_keeps_a_session_that_is_gone_hears_of_it(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "here", "alice").await;
    let sessions = ["gone", "here", "never"].map(SessionId::from).to_vec();
    let lost = ["gone", "never"].map(SessionId::from).to_vec();
    assert_eq!(
        ask(&*store.other, StoreRequest::Touch { sessions }).await,
        StoreResponse::Touched { lost }
    );
}

fn end_user(user: &str, ago: Duration) -> StoreRequest {
    let frame = CloseFrame::new(CloseCode::ADMIN_DISCONNECT, "enough\nof you: ü");
    StoreRequest::EndUser { user: user.to_owned(), ago, frame }
}

pub(crate) async fn m07_all_sessions_of_a_user_end_and_those_of_others_go_on(
    new_store: impl NewStore,
) {
    let store = new_store(config()).await;
    for (session, user) in
        [("one", "alice"), ("two", "alice"), ("other", "alice b"), ("nobody's", "")]
    {
        create(&*store.one, session, user).await;
    }
    let own = Stream::Session("one".into());
    publish(&*store.one, &own, &["direct"]).await;
    _ = resume(&*store.one, "two", "alice").await;
    assert_eq!(ask(&*store.other, end_user("alice", Duration::ZERO)).await, StoreResponse::Done);
    for (session, generation) in [("one", 0), ("two", 1)] {
        assert_eq!(
            ask(&*store.one, commit(session, generation, 1, &[("a", "late")])).await,
            StoreResponse::Unknown
        );
        assert_eq!(resume(&*store.one, session, "alice").await, StoreResponse::Unknown);
    }
    let since = StoreRequest::Read { stream: own, after: None, limit: 10, by: None };
    assert_eq!(ask(&*store.one, since).await, StoreResponse::Unknown);
    assert_eq!(top(&*store.one, &channel("a")).await.offset, 0);
    assert_eq!(resume(&*store.one, "other", "alice b").await, session_of("alice b", 0, &[], 1));
    assert_eq!(
        ask(&*store.one, end_user("nobody at all", Duration::ZERO)).await,
        StoreResponse::Done
    );
    assert_eq!(resume(&*store.one, "nobody's", "").await, session_of("", 0, &[], 1));
}

pub(crate) async fn m07_the_end_of_a_user_is_told_with_its_frame(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    let mut ear = Ear::on(&*store.one, &[&Stream::Session("s".into())]).await;
    ask(&*store.other, end_user("alice", Duration::ZERO)).await;
    let StoreRequest::EndUser { frame, .. } = end_user("alice", Duration::ZERO) else { panic!() };
    assert_eq!(ear.hear().await, StoreEvent::Ended { session: "s".into(), frame });
}

pub(crate) async fn m07_a_session_that_begins_after_the_end_of_its_user_goes_on(
    new_store: impl NewStore,
) {
    let store = new_store(config().with_user_sessions(1)).await;
    create(&*store.one, "before", "alice").await;
    sleep(Duration::from_millis(200)).await;
    ask(&*store.one, end_user("alice", Duration::from_secs(3600))).await;
    assert_eq!(
        resume(&*store.one, "before", "alice").await,
        session_of("alice", 0, &[], 1),
        "begun since"
    );
    ask(&*store.one, end_user("alice", Duration::from_millis(100))).await;
    assert_eq!(resume(&*store.one, "before", "alice").await, StoreResponse::Unknown);
    create(&*store.other, "after", "alice").await;
    ask(&*store.one, end_user("alice", Duration::from_secs(3600))).await;
    assert_eq!(resume(&*store.one, "after", "alice").await, session_of("alice", 0, &[], 1));
    assert_eq!(resume(&*store.one, "before", "alice").await, StoreResponse::Unknown);
}

pub(crate) async fn m07_a_message_without_a_serial_is_not_published_for_a_session_that_is_over(
    new_store: impl NewStore,
) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    let late = || {
        let publications = vec![(channel("a"), text("late"))];
        StoreRequest::Publish { session: Some("s".into()), publications }
    };
    assert_eq!(ask(&*store.one, late()).await, StoreResponse::Done);
    ask(&*store.other, end_user("alice", Duration::ZERO)).await;
    assert_eq!(ask(&*store.one, late()).await, StoreResponse::Unknown);
    assert_eq!(top(&*store.one, &channel("a")).await.offset, 1);
}
