//! Messages that are larger than the server takes, and names, words and tokens that no server can
//! read.

use rand_pcg::Pcg32;
use relink::link::ReopenPolicy;
use relink::rand_core::SeedableRng;
use relink::session::{DropReason, Frame, Problem, SendErrorKind, SendReceipt, SizeLimit};
use relink::{
    CloseCode, CloseFrame, Event, Guarantee, Instant, Message, Outgoing, Position, Protocol,
    Receipt, Resume, SendError, Session, SessionAction, SessionConfig, SessionInput, Subscription,
    Token,
};
use relink_v1::{self, ClientFrame, Encoding, RelinkV1, ServerFrame, limits};

use crate::desk::{Desk, fresh};

/// One that is connected to a server that takes so many bytes.
fn limited(config: SessionConfig, max_message: u64) -> Desk {
    let mut desk = Desk::with(config);
    desk.max_message = Some(max_message);
    desk.connect();
    desk
}

/// `length` letters that tell which message they are.
fn text(letter: char, length: usize) -> String {
    letter.to_string().repeat(length)
}

/// The first letters and the lengths of what waits for the transport.
fn heard(desk: &mut Desk) -> Vec<String> {
    desk.heard().into_iter().map(|frame| format!("{} ({})", &frame[..4], frame.len() - 3)).collect()
}

fn closed(desk: &mut Desk, code: CloseCode) {
    let frame = Frame::Close(CloseFrame::new(code, "so it is"));
    desk.give(SessionInput::Frame { id: desk.id, frame });
}

fn is_too_large(refused: Result<SendReceipt, SendError>) -> (usize, usize, SizeLimit, Message) {
    let refused = refused.expect_err("it does not fit");
    assert!(!refused.is_retryable());
    match refused.reason {
        SendErrorKind::TooLarge { size, limit, by } => (size, limit, by, refused.message),
        other => panic!("refused for another reason: {other}"),
    }
}

#[test]
fn i21_what_the_server_does_not_take_is_handed_back_counted_as_it_is_encoded() {
    let mut desk = limited(relink_v1::config(), 1 << 20);
    let bytes = Message::from(vec![7; 800 << 10]);
    let (size, limit, by, back) = is_too_large(desk.send(bytes.clone()));
    assert_eq!(
        (limit, by, back),
        (1 << 20, SizeLimit::Peer, bytes.clone()),
        "base64 is a third longer"
    );
    assert_eq!(size, RelinkV1::default().encoded_len(&bytes, None, Some(1)));
    let controls = text('\u{1}', 200_000);
    assert!(desk.send(controls.as_str()).is_err(), "a control character takes six bytes");
    assert!(desk.send(text('x', 1_000_000)).is_ok());
    let on_channel = Outgoing::from(text('x', (1 << 20) - 300)).on(text('c', 255));
    assert!(desk.send(on_channel).is_err(), "the name of the channel counts");
    assert_eq!(desk.session.stats().messages_refused, 3);
    let error = desk.send(bytes).expect_err("as before");
    assert_eq!(
        error.to_string(),
        format!(
            "the message was not taken: it has {size} bytes, and the peer allows at most 1048576"
        )
    );
}

#[test]
fn i21_a_message_of_exactly_the_largest_size_is_sent_in_both_encodings() {
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let message = Message::from(vec![7; 60_000]);
        let size = RelinkV1::new(encoding).encoded_len(&message, None, Some(1));
        for (limit, fits) in [(size, true), (size - 1, false)] {
            let rng = Pcg32::seed_from_u64(7);
            let protocol = RelinkV1::new(encoding);
            let session =
                Session::new(relink_v1::config(), vec!["ws://peer".into()], protocol, rng);
            let mut desk = Desk::of(session.expect("valid"));
            desk.give(SessionInput::Connect);
            desk.give(SessionInput::Opened { id: desk.id });
            assert!(desk.session.poll_transmit(desk.now).is_some(), "hello");
            desk.max_message = Some(limit as u64);
            desk.welcome("s1");
            assert_eq!(desk.send(message.clone()).is_ok(), fits, "{encoding:?}, {limit}");
            let written = desk.session.poll_transmit(desk.now);
            assert_eq!(written.is_some(), fits);
            if let Some(Frame::Message(written)) = written {
                assert_eq!(written.len(), size);
            }
        }
    }
}

#[test]
fn i23_before_the_first_welcome_a_message_is_taken_and_dropped_once_the_limit_is_known() {
    let mut desk = Desk::with(relink_v1::config());
    desk.give(SessionInput::Connect);
    desk.send_all(&["a", &text('b', 5_000), "c"]);
    desk.open();
    desk.max_message = Some(4_000);
    desk.welcome("s1");
    assert_eq!(desk.heard(), ["1: a", "2: c"], "serials have no holes");
    let dropped = desk.take_events().into_iter().find_map(|event| match event {
        Event::Dropped { first, why, messages, .. } => {
            Some((first, why, messages[0].message.len()))
        }
        _ => None,
    });
    let (receipt, why, length) = dropped.expect("told");
    assert_eq!((receipt, length), (Receipt(2), 5_000));
    assert!(matches!(why, DropReason::TooLarge { size: 5_001.., limit: Some(4_000) }), "{why:?}");
    desk.ack(2);
    assert_eq!(desk.told(), ["acknowledged 1", "acknowledged 3"]);
}

#[test]
fn i23_a_smaller_limit_after_a_resume_holds_for_what_would_be_sent_again() {
    let mut desk = limited(relink_v1::config(), 10_000);
    desk.send_all(&["a", &text('b', 5_000), "c", &text('d', 6_000), "e"]);
    assert_eq!(desk.heard().len(), 5);
    desk.lose();
    desk.send_all(&[&text('f', 5_000), "g"]);
    desk.told();
    desk.max_message = Some(4_000);
    desk.back(1);
    assert_eq!(
        desk.told(),
        [
            "acknowledged 1",
            "dropped 2: too_large",
            "dropped 4: too_large",
            "resumed",
            "connected again"
        ]
    );
    assert_eq!(desk.heard(), ["2: c", "3: e", "4: g"], "what stands behind moves up");
    assert_eq!(desk.told(), ["dropped 6: too_large"]);
    desk.ack(4);
    assert_eq!(desk.told(), ["acknowledged 3", "acknowledged 5", "acknowledged 7"]);
    assert!(desk.session.outbox().bytes() == 0 && desk.session.stats().queued == 0);
    assert!(desk.send(text('h', 5_000)).is_err());
    desk.max_message = None;
    desk.lose();
    desk.back(4);
    assert!(desk.send(text('h', 5_000)).is_ok(), "a server that does not say may take anything");
}

#[test]
fn i23_each_1009_costs_the_largest_message_in_flight_and_everything_else_goes_on() {
    // The server does not say what it takes.
    let mut desk = Desk::connected();
    desk.send_all(&["small", &text('b', 5_000), &text('c', 9_000), "behind"]);
    assert_eq!(heard(&mut desk), ["1: s (5)", "2: b (5000)", "3: c (9000)", "4: b (6)"]);
    closed(&mut desk, CloseCode::TOO_BIG);
    desk.told();
    // Nothing is given up before the server has said what it has.
    assert_eq!(desk.session.outbox().in_flight(), 4);
    desk.back(1);
    assert_eq!(
        desk.told(),
        ["acknowledged 1", "dropped 3: too_large", "resumed", "connected again"]
    );
    assert_eq!(heard(&mut desk), ["2: b (5000)", "3: b (6)"]);
    closed(&mut desk, CloseCode::TOO_BIG);
    desk.told();
    desk.back(1);
    assert_eq!(desk.told(), ["dropped 2: too_large", "resumed", "connected again"]);
    assert_eq!(desk.heard(), ["2: behind"]);
    desk.ack(2);
    assert_eq!(desk.told(), ["acknowledged 4"]);
    desk.send_all(&["more"]);
    assert_eq!(desk.heard(), ["3: more"]);
}

#[test]
fn i23_a_message_that_was_taken_in_is_not_given_up_for_a_1009() {
    let mut desk = Desk::connected();
    desk.send_all(&[&text('a', 5_000), "b"]);
    assert_eq!(desk.heard().len(), 2);
    closed(&mut desk, CloseCode::TOO_BIG);
    desk.told();
    desk.back(1);
    assert_eq!(desk.told(), ["acknowledged 1", "resumed", "connected again"]);
    assert_eq!(desk.heard(), ["2: b"]);
}

#[test]
fn i23_what_was_not_sent_on_the_transport_is_not_to_blame() {
    let mut config = relink_v1::config();
    config.outbox.in_flight = 1;
    let mut desk = Desk::connected_with(config);
    desk.send_all(&["a", &text('b', 5_000)]);
    assert_eq!(desk.heard(), ["1: a"]);
    desk.lose();
    desk.redial();
    // Before the welcome nothing was sent again.
    closed(&mut desk, CloseCode::TOO_BIG);
    desk.told();
    desk.back(0);
    assert_eq!(desk.told(), ["resumed", "connected again"]);
    assert_eq!(desk.heard(), ["1: a"]);
}

#[test]
fn i23_a_larger_frame_than_any_message_is_to_blame_itself() {
    let mut desk = Desk::connected();
    desk.session.subscribe("news", Subscription::default().with_presence(text('w', 3_000)));
    desk.send_all(&["a"]);
    assert_eq!(desk.frames().len(), 2);
    closed(&mut desk, CloseCode::TOO_BIG);
    desk.told();
    desk.back(0);
    assert_eq!(desk.told(), ["resumed", "connected again"]);
}

#[test]
fn i24_there_is_no_doubt_about_a_message_that_the_server_complained_about() {
    let mut desk = Desk::connected();
    desk.send_all(&["a", &text('b', 5_000), "c"]);
    assert_eq!(desk.heard().len(), 3);
    closed(&mut desk, CloseCode::TOO_BIG);
    desk.told();
    desk.redial();
    desk.say(fresh("s2", None));
    assert_eq!(
        desk.told(),
        [
            "refused: session_unknown",
            "in doubt 1",
            "dropped 2: too_large",
            "in doubt 3",
            "connected again"
        ]
    );
}

#[test]
fn i23_a_message_that_nobody_acknowledges_is_named_after_a_1009_and_not_sent_again() {
    let mut config = relink_v1::config();
    config.outbox.guarantee = Guarantee::AtMostOnce;
    let mut desk = Desk::connected_with(config);
    desk.send_all(&["a", &text('b', 5_000), "c"]);
    assert_eq!(desk.heard().len(), 3);
    closed(&mut desk, CloseCode::TOO_BIG);
    let told = desk.told();
    assert_eq!(told[0], "too large 2: 5028");
    desk.back(0);
    assert_eq!(desk.heard(), Vec::<String>::new());
    closed(&mut desk, CloseCode::TOO_BIG);
    assert!(!desk.told()[0].starts_with("too large"), "nothing went over this transport");
}

#[test]
fn i21_a_limit_of_ones_own_holds_from_the_beginning() {
    let mut config = relink_v1::config();
    config.outbox.max_message = Some(100);
    let mut desk = Desk::with(config);
    desk.give(SessionInput::Connect);
    let (_, limit, by, _) = is_too_large(desk.send(text('a', 100)));
    assert_eq!((limit, by), (100, SizeLimit::Message));
    desk.open();
    desk.max_message = Some(80);
    desk.welcome("s1");
    let (_, limit, by, _) = is_too_large(desk.send(text('a', 90)));
    assert_eq!((limit, by), (80, SizeLimit::Peer), "the smaller one holds");
    desk.lose();
    desk.max_message = Some(200);
    desk.back(0);
    let (_, limit, by, _) = is_too_large(desk.send(text('a', 100)));
    assert_eq!((limit, by), (100, SizeLimit::Message));
}

#[test]
fn a_client_that_reads_too_little_for_the_subprotocol_is_refused() {
    for (bytes, is_valid) in [(0, false), (131_071, false), (131_072, true), (usize::MAX, true)] {
        let protocol = RelinkV1::default().with_max_message(bytes);
        assert_eq!(protocol.is_ok(), is_valid, "{bytes}");
        if let Err(error) = protocol {
            assert_eq!(
                error.to_string(),
                format!("limits.max_message is {bytes}, but it must be at least 131072")
            );
        }
    }
}

#[test]
fn i26_a_publication_that_is_withheld_leaves_no_gap_and_is_told() {
    let mut desk = Desk::connected();
    desk.follow("news", 10);
    let withheld = |channel: Option<&str>, offset| ServerFrame::Withheld {
        channel: channel.map(Into::into),
        offset,
        problem: Problem::new("limit_exceeded", "it has 20000000 bytes"),
    };
    desk.publish(Some("news"), 11, "a");
    desk.say(withheld(Some("news"), 12));
    desk.publish(Some("news"), 13, "b");
    desk.say(withheld(None, 1));
    desk.publish(None, 2, "c");
    assert_eq!(
        desk.told(),
        [
            "news 11: a",
            "news 12 withheld: limit_exceeded",
            "news 13: b",
            "own 1 withheld: limit_exceeded",
            "message c"
        ]
    );
    desk.take(2);
    assert_eq!(desk.session.position(&"news".into()).unwrap().offset, 13);
    assert_eq!(
        desk.session.resume().unwrap().position.offset,
        1,
        "nothing was to be taken before it"
    );
    desk.say(ServerFrame::HeartbeatAck { nonce: 1, sent: 5 });
    assert!(desk.is_connected(), "it counts as a publication");
    desk.say(withheld(Some("news"), 15));
    assert_eq!(desk.farewells.pop().unwrap().code, CloseCode::GAP);
}

// What no server can read: as a server would find, if it was sent.

/// The problems of subscriptions that have ended, and whether they are tried again.
fn ended(desk: &mut Desk) -> Vec<(String, Problem, bool)> {
    let ended = |event| match event {
        Event::Unsubscribed { channel, problem, retry_in } => {
            Some((channel.as_str().to_owned(), problem, retry_in.is_some()))
        }
        _ => None,
    };
    desk.take_events().into_iter().filter_map(ended).collect()
}

#[test]
fn a_message_on_a_channel_that_no_server_can_read_is_handed_back() {
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let rng = Pcg32::seed_from_u64(7);
        let session = Session::new(
            relink_v1::config(),
            vec!["ws://peer".into()],
            RelinkV1::new(encoding),
            rng,
        );
        let mut desk = Desk::of(session.expect("valid"));
        for (name, wrong) in [
            (String::new(), "is 0, but it must be at least 1"),
            (text('c', 256), "is 256, but it must be at most 255"),
            ("é".repeat(128), "is 256, but it must be at most 255"),
        ] {
            let outgoing = Outgoing::from("hello").on(name.as_str());
            assert!(desk.session.may_send(&outgoing).is_err());
            let refused = desk.send(outgoing).expect_err("no server can read it");
            assert_eq!(
                refused.to_string(),
                format!(
                    "the message was not taken: the length of the channel's name in bytes {wrong}"
                )
            );
            assert!(!refused.is_retryable());
            assert_eq!(
                (refused.message, refused.channel),
                (Message::from("hello"), Some(name.as_str().into()))
            );
        }
        assert!(desk.send(Outgoing::from("hello").on(text('c', 255))).is_ok());
    }
}

#[test]
fn a_subscription_that_no_server_can_read_ends_at_once_and_is_not_asked_for() {
    let mut desk = Desk::connected();
    let long = text('c', limits::CHANNEL + 1);
    let at = |offset| Subscription::default().with_since(Position::new(1, offset));
    for (channel, subscription, detail) in [
        (
            "",
            Subscription::default(),
            "the length of the channel's name in bytes is 0, but it must be at least 1",
        ),
        (
            long.as_str(),
            Subscription::default().with_token(),
            "the length of the channel's name in bytes is 256, but it must be at most 255",
        ),
        (
            "a",
            Subscription::default().with_presence(text('i', limits::PRESENCE + 1)),
            "the length of presence in bytes is 4097, but it must be at most 4096",
        ),
        (
            "b",
            at(limits::NUMBER + 1),
            "since.offset is 9007199254740992, but it must be at most 9007199254740991",
        ),
    ] {
        desk.session.subscribe(channel, subscription);
        desk.give(SessionInput::Timeout);
        let problem = Problem::new(Problem::LIMIT_EXCEEDED, detail);
        assert_eq!(ended(&mut desk), [(channel.to_owned(), problem, false)]);
    }
    assert_eq!(desk.session.subscriptions().count(), 0);
    let longest = text('c', limits::CHANNEL);
    let words = text('i', limits::PRESENCE);
    desk.session.subscribe(longest.as_str(), at(limits::NUMBER).with_presence(words.as_str()));
    desk.session.subscribe("b", Subscription::default());
    assert_eq!(
        desk.heard(),
        [
            format!("subscribe {longest} since 1/{} as {words}", limits::NUMBER),
            "subscribe b".to_owned()
        ]
    );
    desk.lose();
    desk.back(0);
    assert_eq!(desk.heard().len(), 2, "what was refused is not asked for again");
}

#[test]
fn words_that_no_server_can_read_end_the_subscription_that_was_active() {
    let mut desk = Desk::connected();
    desk.follow("room", 7);
    desk.session
        .subscribe("room", Subscription::default().with_presence(text('i', limits::PRESENCE + 1)));
    desk.give(SessionInput::Timeout);
    assert_eq!(ended(&mut desk).len(), 1);
    assert_eq!(desk.heard(), ["unsubscribe room"]);
    desk.say(ServerFrame::Unsubscribed { channel: "room".into(), problem: None });
    desk.subscribe("room");
    assert_eq!(desk.heard(), ["subscribe room since 1/7"], "its place is kept");
}

#[test]
fn after_the_end_a_subscription_that_no_server_can_read_is_told_once_the_link_is_back() {
    let config = relink_v1::config();
    let mut desk =
        Desk::connected_with(config.with_link(config.link.with_reopen(ReopenPolicy::Always)));
    desk.close();
    closed(&mut desk, CloseCode::NORMAL);
    assert!(desk.session.state().is_closed());
    desk.take_events();
    desk.subscribe("");
    assert_eq!(desk.take_events(), [], "nothing is told after the end");
    desk.give(SessionInput::Connect);
    desk.redial();
    desk.welcome("s2");
    assert_eq!(desk.heard(), [] as [&str; 0]);
    let ended = ended(&mut desk);
    assert!(matches!(&ended[..], [(channel, _, false)] if channel.is_empty()), "{ended:?}");
}

#[test]
fn a_token_that_no_server_can_read_is_a_failed_fetch() {
    let mut config = relink_v1::config();
    config.link.credentials.fetch = true;
    let rng = Pcg32::seed_from_u64(7);
    let session = Session::new(config, vec!["ws://peer".into()], RelinkV1::default(), rng);
    let (mut session, now) = (session.expect("valid"), Instant::ORIGIN);
    session.handle(SessionInput::Connect, now);
    let id = session.link().transport().expect("an attempt");
    let result = Ok(Token::from(text('t', limits::TOKEN + 1)));
    session.handle(SessionInput::Token { id, result }, now);
    let failed = core::iter::from_fn(|| session.poll_action()).find_map(|action| match action {
        SessionAction::Event(Event::AttemptFailed { detail, retry_in, .. }) => {
            Some((detail, retry_in.is_some()))
        }
        _ => None,
    });
    let detail = "the length of the token in bytes is 16385, but it must be at most 16384";
    assert_eq!(failed, Some((detail.to_owned(), true)));

    let mut desk = Desk::connected();
    desk.session.subscribe("room", Subscription::default().with_token());
    assert_eq!(desk.heard(), [] as [&str; 0]);
    desk.token("room", Ok(&text('t', limits::TOKEN + 1)));
    let problem = Problem::new(Problem::UNAVAILABLE, detail);
    assert_eq!(ended(&mut desk), [("room".to_owned(), problem, true)]);
    assert_eq!(desk.heard(), [] as [&str; 0]);
}

#[test]
fn a_session_that_no_server_can_read_is_not_gone_on_with() {
    let resume = |id: usize, offset| Resume {
        session: text('s', id).into(),
        position: Position::new(1, offset),
    };
    let mut desk = Desk::with(relink_v1::config());
    assert!(!desk.session.resume_from(resume(limits::SESSION + 1, 1)));
    assert!(!desk.session.resume_from(resume(1, limits::NUMBER + 1)));
    assert!(desk.session.resume_from(resume(limits::SESSION, limits::NUMBER)));
    desk.give(SessionInput::Connect);
    desk.give(SessionInput::Opened { id: desk.id });
    assert!(matches!(desk.frame(), Some(ClientFrame::Hello { resume: Some(_), .. })));
}
