//! Is the peer still there? Heartbeats on a link that goes silent, and on one that is only busy.

use std::{
    io::{Read, Write},
    sync::{Arc, Mutex, mpsc},
};

use relink_driver::{
    Builder, InboxLimits, Runtime,
    relink::{
        Backoff, Event, Reason, SessionConfig, StopReason, Verdict,
        link::Hint,
        policy::{Curve, DeadReason, HeartbeatConfig, Jitter},
    },
};
use tokio_tungstenite::tungstenite::{Message as Frame, protocol::CloseFrame};

use super::{
    pipe::{Near, Peer, serve_pipe},
    setup::{LATE, ms, noise, quick, quick_link, saw, secs, spawn, start_config, start_with},
};
use crate::rig::{Observed, Rig};
use crate::{AfterLast, Connection, EventKind, Script};

/// A silent peer is found within interval + timeout, and dialed again at once, without waiting for
/// its answer to a close frame.
pub async fn w22_a_half_open_link_is_found_in_time_and_dialed_again_at_once<Rt: Runtime>(rt: Rt) {
    let script = Script::new().connection(Connection::new().silent()).then(AfterLast::Echo);
    let config = quick_link(|link| {
        link.with_heartbeat(beats(150)).with_stable_after(ms(20)).with_close_timeout(secs(60))
    });
    let (server, mut link) = start_config(rt, script, config);
    link.connected().await;
    let connected = link.rt.now();
    let lost = link.disconnected().await;
    let found = link.rt.now();
    assert!((ms(250)..ms(300) + LATE).contains(&(found - connected)), "{:?}", found - connected);
    assert_eq!((lost.code, lost.reason), (Some(1006), Reason::Dead(DeadReason::Heartbeat)));
    // It was stable, so the first attempt is free of any delay.
    lost.assert_retry_in(ms(0), ms(0));
    assert!(link.connected().await);
    assert!(link.rt.now() - found < LATE, "{:?}", link.rt.now() - found);
    let stats = link.client.stats();
    assert_eq!((server.connections(), stats.heartbeats_lost, stats.disconnects), (2, 1, 1));
}

/// A peer that is believed dead is sent a close frame with 4000 in case it is not: a code that ends
/// no session.
pub async fn i13_a_peer_that_is_believed_dead_is_told_4000<Rt: Runtime>(rt: Rt) {
    let (found, told) = (mpsc::channel(), mpsc::channel());
    let (found_tx, found_rx) = (found.0, Mutex::new(found.1));
    let (told_tx, told_rx) = told;
    let play = Arc::new(move |mut peer: Peer| {
        // Reads nothing before the link was found dead, and everything that was written then.
        let waited = found_rx.lock().map(|found| found.recv());
        while let Ok(frame) = peer.read() {
            _ = told_tx.send(frame);
        }
        drop(waited);
    });
    let config = quick_link(|link| link.with_heartbeat(beats(60)));
    let mut link = piped(rt, config, play);
    link.connected().await;
    assert!(matches!(link.disconnected().await.reason, Reason::Dead(_)));
    found_tx.send(()).expect("the server waits");
    let Ok(Frame::Ping(_)) = told_rx.recv_timeout(LATE) else { panic!("no ping came first") };
    let Ok(Frame::Close(Some(close))) = told_rx.recv_timeout(LATE) else {
        panic!("no close frame came")
    };
    assert_eq!(u16::from(close.code), 4000);
}

/// An error found by this side is retried, whatever the table for the peer's codes.
pub async fn i13_a_lost_heartbeat_does_not_pass_through_the_table<Rt: Runtime>(rt: Rt) {
    let config = quick_link(|mut link| {
        let stop = Verdict::Stop(StopReason::POLICY_VIOLATION);
        for code in [1006, 4000] {
            link.close_policy.set_close(code..=code, stop).expect("room for an edit");
        }
        link.with_heartbeat(beats(50))
    });
    let script = Script::new().connection(Connection::new().silent()).then(AfterLast::Echo);
    let (_server, mut link) = start_config(rt, script, config);
    link.connected().await;
    assert!(link.disconnected().await.retry_in.is_some());
    assert!(link.connected().await);
}

/// Pings are sent and answered, and the round trips are measured.
pub async fn pings_are_answered_and_timed<Rt: Runtime>(rt: Rt) {
    let config = quick_link(|link| {
        link.with_heartbeat(HeartbeatConfig::default().with_interval(Some(ms(20))))
    });
    let (server, mut link) = start_config(rt, Script::echo(), config);
    link.connected().await;
    link.rt.until("three round trips", || link.client.stats().round_trips.count() >= 3).await;
    let stats = link.client.stats();
    assert!(stats.pings >= 3 && stats.last_round_trip.is_some_and(|took| took < LATE), "{stats:?}");
    saw(&server, |event| matches!(event.kind, EventKind::Ping(_))).await;
    assert_eq!(server.connections(), 1);
}

/// The peer's pings are answered, with what they carried.
pub async fn the_peers_pings_are_answered<Rt: Runtime>(rt: Rt) {
    let (server, _link) = start_config(rt, Connection::new().ping().ping(), quick());
    saw(&server, |event| event.kind == EventKind::Pong(b"relink-testing".to_vec())).await;
}

/// Anything that arrives counts as life, and keeps no ping from going out.
pub async fn i12_traffic_is_life_and_starves_no_ping<Rt: Runtime>(rt: Rt) {
    // A server that talks, and never answers a ping.
    let (word_tx, word_rx) = mpsc::channel();
    let word_rx = Mutex::new(word_rx);
    let play = Arc::new(move |mut peer: Peer| {
        let words = word_rx.lock().expect("one server at a time");
        while let Ok(word) = words.recv() {
            _ = peer.send(Frame::text(word));
        }
    });
    let config = quick_link(|link| link.with_heartbeat(beats(100)));
    let mut link = piped(rt, config, play);
    link.connected().await;
    for word in 0..20 {
        link.rt.pass(ms(25)).await;
        word_tx.send(word.to_string()).expect("the server listens");
        assert_eq!(link.text().await, word.to_string());
    }
    let stats = link.client.stats();
    assert!(stats.pings >= 2 && stats.disconnects == 0, "{stats:?}");
}

/// The watchdog needs no pings: after this silence the link is dead.
pub async fn m13_the_watchdog_finds_a_silent_link<Rt: Runtime>(rt: Rt) {
    let heartbeat = HeartbeatConfig::default().with_interval(None).with_watchdog(Some(ms(150)));
    let script = Script::new().connection(Connection::new().silent()).then(AfterLast::Echo);
    let (_server, mut link) =
        start_config(rt, script, quick_link(|link| link.with_heartbeat(heartbeat)));
    link.connected().await;
    let connected = link.rt.now();
    assert_eq!(link.disconnected().await.reason, Reason::Dead(DeadReason::Watchdog));
    assert!((ms(100)..ms(150) + LATE).contains(&(link.rt.now() - connected)));
    assert!(link.connected().await);
}

/// A hint that the machine woke up checks the link at once, with a short deadline.
pub async fn m14_a_wake_up_checks_the_link<Rt: Runtime>(rt: Rt) {
    let heartbeat = HeartbeatConfig::default().with_probe(ms(100));
    let script = Script::new().connection(Connection::new().silent()).then(AfterLast::Echo);
    let (_server, mut link) =
        start_config(rt, script, quick_link(|link| link.with_heartbeat(heartbeat)));
    link.connected().await;
    link.client.hint(Hint::Wake);
    let asked = link.rt.now();
    assert_eq!(link.disconnected().await.reason, Reason::Dead(DeadReason::Probe));
    assert!(link.rt.now() - asked < ms(100) + LATE);
    // A link that answers survives the same hint.
    assert!(link.connected().await);
    link.client.hint(Hint::Wake);
    link.rt.until("the answer", || link.client.stats().round_trips.count() == 1).await;
    assert!(link.client.state().is_usable());
}

/// A machine is suspended for a night, which its clock counts. An expired message is not sent in
/// the morning, a later one is.
pub async fn i21_a_message_does_not_outlive_a_suspension<Rt: Runtime>(rt: Rt) {
    let waits =
        Backoff::default().with_curve(Curve::Fixed { delay: secs(20) }).with_jitter(Jitter::None);
    let script = Script::new().connection(Connection::refuse(503)).then(AfterLast::Echo);
    let hour = secs(60 * 60);
    let config = quick_link(|link| link.with_backoff(waits));
    let outbox = config.outbox.with_ttl(Some(hour));
    let (server, mut link) = start_config(rt, script, config.with_outbox(outbox));
    link.attempt_failed().await;
    link.client.try_send("stale").expect("it is queued");
    link.rt.suspend(8 * hour);
    link.client.try_send("fresh").expect("it is queued");
    link.client.hint(Hint::Wake);
    assert_eq!(link.text().await, "fresh");
    assert_eq!(server.texts(2), ["fresh"]);
    assert_eq!(link.client.stats().messages_dropped, 1);
}

/// A slow application slows the peer: the socket is not read, so the server has to wait. The peer
/// does not count as dead, and once the application continues, all messages arrive in order.
pub async fn a_slow_application_slows_the_peer_and_loses_nothing<Rt: Runtime>(rt: Rt) {
    const MESSAGES: u8 = 24;
    let noise = noise(1 << 20);
    let messages = |script: Connection, number| {
        let mut message = noise.clone();
        message[0] = number;
        script.send_binary(message)
    };
    let script = (0..MESSAGES).fold(Connection::new(), messages).close(1001, "all said");
    let (server, mut link) =
        start_with(rt, Script::new().connection(script).then(AfterLast::Echo), |builder| {
            let config = quick_link(|link| link.with_heartbeat(beats(50)));
            builder.config(config).inbox(InboxLimits::new(2, 64 << 20))
        });
    link.connected().await;
    // The application looks away for several times interval + timeout.
    link.rt.until("some heartbeats", || link.client.stats().pings >= 6).await;
    assert!(link.client.stats().messages_received < 4, "the inbox is bounded");
    assert!(
        !server.events().iter().any(|event| event.kind.is_end()),
        "the server is still sending"
    );

    for number in 0..MESSAGES {
        let message = link.message().await;
        assert_eq!((message.len(), message.as_bytes()[0]), (1 << 20, number));
    }
    assert_eq!(link.disconnected().await.code, Some(1001));
    assert_eq!(link.client.stats().heartbeats_lost, 0);
}

/// The application is behind, and its inbox is full: the peer's pings are answered all the same,
/// and its close frame is heeded.
pub async fn control_frames_are_heeded_while_the_inbox_is_full<Rt: Runtime>(rt: Rt) {
    let play = |mut peer: Peer| {
        for text in ["one", "two", "three"] {
            _ = peer.send(Frame::text(text));
        }
        _ = peer.send(Frame::Ping("are you there".into()));
        while peer.read().is_ok_and(|frame| frame != Frame::Pong("are you there".into())) {}
        _ = peer.send(Frame::text("four"));
        _ = peer.send(Frame::Close(Some(CloseFrame { code: 4020.into(), reason: "out".into() })));
        while peer.read().is_ok() {}
    };
    let play = Arc::new(play);
    let mut link = piped_with(rt, quick(), play, |builder| builder.inbox(InboxLimits::new(1, 64)));
    let farewell = link.rt.soon(link.client.closed()).await;
    assert_eq!(farewell.reason.name(), "admin_disconnect", "no event was taken");
    for text in ["one", "two", "three", "four"] {
        assert_eq!(link.text().await, text);
    }
    link.closed().await;
}

/// Bytes are life: one of them for each ping, of a message that is whole or in parts, beneath no
/// heartbeat's answer.
pub async fn i12_a_message_that_takes_long_to_arrive_is_life<Rt: Runtime>(rt: Rt) {
    let whole = [0x81, 4, b's', b'l', b'o', b'w'];
    let parts = [0x01, 2, b's', b'l', 0x80, 2, b'o', b'w'];
    let play = Arc::new(move |mut peer: Peer| {
        let stream = peer.get_mut();
        for byte in whole.into_iter().chain(parts) {
            if stream.read(&mut [0; 256]).is_err() || stream.write_all(&[byte]).is_err() {
                return;
            }
        }
        while stream.read(&mut [0; 256]).is_ok_and(|count| count > 0) {}
    });
    let mut link = piped(rt, quick_link(|link| link.with_heartbeat(beats(100))), play);
    link.connected().await;
    assert_eq!((link.text().await, link.text().await), ("slow".to_owned(), "slow".to_owned()));
    let stats = link.client.stats();
    assert!(stats.pings >= 14 && stats.heartbeats_lost == 0 && stats.disconnects == 0, "{stats:?}");
}

/// A message may be given a time to arrive in; pongs do not extend it.
pub async fn a_message_that_takes_longer_than_it_may_ends_the_transport<Rt: Runtime>(rt: Rt) {
    let play = Arc::new(move |mut peer: Peer| {
        let stream = peer.get_mut();
        // A first part, and then nothing but pongs.
        _ = stream.write_all(&[0x01, 2, b's', b'l']);
        while stream.read(&mut [0; 256]).is_ok_and(|count| count > 0) {
            _ = stream.write_all(&[0x8a, 0]);
        }
    });
    let heartbeat = beats(60).with_message_timeout(Some(ms(300)));
    let mut link = piped(rt, quick_link(|link| link.with_heartbeat(heartbeat)), play);
    link.connected().await;
    assert_eq!(link.disconnected().await.reason, Reason::Dead(DeadReason::Message));
    assert!(link.client.stats().pings >= 2);
}

/// A server that accepts and closes at once is dialed with growing delays: open is not stable.
pub async fn i05_a_flapping_server_meets_growing_delays<Rt: Runtime>(rt: Rt) {
    let config = quick_link(|link| {
        let backoff = Backoff::default()
            .with_curve(Curve::Exponential { initial: ms(50), factor_pct: 200 })
            .with_jitter(Jitter::Equal)
            .with_floor(ms(20))
            .with_cap(ms(400));
        link.with_backoff(backoff)
    });
    let (server, mut link) = start_config(rt, Script::close_with(1001, ""), config);
    for curve in [50, 100, 200, 400, 400] {
        link.disconnected().await.assert_retry_in(ms(curve / 2), ms(curve));
    }
    assert_eq!(server.connections(), 5);
}

/// A loss is reported once, although the socket fails and ends, after its last message.
pub async fn i15_a_loss_is_told_once_and_after_the_last_message<Rt: Runtime>(rt: Rt) {
    let script = Script::new()
        .connection(Connection::new().send_text("last words").reset())
        .then(AfterLast::Echo);
    let (_server, mut link) = start_config(rt, script, quick());
    link.connected().await;
    link.connected().await;
    let order: Vec<_> = link
        .heard()
        .iter()
        .filter_map(|event| match event {
            Event::Connected { .. } => Some("connected"),
            Event::Message(_) => Some("message"),
            Event::Disconnected { .. } => Some("disconnected"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["connected", "message", "disconnected", "connected"]);
    assert_eq!(link.client.stats().disconnects, 1);
}

/// Pings this often, with as long for the answer.
fn beats(millis: u64) -> HeartbeatConfig {
    HeartbeatConfig::default().with_interval(Some(ms(millis))).with_timeout(ms(millis))
}

/// A link over pipes, each served by a thread that plays this.
fn piped<Rt: Runtime>(
    rt: Rt,
    config: SessionConfig,
    play: Arc<impl Fn(Peer) + Send + Sync + 'static>,
) -> Rig<Rt> {
    piped_with(rt, config, play, |builder| builder)
}

/// The same with a builder to change.
fn piped_with<Rt: Runtime>(
    rt: Rt,
    config: SessionConfig,
    play: Arc<impl Fn(Peer) + Send + Sync + 'static>,
    change: impl FnOnce(Builder<Observed<Rt>>) -> Builder<Observed<Rt>>,
) -> Rig<Rt> {
    spawn(rt, "ws://in.memory/", move |builder| {
        change(builder).config(config).connector(move |_| {
            let play = Arc::clone(&play);
            std::future::ready(std::io::Result::<Near>::Ok(serve_pipe(move |peer| play(peer))))
        })
    })
}
