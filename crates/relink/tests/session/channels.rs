//! Subscriptions.

use rand_pcg::Pcg32;
use relink::link::TransportId;
use relink::rand_core::SeedableRng;
use relink::session::{SubscriptionState, SubscriptionsConfig};
use relink::{
    Event, Plain, Position, Session, SessionAction, SessionConfig, SessionInput, Subscription,
};
use relink_v1 as v1;
use relink_v1::ServerFrame;

use crate::support::{connected, connected_with, follow, is_connected, millis, secs, told};

#[test]
fn m03_what_was_subscribed_to_is_subscribed_to_again_from_where_it_was() {
    let mut sim = connected();
    follow(&mut sim, "a", 0);
    follow(&mut sim, "b", 7);
    sim.peer().publish(Some("a"), 1, "one");
    sim.take(1);
    sim.peer().reset();
    assert!(
        sim.machine().subscriptions().all(|(_, standing)| standing == SubscriptionState::Wanted)
    );
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), ["subscribe a since 1/1", "subscribe b since 1/7"]);
    told(&mut sim);
    sim.peer().subscribed("a", 1, true);
    sim.peer().subscribed("b", 9, false);
    assert_eq!(told(&mut sim), ["subscribed a", "subscribed b with a hole"]);
    sim.peer().subscribed("b", 9, false);
    assert_eq!(
        told(&mut sim),
        ["subscribed b with a hole"],
        "the server lost some, wherever it goes on"
    );
}

#[test]
fn m03_or_that_is_left_to_the_application_and_the_places_are_kept() {
    let subscriptions = SubscriptionsConfig::default().with_resubscribe(false);
    let mut sim = connected_with(v1::config().with_subscriptions(subscriptions));
    follow(&mut sim, "a", 0);
    sim.peer().publish(Some("a"), 1, "one");
    sim.take(1);
    sim.peer().reset();
    sim.subscribe("b", Subscription::default());
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), ["subscribe b"], "only what was asked for since");
    sim.subscribe("a", Subscription::default());
    assert_eq!(sim.peer().lines(), ["subscribe a since 1/1"]);
}

#[test]
fn s06_what_was_missed_comes_before_what_is_newer() {
    let mut sim = connected();
    follow(&mut sim, "a", 4);
    sim.peer().publish(Some("a"), 5, "five");
    sim.take(1);
    sim.peer().reset();
    sim.peer().back(0);
    assert_eq!(sim.peer().lines(), ["subscribe a since 1/5"]);
    told(&mut sim);
    sim.peer().subscribed("a", 5, true);
    for offset in 6..=8 {
        sim.peer().publish(Some("a"), offset, "missed");
    }
    sim.peer().publish(Some("a"), 9, "live");
    assert_eq!(
        told(&mut sim),
        ["subscribed a", "a 6: missed", "a 7: missed", "a 8: missed", "a 9: live"]
    );
}

#[test]
fn s06_an_application_may_begin_where_it_stopped_in_an_earlier_life() {
    let mut sim = connected();
    sim.subscribe("a", Subscription::default().with_since(Position::new(3, 40)));
    assert_eq!(sim.peer().lines(), ["subscribe a since 3/40"]);
    assert_eq!(sim.machine().position(&"a".into()), Some(Position::new(3, 40)));
    sim.peer().say(ServerFrame::Subscribed {
        channel: "a".into(),
        position: Position::new(4, 2),
        recovered: false,
    });
    assert_eq!(told(&mut sim), ["subscribed a with a hole"]);
    assert_eq!(sim.machine().position(&"a".into()), Some(Position::new(4, 2)));
    // From here on, the current position counts.
    sim.subscribe("a", Subscription::default().with_since(Position::new(3, 1)));
    assert_eq!(sim.machine().position(&"a".into()), Some(Position::new(4, 2)));
}

#[test]
fn i28_a_subscription_that_failed_for_now_is_tried_again_and_costs_nobody_else_anything() {
    let mut sim = connected();
    follow(&mut sim, "b", 0);
    sim.subscribe("a", Subscription::default());
    sim.peer().lines();
    let mut waits = Vec::new();
    for _ in 0..4 {
        sim.peer().unsubscribed("a", "unavailable");
        let retry_in = sim.take_events().into_iter().find_map(|event| match event {
            Event::Unsubscribed { retry_in, .. } => retry_in,
            _ => None,
        });
        let wait = retry_in.expect("it is tried again");
        sim.advance(wait - millis(1));
        assert!(sim.peer().lines().is_empty());
        sim.advance(millis(1));
        assert_eq!(sim.peer().lines(), ["subscribe a"]);
        waits.push(wait);
    }
    assert!(waits.is_sorted() && waits[3] > waits[0] * 2, "with growing delays: {waits:?}");
    assert!(is_connected(&sim), "the link lives on");
    sim.peer().publish(Some("b"), 1, "so do the others");
    sim.peer().subscribed("a", 0, true);
    assert_eq!(told(&mut sim), ["b 1: so do the others", "subscribed a"]);
    sim.peer().unsubscribed("a", "unavailable");
    told(&mut sim);
    sim.advance(millis(1_500));
    assert_eq!(sim.peer().lines(), ["subscribe a since 1/0"], "a success starts the schedule over");
}

#[test]
fn i28_a_subscription_that_failed_for_good_waits_for_the_application() {
    let mut sim = connected();
    sim.subscribe("a", Subscription::default());
    sim.peer().lines();
    sim.peer().unsubscribed("elsewhere", "unavailable");
    sim.peer().unsubscribed("a", "channel_not_authorized");
    assert_eq!(told(&mut sim), ["unsubscribed a: channel_not_authorized, no more"]);
    assert_eq!(sim.machine().subscriptions().next(), Some((&"a".into(), SubscriptionState::Over)));
    sim.peer().reset();
    sim.peer().back(0);
    assert!(sim.peer().lines().is_empty());
    sim.subscribe("a", Subscription::default());
    assert_eq!(sim.peer().lines(), ["subscribe a"]);
}

#[test]
fn i28_each_subscription_that_needs_a_token_gets_a_fresh_one_each_time() {
    let mut sim = connected();
    sim.subscribe("a", Subscription::default().with_token());
    assert!(sim.peer().lines().is_empty(), "first the token");
    assert_eq!(sim.take_channel_fetches(), ["a".into()]);
    sim.channel_token("a", Ok("t1"));
    assert_eq!(sim.peer().lines(), ["subscribe a token t1"]);
    sim.peer().subscribed("a", 0, true);
    sim.peer().reset();
    sim.peer().back(0);
    assert!(sim.peer().lines().is_empty());
    assert_eq!(sim.take_channel_fetches(), ["a".into()], "again after a return");
    sim.channel_token("a", Ok("t2"));
    assert_eq!(sim.peer().lines(), ["subscribe a since 1/0 token t2"]);
    told(&mut sim);
    sim.peer().unsubscribed("a", "token_expired");
    assert_eq!(told(&mut sim), ["unsubscribed a: token_expired, later"]);
    sim.advance(secs(2));
    assert!(sim.peer().lines().is_empty());
    assert_eq!(sim.take_channel_fetches(), ["a".into()], "and after it expired");
    sim.channel_token("a", Ok("t3"));
    assert_eq!(sim.peer().lines(), ["subscribe a since 1/0 token t3"]);
    sim.channel_token("a", Ok("late"));
    assert!(sim.peer().lines().is_empty(), "that token came too late");
}

#[test]
fn i28_a_token_that_cannot_be_had_is_tried_again_later() {
    let mut sim = connected();
    sim.subscribe("a", Subscription::default().with_token());
    sim.peer().lines();
    sim.channel_token("a", Err("the provider is down"));
    sim.advance(secs(2));
    sim.peer().lines();
    assert_eq!(sim.take_channel_fetches().len(), 2);
    // And the server does not answer at all.
    sim.advance(secs(10));
    sim.peer().lines();
    assert_eq!(
        told(&mut sim),
        ["unsubscribed a: unavailable, later", "unsubscribed a: unavailable, later"]
    );
    sim.channel_token("a", Ok("late"));
    assert!(sim.peer().lines().is_empty());
    sim.advance(secs(4));
    sim.peer().lines();
    assert_eq!(sim.take_channel_fetches().len(), 1);
    assert!(is_connected(&sim));
}

#[test]
fn i28_a_request_without_an_answer_is_made_again() {
    let mut sim = connected();
    // The transport is full for a while: that does not count against the server.
    sim.subscribe("a", Subscription::default());
    sim.advance(secs(25));
    assert!(told(&mut sim).is_empty());
    assert_eq!(sim.peer().lines(), ["subscribe a"]);
    sim.advance(secs(10));
    assert_eq!(told(&mut sim), ["unsubscribed a: unavailable, later"]);
    sim.peer().subscribed("a", 5, true);
    assert_eq!(told(&mut sim), ["subscribed a"], "an answer is good even if it is late");
    sim.advance(secs(3));
    assert!(sim.peer().lines().iter().all(|frame| frame.starts_with("heartbeat")));
}

#[test]
fn i28_the_answer_is_waited_for_from_the_request_on_and_not_from_the_last_input() {
    let mut sim = connected();
    sim.sleep(secs(29));
    sim.subscribe("a", Subscription::default());
    assert_eq!(sim.peer().lines(), ["subscribe a"]);
    sim.advance(secs(9));
    assert!(told(&mut sim).is_empty());
}

#[test]
fn a_channel_that_is_left_is_forgotten() {
    let mut sim = connected();
    follow(&mut sim, "a", 0);
    assert!(sim.unsubscribe("a"));
    assert!(!sim.unsubscribe("a"));
    assert_eq!(sim.machine().position(&"a".into()), None);
    sim.peer().publish(Some("a"), 1, "on its way");
    sim.peer().joined("a", "eve", "");
    assert_eq!(sim.peer().lines(), ["unsubscribe a"]);
    // And subscribed again, before the server has answered.
    sim.subscribe("a", Subscription::default());
    assert_eq!(sim.peer().lines(), ["subscribe a"]);
    sim.peer().say(ServerFrame::Unsubscribed { channel: "a".into(), problem: None });
    sim.peer().subscribed("a", 1, true);
    assert_eq!(told(&mut sim), ["subscribed a"]);
    sim.peer().reset();
    sim.unsubscribe("a");
    sim.peer().back(0);
    assert!(sim.peer().lines().is_empty());
}

#[test]
fn changes_of_mind_cost_no_more_than_the_channels_they_are_about() {
    let mut sim = connected();
    follow(&mut sim, "a", 0);
    // The transport is full.
    for _ in 0..1_000 {
        sim.unsubscribe("a");
        sim.subscribe("a", Subscription::default());
    }
    assert_eq!(sim.peer().lines(), ["unsubscribe a", "subscribe a"]);
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
        if let SessionAction::Dial { id: dialed, .. } = action {
            id = dialed;
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
    let mut sim = connected();
    sim.subscribe("a", Subscription::default());
    assert_eq!(sim.peer().lines(), ["subscribe a"]);
    sim.unsubscribe("a");
    sim.subscribe("a", Subscription::default());
    assert_eq!(sim.peer().lines(), ["unsubscribe a", "subscribe a"]);
    sim.peer().subscribed("a", 5, true);
    sim.peer().publish(Some("a"), 6, "to the first");
    sim.peer().say(ServerFrame::Unsubscribed { channel: "a".into(), problem: None });
    sim.peer().subscribed("a", 9, true);
    sim.peer().publish(Some("a"), 10, "to the second");
    assert_eq!(told(&mut sim), ["subscribed a", "a 10: to the second"]);
}
