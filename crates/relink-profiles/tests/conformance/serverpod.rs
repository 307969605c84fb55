//! S1–S7: Serverpod's reconnection.

use relink::link::Hint;
use relink::policy::GiveUpReason;
use relink::{ClosedReason, Event, Phase, SessionInput, State};
use relink_profiles::serverpod::{PROFILE, config, config_with};
use relink_sim::{OnDial, secs};
use relink_v1::{ClientFrame, ServerFrame};

use crate::support::{Rig, summed};

#[test]
fn s01_a_table_of_delays() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    let lost = rig.outage();
    rig.advance(secs(31));
    assert_eq!(rig.dialled_after(lost), summed(&[1, 2, 4, 8, 16].map(secs)));
    assert_eq!(rig.delays(), [1, 2, 4, 8, 16].map(secs));
}

#[test]
fn s02_five_attempts_then_it_stops_and_tells_the_person() {
    let mut rig = Rig::new(&PROFILE);
    rig.stable();
    let lost = rig.outage();
    rig.advance(secs(86_400));
    assert_eq!(rig.dialled_after(lost).len(), 5);
    let reason = ClosedReason::GaveUp(GiveUpReason::Attempts);
    assert_eq!(rig.events().last(), Some(&Event::Closed { reason }));
    assert!(reason.advice().contains("check the network"), "what a person can do");
    assert_eq!((rig.word(), rig.deadline()), ("disconnected", None));
}

#[test]
fn s03_the_counter_starts_again_after_a_success() {
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    for _ in 0..10 {
        rig.outage();
        rig.advance(secs(14)); // attempts after 1, 3 and 7 s
        assert_eq!(rig.machine().link().attempts(), 3);
        rig.up();
        assert_eq!(rig.machine().link().attempts(), 0, "on the first success");
    }
    rig.advance(secs(1));
    let lost = rig.outage();
    rig.next_dial();
    assert_eq!(rig.dialled_after(lost), [secs(1)]);
}

#[test]
fn s04_it_keeps_trying_or_disconnects_while_there_is_no_internet() {
    // False: the link stays, and what is down goes on trying.
    let mut rig = Rig::with(&PROFILE, config_with(false));
    rig.up();
    rig.hint(Hint::Offline);
    assert_eq!((rig.word(), rig.dials().len()), ("connected", 1));
    let Some(ClientFrame::Heartbeat { nonce, .. }) = rig.heard_v1().pop() else {
        panic!("it asks the peer")
    };
    rig.say(&ServerFrame::HeartbeatAck { nonce, sent: 0 });
    rig.advance(secs(9));
    assert_eq!(rig.word(), "connected");
    let lost = rig.outage();
    rig.hint(Hint::Offline);
    rig.advance(secs(3));
    assert_eq!(rig.dialled_after(lost), summed(&[1, 2].map(secs)));

    // True: it lets go at once.
    let mut rig = Rig::with(&PROFILE, config_with(true));
    rig.stable();
    let lost = rig.now();
    rig.skip();
    rig.hint(Hint::Offline);
    rig.expect(["drop", "lost (1006): the network may be gone; next attempt in 1s"]);
    assert_eq!(rig.state(), State::Reconnecting(Phase::Waiting));
    rig.up();
    assert_eq!(rig.dialled_after(lost), [secs(1)]);
}

#[test]
fn s05_unsent_messages_are_kept_and_sent_after_the_reconnection() {
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    rig.outage();
    for text in ["one", "two", "three"] {
        assert!(rig.send(text).unwrap().queued);
    }
    rig.advance(secs(8));
    rig.peer().on_dial(OnDial::Accept);
    rig.next_dial();
    rig.heard_v1();
    rig.welcome(true);
    let sent: Vec<_> = rig
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
    let mut rig = Rig::new(&PROFILE);
    rig.up();
    let publish = |rig: &mut Rig, offset, text: &str| {
        rig.say(&ServerFrame::Publication { channel: None, offset, payload: text.into() });
    };
    for (offset, text) in [(1, "one"), (2, "two")] {
        publish(&mut rig, offset, text);
    }
    rig.handle(SessionInput::Taken { count: 2 });
    rig.outage();
    rig.advance(secs(6));
    rig.peer().on_dial(OnDial::Accept);
    rig.heard_v1();
    rig.next_dial();
    let Some(ClientFrame::Hello { resume: Some(resume), .. }) = rig.heard_v1().pop() else {
        panic!("it asks to go on")
    };
    assert_eq!(resume.position.offset, 2, "after the last message that the application has taken");

    rig.welcome(true);
    rig.skip();
    for (offset, text) in [(3, "missed"), (4, "missed too"), (5, "new")] {
        publish(&mut rig, offset, text);
    }
    rig.expect([
        r#"received text "missed""#,
        r#"received text "missed too""#,
        r#"received text "new""#,
    ]);
}

#[test]
fn s07_the_status_is_there_for_the_person_to_see() {
    let mut rig = Rig::with(&PROFILE, config());
    rig.up();
    rig.outage();
    rig.advance(secs(1));
    rig.up();
    rig.close(1000);
    assert_eq!(
        rig.changes(),
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
