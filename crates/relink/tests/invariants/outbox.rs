//! The outbox.

use std::collections::BTreeMap;

use relink::link::HandshakeEvent;
use relink::session::{DropReason, Frame, OutboxConfig, Overflow, SendErrorKind, SizeLimit};
use relink::{Event, Failure, LinkConfig, Message, Receipt, SessionConfig};
use relink_sim::{OnDial, Sim, millis, secs};

use crate::support::{Walk, all_steps, is_connected, speaking};

#[test]
fn i21_the_queue_is_bounded_in_count_and_in_bytes() {
    let mut sim = holding(OutboxConfig::default().with_max_messages(3).with_max_bytes(10));
    sim.send("12345").unwrap();
    sim.send("1234").unwrap();
    let refused = sim.send("12").unwrap_err();
    assert_eq!((refused.reason, refused.message), (SendErrorKind::Full, Message::from("12")));
    sim.send("1").unwrap();
    assert_eq!(sim.send("").unwrap_err().reason, SendErrorKind::Full);
    assert_eq!((sim.machine().outbox().len(), sim.machine().outbox().bytes()), (3, 10));
    let too_large = SendErrorKind::TooLarge { size: 11, limit: 10, by: SizeLimit::Outbox };
    assert_eq!(sim.send("12345678901").unwrap_err().reason, too_large);
}

#[test]
fn i21_the_oldest_make_room_where_that_is_wanted() {
    let outbox = OutboxConfig::default().with_max_bytes(10).with_overflow(Overflow::DropOldest);
    let mut sim = holding(outbox);
    for text in ["one", "two", "three"] {
        sim.send(text).unwrap();
    }
    sim.skip();
    sim.peer().on_dial(OnDial::Accept);
    sim.next_dial();
    sim.expect(["dial", "connected", "text \"two\"", "text \"three\"", "sent 2 to 3"]);
    assert!(sim.machine().outbox().is_empty());
}

#[test]
fn i21_whatever_happens_each_message_has_one_fate() {
    let mut sent_of_all = (0, 0);
    for seed in 0..120 {
        let overflow =
            [Overflow::Refuse, Overflow::DropOldest, Overflow::DropNewest][seed as usize % 3];
        let outbox = OutboxConfig::default()
            .with_max_messages(6)
            .with_max_bytes(60)
            .with_ttl(Some(secs(3)))
            .with_overflow(overflow);
        let mut sim = Sim::seeded(SessionConfig::default().with_outbox(outbox), seed);
        let mut walk = Walk::new(seed);
        sim.connect();
        let mut accepted = Vec::new();
        for number in 0..300_u32 {
            match walk.below(10) {
                0 => sim.peer().reset(),
                1 => sim.peer().reads(Some(walk.below(4) as usize)),
                2 => sim.peer().reads(None),
                3 => sim.advance(millis(u64::from(walk.below(2_000)))),
                4 => sim.peer().on_dial(OnDial::Refuse(Failure::Refused)),
                5 => sim.peer().on_dial(OnDial::Accept),
                _ => {
                    let text = format!("{number:0>width$}", width = 4 + walk.below(30) as usize);
                    if let Ok(taken) = sim.send(text.as_str()) {
                        accepted.push((taken.receipt, text));
                    }
                }
            }
            let outbox = sim.machine().outbox();
            assert!(outbox.len() <= 6 && outbox.bytes() <= 60);
        }
        sim.close(1000);
        sim.advance(secs(10));
        assert!(sim.state().is_closed());

        let fates = fates(&sim.take_events());
        let receipts: Vec<_> = accepted.iter().map(|(receipt, _)| *receipt).collect();
        assert!(receipts.is_sorted());
        assert_eq!(
            fates.keys().copied().collect::<Vec<_>>(),
            receipts,
            "each has a fate, and no other has one"
        );
        let sent = accepted.iter().filter(|(receipt, _)| fates[receipt].is_none());
        let sent: Vec<_> = sent.map(|(_, text)| text.clone()).collect();
        assert_eq!(
            heard(&mut sim),
            sent,
            "what was sent arrived, in order, once; what was dropped did not"
        );
        sent_of_all = (sent_of_all.0 + sent.len(), sent_of_all.1 + accepted.len());
    }
    let (sent, all) = sent_of_all;
    assert!(
        sent > all / 10 && sent < all / 2,
        "the walks see both fates: {sent} of {all} were sent"
    );
}

#[test]
fn i21_an_expired_message_is_not_sent_even_if_the_link_opens_in_the_same_moment() {
    let mut sim = holding(OutboxConfig::default().with_ttl(Some(secs(2))));
    sim.peer().on_dial(OnDial::Hold);
    sim.next_dial();
    sim.send("a price").unwrap();
    sim.sleep(secs(2));
    sim.peer().accept();
    assert!(is_connected(&sim));
    assert_eq!(fates(&sim.take_events())[&Receipt(1)], Some(DropReason::Expired));
    assert!(heard(&mut sim).is_empty());
}

#[test]
fn i21_order_survives_reconnects() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    sim.peer().reads(Some(2));
    for number in 1..=5 {
        sim.send(number.to_string()).unwrap();
    }
    sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
    sim.peer().reset();
    for number in 6..=7 {
        sim.send(number.to_string()).unwrap();
    }
    sim.advance(secs(10));
    sim.peer().reads(None);
    sim.peer().on_dial(OnDial::Accept);
    sim.advance(secs(20));
    sim.send("8").unwrap();
    assert_eq!(heard(&mut sim), ["1", "2", "3", "4", "5", "6", "7", "8"]);
}

#[test]
fn i22_nothing_is_flushed_before_the_login_is_accepted() {
    let mut sim = speaking(LinkConfig::default().with_handshake(all_steps()), 1);
    sim.send("a").unwrap();
    sim.send("b").unwrap();
    sim.open();
    sim.peer().handshake(HandshakeEvent::Welcome);
    sim.peer().handshake(HandshakeEvent::ChallengeMet);
    sim.login();
    assert_eq!(
        heard(&mut sim),
        ["welcome", "challenge", "login", "authenticating"],
        "only the handshake's words"
    );
    assert_eq!(sim.machine().outbox().len(), 2);
    sim.peer().handshake(HandshakeEvent::Authenticated);
    assert_eq!(heard(&mut sim), ["a", "b"]);

    // And again while it reconnects.
    sim.peer().reset();
    assert!(sim.send("c").unwrap().queued);
    sim.next_dial();
    sim.peer().handshake(HandshakeEvent::Welcome);
    sim.peer().handshake(HandshakeEvent::ChallengeMet);
    assert_eq!(heard(&mut sim), ["welcome", "challenge", "authenticating"]);
    sim.peer().handshake(HandshakeEvent::Authenticated);
    assert_eq!(heard(&mut sim), ["c"]);
}

#[test]
fn i22_the_flush_goes_at_the_pace_of_the_transport() {
    let mut sim = holding(OutboxConfig::default());
    for number in 1..=5 {
        sim.send(number.to_string()).unwrap();
    }
    sim.peer().on_dial(OnDial::Accept);
    sim.peer().reads(Some(2));
    sim.next_dial();
    assert_eq!(
        sim.machine().outbox().len(),
        3,
        "what does not fit stays where it can still expire or be counted"
    );
    assert!(!sim.send("6").unwrap().queued);
    sim.peer().reads(Some(1));
    assert_eq!(sim.machine().outbox().len(), 3);
    assert_eq!(fates(&sim.take_events()).len(), 3, "only what has gone is reported as sent");
    sim.peer().reads(None);
    assert_eq!(heard(&mut sim), ["1", "2", "3", "4", "5", "6"]);
}

/// A session with this outbox, whose dials are refused.
fn holding(outbox: OutboxConfig) -> Sim {
    let mut sim = Sim::session(SessionConfig::default().with_outbox(outbox));
    sim.to_waiting(1);
    sim
}

/// The texts that the peer has read.
fn heard(sim: &mut Sim<impl relink::Protocol>) -> Vec<String> {
    let text = |frame| match frame {
        Frame::Message(message) => message.as_text().map(str::to_owned),
        Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => None,
    };
    sim.peer().heard().into_iter().filter_map(text).collect()
}

/// The fate of each message: why it was dropped, or `None` if it was sent. Panics if one is
/// reported twice.
fn fates(events: &[Event]) -> BTreeMap<Receipt, Option<DropReason>> {
    let mut fates = BTreeMap::new();
    for event in events {
        if let Event::Sent { first, last } = event {
            for receipt in first.0..=last.0 {
                assert_eq!(fates.insert(Receipt(receipt), None), None, "{receipt} has two fates");
            }
        }
        if let Event::Dropped { first, last, why, .. } = event {
            for receipt in first.0..=last.0 {
                assert_eq!(
                    fates.insert(Receipt(receipt), Some(*why)),
                    None,
                    "{receipt} has two fates"
                );
            }
        }
    }
    fates
}
