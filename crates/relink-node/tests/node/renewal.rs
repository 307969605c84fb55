//! A fresh token: what the old one allowed is authorized again.

use relink::Channel;
use relink::session::Secret;
use relink_node::ConnectionId;
use relink_sim::cluster::{TaskDetail, TaskKind};
use relink_v1::ClientFrame;

use crate::support::{Cluster, Short, lobby, nodes};

fn renew(cluster: &mut Cluster, id: ConnectionId) {
    cluster.say(id, &ClientFrame::Renew { token: Secret::from("ada") });
}

fn private() -> Channel {
    Channel::from("private")
}

#[test]
fn i28_access_that_was_withdrawn_ends_with_the_next_token() {
    let mut cluster = nodes(1);
    let (ada, _) = cluster.join(0, "ada");
    let (bob, _) = cluster.join(0, "bob");
    cluster.be_seen(ada, &private(), "");
    cluster.be_seen(bob, &private(), "");
    cluster.subscribe(ada, &lobby(), None);
    cluster.heard(ada);
    cluster.heard(bob);
    cluster.env.forbidden.insert(private());
    renew(&mut cluster, ada);
    assert_eq!(cluster.heard(ada), ["unsubscribed channel_not_authorized"], "and nothing else");
    assert_eq!(cluster.heard(bob), ["left ada"], "bob has not renewed");
    cluster.message(bob, Some(1), Some(private()), "for those who may");
    cluster.message(bob, Some(2), Some(lobby()), "for all");
    assert_eq!(cluster.heard(ada), ["1: for all"], "the other channel goes on");
}

#[test]
fn i28_a_renewal_that_changes_nothing_is_told_to_nobody() {
    let mut cluster = nodes(1);
    let (ada, _) = cluster.join(0, "ada");
    let (bob, _) = cluster.join(0, "bob");
    cluster.be_seen(bob, &lobby(), "");
    cluster.be_seen(ada, &lobby(), "");
    cluster.heard(ada);
    cluster.heard(bob);
    renew(&mut cluster, ada);
    assert!(cluster.heard(ada).is_empty() && cluster.heard(bob).is_empty());
    cluster.send(bob, 1, "still here");
    assert_eq!(cluster.heard(ada), ["1: still here"]);
}

#[test]
fn i28_a_channels_own_token_is_shown_again() {
    let mut cluster = nodes(1);
    let (ada, _) = cluster.join(0, "ada");
    let token = Some(Secret::from("for the lobby"));
    cluster
        .say(ada, &ClientFrame::Subscribe { channel: lobby(), since: None, token, presence: None });
    cluster.hold(TaskKind::Authorize);
    renew(&mut cluster, ada);
    let task = cluster.take_task(TaskKind::Authorize, 0).expect("a question");
    let TaskDetail::Authorize { channel, token, .. } = &task.detail else { unreachable!() };
    assert_eq!((channel, token.as_ref().map(Secret::expose)), (&lobby(), Some("for the lobby")));
}

#[test]
fn i28_a_renewal_asks_about_a_few_channels_at_a_time_and_about_all_of_them() {
    let mut cluster = nodes(1);
    let (ada, _) = cluster.join(0, "ada");
    let channels: Vec<Channel> =
        (0..100).map(|number| Channel::from(format!("room {number}"))).collect();
    for channel in &channels {
        cluster.subscribe(ada, channel, None);
    }
    cluster.heard(ada);
    cluster.hold(TaskKind::Authorize);
    cluster.env.forbidden.extend(channels.iter().cloned());
    for _ in 0..3 {
        renew(&mut cluster, ada);
        assert!(cluster.authorizing() <= 16, "{} at once", cluster.authorizing());
    }
    while cluster.authorizing() > 0 {
        assert!(cluster.authorizing() <= 16);
        cluster.authorize_next();
        cluster.settle();
    }
    assert_eq!(cluster.heard(ada), vec!["unsubscribed channel_not_authorized"; 100]);
}

/// The application was asked with the old token, and answers after the new one came.
#[test]
fn i28_a_subscription_under_way_is_asked_about_again() {
    let mut cluster = nodes(1);
    let (ada, _) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Authorize);
    cluster.subscribe(ada, &private(), None);
    renew(&mut cluster, ada);
    assert_eq!(cluster.authorizing(), 1, "one question about one channel");
    cluster.authorize_next();
    cluster.settle();
    cluster.env.forbidden.insert(private());
    cluster.authorize_next();
    cluster.settle();
    assert_eq!(cluster.heard(ada), ["subscribed 0 true", "unsubscribed channel_not_authorized"]);
}

/// The refusal is for a subscription that has ended.
#[test]
fn i28_a_late_refusal_does_not_end_a_subscription_that_began_anew() {
    let mut cluster = nodes(1);
    let (ada, _) = cluster.join(0, "ada");
    cluster.subscribe(ada, &private(), None);
    cluster.hold(TaskKind::Authorize);
    renew(&mut cluster, ada);
    cluster.unsubscribe(ada, &private());
    cluster.subscribe(ada, &private(), None);
    cluster.heard(ada);
    cluster.env.forbidden.insert(private());
    cluster.authorize_next();
    cluster.env.forbidden.remove(&private());
    cluster.authorize_next();
    cluster.settle();
    assert_eq!(cluster.heard(ada), ["subscribed 0 true"]);
}
