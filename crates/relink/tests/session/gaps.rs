//! I26: gaps and duplicates.

use relink::{CloseCode, CloseFrame, Message, Position};
use relink_v1::{ClientFrame, ServerFrame};

use crate::desk::{Desk, frame_in_short, secs};

#[test]
fn i26_a_duplicate_is_dropped_without_effect_and_counted() {
    let mut desk = Desk::connected();
    desk.follow("news", 5);
    for offset in [6, 6, 3, 7, 6] {
        desk.publish(Some("news"), offset, &format!("n{offset}"));
    }
    assert_eq!(desk.told(), ["news 6: n6", "news 7: n7"]);
    assert_eq!(desk.session.stats().duplicates, 3);
    assert!(desk.is_connected());
    desk.take(2);
    assert_eq!(desk.session.position(&"news".into()), Some(Position::new(1, 7)));
}

#[test]
fn i26_a_gap_closes_the_transport_and_the_session_goes_on_from_what_both_have() {
    for (channel, stream) in [(None, "own"), (Some("news"), "channel")] {
        let mut desk = Desk::connected();
        desk.follow("news", 0);
        desk.publish(channel, 1, "a");
        desk.publish(channel, 3, "c");
        assert_eq!(
            desk.farewells,
            [CloseFrame::new(CloseCode::GAP, "a message is missing")],
            "{stream}: 4100, which ends no session"
        );
        assert_eq!(desk.session.stats().gaps, 1);
        assert_eq!(desk.told()[1], "disconnected 1006: a message is missing");
        desk.take(1);
        desk.back(0);
        desk.heard();
        desk.subscribed("news", u64::from(channel.is_some()), true);
        desk.told();
        desk.publish(channel, 2, "b");
        desk.publish(channel, 3, "c");
        assert_eq!(desk.told().len(), 2, "{stream}: nothing is missing, and nothing comes twice");
    }
}

#[test]
fn i26_what_is_on_its_way_to_the_application_does_not_come_twice() {
    let mut desk = Desk::connected();
    desk.follow("news", 0);
    for offset in 1..=3 {
        desk.publish(Some("news"), offset, "");
    }
    desk.take(1);
    desk.lose();
    desk.back(0);
    assert_eq!(desk.heard(), ["subscribe news since 1/1"], "a resume starts after what was taken");
    desk.subscribed("news", 1, true);
    desk.told();
    for offset in 2..=4 {
        desk.publish(Some("news"), offset, "again");
    }
    assert_eq!(desk.told(), ["news 4: again"]);
    assert_eq!(desk.session.stats().duplicates, 2);
}

#[test]
fn i26_a_lost_tail_shows_at_the_next_heartbeat() {
    let mut desk = Desk::connected();
    desk.follow("news", 0);
    desk.publish(Some("news"), 1, "a");
    desk.publish(Some("news"), 1, "a duplicate was sent, too");
    desk.publish(Some("elsewhere"), 1, "and this, to a channel that was left meanwhile");
    for (sent, is_lost) in [(3, false), (4, true)] {
        desk.sleep(secs(30));
        let Some(ClientFrame::Heartbeat { nonce, .. }) = desk.frame() else {
            panic!("no heartbeat")
        };
        desk.say(ServerFrame::HeartbeatAck { nonce, sent });
        assert_eq!(desk.is_connected(), !is_lost);
    }
    assert_eq!(desk.farewells, [CloseFrame::new(CloseCode::GAP, "the last messages are missing")]);
    desk.back(0);
    for (sent, is_lost) in [(0, false), (1, true)] {
        desk.say(ServerFrame::HeartbeatAck { nonce: 0, sent });
        assert_eq!(desk.is_connected(), !is_lost, "the new transport counts from nothing");
    }
}

#[test]
fn i26_a_heartbeat_speaks_of_what_went_over_this_transport_and_no_more() {
    let mut desk = Desk::connected();
    desk.send_all(&["a", "b", "c"]);
    assert_eq!(desk.heard().len(), 3);
    desk.lose();
    desk.back(1);
    // The transport has no room: a heartbeat is due, and two messages have yet to go out again.
    desk.sleep(secs(30));
    let heard: Vec<_> = desk.frames().iter().map(frame_in_short).collect();
    assert_eq!(heard, ["heartbeat, 1 sent", "2: b", "3: c"]);
    desk.sleep(secs(9));
    desk.ack(2);
    desk.sleep(secs(30));
    assert_eq!(desk.heard().last().map(String::as_str), Some("heartbeat, 3 sent"));
}

#[test]
fn a_word_that_is_none_closes_the_transport_and_the_session_goes_on() {
    let mut desk = Desk::connected();
    for (text, code) in [("{\"type\":\"nonsense\"}", 1003), ("nonsense", 1007)] {
        let frame = relink::session::Frame::Message(Message::from(text));
        desk.give(relink::SessionInput::Frame { id: desk.id, frame });
        assert_eq!(desk.farewells.pop().map(|frame| frame.code.0), Some(code));
        desk.back(0);
        assert!(desk.is_connected());
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
    let mut desk = Desk::connected_with(config.with_link(config.link.with_close_policy(policy)));
    desk.publish(None, 7, "far ahead");
    assert_eq!(desk.farewells[0].code, CloseCode::GAP);
    desk.back(0);
    assert!(desk.is_connected());
}
