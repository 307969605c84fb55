//! M24: the eight tests of the document, in virtual time. On real sockets they are among the tests
//! of the drivers.

use relink::link::{Hint, StatusChange};
use relink::session::{OfflineSend, OutboxConfig};
use relink::{CloseCode, ClosedReason, Event, Outgoing, SessionConfig, State};
use relink_profiles::metered::{PROFILE, config, error_name};
use relink_sim::{OnDial, millis, secs};

use crate::support::Rig;

fn with_tokens() -> SessionConfig {
    let mut config =
        config().with_outbox(OutboxConfig::default().with_while_down(OfflineSend::Queue));
    config.link.credentials.fetch = true;
    config
}

fn was_shown(rig: &mut Rig, what: StatusChange) -> bool {
    rig.events().contains(&Event::StatusChange(what))
}

#[test]
fn m24_brief_network_drop() {
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.stable();
    rig.outage();
    rig.send(Outgoing::from("hello").on("room")).unwrap();
    rig.advance(secs(5));
    assert!(
        was_shown(&mut rig, StatusChange::Banner(true))
            && !was_shown(&mut rig, StatusChange::Stuck(true))
    );
    rig.heard();
    rig.up();
    assert!(was_shown(&mut rig, StatusChange::Banner(false)));
    assert_eq!(
        rig.heard(),
        [r#"{"type":"publish","channel":"room","data":"hello"}"#],
        "what waited arrives"
    );
}

#[test]
fn m24_long_network_drop() {
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.stable();
    let lost = rig.outage();
    while !was_shown(&mut rig, StatusChange::Stuck(true)) {
        rig.step();
    }
    assert_eq!(rig.now() - lost, secs(30));
    rig.advance(secs(30));
    rig.up();
    assert!(was_shown(&mut rig, StatusChange::Stuck(false)));
    assert!(rig.now() - lost <= secs(90), "within one delay of the network's return");
}

#[test]
fn m24_server_initiated_close() {
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.stable();
    rig.peer().close(4020);
    rig.advance(secs(3_600));
    assert_eq!(rig.dials().len(), 1, "no retry");
    let State::Closed(end) = rig.state() else { panic!("no end") };
    assert_eq!((error_name(end), end.code()), ("admin_disconnect", Some(CloseCode(4020))));
}

#[test]
fn m24_token_expiry() {
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.stable();
    rig.advance(secs(10));
    rig.peer().close(4002);
    rig.up();
    assert_eq!(rig.dials().last().unwrap().token.as_ref().unwrap().expose(), "token-2");
    assert_eq!(rig.word(), "connected");
}

#[test]
fn m24_token_revocation() {
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.stable();
    rig.peer().reset();
    rig.next_dial();
    rig.peer().close(4001);
    let State::Closed(end @ ClosedReason::Stopped { .. }) = rig.state() else { panic!("no end") };
    assert_eq!(error_name(end), "invalid_token");
    assert!(end.advice().contains("log in again"));
}

#[test]
fn m24_data_channel_reopen() {
    // Channels belong to a connection; the application opens them at each → connected, which comes
    // once per link.
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.stable();
    let mut opened = Vec::new();
    for cycle in 0..3 {
        if cycle > 0 {
            rig.peer().reset();
            rig.up();
        }
        let connected =
            rig.events().iter().filter(|event| matches!(event, Event::Connected { .. })).count();
        opened.push(connected);
    }
    assert_eq!(opened, [1, 2, 3]);
}

#[test]
fn m24_concurrent_cap() {
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.stable();
    rig.peer().on_dial(OnDial::Flap { after: millis(10), code: CloseCode(4010) });
    rig.peer().close(4010);
    rig.advance(secs(200));
    assert!(rig.delays().iter().all(|wait| *wait >= secs(30)));
    assert!((3..=7).contains(&rig.dials().len()), "{}", rig.dials().len());
    rig.up(); // one frees
    assert_eq!(rig.word(), "connected");
}

#[test]
fn m24_backgrounded_tab() {
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.stable();
    rig.peer().silence(); // the server gave up on it meanwhile
    rig.sleep(secs(300));
    rig.hint(Hint::Wake);
    let foreground = rig.now();
    rig.advance(secs(4));
    if rig.machine().link().transport().is_none() {
        rig.next_dial();
    }
    rig.handshake();
    assert_eq!(rig.word(), "connected");
    assert!(rig.now() - foreground <= secs(5), "within seconds");
}
