//! Agora RTM's connection states.

use std::collections::BTreeSet;

use relink::policy::GiveUpReason;
use relink::session::Text;
use relink::{ClosedReason, Event, Failure, Position, SessionConfig, State, Subscription};
use relink_node::NodeConfig;
use relink_profiles::agora_rtm::{ChangeReason, ConnectionState, PROFILE, REMOTE_LOGIN, config};
use relink_sim::{Cluster, OnDial, Tokens, millis, secs};
use relink_v1::{ClientFrame, ServerFrame};

use crate::support::{ProfileSim, drawn, summed};

fn with_tokens() -> SessionConfig {
    let mut config = config();
    config.link.credentials.fetch = true;
    config
}

#[test]
fn a01_five_states_the_first_of_them_disconnected() {
    assert_eq!(ProfileSim::new(&PROFILE).word(), "DISCONNECTED");
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
    // Each state occurs in one run.
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.outage();
    sim.advance(secs(5));
    sim.up();
    sim.peer().close(4009);
    assert_eq!(
        sim.changes(),
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
    let mut see = |sim: &mut ProfileSim| {
        for change in sim.changes() {
            let (_, reason) =
                change.split_once(" (").unwrap_or_else(|| panic!("{change} has no reason"));
            unseen.remove(reason.trim_end_matches(')'));
        }
    };
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.outage();
    sim.advance(secs(5));
    sim.close(1000);
    see(&mut sim);
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.peer().close(4009);
    see(&mut sim);
    for refuse in [true, false] {
        let mut sim = ProfileSim::new(&PROFILE);
        sim.peer().on_dial(if refuse { OnDial::Refuse(Failure::Refused) } else { OnDial::Hold });
        sim.connect();
        sim.advance(secs(6));
        see(&mut sim);
    }
    assert!(unseen.is_empty(), "{unseen:?} never came");
}

#[test]
fn a03_login_connects_and_resolves() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.open();
    sim.advance(secs(3));
    assert_eq!(sim.changes(), ["DISCONNECTED → CONNECTING (LOGIN)"]);
    sim.welcome(false);
    assert_eq!(sim.changes(), ["CONNECTING → CONNECTED (LOGIN_SUCCESS)"]);
    assert!(sim.events().contains(&Event::Connected { is_reconnect: false }), "the call resolves");
}

#[test]
fn a04_a_failed_login_is_rejected_and_not_tried_again() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.peer().on_dial(OnDial::Refuse(Failure::Refused));
    sim.connect();
    assert_eq!(
        sim.changes(),
        ["DISCONNECTED → CONNECTING (LOGIN)", "CONNECTING → DISCONNECTED (LOGIN_FAILURE)"]
    );
    let reason = ClosedReason::GaveUp(GiveUpReason::FirstAttempt);
    assert_eq!(sim.events().last(), Some(&Event::Closed { reason }), "the call is rejected");
    sim.advance(secs(600));
    assert_eq!(sim.dials().len(), 1);
    // So is a dial that the server refuses.
    let mut sim = ProfileSim::new(&PROFILE);
    sim.open();
    sim.peer().close(4020);
    assert_eq!(sim.changes().last().unwrap(), "CONNECTING → DISCONNECTED (LOGIN_FAILURE)");
}

#[test]
fn a04_no_reply_in_6_s_is_a_timeout_wherever_the_time_went() {
    let timed_out = "CONNECTING → DISCONNECTED (LOGIN_TIMEOUT)";
    for slow_dial in [secs(6), secs(0), secs(4)] {
        let mut sim = ProfileSim::new(&PROFILE);
        sim.peer().on_dial(OnDial::Hold);
        sim.connect();
        sim.advance(slow_dial.min(millis(5_999)));
        if slow_dial < secs(6) {
            sim.peer().accept();
        }
        sim.advance(millis(5_999) - slow_dial.min(millis(5_999)));
        assert_eq!(sim.word(), "CONNECTING", "not before 6 s");
        sim.changes();
        sim.advance(millis(1));
        assert_eq!(sim.changes(), [timed_out], "after {slow_dial:?} of dialing");
    }
}

#[test]
fn a05_a_recovery_within_4_s_shows_no_change_at_all() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.changes();
    let lost = sim.outage();
    sim.advance(millis(700));
    assert_eq!(sim.dialed_after(lost), [secs(0)], "it tries in silence");
    sim.up();
    assert!(sim.now() - lost < secs(4), "{:?}", sim.now() - lost);
    sim.advance(secs(9));
    assert_eq!(sim.changes(), [] as [&str; 0]);
}

#[test]
fn a05_after_4_s_it_is_reconnecting() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.changes();
    sim.outage();
    sim.advance(millis(3_999));
    assert_eq!((sim.word(), sim.changes()), ("CONNECTED", vec![]));
    sim.advance(millis(1));
    assert_eq!(sim.changes(), ["CONNECTED → RECONNECTING (INTERRUPTED)"]);
}

#[test]
fn a06_reconnecting_goes_on_without_limit_until_success_or_logout() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    let lost = sim.outage();
    let delays = drawn(config().link.backoff, 6);
    while sim.dialed_after(lost).len() < 6 {
        sim.next_dial();
    }
    assert_eq!(sim.dialed_after(lost), summed(&delays), "the delays of the seed");
    sim.advance(secs(7 * 86_400));
    assert_eq!(sim.word(), "RECONNECTING", "after a week");
    sim.changes();
    sim.up();
    assert_eq!(sim.changes(), ["RECONNECTING → CONNECTED (LOGIN_SUCCESS)"]);

    sim.advance(secs(5));
    sim.outage();
    sim.advance(secs(60));
    sim.changes();
    sim.close(1000);
    assert_eq!(sim.changes(), ["RECONNECTING → DISCONNECTED (LOGOUT)"]);
    sim.advance(secs(600));
    assert_eq!(sim.deadline(), None);
}

#[test]
fn a07_a_login_elsewhere_aborts_and_login_starts_again_on_the_same_instance() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    sim.changes();
    sim.peer().close(4009);
    assert_eq!(sim.changes(), ["CONNECTED → ABORTED (REMOTE_LOGIN)"]);
    let end = ClosedReason::Stopped { reason: REMOTE_LOGIN, code: Some(4009.into()) };
    assert_eq!(sim.state(), State::Closed(end));
    sim.advance(secs(86_400));
    assert_eq!(sim.dials().len(), 1, "no retry");

    sim.close(1000); // logout
    sim.up(); // login
    assert_eq!(
        sim.changes(),
        ["ABORTED → CONNECTING (LOGIN)", "CONNECTING → CONNECTED (LOGIN_SUCCESS)"]
    );
}

#[test]
fn a08_a_token_that_expires_while_reconnecting_is_told_and_changes_no_state() {
    let mut sim = ProfileSim::with(&PROFILE, with_tokens());
    sim.tokens(Tokens::Grant(None));
    sim.stable();
    sim.outage();
    sim.advance(secs(10));
    sim.changes();
    sim.peer().on_dial(OnDial::Accept);
    for told in 1..=20_u32 {
        sim.next_dial();
        sim.peer().close(4002);
        let errors =
            sim.events().iter().filter(|event| matches!(event, Event::TokenError { .. })).count();
        assert_eq!(errors, told as usize, "each time, from the first on");
        assert_eq!(sim.word(), "RECONNECTING");
    }
    let tokens: BTreeSet<_> = sim
        .dials()
        .iter()
        .filter_map(|dial| dial.token.clone())
        .map(|token| token.expose().to_owned())
        .collect();
    assert_eq!(tokens.len(), sim.dials().len(), "and each attempt has a fresh one");
    sim.up();
    assert_eq!(sim.word(), "CONNECTED");
}

#[test]
fn a09_a_peer_counts_as_online_for_30_s() {
    let mut cluster = Cluster::new(1, NodeConfig::default());
    let lobby = "lobby".into();
    let (bob, _) = cluster.join(0, "bob");
    cluster.be_seen(bob, &lobby, "");
    let (ada, session) = cluster.join(0, "ada");
    cluster.be_seen(ada, &lobby, "");
    cluster.heard(bob);

    // Back within 30 s: the others are not notified.
    cluster.hang_up(ada, 1006);
    cluster.advance(millis(29_999));
    let (ada, _) = cluster.come_back(0, "ada", &session);
    cluster.be_seen(ada, &lobby, "");
    cluster.advance(secs(60));
    assert!(cluster.heard(bob).is_empty());

    // After 30 s: left, and joined on return.
    cluster.hang_up(ada, 1006);
    cluster.advance(millis(29_999));
    assert!(cluster.heard(bob).is_empty());
    cluster.advance(millis(1));
    assert_eq!(cluster.heard(bob), ["left ada"]);
    let (ada, _) = cluster.come_back(0, "ada", &session);
    cluster.be_seen(ada, &lobby, "");
    assert_eq!(cluster.heard(bob), ["joined ada"]);
}

#[test]
fn a10_after_a_return_it_is_in_the_same_channels_with_the_same_attributes() {
    let mut config = config();
    config.subscriptions.answer_timeout = secs(60);
    let mut sim = ProfileSim::with(&PROFILE, config);
    sim.up();
    let attributes = Subscription::default().with_presence("name=ada");
    sim.subscribe("lobby", attributes);
    sim.subscribe("news", Subscription::default());
    for channel in ["lobby", "news"] {
        let position = Position::new(1, 0);
        sim.say(&ServerFrame::Subscribed { channel: channel.into(), position, recovered: true });
    }
    sim.advance(secs(5));
    sim.outage();
    sim.advance(secs(40));
    sim.heard_v1();
    sim.up();
    let asked: Vec<_> = sim
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
