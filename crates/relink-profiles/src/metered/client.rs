//! The client's half of Metered's protocol.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::wire::{ClientFrame, Peer, ServerFrame};
use crate::deepstream::wrapped;
use crate::streams::Streams;
use relink::link::HandshakeEvent;
use relink::protocol::{ClientFrame as Say, ProtocolEvent, Rejection, ServerFrame as Said};
use relink::session::{Frame, Member, MemberChange, Problem, Text};
use relink::{Channel, CloseCode, CloseFrame, Instant, Message, Plain, Protocol};

/// Metered's protocol as a client speaks it: welcome, channels with presence, messages to one peer,
/// acknowledgements, heartbeats, going away. The configuration needs a welcome step.
///
/// * A message on a channel is published there; its data is JSON, and anything else is sent as a
///   JSON string. On the channel `@` plus the id of a peer it is sent to that peer alone. Without a
///   channel it is sent unchanged.
/// * The application gets the unchanged frame, so that it sees the sender: on its channel, or, if
///   it was sent to this peer alone, on none.
/// * Acknowledgements come with [`Guarantee::AtLeastOnce`](relink::Guarantee::AtLeastOnce). The
///   server does not drop duplicates, so the profile leaves that off.
/// * The server keeps no messages: a restored subscription reports a gap.
#[derive(Debug, Clone, Default)]
pub struct Client {
    peer: String,
    streams: Streams,
    /// Requests without an answer.
    asked: BTreeMap<u64, Asked>,
    /// Messages without an answer, in the order in which they were sent; and the results of those
    /// that wait for an earlier one.
    sent: VecDeque<(u64, u64, Option<Outcome>)>,
    requests: u64,
}

#[derive(Debug, Clone)]
enum Asked {
    Subscribe(Channel),
    Unsubscribe(Channel),
}

type Outcome = Result<(), Problem>;

impl Client {
    /// The server's id of this client; empty before the welcome.
    #[must_use]
    pub fn peer_id(&self) -> &str {
        &self.peer
    }

    fn request(&mut self) -> (u64, Option<String>) {
        self.requests += 1;
        (self.requests, Some(self.requests.to_string()))
    }

    /// Handles the answer to a request.
    fn answered(&mut self, request: &str, outcome: Outcome, events: &mut Vec<ProtocolEvent>) {
        let Ok(request) = request.parse::<u64>() else { return };
        match (self.asked.remove(&request), outcome) {
            (Some(Asked::Subscribe(channel)), Ok(())) => self.streams.confirmed(&channel, events),
            (Some(Asked::Subscribe(channel)), Err(problem)) => {
                self.streams.forget(&channel);
                let problem = Some(problem);
                events.push(Said::Unsubscribed { channel, problem }.into());
            }
            (Some(Asked::Unsubscribe(channel)), _) => {
                events.push(Said::Unsubscribed { channel, problem: None }.into());
            }
            (None, outcome) => self.message_answered(request, outcome, events),
        }
    }

    /// Answers can overtake each other; the session needs them in the order of the messages.
    fn message_answered(
        &mut self,
        request: u64,
        outcome: Outcome,
        events: &mut Vec<ProtocolEvent>,
    ) {
        if let Some(sent) = self.sent.iter_mut().find(|sent| sent.0 == request) {
            sent.2 = Some(outcome);
        }
        while let Some((_, serial, Some(outcome))) = self.sent.front().cloned() {
            self.sent.pop_front();
            events.push(ProtocolEvent::Session(match outcome {
                Ok(()) => Said::Ack { serial },
                Err(problem) => Said::Rejected(Rejection { serial, problem }),
            }));
        }
    }

    fn presence(
        &mut self,
        channel: Channel,
        joined: Vec<Peer>,
        left: Vec<Peer>,
        events: &mut Vec<ProtocolEvent>,
    ) {
        let Some(is_first) = self.streams.presence(&channel, events) else { return };
        if is_first {
            let members = joined.into_iter().map(member).collect();
            return events.push(Said::Members { channel, members, more: false }.into());
        }
        let left = left.into_iter().map(|peer| MemberChange::Left(member(peer)));
        let joined = joined.into_iter().map(|peer| MemberChange::Joined(member(peer)));
        events.extend(
            left.chain(joined)
                .map(|change| Said::MemberChanged { channel: channel.clone(), change }.into()),
        );
    }

    fn send_to(
        &mut self,
        message: &Message,
        channel: &Channel,
        serial: Option<u64>,
        frames: &mut Vec<Frame>,
    ) {
        let request = serial.and_then(|serial| {
            let (number, request) = self.request();
            self.sent.push_back((number, serial, None));
            request
        });
        say(&addressed(message, channel, request), frames);
    }
}

/// Addressed to a peer or a channel, by its name.
fn addressed(message: &Message, channel: &Channel, request: Option<String>) -> ClientFrame {
    let data = wrapped(message);
    match channel.as_str().strip_prefix('@') {
        Some(to) => ClientFrame::Send { to: to.into(), data, request },
        None => ClientFrame::Publish { channel: channel.to_string(), data, request },
    }
}

fn say(frame: &ClientFrame, frames: &mut Vec<Frame>) {
    frames.push(Frame::Message(Message::from(frame.encode())));
}

/// A peer is identified by its id alone.
fn member(peer: Peer) -> Member {
    Member { user: peer.id.clone(), join: peer.id, info: peer.metadata.map(Text::from) }
}

fn problem(code: String, message: Option<String>) -> Problem {
    let detail = message.unwrap_or_else(|| "Metered refused it".into());
    Problem::new(code, detail)
}

impl Protocol for Client {
    fn opened(&mut self, _: &mut Vec<Frame>) {
        self.peer.clear();
        self.streams.reset();
        self.asked.clear();
        self.sent.clear();
    }

    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        let Some(read) = message.as_text().map(ServerFrame::decode) else {
            let frame = CloseFrame::new(CloseCode::UNSUPPORTED_DATA, "Metered speaks text");
            return events.push(ProtocolEvent::Malformed(frame));
        };
        match read {
            Ok(ServerFrame::Welcome { peer, max_message_size, .. }) => {
                self.peer = peer;
                events.push(ProtocolEvent::MaxMessage(
                    Some(max_message_size).filter(|most| *most < u64::MAX),
                ));
                events.push(HandshakeEvent::Welcome.into());
            }
            Ok(ServerFrame::Ack { request }) => self.answered(&request, Ok(()), events),
            Ok(ServerFrame::Error { request: Some(request), code, message }) => {
                self.answered(&request, Err(problem(code, message)), events);
            }
            Ok(ServerFrame::Error { request: None, code, message }) => {
                events.push(Said::Error(problem(code, message)).into());
            }
            Ok(ServerFrame::Message { channel, .. }) => {
                self.streams.message(&Channel::from(channel), message, events);
            }
            Ok(ServerFrame::Direct { .. }) => events.push(ProtocolEvent::Data(message)),
            Ok(ServerFrame::Presence { channel, joined, left }) => {
                self.presence(Channel::from(channel), joined, left, events);
            }
            Ok(ServerFrame::GoingAway { retry_after_ms }) => {
                let retry_after = Duration::from_millis(retry_after_ms);
                events.push(Said::GoingAway { retry_after }.into());
            }
            Ok(ServerFrame::Pong) => events.push(ProtocolEvent::Pong(None)),
            // A frame of a later version is no reason to lose the link.
            Err(_) => {}
        }
    }

    fn closing(&mut self, frame: &CloseFrame, events: &mut Vec<ProtocolEvent>) {
        Plain::default().closing(frame, events);
    }

    fn send(&mut self, frame: Say, frames: &mut Vec<Frame>, _now: Instant) {
        match frame {
            Say::Heartbeat { .. } => say(&ClientFrame::Ping, frames),
            Say::Message { payload, channel: Some(channel), serial } => {
                self.send_to(&payload, &channel, serial, frames);
            }
            Say::Message { payload, channel: None, .. } => frames.push(Frame::Message(payload)),
            Say::Subscribe { channel, .. } => {
                let (number, request) = self.request();
                say(&ClientFrame::Subscribe { channel: channel.to_string(), request }, frames);
                self.asked.insert(number, Asked::Subscribe(channel.clone()));
                // Before the answer, so that messages that overtake it are not lost.
                self.streams.asked(channel);
            }
            Say::Unsubscribe { channel } => {
                let (number, request) = self.request();
                say(&ClientFrame::Unsubscribe { channel: channel.to_string(), request }, frames);
                self.streams.forget(&channel);
                self.asked.insert(number, Asked::Unsubscribe(channel));
            }
            Say::Hello { .. } | Say::Renew { .. } => {}
        }
    }

    fn encoded_len(
        &self,
        message: &Message,
        channel: Option<&Channel>,
        serial: Option<u64>,
    ) -> usize {
        // Its number, which counts other requests, too.
        let request = serial.map(|_| self.requests.saturating_add(1).to_string());
        channel.map_or(message.len(), |channel| addressed(message, channel, request).encode().len())
    }

    fn acknowledges(&self) -> bool {
        true
    }
}
