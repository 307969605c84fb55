//! How a session with acknowledgements ends, and what it asks of its configuration.

use rand_pcg::Pcg32;
use relink::rand_core::SeedableRng;
use relink::session::{Frame, OutboxConfig, SendErrorKind};
use relink::{CloseCode, CloseFrame, Guarantee, Session, SessionConfig, SessionInput};
use relink_v1 as v1;
use relink_v1::RelinkV1;

use crate::desk::{Desk, millis, secs};

#[test]
fn a_close_waits_for_what_is_in_flight() {
    let mut desk = Desk::connected();
    desk.send_all(&["a", "b"]);
    desk.close();
    assert_eq!(desk.heard(), ["1: a", "2: b"], "what waited goes out");
    assert_eq!(desk.send("c").unwrap_err().reason, SendErrorKind::Closed);
    desk.ack(1);
    assert!(desk.heard().is_empty() && desk.farewells.is_empty(), "one is still in flight");
    desk.publish(None, 1, "meanwhile");
    desk.ack(2);
    assert!(desk.heard().is_empty());
    assert_eq!(desk.farewells, [CloseFrame::from(CloseCode::NORMAL)]);
    desk.give(SessionInput::Frame { id: desk.id, frame: Frame::Close(CloseCode::NORMAL.into()) });
    assert_eq!(
        desk.told(),
        ["acknowledged 1", "message meanwhile", "acknowledged 2", "closed: requested"]
    );
    assert_eq!(desk.session.poll_timeout(), None);
}

#[test]
fn a_close_waits_no_longer_than_it_was_told_and_says_what_is_in_doubt() {
    let config = v1::config().with_outbox(
        OutboxConfig::default().with_guarantee(Guarantee::AtLeastOnce).with_in_flight(2),
    );
    let mut desk = Desk::connected_with(config);
    desk.send_all(&["a", "b", "c"]);
    desk.close();
    desk.heard();
    desk.ack(1);
    assert_eq!(desk.heard(), ["3: c"]);
    desk.sleep(secs(5) - millis(1));
    assert!(desk.farewells.is_empty());
    desk.sleep(millis(1));
    desk.heard();
    assert_eq!(desk.farewells, [CloseFrame::from(CloseCode::NORMAL)]);
    desk.sleep(secs(2));
    assert_eq!(desk.told(), ["acknowledged 1", "in doubt 2 to 3", "closed: requested"]);
    assert_eq!(desk.session.poll_timeout(), None);
}

#[test]
fn a_close_while_the_link_is_down_brings_it_back_for_what_waits() {
    let mut desk = Desk::connected();
    desk.send_all(&["a"]);
    desk.heard();
    desk.lose();
    desk.send_all(&["b"]);
    desk.told();
    desk.close();
    assert_eq!(desk.send("c").unwrap_err().reason, SendErrorKind::Closed);
    desk.back(0);
    assert_eq!(desk.heard(), ["1: a", "2: b"], "what was in flight, and what waited");
    desk.ack(2);
    desk.heard();
    assert_eq!(desk.farewells, [CloseFrame::from(CloseCode::NORMAL)]);
    desk.give(SessionInput::Frame { id: desk.id, frame: Frame::Close(CloseCode::NORMAL.into()) });
    assert_eq!(
        desk.told(),
        ["resumed", "connected again", "acknowledged 1 to 2", "closed: requested"]
    );
    assert_eq!((desk.session.poll_timeout(), desk.session.outbox().bytes()), (None, 0));
}

#[test]
fn a_close_while_the_link_is_down_ends_at_once_where_nothing_waits() {
    let mut desk = Desk::connected();
    desk.send_all(&["a"]);
    desk.heard();
    desk.ack(1);
    desk.lose();
    desk.told();
    desk.close();
    assert_eq!(desk.told(), ["closed: requested"]);
    assert_eq!(desk.session.poll_timeout(), None);
}

#[test]
fn a_loss_while_the_link_flushes_is_made_good() {
    let mut desk = Desk::connected();
    desk.send_all(&["a", "b"]);
    desk.close();
    desk.heard();
    desk.ack(1);
    desk.lose();
    desk.back(1);
    assert_eq!(desk.heard(), ["2: b"]);
    desk.ack(2);
    desk.heard();
    assert_eq!(desk.farewells, [CloseFrame::from(CloseCode::NORMAL)]);
}

#[test]
fn a_link_that_stays_down_closes_after_the_flush_timeout_and_tells_what_was_dropped() {
    let mut desk = Desk::connected();
    desk.send_all(&["a"]);
    desk.heard();
    desk.lose();
    desk.send_all(&["b"]);
    desk.told();
    desk.close();
    for _ in 0..20 {
        desk.sleep(millis(500));
        if desk.session.state().is_closed() {
            break;
        }
        desk.lose();
    }
    assert_eq!(desk.told(), ["in doubt 1", "dropped 2: closed", "closed: requested"]);
    assert_eq!((desk.session.poll_timeout(), desk.session.outbox().bytes()), (None, 0));
}

#[test]
fn a_backlog_at_its_pace_goes_on_while_the_link_closes() {
    let pace = relink::policy::Rate { burst: 1, refill: secs(1) };
    let outbox =
        OutboxConfig::default().with_guarantee(Guarantee::AtLeastOnce).with_pace(Some(pace));
    let mut desk = Desk::with(v1::config().with_outbox(outbox));
    desk.send_all(&["a", "b", "c"]);
    desk.connect();
    desk.close();
    let mut heard = desk.heard();
    for _ in 0..2 {
        desk.sleep(secs(1));
        heard.extend(desk.heard());
    }
    assert_eq!(heard, ["1: a", "2: b", "3: c"]);
    desk.ack(3);
    desk.heard();
    assert_eq!(desk.farewells.len(), 1);
}

#[test]
fn a_protocol_that_is_never_asked_for_its_first_word_is_refused() {
    let rng = Pcg32::seed_from_u64(1);
    let session =
        Session::new(SessionConfig::default(), vec!["ws://peer".into()], RelinkV1::default(), rng);
    assert_eq!(
        session.map(drop).unwrap_err().to_string(),
        "handshake.authentication is off, but it must be on: this protocol says its first word there"
    );
}
