//! A user who is kicked: at every node, connected or not, and whatever is under way.

use relink::{CloseCode, CloseFrame};
use relink_node::{NodeInput, StoreRequest};

use crate::world::{World, lobby, millis, secs, top};

fn kick(world: &mut World, node: usize, user: &str) {
    let frame = CloseFrame::new(CloseCode::ACCOUNT_SUSPENDED, "enough");
    world.give(node, NodeInput::Kick { user: user.into(), frame });
}

#[test]
fn m07_a_kicked_user_who_is_away_is_not_resumed_at_any_node() {
    for (kicked_at, back_at) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut world = World::new(2);
        let (id, session) = world.join(0, "ada");
        let (_, bobs) = world.join(0, "bob");
        world.hang_up(id, 1006);
        kick(&mut world, kicked_at, "ada");
        let (new, welcome) = world.come_back(back_at, "ada", &session);
        assert_eq!((welcome.resumed, welcome.refused.as_deref()), (false, Some("session_unknown")));
        world.send(new, 1, "a new session works");
        assert_eq!(world.heard(new), ["ack 1"], "a kick is no ban");
        world.pass(secs(60));
        assert_eq!(world.close_code(new), None);
        assert!(world.come_back(back_at, "bob", &bobs).1.resumed, "others are not concerned");
    }
}

#[test]
fn m07_a_kick_closes_the_connections_at_all_nodes_with_its_code() {
    let mut world = World::new(3);
    let ids: Vec<_> = (0..2).map(|node| world.join(node, "ada").0).collect();
    let (bob, _) = world.join(1, "bob");
    world.be_seen(bob, &lobby(), "");
    for id in &ids {
        world.be_seen(*id, &lobby(), "");
        world.take(*id);
    }
    world.take(bob);
    // Ada has no connection at this one.
    kick(&mut world, 2, "ada");
    for id in ids {
        assert_eq!(world.close_code(id), Some(4012));
        assert_eq!(world.heard(id).last().map(String::as_str), Some("error account_suspended"));
    }
    assert_eq!(world.close_code(bob), None);
    assert_eq!(world.heard(bob), ["left ada", "left ada"], "at once");
    assert_eq!(world.history.sessions(), 1);
}

#[test]
fn m07_a_member_who_is_away_within_the_grace_leaves_at_once_when_kicked() {
    let mut world = World::new(2);
    let (ada, _) = world.join(0, "ada");
    let (bob, _) = world.join(1, "bob");
    world.be_seen(ada, &lobby(), "");
    world.be_seen(bob, &lobby(), "");
    world.hang_up(ada, 1006);
    world.take(bob);
    kick(&mut world, 1, "ada");
    assert_eq!(world.heard(bob), ["left ada"]);
    world.pass(secs(60));
    assert_eq!(world.heard(bob), [] as [&str; 0], "once");
}

#[test]
fn m07_what_a_handler_makes_of_a_kicked_users_message_is_dropped() {
    for (kicked_at, serial, connected) in [0, 1]
        .into_iter()
        .flat_map(|node| [Some(1), None].map(|serial| (node, serial)))
        .flat_map(|(node, serial)| [true, false].map(|connected| (node, serial, connected)))
    {
        let mut world = World::new(2);
        let (id, _) = world.join(0, "ada");
        world.hold_application = true;
        world.message(id, serial, Some(lobby()), "late");
        world.message(id, serial.map(|serial| serial + 1), Some(lobby()), "later");
        if !connected {
            world.hang_up(id, 1006);
        }
        kick(&mut world, kicked_at, "ada");
        world.let_application_go();
        world.pass(secs(10));
        assert_eq!(top(&mut world, &lobby()).offset, 0, "{kicked_at} {serial:?} {connected}");
        assert_eq!(world.nodes[0].stats().unhandled, 0);
        assert!(world.released.contains(&id));
        let new = world.join(0, "ada").0;
        world.message(new, serial, Some(lobby()), "anew");
        assert_eq!(top(&mut world, &lobby()).offset, 1);
    }
}

#[test]
fn m07_what_was_given_to_the_store_before_a_kick_is_committed_before_it() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.hold_store = true;
    world.send(id, 1, "in time");
    kick(&mut world, 0, "ada");
    assert_eq!(world.close_code(id), Some(4012), "at once");
    world.let_store_go();
    assert_eq!(top(&mut world, &lobby()).offset, 1);
    assert!(!world.come_back(0, "ada", &session).1.resumed);
}

#[test]
fn m07_a_kick_and_a_resume_at_the_same_time_never_go_on_with_the_session() {
    for (kicked_at, kick_first, news_are_lost) in [
        (0, true, false),
        (0, false, false),
        (1, true, false),
        (1, false, false),
        (1, true, true),
        (1, false, true),
    ] {
        let mut world = World::new(2);
        let (id, session) = world.join(0, "ada");
        world.hang_up(id, 1006);
        world.hold_store = true;
        world.lose_news = news_are_lost;
        if kick_first {
            kick(&mut world, kicked_at, "ada");
        }
        let back = world.open(0);
        world.hello(back, "ada", Some(session));
        if !kick_first {
            kick(&mut world, kicked_at, "ada");
        }
        world.let_store_go();
        world.pass(secs(5));
        if world.close_code(back).is_some() {
            assert_eq!(world.close_code(back), Some(4012));
        } else {
            assert!(!world.welcome(back).resumed, "{kicked_at} {kick_first} {news_are_lost}");
            world.send(back, 1, "a new session works");
            assert_eq!(world.heard(back), ["ack 1"]);
        }
        assert!(world.history.sessions() <= 1);
    }
}

#[test]
fn m07_a_resume_that_a_kick_overtakes_begins_a_new_session() {
    for resumes in [true, false] {
        let mut world = World::new(2);
        let (id, session) = world.join(0, "ada");
        world.hang_up(id, 1006);
        world.hold_store = true;
        let back = world.open(0);
        world.hello(back, "ada", resumes.then_some(session));
        // The store has answered, but this node does not hear of the session yet.
        let (node, question, what) = world.held.pop_front().expect("a question");
        let answer = world.history.answer(what, world.now);
        world.hold_store = false;
        kick(&mut world, 1, "ada");
        world.give(node, NodeInput::Answered { question, answer: Ok(answer) });
        let welcome = world.welcome(back);
        assert_eq!((welcome.resumed, welcome.refused.is_some()), (false, resumes));
        world.send(back, 1, "a new session works");
        assert_eq!(world.heard(back), ["ack 1"]);
        assert_eq!(world.history.sessions(), 1);
        assert_eq!(world.watched[0].len(), 1, "the new session's stream");
    }
}

#[test]
fn m07_a_kick_while_the_store_is_down_takes_effect_when_it_is_back() {
    let mut world = World::new(2);
    let (here, session) = world.join(0, "ada");
    let (there, _) = world.join(1, "ada");
    world.store_is_down = true;
    kick(&mut world, 0, "ada");
    assert_eq!(
        (world.close_code(here), world.close_code(there)),
        (Some(4012), None),
        "here at once"
    );
    world.pass(secs(10));
    world.store_is_down = false;
    world.pass(secs(10));
    assert_eq!(world.close_code(there), Some(4012));
    assert!(!world.come_back(1, "ada", &session).1.resumed);
}

#[test]
fn m07_a_session_that_another_node_resumes_before_the_store_hears_of_the_kick_ends_all_the_same() {
    for back_after in [0, 10, 100, 1_000, 5_000] {
        let mut world = World::new(2);
        let (id, session) = world.join(0, "ada");
        world.hang_up(id, 1006);
        world.store_is_down = true;
        kick(&mut world, 0, "ada");
        world.pass(secs(10));
        world.store_is_down = false;
        world.pass(millis(back_after));
        let (back, welcome) = world.come_back(1, "ada", &session);
        world.pass(secs(6));
        assert_eq!(world.close_code(back), welcome.resumed.then_some(4012), "{back_after} ms");
        assert!(!world.come_back(1, "ada", &session).1.resumed, "{back_after} ms");
    }
}

#[test]
fn m07_a_kick_waits_for_the_store_for_as_long_as_it_takes() {
    let mut world = World::new(2);
    let (id, session) = world.join(1, "ada");
    world.cut_off = Some(0);
    kick(&mut world, 0, "ada");
    world.pass(secs(120));
    kick(&mut world, 0, "ada");
    world.pass(secs(600));
    assert_eq!(world.close_code(id), None);
    world.questions.clear();
    world.pass(secs(60));
    let asked =
        world.questions.iter().filter(|question| matches!(question, StoreRequest::EndUser { .. }));
    assert!(asked.count() < 30, "about the last kick alone, every 2.5 to 5 s");
    world.cut_off = None;
    world.pass(secs(6));
    assert_eq!(world.close_code(id), Some(4012));
    assert!(!world.come_back(0, "ada", &session).1.resumed);
}

#[test]
fn m07_no_session_is_resumed_between_a_kick_and_its_end_in_the_store() {
    let mut world = World::new(1);
    let (id, session) = world.join(0, "ada");
    world.hang_up(id, 1006);
    world.store_is_down = true;
    kick(&mut world, 0, "ada");
    world.store_is_down = false;
    world.now = world.now + millis(10);
    let (new, welcome) = world.come_back(0, "ada", &session);
    assert_eq!((welcome.resumed, world.history.sessions()), (false, 2));
    world.pass(secs(10));
    assert_eq!((world.close_code(new), world.history.sessions()), (None, 1), "the new one goes on");
    let session = relink::Resume { session: welcome.session, position: welcome.position };
    world.hang_up(new, 1006);
    assert!(world.come_back(0, "ada", &session).1.resumed, "and can be resumed");
}

#[test]
fn m07_a_kick_that_is_asked_again_spares_a_session_that_has_begun_since() {
    let mut world = World::new(1);
    let (_, session) = world.join(0, "ada");
    world.answers_are_lost = true;
    kick(&mut world, 0, "ada");
    world.answers_are_lost = false;
    world.now = world.now + millis(10);
    let (new, welcome) = world.come_back(0, "ada", &session);
    assert!(!welcome.resumed);
    world.pass(secs(30));
    let kicks =
        world.questions.iter().filter(|question| matches!(question, StoreRequest::EndUser { .. }));
    assert_eq!(kicks.count(), 2, "asked again");
    assert_eq!(world.close_code(new), None);
}

#[test]
fn m07_a_node_that_missed_the_news_of_a_kick_closes_when_it_looks() {
    let mut world = World::new(2);
    let (id, session) = world.join(1, "ada");
    world.lose_news = true;
    kick(&mut world, 0, "ada");
    assert_eq!(world.close_code(id), None);
    world.give(1, NodeInput::StoreEvent(relink_node::StoreEvent::Lagged));
    assert_eq!(world.close_code(id), Some(4100));
    assert!(!world.come_back(1, "ada", &session).1.resumed);
}
