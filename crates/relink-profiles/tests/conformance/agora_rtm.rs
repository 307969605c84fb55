//! A1–A10: Agora RTM's connection states.

use std::collections::BTreeSet;

use relink::policy::GiveUpReason;
use relink::session::Text;
use relink::{ClosedReason, Event, Failure, Instant, Position, SessionConfig, State, Subscription};
use relink_node::{Presence, PresenceChange, PresenceConfig};
use relink_profiles::agora_rtm::{ChangeReason, ConnectionState, PROFILE, REMOTE_LOGIN, config};
use relink_sim::{OnDial, Tokens, millis, secs};
use relink_v1::{ClientFrame, ServerFrame};

use crate::support::{Rig, drawn, summed};

fn with_tokens() -> SessionConfig {
    let mut config = config();
    config.link.credentials.fetch = true;
    config
}

#[test]
fn a01_five_states_the_first_of_them_disconnected() {
    assert_eq!(Rig::new(&PROFILE).word(), "DISCONNECTED");
    let states = [
        ConnectionState::Disconnected,
        ConnectionState::Connecting,
        ConnectionState::Connected,
        ConnectionState::Reconnecting,
        ConnectionState::Aborted,
    ];
    let names: BTreeSet<_> = states.map(ConnectionState::name).into();
    assert_eq!(
        names,
        ["DISCONNECTED", "CONNECTING", "CONNECTED", "RECONNECTING", "ABORTED"].into()
    );
    // All of them in one life.
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.outage();
    rig.advance(secs(5));
    rig.up();
    rig.peer().close(4009);
    assert_eq!(
        rig.changes(),
        [
            "DISCONNECTED → CONNECTING (LOGIN)",
            "CONNECTING → CONNECTED (LOGIN_SUCCESS)",
            "CONNECTED → RECONNECTING (INTERRUPTED)",
            "RECONNECTING → CONNECTED (LOGIN_SUCCESS)",
            "CONNECTED → ABORTED (REMOTE_LOGIN)",
        ]
    );
}

#[test]
fn a02_every_change_carries_one_of_seven_reasons() {
    let reasons = [
        ChangeReason::Login,
        ChangeReason::LoginSuccess,
        ChangeReason::LoginFailure,
        ChangeReason::LoginTimeout,
        ChangeReason::Interrupted,
        ChangeReason::RemoteLogin,
        ChangeReason::Logout,
    ];
    let mut unseen: BTreeSet<_> = reasons.map(ChangeReason::name).into();
    let mut see = |rig: &mut Rig| {
        for change in rig.changes() {
            let (_, reason) =
                change.split_once(" (").unwrap_or_else(|| panic!("{change} has no reason"));
            unseen.remove(reason.trim_end_matches(')'));
        }
    };
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.outage();
    rig.advance(secs(5));
    rig.close(1000);
    see(&mut rig);
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    rig.peer().close(4009);
    see(&mut rig);
    for refuse in [true, false] {
        let mut rig = Rig::new(&PROFILE);
        rig.peer().on_dial(if refuse { OnDial::Refuse(Failure::Refused) } else { OnDial::Hold });
        rig.connect();
        rig.advance(secs(6));
        see(&mut rig);
    }
    assert!(unseen.is_empty(), "{unseen:?} never came");
}

#[test]
fn a03_login_connects_and_resolves() {
    let mut rig = Rig::new(&PROFILE);
    rig.open();
    rig.advance(secs(3));
    assert_eq!(rig.changes(), ["DISCONNECTED → CONNECTING (LOGIN)"]);
    rig.welcome(false);
    assert_eq!(rig.changes(), ["CONNECTING → CONNECTED (LOGIN_SUCCESS)"]);
    assert!(rig.events().contains(&Event::Connected { is_reconnect: false }), "the call resolves");
}

#[test]
fn a04_a_failed_login_is_rejected_and_not_tried_again() {
    let mut rig = Rig::new(&PROFILE);
    rig.peer().on_dial(OnDial::Refuse(Failure::Refused));
    rig.connect();
    assert_eq!(
        rig.changes(),
        ["DISCONNECTED → CONNECTING (LOGIN)", "CONNECTING → DISCONNECTED (LOGIN_FAILURE)"]
    );
    let reason = ClosedReason::GaveUp(GiveUpReason::FirstAttempt);
    assert_eq!(rig.events().last(), Some(&Event::Closed { reason }), "the call is rejected");
    rig.advance(secs(600));
    assert_eq!(rig.dials().len(), 1);
    // So is one that the server refuses.
    let mut rig = Rig::new(&PROFILE);
    rig.open();
    rig.peer().close(4020);
    assert_eq!(rig.changes().last().unwrap(), "CONNECTING → DISCONNECTED (LOGIN_FAILURE)");
}

#[test]
fn a04_no_reply_in_6_s_is_a_timeout_wherever_the_time_went() {
    let timed_out = "CONNECTING → DISCONNECTED (LOGIN_TIMEOUT)";
    for slow_dial in [secs(6), secs(0), secs(4)] {
        let mut rig = Rig::new(&PROFILE);
        rig.peer().on_dial(OnDial::Hold);
        rig.connect();
        rig.advance(slow_dial.min(millis(5_999)));
        if slow_dial < secs(6) {
            rig.peer().accept();
        }
        rig.advance(millis(5_999) - slow_dial.min(millis(5_999)));
        assert_eq!(rig.word(), "CONNECTING", "not before 6 s");
        rig.changes();
        rig.advance(millis(1));
        assert_eq!(rig.changes(), [timed_out], "after {slow_dial:?} of dialling");
    }
}

#[test]
fn a05_a_recovery_within_4_s_shows_no_change_at_all() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.changes();
    let lost = rig.outage();
    rig.advance(millis(700));
    assert_eq!(rig.dialled_after(lost), [secs(0)], "it tries in silence");
    rig.up();
    assert!(rig.now() - lost < secs(4), "{:?}", rig.now() - lost);
    rig.advance(secs(9));
    assert_eq!(rig.changes(), [] as [&str; 0]);
}

#[test]
fn a05_after_4_s_it_is_reconnecting() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.changes();
    rig.outage();
    rig.advance(millis(3_999));
    assert_eq!((rig.word(), rig.changes()), ("CONNECTED", vec![]));
    rig.advance(millis(1));
    assert_eq!(rig.changes(), ["CONNECTED → RECONNECTING (INTERRUPTED)"]);
}

#[test]
fn a06_reconnecting_goes_on_without_limit_until_success_or_logout() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    let lost = rig.outage();
    let delays = drawn(config().link.backoff, 6);
    while rig.dialled_after(lost).len() < 6 {
        rig.next_dial();
    }
    assert_eq!(rig.dialled_after(lost), summed(&delays), "the delays of the seed");
    rig.advance(secs(7 * 86_400));
    assert_eq!(rig.word(), "RECONNECTING", "after a week");
    rig.changes();
    rig.up();
    assert_eq!(rig.changes(), ["RECONNECTING → CONNECTED (LOGIN_SUCCESS)"]);

    rig.advance(secs(5));
    rig.outage();
    rig.advance(secs(60));
    rig.changes();
    rig.close(1000);
    assert_eq!(rig.changes(), ["RECONNECTING → DISCONNECTED (LOGOUT)"]);
    rig.advance(secs(600));
    assert_eq!(rig.deadline(), None);
}

#[test]
fn a07_a_login_elsewhere_aborts_and_login_starts_again_on_the_same_instance() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    rig.changes();
    rig.peer().close(4009);
    assert_eq!(rig.changes(), ["CONNECTED → ABORTED (REMOTE_LOGIN)"]);
    let end = ClosedReason::Stopped { reason: REMOTE_LOGIN, code: Some(4009.into()) };
    assert_eq!(rig.state(), State::Closed(end));
    rig.advance(secs(86_400));
    assert_eq!(rig.dials().len(), 1, "no retry");

    rig.close(1000); // logout
    rig.up(); // login
    assert_eq!(
        rig.changes(),
        ["ABORTED → CONNECTING (LOGIN)", "CONNECTING → CONNECTED (LOGIN_SUCCESS)"]
    );
}

#[test]
fn a08_a_token_that_expires_while_reconnecting_is_told_and_changes_no_state() {
    let mut rig = Rig::with(&PROFILE, with_tokens());
    rig.tokens(Tokens::Grant(None));
    rig.stable();
    rig.outage();
    rig.advance(secs(10));
    rig.changes();
    rig.peer().on_dial(OnDial::Accept);
    for told in 1..=20_u32 {
        rig.next_dial();
        rig.peer().close(4002);
        let errors =
            rig.events().iter().filter(|event| matches!(event, Event::TokenError { .. })).count();
        assert_eq!(errors, told as usize, "each time, from the first on");
        assert_eq!(rig.word(), "RECONNECTING");
    }
    let tokens: BTreeSet<_> = rig
        .dials()
        .iter()
        .filter_map(|dial| dial.token.clone())
        .map(|token| token.expose().to_owned())
        .collect();
    assert_eq!(tokens.len(), rig.dials().len(), "and each attempt has a fresh one");
    rig.up();
    assert_eq!(rig.word(), "CONNECTED");
}

#[test]
fn a09_a_peer_counts_as_online_for_30_s() {
    let at = |millis: u64| Instant::from_origin(std::time::Duration::from_millis(millis));
    let mut others = Presence::new(PresenceConfig::default());
    assert_eq!(others.online("ada"), PresenceChange::Joined);

    // Back inside 30 s: nobody is told.
    others.broken(&"ada", at(10_000));
    others.handle_timeout(at(39_999));
    assert_eq!(others.poll_left(), None);
    assert_eq!(others.online("ada"), PresenceChange::Unchanged);

    // After 30 s: left, and joined on return.
    others.broken(&"ada", at(100_000));
    assert_eq!(others.poll_timeout(), Some(at(130_000)));
    others.handle_timeout(at(130_000));
    assert_eq!(others.poll_left(), Some("ada"));
    assert_eq!(others.online("ada"), PresenceChange::Joined);
}

#[test]
fn a10_after_a_return_it_is_in_the_same_channels_with_the_same_attributes() {
    let mut config = config();
    config.subscriptions.answer_timeout = secs(60);
    let mut rig = Rig::with(&PROFILE, config);
    rig.up();
    let attributes = Subscription::default().with_presence("name=ada");
    rig.subscribe("lobby", attributes);
    rig.subscribe("news", Subscription::default());
    for channel in ["lobby", "news"] {
        let position = Position::new(1, 0);
        rig.say(&ServerFrame::Subscribed { channel: channel.into(), position, recovered: true });
    }
    rig.advance(secs(5));
    rig.outage();
    rig.advance(secs(40));
    rig.heard_v1();
    rig.up();
    let asked: Vec<_> = rig
        .heard_v1()
        .into_iter()
        .filter_map(|frame| {
            if let ClientFrame::Subscribe { channel, presence, .. } = frame {
                Some((
                    channel.to_string(),
                    presence.as_ref().map(|text: &Text| text.as_str().to_owned()),
                ))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        asked,
        [("lobby".to_owned(), Some("name=ada".to_owned())), ("news".to_owned(), None)]
    );
}
