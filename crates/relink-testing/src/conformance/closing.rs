//! The end of a spawned link: `close`, the last handle, and how long they may take.

use relink_driver::{
    CloseSummary, Runtime,
    relink::{CloseCode, Event, Reason, State, link::Timer},
};

use super::setup::{
    LATE, end_of, ms, noise, quick_link, saw_text, start, start_config, start_with,
};
use crate::{AfterLast, Connection, EventKind, Script};

/// `close` sends what is queued, then 1000, waits for the answer, and returns a summary.
pub async fn e17_close_says_farewell_after_the_flush<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start(rt, Script::echo());
    link.connected().await;
    for number in 0..50 {
        link.send(&number.to_string()).await;
    }
    let CloseSummary { reason, sent, dropped, .. } = link.rt.soon(link.client.close()).await;
    assert_eq!((reason.name(), sent, dropped), ("requested", 50, 0));
    assert_eq!(link.closed().await, reason);
    link.rt.idle().await;
    assert_eq!(server.texts(1).len(), 50);
    assert_eq!(
        end_of(&server, 1).await,
        EventKind::PeerClosed { code: Some(1000), reason: String::new() }
    );
}

/// A code and a reason of one's own reach the server.
pub async fn a_close_can_have_a_code_and_a_reason<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start(rt, Script::echo());
    link.connected().await;
    link.rt.soon(link.client.close_with(CloseCode(4321), "good night")).await;
    let reason = "good night".to_owned();
    assert_eq!(end_of(&server, 1).await, EventKind::PeerClosed { code: Some(4321), reason });
}

/// A code that may not be sent is replaced by the common rule: 1005 is an empty frame, any other
/// becomes 1008.
pub async fn a_close_with_a_code_that_may_not_be_sent_follows_one_rule<Rt: Runtime>(rt: Rt) {
    for (chosen, code) in [(1005, None), (1006, Some(1008)), (999, Some(1008)), (5000, Some(1008))]
    {
        let (server, mut link) = start(rt.clone(), Script::echo());
        link.connected().await;
        link.rt.soon(link.client.close_with(CloseCode(chosen), "why")).await;
        let reason = code.map_or(String::new(), |_| "why".to_owned());
        assert_eq!(end_of(&server, 1).await, EventKind::PeerClosed { code, reason }, "{chosen}");
    }
}

/// A link that is not up yet sends what is queued before it closes.
pub async fn e17_a_close_before_the_link_is_up_sends_what_is_queued<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start(rt, Script::echo());
    link.client.try_send("hello").expect("room");
    let CloseSummary { reason, sent, dropped, .. } = link.rt.soon(link.client.close()).await;
    assert_eq!((reason.name(), sent, dropped), ("requested", 1, 0));
    assert_eq!(link.closed().await, reason);
    assert_eq!(server.texts(1), ["hello"]);
    assert_eq!(
        end_of(&server, 1).await,
        EventKind::PeerClosed { code: Some(1000), reason: String::new() }
    );
    link.rt.idle().await;
}

/// So does one that was lost, although the next attempts fail.
pub async fn a_close_while_the_link_comes_back_sends_what_is_queued<Rt: Runtime>(rt: Rt) {
    let script = Script::new()
        .connection(Connection::new().expect_text("one").close(1001, ""))
        .connection(Connection::refuse(500))
        .connection(Connection::drop_at_once())
        .then(AfterLast::Echo);
    let (server, mut link) = start(rt, script);
    link.send("one").await;
    link.disconnected().await;
    link.client.try_send("two").expect("room");
    let farewell = link.rt.soon(link.client.close_with(CloseCode(4321), "good night")).await;
    assert_eq!((farewell.reason.name(), farewell.sent, farewell.dropped), ("requested", 2, 0));
    link.client.try_send("three").expect_err("it is closed");
    assert_eq!(server.texts(4), ["two"]);
    let reason = "good night".to_owned();
    assert_eq!(end_of(&server, 4).await, EventKind::PeerClosed { code: Some(4321), reason });
}

/// A server that never answers delays the close by at most `flush_timeout`; unsent messages are
/// reported.
pub async fn a_close_that_finds_no_server_lasts_no_longer_than_the_flush<Rt: Runtime>(rt: Rt) {
    let config = quick_link(|link| link.with_flush_timeout(ms(200)));
    let (_server, mut link) = start_config(rt, Connection::blackhole(), config);
    link.client.try_send("never").expect("room");
    let start = link.rt.now();
    let farewell = link.rt.soon(link.client.close()).await;
    let took = link.rt.now() - start;
    assert!((ms(150)..ms(200) + LATE).contains(&took), "{took:?}");
    assert_eq!((farewell.reason.name(), farewell.sent, farewell.dropped), ("requested", 0, 1));
    link.closed().await;
    assert!(link.heard().iter().any(|event| matches!(event, Event::Dropped { .. })));
    link.rt.idle().await;
}

/// The last handle that goes before the link is up leaves nothing behind that was queued, and no
/// task.
pub async fn the_last_handle_sends_what_is_queued_before_the_link_is_up<Rt: Runtime>(rt: Rt) {
    let (server, link) =
        start(rt, Script::new().connection(Connection::refuse(500)).then(AfterLast::Echo));
    link.client.try_send("last words").expect("room");
    let watched = link.rt.clone();
    drop(link);
    watched.idle().await;
    assert_eq!(server.texts(2), ["last words"]);
    assert_eq!(
        end_of(&server, 2).await,
        EventKind::PeerClosed { code: Some(1000), reason: String::new() }
    );
}

/// The last handle that goes closes the link with 1000, after what is queued has gone out; those
/// before it do not.
pub async fn the_last_handle_closes_with_1000_after_the_flush<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start(rt, Script::echo());
    link.connected().await;
    drop(link.client.clone());
    for number in 0..100 {
        link.send(&number.to_string()).await;
    }
    let watched = link.rt.clone();
    drop(link);
    watched.idle().await;
    assert_eq!(
        end_of(&server, 1).await,
        EventKind::PeerClosed { code: Some(1000), reason: String::new() }
    );
    let expected: Vec<_> = (0..100).map(|number: u32| number.to_string()).collect();
    assert_eq!(server.texts(1), expected);
}

/// A link that waits for its next attempt ends with its last handle, too, and leaves no task and no
/// timer.
pub async fn i02_the_last_handle_ends_a_link_that_waits<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start(rt, Script::refuse(404));
    link.attempt_failed().await;
    let watched = link.rt.clone();
    drop(link);
    watched.idle().await;
    assert_eq!(server.connections(), 1);
}

/// Without a listener messages are thrown away as they come, and the link lives on for its clients.
pub async fn a_link_lives_on_when_nobody_listens<Rt: Runtime>(rt: Rt) {
    let (server, link) = start_with(rt, Script::echo(), |builder| {
        builder.inbox(relink_driver::InboxLimits::new(2, 64))
    });
    let (client, watched) = (link.client, link.rt);
    drop(link.events);
    for number in 0..100 {
        watched.soon(client.send(number.to_string())).await.expect("room");
    }
    watched.until("a hundred echoes", || client.stats().messages_received == 100).await;
    server.kill_all();
    watched.until("the way back", || client.stats().connects == 2).await;
    watched.soon(client.send("still here")).await.expect("room");
    saw_text(&server, "still here").await;
    let farewell = watched.soon(client.close()).await;
    assert_eq!((farewell.reason.name(), farewell.sent), ("requested", 101));
    watched.idle().await;
}

/// A peer that does not answer the close frame is waited for as long as `close_timeout`, and no
/// longer.
pub async fn i14_a_close_handshake_has_a_deadline<Rt: Runtime>(rt: Rt) {
    let config = quick_link(|link| link.with_close_timeout(ms(150)));
    let (_server, mut link) = start_config(rt, Connection::new().silent(), config);
    link.connected().await;
    let start = link.rt.now();
    let farewell = link.rt.soon(link.client.close()).await;
    let took = link.rt.now() - start;
    assert!((ms(100)..ms(150) + LATE).contains(&took), "{took:?}");
    assert_eq!(farewell.reason.name(), "requested");
    let reason = link
        .until(|event| match event {
            Event::State { to: State::Closed(_), reason, .. } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, Reason::TimedOut(Timer::Close));
    link.rt.idle().await;
}

/// A flush without progress has a deadline, too; unsent messages are reported and counted.
pub async fn a_close_flushes_for_a_bounded_time<Rt: Runtime>(rt: Rt) {
    let config = quick_link(|link| link.with_flush_timeout(ms(150)).with_close_timeout(ms(150)));
    let config = config.with_outbox(config.outbox.with_max_bytes(64 << 20));
    let (_server, mut link) = start_config(rt, Connection::new().silent(), config);
    link.connected().await;
    let noise = noise(1 << 20);
    for _ in 0..48 {
        link.client.try_send(noise.clone()).expect("room");
    }
    let start = link.rt.now();
    let farewell = link.rt.soon(link.client.close()).await;
    assert!(link.rt.now() - start < ms(300) + LATE);
    assert!(farewell.dropped > 0 && farewell.sent + farewell.dropped == 48, "{farewell:?}");
    link.closed().await;
    let told = link.heard().iter().map(|event| match event {
        Event::Dropped { first, last, .. } => last.0 - first.0 + 1,
        _ => 0,
    });
    assert_eq!(told.sum::<u64>(), farewell.dropped);
}

/// A link whose next attempt would be too late closes at once; queued messages are reported and
/// counted.
pub async fn a_link_that_is_down_closes_at_once<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start(rt, Script::refuse(404));
    link.attempt_failed().await;
    link.send("never").await;
    let farewell = link.rt.soon(link.client.close()).await;
    assert_eq!((farewell.reason.name(), farewell.sent, farewell.dropped), ("requested", 0, 1));
    link.closed().await;
    assert!(link.heard().iter().any(|event| matches!(event, Event::Dropped { .. })));
    link.rt.idle().await;
    assert_eq!(server.connections(), 1);
}

/// `closed` returns at the end, with its reason, whichever side caused it.
pub async fn closed_waits_for_an_end_that_the_server_brings<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start(rt, Script::echo());
    link.connected().await;
    server.close_all(4020, "out");
    let farewell = link.rt.soon(link.client.closed()).await;
    assert_eq!(
        (farewell.reason.name(), farewell.reason.code()),
        ("admin_disconnect", Some(CloseCode(4020)))
    );
}
