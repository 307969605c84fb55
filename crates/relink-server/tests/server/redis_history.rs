//! The contract of a history, with the one in Redis, and what can fail only there. Needs
//! `redis-server`; `just redis` runs it.

use std::sync::Arc;

use crate::contract::{
    self, Ear, SharedStore, ask, channel, commit, config, create, publish, text, top, until, words,
};
use crate::history_contract;
use crate::redis_server::RedisServer;
use relink_node::{Full, HistoryConfig, StoreRequest, StoreResponse};
use relink_server::{History, RedisConfig, RedisHistory};

history_contract!(new_store);

async fn new_store(history: HistoryConfig) -> SharedStore {
    let server = RedisServer::start();
    let config = RedisConfig::default().with_history(history);
    let one = RedisHistory::connect_with(&server.url(), config.clone())
        .await
        .expect("the first node connects");
    let other =
        RedisHistory::connect_with(&server.url(), config).await.expect("the second node connects");
    SharedStore { one: Arc::new(one), other: Arc::new(other), _kept: Box::new(server) }
}

#[tokio::test]
async fn w15_a_lost_news_connection_is_made_again_and_doubted() {
    let (server, history) = one_node().await;
    let mut ear = Ear::on(&history, &[&channel("a")]).await;
    server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    ear.doubt().await;
    publish(&history, &channel("a"), &["heard again"]).await;
    assert_eq!(ear.hear_word().await.2, "heard again");
}

#[tokio::test]
async fn w15_a_lost_connection_is_made_again() {
    let (server, history) = one_node().await;
    create(&history, "s", "alice").await;
    server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    let question = || commit("s", 0, 1, &[("a", "once")]);
    let committed = until(async || history.answer(question()).await.ok()).await;
    assert_eq!(committed, StoreResponse::Committed { received: 1 });
    assert_eq!(top(&history, &channel("a")).await.offset, 1);
}

#[tokio::test]
async fn w15_a_server_that_forgot_the_scripts_is_told_again() {
    let (server, history) = one_node().await;
    publish(&history, &channel("a"), &["1"]).await;
    server.ask(&["SCRIPT", "FLUSH"]);
    publish(&history, &channel("a"), &["2"]).await;
    assert_eq!(top(&history, &channel("a")).await.offset, 2);
}

#[tokio::test]
async fn w15_a_server_that_lost_everything_starts_another_epoch() {
    let (server, history) = one_node().await;
    publish(&history, &channel("a"), &["1"]).await;
    let before = top(&history, &channel("a")).await;
    server.ask(&["FLUSHALL"]);
    let StoreResponse::Read { top, missed } = ask(
        &history,
        StoreRequest::Read { stream: channel("a"), after: Some(before), limit: 1, by: None },
    )
    .await
    else {
        panic!()
    };
    assert_eq!((top.offset, missed), (0, None));
    assert_ne!(top.epoch, before.epoch);
}

#[tokio::test]
async fn w15_an_offset_that_was_evicted_takes_its_messages_along() {
    let (server, history) = one_node().await;
    publish(&history, &channel("a"), &["1", "2"]).await;
    server.ask(&["DEL", "relink:top:c:a"]);
    publish(&history, &channel("a"), &["new"]).await;
    assert_eq!(words(&history, &channel("a"), 0).await, contract::numbered(&[(1, "new")]));
}

#[tokio::test]
async fn w15_an_error_names_the_server_and_not_the_password() {
    let (server, history) = one_node().await;
    let address = format!("127.0.0.1:{}", server.port());
    drop(server);
    let error = history
        .answer(StoreRequest::Touch { sessions: vec!["s".into()] })
        .await
        .expect_err("it is gone");
    assert!(
        error.to_string().starts_with(&format!("redis at {address} does not answer: ")),
        "{error}"
    );
    let closed = format!("redis://user:hunter2@{address}/");
    for address in [&*closed, "redis://:hunter2@", "hunter2://x"] {
        let error = RedisHistory::connect(address).await.expect_err("no server is there");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn w15_prefixes_keep_applications_apart() {
    let (server, history) = one_node().await;
    let config = RedisConfig::default().with_prefix("other:");
    let other = RedisHistory::connect_with(&server.url(), config).await.expect("it connects");
    publish(&history, &channel("a"), &["mine"]).await;
    assert_eq!(top(&other, &channel("a")).await.offset, 0);
}

#[tokio::test]
async fn w15_a_busy_stream_gives_up_what_is_too_old() {
    let server = RedisServer::start();
    let short =
        config().with_max_age(std::time::Duration::from_millis(200)).with_max_messages(1_000_000);
    let config = RedisConfig::default().with_history(short);
    let history = RedisHistory::connect_with(&server.url(), config).await.expect("it connects");
    publish(&history, &channel("a"), &["old"; 10]).await;
    until(async || {
        publish(&history, &channel("a"), &["new"]).await;
        let kept: u64 = server.ask(&["XLEN", "relink:log:c:a"]).parse().ok()?;
        let published = top(&history, &channel("a")).await.offset;
        (published >= kept + 10).then_some(())
    })
    .await;
}

#[tokio::test]
async fn w15_everything_is_forgotten_in_time() {
    let (server, history) = one_node().await;
    create(&history, "s", "alice").await;
    create(&history, "t", "bob").await;
    ask(&history, commit("s", 0, 1, &[("a", "hello")])).await;
    ask(&history, contract::refused("s", 2, "no", "no")).await;
    let publications = vec![(relink_node::Stream::Session("s".into()), text("direct"))];
    ask(&history, StoreRequest::Publish { session: None, publications }).await;
    contract::join(&history, "a", "t", contract::member("bob", "j"), 1).await;
    ask(
        &history,
        StoreRequest::Read { stream: channel("never written"), after: None, limit: 1, by: None },
    )
    .await;
    // Members do not expire by themselves: they leave with their sessions, which any node checks.
    let forever: Vec<_> =
        server.keys().into_iter().filter(|key| server.ask(&["PTTL", key]) == "-1").collect();
    assert_eq!(
        forever,
        ["relink:held:bob", "relink:in:t", "relink:members:a", "relink:present", "relink:words:a"]
    );
    ask(&history, StoreRequest::End { session: "t".into(), generation: 0 }).await;
    assert!(
        server.keys().iter().all(|key| server.ask(&["PTTL", key]) != "-1"),
        "{:?}",
        server.keys()
    );
}

#[tokio::test]
async fn w15_the_members_of_a_dead_node_leave() {
    let server = RedisServer::start();
    let short = config().with_session_ttl(std::time::Duration::from_secs(2));
    let config = RedisConfig::default().with_history(short);
    let history = RedisHistory::connect_with(&server.url(), config).await.expect("it connects");
    for number in 0..300 {
        let session = format!("s{number}");
        create(&history, &session, "alice").await;
        contract::join(&history, "a", &session, contract::member("alice", &session), 1).await;
    }
    until(async || contract::members(&history, "a").await.is_empty().then_some(())).await;
    let members =
        |key: &String| key.contains(":in:") || key.contains(":members:") || key.contains("present");
    assert!(!server.keys().iter().any(members), "{:?}", server.keys());
}

/// A Redis server without memory refuses writes as a whole; what frees memory, or needs none, is
/// done.
#[tokio::test]
async fn w15_a_server_whose_memory_is_used_up_writes_nothing_and_goes_on_when_there_is_room() {
    let (server, history) = one_node().await;
    create(&history, "s", "alice").await;
    ask(&history, commit("s", 0, 1, &[("a", "before")])).await;
    contract::join(&history, "a", "s", contract::member("alice", "j"), 1).await;
    let before = server.keys();
    let used = |name: &str| -> u64 { server.info(name).parse().expect("a number") };
    // Less than it uses already.
    server.ask(&["CONFIG", "SET", "maxmemory", &(used("used_memory") - 1000).to_string()]);
    let full = StoreResponse::Full(Full::Store);
    let big = "x".repeat(1000);
    for serial in 2..50 {
        // To the existing channel, and to others.
        assert_eq!(ask(&history, commit("s", 0, 2, &[("a", &big)])).await, full);
        let many = commit("s", 0, 2, &[(&format!("room {serial}"), &big), ("a", &big)]);
        assert_eq!(ask(&history, many).await, full);
        let publications = vec![(channel("a"), text(&big))];
        assert_eq!(
            ask(&history, StoreRequest::Publish { session: None, publications }).await,
            full
        );
    }
    assert_eq!(
        ask(&history, StoreRequest::Create { session: "t".into(), user: "bob".into() }).await,
        full
    );
    let new = StoreRequest::Read { stream: channel("new"), after: None, limit: 1, by: None };
    assert_eq!(ask(&history, new).await, full);
    assert_eq!(server.keys(), before);
    assert_eq!(top(&history, &channel("a")).await.offset, 1, "what there is is told");
    assert_eq!(words(&history, &channel("a"), 0).await, contract::numbered(&[(1, "before")]));
    // The client is notified; its session and its membership go on.
    let noted = ask(&history, contract::refused("s", 2, "unavailable", "no room")).await;
    assert_eq!(noted, StoreResponse::Committed { received: 2 });
    let resumed =
        ask(&history, StoreRequest::Resume { session: "s".into(), user: "alice".into() }).await;
    assert!(
        matches!(resumed, StoreResponse::Session { received: 2, generation: 1, .. }),
        "{resumed:?}"
    );
    contract::keep(&history, "s").await;
    let again = contract::join(&history, "a", "s", contract::member("alice", "other"), 2).await;
    assert_eq!(again, StoreResponse::Joined { join: "j".to_owned() });
    contract::leave(&history, "a", "s", 2).await;
    assert!(contract::members(&history, "a").await.is_empty());
    assert_eq!(contract::join(&history, "a", "s", contract::member("alice", "new"), 3).await, full);
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(
        ask(&history, commit("s", 1, 3, &[("a", "after")])).await,
        StoreResponse::Committed { received: 3 }
    );
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    ask(&history, StoreRequest::End { session: "s".into(), generation: 1 }).await;
    assert!(!server.keys().iter().any(|key| key.contains(":s:s") || key.ends_with("session:s")));
}

/// A replica, or a server that is still loading its data: the request fails, and is sent again.
#[tokio::test]
async fn w15_a_server_that_may_not_write_is_an_error_and_not_an_answer() {
    let (server, history) = one_node().await;
    create(&history, "s", "alice").await;
    server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let error =
        history.answer(commit("s", 0, 1, &[("a", "lost?")])).await.expect_err("it is read-only");
    assert!(error.to_string().contains("read only"), "{error}");
    server.ask(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(
        ask(&history, commit("s", 0, 1, &[("a", "kept")])).await,
        StoreResponse::Committed { received: 1 }
    );
}

async fn one_node() -> (RedisServer, RedisHistory) {
    let server = RedisServer::start();
    let history = RedisHistory::connect(&server.url()).await.expect("it connects");
    (server, history)
}
