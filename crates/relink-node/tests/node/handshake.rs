//! From the accept to the welcome.

use relink::CloseCode;
use relink::session::{Problem, Secret};
use relink_node::{NodeConfig, NodeEvent, NodeInput};
use relink_v1::{ClientFrame, Encoding};

use crate::support::{Short, lobby, nodes, nodes_with, secs};

#[test]
fn w09_every_new_connection_is_told_its_session() {
    let mut cluster = nodes(1);
    let (_, ada) = cluster.join(0, "ada");
    let (_, bob) = cluster.join(0, "bob");
    assert_ne!(ada.session, bob.session);
    assert_eq!(ada.session.expose().len(), 32, "128 bits");
    assert!(cluster.take_node_events().iter().any(
        |event| matches!(event, NodeEvent::Connected { user, resumed: false, .. } if user == "ada")
    ));
    assert_eq!((cluster.node(0).stats().created, cluster.node(0).connections()), (2, 2));
}

#[test]
fn the_answer_comes_in_the_encoding_of_the_hello() {
    let mut cluster = nodes(1);
    let id = cluster.open_as(0, Encoding::Cbor);
    cluster.hello(id, "ada", None);
    cluster.welcome(id);
    let json = cluster.join(0, "bob").0;
    for id in [id, json] {
        cluster.subscribe(id, &lobby(), None);
    }
    cluster.announce(0, "to both");
    for id in [id, json] {
        assert_eq!(cluster.heard(id), ["subscribed 0 true", "1: to both"]);
    }
}

#[test]
fn a_message_before_hello_is_a_protocol_error() {
    let mut cluster = nodes(1);
    let id = cluster.open(0);
    cluster.send(id, 1, "too early");
    assert_eq!(cluster.close_code(id), Some(1002));
    assert!(cluster.env.handled.is_empty());
}

#[test]
fn hello_twice_is_a_protocol_error_and_the_session_goes_on_elsewhere() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.hello(id, "ada", None);
    assert_eq!(cluster.close_code(id), Some(1002));
    assert!(cluster.come_back(0, "ada", &session).1.resumed);
}

#[test]
fn w11_what_is_no_frame_closes_its_connection_and_nothing_else() {
    let mut cluster = nodes(1);
    let (other, _) = cluster.join(0, "bob");
    cluster.subscribe(other, &lobby(), None);
    for (text, code) in
        [("{", 1007), (r#"{"type":"dance"}"#, 1003), (r#"{"type":"renew","token":7}"#, 1003)]
    {
        let (id, _) = cluster.join(0, "ada");
        cluster.give(0, NodeInput::Message { id, message: text.into() });
        assert_eq!(cluster.close_code(id), Some(code), "{text}");
        assert_eq!(cluster.heard(id), ["error malformed"]);
    }
    cluster.announce(0, "still here");
    assert_eq!(cluster.heard(other), ["subscribed 0 true", "1: still here"]);
}

#[test]
fn whoever_says_nothing_is_closed() {
    let mut cluster = nodes(1);
    let id = cluster.open(0);
    cluster.advance(secs(9));
    assert_eq!(cluster.close_code(id), None);
    cluster.advance(secs(1));
    assert_eq!(cluster.close_code(id), Some(4000));
    assert_eq!(cluster.node(0).connections(), 0);
}

#[test]
fn a_token_that_is_refused_is_answered_in_words_and_with_its_code() {
    let mut cluster = nodes(1);
    for (token, code, word) in
        [("forged", 4001, "error invalid_token"), ("old", 4002, "error token_expired")]
    {
        let id = cluster.open(0);
        cluster.hello(id, token, None);
        assert_eq!(cluster.close_code(id), Some(code));
        assert_eq!(cluster.heard(id), [word]);
    }
    assert_eq!(cluster.node(0).stats().refused, 2);
}

#[test]
fn a_user_known_from_the_http_handshake_needs_no_token() {
    let mut cluster = nodes(1);
    let id = cluster.open_known(0, "ada");
    cluster.say(id, &ClientFrame::Hello { token: None, resume: None, max_message: None });
    assert!(!cluster.welcome(id).resumed);
}

#[test]
fn a_renewed_token_changes_nothing_and_a_refused_one_closes() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.say(id, &ClientFrame::Renew { token: Secret::from("ada") });
    assert_eq!((cluster.close_code(id), cluster.heard(id).len()), (None, 0));
    cluster.say(id, &ClientFrame::Renew { token: Secret::from("old") });
    assert_eq!(cluster.close_code(id), Some(4002));
    let (id, _) = cluster.join(0, "ada");
    cluster.say(id, &ClientFrame::Renew { token: Secret::from("bob") });
    assert_eq!(cluster.close_code(id), Some(4001), "another user's");
}

#[test]
fn m06_one_connection_too_many_is_told_to_wait_for_30_s() {
    let mut cluster = nodes_with(1, NodeConfig::default().with_per_user(Some(2)));
    let (first, session) = cluster.join(0, "ada");
    cluster.join(0, "ada");
    cluster.join(0, "bob");
    let id = cluster.open(0);
    cluster.hello(id, "ada", None);
    let frame = cluster.peer(id).closed.clone().expect("closed");
    assert_eq!((frame.code.0, frame.reason.as_str()), (4010, "retry-after=30s"));
    // A client that comes back replaces its own connection, so it is not one too many.
    assert!(cluster.come_back(0, "ada", &session).1.resumed);
    assert_eq!(cluster.close_code(first), Some(4009));
    let id = cluster.open(0);
    cluster.hello(id, "ada", None);
    assert_eq!(cluster.close_code(id), Some(4010));
}

#[test]
fn i28_a_refused_channel_does_not_end_the_link() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &"secret".into(), None);
    assert_eq!(cluster.heard(id), [format!("unsubscribed {}", Problem::CHANNEL_NOT_AUTHORIZED)]);
    cluster.subscribe(id, &lobby(), None);
    assert_eq!(cluster.heard(id), ["subscribed 0 true"]);
}

#[test]
fn one_channel_too_many_is_refused_alone() {
    let mut cluster = nodes_with(1, NodeConfig::default().with_max_subscriptions(2));
    let (id, _) = cluster.join(0, "ada");
    for channel in ["a", "b", "c", "a"] {
        cluster.subscribe(id, &channel.into(), None);
    }
    let said = cluster.heard(id);
    assert_eq!(
        said,
        [
            "subscribed 0 true",
            "subscribed 0 true",
            "unsubscribed limit_exceeded",
            "subscribed 0 true"
        ]
    );
}

#[test]
fn a_user_whose_name_is_too_long_is_refused_for_good_and_the_application_hears_why() {
    let mut cluster = nodes(1);
    let (fits, _) = cluster.join(0, &"n".repeat(255));
    assert_eq!(cluster.close_code(fits), None);
    cluster.take_node_events();
    let id = cluster.open(0);
    cluster.hello(id, &"n".repeat(300), None);
    let reason = "the user's name has 300 bytes, and may have 255";
    let frame = cluster.peer(id).closed.clone().expect("closed");
    assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::FORBIDDEN, reason));
    assert_eq!(cluster.heard(id), ["error forbidden"]);
    let refused = NodeEvent::Refused { id, code: CloseCode::FORBIDDEN, reason: reason.into() };
    assert_eq!(cluster.take_node_events(), [refused]);
}
