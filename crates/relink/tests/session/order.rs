//! I21, I22, I23: what goes out, in which order, how fast, and what goes out again.

use rand_pcg::Pcg32;
use relink::policy::Rate;
use relink::protocol::Rejection;
use relink::rand_core::SeedableRng;
use relink::session::{OutboxConfig, Overflow, Problem, SendErrorKind};
use relink::{Failure, Guarantee, Outgoing, Plain, Priority, Session, SessionConfig, SessionInput};
use relink_v1 as v1;
use relink_v1::ServerFrame;

use crate::desk::{Desk, millis, secs};

fn with(outbox: OutboxConfig) -> SessionConfig {
    v1::config().with_outbox(outbox.with_guarantee(Guarantee::AtLeastOnce))
}

#[test]
fn i21_order_survives_reconnects_with_acknowledgements_on() {
    let mut desk = Desk::connected();
    desk.send_all(&["a", "b", "c"]);
    assert_eq!(desk.heard(), ["1: a", "2: b", "3: c"]);
    desk.ack(1);
    desk.lose();
    desk.send_all(&["d"]);
    desk.back(2);
    desk.send_all(&["e"]);
    assert_eq!(
        desk.heard(),
        ["3: c", "4: d", "5: e"],
        "with the serial that it had, before anything new"
    );
    desk.ack(5);
    assert_eq!(
        desk.told(),
        [
            "acknowledged 1",
            "disconnected 1006: ",
            "acknowledged 2",
            "resumed",
            "connected again",
            "acknowledged 3 to 5"
        ]
    );
    assert_eq!(desk.session.stats().messages_sent, 5);
    assert_eq!(desk.session.stats().messages_acknowledged, 5);
}

#[test]
fn i21_what_was_acknowledged_rejected_or_dropped_is_never_sent_again() {
    let mut desk = Desk::connected_with(with(OutboxConfig::default().with_ttl(Some(secs(2)))));
    desk.send_all(&["taken", "refused", "in flight"]);
    assert_eq!(desk.heard().len(), 3);
    desk.ack(1);
    desk.say(ServerFrame::Rejected(Rejection {
        serial: 2,
        problem: Problem::new("not_handled", ""),
    }));
    desk.lose();
    desk.send_all(&["too late"]);
    desk.sleep(secs(3));
    desk.redial();
    desk.welcome_back(2);
    assert_eq!(
        desk.heard(),
        ["3: in flight"],
        "what is in flight does not expire: its fate is the server's"
    );
    let told = desk.told();
    for fate in ["acknowledged 1", "rejected 2: not_handled", "dropped 4: expired"] {
        assert_eq!(told.iter().filter(|event| *event == fate).count(), 1, "{fate}: {told:?}");
    }
}

#[test]
fn i21_what_is_in_flight_counts_against_both_bounds() {
    let mut desk =
        Desk::connected_with(with(OutboxConfig::default().with_max_messages(3).with_max_bytes(10)));
    desk.send_all(&["12345", "1234"]);
    assert_eq!(desk.heard().len(), 2);
    let outbox = desk.session.outbox();
    assert_eq!((outbox.len(), outbox.in_flight(), outbox.bytes()), (0, 2, 9));
    assert_eq!(desk.session.stats().queued, 2);
    assert_eq!(desk.send("12").unwrap_err().reason, SendErrorKind::Full);
    desk.send_all(&["1"]);
    assert_eq!(desk.send("").unwrap_err().reason, SendErrorKind::Full, "in number");
    desk.ack(1);
    assert_eq!(desk.session.outbox().bytes(), 5);
    desk.send_all(&["12345"]);
}

#[test]
fn i21_making_room_never_gives_up_what_is_in_flight_and_nothing_in_vain() {
    let outbox = OutboxConfig::default().with_overflow(Overflow::DropOldest).with_in_flight(2);
    let mut desk = Desk::connected_with(with(outbox.with_max_messages(4).with_max_bytes(10)));
    desk.send_all(&["1234", "1234", "a", "b"]);
    assert_eq!(desk.heard(), ["1: 1234", "2: 1234"]);
    let refused = desk.send("123").unwrap_err();
    assert_eq!(refused.reason, SendErrorKind::Full, "8 of 10 bytes are in flight");
    assert_eq!(desk.session.outbox().len(), 2, "and nothing was given up for it");
    assert_eq!(desk.session.may_send(&"123".into()), Err(SendErrorKind::Full));
    assert_eq!(desk.session.may_send(&"12".into()), Ok(()));
    desk.send_all(&["c"]);
    assert_eq!(desk.told(), ["dropped 3: overflow"]);
    desk.ack(2);
    assert_eq!(desk.heard(), ["3: b", "4: c"]);
}

#[test]
fn i21_room_is_made_by_what_is_no_more_important() {
    let outbox = OutboxConfig::default().with_overflow(Overflow::DropOldest).with_max_messages(3);
    let mut desk = Desk::with(with(outbox));
    let high = |text: &str| Outgoing::from(text).with_priority(Priority::High);
    let low = |text: &str| Outgoing::from(text).with_priority(Priority::Low);
    for message in [high("stop 1"), low("at 1"), Outgoing::from("order"), low("at 2")] {
        desk.send(message).unwrap();
    }
    desk.send(high("stop 2")).unwrap();
    assert_eq!(
        desk.told(),
        ["dropped 2: overflow", "dropped 4: overflow"],
        "the least important first"
    );
    assert_eq!(desk.send(low("at 3")).unwrap_err().reason, SendErrorKind::Full);
    desk.connect();
    assert_eq!(desk.heard(), ["1: stop 1", "2: stop 2", "3: order"]);
}

#[test]
fn i21_so_many_are_in_flight_and_the_others_wait_for_their_turn() {
    let mut desk = Desk::connected_with(with(OutboxConfig::default().with_in_flight(2)));
    desk.send_all(&["a", "b", "c", "d"]);
    assert_eq!(desk.heard(), ["1: a", "2: b"]);
    assert_eq!(
        desk.session.poll_timeout(),
        desk.session.link().poll_timeout(),
        "no deadline for that"
    );
    desk.lose();
    desk.back(0);
    assert_eq!(desk.heard(), ["1: a", "2: b"], "a reconnect makes no more room");
    desk.ack(1);
    assert_eq!(desk.heard(), ["3: c"]);
}

#[test]
fn i22_nothing_goes_out_before_the_welcome() {
    let mut desk = Desk::with(v1::config());
    desk.send_all(&["a"]);
    desk.subscribe("news");
    desk.give(SessionInput::Connect);
    desk.open();
    desk.say(ServerFrame::Ack { serial: 1 });
    desk.subscribed("news", 3, true);
    desk.publish(Some("news"), 4, "too early");
    assert!(desk.heard().is_empty() && desk.told().is_empty(), "nobody has said welcome");
    desk.welcome("s1");
    assert_eq!(desk.heard(), ["subscribe news", "1: a"]);
    desk.lose();
    desk.redial();
    assert!(desk.heard().is_empty());
    desk.welcome_back(0);
    assert_eq!(desk.heard(), ["subscribe news", "1: a"]);
}

#[test]
fn i22_what_piled_up_goes_at_its_pace_and_what_is_new_does_not_wait_for_it() {
    let pace = Rate { burst: 2, refill: secs(1) };
    let mut desk = Desk::connected_with(with(OutboxConfig::default().with_pace(Some(pace))));
    desk.send_all(&["a", "b", "c"]);
    assert_eq!(desk.heard().len(), 3, "nothing has piled up yet");
    desk.lose();
    desk.send_all(&["d", "e"]);
    desk.back(0);
    assert_eq!(desk.heard(), ["1: a", "2: b"], "the burst");
    let at = desk.session.poll_timeout().unwrap();
    assert_eq!(at, desk.now + secs(1), "it wants to be woken for the next");
    desk.sleep(millis(999));
    assert!(desk.heard().is_empty());
    desk.sleep(millis(1));
    assert_eq!(desk.heard(), ["3: c"]);
    desk.send_all(&["f"]);
    desk.send(Outgoing::from("stop").with_priority(Priority::High)).unwrap();
    assert_eq!(desk.heard(), ["4: stop"], "what is new and more important goes at once");
    desk.sleep(secs(1));
    desk.send(Outgoing::from("stop").with_priority(Priority::High)).unwrap();
    assert_eq!(desk.heard(), ["5: stop", "6: d"], "and costs what piled up nothing");
    desk.sleep(secs(1));
    assert_eq!(desk.heard(), ["7: e", "8: f"], "the last of the backlog, and what was sent since");
    desk.send_all(&["g", "h", "i"]);
    assert_eq!(desk.heard().len(), 3);
    assert_eq!(desk.session.poll_timeout(), desk.session.link().poll_timeout());
}

#[test]
fn i22_what_goes_out_again_is_paced_too() {
    let pace = Rate { burst: 1, refill: secs(1) };
    let mut desk = Desk::connected_with(with(OutboxConfig::default().with_pace(Some(pace))));
    desk.send_all(&["a", "b"]);
    assert_eq!(desk.heard().len(), 2);
    desk.lose();
    desk.back(0);
    assert_eq!(desk.heard(), ["1: a"]);
    desk.sleep(secs(1));
    assert_eq!(desk.heard(), ["2: b"]);
}

#[test]
fn i22_what_piled_up_and_expired_paces_nobody() {
    let pace = Rate { burst: 1, refill: secs(60) };
    let outbox = OutboxConfig::default().with_pace(Some(pace)).with_ttl(Some(secs(20)));
    let mut desk = Desk::connected_with(with(outbox));
    desk.lose();
    desk.send_all(&["a", "b", "c"]);
    desk.back(0);
    assert_eq!(desk.heard(), ["1: a"]);
    desk.sleep(secs(20));
    desk.send_all(&["d", "e"]);
    assert_eq!(desk.heard(), ["2: d", "3: e"]);
    assert_eq!(desk.told()[3..], ["dropped 2 to 3: expired"]);
}

#[test]
fn i23_at_most_once_means_not_again() {
    let outbox = OutboxConfig::default().with_guarantee(Guarantee::AtMostOnce);
    let mut desk = Desk::connected_with(v1::config().with_outbox(outbox));
    desk.send_all(&["a"]);
    assert_eq!(desk.heard(), ["a"], "no serial, and nobody waits for an acknowledgement");
    assert_eq!(desk.session.outbox().in_flight(), 0);
    desk.lose();
    desk.send_all(&["b"]);
    desk.back(0);
    assert_eq!(desk.heard(), ["b"]);
}

#[test]
fn i23_at_least_once_means_again_with_the_same_serial_until_it_is_acknowledged() {
    let mut desk = Desk::connected();
    desk.send(Outgoing::from("a").on("news")).unwrap();
    assert_eq!(desk.heard(), ["1: a on news"]);
    for _ in 0..3 {
        desk.lose();
        desk.back(0);
        assert_eq!(desk.heard(), ["1: a on news"]);
    }
    desk.ack(1);
    desk.lose();
    desk.back(1);
    assert!(desk.heard().is_empty());
}

#[test]
fn i23_no_more_is_promised_than_the_protocol_can_keep() {
    let outbox = OutboxConfig::default().with_guarantee(Guarantee::AtLeastOnce);
    let config = SessionConfig::default().with_outbox(outbox);
    let error =
        Session::new(config, vec!["ws://peer".into()], Plain::default(), Pcg32::seed_from_u64(1));
    let error = error.map(drop).unwrap_err();
    assert_eq!(error.field(), "outbox.guarantee");
    assert_eq!(
        error.to_string(),
        "outbox.guarantee is at-least-once, but it must be at-most-once: this protocol has no acknowledgements"
    );
}

#[test]
fn priority_overtakes_what_waits_and_not_what_has_a_serial() {
    let mut desk = Desk::connected_with(with(OutboxConfig::default().with_in_flight(2)));
    let with = |text: &str, priority| Outgoing::from(text).with_priority(priority);
    desk.send_all(&["a", "b", "c", "d"]);
    assert_eq!(desk.heard(), ["1: a", "2: b"]);
    desk.send(with("low 1", Priority::Low)).unwrap();
    desk.send(with("stop 1", Priority::High)).unwrap();
    desk.send(with("stop 2", Priority::High)).unwrap();
    desk.send(with("low 2", Priority::Low)).unwrap();
    desk.lose();
    desk.back(0);
    assert_eq!(desk.heard(), ["1: a", "2: b"]);
    let mut order = Vec::new();
    for serial in [2, 4, 6] {
        desk.ack(serial);
        order.extend(desk.heard());
    }
    assert_eq!(order, ["3: stop 1", "4: stop 2", "5: c", "6: d", "7: low 1", "8: low 2"]);
}

#[test]
fn d08_s05_what_was_sent_while_the_link_was_down_goes_out_in_order() {
    let mut desk = Desk::connected();
    desk.lose();
    desk.send_all(&["a", "b"]);
    let (id, failure) = (desk.id, Failure::Refused);
    desk.give(SessionInput::Failed { id, failure, detail: String::new(), location: None });
    desk.send_all(&["c"]);
    desk.back(0);
    assert_eq!(desk.heard(), ["1: a", "2: b", "3: c"]);
}

#[test]
fn w19_the_application_knows_whether_a_message_goes_now_later_or_not_at_all() {
    let mut desk = Desk::with(with(OutboxConfig::default().with_max_messages(2)));
    assert!(desk.send("later").unwrap().queued);
    desk.connect();
    assert!(!desk.send("now").unwrap().queued);
    assert_eq!(desk.heard().len(), 2);
    assert_eq!(desk.send("no").unwrap_err().reason, SendErrorKind::Full);
    desk.ack(2);
    desk.close();
    assert_eq!(desk.send("no").unwrap_err().reason, SendErrorKind::Closed);
}
