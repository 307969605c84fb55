//! The eight tests of Metered's best practices for reconnects, on real sockets with the
//! profile's link, against a server that speaks its protocol. Only durations are shortened, if
//! nothing else is said.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks the events that it is about")]

mod setup;

use relink_profiles::metered::{config, error_name};
use relink_testing::proxy::{Direction, Fault};
use relink_tokio::Event;
use relink_tokio::relink::link::{Hint, StatusChange};
use relink_tokio::relink::session::PresenceEvent;
use relink_tokio::relink::{CloseCode, Outgoing, Verdict};
use setup::{Person, Service, ms, quick};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The banner appears and is hidden; what the application sent meanwhile arrives.
#[tokio::test]
async fn m24_brief_drop_the_banner_comes_and_goes_and_what_was_sent_meanwhile_arrives() {
    let service = Service::start().await;
    let mut ada = Person::in_room(&service, quick()).await;
    let mut bob = Person::in_room(&service, quick()).await;

    ada.cut();
    let lost = ada.disconnected().await;
    assert_eq!(lost.code, Some(1006));
    assert!(lost.retry_in.is_some());
    ada.client.send(Outgoing::from("hello").on("room")).await.expect("it may wait");
    ada.shows(StatusChange::Banner(true)).await;
    assert!(!ada.has_shown(StatusChange::Stuck(true)));

    ada.mend();
    assert!(ada.connected().await, "it was here before");
    bob.hears("hello").await;
    assert!(!ada.subscribed().await, "the channel is back, and says that something may be missing");
    ada.shows(StatusChange::Banner(false)).await;
    assert!(!ada.has_shown(StatusChange::Stuck(true)));
}

/// Nothing says that the network is gone, but silence. The stuck notice appears, and it recovers
/// cleanly.
#[tokio::test]
async fn m24_long_drop_is_found_by_its_silence_says_that_it_is_stuck_and_recovers() {
    let service = Service::start().await;
    let mut ada = Person::in_room(&service, quick()).await;
    ada.network.set(Fault::Hole(Direction::Both));
    assert_eq!(ada.disconnected().await.code, Some(1006));
    ada.shows(StatusChange::Stuck(true)).await;
    assert!(ada.has_shown(StatusChange::Banner(true)), "before it");

    ada.mend();
    assert!(ada.connected().await);
    ada.shows(StatusChange::Stuck(false)).await;
    assert!(!ada.subscribed().await);
    ada.client.send(Outgoing::from("back").on("room")).await.expect("it is up");
    ada.hears("back").await;
}

/// An administrator decides: 4020 is told, and nothing is tried again.
#[tokio::test]
async fn m24_server_initiated_close_is_the_end() {
    let service = Service::start().await;
    let mut ada = Person::in_room(&service, quick()).await;
    assert_eq!(service.server.close_all(4020, "kicked"), 1);
    let lost = ada.disconnected().await;
    assert_eq!((lost.code, lost.retry_in), (Some(4020), None));
    let end = ada.closed().await;
    assert_eq!((error_name(end), end.code()), ("admin_disconnect", Some(CloseCode(4020))));
    assert_eq!(service.server.connections(), 1, "no retry");
}

/// 4002: it comes back with a fresh token.
#[tokio::test]
async fn m24_token_expiry_brings_a_fresh_token() {
    let service = Service::start().await;
    let mut ada = Person::in_room(&service, quick()).await;
    assert_eq!(service.token_of(1).await, "token-1");
    service.door().expired.insert("token-1".to_owned());
    service.server.close_all(4002, "token expired");
    let lost = ada.disconnected().await;
    assert_eq!(lost.code, Some(4002));
    assert!(lost.retry_in.is_some());
    assert!(ada.connected().await);
    assert!(!ada.subscribed().await);
    assert_eq!(service.token_of(2).await, "token-2");
    assert_eq!(service.server.connections(), 2, "the first attempt was the right one");
}

/// The link is lost, the attempt after it is refused with 4001: log in again.
#[tokio::test]
async fn m24_token_revocation_ends_at_the_next_attempt() {
    let service = Service::start().await;
    let mut ada = Person::in_room(&service, quick()).await;
    service.door().is_revoked = true;
    service.server.kill_all();
    assert_eq!(ada.disconnected().await.code, Some(1006));
    assert_eq!(ada.attempt_failed().await.retry_in, None, "no retry");
    let end = ada.closed().await;
    assert_eq!((error_name(end), end.code()), ("invalid_token", Some(CloseCode(4001))));
    assert!(end.advice().contains("log in again"), "{}", end.advice());
    assert_eq!(service.server.connections(), 2);
}

/// A data channel does not survive its peer's connection. Each → connected opens another one, and
/// data flows again.
#[tokio::test]
async fn m24_data_channel_reopen_on_every_reconnect() {
    let service = Service::start().await;
    let mut ada = Person::in_room(&service, quick()).await;
    let mut bob = Person::in_room(&service, quick()).await;
    let mut dead: Option<TcpStream> = None;
    for cycle in 0..3 {
        if cycle > 0 {
            bob.cut();
            bob.disconnected().await;
            ada.until(left).await;
            bob.mend();
            assert!(bob.connected().await);
            bob.subscribed().await;
        }
        // The one who stayed offers, to the peer that came; over the signalling link, as offers go.
        let peer = ada.sees_join().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let offer = listener.local_addr().expect("it is bound").port();
        ada.client
            .send(Outgoing::from(offer.to_string()).on(format!("@{peer}")))
            .await
            .expect("it is up");
        let port = bob.until(direct).await;
        assert_eq!(port, offer);
        let mut near = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
        let (mut far, _) = listener.accept().await.expect("a connection comes");

        near.write_all(b"data").await.expect("the channel is open");
        let mut data = [0; 4];
        far.read_exact(&mut data).await.expect("it flows");
        assert_eq!(&data, b"data");
        drop(near);
        if let Some(mut handle) = dead.replace(far) {
            assert_eq!(
                handle.read(&mut data).await.expect("an end"),
                0,
                "a handle from before is dead"
            );
        }
    }
    assert_eq!(bob.client.stats().connects, 3);
}

fn left(event: Event) -> Option<()> {
    matches!(event, Event::Presence { change: PresenceEvent::Left(_), .. }).then_some(())
}

/// A port, from another peer.
fn direct(event: Event) -> Option<u16> {
    let Event::Message(message) = event else { return None };
    let (_, data) = message.as_text()?.rsplit_once(r#""data":"#)?;
    data.trim_end_matches('}').parse().ok()
}

/// One too many: 4010, slowly again and again, until one frees.
#[tokio::test]
async fn m24_concurrent_cap_is_waited_for() {
    let service = Service::start().await;
    service.door().cap = 1;
    let mut first = Person::in_room(&service, quick()).await;

    // The profile's own delays.
    let mut second = Person::new(&service, config()).await;
    assert!(second.attempt_failed().await.retry_in() >= ms(30_000));
    second.client.retry_now();
    assert!(second.attempt_failed().await.retry_in() >= ms(30_000), "a floor under all of them");

    // The same with a floor that a test can wait for.
    let mut short = quick();
    let slow = Verdict::RetrySlow { floor: ms(150) };
    short.link.close_policy.set_close(4010..=4010, slow).expect("there is room");
    let mut third = Person::new(&service, short).await;
    for _ in 0..3 {
        assert!(third.attempt_failed().await.retry_in() >= ms(150));
    }
    drop(first.client.close());
    first.closed().await;
    assert!(!third.connected().await, "for the first time, by itself");
}

/// A machine that sleeps sees nothing: neither what arrived before, nor that the server is not
/// there any more. Back in the foreground it looks, and is connected within moments.
#[tokio::test]
async fn m24_backgrounded_tab_is_back_within_seconds_of_its_return() {
    let service = Service::start().await;
    // No heartbeat would find it in time; the hint does.
    let mut config = quick();
    config.link.heartbeat =
        config.link.heartbeat.with_interval(Some(ms(60_000))).with_watchdog(None);
    let mut ada = Person::in_room(&service, config).await;
    let mut bob = Person::in_room(&service, quick()).await;
    ada.sees_join().await;

    // Events are not read in the background: they wait.
    let words = ["one", "two", "three"];
    let before = ada.client.stats().messages_received;
    for word in words {
        bob.client.send(Outgoing::from(word).on("room")).await.expect("it is up");
        bob.hears(word).await;
    }
    ada.takes_in(3, before).await;
    ada.network.set_on(1, Fault::Hole(Direction::Both));

    let foreground = tokio::time::Instant::now();
    ada.client.hint(Hint::Wake);
    for word in words {
        ada.hears(word).await;
    }
    assert_eq!(ada.disconnected().await.code, Some(1006));
    assert!(ada.connected().await);
    assert!(!ada.subscribed().await, "what was said in between is not there, and that is told");
    assert!(foreground.elapsed() < ms(5_000), "{:?}", foreground.elapsed());
    bob.client.send(Outgoing::from("four").on("room")).await.expect("it is up");
    ada.hears("four").await;
}
