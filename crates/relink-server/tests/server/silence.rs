//! Timeouts of connections, in virtual time over pipes in memory.

use crate::client::{Client, piped};
use relink_node::NodeConfig;
use relink_server::{Server, ServerConfig};
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(start_paused = true)]
async fn w10_a_silent_client_is_closed_with_4000_after_30_to_40_s() {
    let server = Server::builder().build().expect("the configuration is good");
    let mut client = piped(&server.handle()).await;
    client.hello().await;
    let begin = Instant::now();
    assert_eq!(client.closed_within_a_minute().await, 4000);
    let silence = begin.elapsed();
    assert!((Duration::from_secs(30)..=Duration::from_secs(40)).contains(&silence), "{silence:?}");
}

#[tokio::test(start_paused = true)]
async fn w10_a_client_that_says_something_is_not() {
    let server = Server::builder().build().expect("the configuration is good");
    let mut client = piped(&server.handle()).await;
    client.hello().await;
    for nonce in 0..20 {
        sleep(Duration::from_secs(25)).await;
        client.say(&json!({"type": "heartbeat", "nonce": nonce, "sent": 0})).await;
        client.expect("heartbeat_ack").await;
    }
}

#[tokio::test(start_paused = true)]
async fn w10_a_ping_is_a_sign_of_life_too() {
    let server = Server::builder().build().expect("the configuration is good");
    let mut client = piped(&server.handle()).await;
    client.hello().await;
    for nonce in 0..5_u8 {
        sleep(Duration::from_secs(25)).await;
        client.say_raw(Message::Ping(vec![nonce].into())).await;
    }
    client.say(&json!({"type": "heartbeat", "nonce": 1, "sent": 0})).await;
    client.expect("heartbeat_ack").await;
}

#[tokio::test(start_paused = true)]
async fn i16_a_connection_that_never_says_hello_is_closed() {
    let server = Server::builder().build().expect("the configuration is good");
    let mut client = piped(&server.handle()).await;
    let begin = Instant::now();
    client.closed_within_a_minute().await;
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn i16_a_connection_that_never_asks_for_a_websocket_is_dropped() {
    let server = Server::builder().build().expect("the configuration is good");
    let (mut here, there) = tokio::io::duplex(1024);
    let begin = Instant::now();
    server.handle().accept(there, None).await;
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
    assert_eq!(tokio::io::AsyncReadExt::read(&mut here, &mut [0]).await.expect("the end"), 0);
}

#[tokio::test(start_paused = true)]
async fn a09_back_inside_30_s_nobody_is_told_and_after_it_everybody_is() {
    let config = ServerConfig::default().with_node(NodeConfig::default());
    let server = Server::builder().config(config).build().expect("the configuration is good");
    let relink = server.handle();
    let mut watching = piped(&relink).await;
    watching.hello().await;
    let join = json!({"type": "subscribe", "channel": "room", "presence": "me"});
    watching.say(&join).await;
    let mut coming = piped(&relink).await;
    let welcome = coming.hello().await;
    coming.say(&join).await;
    while watching.hear().await["type"] != "members" {}
    drop(coming);

    let mut kept_alive = async |time| {
        let mut told = Vec::new();
        let end = Instant::now() + time;
        while Instant::now() < end {
            watching.say(&json!({"type": "heartbeat", "nonce": 0, "sent": 0})).await;
            loop {
                let frame = watching.hear().await;
                match frame["type"].as_str() {
                    Some("heartbeat_ack") => break,
                    Some("left") => told.push(Instant::now()),
                    _ => {}
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
        told
    };
    assert!(kept_alive(Duration::from_secs(28)).await.is_empty(), "within the grace");
    let mut back = piped(&relink).await;
    assert_eq!(back.resume(&welcome, 0).await["resumed"], true);
    back.say(&join).await;
    while back.hear().await["type"] != "members" {}
    assert!(kept_alive(Duration::from_secs(20)).await.is_empty(), "back in time");
    drop(back);
    let gone = Instant::now();
    let told = kept_alive(Duration::from_secs(60)).await;
    assert_eq!(told.len(), 1);
    let after = told[0] - gone;
    assert!((Duration::from_secs(30)..=Duration::from_secs(32)).contains(&after), "{after:?}");
}

impl<IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Client<IO> {
    /// The client's own patience is shorter than that of a server.
    async fn closed_within_a_minute(&mut self) -> u16 {
        let closed = tokio::time::timeout(Duration::from_secs(60), self.closed_patiently());
        closed.await.expect("it is closed")
    }
}
