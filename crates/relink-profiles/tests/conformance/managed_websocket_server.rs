//! The server of `ManagedWebSocket`, and what both sides count and limit.

use std::net::{IpAddr, Ipv4Addr};

use relink::policy::Rate;
use relink::session::OutboxConfig;
use relink::stats::Histogram;
use relink::{CloseCode, CloseFrame, Instant};
use relink_node::{
    Admission, AdmissionConfig, AdmissionErrorKind, HistoryConfig, LivenessConfig, MemoryStore,
    StoreRequest, StoreResponse, Stream,
};
use relink_profiles::managed_websocket::PROFILE;
use relink_sim::{OnDial, millis, secs};
use relink_testing::managed_websocket::{ConnectionManager, Received};

use crate::support::ProfileSim;

fn at(seconds: u64) -> Instant {
    Instant::from_origin(secs(seconds))
}

fn manager() -> ConnectionManager<u32> {
    ConnectionManager::new(LivenessConfig::default(), 1_000_000).unwrap()
}

/// Lets the manager check its connections until `end`; returns which were dead, and when.
fn watch(manager: &mut ConnectionManager<u32>, end: u64) -> Vec<(u64, u32, CloseFrame)> {
    let mut dead = Vec::new();
    while let Some(now) = manager.poll_timeout().filter(|now| *now <= at(end)) {
        manager.handle_timeout(now);
        while let Some((key, frame)) = manager.poll_dead() {
            dead.push(((now - Instant::ORIGIN).as_secs(), key, frame));
        }
    }
    dead
}

#[test]
fn w09_every_new_connection_is_greeted() {
    let mut manager = manager();
    let hello = manager.connected(1, "srv-1", at(5));
    let expected = r#"{"type":"connection_ack","timestamp":1005000,"connectionId":"srv-1"}"#;
    assert_eq!(hello.as_text(), Some(expected));
    assert_eq!((manager.id(&1), manager.len()), (Some("srv-1"), 1));

    // The client received it: its heartbeats carry the id, and the server answers them.
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.peer().send(hello);
    sim.advance(secs(15));
    let heartbeat = sim.heard().pop().unwrap();
    assert!(heartbeat.contains(r#""connectionId":"srv-1""#));
    let Received::Heartbeat(answer) = manager.received(&1, heartbeat.into(), at(20)) else {
        panic!("a heartbeat")
    };
    assert_eq!(answer.as_text(), Some(r#"{"type":"heartbeat_ack","timestamp":1020000}"#));
    sim.peer().send(answer);
    sim.advance(secs(14));
    assert!(sim.state().is_usable());
}

#[test]
fn w10_a_connection_silent_for_30_s_is_closed_with_4000() {
    let mut manager = manager();
    for key in [1, 2] {
        let _ = manager.connected(key, "srv", at(0));
    }
    let mut dead = Vec::new();
    for second in 1..=60 {
        if second % 10 == 5 {
            let _ =
                manager.received(&1, r#"{"type":"heartbeat","timestamp":1}"#.into(), at(second));
        }
        dead.extend(watch(&mut manager, second));
    }
    let frame = CloseFrame::new(CloseCode(4000), "Heartbeat timeout");
    assert_eq!(dead, [(30, 2, frame)], "at the check of 30 s, and none that was heard");
    assert_eq!(manager.len(), 1);
}

#[test]
fn w10_15_s_for_a_client_that_was_suspended() {
    let mut manager = manager();
    let _ = manager.connected(1, "srv", at(0));
    manager.allow_silence(&1, secs(15), at(0));
    let dead: Vec<_> =
        watch(&mut manager, 60).into_iter().map(|(second, key, _)| (second, key)).collect();
    assert_eq!(dead, [(20, 1)], "at the first check after 15 s");
}

#[test]
fn w11_what_cannot_be_read_closes_that_connection_with_1003_and_no_other() {
    let mut manager = manager();
    for key in [1, 2] {
        let _ = manager.connected(key, "srv", at(0));
    }
    for gibberish in ["", "{", "hello", "{\"type\":", "\u{0}"] {
        let Received::Malformed(frame) = manager.received(&1, gibberish.into(), at(1)) else {
            panic!("{gibberish:?} was read")
        };
        assert_eq!(frame, CloseFrame::new(CloseCode(1003), "Invalid message format"));
    }
    let bytes = relink::Message::Binary([0xff, 0xfe][..].to_vec().into());
    assert!(matches!(manager.received(&1, bytes, at(1)), Received::Malformed(_)));
    manager.disconnected(&1);
    let fine = r#"{"text":"hello"}"#;
    assert_eq!(manager.received(&2, fine.into(), at(1)), Received::Data(fine.into()));

    // For the client, 1003 is final.
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.peer().close(1003);
    assert_eq!(sim.word(), "FAILED");
}

#[test]
fn w12_a_shutdown_closes_all_with_1001_and_cleans_up() {
    let mut manager = manager();
    for key in 1..=3 {
        let _ = manager.connected(key, format!("srv-{key}"), at(0));
        manager.subscribe(&key, "lobby".into());
    }
    manager.disconnected(&3);
    assert!(manager.subscribers(&"lobby".into()).eq(&[1, 2]), "what belonged to it went with it");
    let frame = CloseFrame::new(CloseCode(1001), "Server shutting down");
    assert_eq!(manager.shutdown(), [(1, frame.clone()), (2, frame)]);
    assert!(manager.is_empty() && manager.subscribers(&"lobby".into()).next().is_none());
    assert_eq!(
        (manager.poll_timeout(), manager.poll_dead()),
        (None, None),
        "nothing is left to watch"
    );
}

#[test]
fn w15_a_session_goes_on_at_another_node() {
    // The store outlives the node that uses it.
    let mut store = MemoryStore::new(HistoryConfig::default(), 7).unwrap();
    let session = || "session-1".into();
    let own = || Stream::Session(session());
    let created =
        store.answer(StoreRequest::Create { session: session(), user: "ada".into() }, at(0));
    assert!(matches!(created, StoreResponse::Session { generation: 0, .. }));
    let publish = |text: &str| StoreRequest::Publish {
        session: None,
        publications: vec![(own(), text.into())],
    };
    assert_eq!(store.answer(publish("seen"), at(1)), StoreResponse::Done);
    // The first node is gone; a publication for the client is stored all the same.
    assert_eq!(store.answer(publish("missed"), at(2)), StoreResponse::Done);

    // Another node resumes the session.
    let resumed =
        store.answer(StoreRequest::Resume { session: session(), user: "ada".into() }, at(60));
    assert!(
        matches!(resumed, StoreResponse::Session { generation: 1, ref user, .. } if user == "ada"),
        "{resumed:?}"
    );
    let StoreResponse::Read { top, .. } =
        store.answer(StoreRequest::Read { stream: own(), after: None, limit: 0, by: None }, at(60))
    else {
        panic!("a position")
    };
    let after = Some(relink::Position::new(top.epoch, 1));
    let since =
        store.answer(StoreRequest::Read { stream: own(), after, limit: 100, by: None }, at(60));
    let StoreResponse::Read { missed: Some(missed), .. } = since else { panic!("{since:?}") };
    let missed: Vec<_> =
        missed.iter().map(|publication| publication.message.as_text().unwrap()).collect();
    assert_eq!(missed, ["missed"]);
}

#[test]
fn w16_durations_attempts_latencies_and_depths_are_counted() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    for delay in [20, 40, 60, 80] {
        sim.advance(secs(15));
        sim.advance(millis(delay));
        sim.peer().send(r#"{"type":"heartbeat_ack","timestamp":1}"#);
    }
    sim.outage();
    for number in 0..7 {
        sim.send(format!("{number}")).unwrap();
    }
    sim.advance(secs(8));
    sim.peer().on_dial(OnDial::Accept);
    sim.next_dial();
    let stats = sim.machine().stats();
    assert_eq!((stats.connected_for.count(), stats.disconnects), (1, 1));
    assert!(stats.connected_for.quantile(50).unwrap() >= secs(60), "how long connections lasted");
    assert_eq!((stats.dials, stats.failed_attempts), (5, 3), "attempts");
    let percentile = |histogram: &Histogram, percent| histogram.quantile(percent).unwrap();
    assert_eq!(stats.round_trips.count(), 4);
    // 20, 60, 120 and 200 ms; a percentile is never too low, and at most half too high.
    let (median, high) = (percentile(&stats.round_trips, 50), percentile(&stats.round_trips, 99));
    assert!(median >= millis(60) && median <= millis(90), "{median:?}");
    assert!(high >= millis(200) && high <= millis(300), "{high:?}");
    assert_eq!((stats.queued, stats.queued_peak), (0, 7), "depth of the queue");
}

#[test]
fn w20_the_client_limits_its_own_attempts() {
    let mut config = (PROFILE.config)();
    config.link.budget.max_attempts = None;
    config.link.budget.rate = Rate { burst: 3, refill: secs(10) };
    config.outbox = OutboxConfig::default();
    config.link.backoff = config.link.backoff.with_cap(secs(1)).with_curve_cap(None);
    let mut sim = ProfileSim::with(&PROFILE, config);
    sim.up();
    let lost = sim.outage();
    sim.advance(secs(100));
    let dials = sim.dialed_after(lost).len();
    assert!((11..=13).contains(&dials), "two of the burst, then one in 10 s: {dials}");
}

#[test]
fn w20_the_server_limits_new_connections_of_one_address() {
    let rate = Rate { burst: 3, refill: secs(2) };
    let config = AdmissionConfig::default().with_rate_per_address(Some(rate));
    let mut admission = Admission::new(config);
    let one = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let other = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let admitted = (0..10).filter(|_| admission.admit(one, at(0)).is_ok()).count();
    assert_eq!(admitted, 3);
    let refused = admission.admit(one, at(0)).unwrap_err();
    assert_eq!(refused.reason, AdmissionErrorKind::AddressRate);
    assert!(refused.retry_after >= secs(2), "and it says when to come back");
    assert!(admission.admit(other, at(0)).is_ok(), "the others are not concerned");
    assert!(admission.admit(one, at(2)).is_ok());
}
