//! Messages that are larger than the server accepts, and names, texts and tokens that no server can
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

use relink_sim::v1;

use crate::support::{
    Client, connect, connected, connected_with, follow, is_connected, link, link_with, next_frame,
    send_all, told,
};

/// Connected to a server that accepts messages of at most this many bytes.
fn limited(config: SessionConfig, max_message: u64) -> Client {
    let mut sim = link(config);
    sim.peer().max_message(Some(max_message));
    connect(&mut sim);
    sim
}

/// A text of this length, which begins with a letter that identifies the message.
fn text(letter: char, length: usize) -> String {
    letter.to_string().repeat(length)
}

/// The first letter and the length of each message that waits for the transport.
fn heard(sim: &mut Client) -> Vec<String> {
    sim.peer()
        .lines()
        .into_iter()
        .map(|frame| format!("{} ({})", &frame[..4], frame.len() - 3))
        .collect()
}

fn closed(sim: &mut Client, code: CloseCode) {
    let frame = Frame::Close(CloseFrame::new(code, "so it is"));
    sim.peer().frame(frame);
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
    let mut sim = limited(relink_v1::config(), 1 << 20);
    let bytes = Message::from(vec![7; 800 << 10]);
    let (size, limit, by, back) = is_too_large(sim.send(bytes.clone()));
    assert_eq!(
        (limit, by, back),
        (1 << 20, SizeLimit::Peer, bytes.clone()),
        "base64 is a third longer"
    );
    assert_eq!(size, RelinkV1::default().encoded_len(&bytes, None, Some(1)));
    let controls = text('\u{1}', 200_000);
    assert!(sim.send(controls.as_str()).is_err(), "a control character takes six bytes");
    assert!(sim.send(text('x', 1_000_000)).is_ok());
    let on_channel = Outgoing::from(text('x', (1 << 20) - 300)).on(text('c', 255));
    assert!(sim.send(on_channel).is_err(), "the name of the channel counts");
    assert_eq!(sim.machine().stats().messages_refused, 3);
    let error = sim.send(bytes).expect_err("as before");
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
            let mut sim = link_with(relink_v1::config(), RelinkV1::new(encoding));
            sim.connect();
            sim.peer().accept();
            assert!(sim.peer().read_at_most(1).pop().is_some(), "hello");
            sim.peer().max_message(Some(limit as u64));
            sim.peer().welcome("s1");
            assert_eq!(sim.send(message.clone()).is_ok(), fits, "{encoding:?}, {limit}");
            let written = sim.peer().read_at_most(1).pop();
            assert_eq!(written.is_some(), fits);
            if let Some(Frame::Message(written)) = written {
                assert_eq!(written.len(), size);
            }
        }
    }
}

#[test]
fn i23_before_the_first_welcome_a_message_is_taken_and_dropped_once_the_limit_is_known() {
    let mut sim = link(relink_v1::config());
    sim.connect();
    send_all(&mut sim, &["a", &text('b', 5_000), "c"]);
    sim.peer().hello();
    sim.peer().max_message(Some(4_000));
    sim.peer().welcome("s1");
    assert_eq!(sim.peer().lines(), ["1: a", "2: c"], "serials have no holes");
    let dropped = sim.take_events().into_iter().find_map(|event| match event {
        Event::Dropped { first, why, messages, .. } => {
            Some((first, why, messages[0].message.len()))
        }
        _ => None,
    });
    let (receipt, why, length) = dropped.expect("told");
    assert_eq!((receipt, length), (Receipt(2), 5_000));
    assert!(matches!(why, DropReason::TooLarge { size: 5_001.., limit: Some(4_000) }), "{why:?}");
    sim.peer().ack(2);
    assert_eq!(told(&mut sim), ["acknowledged 1", "acknowledged 3"]);
}

#[test]
fn i23_a_smaller_limit_after_a_resume_holds_for_what_would_be_sent_again() {
    let mut sim = limited(relink_v1::config(), 10_000);
    send_all(&mut sim, &["a", &text('b', 5_000), "c", &text('d', 6_000), "e"]);
    assert_eq!(sim.peer().lines().len(), 5);
    sim.peer().reset();
    send_all(&mut sim, &[&text('f', 5_000), "g"]);
    told(&mut sim);
    sim.peer().max_message(Some(4_000));
    sim.peer().back(1);
    assert_eq!(
        told(&mut sim),
        [
            "acknowledged 1",
            "dropped 2: too_large",
            "dropped 4: too_large",
            "resumed",
            "connected again"
        ]
    );
    assert_eq!(sim.peer().lines(), ["2: c", "3: e", "4: g"], "what stands behind moves up");
    assert_eq!(told(&mut sim), ["dropped 6: too_large"]);
    sim.peer().ack(4);
    assert_eq!(told(&mut sim), ["acknowledged 3", "acknowledged 5", "acknowledged 7"]);
    assert!(sim.machine().outbox().bytes() == 0 && sim.machine().stats().queued == 0);
    assert!(sim.send(text('h', 5_000)).is_err());
    sim.peer().max_message(None);
    sim.peer().reset();
    sim.peer().back(4);
    assert!(sim.send(text('h', 5_000)).is_ok(), "a server that does not say may take anything");
}

#[test]
fn i23_each_1009_costs_the_largest_message_in_flight_and_everything_else_goes_on() {
    // The server does not announce a limit.
    let mut sim = connected();
    send_all(&mut sim, &["small", &text('b', 5_000), &text('c', 9_000), "behind"]);
    assert_eq!(heard(&mut sim), ["1: s (5)", "2: b (5000)", "3: c (9000)", "4: b (6)"]);
    closed(&mut sim, CloseCode::TOO_BIG);
    told(&mut sim);
    // No message is dropped before the server has said what it received.
    assert_eq!(sim.machine().outbox().in_flight(), 4);
    sim.peer().back(1);
    assert_eq!(
        told(&mut sim),
        ["acknowledged 1", "dropped 3: too_large", "resumed", "connected again"]
    );
    assert_eq!(heard(&mut sim), ["2: b (5000)", "3: b (6)"]);
    closed(&mut sim, CloseCode::TOO_BIG);
    told(&mut sim);
    sim.peer().back(1);
    assert_eq!(told(&mut sim), ["dropped 2: too_large", "resumed", "connected again"]);
    assert_eq!(sim.peer().lines(), ["2: behind"]);
    sim.peer().ack(2);
    assert_eq!(told(&mut sim), ["acknowledged 4"]);
    send_all(&mut sim, &["more"]);
    assert_eq!(sim.peer().lines(), ["3: more"]);
}

#[test]
fn i23_a_message_that_was_taken_in_is_not_given_up_for_a_1009() {
    let mut sim = connected();
    send_all(&mut sim, &[&text('a', 5_000), "b"]);
    assert_eq!(sim.peer().lines().len(), 2);
    closed(&mut sim, CloseCode::TOO_BIG);
    told(&mut sim);
    sim.peer().back(1);
    assert_eq!(told(&mut sim), ["acknowledged 1", "resumed", "connected again"]);
    assert_eq!(sim.peer().lines(), ["2: b"]);
}

#[test]
fn i23_what_was_not_sent_on_the_transport_is_not_to_blame() {
    let mut config = relink_v1::config();
    config.outbox.in_flight = 1;
    let mut sim = connected_with(config);
    send_all(&mut sim, &["a", &text('b', 5_000)]);
    assert_eq!(sim.peer().lines(), ["1: a"]);
    sim.peer().reset();
    sim.peer().redial();
    // Nothing was sent again before the welcome.
    closed(&mut sim, CloseCode::TOO_BIG);
    told(&mut sim);
    sim.peer().back(0);
    assert_eq!(told(&mut sim), ["resumed", "connected again"]);
    assert_eq!(sim.peer().lines(), ["1: a"]);
}

#[test]
fn i23_a_larger_frame_than_any_message_is_to_blame_itself() {
    let mut sim = connected();
    sim.subscribe("news", Subscription::default().with_presence(text('w', 3_000)));
    send_all(&mut sim, &["a"]);
    assert_eq!(sim.peer().frames().len(), 2);
    closed(&mut sim, CloseCode::TOO_BIG);
    told(&mut sim);
    sim.peer().back(0);
    assert_eq!(told(&mut sim), ["resumed", "connected again"]);
}

#[test]
fn i24_there_is_no_doubt_about_a_message_that_the_server_complained_about() {
    let mut sim = connected();
    send_all(&mut sim, &["a", &text('b', 5_000), "c"]);
    assert_eq!(sim.peer().lines().len(), 3);
    closed(&mut sim, CloseCode::TOO_BIG);
    told(&mut sim);
    sim.peer().redial();
    sim.peer().say(v1::welcome("s2", None));
    assert_eq!(
        told(&mut sim),
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
    let mut sim = connected_with(config);
    send_all(&mut sim, &["a", &text('b', 5_000), "c"]);
    assert_eq!(sim.peer().lines().len(), 3);
    closed(&mut sim, CloseCode::TOO_BIG);
    assert_eq!(told(&mut sim)[0], "too large 2: 5028");
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), Vec::<String>::new());
    closed(&mut sim, CloseCode::TOO_BIG);
    assert!(!told(&mut sim)[0].starts_with("too large"), "nothing went over this transport");
}

#[test]
fn i21_a_limit_of_ones_own_holds_from_the_beginning() {
    let mut config = relink_v1::config();
    config.outbox.max_message = Some(100);
    let mut sim = link(config);
    sim.connect();
    let (_, limit, by, _) = is_too_large(sim.send(text('a', 100)));
    assert_eq!((limit, by), (100, SizeLimit::Message));
    sim.peer().hello();
    sim.peer().max_message(Some(80));
    sim.peer().welcome("s1");
    let (_, limit, by, _) = is_too_large(sim.send(text('a', 90)));
    assert_eq!((limit, by), (80, SizeLimit::Peer), "the smaller one holds");
    sim.peer().reset();
    sim.peer().max_message(Some(200));
    sim.peer().back(0);
    let (_, limit, by, _) = is_too_large(sim.send(text('a', 100)));
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
    let mut sim = connected();
    follow(&mut sim, "news", 10);
    let withheld = |channel: Option<&str>, offset| ServerFrame::Withheld {
        channel: channel.map(Into::into),
        offset,
        problem: Problem::new("limit_exceeded", "it has 20000000 bytes"),
    };
    sim.peer().publish(Some("news"), 11, "a");
    sim.peer().say(withheld(Some("news"), 12));
    sim.peer().publish(Some("news"), 13, "b");
    sim.peer().say(withheld(None, 1));
    sim.peer().publish(None, 2, "c");
    assert_eq!(
        told(&mut sim),
        [
            "news 11: a",
            "news 12 withheld: limit_exceeded",
            "news 13: b",
            "own 1 withheld: limit_exceeded",
            "message c"
        ]
    );
    sim.take(2);
    assert_eq!(sim.machine().position(&"news".into()).unwrap().offset, 13);
    assert_eq!(
        sim.machine().resume().unwrap().position.offset,
        1,
        "nothing was to be taken before it"
    );
    sim.peer().say(ServerFrame::HeartbeatAck { nonce: 1, sent: 5 });
    assert!(is_connected(&sim), "it counts as a publication");
    sim.peer().say(withheld(Some("news"), 15));
    assert_eq!(sim.peer().farewells().pop().unwrap().code, CloseCode::GAP);
}

// What no server can read: decoding finds the same mistake.

/// The problems of subscriptions that have ended, and whether they are tried again.
fn ended(sim: &mut Client) -> Vec<(String, Problem, bool)> {
    let ended = |event| match event {
        Event::Unsubscribed { channel, problem, retry_in } => {
            Some((channel.as_str().to_owned(), problem, retry_in.is_some()))
        }
        _ => None,
    };
    sim.take_events().into_iter().filter_map(ended).collect()
}

#[test]
fn a_message_on_a_channel_that_no_server_can_read_is_handed_back() {
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let mut sim = link_with(relink_v1::config(), RelinkV1::new(encoding));
        for (name, wrong) in [
            (String::new(), "is 0, but it must be at least 1"),
            (text('c', 256), "is 256, but it must be at most 255"),
            ("é".repeat(128), "is 256, but it must be at most 255"),
        ] {
            let outgoing = Outgoing::from("hello").on(name.as_str());
            assert!(sim.machine().may_send(&outgoing).is_err());
            let refused = sim.send(outgoing).expect_err("no server can read it");
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
        assert!(sim.send(Outgoing::from("hello").on(text('c', 255))).is_ok());
    }
}

#[test]
fn a_subscription_that_no_server_can_read_ends_at_once_and_is_not_asked_for() {
    let mut sim = connected();
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
        sim.subscribe(channel, subscription);
        sim.handle(SessionInput::Timeout);
        let problem = Problem::new(Problem::LIMIT_EXCEEDED, detail);
        assert_eq!(ended(&mut sim), [(channel.to_owned(), problem, false)]);
    }
    assert_eq!(sim.machine().subscriptions().count(), 0);
    let longest = text('c', limits::CHANNEL);
    let words = text('i', limits::PRESENCE);
    sim.subscribe(longest.as_str(), at(limits::NUMBER).with_presence(words.as_str()));
    sim.subscribe("b", Subscription::default());
    assert_eq!(
        sim.peer().lines(),
        [
            format!("subscribe {longest} since 1/{} as {words}", limits::NUMBER),
            "subscribe b".to_owned()
        ]
    );
    sim.peer().reset();
    sim.peer().back(0);
    assert_eq!(sim.peer().lines().len(), 2, "what was refused is not asked for again");
}

#[test]
fn words_that_no_server_can_read_end_the_subscription_that_was_active() {
    let mut sim = connected();
    follow(&mut sim, "room", 7);
    sim.subscribe("room", Subscription::default().with_presence(text('i', limits::PRESENCE + 1)));
    assert_eq!(ended(&mut sim).len(), 1);
    assert_eq!(sim.peer().lines(), ["unsubscribe room"]);
    sim.peer().say(ServerFrame::Unsubscribed { channel: "room".into(), problem: None });
    sim.subscribe("room", Subscription::default());
    assert_eq!(sim.peer().lines(), ["subscribe room since 1/7"], "its place is kept");
}

#[test]
fn after_the_end_a_subscription_that_no_server_can_read_is_told_once_the_link_is_back() {
    let config = relink_v1::config();
    let mut sim = connected_with(config.with_link(config.link.with_reopen(ReopenPolicy::Always)));
    sim.close(1000);
    closed(&mut sim, CloseCode::NORMAL);
    assert!(sim.state().is_closed());
    let _ = sim.take_events();
    sim.subscribe("", Subscription::default());
    assert_eq!(sim.take_events(), [], "nothing is told after the end");
    sim.connect();
    sim.peer().redial();
    sim.peer().welcome("s2");
    assert_eq!(sim.peer().lines(), [] as [&str; 0]);
    let ended = ended(&mut sim);
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

    let mut sim = connected();
    sim.subscribe("room", Subscription::default().with_token());
    assert_eq!(sim.peer().lines(), [] as [&str; 0]);
    sim.channel_token("room", Ok(&text('t', limits::TOKEN + 1)));
    let problem = Problem::new(Problem::UNAVAILABLE, detail);
    assert_eq!(ended(&mut sim), [("room".to_owned(), problem, true)]);
    assert_eq!(sim.peer().lines(), [] as [&str; 0]);
}

#[test]
fn a_session_that_no_server_can_read_is_not_gone_on_with() {
    let resume = |id: usize, offset| Resume {
        session: text('s', id).into(),
        position: Position::new(1, offset),
    };
    let mut sim = link(relink_v1::config());
    assert!(!sim.resume_from(resume(limits::SESSION + 1, 1)));
    assert!(!sim.resume_from(resume(1, limits::NUMBER + 1)));
    assert!(sim.resume_from(resume(limits::SESSION, limits::NUMBER)));
    sim.connect();
    sim.peer().accept();
    assert!(matches!(next_frame(&mut sim), Some(ClientFrame::Hello { resume: Some(_), .. })));
}
