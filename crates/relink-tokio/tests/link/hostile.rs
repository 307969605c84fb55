//! Hostile peers and careless applications do no lasting harm to a link.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use relink_testing::rig::Rig;
use relink_tokio::relink::protocol::{ClientFrame, ProtocolEvent};
use relink_tokio::relink::session::{Frame, SendErrorKind};
use relink_tokio::relink::{Instant, Message, Protocol};
use relink_tokio::{Event, InboxLimits, SessionConfig, Tokio, builder, from_tokio};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message::{Ping, Pong};

/// A peer that sends pings and reads no pongs is not read any further, or it could fill memory with
/// answers.
#[tokio::test(start_paused = true)]
async fn e24_a_flood_of_pings_meets_a_bound() {
    let (near, far) = tokio::io::duplex(64 << 10);
    let mut rig = rig(near, SessionConfig::default());
    let server = accept_async(far).await.expect("a handshake");
    rig.connected().await;

    let mut stream = server.into_inner();
    let flood = [[0x89, 125].as_slice(), &[7; 125]].concat().repeat(512);
    let mut taken = 0;
    // In paused time a timeout passes as soon as nothing else can happen: when the client has
    // stopped reading.
    while tokio::time::timeout(Duration::from_millis(1), stream.write_all(&flood)).await.is_ok() {
        taken += flood.len();
        assert!(taken < 4 << 20, "{taken} bytes of pings, and still reading");
    }
    assert!(taken > 64 << 10, "{taken}");
}

/// A ping behind a long message cannot be answered before the message has gone out; a peer that
/// takes it lives.
#[tokio::test(start_paused = true)]
async fn w22_a_long_upload_is_no_dead_link() {
    let (near, far) = tokio::io::duplex(1 << 10);
    let mut config = SessionConfig::default();
    config.link.heartbeat = config.link.heartbeat.with_interval(Some(SECOND)).with_timeout(SECOND);
    let mut rig = rig(near, config);
    let mut server = accept_async(far).await.expect("a handshake").into_inner();
    rig.connected().await;

    rig.client.send(vec![0; 64 << 10]).await.expect("room");
    // 1 KiB each 200 ms: the message takes some 13 s, the heartbeat would give up after 2.
    for _ in 0..60 {
        tokio::time::sleep(SECOND / 5).await;
        server.read_exact(&mut [0; 1 << 10]).await.expect("the link is up");
    }
    assert_eq!(rig.client.stats().disconnects, 0);
    // Now the peer does not read any more, and the heartbeat finds that.
    rig.disconnected().await;
}

/// Nor is a long download: its bytes are life, although they come for much longer than the
/// heartbeat waits.
#[tokio::test(start_paused = true)]
async fn i12_a_long_download_is_no_dead_link() {
    const SIZE: usize = 64 << 10;
    let (near, far) = tokio::io::duplex(1 << 10);
    let mut config = SessionConfig::default();
    config.link.heartbeat = config.link.heartbeat.with_interval(Some(SECOND)).with_timeout(SECOND);
    let mut rig = rig(near, config);
    let server = accept_async(far).await.expect("a handshake").into_inner();
    rig.connected().await;

    let (mut pings, mut stream) = tokio::io::split(server);
    // Reads what the client writes, and answers nothing.
    tokio::spawn(
        async move { while pings.read(&mut [0; 256]).await.is_ok_and(|count| count > 0) {} },
    );
    stream.write_all(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]).await.expect("the link is up");
    for _ in 0..SIZE >> 10 {
        tokio::time::sleep(SECOND / 5).await;
        stream.write_all(&[7; 1 << 10]).await.expect("the link is up");
    }
    let message = rig.message().await;
    assert_eq!((message.len(), rig.client.stats().disconnects), (SIZE, 0));
    // Now nothing arrives any more, and the heartbeat finds that.
    rig.disconnected().await;
}

/// An application that is behind holds up a usable link, not the handshake of the next one.
#[tokio::test(start_paused = true)]
async fn e24_a_full_inbox_does_not_hold_up_a_handshake() {
    let (near, far) = tokio::io::duplex(4 << 10);
    let (next_near, next_far) = tokio::io::duplex(4 << 10);
    let ends = std::sync::Mutex::new(vec![next_near, near]);
    let connector = move |_| {
        let end = ends.lock().ok().and_then(|mut ends| ends.pop());
        std::future::ready(
            end.map(from_tokio).ok_or_else(|| io::ErrorKind::ConnectionRefused.into()),
        )
    };
    let limits = InboxLimits::new(1, 1 << 20);
    let (client, _events) =
        builder("ws://in.memory/").connector(connector).inbox(limits).spawn().expect("a link");
    let mut server = accept_async(far).await.expect("a handshake");
    server.send("fills the inbox".into()).await.expect("sent");
    // In paused time this passes when all that can happen has happened.
    tokio::time::sleep(SECOND).await;
    drop(server);
    let _next = accept_async(next_far).await.expect("another handshake");
    tokio::time::sleep(SECOND).await;
    assert_eq!(client.stats().failed_attempts, 0);
    assert_eq!(client.stats().connects, 2);
}

/// An owner that looks at a burst of events one by one still answers pings in between.
#[tokio::test(start_paused = true)]
async fn a_burst_of_events_does_not_keep_a_polled_link_from_its_work() {
    let (near, far) = tokio::io::duplex(64 << 10);
    let mut connection =
        builder("ws://in.memory/").connector(once(near)).connect().expect("a link");
    let server = tokio::spawn(async move {
        let mut server = accept_async(far).await.expect("a handshake");
        for _ in 0..500 {
            server.feed("burst".into()).await.expect("room");
        }
        server.send(Ping("there?".into())).await.expect("sent");
        server
    });
    while !matches!(connection.next().await.expect("it goes on"), Event::Message(_)) {}
    let mut server = server.await.expect("no panic");
    for _ in 0..100 {
        assert!(matches!(connection.next().await, Some(Event::Message(_))));
    }
    let answer = tokio::time::timeout(SECOND, server.next()).await.expect("an answer");
    assert!(matches!(answer, Some(Ok(Pong(payload))) if payload == "there?"));
}

/// A panic of the application's protocol ends the link; its handles learn of it.
#[tokio::test]
async fn a_driver_that_panics_leaves_no_handle_waiting() {
    let (near, far) = tokio::io::duplex(4 << 10);
    let (client, mut events) =
        builder("ws://in.memory/").connector(once(near)).protocol(Broken).spawn().expect("a link");
    let _server = accept_async(far).await.expect("a handshake");
    while let Some(event) = events.recv().await {
        let _ = event;
    }
    assert!(client.state().is_closed());
    assert_eq!(
        client.send("too late").await.expect_err("it is closed").reason,
        SendErrorKind::Closed
    );
    assert_eq!(client.close().await.sent, 0);
}

/// A protocol with a mistake in it.
struct Broken;

impl Protocol for Broken {
    fn opened(&mut self, _: &mut Vec<Frame>) {
        panic!("the protocol's own mistake");
    }

    fn receive(&mut self, _: Message, _: &mut Vec<ProtocolEvent>) {}

    fn send(&mut self, _: ClientFrame, _: &mut Vec<Frame>, _: Instant) {}
}

/// So does the end of the runtime that the link ran on, and the handles learn of the reason.
#[test]
fn a_runtime_that_ends_leaves_no_handle_waiting() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (ending, other) = (runtime(), runtime());
    let hang = |_| async { std::future::pending::<io::Result<Never>>().await };
    let spawned = ending.block_on(async { builder("ws://in.memory/").connector(hang).spawn() });
    let (client, mut events) = spawned.expect("a link");
    drop(ending);
    other.block_on(async {
        while let Some(event) = events.recv().await {
            let _ = event;
        }
        assert_eq!(client.close().await.reason.name(), "driver_gone");
    });
    let refused = client.try_send("too late").expect_err("it is closed");
    assert_eq!(refused.reason, SendErrorKind::Closed);
}

const SECOND: Duration = Duration::from_secs(1);

/// A link over this pipe. In paused time a wait in vain takes no time.
fn rig(near: DuplexStream, config: SessionConfig) -> Rig<Tokio> {
    let mut rig = Rig::spawn(Tokio::new(), "ws://in.memory/", |builder| {
        builder.connector(once(near)).config(config)
    });
    rig.limit = 600 * SECOND;
    rig
}

type Never = tokio_util::compat::Compat<DuplexStream>;

/// A connector for one attempt.
fn once(
    near: DuplexStream,
) -> impl Fn(relink_tokio::Target) -> std::future::Ready<io::Result<Never>> + Send + Sync + 'static
{
    let near = std::sync::Mutex::new(Some(near));
    move |_| {
        let near = near.lock().ok().and_then(|mut near| near.take());
        std::future::ready(
            near.map(from_tokio).ok_or_else(|| io::ErrorKind::ConnectionRefused.into()),
        )
    }
}
