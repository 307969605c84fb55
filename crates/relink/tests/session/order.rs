//! Which messages are sent, in which order, how fast, and which again.

use rand_pcg::Pcg32;
use relink::policy::Rate;
use relink::protocol::Rejection;
use relink::rand_core::SeedableRng;
use relink::session::{OutboxConfig, Overflow, Problem, SendErrorKind};
use relink::{
    Failure, Guarantee, Outgoing, Plain, Priority, Session, SessionConfig, SessionInput,
    Subscription,
};
use relink_v1 as v1;
use relink_v1::ServerFrame;

use crate::support::{connect, connected, connected_with, link, millis, secs, send_all, told};

fn with(outbox: OutboxConfig) -> SessionConfig {
    v1::config().with_outbox(outbox.with_guarantee(Guarantee::AtLeastOnce))
}

#[test]
fn i21_order_survives_reconnects_with_acknowledgements_on() {
    let mut sim = connected();
    send_all(&mut sim, &["a", "b", "c"]);
    assert_eq!(sim.peer().lines(), ["1: a", "2: b", "3: c"]);
    sim.peer().ack(1);
    sim.peer().reset();
    send_all(&mut sim, &["d"]);
    sim.peer().back(2);
    send_all(&mut sim, &["e"]);
    assert_eq!(
        sim.peer().lines(),
        ["3: c", "4: d", "5: e"],
        "with the serial that it had, before anything new"
    );
    sim.peer().ack(5);
    assert_eq!(
        told(&mut sim),
        [
            "acknowledged 1",
            "disconnected 1006: the connection was reset",
            "acknowledged 2",
            "resumed",
            "connected again",
            "acknowledged 3 to 5"
        ]
    );
    assert_eq!(sim.machine().stats().messages_sent, 5);
    assert_eq!(sim.machine().stats().messages_acknowledged, 5);
}

#[test]
fn i21_what_was_acknowledged_rejected_or_dropped_is_never_sent_again() {
    let mut sim = connected_with(with(OutboxConfig::default().with_ttl(Some(secs(2)))));
    send_all(&mut sim, &["taken", "refused", "in flight"]);
    assert_eq!(sim.peer().lines().len(), 3);
    sim.peer().ack(1);
    sim.peer().say(ServerFrame::Rejected(Rejection {
        serial: 2,
        problem: Problem::new("not_handled", ""),
    }));
    sim.peer().reset();
    send_all(&mut sim, &["too late"]);
    sim.advance(secs(3));
    sim.peer().redial();
    sim.peer().welcome_back(2);
    assert_eq!(
        sim.peer().lines(),
        ["3: in flight"],
        "what is in flight does not expire: its fate is the server's"
    );
    let told = told(&mut sim);
    for fate in ["acknowledged 1", "rejected 2: not_handled", "dropped 4: expired"] {
        assert_eq!(told.iter().filter(|event| *event == fate).count(), 1, "{fate}: {told:?}");
    }
}

#[test]
fn i21_what_is_in_flight_counts_against_both_bounds() {
    let mut sim =
        connected_with(with(OutboxConfig::default().with_max_messages(3).with_max_bytes(10)));
    send_all(&mut sim, &["12345", "1234"]);
    assert_eq!(sim.peer().lines().len(), 2);
    let outbox = sim.machine().outbox();
    assert_eq!((outbox.len(), outbox.in_flight(), outbox.bytes()), (0, 2, 9));
    assert_eq!(sim.machine().stats().queued, 2);
    assert_eq!(sim.send("12").unwrap_err().reason, SendErrorKind::Full);
    send_all(&mut sim, &["1"]);
    assert_eq!(sim.send("").unwrap_err().reason, SendErrorKind::Full, "in number");
    sim.peer().ack(1);
    assert_eq!(sim.machine().outbox().bytes(), 5);
    send_all(&mut sim, &["12345"]);
}

#[test]
fn i21_making_room_never_gives_up_what_is_in_flight_and_nothing_in_vain() {
    let outbox = OutboxConfig::default().with_overflow(Overflow::DropOldest).with_in_flight(2);
    let mut sim = connected_with(with(outbox.with_max_messages(4).with_max_bytes(10)));
    send_all(&mut sim, &["1234", "1234", "a", "b"]);
    assert_eq!(sim.peer().lines(), ["1: 1234", "2: 1234"]);
    let refused = sim.send("123").unwrap_err();
    assert_eq!(refused.reason, SendErrorKind::Full, "8 of 10 bytes are in flight");
    assert_eq!(sim.machine().outbox().len(), 2, "and nothing was given up for it");
    assert_eq!(sim.machine().may_send(&"123".into()), Err(SendErrorKind::Full));
    assert_eq!(sim.machine().may_send(&"12".into()), Ok(()));
    send_all(&mut sim, &["c"]);
    assert_eq!(told(&mut sim), ["dropped 3: overflow"]);
    sim.peer().ack(2);
    assert_eq!(sim.peer().lines(), ["3: b", "4: c"]);
}

#[test]
fn i21_room_is_made_by_what_is_no_more_important() {
    let outbox = OutboxConfig::default().with_overflow(Overflow::DropOldest).with_max_messages(3);
    let mut sim = link(with(outbox));
    let high = |text: &str| Outgoing::from(text).with_priority(Priority::High);
    let low = |text: &str| Outgoing::from(text).with_priority(Priority::Low);
    for message in [high("stop 1"), low("at 1"), Outgoing::from("order"), low("at 2")] {
        sim.send(message).unwrap();
    }
    sim.send(high("stop 2")).unwrap();
    assert_eq!(
        told(&mut sim),
        ["dropped 2: overflow", "dropped 4: overflow"],
        "the least important first"
    );
    assert_eq!(sim.send(low("at 3")).unwrap_err().reason, SendErrorKind::Full);
    connect(&mut sim);
    assert_eq!(sim.peer().lines(), ["1: stop 1", "2: stop 2", "3: order"]);
}

#[test]
fn i21_so_many_are_in_flight_and_the_others_wait_for_their_turn() {
    let mut sim = connected_with(with(OutboxConfig::default().with_in_flight(2)));
    send_all(&mut sim, &["a", "b", "c", "d"]);
    assert_eq!(sim.peer().lines(), ["1: a", "2: b"]);
    assert_eq!(sim.deadline(), sim.machine().link().poll_timeout(), "no deadline for that");
    sim.peer().reset();
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), ["1: a", "2: b"], "a reconnect makes no more room");
    sim.peer().ack(1);
    assert_eq!(sim.peer().lines(), ["3: c"]);
}

#[test]
fn i22_nothing_goes_out_before_the_welcome() {
    let mut sim = link(v1::config());
    send_all(&mut sim, &["a"]);
    sim.subscribe("news", Subscription::default());
    sim.connect();
    sim.peer().hello();
    sim.peer().say(ServerFrame::Ack { serial: 1 });
    sim.peer().subscribed("news", 3, true);
    sim.peer().publish(Some("news"), 4, "too early");
    assert!(sim.peer().lines().is_empty() && told(&mut sim).is_empty(), "before the welcome");
    sim.peer().welcome("s1");
    assert_eq!(sim.peer().lines(), ["subscribe news", "1: a"]);
    sim.peer().reset();
    sim.peer().redial();
    assert!(sim.peer().lines().is_empty());
    sim.peer().welcome_back(0);
    assert_eq!(sim.peer().lines(), ["subscribe news", "1: a"]);
}

#[test]
fn i22_what_piled_up_goes_at_its_pace_and_what_is_new_does_not_wait_for_it() {
    let pace = Rate { burst: 2, refill: secs(1) };
    let mut sim = connected_with(with(OutboxConfig::default().with_pace(Some(pace))));
    send_all(&mut sim, &["a", "b", "c"]);
    assert_eq!(sim.peer().lines().len(), 3, "nothing has piled up yet");
    sim.peer().reset();
    send_all(&mut sim, &["d", "e"]);
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), ["1: a", "2: b"], "the burst");
    let at = sim.deadline().unwrap();
    assert_eq!(at, sim.now() + secs(1), "it wants to be woken for the next");
    sim.advance(millis(999));
    assert!(sim.peer().lines().is_empty());
    sim.advance(millis(1));
    assert_eq!(sim.peer().lines(), ["3: c"]);
    send_all(&mut sim, &["f"]);
    sim.send(Outgoing::from("stop").with_priority(Priority::High)).unwrap();
    assert_eq!(sim.peer().lines(), ["4: stop"], "what is new and more important goes at once");
    sim.advance(secs(1));
    sim.send(Outgoing::from("stop").with_priority(Priority::High)).unwrap();
    assert_eq!(sim.peer().lines(), ["5: stop", "6: d"], "and costs what piled up nothing");
    sim.advance(secs(1));
    assert_eq!(
        sim.peer().lines(),
        ["7: e", "8: f"],
        "the last of the backlog, and what was sent since"
    );
    send_all(&mut sim, &["g", "h", "i"]);
    assert_eq!(sim.peer().lines().len(), 3);
    assert_eq!(sim.deadline(), sim.machine().link().poll_timeout());
}

#[test]
fn i22_what_goes_out_again_is_paced_too() {
    let pace = Rate { burst: 1, refill: secs(1) };
    let mut sim = connected_with(with(OutboxConfig::default().with_pace(Some(pace))));
    send_all(&mut sim, &["a", "b"]);
    assert_eq!(sim.peer().lines().len(), 2);
    sim.peer().reset();
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), ["1: a"]);
    sim.advance(secs(1));
    assert_eq!(sim.peer().lines(), ["2: b"]);
}

#[test]
fn i22_what_piled_up_and_expired_paces_nobody() {
    let pace = Rate { burst: 1, refill: secs(60) };
    let outbox = OutboxConfig::default().with_pace(Some(pace)).with_ttl(Some(secs(20)));
    let mut sim = connected_with(with(outbox));
    sim.peer().reset();
    send_all(&mut sim, &["a", "b", "c"]);
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), ["1: a"]);
    sim.advance(secs(20));
    send_all(&mut sim, &["d", "e"]);
    assert_eq!(sim.peer().lines(), ["2: d", "3: e"]);
    assert_eq!(told(&mut sim)[3..], ["dropped 2 to 3: expired"]);
}

#[test]
fn i23_at_most_once_means_not_again() {
    let outbox = OutboxConfig::default().with_guarantee(Guarantee::AtMostOnce);
    let mut sim = connected_with(v1::config().with_outbox(outbox));
    send_all(&mut sim, &["a"]);
    assert_eq!(sim.peer().lines(), ["a"], "no serial, and no acknowledgement is expected");
    assert_eq!(sim.machine().outbox().in_flight(), 0);
    sim.peer().reset();
    send_all(&mut sim, &["b"]);
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), ["b"]);
}

#[test]
fn i23_at_least_once_means_again_with_the_same_serial_until_it_is_acknowledged() {
    let mut sim = connected();
    sim.send(Outgoing::from("a").on("news")).unwrap();
    assert_eq!(sim.peer().lines(), ["1: a on news"]);
    for _ in 0..3 {
        sim.peer().reset();
        sim.peer().back(0);
        assert_eq!(sim.peer().lines(), ["1: a on news"]);
    }
    sim.peer().ack(1);
    sim.peer().reset();
    sim.peer().back(1);
    assert!(sim.peer().lines().is_empty());
}

#[test]
fn i23_no_more_is_promised_than_the_protocol_can_keep() {
    let outbox = OutboxConfig::default().with_guarantee(Guarantee::AtLeastOnce);
    let config = SessionConfig::default().with_outbox(outbox);
    let error =
        Session::new(config, vec!["ws://peer".into()], Plain::default(), Pcg32::seed_from_u64(1));
    let error = error.map(drop).unwrap_err();
    assert_eq!(error.field().to_string(), "outbox.guarantee");
    assert_eq!(
        error.to_string(),
        "outbox.guarantee is at-least-once, but it must be at-most-once: this protocol has no acknowledgements"
    );
}

#[test]
fn priority_overtakes_what_waits_and_not_what_has_a_serial() {
    let mut sim = connected_with(with(OutboxConfig::default().with_in_flight(2)));
    let with = |text: &str, priority| Outgoing::from(text).with_priority(priority);
    send_all(&mut sim, &["a", "b", "c", "d"]);
    assert_eq!(sim.peer().lines(), ["1: a", "2: b"]);
    sim.send(with("low 1", Priority::Low)).unwrap();
    sim.send(with("stop 1", Priority::High)).unwrap();
    sim.send(with("stop 2", Priority::High)).unwrap();
    sim.send(with("low 2", Priority::Low)).unwrap();
    sim.peer().reset();
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), ["1: a", "2: b"]);
    let mut order = Vec::new();
    for serial in [2, 4, 6] {
        sim.peer().ack(serial);
        order.extend(sim.peer().lines());
    }
    assert_eq!(order, ["3: stop 1", "4: stop 2", "5: c", "6: d", "7: low 1", "8: low 2"]);
}

#[test]
fn d08_s05_what_was_sent_while_the_link_was_down_goes_out_in_order() {
    let mut sim = connected();
    sim.peer().reset();
    send_all(&mut sim, &["a", "b"]);
    let (id, failure) = (sim.id(), Failure::Refused);
    sim.handle(SessionInput::Failed { id, failure, detail: String::new(), location: None });
    send_all(&mut sim, &["c"]);
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), ["1: a", "2: b", "3: c"]);
}

#[test]
fn w19_the_application_knows_whether_a_message_goes_now_later_or_not_at_all() {
    let mut sim = link(with(OutboxConfig::default().with_max_messages(2)));
    assert!(sim.send("later").unwrap().queued);
    connect(&mut sim);
    assert!(!sim.send("now").unwrap().queued);
    assert_eq!(sim.peer().lines().len(), 2);
    assert_eq!(sim.send("no").unwrap_err().reason, SendErrorKind::Full);
    sim.peer().ack(2);
    sim.close(1000);
    assert_eq!(sim.send("no").unwrap_err().reason, SendErrorKind::Closed);
}
