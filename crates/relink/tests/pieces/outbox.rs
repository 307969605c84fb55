//! The outbox, seen through a session.

use bytes::Bytes;
use relink::session::{DropReason, Frame, OfflineSend, OutboxConfig, Overflow, SendErrorKind};
use relink::{
    CloseCode, CloseFrame, Event, Failure, Instant, Message, Outgoing, Plain, Priority, Receipt,
    Session, SessionAction, SessionConfig, SessionInput,
};
use relink_sim::Sim;

use crate::support::{dice, secs};

#[test]
fn w06_the_queue_is_bounded_in_count_and_says_when_it_is_full() {
    let mut sim = outbox(OutboxConfig::default().with_max_messages(2));
    assert!(sim.send("one").is_ok() && sim.send("two").is_ok());
    let refused = sim.send("three").unwrap_err();
    assert_eq!((refused.reason, refused.message), (SendErrorKind::Full, Message::from("three")));
    assert!(refused.reason.is_retryable());
    assert_eq!((sim.machine().outbox().len(), sim.machine().stats().messages_refused), (2, 1));
    sim.open();
    assert_eq!(transmit(&mut sim), ["one", "two"]);
    assert!(sim.send("three").is_ok(), "there is room again");
}

#[test]
fn i21_the_queue_is_bounded_in_bytes() {
    let mut sim = outbox(OutboxConfig::default().with_max_bytes(10));
    assert!(sim.send("sixsix").is_ok());
    assert_eq!(sim.send("fives").unwrap_err().reason, SendErrorKind::Full);
    assert!(sim.send("four").is_ok());
    assert_eq!(sim.machine().outbox().bytes(), 10);
    assert!(sim.send("").is_ok(), "nothing needs no room");
    let too_big = sim.send("eleven bytes").unwrap_err();
    assert_eq!(
        too_big.reason.to_string(),
        "it has 12 bytes, and outbox.max_bytes allows at most 10"
    );
    assert!(!too_big.reason.is_retryable());
}

#[test]
fn the_oldest_make_room_where_that_is_the_policy() {
    let config = OutboxConfig::default().with_max_bytes(10).with_overflow(Overflow::DropOldest);
    let mut sim = outbox(config);
    for text in ["aaaa", "bbbb", "cc", "dddddd"] {
        sim.send(text).unwrap();
    }
    assert_eq!(
        dropped(&sim),
        [
            (Receipt(1), DropReason::Overflow, "aaaa".into()),
            (Receipt(2), DropReason::Overflow, "bbbb".into())
        ]
    );
    sim.open();
    assert_eq!(transmit(&mut sim), ["cc", "dddddd"]);
    assert_eq!(sim.machine().stats().messages_dropped, 2);
}

#[test]
fn the_newest_is_dropped_with_a_receipt_where_that_is_the_policy() {
    let config = OutboxConfig::default().with_max_messages(1).with_overflow(Overflow::DropNewest);
    let mut sim = outbox(config);
    assert_eq!(sim.send("kept").unwrap().receipt, Receipt(1));
    assert_eq!(sim.send("dropped").unwrap().receipt, Receipt(2));
    assert_eq!(dropped(&sim), [(Receipt(2), DropReason::Overflow, "dropped".into())]);
    sim.open();
    assert_eq!(transmit(&mut sim), ["kept"]);
}

#[test]
fn i21_a_message_that_expired_is_reported_and_never_sent() {
    let mut sim = outbox(OutboxConfig::default().with_ttl(Some(secs(10))));
    sim.send("old").unwrap();
    sim.sleep(secs(6));
    sim.send("young").unwrap();
    assert_eq!(sim.machine().poll_timeout(), Some(Instant::ORIGIN + secs(10)));
    sim.sleep(secs(4));
    sim.handle_timeout();
    assert_eq!(dropped(&sim), [(Receipt(1), DropReason::Expired, "old".into())]);
    assert_eq!(sim.machine().poll_timeout(), Some(Instant::ORIGIN + secs(16)));
    sim.open();
    assert_eq!(transmit(&mut sim), ["young"]);
}

#[test]
fn i21_a_message_that_expires_with_no_timeout_in_between_is_not_sent_either() {
    let mut sim = outbox(OutboxConfig::default().with_ttl(Some(secs(10))));
    sim.open();
    sim.send("old").unwrap();
    sim.sleep(secs(10));
    assert_eq!(transmit(&mut sim), [""; 0]);
    assert_eq!(dropped(&sim).len(), 1);
}

#[test]
fn d08_what_was_queued_goes_out_in_order_when_the_link_is_back() {
    let mut sim = outbox(OutboxConfig::default());
    sim.open();
    sim.send("1").unwrap();
    assert_eq!(transmit(&mut sim), ["1"]);
    sim.peer().reset();
    for text in ["2", "3", "4"] {
        assert!(sim.send(text).unwrap().queued, "it must say that it waits (W19)");
    }
    assert_eq!(transmit(&mut sim), [""; 0], "nothing goes out while there is no link");
    reconnect(&mut sim);
    assert!(!sim.send("5").unwrap().queued);
    assert_eq!(transmit(&mut sim), ["2", "3", "4", "5"]);
    assert_eq!(sent(&sim), [1, 2, 3, 4, 5]);
}

#[test]
fn i23_what_a_dead_transport_took_is_not_sent_again() {
    let mut sim = outbox(OutboxConfig::default());
    sim.open();
    sim.send("taken").unwrap();
    sim.send("waiting").unwrap();
    assert_eq!(frame(&mut sim).as_deref(), Some("taken"));
    sim.peer().reset();
    reconnect(&mut sim);
    assert_eq!(transmit(&mut sim), ["waiting"]);
}

#[test]
fn m22_messages_are_refused_while_the_link_is_down_where_that_is_the_policy() {
    let mut sim = outbox(OutboxConfig::default().with_while_down(OfflineSend::Refuse));
    assert_eq!(sim.send("early").unwrap_err().reason, SendErrorKind::Down);
    sim.open();
    assert!(sim.send("now").is_ok());
    sim.peer().reset();
    let refused = sim.send("late").unwrap_err();
    assert_eq!((refused.reason, refused.reason.is_retryable()), (SendErrorKind::Down, true));
    assert_eq!(
        refused.to_string(),
        "the message was not taken: the link is not usable now, and outbox.while_down is refuse"
    );
}

#[test]
fn w07_a_close_flushes_and_then_refuses() {
    let mut sim = outbox(OutboxConfig::default());
    sim.open();
    sim.send("last words").unwrap();
    sim.handle(SessionInput::Close(CloseFrame::new(CloseCode::NORMAL, "bye")));
    assert_eq!(sim.send("too late").unwrap_err().reason, SendErrorKind::Closed);
    assert_eq!(frame(&mut sim).as_deref(), Some("last words"));
    let close = sim.peer().read_at_most(1).pop();
    assert_eq!(close, Some(Frame::Close(CloseFrame::new(CloseCode::NORMAL, "bye"))));
    sim.peer().close(1000);
    assert!(sim.machine().state().is_closed());
    assert_eq!(sim.send("far too late").unwrap_err().reason, SendErrorKind::Closed);
}

#[test]
fn w07_the_end_empties_the_queue_and_tells_each_fate() {
    let mut sim = outbox(OutboxConfig::default());
    sim.send("1").unwrap();
    sim.send("2").unwrap();
    sim.close(1000);
    let closed = DropReason::Closed;
    assert_eq!(dropped(&sim), [(Receipt(1), closed, "1".into()), (Receipt(2), closed, "2".into())]);
    assert!(matches!(sim.events().last(), Some(Event::Closed { .. })), "the end is told last");
    assert!(sim.machine().outbox().is_empty());
    assert_eq!(sim.machine().poll_timeout(), None);
}

#[test]
fn w07_a_close_before_the_link_is_up_sends_what_waits_first() {
    let mut sim = outbox(OutboxConfig::default());
    sim.connect();
    sim.send("hello").unwrap();
    sim.handle(SessionInput::Close(CloseFrame::new(CloseCode(4000), "bye")));
    assert_eq!(sim.send("too late").unwrap_err().reason, SendErrorKind::Closed);
    sim.handle(SessionInput::Close(CloseFrame::new(CloseCode::NORMAL, "the first close counts")));
    sim.peer().accept();
    assert_eq!(frame(&mut sim).as_deref(), Some("hello"));
    let close = sim.peer().read_at_most(1).pop();
    assert_eq!(close, Some(Frame::Close(CloseFrame::new(CloseCode(4000), "bye"))));
    sim.peer().close(1000);
    assert_eq!((sent(&sim), dropped(&sim)), (vec![1], vec![]));
    assert!(sim.machine().state().is_closed());
}

#[test]
fn w07_what_expires_while_a_closed_link_tries_ends_it() {
    let mut sim = outbox(OutboxConfig::default().with_ttl(Some(secs(1))));
    sim.connect();
    sim.send("soon stale").unwrap();
    sim.close(1000);
    sim.sleep(secs(1));
    sim.handle_timeout();
    assert_eq!(dropped(&sim), [(Receipt(1), DropReason::Expired, "soon stale".into())]);
    assert!(sim.machine().state().is_closed(), "nothing is left to wait for");
}

#[test]
fn w07_a_closed_link_waits_for_no_attempt_that_comes_too_late() {
    let mut sim = outbox(OutboxConfig::default());
    sim.connect();
    sim.send("hello").unwrap();
    sim.close(1000);
    let failure = Failure::Http { status: 404, retry_after: None };
    sim.peer().refuse(failure);
    assert_eq!(dropped(&sim), [(Receipt(1), DropReason::Closed, "hello".into())]);
    let told = sim.events().iter().find_map(|event| match event {
        Event::AttemptFailed { retry_in, .. } => Some(*retry_in),
        _ => None,
    });
    assert_eq!(told, Some(None), "there is no next attempt, and none is promised");
}

#[test]
fn messages_that_expire_or_end_together_share_one_event_whatever_their_priority() {
    const MANY: u64 = 100_000;
    let priorities = [Priority::Normal, Priority::High, Priority::Low];
    for (ttl, why) in [(Some(secs(1)), DropReason::Expired), (None, DropReason::Closed)] {
        let outbox = OutboxConfig::default().with_max_messages(1 << 20).with_ttl(ttl);
        let mut sim = super::outbox::outbox(outbox);
        for (number, priority) in (1..=MANY).zip(priorities.into_iter().cycle()) {
            let message = Outgoing::from(number.to_string()).with_priority(priority);
            sim.send(message).unwrap();
        }
        sim.sleep(secs(1));
        sim.handle_timeout();
        sim.close(1000);
        let told: Vec<_> =
            sim.events().iter().filter(|event| matches!(event, Event::Dropped { .. })).collect();
        let [Event::Dropped { first, last, why: told, messages }] = &told[..] else {
            panic!("{}", told.len())
        };
        assert_eq!((*first, *last, *told), (Receipt(1), Receipt(MANY), why));
        assert_eq!(messages.len() as u64, MANY);
        assert!(
            (1..=MANY).zip(messages).all(|(number, outgoing)| {
                outgoing.message.as_text() == Some(&number.to_string())
            })
        );
    }
}

#[test]
fn what_is_handed_back_is_bounded_while_nobody_takes_it_and_every_receipt_is_told() {
    let outbox = OutboxConfig::default().with_max_messages(2).with_overflow(Overflow::DropOldest);
    let config = SessionConfig::default().with_outbox(outbox.with_max_bytes(2000));
    let mut session =
        Session::new(config, vec!["ws://peer".into()], Plain::default(), dice(7)).expect("valid");
    for _ in 0..1000 {
        session.send(vec![0; 1000], Instant::ORIGIN).unwrap();
    }
    let told: Vec<_> = core::iter::from_fn(|| session.poll_action()).collect();
    let [SessionAction::Event(Event::Dropped { first, last, messages, .. })] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((*first, *last), (Receipt(1), Receipt(998)));
    assert!(messages.len() <= 2, "{}", messages.len());
}

#[test]
fn the_words_of_a_close_belong_to_that_close_alone() {
    let mut sim = outbox(OutboxConfig::default());
    sim.open();
    sim.handle(SessionInput::Close(CloseFrame::new(CloseCode::NORMAL, "first")));
    sim.handle(SessionInput::Close(CloseFrame::new(CloseCode(4000), "second")));
    let close = sim.peer().read_at_most(1).pop();
    assert_eq!(close, Some(Frame::Close(CloseFrame::new(CloseCode::NORMAL, "first"))));

    let config = SessionConfig::default();
    let reopened = config.with_link(config.link.with_reopen(relink::link::ReopenPolicy::Always));
    let mut sim = session(reopened);
    sim.handle(SessionInput::Close(CloseFrame::new(CloseCode::NORMAL, "of an earlier life")));
    sim.open();
    sim.sleep(secs(30));
    sim.handle_timeout();
    sim.sleep(secs(10));
    sim.handle_timeout();
    assert_eq!(sim.peer().farewells(), [CloseFrame::from(CloseCode::HEARTBEAT_TIMEOUT)]);
}

#[test]
fn m09_every_fate_has_a_name() {
    let names =
        [DropReason::Overflow, DropReason::Expired, DropReason::Closed].map(DropReason::name);
    assert_eq!(names, ["overflow", "expired", "closed"]);
}

#[test]
fn messages_hide_their_content_in_debug_output() {
    let mut sim = outbox(OutboxConfig::default().with_max_messages(1));
    sim.send("top secret").unwrap();
    let refused = sim.send(Bytes::from_static(b"secret bytes")).unwrap_err();
    let text = format!("{refused:?} {refused} {:?}", sim.machine().outbox());
    assert!(text.contains("Binary(12 bytes)") && text.contains("Text(10 bytes)"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

fn outbox(config: OutboxConfig) -> Sim {
    session(SessionConfig::default().with_outbox(config))
}

fn session(config: SessionConfig) -> Sim {
    Sim::session(config).manual()
}

fn reconnect(sim: &mut Sim) {
    sim.next_dial();
    sim.peer().accept();
}

/// Takes the next frame, which must be a text message.
fn frame(sim: &mut Sim) -> Option<String> {
    sim.peer().read_at_most(1).pop().map(|frame| match frame {
        Frame::Message(message) => message.as_text().expect("text").to_owned(),
        Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => panic!("no message: {frame:?}"),
    })
}

fn transmit(sim: &mut Sim) -> Vec<String> {
    core::iter::from_fn(|| frame(sim)).collect()
}

fn dropped(sim: &Sim) -> Vec<(Receipt, DropReason, Message)> {
    let mut dropped = Vec::new();
    for event in sim.events() {
        if let Event::Dropped { first, last, why, messages } = event {
            let receipts = first.0..=last.0;
            assert_eq!(receipts.clone().count(), messages.len(), "all are handed back");
            let messages = messages.iter().map(|outgoing| outgoing.message.clone());
            dropped
                .extend(receipts.zip(messages).map(|(it, message)| (Receipt(it), *why, message)));
        }
    }
    dropped
}

/// The receipts of everything that was handed to a transport.
fn sent(sim: &Sim) -> Vec<u64> {
    let mut sent = Vec::new();
    for event in sim.events() {
        if let Event::Sent { first, last } = event {
            sent.extend(first.0..=last.0);
        }
    }
    sent
}
