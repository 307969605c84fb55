//! Members of channels.

use super::*;

/// Joins, and expects the id of this stay, as the session was not a member.
async fn join_as_new(history: &dyn History, to: &str, session: &str, who: &Member, lease: u64) {
    let answer = join(history, to, session, who.clone(), lease).await;
    assert_eq!(answer, StoreResponse::Joined { join: who.join.clone() });
}

fn name((who, what): (Member, &str)) -> (String, String, String) {
    (who.user, who.join, what.to_owned())
}

async fn hear_change(ear: &mut Ear, of: &str) -> (String, String, String) {
    match ear.hear().await {
        StoreEvent::MemberChanged { channel, change: MemberChange::Joined(member) }
            if channel.as_str() == of =>
        {
            name((member, "joined"))
        }
        StoreEvent::MemberChanged { channel, change: MemberChange::Left(member) }
            if channel.as_str() == of =>
        {
            name((member, "left"))
        }
        other => panic!("{other:?}"),
    }
}

fn change(user: &str, join: &str, what: &str) -> (String, String, String) {
    (user.to_owned(), join.to_owned(), what.to_owned())
}

pub(crate) async fn a09_members_are_told_by_session(new_store: impl NewStore) {
    let store = new_store(config()).await;
    for (session, user) in [("s2", "bob"), ("s1", "alice"), ("s3", "alice")] {
        create(&*store.one, session, user).await;
    }
    let mut ear = Ear::on(&*store.other, &[&channel("a")]).await;
    assert_eq!(members(&*store.one, "a").await, []);
    join_as_new(&*store.one, "a", "s2", &member("bob", "j1"), 1).await;
    join_as_new(&*store.one, "a", "s1", &member("alice", "j2"), 2).await;
    // One user with two sessions is two members, and a member may have no presence text.
    let silent = Member { info: None, ..member("alice", "j3") };
    join_as_new(&*store.other, "a", "s3", &silent, 3).await;
    join_as_new(&*store.one, "b", "s2", &member("bob", "j4"), 4).await;
    let everyone = [member("alice", "j2"), member("bob", "j1"), silent];
    assert_eq!(members(&*store.one, "a").await, everyone);
    assert_eq!(members(&*store.other, "a").await, everyone);
    assert_eq!(hear_change(&mut ear, "a").await, change("bob", "j1", "joined"));
    assert_eq!(hear_change(&mut ear, "a").await, change("alice", "j2", "joined"));
    assert_eq!(hear_change(&mut ear, "a").await, change("alice", "j3", "joined"));
    leave(&*store.other, "a", "s2", 1).await;
    leave(&*store.other, "a", "s2", 1).await;
    assert_eq!(hear_change(&mut ear, "a").await, change("bob", "j1", "left"));
    assert_eq!(
        members(&*store.one, "a").await,
        everyone[..1].iter().chain(&everyone[2..]).cloned().collect::<Vec<_>>()
    );
    assert_eq!(members(&*store.one, "b").await, [member("bob", "j4")]);
    // A member that left and joins again is reported again, with another stay.
    join_as_new(&*store.one, "a", "s2", &member("bob", "j5"), 5).await;
    assert_eq!(hear_change(&mut ear, "a").await, change("bob", "j5", "joined"));
}

pub(crate) async fn a09_a_member_that_comes_back_keeps_its_name_and_is_told_to_nobody(
    new_store: impl NewStore,
) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    create(&*store.one, "t", "bob").await;
    let mut ear = Ear::on(&*store.one, &[&channel("a")]).await;
    join_as_new(&*store.one, "a", "s", &member("alice", "first"), 1).await;
    let again = join(&*store.other, "a", "s", member("alice", "second"), 2).await;
    assert_eq!(again, StoreResponse::Joined { join: "first".to_owned() });
    join_as_new(&*store.one, "a", "t", &member("bob", "only"), 3).await;
    assert_eq!(hear_change(&mut ear, "a").await, change("alice", "first", "joined"));
    assert_eq!(hear_change(&mut ear, "a").await, change("bob", "only", "joined"));
    assert_eq!(members(&*store.one, "a").await, [member("alice", "first"), member("bob", "only")]);
    leave(&*store.other, "a", "s", 2).await;
    assert_eq!(hear_change(&mut ear, "a").await, change("alice", "first", "left"));
}

pub(crate) async fn a09_a_member_that_comes_back_with_other_words_is_told_again(
    new_store: impl NewStore,
) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    join_as_new(&*store.one, "a", "s", &member("alice", "first"), 1).await;
    let mut ear = Ear::on(&*store.other, &[&channel("a")]).await;
    let away = |join: &str| Member { info: Some("away".into()), ..member("alice", join) };
    let again = join(&*store.one, "a", "s", away("second"), 2).await;
    assert_eq!(again, StoreResponse::Joined { join: "first".to_owned() });
    assert_eq!(
        ear.hear().await,
        StoreEvent::MemberChanged {
            channel: "a".into(),
            change: MemberChange::Joined(away("first"))
        }
    );
    assert_eq!(members(&*store.one, "a").await, [away("first")]);
    leave(&*store.one, "a", "s", 2).await;
    let left = Member { info: None, ..away("first") };
    assert_eq!(
        ear.hear().await,
        StoreEvent::MemberChanged { channel: "a".into(), change: MemberChange::Left(left) }
    );
}

pub(crate) async fn a09_a_lease_that_was_replaced_cannot_leave(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    let (here, there) = (u64::MAX - 1, u64::MAX);
    join_as_new(&*store.one, "a", "s", &member("alice", "j"), here).await;
    _ = join(&*store.other, "a", "s", member("alice", "k"), there).await;
    leave(&*store.one, "a", "s", here).await;
    assert_eq!(members(&*store.one, "a").await, [member("alice", "j")]);
    leave(&*store.other, "a", "s", there).await;
    assert_eq!(members(&*store.one, "a").await, []);
}

pub(crate) async fn a09_a_session_that_nobody_knows_cannot_join(new_store: impl NewStore) {
    let store = new_store(config()).await;
    assert_eq!(join(&*store.one, "a", "s", member("alice", "j"), 1).await, StoreResponse::Unknown);
    assert_eq!(members(&*store.one, "a").await, []);
}

pub(crate) async fn a09_members_leave_with_their_session(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    join_as_new(&*store.one, "a", "s", &member("alice", "j"), 1).await;
    join_as_new(&*store.one, "b", "s", &member("alice", "k"), 2).await;
    let mut ear = Ear::on(&*store.other, &[&channel("a")]).await;
    assert_eq!(
        ask(&*store.one, StoreRequest::End { session: "s".into(), generation: 0 }).await,
        StoreResponse::Done
    );
    assert_eq!(hear_change(&mut ear, "a").await, change("alice", "j", "left"));
    assert_eq!(members(&*store.one, "a").await, []);
    assert_eq!(members(&*store.one, "b").await, []);
}

pub(crate) async fn a09_members_whose_node_is_gone_leave_once(new_store: impl NewStore) {
    let store = new_store(config().with_session_ttl(Duration::from_millis(400))).await;
    create(&*store.one, "s", "alice").await;
    join_as_new(&*store.one, "a", "s", &member("alice", "j"), 1).await;
    let mut ear = Ear::on(&*store.other, &[&channel("a")]).await;
    // No node keeps it any more. Both nodes check, and either may report it.
    until(async || {
        let (one, other) = tokio::join!(members(&*store.one, "a"), members(&*store.other, "a"));
        (one.is_empty() && other.is_empty()).then_some(())
    })
    .await;
    publish(&*store.one, &channel("a"), &["after it"]).await;
    assert_eq!(hear_change(&mut ear, "a").await, change("alice", "j", "left"));
    assert_eq!(ear.hear_word().await.2, "after it");
}

pub(crate) async fn a09_members_that_are_kept_stay(new_store: impl NewStore) {
    let store = new_store(config().with_session_ttl(Duration::from_millis(600))).await;
    for session in ["kept", "left"] {
        create(&*store.one, session, session).await;
        join_as_new(&*store.one, "a", session, &member(session, session), 1).await;
    }
    let left = until(async || {
        keep(&*store.one, "kept").await;
        let members = members(&*store.other, "a").await;
        (members.len() < 2).then_some(members)
    })
    .await;
    assert_eq!(left, [member("kept", "kept")]);
}

pub(crate) async fn a09_any_name_is_a_name(new_store: impl NewStore) {
    let store = new_store(config()).await;
    let odd = "12 :\n\0ü{\"%s\"} *";
    create(&*store.one, odd, odd).await;
    let mut ear = Ear::on(&*store.other, &[&channel(odd)]).await;
    let who = Member { user: odd.to_owned(), join: odd.to_owned(), info: Some(odd.into()) };
    join_as_new(&*store.one, odd, odd, &who, 1).await;
    assert_eq!(members(&*store.other, odd).await, std::slice::from_ref(&who));
    assert_eq!(
        ear.hear().await,
        StoreEvent::MemberChanged {
            channel: odd.into(),
            change: MemberChange::Joined(who.clone())
        }
    );
    publish(&*store.one, &channel(odd), &[odd]).await;
    assert_eq!(ear.hear_word().await, (channel(odd), 1, odd.to_owned()));
    leave(&*store.one, odd, odd, 1).await;
    assert_eq!(hear_change(&mut ear, odd).await, change(odd, odd, "left"));
    assert!(
        matches!(resume(&*store.other, odd, odd).await, StoreResponse::Session { user, .. } if user == odd)
    );
}

pub(crate) async fn a09_a_resume_tells_the_seats_that_are_to_be_watched(new_store: impl NewStore) {
    let store = new_store(config()).await;
    create(&*store.one, "s", "alice").await;
    join_as_new(&*store.one, "a", "s", &member("alice", "j1"), u64::MAX).await;
    join_as_new(&*store.one, "b", "s", &member("alice", "j2"), 2).await;
    leave(&*store.one, "b", "s", 2).await;
    let expected = StoreResponse::Session {
        user: "alice".to_owned(),
        received: 0,
        rejected: Vec::new(),
        generation: 1,
        seats: vec![("a".into(), u64::MAX)],
    };
    assert_eq!(resume(&*store.other, "s", "alice").await, expected);
}

pub(crate) async fn a09_the_members_of_a_user_leave_with_its_sessions(new_store: impl NewStore) {
    let store = new_store(config()).await;
    for (session, user) in [("s", "alice"), ("t", "alice"), ("u", "bob")] {
        create(&*store.one, session, user).await;
        join_as_new(&*store.one, "a", session, &member(user, session), 1).await;
    }
    let frame = CloseFrame::from(CloseCode::ADMIN_DISCONNECT);
    let question = StoreRequest::EndUser { user: "alice".into(), ago: Duration::ZERO, frame };
    let mut ear = Ear::on(&*store.other, &[&channel("a")]).await;
    assert_eq!(ask(&*store.one, question).await, StoreResponse::Done);
    let mut left = [hear_change(&mut ear, "a").await, hear_change(&mut ear, "a").await];
    left.sort();
    assert_eq!(left, [change("alice", "s", "left"), change("alice", "t", "left")]);
    assert_eq!(members(&*store.one, "a").await, [member("bob", "u")]);
}
