//! How much one client can make the application and the store do at a time.

use relink::session::Secret;
use relink::{Channel, Position};
use relink_node::{HistoryConfig, NodeConfig, NodeInput, StoreRequest};
use relink_sim::cluster::{Outcome, Task, TaskDetail, TaskKind};
use relink_v1::ClientFrame;

use crate::support::{Cluster, Short, lobby, nodes, nodes_with, secs};

/// One client that subscribes again and again to one channel, then to many, and unsubscribes.
#[test]
fn the_application_is_asked_for_few_permissions_at_a_time() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Authorize);
    for round in 0..500 {
        cluster.subscribe(id, &lobby(), None);
        cluster.subscribe(id, &format!("room-{}", round % 100).into(), None);
        if round % 3 == 0 {
            cluster.unsubscribe(id, &lobby());
        }
    }
    cluster.unsubscribe(id, &lobby());
    cluster.subscribe(id, &lobby(), None);
    assert_eq!(cluster.authorizing(), 16);
    cluster.heard(id);
    let mut asked = cluster.authorizing();
    while cluster.authorizing() > 0 {
        let due = cluster.authorizing();
        cluster.authorize_next();
        cluster.settle();
        assert!(cluster.authorizing() <= 16);
        asked += cluster.authorizing() + 1 - due;
    }
    let heard = cluster.heard(id);
    assert_eq!(
        heard.iter().filter(|line| line.starts_with("subscribed")).count(),
        101,
        "each once"
    );
    assert!(asked <= 16 + 101, "{asked} calls: what is not wanted any more is not asked");
}

fn look_ups(cluster: &Cluster) -> usize {
    let is_read = |task: &&Task| {
        matches!(&task.detail, TaskDetail::Store { request: StoreRequest::Read { .. }, .. })
    };
    cluster.env.held.iter().filter(is_read).count()
}

/// Each subscription starts at another position, so that no two look-ups are the same.
#[test]
fn the_store_is_asked_few_things_at_a_time_for_one_client() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Store);
    for round in 0..500 {
        let channel =
            if round % 2 == 0 { lobby() } else { Channel::from(format!("room-{}", round % 100)) };
        cluster.subscribe(id, &channel, Some(Position::new(1, round)));
        if round % 3 == 0 {
            cluster.unsubscribe(id, &channel);
        }
        assert!(look_ups(&cluster) <= 16, "{}", look_ups(&cluster));
    }
    cluster.subscribe(id, &lobby(), None);
    cluster.heard(id);
    cluster.release(TaskKind::Store);
    let heard = cluster.heard(id);
    assert_eq!(
        heard.iter().filter(|line| line.starts_with("subscribed")).count(),
        35,
        "each once: {heard:?}"
    );
}

#[test]
fn a_store_that_is_down_is_not_asked_more_by_a_client_that_asks_again() {
    let mut cluster = nodes(1);
    let (id, _) = cluster.join(0, "ada");
    cluster.env.store = Outcome::Fails;
    cluster.env.requests.clear();
    for round in 0..500 {
        cluster.subscribe(id, &lobby(), Some(Position::new(1, round)));
    }
    assert_eq!(cluster.env.requests.len(), 16);
    cluster.env.store = Outcome::Done;
    cluster.heard(id);
    cluster.advance(secs(10));
    assert_eq!(cluster.heard(id), ["subscribed 0 false"]);
}

/// The requests of one client do not delay those of another.
#[test]
fn a_client_that_left_takes_no_place_and_its_questions_are_still_shared() {
    let mut cluster = nodes(1);
    let (ada, _) = cluster.join(0, "ada");
    let (bob, _) = cluster.join(0, "bob");
    cluster.hold(TaskKind::Store);
    cluster.subscribe(ada, &lobby(), None);
    for number in 0..50 {
        cluster.subscribe(bob, &Channel::from(format!("room-{number}")), None);
    }
    cluster.unsubscribe(bob, &Channel::from("room-3"));
    cluster.subscribe(bob, &lobby(), None);
    cluster.hang_up(ada, 1006);
    cluster.release(TaskKind::Store);
    let subscribed =
        cluster.heard(bob).iter().filter(|line| line.starts_with("subscribed")).count();
    assert_eq!(subscribed, 50);
}

#[test]
fn a09_a_member_that_subscribes_again_and_again_has_one_stay() {
    let mut cluster = nodes(1);
    let (ada, _) = cluster.join(0, "ada");
    let (bob, _) = cluster.join(0, "bob");
    cluster.be_seen(bob, &lobby(), "");
    cluster.heard(bob);
    for round in 0..100 {
        cluster.be_seen(ada, &lobby(), &format!("{}", round / 50));
    }
    assert_eq!(cluster.heard(bob), ["joined ada", "joined ada"], "with other words");
    cluster.env.requests.clear();
    cluster.advance(secs(31));
    let leaves = |cluster: &Cluster| {
        cluster
            .env
            .requests
            .iter()
            .filter(|question| matches!(question, StoreRequest::Leave { .. }))
            .count()
    };
    assert_eq!(leaves(&cluster), 0, "nothing is left to be ended");
    cluster.hang_up(ada, 1006);
    cluster.advance(secs(29));
    assert!(cluster.heard(bob).is_empty(), "the grace");
    cluster.advance(secs(2));
    assert_eq!((cluster.heard(bob), leaves(&cluster)), (vec!["left ada".to_owned()], 1));
}

#[test]
fn a09_a_member_that_may_not_come_again_leaves() {
    let mut cluster = nodes(1);
    let (ada, _) = cluster.join(0, "ada");
    let (bob, _) = cluster.join(0, "bob");
    cluster.be_seen(bob, &lobby(), "");
    cluster.be_seen(ada, &lobby(), "");
    cluster.heard(bob);
    cluster.env.forbidden.insert(lobby());
    cluster.be_seen(ada, &lobby(), "");
    assert_eq!(cluster.heard(bob), ["left ada"]);
}

/// Answers the oldest request.
fn answer_next(cluster: &mut Cluster, fails: bool) {
    let (node, question, what) = cluster.next_request().expect("a question");
    let answer = if fails { Err("down".to_owned()) } else { Ok(cluster.ask_store(what)) };
    cluster.give(node, NodeInput::Answered { question, answer });
}

/// The store fails to store the first presence text, and is sent a second one meanwhile.
#[test]
fn a09_the_last_words_of_a_member_hold() {
    let mut cluster = nodes(1);
    let (ada, _) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Store);
    for (words, fails) in [("first", true), ("second", false)] {
        cluster.be_seen(ada, &lobby(), words);
        answer_next(&mut cluster, false);
        if fails {
            answer_next(&mut cluster, true);
        }
    }
    cluster.advance(secs(1));
    cluster.release(TaskKind::Store);
    let joins = cluster.env.requests.iter().filter_map(|question| match question {
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
    let mut cluster = nodes_with(1, NodeConfig::default().with_max_subscription_bytes(100_000));
    let (id, _) = cluster.join(0, "ada");
    let ask = |cluster: &mut Cluster, name: &str, len: usize| {
        let token = (len > 0).then(|| Secret::from("t".repeat(len)));
        let presence = Some("hello".into());
        cluster.say(
            id,
            &ClientFrame::Subscribe { channel: name.into(), since: None, token, presence },
        );
        cluster.heard(id).remove(0)
    };
    for number in 0..6 {
        assert_eq!(ask(&mut cluster, &format!("room-{number}"), 16_000), "subscribed 0 true");
    }
    assert_eq!(ask(&mut cluster, "room-6", 16_000), "unsubscribed limit_exceeded");
    assert_eq!(
        ask(&mut cluster, "room-5", 16_000),
        "subscribed 0 true",
        "in the place of the one before"
    );
    assert_eq!(ask(&mut cluster, "room-6", 0), "subscribed 0 true");
    cluster.unsubscribe(id, &Channel::from("room-0"));
    cluster.heard(id);
    assert_eq!(
        ask(&mut cluster, "room-7", 16_000),
        "subscribed 0 true",
        "what ended counts no more"
    );
    assert_eq!(cluster.close_code(id), None);
}

/// A channel without publications counts for the user whose subscription created it.
#[test]
fn w09_who_subscribes_to_ever_new_channels_is_refused_and_nobody_else() {
    let history = HistoryConfig::default().with_user_bytes(5_200);
    let mut cluster = nodes_with(1, NodeConfig::default().with_history(history));
    let (mallory, _) = cluster.join(0, "mallory");
    let (ada, _) = cluster.join(0, "ada");
    let room = |number: usize| Channel::from(format!("room-{number}"));
    for number in 0..10 {
        cluster.subscribe(mallory, &room(number), None);
    }
    assert!(cluster.heard(mallory).iter().all(|line| line == "subscribed 0 true"));
    cluster.hold(TaskKind::Store);
    cluster.subscribe(mallory, &room(10), None);
    cluster.subscribe(ada, &room(10), None);
    cluster.release(TaskKind::Store);
    cluster.advance(secs(1));
    assert_eq!(cluster.heard(mallory), ["unsubscribed limit_exceeded"]);
    assert_eq!(cluster.heard(ada), ["subscribed 0 true"], "though both waited for one answer");
    cluster.subscribe(mallory, &room(10), None);
    assert_eq!(cluster.heard(mallory), ["subscribed 0 true"], "what is there costs nothing");
}
