//! Serverpod's reconnection.

use relink::link::Hint;
use relink::policy::GiveUpReason;
use relink::{ClosedReason, Event, Phase, State};
use relink_profiles::serverpod::{PROFILE, config, config_with};
use relink_sim::{OnDial, secs};
use relink_v1::{ClientFrame, ServerFrame};

use crate::support::{ProfileSim, summed};

#[test]
fn s01_a_table_of_delays() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    let lost = sim.outage();
    sim.advance(secs(31));
    assert_eq!(sim.dialed_after(lost), summed(&[1, 2, 4, 8, 16].map(secs)));
    assert_eq!(sim.delays(), [1, 2, 4, 8, 16].map(secs));
}

#[test]
fn s02_five_attempts_then_it_stops_and_tells_the_person() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    let lost = sim.outage();
    sim.advance(secs(86_400));
    assert_eq!(sim.dialed_after(lost).len(), 5);
    let reason = ClosedReason::GaveUp(GiveUpReason::Attempts);
    assert_eq!(sim.events().last(), Some(&Event::Closed { reason }));
    assert!(reason.advice().contains("check the network"), "what a person can do");
    assert_eq!((sim.word(), sim.deadline()), ("disconnected", None));
}

#[test]
fn s03_the_counter_starts_again_after_a_success() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    for _ in 0..10 {
        sim.outage();
        sim.advance(secs(14)); // attempts after 1, 3 and 7 s
        assert_eq!(sim.machine().link().attempts(), 3);
        sim.up();
        assert_eq!(sim.machine().link().attempts(), 0, "on the first success");
    }
    sim.advance(secs(1));
    let lost = sim.outage();
    sim.next_dial();
    assert_eq!(sim.dialed_after(lost), [secs(1)]);
}

#[test]
fn s04_it_keeps_trying_or_disconnects_while_there_is_no_internet() {
    // False: the link stays, and what is down goes on trying.
    let mut sim = ProfileSim::with(&PROFILE, config_with(false));
    sim.up();
    sim.hint(Hint::Offline);
    assert_eq!((sim.word(), sim.dials().len()), ("connected", 1));
    let Some(ClientFrame::Heartbeat { nonce, .. }) = sim.heard_v1().pop() else {
        panic!("it asks the peer")
    };
    sim.say(&ServerFrame::HeartbeatAck { nonce, sent: 0 });
    sim.advance(secs(9));
    assert_eq!(sim.word(), "connected");
    let lost = sim.outage();
    sim.hint(Hint::Offline);
    sim.advance(secs(3));
    assert_eq!(sim.dialed_after(lost), summed(&[1, 2].map(secs)));

    // True: it lets go at once.
    let mut sim = ProfileSim::with(&PROFILE, config_with(true));
    sim.stable();
    let lost = sim.now();
    sim.skip();
    sim.hint(Hint::Offline);
    sim.expect(["drop", "lost (1006): the network may be gone; next attempt in 1s"]);
    assert_eq!(sim.state(), State::Reconnecting(Phase::Waiting));
    sim.up();
    assert_eq!(sim.dialed_after(lost), [secs(1)]);
}

#[test]
fn s05_unsent_messages_are_kept_and_sent_after_the_reconnection() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.outage();
    for text in ["one", "two", "three"] {
        assert!(sim.send(text).unwrap().queued);
    }
    sim.advance(secs(8));
    sim.peer().on_dial(OnDial::Accept);
    sim.next_dial();
    sim.heard_v1();
    sim.welcome(true);
    let sent: Vec<_> = sim
        .heard_v1()
        .into_iter()
        .filter_map(|frame| {
            if let ClientFrame::Message { payload, .. } = frame {
                payload.as_text().map(str::to_owned)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(sent, ["one", "two", "three"]);
}

#[test]
fn s06_missed_messages_are_asked_for_and_arrive_before_newer_ones() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    let publish = |sim: &mut ProfileSim, offset, text: &str| {
        sim.say(&ServerFrame::Publication { channel: None, offset, payload: text.into() });
    };
    for (offset, text) in [(1, "one"), (2, "two")] {
        publish(&mut sim, offset, text);
    }
    sim.take(2);
    sim.outage();
    sim.advance(secs(6));
    sim.peer().on_dial(OnDial::Accept);
    sim.heard_v1();
    sim.next_dial();
    let Some(ClientFrame::Hello { resume: Some(resume), .. }) = sim.heard_v1().pop() else {
        panic!("it asks to go on")
    };
    assert_eq!(resume.position.offset, 2, "after the last message that the application has taken");

    sim.welcome(true);
    sim.skip();
    for (offset, text) in [(3, "missed"), (4, "missed too"), (5, "new")] {
        publish(&mut sim, offset, text);
    }
    sim.expect([
        r#"received text "missed""#,
        r#"received text "missed too""#,
        r#"received text "new""#,
    ]);
}

#[test]
fn s07_the_status_is_there_for_the_person_to_see() {
    let mut sim = ProfileSim::with(&PROFILE, config());
    sim.up();
    sim.outage();
    sim.advance(secs(1));
    sim.up();
    sim.close(1000);
    assert_eq!(
        sim.changes(),
        [
            "disconnected → connecting",
            "connecting → connected",
            "connected → waitingToRetry",
            "waitingToRetry → connecting",
            "connecting → waitingToRetry",
            "waitingToRetry → connecting",
            "connecting → connected",
            "connected → disconnected",
        ]
    );
}
