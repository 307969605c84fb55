//! Kicking a user: at every node, connected or not, with messages and requests under way.

use relink::{CloseCode, CloseFrame};
use relink_node::{NodeInput, StoreRequest};

use relink_sim::cluster::{Outcome, TaskKind};

use crate::support::{Cluster, Short, lobby, millis, nodes, refusal, secs, top};

fn kick(cluster: &mut Cluster, node: usize, user: &str) {
    let frame = CloseFrame::new(CloseCode::ACCOUNT_SUSPENDED, "enough");
    cluster.give(node, NodeInput::Kick { user: user.into(), frame });
}

#[test]
fn m07_a_kicked_user_who_is_away_is_not_resumed_at_any_node() {
    for (kicked_at, back_at) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut cluster = nodes(2);
        let (id, session) = cluster.join(0, "ada");
        let (_, bobs) = cluster.join(0, "bob");
        cluster.hang_up(id, 1006);
        kick(&mut cluster, kicked_at, "ada");
        let (new, welcome) = cluster.come_back(back_at, "ada", &session);
        assert_eq!((welcome.resumed, refusal(&welcome)), (false, Some("session_unknown")));
        cluster.send(new, 1, "a new session works");
        assert_eq!(cluster.heard(new), ["ack 1"], "a kick is no ban");
        cluster.advance(secs(60));
        assert_eq!(cluster.close_code(new), None);
        assert!(cluster.come_back(back_at, "bob", &bobs).1.resumed, "others are not concerned");
    }
}

#[test]
fn m07_a_kick_closes_the_connections_at_all_nodes_with_its_code() {
    let mut cluster = nodes(3);
    let ids: Vec<_> = (0..2).map(|node| cluster.join(node, "ada").0).collect();
    let (bob, _) = cluster.join(1, "bob");
    cluster.be_seen(bob, &lobby(), "");
    for id in &ids {
        cluster.be_seen(*id, &lobby(), "");
        cluster.take(*id);
    }
    cluster.take(bob);
    // Ada has no connection at this node.
    kick(&mut cluster, 2, "ada");
    for id in ids {
        assert_eq!(cluster.close_code(id), Some(4012));
        assert_eq!(cluster.heard(id).last().map(String::as_str), Some("error account_suspended"));
    }
    assert_eq!(cluster.close_code(bob), None);
    assert_eq!(cluster.heard(bob), ["left ada", "left ada"], "at once");
    assert_eq!(cluster.store().sessions(), 1);
}

#[test]
fn m07_a_member_who_is_away_within_the_grace_leaves_at_once_when_kicked() {
    let mut cluster = nodes(2);
    let (ada, _) = cluster.join(0, "ada");
    let (bob, _) = cluster.join(1, "bob");
    cluster.be_seen(ada, &lobby(), "");
    cluster.be_seen(bob, &lobby(), "");
    cluster.hang_up(ada, 1006);
    cluster.take(bob);
    kick(&mut cluster, 1, "ada");
    assert_eq!(cluster.heard(bob), ["left ada"]);
    cluster.advance(secs(60));
    assert_eq!(cluster.heard(bob), [] as [&str; 0], "once");
}

#[test]
fn m07_what_a_handler_makes_of_a_kicked_users_message_is_dropped() {
    for (kicked_at, serial, connected) in [0, 1]
        .into_iter()
        .flat_map(|node| [Some(1), None].map(|serial| (node, serial)))
        .flat_map(|(node, serial)| [true, false].map(|connected| (node, serial, connected)))
    {
        let mut cluster = nodes(2);
        let (id, _) = cluster.join(0, "ada");
        cluster.hold(TaskKind::Handle);
        cluster.message(id, serial, Some(lobby()), "late");
        cluster.message(id, serial.map(|serial| serial + 1), Some(lobby()), "later");
        if !connected {
            cluster.hang_up(id, 1006);
        }
        kick(&mut cluster, kicked_at, "ada");
        cluster.release(TaskKind::Handle);
        cluster.advance(secs(10));
        assert_eq!(top(&mut cluster, &lobby()).offset, 0, "{kicked_at} {serial:?} {connected}");
        assert_eq!(cluster.node(0).stats().unhandled, 0);
        assert!(cluster.env.released.contains(&id));
        let new = cluster.join(0, "ada").0;
        cluster.message(new, serial, Some(lobby()), "anew");
        assert_eq!(top(&mut cluster, &lobby()).offset, 1);
    }
}

#[test]
fn m07_what_was_given_to_the_store_before_a_kick_is_committed_before_it() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.hold(TaskKind::Store);
    cluster.send(id, 1, "in time");
    kick(&mut cluster, 0, "ada");
    assert_eq!(cluster.close_code(id), Some(4012), "at once");
    cluster.release(TaskKind::Store);
    assert_eq!(top(&mut cluster, &lobby()).offset, 1);
    assert!(!cluster.come_back(0, "ada", &session).1.resumed);
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
        let mut cluster = nodes(2);
        let (id, session) = cluster.join(0, "ada");
        cluster.hang_up(id, 1006);
        cluster.hold(TaskKind::Store);
        cluster.env.are_store_events_lost = news_are_lost;
        if kick_first {
            kick(&mut cluster, kicked_at, "ada");
        }
        let back = cluster.open(0);
        cluster.hello(back, "ada", Some(session));
        if !kick_first {
            kick(&mut cluster, kicked_at, "ada");
        }
        cluster.release(TaskKind::Store);
        cluster.advance(secs(5));
        if cluster.close_code(back).is_some() {
            assert_eq!(cluster.close_code(back), Some(4012));
        } else {
            assert!(!cluster.welcome(back).resumed, "{kicked_at} {kick_first} {news_are_lost}");
            cluster.send(back, 1, "a new session works");
            assert_eq!(cluster.heard(back), ["ack 1"]);
        }
        assert!(cluster.store().sessions() <= 1);
    }
}

#[test]
fn m07_a_resume_that_a_kick_overtakes_begins_a_new_session() {
    for resumes in [true, false] {
        let mut cluster = nodes(2);
        let (id, session) = cluster.join(0, "ada");
        cluster.hang_up(id, 1006);
        cluster.hold(TaskKind::Store);
        let back = cluster.open(0);
        cluster.hello(back, "ada", resumes.then_some(session));
        // The store has answered, but the answer has not reached this node.
        let (node, question, what) = cluster.next_request().expect("a question");
        let answer = cluster.ask_store(what);
        cluster.stop_holding(TaskKind::Store);
        kick(&mut cluster, 1, "ada");
        cluster.give(node, NodeInput::Answered { question, answer: Ok(answer) });
        let welcome = cluster.welcome(back);
        assert_eq!((welcome.resumed, welcome.refused.is_some()), (false, resumes));
        cluster.send(back, 1, "a new session works");
        assert_eq!(cluster.heard(back), ["ack 1"]);
        assert_eq!(cluster.store().sessions(), 1);
        assert_eq!(cluster.watched(0).len(), 1, "the new session's stream");
    }
}

#[test]
fn m07_a_kick_while_the_store_is_down_takes_effect_when_it_is_back() {
    let mut cluster = nodes(2);
    let (here, session) = cluster.join(0, "ada");
    let (there, _) = cluster.join(1, "ada");
    cluster.env.store = Outcome::Fails;
    kick(&mut cluster, 0, "ada");
    assert_eq!(
        (cluster.close_code(here), cluster.close_code(there)),
        (Some(4012), None),
        "here at once"
    );
    cluster.advance(secs(10));
    cluster.env.store = Outcome::Done;
    cluster.advance(secs(10));
    assert_eq!(cluster.close_code(there), Some(4012));
    assert!(!cluster.come_back(1, "ada", &session).1.resumed);
}

#[test]
fn m07_a_session_that_another_node_resumes_before_the_store_hears_of_the_kick_ends_all_the_same() {
    for back_after in [0, 10, 100, 1_000, 5_000] {
        let mut cluster = nodes(2);
        let (id, session) = cluster.join(0, "ada");
        cluster.hang_up(id, 1006);
        cluster.env.store = Outcome::Fails;
        kick(&mut cluster, 0, "ada");
        cluster.advance(secs(10));
        cluster.env.store = Outcome::Done;
        cluster.advance(millis(back_after));
        let (back, welcome) = cluster.come_back(1, "ada", &session);
        cluster.advance(secs(6));
        assert_eq!(cluster.close_code(back), welcome.resumed.then_some(4012), "{back_after} ms");
        assert!(!cluster.come_back(1, "ada", &session).1.resumed, "{back_after} ms");
    }
}

#[test]
fn m07_a_kick_waits_for_the_store_for_as_long_as_it_takes() {
    let mut cluster = nodes(2);
    let (id, session) = cluster.join(1, "ada");
    cluster.env.cut_off = Some(0);
    kick(&mut cluster, 0, "ada");
    cluster.advance(secs(120));
    kick(&mut cluster, 0, "ada");
    cluster.advance(secs(600));
    assert_eq!(cluster.close_code(id), None);
    cluster.env.requests.clear();
    cluster.advance(secs(60));
    let asked = cluster
        .env
        .requests
        .iter()
        .filter(|question| matches!(question, StoreRequest::EndUser { .. }));
    assert!(asked.count() < 30, "about the last kick alone, every 2.5 to 5 s");
    cluster.env.cut_off = None;
    cluster.advance(secs(6));
    assert_eq!(cluster.close_code(id), Some(4012));
    assert!(!cluster.come_back(0, "ada", &session).1.resumed);
}

#[test]
fn m07_no_session_is_resumed_between_a_kick_and_its_end_in_the_store() {
    let mut cluster = nodes(1);
    let (id, session) = cluster.join(0, "ada");
    cluster.hang_up(id, 1006);
    cluster.env.store = Outcome::Fails;
    kick(&mut cluster, 0, "ada");
    cluster.env.store = Outcome::Done;
    cluster.suspend(millis(10));
    let (new, welcome) = cluster.come_back(0, "ada", &session);
    assert_eq!((welcome.resumed, cluster.store().sessions()), (false, 2));
    cluster.advance(secs(10));
    assert_eq!(
        (cluster.close_code(new), cluster.store().sessions()),
        (None, 1),
        "the new one goes on"
    );
    let session = relink::Resume { session: welcome.session, position: welcome.position };
    cluster.hang_up(new, 1006);
    assert!(cluster.come_back(0, "ada", &session).1.resumed, "and can be resumed");
}

#[test]
fn m07_a_kick_that_is_asked_again_spares_a_session_that_has_begun_since() {
    let mut cluster = nodes(1);
    let (_, session) = cluster.join(0, "ada");
    cluster.env.store = Outcome::ResultLost;
    kick(&mut cluster, 0, "ada");
    cluster.env.store = Outcome::Done;
    cluster.suspend(millis(10));
    let (new, welcome) = cluster.come_back(0, "ada", &session);
    assert!(!welcome.resumed);
    cluster.advance(secs(30));
    let kicks = cluster
        .env
        .requests
        .iter()
        .filter(|question| matches!(question, StoreRequest::EndUser { .. }));
    assert_eq!(kicks.count(), 2, "asked again");
    assert_eq!(cluster.close_code(new), None);
}

#[test]
fn m07_a_node_that_missed_the_news_of_a_kick_closes_when_it_looks() {
    let mut cluster = nodes(2);
    let (id, session) = cluster.join(1, "ada");
    cluster.env.are_store_events_lost = true;
    kick(&mut cluster, 0, "ada");
    assert_eq!(cluster.close_code(id), None);
    cluster.give(1, NodeInput::StoreEvent(relink_node::StoreEvent::Lagged));
    assert_eq!(cluster.close_code(id), Some(4100));
    assert!(!cluster.come_back(1, "ada", &session).1.resumed);
}
