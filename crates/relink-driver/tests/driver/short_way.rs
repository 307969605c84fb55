//! Most messages take a short way in and out. It leads where the long one does.

use std::time::Duration;

use proptest::prelude::*;
use relink::protocol::{ClientFrame, ProtocolEvent};
use relink::session::Frame;
use relink::stats::Stats;
use relink::{CloseCode, Event, Instant, Message, Plain, Protocol, Receipt, SessionInput, State};
use relink_driver::InboxLimits;

use crate::event_loop::{EventLoop, Pipe};

/// The same protocol, whose messages have to go the long way.
struct Long(Plain);

impl Protocol for Long {
    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        self.0.receive(message, events);
    }

    fn send(&mut self, frame: ClientFrame, frames: &mut Vec<Frame>, now: Instant) {
        self.0.send(frame, frames, now);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send { bytes: usize },
    Say { bytes: usize },
    Room { bytes: usize },
    Run,
    Take { messages: usize },
    Pass { millis: u64 },
    Lose,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let size = || prop_oneof![4 => 0..200_usize, 1 => 0..70_000_usize];
    prop_oneof![
        8 => size().prop_map(|bytes| Step::Send { bytes }),
        8 => size().prop_map(|bytes| Step::Say { bytes }),
        3 => size().prop_map(|bytes| Step::Room { bytes }),
        6 => Just(Step::Run),
        3 => (0..20_usize).prop_map(|messages| Step::Take { messages }),
        2 => (0..40_000_u64).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Lose),
        1 => Just(Step::Close),
    ]
}

/// What a schedule leads to. What belongs together has an order, and what does not has none: a
/// message that is sent at once is reported before those that arrive with the next read.
#[derive(Debug, PartialEq, Eq, Default)]
struct Outcome {
    received: Vec<Message>,
    fates: Vec<(Receipt, &'static str)>,
    others: Vec<Event>,
    answers: Vec<bool>,
    at_the_server: Vec<relink_wire::Frame>,
    states: Vec<State>,
    stats: Stats,
}

impl Outcome {
    fn hear(&mut self, event: Event) {
        let range = |first: Receipt, last: Receipt| (first.0..=last.0).map(Receipt);
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others are compared as they are")]
        match event {
            Event::Message(message) => self.received.push(message),
            Event::Sent { first, last } => {
                self.fates.extend(range(first, last).map(|receipt| (receipt, "sent")));
            }
            Event::Dropped { first, last, .. } => {
                self.fates.extend(range(first, last).map(|receipt| (receipt, "dropped")));
            }
            other => self.others.push(other),
        }
    }
}

/// Around a loss and before a close, nothing is left between the outbox and the wire: it is lost
/// with the transport if it was encoded, and kept if it went the long way.
fn carry_on_if<P: Protocol>(event_loop: &mut EventLoop<P>, is_due: impl Fn(&Pipe) -> bool) {
    if event_loop.pipe.as_ref().is_some_and(is_due) {
        event_loop.run();
    }
}

fn play<P: Protocol>(protocol: P, steps: &[Step]) -> Outcome {
    let mut event_loop =
        EventLoop::new(InboxLimits::new(10, 1 << 16).with_look_ahead(1000), protocol);
    let mut outcome = Outcome::default();
    for step in steps {
        match *step {
            Step::Send { bytes } => {
                carry_on_if(&mut event_loop, |pipe| pipe.has_ended);
                let answer = event_loop.driver.send(vec![b's'; bytes], event_loop.now);
                outcome.answers.push(answer.is_ok());
                carry_on_if(&mut event_loop, |pipe| pipe.has_ended);
            }
            Step::Say { bytes } => event_loop.server_says_if_open(&vec![b'r'; bytes]),
            Step::Room { bytes } => {
                if let Some(pipe) = &mut event_loop.pipe {
                    pipe.room = bytes;
                }
            }
            Step::Run => event_loop.run(),
            Step::Take { messages } => {
                let enough = outcome.received.len() + messages;
                while outcome.received.len() < enough {
                    let Some(event) = event_loop.driver.poll_event() else { break };
                    outcome.hear(event);
                }
            }
            Step::Pass { millis } => event_loop.pass(Duration::from_millis(millis)),
            Step::Lose => {
                carry_on_if(&mut event_loop, |_| true);
                if let Some(pipe) = &mut event_loop.pipe {
                    pipe.has_ended = true;
                }
                event_loop.run();
            }
            Step::Close => {
                carry_on_if(&mut event_loop, |_| true);
                event_loop
                    .driver
                    .handle(SessionInput::Close(CloseCode::NORMAL.into()), event_loop.now);
            }
        }
        outcome.at_the_server.extend(event_loop.server_reads_if_open());
        outcome.states.push(event_loop.driver.session().state());
    }
    event_loop.run();
    while let Some(event) = event_loop.driver.poll_event() {
        outcome.hear(event);
        event_loop.run();
    }
    outcome.at_the_server.extend(event_loop.server_reads_if_open());
    outcome.stats = event_loop.driver.session().stats().clone();
    // A message that goes at once was never queued.
    outcome.stats.queued_peak = 0;
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_lead_to_the_same(steps in prop::collection::vec(step(), 1..80)) {
        prop_assert_eq!(play(Plain::default(), &steps), play(Long(Plain::default()), &steps));
    }
}

#[test]
fn a_plain_message_takes_the_short_way_and_no_other_does() {
    let mut short = EventLoop::plain(InboxLimits::default());
    short.driver.send("at once", short.now).unwrap();
    assert!(short.driver.session().outbox().is_empty() && !short.driver.is_flushed());
    let mut long = EventLoop::new(InboxLimits::default(), Long(Plain::default()));
    long.driver.send("later", long.now).unwrap();
    assert_eq!(long.driver.session().outbox().len(), 1);
}
