//! permessage-deflate (RFC 7692), against a server that does it by other code.
//!
//! That a link behaves alike with it and without is for the whole suite to show, in
//! [`compressed`](super::compressed).

use relink_driver::{
    Builder, DeflateConfig, InboxLimits, Runtime, WireLimits,
    relink::{Failure, Message, Reason, policy::HeartbeatConfig},
};

use super::{
    raw::{Raw, accept},
    setup::{end_of, ms, noise, quick_link, request_of, saw_text, spawn, start_with},
};
use crate::{AfterLast, Connection, EventKind, Script};

const OFFER: &str = "permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits";

fn offering<Rt: Runtime>(builder: Builder<Rt>) -> Builder<Rt> {
    builder.deflate(DeflateConfig::default())
}

/// Messages of every size pass, those that no compression makes smaller among them; and the server
/// may decline.
pub async fn compressed_messages_pass_both_ways<Rt: Runtime>(rt: Rt) {
    for agrees in [true, false] {
        let (server, mut link) = start_with(rt.clone(), Script::echo().deflate(agrees), offering);
        link.connected().await;
        let request = request_of(&server, 1).await;
        assert_eq!(request.header("sec-websocket-extensions"), Some(OFFER));
        for size in [0, 1, 63, 64, 1000, 0xffff, 0x10000, 200_000] {
            let text: String =
                (0..size).map(|number| char::from(b'a' + number as u8 % 5)).collect();
            for message in [Message::from(text), Message::from(noise(size))] {
                link.rt.soon(link.client.send(message.clone())).await.expect("room");
                assert!(link.message().await == message, "{size} bytes were changed");
            }
        }
    }
}

/// A link that asks for nothing offers nothing.
pub async fn compression_is_off_unless_it_is_asked_for<Rt: Runtime>(rt: Rt) {
    let script = Script::echo().deflate(true);
    let server = crate::Server::spawn_thread(script).expect("a server on loopback");
    let mut link = crate::rig::Rig::spawn(rt, &server.url(), |builder| builder);
    link.send("hello").await;
    assert_eq!(link.text().await, "hello");
    assert_eq!(request_of(&server, 1).await.header("sec-websocket-extensions"), None);
}

/// A message that little traffic makes large ends the transport with 1009, and the link comes back.
/// Within the limits, any ratio may be allowed.
pub async fn a_bomb_is_answered_with_1009<Rt: Runtime>(rt: Rt) {
    let script = || {
        let bomb = Connection::new().send_binary(vec![0; 200 << 10]);
        Script::new().deflate(true).connection(bomb).then(AfterLast::Echo)
    };
    // The server works quickly, so that nothing shrinks to less than a hundredth.
    let deflate = DeflateConfig::default().with_max_ratio(Some(50));
    let (server, mut link) = start_with(rt.clone(), script(), |builder| builder.deflate(deflate));
    let lost = link.disconnected().await;
    assert!(lost.detail.contains("more than 50 times"), "{lost:?}");
    let closed = end_of(&server, 1).await;
    assert!(matches!(closed, EventKind::PeerClosed { code: Some(1009), .. }), "{closed:?}");
    assert!(link.connected().await);

    let (_server, mut link) = start_with(rt, script(), |builder| {
        builder.deflate(DeflateConfig::default().with_max_ratio(None))
    });
    assert_eq!(link.message().await.len(), 200 << 10);
}

/// The limit on messages holds for what they become.
pub async fn a_compressed_message_above_the_limit_is_answered_with_1009<Rt: Runtime>(rt: Rt) {
    let sends = |size| Connection::new().send_text("x".repeat(size));
    let script = Script::new().connection(sends(1000).send_text("x".repeat(1001)));
    let (server, mut link) =
        start_with(rt, script.then(AfterLast::Echo).deflate(true), |builder| {
            offering(builder).limits(WireLimits::new(1000, 1000))
        });
    assert_eq!(link.message().await.len(), 1000);
    let lost = link.disconnected().await;
    assert!(lost.detail.contains("1001"), "{lost:?}");
    let closed = end_of(&server, 1).await;
    assert!(matches!(closed, EventKind::PeerClosed { code: Some(1009), .. }), "{closed:?}");
    assert!(link.connected().await);
}

/// One short read that stands for many megabytes goes no further than the inbox has room.
pub async fn a_slow_application_bounds_what_is_decompressed<Rt: Runtime>(rt: Rt) {
    const MESSAGES: u8 = 200;
    const SIZE: usize = 64 << 10;
    let sends = |script: Connection, number| script.send_binary(vec![number; SIZE]);
    let script = (0..MESSAGES).fold(Connection::new(), sends).expect_text("bye").close(1001, "");
    let script = Script::new().deflate(true).connection(script).then(AfterLast::Echo);
    let heartbeat = HeartbeatConfig::default().with_interval(Some(ms(50)));
    let heartbeat = heartbeat.with_timeout(ms(50)).with_missed(20);
    let (server, mut link) = start_with(rt, script, |builder| {
        let config = quick_link(|link| link.with_heartbeat(heartbeat));
        let inbox = InboxLimits::new(2, 64 << 20).with_look_ahead(0);
        offering(builder).config(config).inbox(inbox)
    });
    link.connected().await;
    link.rt.until("some heartbeats", || link.client.stats().pings >= 4).await;
    let read = link.client.stats().messages_received;
    assert!((1..=5).contains(&read), "{read} messages were read for an inbox of two");

    for number in 0..MESSAGES {
        let message = link.message().await;
        assert_eq!((message.len(), message.as_bytes()[0]), (SIZE, number));
    }
    link.send("bye").await;
    saw_text(&server, "bye").await;
    assert_eq!(link.disconnected().await.code, Some(1001));
}

/// An answer that was not offered, or that is impossible, fails the handshake, with the cause.
pub async fn an_answer_that_breaks_the_offer_is_refused<Rt: Runtime>(rt: Rt) {
    for (answer, problem) in [
        (
            accept(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
                b"",
            ),
            "server_no_context_takeover",
        ),
        (
            accept(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_max_window_bits=16\r\n",
                b"",
            ),
            "not offered",
        ),
        (
            accept(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: x-webkit-deflate-frame\r\n",
                b"",
            ),
            "not offered",
        ),
    ] {
        let mut link = spawn(rt.clone(), &Raw::serve(vec![answer]).url, offering);
        let lost = link.attempt_failed().await;
        assert_eq!(lost.reason, Reason::Failed(Failure::NotWebSocket), "{problem}");
        assert!(lost.detail.contains(problem), "{lost:?}");
    }
}

/// What cannot work is refused before the first dial.
pub async fn a_compression_that_cannot_work_is_refused<Rt: Runtime>(rt: Rt) {
    let builder = Builder::new(rt, "ws://in.memory/");
    let built = builder.deflate(DeflateConfig::default().with_window_bits(16)).connect();
    let error = built.expect_err("no window is so large").to_string();
    assert_eq!(error, "deflate.window_bits is 16, but it must be at most 15");
}
