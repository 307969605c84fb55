//! How a session with acknowledgements ends, and what its configuration must have.

use rand_pcg::Pcg32;
use relink::protocol::Conversation;
use relink::rand_core::SeedableRng;
use relink::session::{OutboxConfig, SendErrorKind};
use relink::{CloseCode, CloseFrame, Guarantee, Session, SessionConfig};
use relink_v1 as v1;
use relink_v1::RelinkV1;

use crate::support::{connect, connected, connected_with, link, millis, secs, send_all, told};

#[test]
fn a_close_waits_for_what_is_in_flight() {
    let mut sim = connected();
    send_all(&mut sim, &["a", "b"]);
    sim.close(1000);
    assert_eq!(sim.peer().lines(), ["1: a", "2: b"], "what waited goes out");
    assert_eq!(sim.send("c").unwrap_err().reason, SendErrorKind::Closed);
    sim.peer().ack(1);
    assert!(
        sim.peer().lines().is_empty() && sim.peer().farewells().is_empty(),
        "one is still in flight"
    );
    sim.peer().publish(None, 1, "meanwhile");
    sim.peer().ack(2);
    assert!(sim.peer().lines().is_empty());
    assert_eq!(sim.peer().farewells(), [CloseFrame::from(CloseCode::NORMAL)]);
    sim.peer().close(1000);
    assert_eq!(
        told(&mut sim),
        ["acknowledged 1", "message meanwhile", "acknowledged 2", "closed: requested"]
    );
    assert_eq!(sim.deadline(), None);
}

#[test]
fn a_close_waits_no_longer_than_it_was_told_and_says_what_is_in_doubt() {
    let config = v1::config().with_outbox(
        OutboxConfig::default().with_guarantee(Guarantee::AtLeastOnce).with_in_flight(2),
    );
    let mut sim = connected_with(config);
    send_all(&mut sim, &["a", "b", "c"]);
    sim.close(1000);
    sim.peer().lines();
    sim.peer().ack(1);
    assert_eq!(sim.peer().lines(), ["3: c"]);
    sim.advance(secs(5) - millis(1));
    assert!(sim.peer().farewells().is_empty());
    sim.advance(millis(1));
    sim.peer().lines();
    assert_eq!(sim.peer().farewells(), [CloseFrame::from(CloseCode::NORMAL)]);
    sim.advance(secs(2));
    assert_eq!(told(&mut sim), ["acknowledged 1", "in doubt 2 to 3", "closed: requested"]);
    assert_eq!(sim.deadline(), None);
}

#[test]
fn a_close_while_the_link_is_down_brings_it_back_for_what_waits() {
    let mut sim = connected();
    send_all(&mut sim, &["a"]);
    sim.peer().lines();
    sim.peer().reset();
    send_all(&mut sim, &["b"]);
    told(&mut sim);
    sim.close(1000);
    assert_eq!(sim.send("c").unwrap_err().reason, SendErrorKind::Closed);
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), ["1: a", "2: b"], "what was in flight, and what waited");
    sim.peer().ack(2);
    sim.peer().lines();
    assert_eq!(sim.peer().farewells(), [CloseFrame::from(CloseCode::NORMAL)]);
    sim.peer().close(1000);
    assert_eq!(
        told(&mut sim),
        ["resumed", "connected again", "acknowledged 1 to 2", "closed: requested"]
    );
    assert_eq!((sim.deadline(), sim.machine().outbox().bytes()), (None, 0));
}

#[test]
fn a_close_while_the_link_is_down_ends_at_once_where_nothing_waits() {
    let mut sim = connected();
    send_all(&mut sim, &["a"]);
    sim.peer().lines();
    sim.peer().ack(1);
    sim.peer().reset();
    told(&mut sim);
    sim.close(1000);
    assert_eq!(told(&mut sim), ["closed: requested"]);
    assert_eq!(sim.deadline(), None);
}

#[test]
fn a_loss_while_the_link_flushes_is_made_good() {
    let mut sim = connected();
    send_all(&mut sim, &["a", "b"]);
    sim.close(1000);
    sim.peer().lines();
    sim.peer().ack(1);
    sim.peer().reset();
    sim.peer().back(1);
    assert_eq!(sim.peer().lines(), ["2: b"]);
    sim.peer().ack(2);
    sim.peer().lines();
    assert_eq!(sim.peer().farewells(), [CloseFrame::from(CloseCode::NORMAL)]);
}

#[test]
fn a_link_that_stays_down_closes_after_the_flush_timeout_and_tells_what_was_dropped() {
    let mut sim = connected();
    send_all(&mut sim, &["a"]);
    sim.peer().lines();
    sim.peer().reset();
    send_all(&mut sim, &["b"]);
    told(&mut sim);
    sim.close(1000);
    for _ in 0..20 {
        sim.advance(millis(500));
        if sim.state().is_closed() {
            break;
        }
        sim.peer().reset();
    }
    assert_eq!(told(&mut sim), ["in doubt 1", "dropped 2: closed", "closed: requested"]);
    assert_eq!((sim.deadline(), sim.machine().outbox().bytes()), (None, 0));
}

#[test]
fn a_backlog_at_its_pace_goes_on_while_the_link_closes() {
    let pace = relink::policy::Rate { burst: 1, refill: secs(1) };
    let outbox =
        OutboxConfig::default().with_guarantee(Guarantee::AtLeastOnce).with_pace(Some(pace));
    let mut sim = link(v1::config().with_outbox(outbox));
    send_all(&mut sim, &["a", "b", "c"]);
    connect(&mut sim);
    sim.close(1000);
    let mut heard = sim.peer().lines();
    for _ in 0..2 {
        sim.advance(secs(1));
        heard.extend(sim.peer().lines());
    }
    assert_eq!(heard, ["1: a", "2: b", "3: c"]);
    sim.peer().ack(3);
    sim.peer().lines();
    assert_eq!(sim.peer().farewells().len(), 1);
}

#[test]
fn a_protocol_whose_step_of_the_handshake_is_off_is_refused() {
    let rng = Pcg32::seed_from_u64(1);
    let session =
        Session::new(SessionConfig::default(), vec!["ws://peer".into()], RelinkV1::default(), rng);
    assert_eq!(
        session.map(drop).unwrap_err().to_string(),
        "handshake.authentication is off, but it must be on: the protocol needs this step"
    );
    // A plain link that waits for a confirmation, without saying how long.
    let rng = Pcg32::seed_from_u64(1);
    let waits = Conversation::default().confirm(|_| true);
    let session = Session::new(SessionConfig::default(), vec!["ws://peer".into()], waits, rng);
    assert_eq!(
        session.map(drop).unwrap_err().to_string(),
        "handshake.welcome is off, but it must be on: the protocol needs this step"
    );
}
