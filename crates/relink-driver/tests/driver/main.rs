//! A driver without IO over a pipe in memory, in virtual time: no socket, no runtime.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod event_loop;
mod local;
mod local_runtime;
mod short_way;

use std::io::{self, ErrorKind};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use relink::{
    CloseCode, Event, Instant, Plain, Session, SessionAction, SessionConfig, SessionInput, State,
};
use relink_driver::{Driver, InboxLimits, Wire, WireError, WireLimits};
use relink_wire::{CloseFrame, Frame};

use event_loop::EventLoop;

fn text(text: &str) -> Frame {
    Frame::text(text)
}

#[test]
fn messages_pass_both_ways_in_order() {
    let mut event_loop = EventLoop::plain(InboxLimits::default());
    let sent: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
    for message in &sent {
        event_loop.driver.send(message.as_str(), event_loop.now).unwrap();
        event_loop.server_says(&text(message));
    }
    event_loop.run();
    assert_eq!(event_loop.server_reads(), sent.iter().map(|it| text(it)).collect::<Vec<_>>());
    assert_eq!(event_loop.messages(), sent.iter().map(|it| it.as_str().into()).collect::<Vec<_>>());
    assert!(event_loop.driver.is_flushed());
}

#[test]
fn what_is_sent_while_a_buffer_is_lent_goes_out_behind_it() {
    let mut event_loop = EventLoop::plain(InboxLimits::default());
    event_loop.lends = true;
    event_loop.driver.send("first", event_loop.now).unwrap();
    event_loop.pipe().room = 3;
    event_loop.run();
    event_loop.lends = false;
    event_loop.pipe().room = 1000;
    event_loop.run();
    assert_eq!(event_loop.server_reads(), [text("first"), text("meanwhile")]);
}

#[test]
fn a_full_socket_keeps_messages_in_the_outbox() {
    let mut event_loop = EventLoop::plain(InboxLimits::default());
    event_loop.pipe().room = 10;
    for _ in 0..100 {
        event_loop.driver.send("x".repeat(10_000), event_loop.now).unwrap();
    }
    event_loop.run();
    assert!(
        event_loop.driver.session().outbox().len() > 90,
        "{:?}",
        event_loop.driver.session().outbox()
    );
    event_loop.pipe().room = usize::MAX;
    event_loop.run();
    assert!(event_loop.driver.session().outbox().is_empty() && event_loop.driver.is_flushed());
    assert_eq!(event_loop.server_reads().len(), 100);
}

#[test]
fn an_application_that_is_behind_stops_the_reading_and_the_peer_is_not_blamed() {
    let mut event_loop = EventLoop::plain(InboxLimits::new(2, 1 << 20).with_look_ahead(0));
    for _ in 0..2 {
        event_loop.server_says(&text("read"));
    }
    event_loop.run();
    event_loop.server_says(&text("unread"));
    event_loop.pass(Duration::from_secs(600));
    assert_eq!(event_loop.driver.session().state(), State::Connected);
    assert!(!event_loop.pipe().arrived.is_empty() && event_loop.driver.is_shut());
    assert_eq!(event_loop.messages(), ["read".into(), "read".into()]);
    event_loop.run();
    assert_eq!(event_loop.messages(), ["unread".into()]);
    // Now this side reads, and hears nothing.
    event_loop.pass(Duration::from_secs(600));
    assert_ne!(event_loop.driver.session().stats().disconnects, 0);
}

#[test]
fn a_socket_that_drains_speaks_for_the_peer() {
    let alive = |room: usize| {
        let mut event_loop = EventLoop::plain(InboxLimits::default());
        event_loop.driver.send("x".repeat(1 << 20), event_loop.now).unwrap();
        event_loop.pipe().room = 1000;
        event_loop.run();
        for _ in 0..100 {
            if let Some(pipe) = &mut event_loop.pipe {
                pipe.room = room;
            }
            event_loop.run();
            event_loop.pass(Duration::from_secs(5));
        }
        event_loop.driver.session().stats().disconnects == 0
    };
    assert!(alive(100), "a ping waits behind a message on a slow line");
    assert!(!alive(0), "nothing goes out any more");
}

#[test]
fn a_write_that_fails_leaves_the_reason_to_what_has_arrived() {
    let mut event_loop = EventLoop::plain(InboxLimits::default());
    event_loop.run();
    let frame = CloseFrame::new(4001, "why");
    event_loop.driver.send("x", event_loop.now).unwrap();
    // It arrives between the read and the write.
    let (driver, now) = (&mut event_loop.driver, event_loop.now);
    let pipe = event_loop.pipe.as_mut().unwrap();
    driver.read(pipe, now);
    pipe.is_broken = true;
    driver.write(pipe, now);
    event_loop.server_says(&Frame::Close(Some(frame)));
    event_loop.run();
    let event = std::iter::from_fn(|| event_loop.driver.poll_event()).find_map(|event| {
        if let Event::Disconnected { code, detail, .. } = event {
            Some((code, detail))
        } else {
            None
        }
    });
    let (code, detail) = event.unwrap();
    assert_eq!((code, detail.as_str()), (CloseCode(4001), "why"));
}

#[test]
fn answers_to_what_came_before_an_error_go_out_before_the_close_frame() {
    let mut event_loop = EventLoop::plain(InboxLimits::default());
    event_loop.server_says(&text("question"));
    // A frame with a reserved bit.
    event_loop.pipe().arrived.extend([0xa1, 0]);
    let (driver, now) = (&mut event_loop.driver, event_loop.now);
    driver.read(event_loop.pipe.as_mut().unwrap(), now);
    assert!(driver.poll_action().is_none());
    assert_eq!(event_loop.messages(), ["question".into()]);
    let (driver, pipe) = (&mut event_loop.driver, event_loop.pipe.as_mut().unwrap());
    driver.send("answer", now).unwrap();
    driver.read(pipe, now);
    let mut actions = std::iter::from_fn(|| driver.poll_action());
    let drop = actions.find(|action| matches!(action, SessionAction::Drop { .. }));
    let Some(SessionAction::Drop { id, farewell }) = drop else { panic!("{drop:?}") };
    driver.leave(id, farewell).unwrap().write_to(pipe);
    let close = Frame::Close(Some(CloseFrame::new(1002, "")));
    assert_eq!(event_loop.server_reads(), [text("answer"), close]);
}

#[test]
fn a_dial_that_fails_and_a_stream_that_ends_are_dialed_again() {
    let mut event_loop = EventLoop::plain(InboxLimits::default());
    event_loop.pipe().has_ended = true;
    event_loop.run();
    assert!(matches!(event_loop.driver.session().state(), State::Reconnecting(_)));
    let id = loop {
        event_loop.now = event_loop.driver.poll_timeout().unwrap();
        event_loop.driver.handle_timeout(event_loop.now);
        let action = event_loop.driver.poll_action();
        if let Some(SessionAction::Dial { id, .. }) = action {
            break id;
        }
    };
    let refused = io::Error::from(ErrorKind::ConnectionRefused);
    event_loop.driver.failed(id, WireError::from(refused), event_loop.now);
    let action = event_loop.driver.poll_action();
    assert!(matches!(action, Some(SessionAction::Drop { .. })), "{action:?}");
    assert!(
        event_loop.driver.leave(id, None).is_none() && event_loop.driver.poll_action().is_none()
    );
    let events: Vec<_> = std::iter::from_fn(|| event_loop.driver.poll_event()).collect();
    let failed = events.iter().any(|event| matches!(event, Event::AttemptFailed { .. }));
    assert!(failed, "{events:?}");
}

#[test]
fn a_late_dial_changes_nothing() {
    let rng = SmallRng::seed_from_u64(1);
    let config = SessionConfig::default();
    let session = Session::new(config, vec!["ws://h/".into()], Plain::default(), rng).unwrap();
    let mut driver = Driver::new(session, InboxLimits::default());
    driver.handle(SessionInput::Connect, Instant::ORIGIN);
    let Some(SessionAction::Dial { id, address, .. }) = driver.poll_action() else {
        panic!("it dials")
    };
    let late = Instant::ORIGIN + Duration::from_secs(3600);
    driver.handle_timeout(late);
    while driver.poll_action().is_some() {}
    let (_, wire) = Wire::dial(&address, None, WireLimits::default()).unwrap();
    driver.connected(id, wire);
    assert!(driver.begin_write(late).is_none() && !driver.is_busy());
}
