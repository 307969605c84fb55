//! Reports when a list of members has arrived.

use relink::link::Step;
use relink::protocol::{ClientFrame, Given, ProtocolEvent, ServerFrame, Unreadable};
use relink::session::{Frame, Secret};
use relink::{Channel, Instant, Message, Protocol, Resume};
use relink_v1::RelinkV1;

/// `relink.v1`, with an extra message after each list of members.
///
/// A session reports only changes of members. The reconcile needs to know that the list of the new
/// link has arrived, even without changes: then all members have survived. A protocol can be
/// wrapped to emit what an application needs in addition, in order among the events.
#[derive(Debug)]
pub(super) struct WithLists(pub(super) RelinkV1);

/// What stands before the name of the channel. No publication reaches the application as a plain
/// message here, since the signalling server sends none to sessions.
const MARK: &str = "members of ";

/// The channel whose list has arrived, if this is such a message.
pub(super) fn listed(message: &Message) -> Option<&str> {
    message.as_text()?.strip_prefix(MARK)
}

impl Protocol for WithLists {
    fn opened(&mut self, frames: &mut Vec<Frame>) {
        self.0.opened(frames);
    }

    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        self.0.receive(message, events);
        let Some(ProtocolEvent::Session(said)) = events.last() else { return };
        if let ServerFrame::Members { channel, more: false, .. } = said {
            let mark = format!("{MARK}{channel}");
            events.push(ProtocolEvent::Data(mark.into()));
        }
    }

    fn closing(&mut self, frame: &relink::CloseFrame, events: &mut Vec<ProtocolEvent>) {
        self.0.closing(frame, events);
    }

    fn begin(
        &mut self,
        step: Step,
        token: Option<&Secret>,
        resume: Option<&Resume>,
        frames: &mut Vec<Frame>,
    ) {
        self.0.begin(step, token, resume, frames);
    }

    fn send(&mut self, frame: ClientFrame, frames: &mut Vec<Frame>, now: Instant) {
        self.0.send(frame, frames, now);
    }

    fn encoded_len(
        &self,
        message: &Message,
        channel: Option<&Channel>,
        serial: Option<u64>,
    ) -> usize {
        self.0.encoded_len(message, channel, serial)
    }

    fn check(&self, given: Given<'_>) -> Result<(), Unreadable> {
        self.0.check(given)
    }

    fn acknowledges(&self) -> bool {
        self.0.acknowledges()
    }

    fn renews(&self) -> bool {
        self.0.renews()
    }

    fn opening(&self) -> Option<Step> {
        self.0.opening()
    }
}
