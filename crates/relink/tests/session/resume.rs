//! The session that outlives transports.

use relink::link::ReopenPolicy;
use relink::protocol::Rejection;
use relink::session::{Frame, Problem};
use relink::{CloseCode, CloseFrame, Event, Failure, Position, Resume, SessionInput, State};
use relink_v1 as v1;
use relink_v1::{Codec, ServerFrame, Welcome};

use crate::support::{
    Client, connected, connected_with, follow, is_connected, link, next_frame, secs, send_all, told,
};

/// The position at which the session's own stream will go on.
fn at(sim: &Client) -> u64 {
    sim.machine().resume().expect("a session").position.offset
}

#[test]
fn i24_the_position_moves_when_the_application_has_taken_the_message_and_not_before() {
    let mut sim = connected();
    sim.peer().publish(None, 1, "a");
    sim.peer().publish(None, 2, "b");
    assert_eq!(told(&mut sim), ["message a", "message b"]);
    assert_eq!(at(&sim), 0);
    sim.take(1);
    assert_eq!(at(&sim), 1);
    sim.peer().reset();
    sim.peer().redial();
    assert_eq!(sim.peer().asked().as_ref().unwrap().position, Position::new(1, 1));
    sim.take(100);
    assert_eq!(at(&sim), 2, "also between transports, and never beyond what came");
    sim.peer().welcome_back(0);
    sim.peer().publish(None, 3, "c");
    sim.take(0);
    assert_eq!(at(&sim), 2, "to have taken too much is no credit");
}

#[test]
fn i24_messages_of_all_streams_are_taken_in_the_order_in_which_they_were_told() {
    let mut sim = connected();
    follow(&mut sim, "news", 10);
    sim.peer().publish(Some("news"), 11, "n");
    sim.peer().publish(None, 1, "own");
    sim.peer().publish(Some("news"), 12, "m");
    let news = |sim: &Client| sim.machine().position(&"news".into()).unwrap().offset;
    sim.take(1);
    assert_eq!((news(&sim), at(&sim)), (11, 0));
    sim.take(1);
    assert_eq!((news(&sim), at(&sim)), (11, 1));
    sim.take(1);
    assert_eq!((news(&sim), at(&sim)), (12, 1));
}

#[test]
fn i24_a_refused_resume_ends_id_and_position_together_and_leaves_doubt_about_each_message() {
    let mut sim = connected();
    sim.peer().publish(None, 1, "a");
    sim.take(1);
    send_all(&mut sim, &["b", "c"]);
    assert_eq!(sim.peer().lines().len(), 2);
    sim.peer().reset();
    send_all(&mut sim, &["d"]);
    told(&mut sim);
    sim.peer().redial();
    sim.peer().say(relink_sim::v1::welcome(
        "s2",
        Some(Problem::new("session_expired", "after two minutes")),
    ));
    assert_eq!(told(&mut sim), ["refused: session_expired", "in doubt 1 to 2", "connected again"]);
    let resume = sim.machine().resume().unwrap();
    assert_eq!((resume.session.expose(), resume.position), ("s2", Position::new(1, 0)));
    assert_eq!(
        sim.peer().lines(),
        ["1: d"],
        "what was never sent is not in doubt; serials begin again at 1"
    );
    sim.peer().publish(None, 1, "the first of the new one");
    assert_eq!(told(&mut sim), ["message the first of the new one"]);
    let stats = sim.machine().stats();
    assert_eq!((stats.sessions_lost, stats.sessions_resumed, stats.messages_in_doubt), (1, 0, 2));
    // What the application takes now belongs to the old session.
    sim.take(1);
    assert_eq!(at(&sim), 1);
}

#[test]
fn i24_a_message_of_an_old_session_does_not_move_the_position_in_the_new_one() {
    let mut sim = connected();
    sim.peer().publish(None, 1, "a");
    sim.peer().publish(None, 2, "b");
    sim.peer().reset();
    sim.peer().redial();
    sim.peer().say(ServerFrame::Welcome(Welcome {
        session: "s2".into(),
        resumed: false,
        refused: None,
        received: 0,
        rejected: Vec::new(),
        position: Position::new(2, 0),
        max_message: None,
    }));
    sim.take(2);
    assert_eq!(sim.machine().resume().unwrap().position, Position::new(2, 0));
}

#[test]
fn i24_a_resume_tells_what_became_of_what_was_in_flight() {
    let mut sim = connected();
    send_all(&mut sim, &["a", "b", "c", "d", "e"]);
    sim.peer().lines();
    sim.peer().reset();
    told(&mut sim);
    sim.peer().redial();
    let Resume { session, position } = sim.peer().asked().clone().unwrap();
    let rejection = |serial| Rejection { serial, problem: Problem::new("not_handled", "") };
    let rejected = vec![rejection(4), rejection(2), rejection(99)];
    sim.peer().say(ServerFrame::Welcome(Welcome {
        session,
        resumed: true,
        refused: None,
        received: 4,
        rejected,
        position,
        max_message: None,
    }));
    assert_eq!(
        told(&mut sim),
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
    assert_eq!(sim.peer().lines(), ["5: e"]);
}

#[test]
fn i25_a_session_goes_on_with_no_message_at_all_and_more_than_once() {
    let mut sim = connected();
    for round in 1..=3 {
        sim.peer().reset();
        sim.peer().back(0);
        assert_eq!(sim.peer().asked().as_ref().unwrap().session.expose(), "s1");
        assert!(told(&mut sim).contains(&"resumed".to_owned()));
        assert_eq!(sim.machine().stats().sessions_resumed, round);
    }
    // Lost again before the welcome: the next hello has the same position.
    sim.peer().reset();
    sim.peer().redial();
    sim.peer().reset();
    sim.peer().redial();
    assert_eq!(sim.peer().asked().as_ref().unwrap().session.expose(), "s1");
    sim.peer().welcome_back(0);
    assert!(is_connected(&sim));
}

#[test]
fn i25_nothing_that_comes_late_from_the_old_transport_changes_the_session() {
    let mut sim = connected();
    follow(&mut sim, "news", 0);
    send_all(&mut sim, &["a"]);
    sim.peer().lines();
    let old = sim.id();
    sim.peer().reset();
    sim.peer().back(0);
    told(&mut sim);
    let before = (sim.machine().resume(), sim.machine().outbox().in_flight(), sim.state());
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
        relink_sim::v1::welcome("s9", None),
        ServerFrame::HeartbeatAck { nonce: 1, sent: 99 },
    ];
    for frame in late {
        let frame = Frame::Message(frame.encode(v1::Encoding::Json));
        sim.handle(SessionInput::Frame { id: old, frame });
    }
    let gone = CloseFrame::from(CloseCode::ADMIN_DISCONNECT);
    sim.handle(SessionInput::Frame { id: old, frame: Frame::Close(gone) });
    let failure = Failure::Reset;
    sim.handle(SessionInput::Failed { id: old, failure, detail: String::new(), location: None });
    assert_eq!(before, (sim.machine().resume(), sim.machine().outbox().in_flight(), sim.state()));
    assert!(told(&mut sim).is_empty() && sim.peer().farewells().is_empty());
    assert_eq!(sim.peer().lines(), ["subscribe news since 1/0", "1: a"]);
}

#[test]
fn a_session_goes_on_in_another_process() {
    let mut first = connected();
    first.peer().publish(None, 1, "a");
    first.take(1);
    send_all(&mut first, &["b", "c"]);
    first.peer().lines();
    let kept = first.machine().resume().unwrap();

    let mut second = link(v1::config());
    assert!(second.resume_from(kept.clone()));
    assert!(!second.resume_from(kept.clone()), "once");
    assert_eq!(second.machine().resume().as_ref(), Some(&kept));
    send_all(&mut second, &["d"]);
    second.connect();
    assert_eq!(second.peer().hello().as_ref(), Some(&kept));
    second.peer().welcome_back(2);
    assert_eq!(told(&mut second), ["resumed", "connected"]);
    assert_eq!(second.peer().lines(), ["3: d"], "serials go on after those that the server has");
    second.peer().publish(None, 2, "e");
    second.peer().ack(3);
    assert_eq!(told(&mut second), ["message e", "acknowledged 1"]);
}

#[test]
fn a_session_that_is_on_its_way_takes_no_other() {
    let mut sim = link(v1::config());
    sim.connect();
    let other = Resume { session: "s0".into(), position: Position::new(1, 4) };
    assert!(!sim.resume_from(other));
    sim.peer().hello();
    assert_eq!(sim.peer().asked(), None);
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
        let mut sim = connected();
        send_all(&mut sim, &["a", "b"]);
        sim.peer().lines();
        sim.peer().ack(1);
        sim.peer().reset();
        told(&mut sim);
        sim.peer().redial();
        sim.peer().say(welcome(session, received));
        assert_eq!(told(&mut sim), ["refused: session_inconsistent", "in doubt 2"], "{what}");
        assert_eq!(
            sim.peer().farewells(),
            [CloseFrame::new(CloseCode::GAP, "the sessions differ")],
            "{what}"
        );
        sim.peer().redial();
        assert_eq!(sim.peer().asked(), None, "{what}");
        told(&mut sim);
        sim.peer().welcome("s3");
        assert_eq!(told(&mut sim), ["connected again"], "{what}: refused once");
    }
    // A welcome to a session that was never requested.
    let mut sim = link(v1::config());
    sim.connect();
    sim.peer().hello();
    sim.peer().say(welcome("s1", 0));
    assert!(!is_connected(&sim));
    assert_eq!(sim.peer().farewells().len(), 1);
}

#[test]
fn what_was_never_sent_cannot_be_acknowledged() {
    let beyond = Rejection { serial: 2, problem: Problem::new("not_handled", "") };
    for frame in [ServerFrame::Ack { serial: 2 }, ServerFrame::Rejected(beyond)] {
        let mut sim = connected();
        send_all(&mut sim, &["a", "b"]);
        assert!(next_frame(&mut sim).is_some());
        sim.peer().say(frame);
        assert_eq!(sim.peer().farewells()[0].code, CloseCode::GAP);
        assert_eq!(sim.machine().outbox().in_flight(), 1);
        sim.peer().back(1);
        assert_eq!(sim.peer().lines(), ["2: b"]);
    }
}

#[test]
fn a_second_welcome_is_a_protocol_error() {
    let mut sim = connected();
    send_all(&mut sim, &["a"]);
    sim.peer().lines();
    sim.peer().welcome("s2");
    assert_eq!(
        sim.peer().farewells(),
        [CloseFrame::new(CloseCode::PROTOCOL_ERROR, "unexpected second welcome")]
    );
    sim.peer().back(1);
    assert_eq!(
        told(&mut sim)[1..],
        ["acknowledged 1", "resumed", "connected again"],
        "the session is as it was"
    );
}

#[test]
fn a_link_that_is_connected_again_after_its_end_begins_a_new_session() {
    let config = v1::config();
    let mut sim = connected_with(config.with_link(config.link.with_reopen(ReopenPolicy::Always)));
    follow(&mut sim, "news", 4);
    send_all(&mut sim, &["a"]);
    sim.peer().lines();
    sim.close(1000);
    sim.advance(secs(10));
    assert_eq!(told(&mut sim), ["in doubt 1", "closed: requested"]);
    assert_eq!(sim.machine().resume(), None);
    sim.send("while closed").unwrap_err();
    sim.connect();
    sim.peer().hello();
    assert_eq!(sim.peer().asked(), None);
    send_all(&mut sim, &["b"]);
    sim.peer().welcome("s2");
    assert_eq!(
        sim.peer().lines(),
        ["subscribe news since 1/4", "1: b"],
        "a channel's place is not the session's"
    );
}

#[test]
fn m20_s06_the_application_is_told_whether_anything_is_missing() {
    let mut sim = connected();
    sim.peer().publish(None, 1, "a");
    sim.take(1);
    sim.peer().reset();
    sim.peer().back(0);
    sim.peer().publish(None, 2, "missed");
    sim.peer().publish(None, 3, "newer");
    assert_eq!(
        told(&mut sim)[2..],
        ["resumed", "connected again", "message missed", "message newer"]
    );
    sim.peer().reset();
    sim.peer().redial();
    let session = sim.peer().asked().clone().unwrap().session;
    let position = Position::new(1, 40);
    sim.peer().say(ServerFrame::Welcome(Welcome {
        session,
        resumed: true,
        refused: None,
        received: 0,
        rejected: Vec::new(),
        position,
        max_message: None,
    }));
    sim.peer().publish(None, 41, "after the hole");
    assert_eq!(
        told(&mut sim)[1..],
        ["resumed with a hole", "connected again", "message after the hole"]
    );
}

#[test]
fn a_session_that_was_taken_over_ends_here() {
    let mut sim = connected();
    send_all(&mut sim, &["a"]);
    sim.peer().lines();
    let frame = Frame::Close(CloseFrame::from(CloseCode::REPLACED));
    sim.peer().frame(frame);
    assert_eq!(told(&mut sim), ["disconnected 4009: ", "in doubt 1", "closed: replaced"]);
    assert!(matches!(sim.state(), State::Closed(_)));
    assert_eq!(sim.deadline(), None);
}

#[test]
fn what_the_server_said_before_it_closed_is_the_detail() {
    let mut sim = connected();
    sim.peer().say(ServerFrame::Error(Problem::new("unavailable", "no database")));
    sim.peer().frame(Frame::Close(CloseCode(1011).into()));
    assert_eq!(told(&mut sim), ["disconnected 1011: unavailable: no database"]);
}

#[test]
fn m12_a_server_that_goes_away_is_told_of_and_come_back_to_when_it_says() {
    let mut sim = connected();
    sim.peer().say(ServerFrame::GoingAway { retry_after: secs(40) });
    assert!(sim.take_events().iter().any(|event| matches!(event, Event::GoingAway { .. })));
    assert!(is_connected(&sim), "the close is yet to come");
    sim.handle(SessionInput::Frame {
        id: sim.id(),
        frame: Frame::Close(CloseCode::GOING_AWAY.into()),
    });
    let retry_in = sim.take_events().into_iter().find_map(|event| match event {
        Event::Disconnected { retry_in, .. } => retry_in,
        _ => None,
    });
    assert!((secs(40)..=secs(48)).contains(&retry_in.expect("it comes back")), "{retry_in:?}");
    sim.peer().back(0);
    assert!(is_connected(&sim), "with its session");
}

/// The store was slow: the first hello was abandoned, and is carried out after the second one.
#[test]
fn i25_a_hello_that_was_given_up_takes_the_session_from_nobody_for_good() {
    let mut sim = connected();
    sim.peer().reset();
    sim.peer().redial();
    sim.peer().reset();
    sim.peer().back(0);
    told(&mut sim);
    let frame = Frame::Close(CloseFrame::from(CloseCode::REPLACED));
    sim.peer().frame(frame.clone());
    assert!(!sim.state().is_closed());
    sim.peer().back(0);
    assert_eq!(sim.state(), State::Connected);
    // Once may be an accident; twice is another client.
    sim.peer().frame(frame);
    assert!(sim.state().is_closed());
}
