//! The heartbeat.

use relink::link::Timer;
use relink::policy::{DeadReason, HeartbeatConfig};
use relink::session::Frame;
use relink::{
    CloseCode, ClosePolicy, Event, LinkConfig, Phase, Reason, SessionInput, State, StopReason,
    Verdict,
};
use relink_sim::{Sim, millis, secs};

use crate::support::{count, is_connected, malformed, speaking, waits};

#[test]
fn i09_a_new_transport_starts_with_an_empty_heartbeat() {
    let mut sim = Sim::new(beating(|heartbeat| heartbeat.with_missed(2)));
    sim.to_connected();
    sim.peer().silence();
    // The first ping was missed, the second one is pending.
    sim.advance(secs(65));
    sim.peer().reset();
    sim.next_dial();
    let reconnected_at = sim.now();
    assert!(is_connected(&sim));
    sim.peer().silence();
    let _ = sim.peer().heard();

    sim.advance(secs(30) - millis(1));
    assert_eq!(sim.peer().heard(), [], "no ping of the old schedule");
    sim.advance(millis(1));
    assert_eq!(sim.peer().heard(), [ping(1)]);
    sim.advance(secs(39));
    assert!(is_connected(&sim), "the miss of the old transport does not count");
    sim.advance(secs(1));
    assert!(!is_connected(&sim));
    assert_eq!(sim.now() - reconnected_at, secs(70));
}

#[test]
fn i09_a_late_pong_of_the_old_transport_has_no_effect() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    let old = sim.dials()[0].id;
    sim.peer().silence();
    sim.advance(secs(41));
    assert!(is_connected(&sim), "dead after 40 s, dialed again within a second");
    sim.peer().silence();
    let reconnected_at = sim.dials()[1].at;
    sim.advance(reconnected_at + secs(31) - sim.now());

    // Both transports wait for the pong to ping 1.
    sim.handle(SessionInput::Frame { id: old, frame: pong(1) });
    assert_eq!(sim.machine().stats().last_round_trip, None);
    assert_eq!(sim.machine().link().next_timer(), Some(Timer::Pong));
    sim.advance(secs(9));
    assert!(!is_connected(&sim));
}

#[test]
fn i09_a_late_pong_does_not_answer_the_next_ping() {
    let mut sim = Sim::new(beating(|heartbeat| heartbeat.with_missed(3)));
    sim.to_connected();
    sim.peer().silence();
    sim.advance(secs(61));
    sim.peer().frame(pong(1));
    assert_eq!(sim.machine().stats().last_round_trip, None, "31 s is not the time of a round trip");
    sim.peer().frame(pong(2));
    assert_eq!(sim.machine().stats().last_round_trip, Some(secs(1)));
}

#[test]
fn i10_frames_that_arrived_during_a_sleep_are_judged_first() {
    for watchdog in [None, Some(secs(60))] {
        let mut sim = Sim::new(beating(|heartbeat| heartbeat.with_watchdog(watchdog)));
        sim.to_connected();
        sim.peer().silence();
        sim.advance(secs(31));
        sim.skip();

        sim.sleep(secs(600));
        sim.peer().send("news");
        sim.handle_timeout();
        sim.expect(["received", "ping"]);
        assert!(
            is_connected(&sim),
            "the news answer the ping of before; the one that was overdue goes out"
        );
        assert_eq!(sim.wakes_in(), Some(secs(10)), "the next judgement is not a hurried one");
    }
}

#[test]
fn i10_after_a_sleep_one_quick_probe_goes_out_before_the_link_is_dead() {
    // A ping is pending, or only the watchdog runs.
    let pinging = LinkConfig::default();
    let watching = beating(|heartbeat| heartbeat.with_interval(None).with_watchdog(Some(secs(60))));
    for config in [pinging, watching] {
        let mut sim = Sim::new(config);
        sim.to_connected();
        sim.peer().silence();
        sim.advance(secs(31));
        sim.skip();

        sim.sleep(secs(600));
        sim.handle_timeout();
        sim.expect(["ping"]);
        assert!(is_connected(&sim));
        assert_eq!(sim.wakes_in(), Some(secs(2)));
        sim.advance(secs(2));
        let dead = |event: &Event| {
            matches!(event, Event::Disconnected { reason: Reason::Dead(DeadReason::Probe), .. })
        };
        assert_eq!(count(&sim.take_events(), dead), 1);
    }
}

#[test]
fn i10_a_link_that_answers_the_probe_stays() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    sim.peer().silence();
    sim.advance(secs(31));
    sim.sleep(secs(600));
    sim.handle_timeout();
    sim.peer().frame(pong(2));
    sim.advance(secs(29));
    assert!(is_connected(&sim));
    assert_eq!(sim.machine().stats().heartbeats_lost, 0);
}

#[test]
fn i11_an_overdue_ping_goes_out_at_the_next_wake() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    sim.advance(secs(10));
    sim.skip();
    for late in [0, 1, 60, 86_400] {
        sim.sleep(secs(30 + late));
        sim.handle_timeout();
        sim.expect(["ping"]);
        assert_eq!(sim.wakes_in(), Some(secs(30)), "and the next one in its turn");
        sim.peer().send("still here");
        sim.skip();
    }
}

#[test]
fn i12_any_traffic_counts_as_life() {
    let mut sim = Sim::new(beating(|heartbeat| heartbeat.with_watchdog(Some(secs(20)))));
    sim.to_connected();
    // The peer never answers a ping.
    sim.peer().silence();
    for second in 0..600 {
        sim.advance(secs(1));
        match second % 20 {
            5 => sim.peer().send("data"),
            15 => sim.peer().frame(Frame::Ping(b"ping"[..].into())),
            _ => {}
        }
    }
    assert!(is_connected(&sim));
    assert_eq!(sim.machine().stats().heartbeats_lost, 0);
}

#[test]
fn i12_traffic_does_not_starve_the_pings() {
    let mut sim = Sim::new(LinkConfig::default());
    sim.to_connected();
    for _ in 0..3_000 {
        sim.advance(millis(100));
        sim.peer().send("data");
    }
    assert_eq!(sim.machine().stats().pings, 10, "one each 30 s in 300 s");
}

#[test]
fn i13_a_lost_heartbeat_is_retried_whatever_the_table_says() {
    let mut policy = ClosePolicy::default();
    policy.set_close(0..=u16::MAX, Verdict::Stop(StopReason::NORMAL_CLOSURE)).unwrap();
    let mut sim = Sim::new(LinkConfig::default().with_close_policy(policy));
    sim.to_connected();
    sim.peer().silence();
    sim.advance(secs(40));
    // 4000: neither 1000 nor 1001, after which a server may drop the session.
    sim.expect([
        "dial",
        "connected",
        "ping",
        "drop, saying 4000",
        "lost (1006): the heartbeat went unanswered",
    ]);
    assert_eq!(sim.state(), State::Reconnecting(Phase::Waiting));
    assert!(waits(&sim.take_events())[0] <= secs(1), "at once, as after any loss of a stable link");
}

#[test]
fn i13_so_is_a_close_over_nonsense_from_the_peer() {
    let mut policy = ClosePolicy::default();
    policy.set_close(1007..=1007, Verdict::Stop(StopReason::UNSUPPORTED_DATA)).unwrap();
    let mut sim = speaking(LinkConfig::default().with_close_policy(policy), 1);
    sim.to_connected();
    sim.peer().say(malformed());
    sim.expect(["dial", "connected", "drop, saying 1007", "lost (1006)"]);
    assert_eq!(sim.state(), State::Reconnecting(Phase::Waiting));
}

#[test]
fn i13_a_code_that_would_end_the_session_is_not_a_valid_choice() {
    for code in [CloseCode::NORMAL, CloseCode::GOING_AWAY, CloseCode::ABNORMAL, CloseCode(5000)] {
        let error = beating(|heartbeat| heartbeat.with_close_code(code)).validate().unwrap_err();
        assert_eq!(error.field().to_string(), "heartbeat.close_code");
    }
    for code in [CloseCode::HEARTBEAT_TIMEOUT, CloseCode(3008), CloseCode::PROTOCOL_ERROR] {
        beating(|heartbeat| heartbeat.with_close_code(code)).validate().unwrap();
    }
}

fn beating(change: impl Fn(HeartbeatConfig) -> HeartbeatConfig) -> LinkConfig {
    LinkConfig::default().with_heartbeat(change(HeartbeatConfig::default()))
}

fn ping(nonce: u32) -> Frame {
    Frame::Ping(nonce.to_be_bytes().to_vec().into())
}

fn pong(nonce: u32) -> Frame {
    Frame::Pong(nonce.to_be_bytes().to_vec().into())
}
