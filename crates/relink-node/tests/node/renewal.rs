//! A fresh token puts in question what the old one allowed.

use relink::Channel;
use relink::session::Secret;
use relink_node::ConnectionId;
use relink_v1::ClientFrame;

use crate::world::{World, lobby};

fn renew(world: &mut World, id: ConnectionId) {
    world.say(id, &ClientFrame::Renew { token: Secret::from("ada") });
}

fn private() -> Channel {
    Channel::from("private")
}

#[test]
fn i28_access_that_was_withdrawn_ends_with_the_next_token() {
    let mut world = World::new(1);
    let (ada, _) = world.join(0, "ada");
    let (bob, _) = world.join(0, "bob");
    world.be_seen(ada, &private(), "");
    world.be_seen(bob, &private(), "");
    world.subscribe(ada, &lobby(), None);
    world.heard(ada);
    world.heard(bob);
    world.forbidden.insert(private());
    renew(&mut world, ada);
    assert_eq!(world.heard(ada), ["unsubscribed channel_not_authorized"], "and nothing else");
    assert_eq!(world.heard(bob), ["left ada"], "bob has not renewed");
    world.message(bob, Some(1), Some(private()), "for those who may");
    world.message(bob, Some(2), Some(lobby()), "for all");
    assert_eq!(world.heard(ada), ["1: for all"], "the other channel goes on");
}

#[test]
fn i28_a_renewal_that_changes_nothing_is_told_to_nobody() {
    let mut world = World::new(1);
    let (ada, _) = world.join(0, "ada");
    let (bob, _) = world.join(0, "bob");
    world.be_seen(bob, &lobby(), "");
    world.be_seen(ada, &lobby(), "");
    world.heard(ada);
    world.heard(bob);
    renew(&mut world, ada);
    assert!(world.heard(ada).is_empty() && world.heard(bob).is_empty());
    world.send(bob, 1, "still here");
    assert_eq!(world.heard(ada), ["1: still here"]);
}

#[test]
fn i28_a_channels_own_token_is_shown_again() {
    let mut world = World::new(1);
    let (ada, _) = world.join(0, "ada");
    let token = Some(Secret::from("for the lobby"));
    world
        .say(ada, &ClientFrame::Subscribe { channel: lobby(), since: None, token, presence: None });
    world.hold_authorizations = true;
    renew(&mut world, ada);
    let (_, _, channel, token) = &world.authorizing[0];
    assert_eq!((channel, token.as_ref().map(Secret::expose)), (&lobby(), Some("for the lobby")));
}

#[test]
fn i28_a_renewal_asks_about_a_few_channels_at_a_time_and_about_all_of_them() {
    let mut world = World::new(1);
    let (ada, _) = world.join(0, "ada");
    let channels: Vec<Channel> =
        (0..100).map(|number| Channel::from(format!("room {number}"))).collect();
    for channel in &channels {
        world.subscribe(ada, channel, None);
    }
    world.heard(ada);
    world.hold_authorizations = true;
    world.forbidden.extend(channels.iter().cloned());
    for _ in 0..3 {
        renew(&mut world, ada);
        assert!(world.authorizing.len() <= 16, "{} at once", world.authorizing.len());
    }
    while !world.authorizing.is_empty() {
        assert!(world.authorizing.len() <= 16);
        world.authorize_next();
        world.settle();
    }
    assert_eq!(world.heard(ada), vec!["unsubscribed channel_not_authorized"; 100]);
}

/// The application was asked with what the old token said, and answers after the new one came.
#[test]
fn i28_a_subscription_under_way_is_asked_about_again() {
    let mut world = World::new(1);
    let (ada, _) = world.join(0, "ada");
    world.hold_authorizations = true;
    world.subscribe(ada, &private(), None);
    renew(&mut world, ada);
    assert_eq!(world.authorizing.len(), 1, "one question about one channel");
    world.authorize_next();
    world.settle();
    world.forbidden.insert(private());
    world.authorize_next();
    world.settle();
    assert_eq!(world.heard(ada), ["subscribed 0 true", "unsubscribed channel_not_authorized"]);
}

/// What is refused was about a subscription that is over.
#[test]
fn i28_a_late_refusal_does_not_end_a_subscription_that_began_anew() {
    let mut world = World::new(1);
    let (ada, _) = world.join(0, "ada");
    world.subscribe(ada, &private(), None);
    world.hold_authorizations = true;
    renew(&mut world, ada);
    world.unsubscribe(ada, &private());
    world.subscribe(ada, &private(), None);
    world.heard(ada);
    world.forbidden.insert(private());
    world.authorize_next();
    world.forbidden.remove(&private());
    world.authorize_next();
    world.settle();
    assert_eq!(world.heard(ada), ["subscribed 0 true"]);
}
