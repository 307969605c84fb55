//! How much one client can make the application and the store do at a time.

use relink::session::Secret;
use relink::{Channel, Position};
use relink_node::{HistoryConfig, NodeConfig, NodeInput, StoreRequest};
use relink_v1::ClientFrame;

use crate::world::{World, lobby, secs};

/// One client that subscribes again and again: to one channel, to many, and out again.
#[test]
fn the_application_is_asked_for_few_permissions_at_a_time() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.hold_authorizations = true;
    for round in 0..500 {
        world.subscribe(id, &lobby(), None);
        world.subscribe(id, &format!("room-{}", round % 100).into(), None);
        if round % 3 == 0 {
            world.unsubscribe(id, &lobby());
        }
    }
    world.unsubscribe(id, &lobby());
    world.subscribe(id, &lobby(), None);
    assert_eq!(world.authorizing.len(), 16);
    world.heard(id);
    let mut asked = world.authorizing.len();
    while !world.authorizing.is_empty() {
        let due = world.authorizing.len();
        world.authorize_next();
        world.settle();
        assert!(world.authorizing.len() <= 16);
        asked += world.authorizing.len() + 1 - due;
    }
    let heard = world.heard(id);
    assert_eq!(
        heard.iter().filter(|line| line.starts_with("subscribed")).count(),
        101,
        "each once"
    );
    assert!(asked <= 16 + 101, "{asked} calls: what is not wanted any more is not asked");
}

fn look_ups(world: &World) -> usize {
    world.held.iter().filter(|(_, _, what)| matches!(what, StoreRequest::Read { .. })).count()
}

/// Each time from another place: no two look-ups are the same.
#[test]
fn the_store_is_asked_few_things_at_a_time_for_one_client() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.hold_store = true;
    for round in 0..500 {
        let channel =
            if round % 2 == 0 { lobby() } else { Channel::from(format!("room-{}", round % 100)) };
        world.subscribe(id, &channel, Some(Position::new(1, round)));
        if round % 3 == 0 {
            world.unsubscribe(id, &channel);
        }
        assert!(look_ups(&world) <= 16, "{}", look_ups(&world));
    }
    world.subscribe(id, &lobby(), None);
    world.heard(id);
    world.let_store_go();
    let heard = world.heard(id);
    assert_eq!(
        heard.iter().filter(|line| line.starts_with("subscribed")).count(),
        35,
        "each once: {heard:?}"
    );
}

#[test]
fn a_store_that_is_down_is_not_asked_more_by_a_client_that_asks_again() {
    let mut world = World::new(1);
    let (id, _) = world.join(0, "ada");
    world.store_is_down = true;
    world.questions.clear();
    for round in 0..500 {
        world.subscribe(id, &lobby(), Some(Position::new(1, round)));
    }
    assert_eq!(world.questions.len(), 16);
    world.store_is_down = false;
    world.heard(id);
    world.pass(secs(10));
    assert_eq!(world.heard(id), ["subscribed 0 false"]);
}

/// What is asked for one client does not hold up another one.
#[test]
fn a_client_that_left_takes_no_place_and_its_questions_are_still_shared() {
    let mut world = World::new(1);
    let (ada, _) = world.join(0, "ada");
    let (bob, _) = world.join(0, "bob");
    world.hold_store = true;
    world.subscribe(ada, &lobby(), None);
    for number in 0..50 {
        world.subscribe(bob, &Channel::from(format!("room-{number}")), None);
    }
    world.unsubscribe(bob, &Channel::from("room-3"));
    world.subscribe(bob, &lobby(), None);
    world.hang_up(ada, 1006);
    world.let_store_go();
    let subscribed = world.heard(bob).iter().filter(|line| line.starts_with("subscribed")).count();
    assert_eq!(subscribed, 50);
}

#[test]
fn a09_a_member_that_subscribes_again_and_again_has_one_stay() {
    let mut world = World::new(1);
    let (ada, _) = world.join(0, "ada");
    let (bob, _) = world.join(0, "bob");
    world.be_seen(bob, &lobby(), "");
    world.heard(bob);
    for round in 0..100 {
        world.be_seen(ada, &lobby(), &format!("{}", round / 50));
    }
    assert_eq!(world.heard(bob), ["joined ada", "joined ada"], "with other words");
    world.questions.clear();
    world.pass(secs(31));
    let leaves = |world: &World| {
        world
            .questions
            .iter()
            .filter(|question| matches!(question, StoreRequest::Leave { .. }))
            .count()
    };
    assert_eq!(leaves(&world), 0, "nothing is left to be ended");
    world.hang_up(ada, 1006);
    world.pass(secs(29));
    assert!(world.heard(bob).is_empty(), "the grace");
    world.pass(secs(2));
    assert_eq!((world.heard(bob), leaves(&world)), (vec!["left ada".to_owned()], 1));
}

#[test]
fn a09_a_member_that_may_not_come_again_leaves() {
    let mut world = World::new(1);
    let (ada, _) = world.join(0, "ada");
    let (bob, _) = world.join(0, "bob");
    world.be_seen(bob, &lobby(), "");
    world.be_seen(ada, &lobby(), "");
    world.heard(bob);
    world.forbidden.insert(lobby());
    world.be_seen(ada, &lobby(), "");
    assert_eq!(world.heard(bob), ["left ada"]);
}

/// Answers the oldest question.
fn answer_next(world: &mut World, fails: bool) {
    let (node, question, what) = world.held.pop_front().expect("a question");
    let answer =
        if fails { Err("down".to_owned()) } else { Ok(world.history.answer(what, world.now)) };
    world.give(node, NodeInput::Answered { question, answer });
}

/// The store fails at the first words, and is asked with others meanwhile.
#[test]
fn a09_the_last_words_of_a_member_hold() {
    let mut world = World::new(1);
    let (ada, _) = world.join(0, "ada");
    world.hold_store = true;
    for (words, fails) in [("first", true), ("second", false)] {
        world.be_seen(ada, &lobby(), words);
        answer_next(&mut world, false);
        if fails {
            answer_next(&mut world, true);
        }
    }
    world.pass(secs(1));
    world.let_store_go();
    let joins = world.questions.iter().filter_map(|question| match question {
        StoreRequest::Join { member, .. } => {
            member.info.as_ref().map(|words| words.as_str().to_owned())
        }
        _ => None,
    });
    assert_eq!(
        joins.collect::<Vec<_>>(),
        ["first", "second"],
        "what was overtaken is not said again"
    );
}

#[test]
fn the_tokens_of_channels_are_bounded_in_bytes() {
    let mut world = World::with(1, NodeConfig::default().with_max_subscription_bytes(100_000));
    let (id, _) = world.join(0, "ada");
    let ask = |world: &mut World, name: &str, len: usize| {
        let token = (len > 0).then(|| Secret::from("t".repeat(len)));
        let presence = Some("hello".into());
        world.say(
            id,
            &ClientFrame::Subscribe { channel: name.into(), since: None, token, presence },
        );
        world.heard(id).remove(0)
    };
    for number in 0..6 {
        assert_eq!(ask(&mut world, &format!("room-{number}"), 16_000), "subscribed 0 true");
    }
    assert_eq!(ask(&mut world, "room-6", 16_000), "unsubscribed limit_exceeded");
    assert_eq!(
        ask(&mut world, "room-5", 16_000),
        "subscribed 0 true",
        "in the place of the one before"
    );
    assert_eq!(ask(&mut world, "room-6", 0), "subscribed 0 true");
    world.unsubscribe(id, &Channel::from("room-0"));
    world.heard(id);
    assert_eq!(ask(&mut world, "room-7", 16_000), "subscribed 0 true", "what ended counts no more");
    assert_eq!(world.close_code(id), None);
}

/// A channel that nobody wrote to counts for the user whose subscription began it.
#[test]
fn w09_who_subscribes_to_ever_new_channels_is_refused_and_nobody_else() {
    let history = HistoryConfig::default().with_user_bytes(5_200);
    let mut world = World::with(1, NodeConfig::default().with_history(history));
    let (mallory, _) = world.join(0, "mallory");
    let (ada, _) = world.join(0, "ada");
    let room = |number: usize| Channel::from(format!("room-{number}"));
    for number in 0..10 {
        world.subscribe(mallory, &room(number), None);
    }
    assert!(world.heard(mallory).iter().all(|line| line == "subscribed 0 true"));
    world.hold_store = true;
    world.subscribe(mallory, &room(10), None);
    world.subscribe(ada, &room(10), None);
    world.let_store_go();
    world.pass(secs(1));
    assert_eq!(world.heard(mallory), ["unsubscribed limit_exceeded"]);
    assert_eq!(world.heard(ada), ["subscribed 0 true"], "though both waited for one answer");
    world.subscribe(mallory, &room(10), None);
    assert_eq!(world.heard(mallory), ["subscribed 0 true"], "what is there costs nothing");
}
