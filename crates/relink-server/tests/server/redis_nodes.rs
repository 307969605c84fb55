//! Servers that share a Redis: nodes that die, and a store that stops. Needs `redis-server`; `just
//! redis` runs it.

use std::{net::SocketAddr, time::Duration};

use crate::client::{Client, PATIENCE, Running};
use crate::redis_server::RedisServer;
use relink::{CloseCode, CloseFrame};
use relink_node::{HistoryConfig, NodeConfig, NodeEvent};
use relink_server::{RedisConfig, RedisHistory, Server, ServerConfig, User, relink};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime, time::timeout};

async fn node(redis: &RedisServer, config: RedisConfig) -> Running {
    let history = RedisHistory::connect_with(&redis.url(), config).await.expect("it connects");
    Running::start(Server::builder().history(history)).await
}

/// A node on a runtime of its own, which can be killed.
fn mortal_node(redis: &RedisServer) -> (Runtime, SocketAddr) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (url, (sender, addr)) = (redis.url(), std::sync::mpsc::channel());
    runtime.spawn(async move {
        let history = RedisHistory::connect(&url).await.expect("it connects");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        sender.send(listener.local_addr().expect("its number")).expect("the receiver waits");
        Server::builder().history(history).serve(listener).await
    });
    (runtime, addr.recv().expect("it starts"))
}

#[tokio::test]
async fn w15_a_client_goes_on_at_another_node_when_its_own_is_killed() {
    let redis = RedisServer::start();
    let (first, addr) = mortal_node(&redis);
    let mut client = Client::connect(addr, "/").await;
    let welcome = client.hello().await;
    let position = client.subscribe("room").await["position"].clone();
    for serial in 1..=5 {
        client.message(serial, Some("room"), &serial.to_string()).await;
        while client.hear().await["type"] != "ack" {}
    }
    first.shutdown_background();

    let second = node(&redis, RedisConfig::default()).await;
    second.relink.publish("room", "6").expect("it fits");
    let mut client = second.connect().await;
    let again = client.resume(&welcome, 0).await;
    assert_eq!((&again["resumed"], &again["received"]), (&json!(true), &json!(5)));
    let since = json!({"epoch": position["epoch"], "offset": 3});
    client.say(&json!({"type": "subscribe", "channel": "room", "since": since})).await;
    assert_eq!(client.expect("subscribed").await["recovered"], true);
    for offset in 4..=6 {
        let publication = client.expect("publication").await;
        assert_eq!(publication["offset"], offset);
        assert_eq!(publication["text"], offset.to_string());
    }
}

#[tokio::test]
async fn w15_a_session_that_was_taken_over_is_closed_at_the_other_node() {
    let redis = RedisServer::start();
    let one = node(&redis, RedisConfig::default()).await;
    let other = node(&redis, RedisConfig::default()).await;
    let (mut first, welcome) = one.hello().await;
    let mut second = other.connect().await;
    assert_eq!(second.resume(&welcome, 0).await["resumed"], true);
    assert_eq!(first.closed().await.0, 4009);
}

#[tokio::test]
async fn m07_a_kick_reaches_the_connections_at_other_nodes_and_those_who_are_away() {
    let redis = RedisServer::start();
    let one = node(&redis, RedisConfig::default()).await;
    let other = node(&redis, RedisConfig::default()).await;
    let (mut here, first) = one.hello().await;
    let (mut there, second) = other.hello().await;
    let (away, third) = other.hello().await;
    drop(away);
    one.relink.kick(User::anonymous(), CloseFrame::new(CloseCode::ADMIN_DISCONNECT, "enough"));
    assert_eq!((here.closed().await.0, there.closed().await.0), (4020, 4020));
    for welcome in [first, second, third] {
        let mut client = other.connect().await;
        assert_eq!(client.resume(&welcome, 0).await["resumed"], false);
        client.subscribe("room").await;
    }
}

#[tokio::test]
async fn a09_members_of_two_nodes_see_each_other() {
    let redis = RedisServer::start();
    let presence = NodeConfig::default().with_member_grace(Duration::ZERO);
    let start = async || {
        let history = RedisHistory::connect(&redis.url()).await.expect("it connects");
        let config = ServerConfig::default().with_node(presence);
        Running::start(Server::builder().config(config).history(history)).await
    };
    let (one, other) = (start().await, start().await);
    let (mut here, _) = one.hello().await;
    here.say(&json!({"type": "subscribe", "channel": "room", "presence": "here"})).await;
    while here.hear().await["type"] != "members" {}
    let (mut there, _) = other.hello().await;
    there.say(&json!({"type": "subscribe", "channel": "room", "presence": "there"})).await;
    let joined =
        until(&mut here, |frame| frame["type"] == "joined" && frame["member"]["info"] == "there")
            .await;
    let members = until(&mut there, |frame| frame["type"] == "members").await;
    assert_eq!(members["members"].as_array().map(Vec::len), Some(2));
    drop(there);
    let left = until(&mut here, |frame| frame["type"] == "left").await;
    assert_eq!(left["member"]["join"], joined["member"]["join"]);
}

#[tokio::test]
async fn w15_a_store_that_stops_delays_acknowledgements_and_loses_nothing() {
    let redis = RedisServer::start();
    let config = RedisConfig::default().with_timeout(Duration::from_millis(200));
    let server = node(&redis, config).await;
    let mut events = server.relink.events();
    let (mut client, _) = server.hello().await;
    client.subscribe("room").await;
    redis.ask(&["CLIENT", "PAUSE", "1000", "ALL"]);
    for serial in 1..=3 {
        client.message(serial, Some("room"), &serial.to_string()).await;
    }
    let failed =
        async { while !matches!(events.recv().await, Some(NodeEvent::StoreFailed { .. })) {} };
    timeout(PATIENCE, failed).await.expect("it is told");
    // It takes effect once, although it was requested more than once.
    let (mut offsets, mut acked) = (Vec::new(), 0);
    while offsets.len() < 3 || acked < 3 {
        let frame = client.hear().await;
        match frame["type"].as_str() {
            Some("publication") => offsets.push(frame["offset"].as_u64().expect("an offset")),
            Some("ack") => acked = frame["serial"].as_u64().expect("a serial"),
            _ => panic!("{frame}"),
        }
    }
    assert_eq!(offsets, [1, 2, 3]);
}

#[tokio::test]
async fn w15_a_history_that_was_lost_is_told() {
    let redis = RedisServer::start();
    let history = HistoryConfig::default().with_max_messages(2);
    let server = node(&redis, RedisConfig::default().with_history(history)).await;
    let (mut client, _) = server.hello().await;
    let begin = client.subscribe("room").await["position"].clone();
    for _ in 0..3 {
        server.relink.publish("room", "x").expect("it fits");
        client.expect("publication").await;
    }
    let (mut late, _) = server.hello().await;
    late.say(&json!({"type": "subscribe", "channel": "room", "since": begin})).await;
    let subscribed = late.expect("subscribed").await;
    assert_eq!(
        (&subscribed["recovered"], &subscribed["position"]["offset"]),
        (&json!(false), &json!(3))
    );
}

async fn until(
    client: &mut Client<tokio::net::TcpStream>,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    loop {
        let frame = client.hear().await;
        if wanted(&frame) {
            return frame;
        }
    }
}
