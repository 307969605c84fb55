//! Gaps and duplicates.

use relink::{CloseCode, CloseFrame, Message, Position};
use relink_v1::{ClientFrame, ServerFrame};

use relink_sim::v1;

use crate::support::{
    connected, connected_with, follow, is_connected, next_frame, secs, send_all, told,
};

#[test]
fn i26_a_duplicate_is_dropped_without_effect_and_counted() {
    let mut sim = connected();
    follow(&mut sim, "news", 5);
    for offset in [6, 6, 3, 7, 6] {
        sim.peer().publish(Some("news"), offset, &format!("n{offset}"));
    }
    assert_eq!(told(&mut sim), ["news 6: n6", "news 7: n7"]);
    assert_eq!(sim.machine().stats().duplicates, 3);
    assert!(is_connected(&sim));
    sim.take(2);
    assert_eq!(sim.machine().position(&"news".into()), Some(Position::new(1, 7)));
}

#[test]
fn i26_a_gap_closes_the_transport_and_the_session_goes_on_from_what_both_have() {
    for (channel, stream) in [(None, "own"), (Some("news"), "channel")] {
        let mut sim = connected();
        follow(&mut sim, "news", 0);
        sim.peer().publish(channel, 1, "a");
        sim.peer().publish(channel, 3, "c");
        assert_eq!(
            sim.peer().farewells(),
            [CloseFrame::new(CloseCode::GAP, "a message is missing")],
            "{stream}: 4100, which ends no session"
        );
        assert_eq!(sim.machine().stats().gaps, 1);
        assert_eq!(told(&mut sim)[1], "disconnected 1006: a message is missing");
        sim.take(1);
        sim.peer().back(0);
        sim.peer().lines();
        sim.peer().subscribed("news", u64::from(channel.is_some()), true);
        told(&mut sim);
        sim.peer().publish(channel, 2, "b");
        sim.peer().publish(channel, 3, "c");
        assert_eq!(
            told(&mut sim).len(),
            2,
            "{stream}: nothing is missing, and nothing comes twice"
        );
    }
}

#[test]
fn i26_what_is_on_its_way_to_the_application_does_not_come_twice() {
    let mut sim = connected();
    follow(&mut sim, "news", 0);
    for offset in 1..=3 {
        sim.peer().publish(Some("news"), offset, "");
    }
    sim.take(1);
    sim.peer().reset();
    sim.peer().back(0);
    assert_eq!(
        sim.peer().lines(),
        ["subscribe news since 1/1"],
        "a resume starts after what was taken"
    );
    sim.peer().subscribed("news", 1, true);
    told(&mut sim);
    for offset in 2..=4 {
        sim.peer().publish(Some("news"), offset, "again");
    }
    assert_eq!(told(&mut sim), ["news 4: again"]);
    assert_eq!(sim.machine().stats().duplicates, 2);
}

#[test]
fn i26_a_lost_tail_shows_at_the_next_heartbeat() {
    let mut sim = connected();
    follow(&mut sim, "news", 0);
    sim.peer().publish(Some("news"), 1, "a");
    sim.peer().publish(Some("news"), 1, "a duplicate was sent, too");
    sim.peer().publish(Some("elsewhere"), 1, "and this, to a channel that was left meanwhile");
    for (sent, is_lost) in [(3, false), (4, true)] {
        sim.advance(secs(30));
        let Some(ClientFrame::Heartbeat { nonce, .. }) = next_frame(&mut sim) else {
            panic!("no heartbeat")
        };
        sim.peer().say(ServerFrame::HeartbeatAck { nonce, sent });
        assert_eq!(is_connected(&sim), !is_lost);
    }
    assert_eq!(
        sim.peer().farewells(),
        [CloseFrame::new(CloseCode::GAP, "the last messages are missing")]
    );
    sim.peer().back(0);
    for (sent, is_lost) in [(0, false), (1, true)] {
        sim.peer().say(ServerFrame::HeartbeatAck { nonce: 0, sent });
        assert_eq!(is_connected(&sim), !is_lost, "the new transport counts from nothing");
    }
}

#[test]
fn i26_a_heartbeat_speaks_of_what_went_over_this_transport_and_no_more() {
    let mut sim = connected();
    send_all(&mut sim, &["a", "b", "c"]);
    assert_eq!(sim.peer().lines().len(), 3);
    sim.peer().reset();
    sim.peer().back(1);
    // The transport is full: a heartbeat is due, and two messages are still to be sent again.
    sim.advance(secs(30));
    let heard: Vec<_> = sim.peer().frames().iter().map(v1::line).collect();
    assert_eq!(heard, ["heartbeat, 1 sent", "2: b", "3: c"]);
    sim.advance(secs(9));
    sim.peer().ack(2);
    sim.advance(secs(30));
    assert_eq!(sim.peer().lines().last().map(String::as_str), Some("heartbeat, 3 sent"));
}

#[test]
fn a_word_that_is_none_closes_the_transport_and_the_session_goes_on() {
    let mut sim = connected();
    for (text, code) in [("{\"type\":\"nonsense\"}", 1003), ("nonsense", 1007)] {
        let frame = relink::session::Frame::Message(Message::from(text));
        sim.peer().frame(frame);
        assert_eq!(sim.peer().farewells().pop().map(|frame| frame.code.0), Some(code));
        sim.peer().back(0);
        assert!(is_connected(&sim));
    }
}

#[test]
fn i13_a_close_for_a_gap_does_not_pass_through_the_peers_table() {
    let config = relink_v1::config();
    let mut policy = config.link.close_policy;
    for code in [CloseCode::ABNORMAL.0, CloseCode::GAP.0] {
        policy
            .set_close(code..=code, relink::Verdict::Stop(relink::StopReason::FORBIDDEN))
            .expect("room");
    }
    let mut sim = connected_with(config.with_link(config.link.with_close_policy(policy)));
    sim.peer().publish(None, 7, "far ahead");
    assert_eq!(sim.peer().farewells()[0].code, CloseCode::GAP);
    sim.peer().back(0);
    assert!(is_connected(&sim));
}
