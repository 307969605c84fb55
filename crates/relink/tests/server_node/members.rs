//! Who is in a channel, and how long after the link broke.

use relink::server::{News, NodeConfig, NodeEvent, NodeInput};
use relink::v1::ServerFrame;

use crate::world::{World, lobby, secs};

fn two(world: &mut World) -> (relink::server::ConnectionId, relink::server::ConnectionId, relink::Resume) {
    let last = world.nodes.len() - 1;
    let (bob, _) = world.join(last, "bob");
    world.be_seen(bob, &lobby(), "hi");
    let (ada, session) = world.join(0, "ada");
    world.be_seen(ada, &lobby(), "hello");
    (ada, bob, session)
}

#[test]
fn the_list_comes_first_and_changes_follow() {
    let mut world = World::new(2);
    let (ada, bob, _) = two(&mut world);
    let mut said = world.heard(ada);
    said.retain(|word| word != "joined ada");
    assert_eq!(said, ["subscribed 0 true", "members ada,bob"].map(String::from).to_vec().tap_sorted(&said));
    assert_eq!(world.heard(bob).last().expect("news"), "joined ada");
    world.unsubscribe(ada, &lobby());
    assert_eq!(world.heard(bob), ["left ada"]);
}

/// The members of a list come in the order of their sessions, which is no order that anybody knows.
trait Sorted {
    fn tap_sorted(self, like: &[String]) -> Vec<String>;
}

impl Sorted for Vec<String> {
    fn tap_sorted(mut self, like: &[String]) -> Vec<String> {
        if like.iter().any(|word| word == "members bob,ada") {
            self.retain(|word| word != "members ada,bob");
            self.push("members bob,ada".into());
        }
        self
    }
}

#[test]
fn a09_back_inside_30_s_nobody_is_told() {
    for node in 0..2 {
        let mut world = World::new(2);
        let (ada, bob, session) = two(&mut world);
        world.heard(bob);
        world.hang_up(ada, 1006);
        world.pass(secs(29));
        let (ada, welcome) = world.come_back(node, "ada", &session);
        assert!(welcome.resumed);
        world.be_seen(ada, &lobby(), "hello");
        world.pass(secs(120));
        assert!(world.heard(bob).is_empty(), "on node {node}");
    }
}

#[test]
fn a09_after_30_s_the_others_are_told_and_told_again_of_the_return() {
    let mut world = World::new(2);
    let (ada, bob, session) = two(&mut world);
    world.heard(bob);
    world.hang_up(ada, 1006);
    world.pass(secs(29));
    assert!(world.heard(bob).is_empty());
    world.pass(secs(1));
    assert_eq!(world.heard(bob), ["left ada"]);
    assert!(world.events().iter().any(|event| matches!(event, NodeEvent::Left { .. })));
    let (ada, _) = world.come_back(0, "ada", &session);
    world.be_seen(ada, &lobby(), "hello");
    assert_eq!(world.heard(bob), ["joined ada"]);
}

#[test]
fn a09_a_clean_close_is_told_at_once() {
    let mut world = World::new(2);
    let (ada, bob, _) = two(&mut world);
    world.heard(bob);
    world.hang_up(ada, 1000);
    assert_eq!(world.heard(bob), ["left ada"]);
}

#[test]
fn a10_the_same_member_in_the_same_channel_with_its_words() {
    let mut world = World::new(1);
    let (ada, bob, session) = two(&mut world);
    let before = joins(&world.take(bob));
    world.hang_up(ada, 1006);
    let (ada, _) = world.come_back(0, "ada", &session);
    world.be_seen(ada, &lobby(), "hello");
    let (eve, _) = world.join(0, "eve");
    world.be_seen(eve, &lobby(), "");
    let members = world.take(eve).into_iter().find_map(|frame| match frame {
        ServerFrame::Members { members, .. } => Some(members),
        _ => None,
    });
    let members = members.expect("a list");
    let ada = members.iter().find(|member| member.user == "ada").expect("ada");
    assert_eq!(ada.info.as_ref().map(relink::Text::as_str), Some("hello"));
    assert!(before.contains(&ada.join), "known by the same name");
}

fn joins(frames: &[ServerFrame]) -> Vec<String> {
    let join = |frame: &ServerFrame| match frame {
        ServerFrame::Joined { member, .. } => Some(member.join.clone()),
        _ => None,
    };
    frames.iter().filter_map(join).collect()
}

#[test]
fn other_words_after_a_return_are_told() {
    let mut world = World::new(1);
    let (ada, bob, session) = two(&mut world);
    world.heard(bob);
    world.hang_up(ada, 1006);
    let (ada, _) = world.come_back(0, "ada", &session);
    world.be_seen(ada, &lobby(), "in other words");
    assert_eq!(world.heard(bob), ["joined ada"]);
}

#[test]
fn i27_changes_that_come_before_the_list_are_in_it() {
    let mut world = World::new(1);
    let (ada, bob, _) = two(&mut world);
    world.heard(ada);
    let (eve, _) = world.join(0, "eve");
    world.be_seen(eve, &lobby(), "");
    world.heard(eve);
    world.unsubscribe(eve, &lobby());
    // Of the two questions, to join and for the list, the second is held back.
    world.heard(eve);
    world.hold_store = true;
    world.be_seen(eve, &lobby(), "");
    for _ in 0..2 {
        let (node, question, what) = world.held.pop_front().expect("a question");
        let answer = world.history.answer(what, world.now);
        world.give(node, NodeInput::Answered { question, answer: Ok(answer) });
    }
    let (node, question, what) = world.held.pop_front().expect("the list");
    let list = world.history.answer(what, world.now);
    world.hold_store = false;
    world.hang_up(bob, 1000);
    world.give(node, NodeInput::Answered { question, answer: Ok(list) });
    let said = world.heard(eve);
    let list = said.iter().find(|word| word.starts_with("members")).expect("a list");
    assert!(!list.contains("bob") && list.contains("ada") && list.contains("eve"), "{list}");
    assert!(!said.iter().any(|word| word == "left bob"), "net changes only");
}

#[test]
fn lost_news_of_members_are_mended_by_another_list() {
    let mut world = World::new(1);
    let (ada, bob, _) = two(&mut world);
    world.heard(bob);
    world.lose_news = true;
    world.hang_up(ada, 1000);
    world.settle();
    world.lose_news = false;
    world.give(0, NodeInput::News(News::Doubt));
    assert_eq!(world.heard(bob), ["members bob"]);
}

#[test]
fn whoever_is_too_slow_for_changes_gets_a_list_instead() {
    let mut world = World::with(1, NodeConfig::default().with_max_outbound_bytes(2_000));
    let (_, bob, _) = two(&mut world);
    world.peers.get_mut(&bob).expect("a peer").reads = false;
    for number in 0..100 {
        let (id, _) = world.join(0, &format!("guest {number}"));
        world.be_seen(id, &lobby(), "");
        if number < 98 {
            world.hang_up(id, 1000);
        }
        assert!(world.nodes[0].stats().outbound_bytes < 10_000);
    }
    world.peers.get_mut(&bob).expect("a peer").reads = true;
    world.settle();
    let said = world.heard(bob);
    let list = said.iter().rev().find(|word| word.starts_with("members")).expect("a list");
    for name in ["ada", "bob", "guest 98", "guest 99"] {
        assert!(list.contains(name), "{list}");
    }
    assert!(!list.contains("guest 97"), "{list}");
}

#[test]
fn members_of_a_node_that_died_leave_with_their_sessions() {
    let mut world = World::new(2);
    let (_, bob, _) = two(&mut world);
    world.heard(bob);
    // Node 0 is gone, and says nothing any more.
    world.nodes[0] = relink::server::Node::new(NodeConfig::default(), crate::world::dice(9)).expect("valid");
    world.pass(secs(121));
    assert_eq!(world.heard(bob), ["left ada"]);
}
