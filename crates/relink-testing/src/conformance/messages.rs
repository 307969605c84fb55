//! Messages: their order, their bounds, and their fate.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use futures_util::{
    SinkExt, StreamExt,
    io::{AsyncRead, AsyncWrite},
    stream,
    task::AtomicWaker,
};
use relink_driver::{
    InboxLimits, Runtime, WireLimits,
    relink::{
        CloseCode, Event, Message, Reason, Receipt, SessionConfig,
        session::{DropReason, OfflineSend, OutboxConfig, Overflow, SendErrorKind},
    },
};
use tokio_tungstenite::tungstenite::{Message as Frame, protocol::CloseFrame};

use super::{
    pipe::{Near, serve_pipe},
    setup::{end_of, ms, quick, saw_text, secs, spawn, start, start_config, start_with},
};
use crate::{AfterLast, Connection, EventKind, Script};

/// Text and bytes of every size class of the framing are echoed unchanged.
pub async fn messages_of_every_size_pass_both_ways<Rt: Runtime>(rt: Rt) {
    let (_server, mut link) = start(rt, Script::echo());
    for size in [0, 1, 125, 126, 0xffff, 0x10000, 1 << 20] {
        let text = Message::from("ä".repeat(size / 2) + &"x".repeat(size % 2));
        let bytes = Message::from(vec![0xa5; size]);
        for message in [text, bytes] {
            link.rt.soon(link.client.send(message.clone())).await.expect("room");
            let back = link.message().await;
            assert_eq!(back.len(), message.len());
            assert!(back == message, "{size} bytes were changed");
        }
    }
}

/// A thousand messages keep their order, and each receipt is in one `Sent` event.
pub async fn order_is_kept_and_every_receipt_is_told<Rt: Runtime>(rt: Rt) {
    let (_server, mut link) = start(rt, Script::echo());
    for number in 1..=1000_u64 {
        let accepted = link.rt.soon(link.client.send(number.to_string())).await.expect("room");
        assert_eq!(accepted.receipt, Receipt(number));
    }
    for number in 1..=1000 {
        assert_eq!(link.text().await, number.to_string());
    }
    let mut next = 1;
    for event in link.heard() {
        if let Event::Sent { first, last } = event {
            assert_eq!(first.0, next);
            next = last.0 + 1;
        }
    }
    assert_eq!(next, 1001);
}

/// Messages queued while the link is down are sent in order when it is back, before newer ones.
pub async fn d08_messages_wait_for_the_link_and_keep_their_order<Rt: Runtime>(rt: Rt) {
    let script = Script::new()
        .connection(Connection::new().expect_text("before").close(4010, ""))
        .then(AfterLast::Echo);
    let (server, mut link) = start(rt, script);
    link.connected().await;
    link.send("before").await;
    link.disconnected().await;
    for number in 0..100 {
        let accepted = link.client.try_send(number.to_string()).expect("it is queued");
        assert!(accepted.queued);
    }
    assert_eq!(link.client.stats().queued, 100);
    link.client.retry_now();
    assert!(link.connected().await);
    link.send("after").await;
    saw_text(&server, "after").await;
    let expected: Vec<_> =
        (0..100).map(|number: u32| number.to_string()).chain(["after".to_owned()]).collect();
    assert_eq!(server.texts(2), expected);
}

/// Messages written to a transport that then died are not sent again: what the peer received is not
/// known.
pub async fn i23_what_was_handed_to_a_dead_transport_is_not_sent_again<Rt: Runtime>(rt: Rt) {
    let script = Script::new().connection(Connection::new().silent()).then(AfterLast::Echo);
    let (server, mut link) = start(rt, script);
    link.connected().await;
    link.send("lost").await;
    link.until(|event| if let Event::Sent { last, .. } = event { Some(last) } else { None }).await;
    server.kill_all();
    link.disconnected().await;
    link.send("next").await;
    saw_text(&server, "next").await;
    assert_eq!(server.texts(2), ["next"]);
    assert_eq!(link.client.stats().messages_dropped, 0, "sent is not dropped");
}

/// An expired message is dropped, reported, returned, and never sent.
pub async fn i21_an_expired_message_is_never_sent<Rt: Runtime>(rt: Rt) {
    let config = down_with(|outbox| outbox.with_ttl(Some(ms(100))));
    let (server, mut link) = start_config(rt, refused_once(), config);
    link.attempt_failed().await;
    let sent = link.client.try_send("stale").expect("it is queued");
    let (receipt, why, message) = link.until(dropped).await;
    assert_eq!(
        (receipt, why, message.as_text()),
        (sent.receipt, DropReason::Expired, Some("stale"))
    );
    link.send("fresh").await;
    link.client.retry_now();
    saw_text(&server, "fresh").await;
    assert_eq!(server.texts(2), ["fresh"]);
}

/// A full outbox can hand the message back …
pub async fn a_full_outbox_can_refuse<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start_config(rt, refused_once(), down_with(two_messages));
    link.attempt_failed().await;
    link.send("1").await;
    link.send("2").await;
    let refused = link.client.try_send("3").expect_err("there is no room");
    assert_eq!((refused.reason, refused.message.as_text()), (SendErrorKind::Full, Some("3")));
    let too_big = link.client.try_send(vec![0; 101]).expect_err("it never fits");
    assert!(matches!(too_big.reason, SendErrorKind::TooLarge { size: 101, .. }), "{too_big}");
    link.client.retry_now();
    saw_text(&server, "2").await;
    assert_eq!(server.texts(2), ["1", "2"]);
    assert_eq!(link.client.stats().messages_refused, 2);
}

/// … or drop the oldest …
pub async fn a_full_outbox_can_drop_the_oldest<Rt: Runtime>(rt: Rt) {
    overflows(rt, Overflow::DropOldest, "1", ["2", "3"]).await;
}

/// … or the newest.
pub async fn a_full_outbox_can_drop_the_newest<Rt: Runtime>(rt: Rt) {
    overflows(rt, Overflow::DropNewest, "3", ["1", "2"]).await;
}

/// A link that is down can refuse messages instead of queueing them.
pub async fn m22_a_link_that_is_down_can_refuse<Rt: Runtime>(rt: Rt) {
    let config = down_with(|outbox| outbox.with_while_down(OfflineSend::Refuse));
    let (server, mut link) = start_config(rt, refused_once(), config);
    link.attempt_failed().await;
    let refused = link.rt.soon(link.client.send("too early")).await.expect_err("the link is down");
    assert_eq!((refused.reason, refused.reason.is_retryable()), (SendErrorKind::Down, true));
    link.client.retry_now();
    link.connected().await;
    link.send("now").await;
    saw_text(&server, "now").await;
    assert_eq!(server.texts(2), ["now"]);
}

/// `send` waits for room, and drops the message if its future is dropped before there is any.
pub async fn send_waits_for_room_and_is_cancel_safe<Rt: Runtime>(rt: Rt) {
    let (server, mut link) =
        start_config(rt, refused_once(), down_with(|outbox| outbox.with_max_messages(1)));
    link.attempt_failed().await;
    link.send("first").await;
    {
        let mut canceled = pin!(link.client.send("canceled"));
        let polled = canceled.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
    let client = link.client.clone();
    let mut waiting = pin!(client.send("second"));
    assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
    link.client.retry_now();
    let accepted = link.rt.soon(waiting).await.expect("there is room now");
    assert_eq!(accepted.receipt, Receipt(2));
    saw_text(&server, "second").await;
    assert_eq!(server.texts(2), ["first", "second"]);
}

/// A stream of messages goes out through a client as a sink, however small the outbox, and the link
/// is closed behind it.
pub async fn a_client_as_a_sink_takes_a_stream_of_messages<Rt: Runtime>(rt: Rt) {
    let outbox = OutboxConfig::default().with_max_messages(2);
    let (server, link) = start_config(rt, Script::echo(), quick().with_outbox(outbox));
    let messages = (0..100).map(|number| Ok(Message::from(number.to_string())));
    link.rt.soon(stream::iter(messages).forward(link.client.sink())).await.expect("a link");
    let all: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(server.texts(1), all);
    let closed = end_of(&server, 1).await;
    assert!(matches!(closed, EventKind::PeerClosed { code: Some(1000), .. }), "{closed:?}");
    assert_eq!(link.client.stats().messages_dropped, 0);
}

/// What a sink holds for want of room is returned if the link is down when it is closed.
pub async fn a_sink_returns_what_it_holds_when_it_closes<Rt: Runtime>(rt: Rt) {
    let config = down_with(|outbox| outbox.with_max_messages(1));
    let (_server, mut link) = start_config(rt, refused_once(), config);
    link.attempt_failed().await;
    let mut sink = link.client.sink();
    link.rt.soon(sink.feed("first".into())).await.expect("room");
    link.rt.soon(sink.feed("second".into())).await.expect("one is held");
    let error = link.rt.soon(SinkExt::<Message>::close(&mut sink)).await.expect_err("no room");
    assert_eq!(error.message, Message::from("second"));
    assert_eq!(error.reason, SendErrorKind::Full);
}

/// First come, first served: a large message that waits for room is not overtaken by small ones,
/// and who gives up makes way for the next.
pub async fn those_who_wait_for_room_are_served_in_their_order<Rt: Runtime>(rt: Rt) {
    let (server, mut link) =
        start_config(rt, refused_once(), down_with(|outbox| outbox.with_max_bytes(100)));
    link.attempt_failed().await;
    link.send(&"1".repeat(60)).await;
    let client = link.client.clone();
    let mut large = Box::pin(client.send("2".repeat(90)));
    let mut small = Box::pin(client.send("3".repeat(20)));
    assert!(poll_fn(|cx| Poll::Ready(large.as_mut().poll(cx).is_pending())).await);
    assert!(
        poll_fn(|cx| Poll::Ready(small.as_mut().poll(cx).is_pending())).await,
        "it stands behind"
    );
    let refused = link.client.try_send("4").expect_err("others wait");
    assert_eq!((refused.reason, refused.message.as_text()), (SendErrorKind::Full, Some("4")));
    let too_big = link.client.try_send("5".repeat(101)).expect_err("never");
    assert!(matches!(too_big.reason, SendErrorKind::TooLarge { .. }), "{too_big}");

    link.client.retry_now();
    assert_eq!(link.rt.soon(large).await.expect("there is room now").receipt, Receipt(2));
    assert_eq!(link.rt.soon(small).await.expect("there is room now").receipt, Receipt(3));
    saw_text(&server, &"3".repeat(20)).await;
    link.client.try_send("6").expect("no other send waits");

    let (_server, mut link) = start_config(
        link.rt.clone(),
        refused_once(),
        down_with(|outbox| outbox.with_max_bytes(100)),
    );
    link.attempt_failed().await;
    link.send(&"1".repeat(60)).await;
    let client = link.client.clone();
    let mut large = Box::pin(client.send("2".repeat(90)));
    let mut small = Box::pin(client.send("3".repeat(20)));
    assert!(poll_fn(|cx| Poll::Ready(large.as_mut().poll(cx).is_pending())).await);
    assert!(poll_fn(|cx| Poll::Ready(small.as_mut().poll(cx).is_pending())).await);
    drop(large);
    assert_eq!(link.rt.soon(small).await.expect("there is room for it").receipt, Receipt(2));
}

/// A waiting `send` returns an error when the link ends.
pub async fn send_that_waits_is_told_of_the_end<Rt: Runtime>(rt: Rt) {
    let (_server, mut link) =
        start_config(rt, refused_once(), down_with(|outbox| outbox.with_max_messages(1)));
    link.attempt_failed().await;
    link.send("first").await;
    let client = link.client.clone();
    let mut waiting = pin!(client.send("second"));
    assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
    link.rt.soon(link.client.close()).await;
    let refused = link.rt.soon(waiting).await.expect_err("the link is closed");
    assert_eq!(
        (refused.reason, refused.message.as_text()),
        (SendErrorKind::Closed, Some("second"))
    );
}

/// A message above the limit closes the transport with 1009; the link comes back.
pub async fn a_message_above_the_limit_is_answered_with_1009<Rt: Runtime>(rt: Rt) {
    let script = Script::new()
        .connection(Connection::new().send_text("x".repeat(1000)).send_text("x".repeat(1001)))
        .then(AfterLast::Echo);
    let (server, mut link) =
        start_with(rt, script, |builder| builder.limits(WireLimits::new(1000, 1 << 20)));
    assert_eq!(link.message().await.len(), 1000);
    let lost = link.disconnected().await;
    assert_eq!(lost.code, Some(1006));
    assert!(matches!(lost.reason, Reason::Failed(_)) && lost.detail.contains("1001"), "{lost:?}");
    let closed = end_of(&server, 1).await;
    assert!(matches!(closed, EventKind::PeerClosed { code: Some(1009), .. }), "{closed:?}");
    assert!(link.connected().await);
}

/// A close frame that has arrived is heeded, although a write fails before it is read: that the
/// peer is gone is no news, and why is.
pub async fn a_close_frame_is_heeded_although_a_write_fails_first<Rt: Runtime>(rt: Rt) {
    let gate = Arc::<Gate>::default();
    let connector = {
        let gate = Arc::clone(&gate);
        move |_| {
            let kicking = Arc::clone(&gate);
            let near = serve_pipe(move |mut peer| {
                while peer.read().is_ok_and(|frame| frame != Frame::text("kick me")) {}
                _ = peer.send(Frame::Close(Some(CloseFrame {
                    code: 4020.into(),
                    reason: "kicked".into(),
                })));
                kicking.torn.store(true, Ordering::SeqCst);
                // The pipe itself stays whole: the gate tears it.
                while peer.read().is_ok() {}
            });
            std::future::ready(Ok(Torn { near, gate: Arc::clone(&gate) }))
        }
    };
    let mut link = spawn(rt, "ws://in.memory/", |builder| builder.connector(connector));
    link.connected().await;
    gate.held.store(true, Ordering::SeqCst);
    link.send("kick me").await;
    link.rt.until("the kick is on its way", || gate.torn.load(Ordering::SeqCst)).await;
    link.send("into the void").await;
    let lost = link.disconnected().await;
    assert_eq!((lost.code, lost.detail.as_str()), (Some(4020), "kicked"));
    assert_eq!(link.closed().await.code(), Some(CloseCode::ADMIN_DISCONNECT));
}

/// An application that looks at no event for long finds one `Sent` for neighbors, not one each:
/// they wait in memory.
pub async fn receipts_of_neighbors_wait_together<Rt: Runtime>(rt: Rt) {
    // It reads, and sends nothing in between.
    let (server, mut link) = start(rt, Connection::new().wait(secs(60)));
    link.connected().await;
    for number in 1..=50_u64 {
        link.send(&number.to_string()).await;
        link.rt.until("it is sent", || link.client.stats().messages_sent == number).await;
    }
    saw_text(&server, "50").await;
    let (first, last) =
        link.until(|event| {
            if let Event::Sent { first, last } = event { Some((first, last)) } else { None }
        })
        .await;
    // The last one may not be reported yet.
    assert!(first == Receipt(1) && last >= Receipt(49), "{first} to {last}");
}

/// Limits of zero are taken for one: a link that reads nothing would be none.
pub async fn an_inbox_has_room_for_one<Rt: Runtime>(rt: Rt) {
    let (_server, mut link) =
        start_with(rt, Script::echo(), |builder| builder.inbox(InboxLimits::new(0, 0)));
    for text in ["one", "two"] {
        link.send(text).await;
        assert_eq!(link.text().await, text);
    }
}

/// Refuses the first attempt in a way that is not tried again for long; then echoes.
fn refused_once() -> Script {
    Script::new().connection(Connection::refuse(404)).then(AfterLast::Echo)
}

fn down_with(change: impl FnOnce(OutboxConfig) -> OutboxConfig) -> SessionConfig {
    let config = quick();
    config.with_outbox(change(config.outbox))
}

fn two_messages(outbox: OutboxConfig) -> OutboxConfig {
    outbox.with_max_messages(2).with_max_bytes(100)
}

/// One message that was dropped.
fn dropped(event: Event) -> Option<(Receipt, DropReason, Message)> {
    let Event::Dropped { first, last, why, mut messages } = event else { return None };
    assert_eq!((first, messages.len()), (last, 1));
    messages.pop().map(|outgoing| (first, why, outgoing.message))
}

/// Three messages for two places: which one goes, and which ones arrive.
async fn overflows<Rt: Runtime>(rt: Rt, overflow: Overflow, goes: &str, arrive: [&str; 2]) {
    let config = down_with(|outbox| two_messages(outbox).with_overflow(overflow));
    let (server, mut link) = start_config(rt, refused_once(), config);
    link.attempt_failed().await;
    let mut receipts = Vec::new();
    for text in ["1", "2", "3"] {
        receipts.push(link.client.try_send(text).expect("it is accepted").receipt);
    }
    assert_eq!(receipts, [Receipt(1), Receipt(2), Receipt(3)]);
    let (receipt, why, message) = link.until(dropped).await;
    assert_eq!(
        (receipt.0.to_string(), why, message.as_text()),
        (goes.to_owned(), DropReason::Overflow, Some(goes))
    );
    link.client.retry_now();
    saw_text(&server, arrive[1]).await;
    assert_eq!(server.texts(2), arrive);
    assert_eq!(link.client.stats().messages_dropped, 1);
}

/// A stream whose connection is torn: what arrived before can be read, but only after a write has
/// failed.
struct Torn {
    near: Near,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    /// Reads wait.
    held: AtomicBool,
    /// Writes fail.
    torn: AtomicBool,
    /// One failed, so reads continue.
    failed: AtomicBool,
    reader: AtomicWaker,
}

impl AsyncRead for Torn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.gate.reader.register(cx.waker());
        if self.gate.held.load(Ordering::SeqCst) && !self.gate.failed.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.near).poll_read(cx, into)
    }
}

impl AsyncWrite for Torn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.gate.torn.load(Ordering::SeqCst) {
            self.gate.failed.store(true, Ordering::SeqCst);
            self.gate.reader.wake();
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.near).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_close(cx)
    }
}
