//! A protocol of one's own around `relink.v1` that does not say how long a message becomes: it
//! leaves that to the default.

use core::cell::Cell;
use std::rc::Rc;

use rand_pcg::Pcg32;
use relink::link::Step;
use relink::protocol::{ClientFrame, ProtocolEvent};
use relink::rand_core::SeedableRng;
use relink::session::{Frame, Secret};
use relink::{
    Channel, CloseCode, CloseFrame, Event, Guarantee, Instant, Message, Protocol, Resume, Session,
    SessionConfig, SessionInput,
};
use relink_v1::RelinkV1;

use crate::desk::Desk;

#[derive(Default)]
struct Wrapped {
    inner: RelinkV1,
    /// How often a message was measured.
    measured: Rc<Cell<u32>>,
}

impl Protocol for Wrapped {
    fn opened(&mut self) {
        self.inner.opened();
    }

    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        self.inner.receive(message, events);
    }

    fn begin(
        &mut self,
        step: Step,
        token: Option<&Secret>,
        resume: Option<&Resume>,
        frames: &mut Vec<Frame>,
    ) {
        self.inner.begin(step, token, resume, frames);
    }

    fn send(&mut self, frame: ClientFrame, frames: &mut Vec<Frame>, now: Instant) {
        self.inner.send(frame, frames, now);
    }

    /// As the default.
    fn encoded_len(
        &self,
        message: &Message,
        _channel: Option<&Channel>,
        _serial: Option<u64>,
    ) -> usize {
        self.measured.set(self.measured.get() + 1);
        message.len()
    }

    fn acknowledges(&self) -> bool {
        self.inner.acknowledges()
    }

    fn opening(&self) -> Option<Step> {
        self.inner.opening()
    }
}

fn wrapped(config: SessionConfig) -> (Desk<Wrapped>, Rc<Cell<u32>>) {
    let protocol = Wrapped::default();
    let measured = Rc::clone(&protocol.measured);
    let session = Session::new(config, vec!["ws://peer".into()], protocol, Pcg32::seed_from_u64(7));
    (Desk::of(session.expect("valid")), measured)
}

fn too_big(desk: &mut Desk<Wrapped>) {
    let frame = Frame::Close(CloseFrame::new(CloseCode::TOO_BIG, "so it is"));
    desk.give(SessionInput::Frame { id: desk.id, frame });
}

#[test]
fn i23_a_1009_finds_its_message_by_the_size_that_went_out() {
    let mut desk = wrapped(relink_v1::config()).0;
    desk.connect();
    desk.send_all(&["small", &"b".repeat(5_000), "behind"]);
    assert_eq!(desk.frames().len(), 3);
    too_big(&mut desk);
    desk.told();
    desk.back(1);
    assert_eq!(
        desk.told(),
        ["acknowledged 1", "dropped 2: too_large", "resumed", "connected again"]
    );
    assert_eq!(desk.heard(), ["2: behind"]);
}

#[test]
fn i23_so_it_is_for_a_message_that_nobody_acknowledges() {
    let mut config = relink_v1::config();
    config.outbox.guarantee = Guarantee::AtMostOnce;
    let mut desk = wrapped(config).0;
    desk.connect();
    desk.send_all(&["a", &"b".repeat(5_000)]);
    assert_eq!(desk.frames().len(), 2);
    too_big(&mut desk);
    let told = desk.take_events();
    let culprit = told.iter().find_map(|event| match event {
        Event::TooLarge { receipt, size } => Some((receipt.0, *size)),
        _ => None,
    });
    assert_eq!(culprit, Some((2, 5_028)), "{told:?}");
}

#[test]
fn a_message_that_may_not_go_yet_is_not_measured_again_and_again() {
    let mut config = relink_v1::config();
    config.outbox.in_flight = 1;
    let (mut desk, measured) = wrapped(config);
    desk.max_message = Some(10_000);
    desk.connect();
    desk.send_all(&["a", "b"]);
    assert_eq!(desk.heard(), ["1: a"]);
    let before = measured.get();
    for _ in 0..10 {
        assert_eq!(desk.heard(), [] as [&str; 0]);
    }
    assert_eq!(measured.get(), before);
    desk.ack(1);
    assert_eq!(desk.heard(), ["2: b"]);
}
