//! What waits to go out, seen through a session.

use core::time::Duration;

use bytes::Bytes;
use rand_pcg::Pcg32;
use relink::link::TransportId;
use relink::session::{DropReason, Frame, OfflineSend, OutboxConfig, Overflow, SendErrorKind};
use relink::{
    CloseCode, CloseFrame, Event, Failure, Instant, Message, Outgoing, Plain, Priority, Receipt,
    Session, SessionAction, SessionConfig, SessionInput,
};

use crate::bench::{dice, secs};

#[test]
fn w06_the_queue_is_bounded_in_count_and_says_when_it_is_full() {
    let mut desk = Desk::new(OutboxConfig::default().with_max_messages(2));
    assert!(desk.send("one").is_ok() && desk.send("two").is_ok());
    let refused = desk.send("three").unwrap_err();
    assert_eq!((refused.reason, refused.message), (SendErrorKind::Full, Message::from("three")));
    assert!(refused.reason.is_retryable());
    assert_eq!((desk.session.outbox().len(), desk.session.stats().messages_refused), (2, 1));
    desk.connect();
    assert_eq!(desk.transmit(), ["one", "two"]);
    assert!(desk.send("three").is_ok(), "there is room again");
}

#[test]
fn i21_the_queue_is_bounded_in_bytes() {
    let mut desk = Desk::new(OutboxConfig::default().with_max_bytes(10));
    assert!(desk.send("sixsix").is_ok());
    assert_eq!(desk.send("fives").unwrap_err().reason, SendErrorKind::Full);
    assert!(desk.send("four").is_ok());
    assert_eq!(desk.session.outbox().bytes(), 10);
    assert!(desk.send("").is_ok(), "nothing needs no room");
    let too_big = desk.send("eleven bytes").unwrap_err();
    assert_eq!(
        too_big.reason.to_string(),
        "it has 12 bytes, and outbox.max_bytes allows at most 10"
    );
    assert!(!too_big.reason.is_retryable());
}

#[test]
fn the_oldest_make_room_where_that_is_the_policy() {
    let config = OutboxConfig::default().with_max_bytes(10).with_overflow(Overflow::DropOldest);
    let mut desk = Desk::new(config);
    for text in ["aaaa", "bbbb", "cc", "dddddd"] {
        desk.send(text).unwrap();
    }
    assert_eq!(
        desk.dropped(),
        [
            (Receipt(1), DropReason::Overflow, "aaaa".into()),
            (Receipt(2), DropReason::Overflow, "bbbb".into())
        ]
    );
    desk.connect();
    assert_eq!(desk.transmit(), ["cc", "dddddd"]);
    assert_eq!(desk.session.stats().messages_dropped, 2);
}

#[test]
fn the_newest_is_dropped_with_a_receipt_where_that_is_the_policy() {
    let config = OutboxConfig::default().with_max_messages(1).with_overflow(Overflow::DropNewest);
    let mut desk = Desk::new(config);
    assert_eq!(desk.send("kept").unwrap().receipt, Receipt(1));
    assert_eq!(desk.send("dropped").unwrap().receipt, Receipt(2));
    assert_eq!(desk.dropped(), [(Receipt(2), DropReason::Overflow, "dropped".into())]);
    desk.connect();
    assert_eq!(desk.transmit(), ["kept"]);
}

#[test]
fn i21_a_message_that_expired_is_reported_and_never_sent() {
    let mut desk = Desk::new(OutboxConfig::default().with_ttl(Some(secs(10))));
    desk.send("old").unwrap();
    desk.now = desk.now + secs(6);
    desk.send("young").unwrap();
    assert_eq!(desk.session.poll_timeout(), Some(Instant::ORIGIN + secs(10)));
    desk.now = desk.now + secs(4);
    desk.give(SessionInput::Timeout);
    assert_eq!(desk.dropped(), [(Receipt(1), DropReason::Expired, "old".into())]);
    assert_eq!(desk.session.poll_timeout(), Some(Instant::ORIGIN + secs(16)));
    desk.connect();
    assert_eq!(desk.transmit(), ["young"]);
}

#[test]
fn i21_a_message_that_expires_with_no_timeout_in_between_is_not_sent_either() {
    let mut desk = Desk::new(OutboxConfig::default().with_ttl(Some(secs(10))));
    desk.connect();
    desk.send("old").unwrap();
    desk.now = desk.now + secs(10);
    assert_eq!(desk.transmit(), [""; 0]);
    assert_eq!(desk.dropped().len(), 1);
}

#[test]
fn d08_what_was_queued_goes_out_in_order_when_the_link_is_back() {
    let mut desk = Desk::new(OutboxConfig::default());
    desk.connect();
    desk.send("1").unwrap();
    assert_eq!(desk.transmit(), ["1"]);
    desk.lose();
    for text in ["2", "3", "4"] {
        assert!(desk.send(text).unwrap().queued, "it must say that it waits (W19)");
    }
    assert_eq!(desk.transmit(), [""; 0], "nothing goes out while there is no link");
    desk.reconnect();
    assert!(!desk.send("5").unwrap().queued);
    assert_eq!(desk.transmit(), ["2", "3", "4", "5"]);
    assert_eq!(desk.sent(), [1, 2, 3, 4, 5]);
}

#[test]
fn i23_what_a_dead_transport_took_is_not_sent_again() {
    let mut desk = Desk::new(OutboxConfig::default());
    desk.connect();
    desk.send("taken").unwrap();
    desk.send("waiting").unwrap();
    assert_eq!(desk.frame().as_deref(), Some("taken"));
    desk.lose();
    desk.reconnect();
    assert_eq!(desk.transmit(), ["waiting"]);
}

#[test]
fn m22_messages_are_refused_while_the_link_is_down_where_that_is_the_policy() {
    let mut desk = Desk::new(OutboxConfig::default().with_while_down(OfflineSend::Refuse));
    assert_eq!(desk.send("early").unwrap_err().reason, SendErrorKind::Down);
    desk.connect();
    assert!(desk.send("now").is_ok());
    desk.lose();
    let refused = desk.send("late").unwrap_err();
    assert_eq!((refused.reason, refused.reason.is_retryable()), (SendErrorKind::Down, true));
    assert_eq!(
        refused.to_string(),
        "the message was not taken: the link is not usable now, and outbox.while_down says to refuse"
    );
}

#[test]
fn w07_a_close_flushes_and_then_refuses() {
    let mut desk = Desk::new(OutboxConfig::default());
    desk.connect();
    desk.send("last words").unwrap();
    desk.give(SessionInput::Close(CloseFrame::new(CloseCode::NORMAL, "bye")));
    assert_eq!(desk.send("too late").unwrap_err().reason, SendErrorKind::Closed);
    assert_eq!(desk.frame().as_deref(), Some("last words"));
    let close = desk.session.poll_transmit(desk.now);
    assert_eq!(close, Some(Frame::Close(CloseFrame::new(CloseCode::NORMAL, "bye"))));
    let id = desk.id;
    desk.give(SessionInput::Frame { id, frame: Frame::Close(CloseCode::NORMAL.into()) });
    assert!(desk.session.state().is_closed());
    assert_eq!(desk.send("far too late").unwrap_err().reason, SendErrorKind::Closed);
}

#[test]
fn w07_the_end_empties_the_queue_and_tells_each_fate() {
    let mut desk = Desk::new(OutboxConfig::default());
    desk.send("1").unwrap();
    desk.send("2").unwrap();
    desk.give(SessionInput::Close(CloseCode::NORMAL.into()));
    let closed = DropReason::Closed;
    assert_eq!(
        desk.dropped(),
        [(Receipt(1), closed, "1".into()), (Receipt(2), closed, "2".into())]
    );
    assert!(matches!(desk.events.last(), Some(Event::Closed { .. })), "the end is told last");
    assert!(desk.session.outbox().is_empty());
    assert_eq!(desk.session.poll_timeout(), None);
}

#[test]
fn w07_a_close_before_the_link_is_up_sends_what_waits_first() {
    let mut desk = Desk::new(OutboxConfig::default());
    desk.give(SessionInput::Connect);
    desk.send("hello").unwrap();
    desk.give(SessionInput::Close(CloseFrame::new(CloseCode(4000), "bye")));
    assert_eq!(desk.send("too late").unwrap_err().reason, SendErrorKind::Closed);
    desk.give(SessionInput::Close(CloseFrame::new(CloseCode::NORMAL, "the first close counts")));
    desk.give(SessionInput::Opened { id: desk.id });
    assert_eq!(desk.frame().as_deref(), Some("hello"));
    let close = desk.session.poll_transmit(desk.now);
    assert_eq!(close, Some(Frame::Close(CloseFrame::new(CloseCode(4000), "bye"))));
    let id = desk.id;
    desk.give(SessionInput::Frame { id, frame: Frame::Close(CloseCode::NORMAL.into()) });
    assert_eq!((desk.sent(), desk.dropped()), (vec![1], vec![]));
    assert!(desk.session.state().is_closed());
}

#[test]
fn w07_what_expires_while_a_closed_link_tries_ends_it() {
    let mut desk = Desk::new(OutboxConfig::default().with_ttl(Some(secs(1))));
    desk.give(SessionInput::Connect);
    desk.send("soon stale").unwrap();
    desk.give(SessionInput::Close(CloseCode::NORMAL.into()));
    desk.now = desk.now + secs(1);
    desk.give(SessionInput::Timeout);
    assert_eq!(desk.dropped(), [(Receipt(1), DropReason::Expired, "soon stale".into())]);
    assert!(desk.session.state().is_closed(), "nothing is left to wait for");
}

#[test]
fn w07_a_closed_link_waits_for_no_attempt_that_comes_too_late() {
    let mut desk = Desk::new(OutboxConfig::default());
    desk.give(SessionInput::Connect);
    desk.send("hello").unwrap();
    desk.give(SessionInput::Close(CloseCode::NORMAL.into()));
    let failure = Failure::Http { status: 404, retry_after: None };
    desk.give(SessionInput::Failed { id: desk.id, failure, detail: String::new(), location: None });
    assert_eq!(desk.dropped(), [(Receipt(1), DropReason::Closed, "hello".into())]);
    let told = desk.events.iter().find_map(|event| match event {
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
        let mut desk = Desk::new(outbox);
        for (number, priority) in (1..=MANY).zip(priorities.into_iter().cycle()) {
            let message = Outgoing::from(number.to_string()).with_priority(priority);
            desk.session.send(message, desk.now).unwrap();
        }
        desk.now = desk.now + secs(1);
        desk.give(SessionInput::Timeout);
        desk.give(SessionInput::Close(CloseCode::NORMAL.into()));
        let told: Vec<_> =
            desk.events.iter().filter(|event| matches!(event, Event::Dropped { .. })).collect();
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
    let mut desk = Desk::new(outbox.with_max_bytes(2000));
    for _ in 0..1000 {
        desk.session.send(vec![0; 1000], desk.now).unwrap();
    }
    desk.take();
    let [Event::Dropped { first, last, messages, .. }] = &desk.events[..] else {
        panic!("{:?}", desk.events)
    };
    assert_eq!((*first, *last), (Receipt(1), Receipt(998)));
    assert!(messages.len() <= 2, "{}", messages.len());
}

#[test]
fn the_words_of_a_close_belong_to_that_close_alone() {
    let mut desk = Desk::new(OutboxConfig::default());
    desk.connect();
    desk.give(SessionInput::Close(CloseFrame::new(CloseCode::NORMAL, "first")));
    desk.give(SessionInput::Close(CloseFrame::new(CloseCode(4000), "second")));
    let close = desk.session.poll_transmit(desk.now);
    assert_eq!(close, Some(Frame::Close(CloseFrame::new(CloseCode::NORMAL, "first"))));

    let config = SessionConfig::default();
    let reopened = config.with_link(config.link.with_reopen(relink::link::ReopenPolicy::Always));
    let mut desk = Desk::with(reopened);
    desk.give(SessionInput::Close(CloseFrame::new(CloseCode::NORMAL, "of an earlier life")));
    desk.connect();
    desk.now = desk.now + secs(30);
    desk.give(SessionInput::Timeout);
    desk.now = desk.now + secs(10);
    desk.give(SessionInput::Timeout);
    assert_eq!(desk.farewells, [CloseFrame::from(CloseCode::HEARTBEAT_TIMEOUT)]);
}

#[test]
fn m09_every_fate_has_a_name() {
    let names =
        [DropReason::Overflow, DropReason::Expired, DropReason::Closed].map(DropReason::name);
    assert_eq!(names, ["overflow", "expired", "closed"]);
}

#[test]
fn messages_hide_their_content_in_debug_output() {
    let mut desk = Desk::new(OutboxConfig::default().with_max_messages(1));
    desk.send("top secret").unwrap();
    let refused = desk.send(Bytes::from_static(b"secret bytes")).unwrap_err();
    let text = format!("{refused:?} {refused} {:?}", desk.session.outbox());
    assert!(text.contains("Binary(12 bytes)") && text.contains("Text(10 bytes)"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

/// A session with someone who opens its transports and takes its frames.
struct Desk {
    session: Session<Plain, Pcg32>,
    now: Instant,
    id: TransportId,
    events: Vec<Event>,
    farewells: Vec<CloseFrame>,
}

impl Desk {
    fn new(outbox: OutboxConfig) -> Self {
        Self::with(SessionConfig::default().with_outbox(outbox))
    }

    fn with(config: SessionConfig) -> Self {
        let session = Session::new(config, vec!["ws://peer".into()], Plain::default(), dice(7))
            .expect("valid");
        let id = TransportId::default();
        Self { session, now: Instant::ORIGIN, id, events: Vec::new(), farewells: Vec::new() }
    }

    fn give(&mut self, input: SessionInput) {
        self.session.handle(input, self.now);
        self.take();
    }

    fn take(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                SessionAction::Dial { id, .. } => self.id = id,
                SessionAction::Drop { farewell, .. } => self.farewells.extend(farewell),
                SessionAction::Event(event) => self.events.push(event),
                SessionAction::FetchToken { .. } | _ => {}
            }
        }
    }

    fn send(
        &mut self,
        message: impl Into<Message>,
    ) -> Result<relink::session::SendReceipt, relink::SendError> {
        let answer = self.session.send(message, self.now);
        self.take();
        answer
    }

    fn connect(&mut self) {
        self.give(SessionInput::Connect);
        self.give(SessionInput::Opened { id: self.id });
    }

    fn lose(&mut self) {
        let (failure, detail) = (Failure::Reset, String::new());
        self.give(SessionInput::Failed { id: self.id, failure, detail, location: None });
    }

    fn reconnect(&mut self) {
        self.now = self.now + Duration::from_secs(2);
        self.give(SessionInput::Timeout);
        self.give(SessionInput::Opened { id: self.id });
    }

    /// The next frame, which must be a text message.
    fn frame(&mut self) -> Option<String> {
        let frame = self.session.poll_transmit(self.now);
        self.take();
        frame.map(|frame| match frame {
            Frame::Message(message) => message.as_text().expect("text").to_owned(),
            Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => panic!("no message: {frame:?}"),
        })
    }

    fn transmit(&mut self) -> Vec<String> {
        core::iter::from_fn(|| self.frame()).collect()
    }

    fn dropped(&self) -> Vec<(Receipt, DropReason, Message)> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Dropped { first, last, why, messages } => {
                    Some((first.0..=last.0, *why, messages))
                }
                _ => None,
            })
            .flat_map(|(receipts, why, messages)| {
                assert_eq!(receipts.clone().count(), messages.len(), "all are handed back");
                receipts.zip(messages).map(move |(receipt, outgoing)| {
                    (Receipt(receipt), why, outgoing.message.clone())
                })
            })
            .collect()
    }

    /// The receipts of everything that was handed to a transport.
    fn sent(&self) -> Vec<u64> {
        self.events
            .iter()
            .flat_map(|event| match event {
                Event::Sent { first, last } => first.0..=last.0,
                #[expect(clippy::reversed_empty_ranges, reason = "no receipts")]
                _ => 1..=0,
            })
            .collect()
    }
}
