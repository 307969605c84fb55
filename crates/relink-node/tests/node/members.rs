//! Members of a channel, and their grace after the link broke.

use std::collections::BTreeSet;

use relink::rand_core::Rng;
use relink::session::MemberChange;
use relink_node::{
    ConnectionId, LivenessConfig, NodeConfig, NodeEvent, NodeInput, StoreEvent, StoreRequest,
};
use relink_sim::cluster::{Task, TaskDetail, TaskKind};
use relink_v1::{Codec, Encoding, ServerFrame};

use crate::support::{Cluster, Short, dice, lobby, nodes, nodes_with, secs};

/// Bob at the last node, and Ada at the first one.
fn two(cluster: &mut Cluster, last: usize) -> (ConnectionId, ConnectionId, relink::Resume) {
    let (bob, _) = cluster.join(last, "bob");
    cluster.be_seen(bob, &lobby(), "hi");
    let (ada, session) = cluster.join(0, "ada");
    cluster.be_seen(ada, &lobby(), "hello");
    (ada, bob, session)
}

/// Takes no connection for dead while the node is suspended.
fn patient() -> LivenessConfig {
    LivenessConfig::default().with_silence(secs(300))
}

#[test]
fn the_list_comes_first_and_changes_follow() {
    let mut cluster = nodes(2);
    let (ada, bob, _) = two(&mut cluster, 1);
    let mut said = cluster.heard(ada);
    said.retain(|word| word != "joined ada");
    assert_eq!(
        said,
        ["subscribed 0 true", "members ada,bob"].map(String::from).to_vec().tap_sorted(&said)
    );
    assert_eq!(cluster.heard(bob).last().expect("news"), "joined ada");
    cluster.unsubscribe(ada, &lobby());
    assert_eq!(cluster.heard(bob), ["left ada"]);
}

/// The members of a list are in the order of their session ids, which are random.
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
        let mut cluster = nodes(2);
        let (ada, bob, session) = two(&mut cluster, 1);
        cluster.heard(bob);
        cluster.hang_up(ada, 1006);
        cluster.advance(secs(29));
        let (ada, welcome) = cluster.come_back(node, "ada", &session);
        assert!(welcome.resumed);
        cluster.be_seen(ada, &lobby(), "hello");
        cluster.advance(secs(120));
        assert!(cluster.heard(bob).is_empty(), "on node {node}");
    }
}

#[test]
fn a09_after_30_s_the_others_are_told_and_told_again_of_the_return() {
    let mut cluster = nodes(2);
    let (ada, bob, session) = two(&mut cluster, 1);
    cluster.heard(bob);
    cluster.hang_up(ada, 1006);
    cluster.advance(secs(29));
    assert!(cluster.heard(bob).is_empty());
    cluster.advance(secs(1));
    assert_eq!(cluster.heard(bob), ["left ada"]);
    assert!(cluster.take_node_events().iter().any(|event| matches!(
        event,
        NodeEvent::MemberChanged { change: MemberChange::Left(_), .. }
    )));
    let (ada, _) = cluster.come_back(0, "ada", &session);
    cluster.be_seen(ada, &lobby(), "hello");
    assert_eq!(cluster.heard(bob), ["joined ada"]);
}

/// The node was suspended, and handles the return before the timeout of the grace.
#[test]
fn a09_who_returns_before_anybody_was_told_was_never_away() {
    let mut cluster = nodes_with(1, NodeConfig::default().with_liveness(patient()));
    let (ada, bob, session) = two(&mut cluster, 0);
    cluster.heard(bob);
    cluster.hang_up(ada, 1006);
    cluster.suspend(secs(40));
    let (ada, _) = cluster.come_back(0, "ada", &session);
    cluster.be_seen(ada, &lobby(), "hello");
    cluster.advance(secs(1));
    assert!(cluster.heard(bob).is_empty());

    // It drops again: the new grace counts, not the old one.
    cluster.hang_up(ada, 1006);
    cluster.advance(secs(29));
    assert!(cluster.heard(bob).is_empty());
    cluster.advance(secs(1));
    assert_eq!(cluster.heard(bob), ["left ada"]);
}

#[test]
fn a09_a_clean_close_within_the_grace_is_told_at_once() {
    let mut cluster = nodes(1);
    let (ada, bob, session) = two(&mut cluster, 0);
    cluster.heard(bob);
    cluster.hang_up(ada, 1006);
    cluster.advance(secs(5));
    let (ada, _) = cluster.come_back(0, "ada", &session);
    cluster.be_seen(ada, &lobby(), "hello");
    cluster.unsubscribe(ada, &lobby());
    assert_eq!(cluster.heard(bob), ["left ada"]);
    cluster.advance(secs(60));
    assert!(cluster.heard(bob).is_empty(), "once");
}

#[test]
fn a09_a_clean_close_is_told_at_once() {
    let mut cluster = nodes(2);
    let (ada, bob, _) = two(&mut cluster, 1);
    cluster.heard(bob);
    cluster.hang_up(ada, 1000);
    assert_eq!(cluster.heard(bob), ["left ada"]);
}

#[test]
fn a10_the_same_member_in_the_same_channel_with_its_words() {
    let mut cluster = nodes(1);
    let (ada, bob, session) = two(&mut cluster, 0);
    let before = joins(&cluster.take(bob));
    cluster.hang_up(ada, 1006);
    let (ada, _) = cluster.come_back(0, "ada", &session);
    cluster.be_seen(ada, &lobby(), "hello");
    let (eve, _) = cluster.join(0, "eve");
    cluster.be_seen(eve, &lobby(), "");
    let members = cluster.take(eve).into_iter().find_map(|frame| match frame {
        ServerFrame::Members { members, .. } => Some(members),
        _ => None,
    });
    let members = members.expect("a list");
    let ada = members.iter().find(|member| member.user == "ada").expect("ada");
    assert_eq!(ada.info.as_ref().map(relink::session::Text::as_str), Some("hello"));
    assert!(before.contains(&ada.join), "known by the same name");
}

fn joins(frames: &[ServerFrame]) -> Vec<String> {
    let join = |frame: &ServerFrame| match frame {
        ServerFrame::MemberChanged { change: MemberChange::Joined(member), .. } => {
            Some(member.join.clone())
        }
        _ => None,
    };
    frames.iter().filter_map(join).collect()
}

#[test]
fn other_words_after_a_return_are_told() {
    let mut cluster = nodes(1);
    let (ada, bob, session) = two(&mut cluster, 0);
    cluster.heard(bob);
    cluster.hang_up(ada, 1006);
    let (ada, _) = cluster.come_back(0, "ada", &session);
    cluster.be_seen(ada, &lobby(), "in other words");
    assert_eq!(cluster.heard(bob), ["joined ada"]);
}

#[test]
fn i27_changes_that_come_before_the_list_are_in_it() {
    let mut cluster = nodes(1);
    let (ada, bob, _) = two(&mut cluster, 0);
    cluster.heard(ada);
    let (eve, _) = cluster.join(0, "eve");
    cluster.be_seen(eve, &lobby(), "");
    cluster.heard(eve);
    cluster.unsubscribe(eve, &lobby());
    // Of the two requests, to join and for the list, the second is delayed.
    cluster.heard(eve);
    cluster.hold(TaskKind::Store);
    cluster.be_seen(eve, &lobby(), "");
    for _ in 0..2 {
        let (node, question, what) = cluster.next_request().expect("a question");
        let answer = cluster.ask_store(what);
        cluster.give(node, NodeInput::Answered { question, answer: Ok(answer) });
    }
    let (node, question, what) = cluster.next_request().expect("the list");
    let list = cluster.ask_store(what);
    cluster.stop_holding(TaskKind::Store);
    cluster.hang_up(bob, 1000);
    cluster.give(node, NodeInput::Answered { question, answer: Ok(list) });
    let said = cluster.heard(eve);
    let list = said.iter().find(|word| word.starts_with("members")).expect("a list");
    assert!(!list.contains("bob") && list.contains("ada") && list.contains("eve"), "{list}");
    assert!(!said.iter().any(|word| word == "left bob"), "net changes only");
}

#[test]
fn lost_news_of_members_are_mended_by_another_list() {
    let mut cluster = nodes(1);
    let (ada, bob, _) = two(&mut cluster, 0);
    cluster.heard(bob);
    cluster.env.are_store_events_lost = true;
    cluster.hang_up(ada, 1000);
    cluster.settle();
    cluster.env.are_store_events_lost = false;
    cluster.give(0, NodeInput::StoreEvent(StoreEvent::Lagged));
    assert_eq!(cluster.heard(bob), ["members bob"]);
}

#[test]
fn whoever_is_too_slow_for_changes_gets_a_list_instead() {
    let mut cluster = nodes_with(1, NodeConfig::default().with_max_outbound_bytes(2_000));
    let (_, bob, _) = two(&mut cluster, 0);
    cluster.peer_mut(bob).reads = false;
    for number in 0..100 {
        let (id, _) = cluster.join(0, &format!("guest {number}"));
        cluster.be_seen(id, &lobby(), "");
        if number < 98 {
            cluster.hang_up(id, 1000);
        }
        assert!(cluster.node(0).stats().outbound_bytes < 10_000);
    }
    cluster.peer_mut(bob).reads = true;
    cluster.settle();
    let said = cluster.heard(bob);
    let list = said.iter().rev().find(|word| word.starts_with("members")).expect("a list");
    for name in ["ada", "bob", "guest 98", "guest 99"] {
        assert!(list.contains(name), "{list}");
    }
    assert!(!list.contains("guest 97"), "{list}");
}

/// A client that unsubscribed while it had no link, and whose node died meanwhile: no node knows of
/// its membership.
#[test]
fn a09_a_seat_that_is_not_taken_again_after_a_resume_is_left() {
    let mut cluster = nodes(3);
    let (_, bob, session) = two(&mut cluster, 2);
    cluster.heard(bob);
    cluster.stop_node(0);
    cluster.restart_node(0);
    cluster.come_back(1, "ada", &session);
    cluster.advance(secs(29));
    assert!(cluster.heard(bob).is_empty());
    cluster.advance(secs(2));
    assert_eq!(cluster.heard(bob), ["left ada"]);
}

#[test]
fn members_of_a_node_that_died_leave_with_their_sessions() {
    let mut cluster = nodes(2);
    let (_, bob, _) = two(&mut cluster, 1);
    cluster.heard(bob);
    // Node 0 is gone, and has not reported that its members left.
    cluster.stop_node(0);
    cluster.restart_node(0);
    cluster.advance(secs(121));
    assert_eq!(cluster.heard(bob), ["left ada"]);
}

#[test]
fn a_list_asked_for_before_one_joined_is_not_ones_list() {
    let mut cluster = nodes(1);
    let (eve, _) = cluster.join(0, "eve");
    let (bob, _) = cluster.join(0, "bob");
    cluster.env.are_store_events_lost = true;
    cluster.hold(TaskKind::Store);
    cluster.be_seen(eve, &lobby(), "");
    // Eve's subscription and her join are answered; the answer to the request for her list is on
    // its way.
    let mut answered = Vec::new();
    for _ in 0..3 {
        let (node, question, what) = cluster.next_request().expect("a question");
        let answer = NodeInput::Answered { question, answer: Ok(cluster.ask_store(what)) };
        if answered.len() < 2 {
            cluster.give(node, answer.clone());
        }
        answered.push((node, answer));
    }
    let (node, list) = answered.pop().expect("the list");
    cluster.stop_holding(TaskKind::Store);
    cluster.be_seen(bob, &lobby(), "");
    cluster.give(node, list);
    assert_eq!(cluster.heard(eve), ["subscribed 0 true", "members eve"]);
    let said = cluster.heard(bob);
    let list = said.last().expect("a list");
    assert!(list.contains("bob") && list.contains("eve"), "{said:?}");
}

/// The members of the last list that a client received, with the changes applied that came after it
/// began.
fn seen(frames: &[ServerFrame]) -> BTreeSet<String> {
    let (mut list, mut changes, mut is_open) = (BTreeSet::new(), Vec::new(), false);
    let apply = |list: &mut BTreeSet<String>, changes: Vec<(String, bool)>| {
        for (user, is_here) in changes {
            _ = if is_here { list.insert(user) } else { list.remove(&user) };
        }
    };
    for frame in frames {
        match frame {
            ServerFrame::Members { members, more, .. } => {
                if !is_open {
                    list.clear();
                }
                is_open = *more;
                list.extend(members.iter().map(|member| member.user.clone()));
                if !is_open {
                    apply(&mut list, std::mem::take(&mut changes));
                }
            }
            ServerFrame::MemberChanged { change: MemberChange::Joined(member), .. } => {
                changes.push((member.user.clone(), true))
            }
            ServerFrame::MemberChanged { change: MemberChange::Left(member), .. } => {
                changes.push((member.user.clone(), false))
            }
            _ => {}
        }
        if !is_open {
            apply(&mut list, std::mem::take(&mut changes));
        }
    }
    assert!(!is_open, "a list has a last page");
    list
}

fn guests(cluster: &mut Cluster, count: usize, words: usize) -> Vec<ConnectionId> {
    let join = |number: usize| {
        let (id, _) = cluster.join(0, &format!("guest {number}"));
        cluster.peer_mut(id).reads = false;
        cluster.be_seen(id, &lobby(), &"w".repeat(words));
        id
    };
    (0..count).map(join).collect()
}

#[test]
fn a_large_list_comes_in_pages_that_every_client_takes() {
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let mut cluster = nodes(1);
        // Characters that take most bytes in JSON.
        for number in 0..200 {
            let (id, _) = cluster.join(0, &format!("guest {number}"));
            cluster.peer_mut(id).reads = false;
            cluster.be_seen(id, &lobby(), &"\u{1}".repeat(4096));
        }
        let eve = cluster.open_as(0, encoding);
        cluster.hello(eve, "eve", None);
        cluster.be_seen(eve, &lobby(), "");
        let said = cluster.take(eve);
        let pages: Vec<_> =
            said.iter().filter(|frame| matches!(frame, ServerFrame::Members { .. })).collect();
        assert!(pages.len() > 10, "{}", pages.len());
        for page in pages {
            assert!(page.encode(encoding).len() < 128 * 1024, "{}", page.encode(encoding).len());
        }
        assert_eq!(seen(&said).len(), 201);
    }
}

#[test]
fn a_list_that_nobody_reads_takes_the_room_of_one_page() {
    let mut cluster = nodes(1);
    guests(&mut cluster, 200, 4096);
    let before = cluster.node(0).stats().outbound_bytes;
    let slow = cluster.open(0);
    cluster.hello(slow, "slow", None);
    cluster.peer_mut(slow).reads = false;
    for _ in 0..20 {
        cluster.be_seen(slow, &lobby(), "");
    }
    let waits = cluster.node(0).stats().outbound_bytes - before;
    assert!(waits < 64 * 1024, "{waits}");
    cluster.peer_mut(slow).reads = true;
    cluster.settle();
    assert_eq!(seen(&cluster.take(slow)).len(), 201);
}

/// Each page is made when the one before it was written, and members come and go in between.
#[test]
fn i27_a_list_that_is_read_slowly_ends_in_what_is_so() {
    for (most, seed) in [(1 << 20, 1), (1 << 20, 2), (40_000, 3), (40_000, 4), (2_000, 5)] {
        let mut cluster = nodes_with(1, NodeConfig::default().with_max_outbound_bytes(most));
        let mut here = guests(&mut cluster, 60, 2000);
        let (slow, _) = cluster.join(0, "slow");
        cluster.peer_mut(slow).reads = false;
        cluster.be_seen(slow, &lobby(), "");
        let mut dice = dice(seed);
        for number in 0..120 {
            if dice.next_u32() % 2 == 0 {
                let gone = here.swap_remove(dice.next_u32() as usize % here.len());
                cluster.hang_up(gone, 1000);
            } else {
                let (id, _) = cluster.join(0, &format!("later {number}"));
                cluster.be_seen(id, &lobby(), &"w".repeat(2000));
                here.push(id);
            }
            cluster.read(slow, dice.next_u32() as usize % 3);
            cluster.settle();
        }
        cluster.peer_mut(slow).reads = true;
        cluster.settle();
        assert_eq!(seen(&cluster.take(slow)).len(), here.len() + 1, "with seed {seed}");
    }
}

#[test]
fn what_a_list_is_told_from_goes_with_its_last_reader() {
    let mut cluster = nodes(1);
    guests(&mut cluster, 100, 4096);
    let (slow, _) = cluster.join(0, "slow");
    cluster.peer_mut(slow).reads = false;
    cluster.be_seen(slow, &lobby(), "");
    let asked = cluster.env.requests.len();
    cluster.hang_up(slow, 1006);
    cluster.advance(secs(31));
    let (eve, _) = cluster.join(0, "eve");
    cluster.be_seen(eve, &lobby(), "");
    assert_eq!(seen(&cluster.take(eve)).len(), 101, "slow has left");
    assert!(cluster.env.requests.len() > asked, "the store was asked again");
}

#[test]
fn a_page_is_encoded_once_for_all_its_readers() {
    let mut cluster = nodes(1);
    guests(&mut cluster, 20, 100);
    let readers: Vec<_> = (0..3).map(|_| cluster.join(0, "eve").0).collect();
    for id in &readers {
        cluster.peer_mut(*id).reads = false;
        cluster.be_seen(*id, &lobby(), "");
    }
    for id in &readers {
        cluster.read(*id, usize::MAX);
    }
    cluster.give(0, NodeInput::StoreEvent(StoreEvent::Lagged));
    let lists: Vec<_> =
        readers.iter().filter_map(|id| cluster.node_mut(0).poll_transmit(*id)).collect();
    assert_eq!(lists.len(), 3);
    assert!(lists.iter().all(|list| list.as_bytes().as_ptr() == lists[0].as_bytes().as_ptr()));
}

#[test]
fn a_list_asked_for_before_news_were_lost_is_not_told() {
    let mut cluster = nodes(2);
    let (ada, bob) = (cluster.join(0, "ada").0, cluster.join(1, "bob").0);
    cluster.be_seen(ada, &lobby(), "");
    cluster.be_seen(bob, &lobby(), "");
    cluster.heard(ada);
    cluster.hold(TaskKind::Store);
    cluster.env.are_store_events_lost = true;
    cluster.give(0, NodeInput::StoreEvent(StoreEvent::Lagged));
    let is_list = |task: &Task| {
        matches!(&task.detail, TaskDetail::Store { request: StoreRequest::Members { .. }, .. })
    };
    let at = cluster.env.held.iter().position(is_list).expect("a list is asked for");
    let task = cluster.env.held.remove(at).expect("it is there");
    let TaskDetail::Store { id: question, request: what, .. } = task.detail else { unreachable!() };
    let old = cluster.ask_store(what);
    cluster.hang_up(bob, 1000);
    cluster.give(0, NodeInput::StoreEvent(StoreEvent::Lagged));
    cluster.give(0, NodeInput::Answered { question, answer: Ok(old) });
    cluster.release(TaskKind::Store);
    assert_eq!(cluster.heard(ada), ["members ada"]);
}
