//! A running server: interfering with it, and waiting.

use std::{
    future::Future,
    io::ErrorKind,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use crate::common::*;
use futures_util::{SinkExt, StreamExt};
use relink_testing::{Connection, EventKind, Script, Server};
use tokio::time::timeout;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error, Message},
};

const SHORT: Duration = Duration::from_millis(50);

fn reset(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn kill_all_resets_every_socket() {
    let (server, mut first) = pair(Script::echo()).await;
    let mut second = connect(&server).await;
    seen(&server, |what| matches!(what, EventKind::Accepted { .. })).await;
    assert_eq!(server.kill_all(), 2);
    assert!(reset(&receive_error(&mut first).await));
    assert!(reset(&receive_error(&mut second).await));
    assert_eq!(
        (end_of(&server, 1).await, end_of(&server, 2).await),
        (EventKind::Reset, EventKind::Reset)
    );

    let mut third = connect(&server).await;
    third.send(Message::text("up again")).await.unwrap();
    assert_eq!(receive(&mut third).await, Message::text("up again"));
}

#[tokio::test]
async fn kill_all_reaches_a_blackhole() {
    let server = start(Script::blackhole()).await;
    let mut tcp = request(&server).await;
    seen(&server, |what| *what == EventKind::Blackholed).await;
    server.kill_all();
    assert_eq!(read_all(&mut tcp).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn kill_all_reaches_a_connection_stuck_in_a_write() {
    let (server, mut client) = pair(Script::echo()).await;
    let flood = async {
        loop {
            client.send(Message::binary(vec![0; 1024 * 1024])).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_secs(1), flood).await.is_err(), "the echo was never stuck");
    assert_eq!(server.kill_all(), 1);
    assert_eq!(end_of(&server, 1).await, EventKind::Reset);
}

#[tokio::test]
async fn close_all_closes_with_code_and_reason() {
    let (server, mut first) = pair(Script::echo()).await;
    let mut second = connect(&server).await;
    assert_eq!(server.close_all(4010, "too many"), 2);
    for client in [&mut first, &mut second] {
        assert_eq!(receive_close(client).await, Some((4010, "too many".into())));
    }
    assert!(matches!(
        end_of(&server, 1).await,
        EventKind::Closed { code: Some(4010), answered: true, .. }
    ));
}

#[tokio::test]
async fn close_all_cuts_a_reason_that_does_not_fit() {
    let (server, mut client) = pair(Script::echo()).await;
    server.close_all(1001, &"ä".repeat(100));
    assert_eq!(receive_close(&mut client).await, Some((1001, "ä".repeat(61))));
}

#[tokio::test]
async fn send_all_sends_between_the_steps() {
    let (server, mut client) = pair(Connection::new().expect_text("go").send_text("gone")).await;
    assert_eq!(server.send_all("news"), 1);
    assert_eq!(receive(&mut client).await, Message::text("news"));
    client.send(Message::text("go")).await.unwrap();
    assert_eq!(receive(&mut client).await, Message::text("gone"));
    assert_eq!(server.send_all("x".repeat(1024 * 1024 + 1)), 0);
}

#[tokio::test]
async fn silence_all_leaves_the_link_half_open() {
    let (server, mut client) = pair(Connection::new().echo_for(10 * SHORT).close(1000, "")).await;
    assert_eq!(server.silence_all(), 1);
    seen(&server, |what| *what == EventKind::Silent).await;
    client.send(Message::Ping(vec![].into())).await.unwrap();
    client.send(Message::text("anybody?")).await.unwrap();
    // The close of the script is cancelled, too.
    assert!(timeout(15 * SHORT, client.next()).await.is_err());
    assert_eq!(server.live(), 1);

    assert_eq!(server.send_all("heard"), 1);
    assert_eq!(receive(&mut client).await, Message::text("heard"));
    server.close_all(1001, "");
    assert_eq!(receive_close(&mut client).await, Some((1001, String::new())));
}

#[tokio::test]
async fn orders_reach_a_connection_that_is_still_shaking_hands() {
    let server = start(Script::echo()).await;
    let tcp = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
    server.wait_for(|_| server.connections() == 1, LONG).await.unwrap();
    assert_eq!(server.send_all("welcome"), 1);
    let (mut client, _) = within(client_async(server.url(), tcp)).await.unwrap();
    let first = within(client.next()).await.unwrap().unwrap();
    assert_eq!(first, Message::text("welcome"));
}

#[tokio::test]
async fn stop_resets_what_is_live_and_frees_the_port() {
    let (server, mut client) = pair(Script::echo()).await;
    let addr = server.addr();
    let mut watch = server.watch();
    server.stop().await;
    assert!(reset(&receive_error(&mut client).await));
    let refused = tokio::net::TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    while within(watch.next()).await.is_some() {}

    let again = Server::bind(addr, Script::echo()).await.unwrap();
    assert_eq!(again.addr(), addr);
    connect(&again).await;
}

#[tokio::test]
async fn dropping_the_server_stops_it() {
    let (server, mut client) = pair(Script::echo()).await;
    drop(server);
    assert!(reset(&receive_error(&mut client).await));
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let server = start(Script::echo()).await;
    let error = Server::bind(server.addr(), Script::echo()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[tokio::test]
async fn the_url_of_a_server_on_every_address_can_be_dialed() {
    let server = Server::bind("0.0.0.0:0".parse().unwrap(), Script::echo()).await.unwrap();
    assert_eq!(server.url(), format!("ws://127.0.0.1:{}/", server.addr().port()));
    connect(&server).await;
}

#[tokio::test]
async fn watching_gives_every_event_once_and_in_order() {
    let (server, mut client) = pair(Script::echo()).await;
    client.send(Message::text("a")).await.unwrap();
    receive(&mut client).await;
    let mut watch = server.watch();
    client.close(None).await.unwrap();

    let mut events = Vec::new();
    while !events.last().is_some_and(|event: &relink_testing::ServerEvent| event.kind.is_end()) {
        events.push(within(watch.next()).await.unwrap());
    }
    assert_eq!(events, server.events());
    assert_eq!(events[0].kind, EventKind::Arrived);
    assert!(events.iter().all(|event| event.connection == 1));
    assert!(events.is_sorted_by_key(|event| event.at));
    assert_eq!((watch.missed(), server.events_dropped()), (0, 0));
}

#[tokio::test]
async fn a_wait_in_vain_lists_what_was_seen() {
    let (server, mut client) = pair(Script::echo()).await;
    client.send(Message::text("this came")).await.unwrap();
    receive(&mut client).await;
    let error = server.wait_for(|events| events.len() > 99, SHORT).await.unwrap_err();
    assert_eq!(error.seen(), server.events());
    let text = error.to_string();
    assert!(text.starts_with("not seen within 50ms; the log has 3 events:\n"), "{text}");
    assert!(
        text.contains("#1  accepted /\n") && text.ends_with("#1  text \"this came\""),
        "{text}"
    );
    assert_eq!(format!("{error:?}"), text);
}

#[test]
fn a_server_on_its_own_thread_needs_no_runtime_around_it() {
    let server =
        Server::spawn_thread(Connection::new().send_text("hi").expect_text("hi").close(1001, ""))
            .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(async {
        let mut client = connect(&server).await;
        assert_eq!(receive(&mut client).await, Message::text("hi"));
        client
    });
    let accepted = |events: &[relink_testing::ServerEvent]| {
        events.iter().any(|event| matches!(event.kind, EventKind::Accepted { .. }))
    };
    // Nothing but std here: once blocking, once on an executor made of a parked thread.
    assert!(accepted(&server.wait_for_blocking(accepted, LONG).unwrap()));
    assert!(accepted(&block_on(server.wait_for(accepted, LONG)).unwrap()));
    assert!(server.wait_for_blocking(|events| events.len() > 99, SHORT).is_err());
    assert!(block_on(server.wait_for(|events| events.len() > 99, SHORT)).is_err());
    drop(client);

    let addr = server.addr();
    server.stop_blocking();
    assert!(std::net::TcpStream::connect(addr).is_err());
    block_on(Server::spawn_thread(Script::echo()).unwrap().stop());
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
