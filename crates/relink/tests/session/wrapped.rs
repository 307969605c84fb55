//! An application's own protocol around `relink.v1` that leaves the length of encoded messages to
//! the default.

use core::cell::Cell;
use std::rc::Rc;

use relink::link::{HandshakeEvent, Step};
use relink::protocol::{ClientFrame, ProtocolEvent};
use relink::session::{Frame, Secret};
use relink::{
    Channel, CloseCode, CloseFrame, Event, Guarantee, Instant, Message, Protocol, Resume,
    SessionConfig,
};
use relink_sim::{Sim, Speak};
use relink_v1::{RelinkV1, ServerFrame};

use crate::support::{connect, link_with, send_all, told};

#[derive(Default)]
struct Wrapped {
    inner: RelinkV1,
    /// How often a message was measured.
    measured: Rc<Cell<u32>>,
}

impl Protocol for Wrapped {
    fn opened(&mut self, frames: &mut Vec<Frame>) {
        self.inner.opened(frames);
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

impl Speak for Wrapped {
    type Frame = ServerFrame;

    fn encode(&self, frame: ServerFrame) -> Message {
        Speak::encode(&self.inner, frame)
    }

    fn handshake(&self, event: HandshakeEvent) -> Option<ServerFrame> {
        Speak::handshake(&self.inner, event)
    }
}

fn wrapped(config: SessionConfig) -> (Sim<Wrapped>, Rc<Cell<u32>>) {
    let protocol = Wrapped::default();
    let measured = Rc::clone(&protocol.measured);
    (link_with(config, protocol), measured)
}

fn too_big(sim: &mut Sim<Wrapped>) {
    let frame = Frame::Close(CloseFrame::new(CloseCode::TOO_BIG, "so it is"));
    sim.peer().frame(frame);
}

#[test]
fn i23_a_1009_finds_its_message_by_the_size_that_went_out() {
    let mut sim = wrapped(relink_v1::config()).0;
    connect(&mut sim);
    send_all(&mut sim, &["small", &"b".repeat(5_000), "behind"]);
    assert_eq!(sim.peer().frames().len(), 3);
    too_big(&mut sim);
    told(&mut sim);
    sim.peer().back(1);
    assert_eq!(
        told(&mut sim),
        ["acknowledged 1", "dropped 2: too_large", "resumed", "connected again"]
    );
    assert_eq!(sim.peer().lines(), ["2: behind"]);
}

#[test]
fn i23_so_it_is_for_a_message_that_nobody_acknowledges() {
    let mut config = relink_v1::config();
    config.outbox.guarantee = Guarantee::AtMostOnce;
    let mut sim = wrapped(config).0;
    connect(&mut sim);
    send_all(&mut sim, &["a", &"b".repeat(5_000)]);
    assert_eq!(sim.peer().frames().len(), 2);
    too_big(&mut sim);
    let told = sim.take_events();
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
    let (mut sim, measured) = wrapped(config);
    sim.peer().max_message(Some(10_000));
    connect(&mut sim);
    send_all(&mut sim, &["a", "b"]);
    assert_eq!(sim.peer().lines(), ["1: a"]);
    let before = measured.get();
    for _ in 0..10 {
        assert_eq!(sim.peer().lines(), [] as [&str; 0]);
    }
    assert_eq!(measured.get(), before);
    sim.peer().ack(1);
    assert_eq!(sim.peer().lines(), ["2: b"]);
}
