//! Bounds on what is kept, and what happens beyond them.

use super::*;

const BIG: usize = 1000;

fn publish_as(session: &str, to: &str, count: usize) -> StoreRequest {
    let publications = vec![(channel(to), text(&"x".repeat(BIG))); count];
    StoreRequest::Publish { session: (!session.is_empty()).then(|| session.into()), publications }
}

fn commit_big(session: &str, serial: u64, to: &str) -> StoreRequest {
    let publications = vec![(channel(to), text(&"x".repeat(BIG)))];
    StoreRequest::Commit {
        session: session.into(),
        generation: 0,
        serial,
        publications,
        rejection: None,
    }
}

pub(crate) async fn w09_one_user_cannot_fill_the_store(new_store: impl NewStore) {
    let store = new_store(config().with_user_bytes(20_000)).await;
    for (session, user) in [("s", "mallory"), ("t", "mallory"), ("u", "ada")] {
        create(&*store.one, session, user).await;
    }
    let mut taken = 0;
    // From two sessions, at two nodes, each to its own channel.
    let full = loop {
        let (node, session) = if taken % 2 == 0 { (&store.one, "s") } else { (&store.other, "t") };
        match ask(&**node, commit_big(session, taken / 2 + 1, &format!("room {taken}"))).await {
            StoreResponse::Committed { .. } => taken += 1,
            other => break other,
        }
    };
    assert_eq!(full, StoreResponse::Full(Full::User));
    assert!((10..20).contains(&taken), "{taken}");
    let next = taken / 2 + 1;
    let session = if taken % 2 == 0 { "s" } else { "t" };
    // Nothing was written.
    assert_eq!(top(&*store.one, &channel(&format!("room {taken}"))).await.offset, 0);
    // The refusal is stored, and the next serial is accepted.
    let answer = ask(&*store.one, refused(session, next, "limit_exceeded", "too much")).await;
    assert_eq!(answer, StoreResponse::Committed { received: next });
    assert_eq!(
        ask(&*store.one, commit_big(session, next + 1, "a")).await,
        StoreResponse::Full(Full::User)
    );
    assert_eq!(
        ask(&*store.one, publish_as("s", "a", 1)).await,
        StoreResponse::Full(Full::User),
        "without a serial"
    );
    // All of it or nothing.
    assert_eq!(ask(&*store.one, publish_as("u", "a", 30)).await, StoreResponse::Full(Full::User));
    assert_eq!(top(&*store.one, &channel("a")).await.offset, 0);
    // Other users are not affected, nor is the application.
    assert_eq!(
        ask(&*store.one, commit_big("u", 1, "a")).await,
        StoreResponse::Committed { received: 1 }
    );
    assert_eq!(ask(&*store.one, publish_as("", "a", 30)).await, StoreResponse::Done);
}

pub(crate) async fn w09_one_anonymous_client_cannot_use_up_the_room_of_the_others(
    new_store: impl NewStore,
) {
    let store = new_store(config().with_user_bytes(5_100)).await;
    for session in ["s", "t"] {
        create(&*store.one, session, Member::ANONYMOUS).await;
    }
    assert_eq!(ask(&*store.one, publish_as("s", "a", 4)).await, StoreResponse::Done);
    assert_eq!(ask(&*store.one, publish_as("s", "a", 1)).await, StoreResponse::Full(Full::User));
    assert_eq!(ask(&*store.one, commit_big("s", 1, "a")).await, StoreResponse::Full(Full::User));
    assert_eq!(
        ask(&*store.other, commit_big("t", 1, "a")).await,
        StoreResponse::Committed { received: 1 }
    );
    assert_eq!(ask(&*store.other, publish_as("t", "a", 3)).await, StoreResponse::Done);
    assert_eq!(ask(&*store.other, publish_as("t", "a", 1)).await, StoreResponse::Full(Full::User));
}

pub(crate) async fn w09_a_stream_counts_for_the_user_who_began_it(new_store: impl NewStore) {
    let store = new_store(config().with_user_bytes(20_000)).await;
    create(&*store.one, "s", "mallory").await;
    create(&*store.one, "t", "ada").await;
    let say = async |session: &str, to: &str| {
        let session = (!session.is_empty()).then(|| session.into());
        ask(
            &*store.one,
            StoreRequest::Publish { session, publications: vec![(channel(to), text("x"))] },
        )
        .await
    };
    // The application has created this one.
    assert_eq!(say("", "lobby").await, StoreResponse::Done);
    let mut begun = 0;
    while say("s", &format!("room {begun}")).await == StoreResponse::Done {
        begun += 1;
    }
    assert_eq!(begun, 20_000 / (512 + 128 + 1));
    assert_eq!(
        say("s", "lobby").await,
        StoreResponse::Done,
        "what is there costs the message alone"
    );
    assert_eq!(say("s", "another").await, StoreResponse::Full(Full::User));
    assert_eq!(say("t", "another").await, StoreResponse::Done);
    // Two publications to the same channel begin it once.
    let twice = vec![(channel("new"), text(&"x".repeat(9_500))); 2];
    let question = StoreRequest::Publish { session: Some("t".into()), publications: twice };
    assert_eq!(ask(&*store.other, question).await, StoreResponse::Full(Full::User));
    let twice = vec![(channel("new"), text(&"x".repeat(9_200))); 2];
    let question = StoreRequest::Publish { session: Some("t".into()), publications: twice };
    assert_eq!(ask(&*store.other, question).await, StoreResponse::Done);
}

pub(crate) async fn w09_a_stream_that_a_reader_began_counts_for_its_user(new_store: impl NewStore) {
    let store = new_store(config().with_user_bytes(5_200)).await;
    create(&*store.one, "s", "mallory").await;
    create(&*store.one, "t", "ada").await;
    let read = async |by: &str, from: &str| {
        let (stream, by) = (channel(from), (!by.is_empty()).then(|| by.into()));
        let request = StoreRequest::Read { stream, after: None, limit: 1, by };
        matches!(ask(&*store.other, request).await, StoreResponse::Read { .. })
    };
    let mut begun = 0;
    while begun < 100 && read("s", &format!("room {begun}")).await {
        begun += 1;
    }
    assert_eq!(begun, 5_200 / 512);
    assert!(read("s", "room 0").await, "what is there costs nothing");
    assert!(read("t", "another").await, "another user has room");
    assert!(read("s", "another").await);
    assert!(read("", "by the node").await);
}

pub(crate) async fn w09_refusals_are_bounded_in_bytes_and_the_last_ones_are_kept(
    new_store: impl NewStore,
) {
    let store = new_store(config().with_user_bytes(5_000)).await;
    create(&*store.one, "s", "ada").await;
    for serial in 1..=20 {
        let answer = ask(&*store.one, refused("s", serial, "no", &"x".repeat(1_000))).await;
        assert_eq!(answer, StoreResponse::Committed { received: serial });
    }
    let serials = async || match resume(&*store.other, "s", "ada").await {
        StoreResponse::Session { rejected, received: 20.., .. } => {
            rejected.iter().map(|rejection| rejection.serial).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(serials().await, [17, 18, 19, 20]);
    // They do not keep their user from sending messages that are accepted.
    assert_eq!(ask(&*store.one, publish_as("s", "a", 3)).await, StoreResponse::Done);
    assert_eq!(serials().await, [17, 18, 19, 20]);
}

pub(crate) async fn a09_members_count_for_their_users(new_store: impl NewStore) {
    let store = new_store(config().with_user_bytes(5_000)).await;
    create(&*store.one, "s", "mallory").await;
    create(&*store.one, "t", "ada").await;
    let come = async |session: &str, user: &str, to: &str, words: usize| {
        let member = Member { info: Some("x".repeat(words).into()), ..member(user, user) };
        join(&*store.one, to, session, member, 1).await
    };
    let lengths = async |of: &str| {
        let length = |member: Member| member.info.map(|words| words.as_str().len());
        members(&*store.other, of).await.into_iter().map(length).collect::<Vec<_>>()
    };
    let joined = |answer: StoreResponse| matches!(answer, StoreResponse::Joined { .. });
    for room in 0..7 {
        assert!(joined(come("s", "mallory", &format!("room {room}"), 1_000).await), "{room}");
    }
    assert_eq!((lengths("room 3").await, lengths("room 4").await), (vec![Some(1_000)], vec![None]));
    assert_eq!(come("s", "mallory", "room 7", 0).await, StoreResponse::Full(Full::User));
    assert_eq!(
        ask(&*store.one, publish_as("s", "a", 1)).await,
        StoreResponse::Full(Full::User),
        "it is one room"
    );
    assert!(joined(come("t", "ada", "room 7", 1_000).await), "and that of one user");
    // Members stay, and a text that replaces another one needs no more room.
    assert!(joined(come("s", "mallory", "room 0", 1_000).await));
    assert_eq!(lengths("room 0").await, [Some(1_000)]);
    assert!(joined(come("s", "mallory", "room 0", 2_000).await));
    assert_eq!(lengths("room 0").await, [None]);
    leave(&*store.one, "room 6", "s", 1).await;
    assert!(joined(come("s", "mallory", "room 5", 1_100).await));
    assert_eq!(lengths("room 5").await, [Some(1_100)]);
    ask(&*store.one, StoreRequest::End { session: "s".into(), generation: 0 }).await;
    create(&*store.one, "u", "mallory").await;
    for room in 0..4 {
        assert!(joined(come("u", "mallory", &format!("room {room}"), 1_000).await));
    }
    assert_eq!(lengths("room 3").await, [Some(1_000)], "what is over counts no more");
}

pub(crate) async fn w09_what_a_stream_gives_up_counts_no_more(new_store: impl NewStore) {
    let store = new_store(config().with_user_bytes(20_000).with_max_messages(5)).await;
    create(&*store.one, "s", "ada").await;
    for serial in 1..=100 {
        let answer = ask(&*store.one, commit_big("s", serial, "a")).await;
        assert_eq!(
            answer,
            StoreResponse::Committed { received: serial },
            "a busy channel keeps five"
        );
    }
}

pub(crate) async fn w09_what_is_too_old_counts_no_more(new_store: impl NewStore) {
    let store =
        new_store(config().with_user_bytes(5_100).with_max_age(Duration::from_millis(300))).await;
    create(&*store.one, "s", "ada").await;
    assert_eq!(ask(&*store.one, publish_as("s", "a", 4)).await, StoreResponse::Done);
    assert_eq!(ask(&*store.one, publish_as("s", "b", 4)).await, StoreResponse::Full(Full::User));
    until(async || {
        (ask(&*store.one, publish_as("s", "b", 4)).await == StoreResponse::Done).then_some(())
    })
    .await;
}

pub(crate) async fn w09_sessions_are_bounded_in_all_and_per_user(new_store: impl NewStore) {
    let store = new_store(config().with_max_sessions(5).with_user_sessions(3)).await;
    let begin = async |session: &str, user: &str| {
        ask(&*store.one, StoreRequest::Create { session: session.into(), user: user.to_owned() })
            .await
    };
    for session in ["a1", "a2", "a3"] {
        create(&*store.other, session, "ada").await;
    }
    assert_eq!(begin("a4", "ada").await, StoreResponse::Full(Full::User));
    assert!(
        matches!(begin("a1", "ada").await, StoreResponse::Session { .. }),
        "it is there already"
    );
    create(&*store.one, "b1", "bob").await;
    create(&*store.one, "b2", "bob").await;
    assert_eq!(begin("c1", "cleo").await, StoreResponse::Full(Full::Store));
    ask(&*store.one, StoreRequest::End { session: "a1".into(), generation: 0 }).await;
    create(&*store.one, "a4", "ada").await;
}

pub(crate) async fn w09_sessions_that_are_over_count_no_more(new_store: impl NewStore) {
    let store =
        new_store(config().with_user_sessions(1).with_session_ttl(Duration::from_secs(1))).await;
    create(&*store.one, "s", "ada").await;
    let again = StoreRequest::Create { session: "t".into(), user: "ada".to_owned() };
    assert_eq!(ask(&*store.one, again.clone()).await, StoreResponse::Full(Full::User));
    until(async || {
        matches!(ask(&*store.one, again.clone()).await, StoreResponse::Session { .. }).then_some(())
    })
    .await;
}

pub(crate) async fn a09_members_are_bounded_in_number(new_store: impl NewStore) {
    let store = new_store(config().with_max_members(2)).await;
    for session in ["s1", "s2", "s3"] {
        create(&*store.one, session, "ada").await;
    }
    assert!(matches!(
        join(&*store.one, "a", "s1", member("ada", "j1"), 1).await,
        StoreResponse::Joined { .. }
    ));
    assert!(matches!(
        join(&*store.one, "a", "s2", member("ada", "j2"), 2).await,
        StoreResponse::Joined { .. }
    ));
    assert_eq!(
        join(&*store.other, "a", "s3", member("ada", "j3"), 3).await,
        StoreResponse::Full(Full::Store)
    );
    // Members can come back, and other channels have their own bound.
    let again = join(&*store.one, "a", "s2", member("ada", "j4"), 4).await;
    assert_eq!(again, StoreResponse::Joined { join: "j2".to_owned() });
    assert!(matches!(
        join(&*store.one, "b", "s3", member("ada", "j5"), 5).await,
        StoreResponse::Joined { .. }
    ));
    leave(&*store.one, "a", "s3", 3).await;
    leave(&*store.one, "a", "s1", 1).await;
    assert!(matches!(
        join(&*store.one, "a", "s3", member("ada", "j6"), 6).await,
        StoreResponse::Joined { .. }
    ));
}

pub(crate) async fn a09_words_are_bounded_and_left_out_beyond(new_store: impl NewStore) {
    let store = new_store(config().with_max_words(10)).await;
    for session in ["s1", "s2", "s3"] {
        create(&*store.one, session, session).await;
    }
    let saying =
        |user: &str, words: &str| Member { info: Some(words.into()), ..member(user, user) };
    let told = async || {
        let words = |member: Member| member.info.map(|words| words.as_str().to_owned());
        members(&*store.one, "a").await.into_iter().map(words).collect::<Vec<_>>()
    };
    let some = |words: &str| Some(words.to_owned());
    let mut ear = Ear::on(&*store.other, &[&channel("a")]).await;
    join(&*store.one, "a", "s1", saying("s1", "1234é"), 1).await;
    join(&*store.other, "a", "s2", saying("s2", "1 0 5"), 2).await;
    assert_eq!(told().await, [some("1234é"), None]);
    for (user, words) in [("s1", some("1234é")), ("s2", None)] {
        let StoreEvent::MemberChanged { change: MemberChange::Joined(member), .. } =
            ear.hear().await
        else {
            panic!()
        };
        assert_eq!(
            (&*member.user, member.info.map(|it| it.as_str().to_owned())),
            (user, words),
            "as it is listed"
        );
    }
    // Another text of the same length needs no more room.
    join(&*store.one, "a", "s1", saying("s1", "6 byte"), 3).await;
    join(&*store.one, "a", "s2", saying("s2", "four"), 4).await;
    join(&*store.one, "a", "s3", saying("s3", "x"), 5).await;
    assert_eq!(told().await, [some("6 byte"), some("four"), None]);
    leave(&*store.one, "a", "s2", 4).await;
    join(&*store.one, "a", "s3", saying("s3", "1234"), 6).await;
    assert_eq!(told().await, [some("6 byte"), some("1234")]);
}
