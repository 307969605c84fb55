//! I28, M3, S6: subscriptions.

use rand_pcg::Pcg32;
use relink::link::TransportId;
use relink::rand_core::SeedableRng;
use relink::session::{SubscriptionState, SubscriptionsConfig};
use relink::{
    Event, Plain, Position, Session, SessionAction, SessionConfig, SessionInput, Subscription,
};
use relink_v1 as v1;
use relink_v1::ServerFrame;

use crate::desk::{Desk, millis, secs};

#[test]
fn m03_what_was_subscribed_to_is_subscribed_to_again_from_where_it_was() {
    let mut desk = Desk::connected();
    desk.follow("a", 0);
    desk.follow("b", 7);
    desk.publish(Some("a"), 1, "one");
    desk.take(1);
    desk.lose();
    assert!(
        desk.session.subscriptions().all(|(_, standing)| standing == SubscriptionState::Wanted)
    );
    desk.back(0);
    assert_eq!(desk.heard(), ["subscribe a since 1/1", "subscribe b since 1/7"]);
    desk.told();
    desk.subscribed("a", 1, true);
    desk.subscribed("b", 9, false);
    assert_eq!(desk.told(), ["subscribed a", "subscribed b with a hole"]);
    desk.subscribed("b", 9, false);
    assert_eq!(
        desk.told(),
        ["subscribed b with a hole"],
        "the server lost some, wherever it goes on"
    );
}

#[test]
fn m03_or_that_is_left_to_the_application_and_the_places_are_kept() {
    let subscriptions = SubscriptionsConfig::default().with_resubscribe(false);
    let mut desk = Desk::connected_with(v1::config().with_subscriptions(subscriptions));
    desk.follow("a", 0);
    desk.publish(Some("a"), 1, "one");
    desk.take(1);
    desk.lose();
    desk.subscribe("b");
    desk.back(0);
    assert_eq!(desk.heard(), ["subscribe b"], "only what was asked for since");
    desk.subscribe("a");
    assert_eq!(desk.heard(), ["subscribe a since 1/1"]);
}

#[test]
fn s06_what_was_missed_comes_before_what_is_newer() {
    let mut desk = Desk::connected();
    desk.follow("a", 4);
    desk.publish(Some("a"), 5, "five");
    desk.take(1);
    desk.lose();
    desk.back(0);
    assert_eq!(desk.heard(), ["subscribe a since 1/5"]);
    desk.told();
    desk.subscribed("a", 5, true);
    for offset in 6..=8 {
        desk.publish(Some("a"), offset, "missed");
    }
    desk.publish(Some("a"), 9, "live");
    assert_eq!(
        desk.told(),
        ["subscribed a", "a 6: missed", "a 7: missed", "a 8: missed", "a 9: live"]
    );
}

#[test]
fn s06_an_application_may_begin_where_it_stopped_in_an_earlier_life() {
    let mut desk = Desk::connected();
    desk.session.subscribe("a", Subscription::default().with_since(Position::new(3, 40)));
    assert_eq!(desk.heard(), ["subscribe a since 3/40"]);
    assert_eq!(desk.session.position(&"a".into()), Some(Position::new(3, 40)));
    desk.say(ServerFrame::Subscribed {
        channel: "a".into(),
        position: Position::new(4, 2),
        recovered: false,
    });
    assert_eq!(desk.told(), ["subscribed a with a hole"]);
    assert_eq!(desk.session.position(&"a".into()), Some(Position::new(4, 2)));
    // Where it is now counts from here on.
    desk.session.subscribe("a", Subscription::default().with_since(Position::new(3, 1)));
    assert_eq!(desk.session.position(&"a".into()), Some(Position::new(4, 2)));
}

#[test]
fn i28_a_subscription_that_failed_for_now_is_tried_again_and_costs_nobody_else_anything() {
    let mut desk = Desk::connected();
    desk.follow("b", 0);
    desk.subscribe("a");
    desk.heard();
    let mut waits = Vec::new();
    for _ in 0..4 {
        desk.unsubscribed("a", "unavailable");
        let retry_in = desk.take_events().into_iter().find_map(|event| match event {
            Event::Unsubscribed { retry_in, .. } => retry_in,
            _ => None,
        });
        let wait = retry_in.expect("it is tried again");
        desk.sleep(wait - millis(1));
        assert!(desk.heard().is_empty());
        desk.sleep(millis(1));
        assert_eq!(desk.heard(), ["subscribe a"]);
        waits.push(wait);
    }
    assert!(waits.is_sorted() && waits[3] > waits[0] * 2, "with growing delays: {waits:?}");
    assert!(desk.is_connected(), "the link lives on");
    desk.publish(Some("b"), 1, "so do the others");
    desk.subscribed("a", 0, true);
    assert_eq!(desk.told(), ["b 1: so do the others", "subscribed a"]);
    desk.unsubscribed("a", "unavailable");
    desk.told();
    desk.sleep(millis(1_500));
    assert_eq!(desk.heard(), ["subscribe a since 1/0"], "a success starts the schedule over");
}

#[test]
fn i28_a_subscription_that_failed_for_good_waits_for_the_application() {
    let mut desk = Desk::connected();
    desk.subscribe("a");
    desk.heard();
    desk.unsubscribed("elsewhere", "unavailable");
    desk.unsubscribed("a", "channel_not_authorized");
    assert_eq!(desk.told(), ["unsubscribed a: channel_not_authorized, no more"]);
    assert_eq!(desk.session.subscriptions().next(), Some((&"a".into(), SubscriptionState::Over)));
    desk.lose();
    desk.back(0);
    assert!(desk.heard().is_empty());
    desk.subscribe("a");
    assert_eq!(desk.heard(), ["subscribe a"]);
}

#[test]
fn i28_each_subscription_that_needs_a_token_gets_a_fresh_one_each_time() {
    let mut desk = Desk::connected();
    desk.session.subscribe("a", Subscription::default().with_token());
    assert!(desk.heard().is_empty(), "first the token");
    assert_eq!(core::mem::take(&mut desk.fetches), ["a".into()]);
    desk.token("a", Ok("t1"));
    assert_eq!(desk.heard(), ["subscribe a token t1"]);
    desk.subscribed("a", 0, true);
    desk.lose();
    desk.back(0);
    assert!(desk.heard().is_empty());
    assert_eq!(core::mem::take(&mut desk.fetches), ["a".into()], "again after a return");
    desk.token("a", Ok("t2"));
    assert_eq!(desk.heard(), ["subscribe a since 1/0 token t2"]);
    desk.told();
    desk.unsubscribed("a", "token_expired");
    assert_eq!(desk.told(), ["unsubscribed a: token_expired, later"]);
    desk.sleep(secs(2));
    assert!(desk.heard().is_empty());
    assert_eq!(core::mem::take(&mut desk.fetches), ["a".into()], "and after it expired");
    desk.token("a", Ok("t3"));
    assert_eq!(desk.heard(), ["subscribe a since 1/0 token t3"]);
    desk.token("a", Ok("late"));
    assert!(desk.heard().is_empty(), "nobody waits for that one");
}

#[test]
fn i28_a_token_that_cannot_be_had_is_tried_again_later() {
    let mut desk = Desk::connected();
    desk.session.subscribe("a", Subscription::default().with_token());
    desk.heard();
    desk.token("a", Err("the provider is down"));
    desk.sleep(secs(2));
    desk.heard();
    assert_eq!(desk.fetches.len(), 2);
    // And nobody answers at all.
    desk.sleep(secs(10));
    desk.heard();
    assert_eq!(
        desk.told(),
        ["unsubscribed a: unavailable, later", "unsubscribed a: unavailable, later"]
    );
    desk.token("a", Ok("late"));
    assert!(desk.heard().is_empty());
    desk.sleep(secs(4));
    desk.heard();
    assert_eq!(desk.fetches.len(), 3);
    assert!(desk.is_connected());
}

#[test]
fn i28_a_request_without_an_answer_is_made_again() {
    let mut desk = Desk::connected();
    // The transport has no room for a while: that is not the server's fault.
    desk.subscribe("a");
    desk.sleep(secs(25));
    assert!(desk.told().is_empty());
    assert_eq!(desk.heard(), ["subscribe a"]);
    desk.sleep(secs(10));
    assert_eq!(desk.told(), ["unsubscribed a: unavailable, later"]);
    desk.subscribed("a", 5, true);
    assert_eq!(desk.told(), ["subscribed a"], "an answer is good even if it is late");
    desk.sleep(secs(3));
    assert!(desk.heard().iter().all(|frame| frame.starts_with("heartbeat")));
}

#[test]
fn i28_the_answer_is_waited_for_from_the_request_on_and_not_from_the_last_input() {
    let mut desk = Desk::connected();
    desk.now = desk.now + secs(29);
    desk.subscribe("a");
    assert_eq!(desk.heard(), ["subscribe a"]);
    desk.sleep(secs(9));
    assert!(desk.told().is_empty());
}

#[test]
fn a_channel_that_is_left_is_forgotten() {
    let mut desk = Desk::connected();
    desk.follow("a", 0);
    assert!(desk.session.unsubscribe(&"a".into()));
    assert!(!desk.session.unsubscribe(&"a".into()));
    assert_eq!(desk.session.position(&"a".into()), None);
    desk.publish(Some("a"), 1, "on its way");
    desk.joined("a", "eve", "");
    assert_eq!(desk.heard(), ["unsubscribe a"]);
    // And wanted again, before the server's answers to any of that have come.
    desk.subscribe("a");
    assert_eq!(desk.heard(), ["subscribe a"]);
    desk.say(ServerFrame::Unsubscribed { channel: "a".into(), problem: None });
    desk.subscribed("a", 1, true);
    assert_eq!(desk.told(), ["subscribed a"]);
    desk.lose();
    desk.session.unsubscribe(&"a".into());
    desk.back(0);
    assert!(desk.heard().is_empty());
}

#[test]
fn changes_of_mind_cost_no_more_than_the_channels_they_are_about() {
    let mut desk = Desk::connected();
    desk.follow("a", 0);
    // The transport has no room.
    for _ in 0..1_000 {
        desk.session.unsubscribe(&"a".into());
        desk.subscribe("a");
    }
    assert_eq!(desk.heard(), ["unsubscribe a", "subscribe a"]);
}

#[test]
fn a_protocol_without_channels_says_so() {
    let addresses = vec!["ws://peer".into()];
    let rng = Pcg32::seed_from_u64(1);
    let mut session =
        Session::new(SessionConfig::default(), addresses, Plain::default(), rng).unwrap();
    let now = relink::Instant::ORIGIN;
    session.handle(SessionInput::Connect, now);
    let mut id = TransportId::default();
    while let Some(action) = session.poll_action() {
        if let SessionAction::Dial { id: dialled, .. } = action {
            id = dialled;
        }
    }
    session.handle(SessionInput::Opened { id }, now);
    session.subscribe("a", Subscription::default());
    assert_eq!(session.poll_transmit(now), None);
    let told = core::iter::from_fn(|| session.poll_action()).find_map(|action| match action {
        SessionAction::Event(Event::Unsubscribed { problem, retry_in, .. }) => {
            Some((problem.name, retry_in))
        }
        _ => None,
    });
    assert_eq!(told, Some(("not_supported".into(), None)));
    assert_eq!(session.state(), relink::State::Connected);
}

#[test]
fn i26_the_answer_to_a_subscription_that_was_given_up_is_none_to_the_next_one() {
    let mut desk = Desk::connected();
    desk.subscribe("a");
    assert_eq!(desk.heard(), ["subscribe a"]);
    desk.session.unsubscribe(&"a".into());
    desk.subscribe("a");
    assert_eq!(desk.heard(), ["unsubscribe a", "subscribe a"]);
    desk.subscribed("a", 5, true);
    desk.publish(Some("a"), 6, "to the first");
    desk.say(ServerFrame::Unsubscribed { channel: "a".into(), problem: None });
    desk.subscribed("a", 9, true);
    desk.publish(Some("a"), 10, "to the second");
    assert_eq!(desk.told(), ["subscribed a", "a 10: to the second"]);
}
