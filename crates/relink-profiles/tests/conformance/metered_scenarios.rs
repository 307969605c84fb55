//! The eight tests of the document, in virtual time. On real sockets they are among the tests
//! of the drivers.

use relink::link::{Hint, StatusChange};
use relink::session::{OfflineSend, OutboxConfig};
use relink::{CloseCode, ClosedReason, Event, Outgoing, SessionConfig, State};
use relink_profiles::metered::{PROFILE, config, error_name};
use relink_sim::{OnDial, millis, secs};

use crate::support::ProfileSim;

fn with_tokens() -> SessionConfig {
    let mut config =
        config().with_outbox(OutboxConfig::default().with_while_down(OfflineSend::Queue));
    config.link.credentials.fetch = true;
    config
}

fn was_shown(sim: &mut ProfileSim, what: StatusChange) -> bool {
    sim.events().contains(&Event::StatusChange(what))
}

#[test]
fn m24_brief_network_drop() {
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.stable();
    sim.outage();
    sim.send(Outgoing::from("hello").on("room")).unwrap();
    sim.advance(secs(5));
    assert!(
        was_shown(&mut sim, StatusChange::Banner(true))
            && !was_shown(&mut sim, StatusChange::Stuck(true))
    );
    sim.heard();
    sim.up();
    assert!(was_shown(&mut sim, StatusChange::Banner(false)));
    assert_eq!(
        sim.heard(),
        [r#"{"type":"publish","channel":"room","data":"hello"}"#],
        "what waited arrives"
    );
}

#[test]
fn m24_long_network_drop() {
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.stable();
    let lost = sim.outage();
    while !was_shown(&mut sim, StatusChange::Stuck(true)) {
        sim.step();
    }
    assert_eq!(sim.now() - lost, secs(30));
    sim.advance(secs(30));
    sim.up();
    assert!(was_shown(&mut sim, StatusChange::Stuck(false)));
    assert!(sim.now() - lost <= secs(90), "within one delay of the network's return");
}

#[test]
fn m24_server_initiated_close() {
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.stable();
    sim.peer().close(4020);
    sim.advance(secs(3_600));
    assert_eq!(sim.dials().len(), 1, "no retry");
    let State::Closed(end) = sim.state() else { panic!("no end") };
    assert_eq!((error_name(end), end.code()), ("admin_disconnect", Some(CloseCode(4020))));
}

#[test]
fn m24_token_expiry() {
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.stable();
    sim.advance(secs(10));
    sim.peer().close(4002);
    sim.up();
    assert_eq!(sim.dials().last().unwrap().token.as_ref().unwrap().expose(), "token-2");
    assert_eq!(sim.word(), "connected");
}

#[test]
fn m24_token_revocation() {
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.stable();
    sim.peer().reset();
    sim.next_dial();
    sim.peer().close(4001);
    let State::Closed(end @ ClosedReason::Stopped { .. }) = sim.state() else { panic!("no end") };
    assert_eq!(error_name(end), "invalid_token");
    assert!(end.advice().contains("log in again"));
}

#[test]
fn m24_data_channel_reopen() {
    // Channels belong to a connection; the application opens them at each → connected, which comes
    // once per link.
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.stable();
    let mut opened = Vec::new();
    for cycle in 0..3 {
        if cycle > 0 {
            sim.peer().reset();
            sim.up();
        }
        let connected =
            sim.events().iter().filter(|event| matches!(event, Event::Connected { .. })).count();
        opened.push(connected);
    }
    assert_eq!(opened, [1, 2, 3]);
}

#[test]
fn m24_concurrent_cap() {
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.stable();
    sim.peer().on_dial(OnDial::Flap { after: millis(10), code: CloseCode(4010) });
    sim.peer().close(4010);
    sim.advance(secs(200));
    assert!(sim.delays().iter().all(|wait| *wait >= secs(30)));
    assert!((3..=7).contains(&sim.dials().len()), "{}", sim.dials().len());
    sim.up(); // one frees
    assert_eq!(sim.word(), "connected");
}

#[test]
fn m24_backgrounded_tab() {
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.stable();
    sim.peer().silence(); // the server gave up on it meanwhile
    sim.sleep(secs(300));
    sim.hint(Hint::Wake);
    let foreground = sim.now();
    sim.advance(secs(4));
    if sim.machine().link().transport().is_none() {
        sim.next_dial();
    }
    sim.handshake();
    assert_eq!(sim.word(), "connected");
    assert!(sim.now() - foreground <= secs(5), "within seconds");
}
