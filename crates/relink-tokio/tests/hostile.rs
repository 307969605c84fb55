//! What a hostile peer, and a careless application, can do to a link: nothing that lasts.

use std::io;
use std::time::Duration;

use relink_tokio::relink::RefusedReason;
use relink_tokio::{Event, builder, from_tokio};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_tungstenite::accept_async;

/// A peer that sends pings and reads no pongs is not read any further, or it could fill memory with answers.
#[tokio::test(start_paused = true)]
async fn e24_a_flood_of_pings_meets_a_bound() {
    let (near, far) = tokio::io::duplex(64 << 10);
    let (_client, mut events) = builder("ws://in.memory/").connector(once(near)).spawn().expect("a link");
    let server = accept_async(far).await.expect("a handshake");
    while !matches!(events.recv().await.expect("it goes on"), Event::Connected { .. }) {}

    let mut stream = server.into_inner();
    let flood = [[0x89, 125].as_slice(), &[7; 125]].concat().repeat(512);
    let mut taken = 0;
    // In paused time a timeout passes as soon as nothing else can happen: when the client has stopped reading.
    while tokio::time::timeout(Duration::from_millis(1), stream.write_all(&flood)).await.is_ok() {
        taken += flood.len();
        assert!(taken < 4 << 20, "{taken} bytes of pings, and still reading");
    }
    assert!(taken > 64 << 10, "{taken}");
}

/// A panic of the application's connector ends the link; its handles learn of it.
#[tokio::test]
async fn a_driver_that_panics_leaves_no_handle_waiting() {
    let connector = |_| async { panic!("the connector's own mistake") };
    let (client, mut events) =
        builder("ws://in.memory/").connector::<_, _, Never>(connector).spawn().expect("a link");
    while let Some(event) = events.recv().await {
        let _ = event;
    }
    assert!(client.state().is_closed());
    assert_eq!(client.send("too late").await.expect_err("it is closed").reason, RefusedReason::Closed);
    assert_eq!(client.close().await.sent, 0);
}

/// So does the end of the runtime that the link ran on.
#[test]
fn a_runtime_that_ends_leaves_no_handle_waiting() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (ending, other) = (runtime(), runtime());
    let hang = |_| async { std::future::pending::<io::Result<Never>>().await };
    let spawned = ending.block_on(async { builder("ws://in.memory/").connector(hang).spawn() });
    let (client, mut events) = spawned.expect("a link");
    drop(ending);
    other.block_on(async {
        while let Some(event) = events.recv().await {
            let _ = event;
        }
        client.close().await;
    });
    assert!(client.state().is_closed());
}

type Never = tokio_util::compat::Compat<DuplexStream>;

/// A connector for one attempt.
fn once(
    near: DuplexStream,
) -> impl Fn(relink_tokio::Target) -> std::future::Ready<io::Result<Never>> + Send + Sync + 'static {
    let near = std::sync::Mutex::new(Some(near));
    move |_| {
        let near = near.lock().ok().and_then(|mut near| near.take());
        std::future::ready(near.map(from_tokio).ok_or_else(|| io::ErrorKind::ConnectionRefused.into()))
    }
}
