//! What a plain link says of its own: after each open, in place of pings, before it is usable.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake},
};

use futures_util::task::AtomicWaker;
use relink_driver::{
    BuildError, Runtime,
    relink::{Event, Failure, Message, Plain, Reason, SessionConfig, State, policy::Curve},
};

use super::setup::{end_of, ms, quick_link, saw_text, secs, start, start_config, start_with};
use crate::rig::Observed;
use crate::{Connection, EventKind, Script};

/// What is said on each open goes before what waited, in its order, on every connection.
pub async fn what_is_said_on_open_goes_before_what_waited<Rt: Runtime>(rt: Rt) {
    let first = Connection::new()
        .expect_text("login")
        .expect_text("subscribe")
        .expect_text("waited")
        .close(1001, "");
    let second = Connection::new().expect_text("login").expect_text("subscribe");
    let script = Script::new().connection(first).connection(second);
    let (server, mut link) =
        start_with(rt, script, |builder| builder.on_open("login").on_open("subscribe"));
    link.rt.soon(link.client.send("waited")).await.expect("room");
    link.connected().await;
    saw_text(&server, "waited").await;
    link.connected().await;
    link.send("later").await;
    assert_eq!(link.text().await, "later", "the second connection echoes after its script");
    assert_eq!(link.client.stats().messages_sent, 2, "what is said on open is no message");
}

/// A server that expects its own heartbeats gets them, and any answer counts.
pub async fn a_heartbeat_can_be_a_message<Rt: Runtime>(rt: Rt) {
    let config = quick_link(|link| {
        link.with_heartbeat(link.heartbeat.with_interval(Some(ms(20))).with_timeout(secs(10)))
    });
    let (server, mut link) = start_with(rt, Script::echo(), |builder| {
        builder.config(config).heartbeat_text(r#"{"op":"ping"}"#)
    });
    link.connected().await;
    for _ in 0..3 {
        assert_eq!(link.text().await, r#"{"op":"ping"}"#, "an echo");
    }
    assert!(server.events().iter().all(|event| !matches!(event.kind, EventKind::Ping(_))));
    assert!(link.client.stats().pings >= 3);
}

/// The link is usable once the server has confirmed it, and not before: what waits goes after that.
pub async fn a_link_is_connected_when_the_server_confirms_it<Rt: Runtime>(rt: Rt) {
    let script = Connection::new()
        .expect_text("subscribe")
        .send_text("hello")
        .send_text("subscribed")
        .expect_text("waited");
    let (_server, mut link) = start_with(rt, script, |builder| {
        builder.on_open("subscribe").confirm(secs(10), is_confirmation)
    });
    link.rt.soon(link.client.send("waited")).await.expect("room");
    assert_eq!(link.text().await, "hello");
    let is_connected = |event: &Event| matches!(event, Event::Connected { .. });
    assert!(!link.heard().iter().any(is_connected), "nothing has confirmed it");
    link.connected().await;
    assert_eq!(link.text().await, "subscribed", "the application has it, too");
    link.send("later").await;
    assert_eq!(link.text().await, "later");
}

fn is_confirmation(message: &Message) -> bool {
    message.as_text() == Some("subscribed")
}

/// A server that does not confirm in time is a failed attempt, and each connection is confirmed
/// anew.
pub async fn a_server_that_does_not_confirm_is_a_failed_attempt<Rt: Runtime>(rt: Rt) {
    let confirms = || Connection::new().send_text("subscribed");
    let script = Script::new()
        .connection(confirms().close(1001, ""))
        .connection(Connection::new().send_text("no"))
        .connection(confirms());
    let (_server, mut link) =
        start_with(rt, script, |builder| builder.confirm(ms(100), is_confirmation));
    link.connected().await;
    link.disconnected().await;
    let failed = link.attempt_failed().await;
    assert!(matches!(failed.reason, Reason::TimedOut(_)), "{failed:?}");
    assert!(link.connected().await);
}

/// What a protocol says is its own matter.
pub async fn a_protocol_and_words_of_ones_own_exclude_each_other<Rt: Runtime>(rt: Rt) {
    let builder = || {
        relink_driver::Builder::new(Observed::new(rt.clone()), "ws://127.0.0.1:1").on_open("hello")
    };
    let refused = builder().protocol(Plain::default()).spawn();
    let Err(BuildError::Conflict(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("on_open()") && text.contains("protocol()"), "{text}");
}

/// Waits a minute before each attempt.
fn slow() -> SessionConfig {
    let curve = Curve::Fixed { delay: secs(60) };
    quick_link(|link| link.with_backoff(link.backoff.with_curve(curve).with_cap(secs(60))))
}

/// An application that finds its connection no good gets another one at once, and loses nothing
/// that waits.
pub async fn a_reconnect_drops_the_connection_and_dials_at_once<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start_config(rt, Script::echo(), slow());
    link.connected().await;
    link.client.reconnect();
    let lost = link.disconnected().await;
    assert_eq!(lost.reason, Reason::Failed(Failure::Abandoned));
    assert!(link.connected().await, "without a wait");
    let closed = end_of(&server, 1).await;
    assert!(matches!(closed, EventKind::PeerClosed { code: Some(4100), .. }), "{closed:?}");
    link.send("still here").await;
    assert_eq!(link.text().await, "still here");
}

/// On a link that is not usable, it is a retry.
pub async fn a_reconnect_of_a_link_that_waits_dials_at_once<Rt: Runtime>(rt: Rt) {
    let script = Script::new().connection(Connection::new().close(1001, ""));
    let (_server, mut link) = start_config(rt, script, slow());
    link.connected().await;
    link.disconnected().await;
    link.client.reconnect();
    assert!(link.connected().await);
}

/// A flush ends when all is written, not before, and says if that never comes. Its task is woken
/// for that, and not by chance.
pub async fn a_flush_waits_until_all_is_written<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start(rt, Script::echo());
    link.connected().await;
    let client = link.client.clone();
    for number in 0..100 {
        link.rt.soon(client.send(number.to_string())).await.expect("room");
    }
    let woken = Arc::new(Woken::default());
    let mut flush = pin!(client.flush());
    let waker = woken.clone().into();
    if flush.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        link.rt.soon(poll_fn(|cx| woken.poll(cx))).await;
        link.rt.soon(flush).await.expect("written");
    }
    assert_eq!(client.stats().messages_sent, 100);
    saw_text(&server, "99").await;
    link.rt.soon(client.flush()).await.expect("nothing waits");
    link.rt.soon(client.close()).await;
    assert!(matches!(client.state(), State::Closed(_)));
    let error = link.rt.soon(client.flush()).await.expect_err("it is closed");
    assert_eq!(error.reason.name(), "requested");
}

/// Whether a task was woken.
#[derive(Default)]
struct Woken {
    is_woken: AtomicBool,
    waits: AtomicWaker,
}

impl Woken {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waits.register(cx.waker());
        if self.is_woken.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.waits.wake();
    }
}

/// The messages alone, without what else happens.
pub async fn messages_can_be_taken_alone<Rt: Runtime>(rt: Rt) {
    let first = Connection::new().send_text("one").close(1001, "");
    let script = Script::new().connection(first).connection(Connection::new().send_text("two"));
    let (_server, mut link) = start(rt, script);
    let rt = link.rt.clone();
    let mut messages = link.events.messages();
    for expected in ["one", "two"] {
        let message = rt.soon(messages.recv()).await.expect("a message");
        assert_eq!(message.as_text(), Some(expected));
    }
}
