//! I24, I25: the session that outlives transports.

use relink::link::ReopenPolicy;
use relink::protocol::Rejection;
use relink::session::{Frame, Problem};
use relink::{CloseCode, CloseFrame, Event, Failure, Position, Resume, SessionInput, State};
use relink_v1 as v1;
use relink_v1::{Codec, ServerFrame, Welcome};

use crate::desk::{Desk, client, fresh, secs};

/// Where the session's own stream will go on.
fn at(desk: &Desk) -> u64 {
    desk.session.resume().expect("a session").position.offset
}

#[test]
fn i24_the_position_moves_when_the_application_has_taken_the_message_and_not_before() {
    let mut desk = Desk::connected();
    desk.publish(None, 1, "a");
    desk.publish(None, 2, "b");
    assert_eq!(desk.told(), ["message a", "message b"]);
    assert_eq!(at(&desk), 0);
    desk.take(1);
    assert_eq!(at(&desk), 1);
    desk.lose();
    desk.redial();
    assert_eq!(desk.asked.as_ref().unwrap().position, Position::new(1, 1));
    desk.take(100);
    assert_eq!(at(&desk), 2, "also between transports, and never beyond what came");
    desk.welcome_back(0);
    desk.publish(None, 3, "c");
    desk.take(0);
    assert_eq!(at(&desk), 2, "to have taken too much is no credit");
}

#[test]
fn i24_messages_of_all_streams_are_taken_in_the_order_in_which_they_were_told() {
    let mut desk = Desk::connected();
    desk.follow("news", 10);
    desk.publish(Some("news"), 11, "n");
    desk.publish(None, 1, "own");
    desk.publish(Some("news"), 12, "m");
    let news = |desk: &Desk| desk.session.position(&"news".into()).unwrap().offset;
    desk.take(1);
    assert_eq!((news(&desk), at(&desk)), (11, 0));
    desk.take(1);
    assert_eq!((news(&desk), at(&desk)), (11, 1));
    desk.take(1);
    assert_eq!((news(&desk), at(&desk)), (12, 1));
}

#[test]
fn i24_a_refused_resume_ends_id_and_position_together_and_leaves_doubt_about_each_message() {
    let mut desk = Desk::connected();
    desk.publish(None, 1, "a");
    desk.take(1);
    desk.send_all(&["b", "c"]);
    assert_eq!(desk.heard().len(), 2);
    desk.lose();
    desk.send_all(&["d"]);
    desk.told();
    desk.redial();
    desk.say(fresh("s2", Some(Problem::new("session_expired", "after two minutes"))));
    assert_eq!(desk.told(), ["refused: session_expired", "in doubt 1 to 2", "connected again"]);
    let resume = desk.session.resume().unwrap();
    assert_eq!((resume.session.expose(), resume.position), ("s2", Position::new(1, 0)));
    assert_eq!(desk.heard(), ["1: d"], "what was never sent is not in doubt; serials count anew");
    desk.publish(None, 1, "the first of the new one");
    assert_eq!(desk.told(), ["message the first of the new one"]);
    let stats = desk.session.stats();
    assert_eq!((stats.sessions_lost, stats.sessions_resumed, stats.messages_in_doubt), (1, 0, 2));
    // What the application takes only now belongs to the old session.
    desk.take(1);
    assert_eq!(at(&desk), 1);
}

#[test]
fn i24_a_message_of_an_old_session_does_not_move_the_position_in_the_new_one() {
    let mut desk = Desk::connected();
    desk.publish(None, 1, "a");
    desk.publish(None, 2, "b");
    desk.lose();
    desk.redial();
    desk.say(ServerFrame::Welcome(Welcome {
        session: "s2".into(),
        resumed: false,
        refused: None,
        received: 0,
        rejected: Vec::new(),
        position: Position::new(2, 0),
        max_message: None,
    }));
    desk.take(2);
    assert_eq!(desk.session.resume().unwrap().position, Position::new(2, 0));
}

#[test]
fn i24_a_resume_tells_what_became_of_what_was_in_flight() {
    let mut desk = Desk::connected();
    desk.send_all(&["a", "b", "c", "d", "e"]);
    desk.heard();
    desk.lose();
    desk.told();
    desk.redial();
    let Resume { session, position } = desk.asked.clone().unwrap();
    let rejection = |serial| Rejection { serial, problem: Problem::new("not_handled", "") };
    let rejected = vec![rejection(4), rejection(2), rejection(99)];
    desk.say(ServerFrame::Welcome(Welcome {
        session,
        resumed: true,
        refused: None,
        received: 4,
        rejected,
        position,
        max_message: None,
    }));
    assert_eq!(
        desk.told(),
        [
            "acknowledged 1",
            "rejected 2: not_handled",
            "acknowledged 3",
            "rejected 4: not_handled",
            "resumed",
            "connected again"
        ],
        "in order, whatever the order of the list"
    );
    assert_eq!(desk.heard(), ["5: e"]);
}

#[test]
fn i25_a_session_goes_on_with_no_message_at_all_and_more_than_once() {
    let mut desk = Desk::connected();
    for round in 1..=3 {
        desk.lose();
        desk.back(0);
        assert_eq!(desk.asked.as_ref().unwrap().session.expose(), "s1");
        assert!(desk.told().contains(&"resumed".to_owned()));
        assert_eq!(desk.session.stats().sessions_resumed, round);
    }
    // Lost again before the welcome: the next hello asks for the same.
    desk.lose();
    desk.redial();
    desk.lose();
    desk.redial();
    assert_eq!(desk.asked.as_ref().unwrap().session.expose(), "s1");
    desk.welcome_back(0);
    assert!(desk.is_connected());
}

#[test]
fn i25_nothing_that_comes_late_from_the_old_transport_changes_the_session() {
    let mut desk = Desk::connected();
    desk.follow("news", 0);
    desk.send_all(&["a"]);
    desk.heard();
    let old = desk.id;
    desk.lose();
    desk.back(0);
    desk.told();
    let before = (desk.session.resume(), desk.session.outbox().in_flight(), desk.session.state());
    let late = [
        ServerFrame::Ack { serial: 1 },
        ServerFrame::Rejected(Rejection { serial: 1, problem: Problem::new("not_handled", "") }),
        ServerFrame::Publication { channel: None, offset: 1, payload: "late".into() },
        ServerFrame::Publication { channel: None, offset: 9, payload: "late".into() },
        ServerFrame::Subscribed {
            channel: "news".into(),
            position: Position::new(1, 50),
            recovered: false,
        },
        fresh("s9", None),
        ServerFrame::HeartbeatAck { nonce: 1, sent: 99 },
    ];
    for frame in late {
        let frame = Frame::Message(frame.encode(v1::Encoding::Json));
        desk.give(SessionInput::Frame { id: old, frame });
    }
    let gone = CloseFrame::from(CloseCode::ADMIN_DISCONNECT);
    desk.give(SessionInput::Frame { id: old, frame: Frame::Close(gone) });
    let failure = Failure::Reset;
    desk.give(SessionInput::Failed { id: old, failure, detail: String::new(), location: None });
    assert_eq!(
        before,
        (desk.session.resume(), desk.session.outbox().in_flight(), desk.session.state())
    );
    assert!(desk.told().is_empty() && desk.farewells.is_empty());
    assert_eq!(desk.heard(), ["subscribe news since 1/0", "1: a"]);
}

#[test]
fn a_session_goes_on_in_another_process() {
    let mut first = Desk::connected();
    first.publish(None, 1, "a");
    first.take(1);
    first.send_all(&["b", "c"]);
    first.heard();
    let kept = first.session.resume().unwrap();

    let mut session = client(v1::config());
    assert!(session.resume_from(kept.clone()));
    assert!(!session.resume_from(kept.clone()), "once");
    assert_eq!(session.resume().as_ref(), Some(&kept));
    let mut second = Desk::of(session);
    second.send_all(&["d"]);
    second.give(SessionInput::Connect);
    second.open();
    assert_eq!(second.asked.as_ref(), Some(&kept));
    second.welcome_back(2);
    assert_eq!(second.told(), ["resumed", "connected"]);
    assert_eq!(second.heard(), ["3: d"], "serials go on after those that the server has");
    second.publish(None, 2, "e");
    second.ack(3);
    assert_eq!(second.told(), ["message e", "acknowledged 1"]);
}

#[test]
fn a_session_that_is_on_its_way_takes_no_other() {
    let mut desk = Desk::with(v1::config());
    desk.give(SessionInput::Connect);
    let other = Resume { session: "s0".into(), position: Position::new(1, 4) };
    assert!(!desk.session.resume_from(other));
    desk.open();
    assert_eq!(desk.asked, None);
}

#[test]
fn a_server_that_means_another_session_is_left_and_asked_for_a_new_one() {
    let welcome = |session: &str, received| {
        ServerFrame::Welcome(Welcome {
            session: session.into(),
            resumed: true,
            refused: None,
            received,
            rejected: Vec::new(),
            position: Position::new(1, 0),
            max_message: None,
        })
    };
    for (session, received, what) in [
        ("s1", 3, "more than was sent"),
        ("s1", 0, "less than was acknowledged"),
        ("s2", 1, "another id"),
    ] {
        let mut desk = Desk::connected();
        desk.send_all(&["a", "b"]);
        desk.heard();
        desk.ack(1);
        desk.lose();
        desk.told();
        desk.redial();
        desk.say(welcome(session, received));
        assert_eq!(desk.told(), ["refused: session_inconsistent", "in doubt 2"], "{what}");
        assert_eq!(
            desk.farewells,
            [CloseFrame::new(CloseCode::GAP, "the sessions differ")],
            "{what}"
        );
        desk.redial();
        assert_eq!(desk.asked, None, "{what}");
        desk.told();
        desk.welcome("s3");
        assert_eq!(desk.told(), ["connected again"], "{what}: refused once");
    }
    // One that was never asked for.
    let mut desk = Desk::with(v1::config());
    desk.give(SessionInput::Connect);
    desk.open();
    desk.say(welcome("s1", 0));
    assert!(!desk.is_connected());
    assert_eq!(desk.farewells.len(), 1);
}

#[test]
fn what_was_never_sent_cannot_be_acknowledged() {
    let beyond = Rejection { serial: 2, problem: Problem::new("not_handled", "") };
    for frame in [ServerFrame::Ack { serial: 2 }, ServerFrame::Rejected(beyond)] {
        let mut desk = Desk::connected();
        desk.send_all(&["a", "b"]);
        assert!(desk.frame().is_some());
        desk.say(frame);
        assert_eq!(desk.farewells[0].code, CloseCode::GAP);
        assert_eq!(desk.session.outbox().in_flight(), 1);
        desk.back(1);
        assert_eq!(desk.heard(), ["2: b"]);
    }
}

#[test]
fn a_second_welcome_is_a_protocol_error() {
    let mut desk = Desk::connected();
    desk.send_all(&["a"]);
    desk.heard();
    desk.welcome("s2");
    assert_eq!(
        desk.farewells,
        [CloseFrame::new(CloseCode::PROTOCOL_ERROR, "unexpected second welcome")]
    );
    desk.back(1);
    assert_eq!(
        desk.told()[1..],
        ["acknowledged 1", "resumed", "connected again"],
        "the session is as it was"
    );
}

#[test]
fn a_link_that_is_connected_again_after_its_end_begins_a_new_session() {
    let config = v1::config();
    let mut desk =
        Desk::connected_with(config.with_link(config.link.with_reopen(ReopenPolicy::Always)));
    desk.follow("news", 4);
    desk.send_all(&["a"]);
    desk.heard();
    desk.close();
    desk.sleep(secs(10));
    assert_eq!(desk.told(), ["in doubt 1", "closed: requested"]);
    assert_eq!(desk.session.resume(), None);
    desk.send("while closed").unwrap_err();
    desk.give(SessionInput::Connect);
    desk.open();
    assert_eq!(desk.asked, None);
    desk.send_all(&["b"]);
    desk.welcome("s2");
    assert_eq!(
        desk.heard(),
        ["subscribe news since 1/4", "1: b"],
        "a channel's place is not the session's"
    );
}

#[test]
fn m20_s06_the_application_is_told_whether_anything_is_missing() {
    let mut desk = Desk::connected();
    desk.publish(None, 1, "a");
    desk.take(1);
    desk.lose();
    desk.back(0);
    desk.publish(None, 2, "missed");
    desk.publish(None, 3, "newer");
    assert_eq!(desk.told()[2..], ["resumed", "connected again", "message missed", "message newer"]);
    desk.lose();
    desk.redial();
    let session = desk.asked.clone().unwrap().session;
    let position = Position::new(1, 40);
    desk.say(ServerFrame::Welcome(Welcome {
        session,
        resumed: true,
        refused: None,
        received: 0,
        rejected: Vec::new(),
        position,
        max_message: None,
    }));
    desk.publish(None, 41, "after the hole");
    assert_eq!(
        desk.told()[1..],
        ["resumed with a hole", "connected again", "message after the hole"]
    );
}

#[test]
fn a_session_that_was_taken_over_ends_here() {
    let mut desk = Desk::connected();
    desk.send_all(&["a"]);
    desk.heard();
    let frame = Frame::Close(CloseFrame::from(CloseCode::REPLACED));
    desk.give(SessionInput::Frame { id: desk.id, frame });
    assert_eq!(desk.told(), ["disconnected 4009: ", "in doubt 1", "closed: replaced"]);
    assert!(matches!(desk.session.state(), State::Closed(_)));
    assert_eq!(desk.session.poll_timeout(), None);
}

#[test]
fn what_the_server_said_before_it_closed_is_the_detail() {
    let mut desk = Desk::connected();
    desk.say(ServerFrame::Error(Problem::new("unavailable", "no database")));
    desk.give(SessionInput::Frame { id: desk.id, frame: Frame::Close(CloseCode(1011).into()) });
    assert_eq!(desk.told(), ["disconnected 1011: unavailable: no database"]);
}

#[test]
fn m12_a_server_that_goes_away_is_told_of_and_come_back_to_when_it_says() {
    let mut desk = Desk::connected();
    desk.say(ServerFrame::GoingAway { retry_after: secs(40) });
    assert!(desk.take_events().iter().any(|event| matches!(event, Event::GoingAway { .. })));
    assert!(desk.is_connected(), "the close is yet to come");
    desk.give(SessionInput::Frame {
        id: desk.id,
        frame: Frame::Close(CloseCode::GOING_AWAY.into()),
    });
    let retry_in = desk.take_events().into_iter().find_map(|event| match event {
        Event::Disconnected { retry_in, .. } => retry_in,
        _ => None,
    });
    assert!((secs(40)..=secs(48)).contains(&retry_in.expect("it comes back")), "{retry_in:?}");
    desk.back(0);
    assert!(desk.is_connected(), "with its session");
}

/// The store was slow: the first hello was given up, and is carried out after the second one.
#[test]
fn i25_a_hello_that_was_given_up_takes_the_session_from_nobody_for_good() {
    let mut desk = Desk::connected();
    desk.lose();
    desk.redial();
    desk.lose();
    desk.back(0);
    desk.told();
    let frame = Frame::Close(CloseFrame::from(CloseCode::REPLACED));
    desk.give(SessionInput::Frame { id: desk.id, frame: frame.clone() });
    assert!(!desk.session.state().is_closed());
    desk.back(0);
    assert_eq!(desk.session.state(), State::Connected);
    // Once is an accident. Twice is somebody else.
    desk.give(SessionInput::Frame { id: desk.id, frame });
    assert!(desk.session.state().is_closed());
}
