//! The client's half of deepstream's protocol: connection, login, events.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::de::IgnoredAny;

use super::wire::{Encoding, Packet, auth, connection, event, topic};
use super::{AUTHENTICATION_TIMEOUT, CHALLENGE_DENIED, TOO_MANY_AUTH_ATTEMPTS};
use crate::streams::Streams;
use relink::link::{HandshakeEvent, Refusal, Step};
use relink::protocol::{ClientFrame, ProtocolEvent, ServerFrame};
use relink::session::{Frame, Problem, Secret};
use relink::{Address, Channel, CloseFrame, Instant, Message, Plain, Protocol, Resume};

/// The version of the protocol that a challenge names.
const PROTOCOL_VERSION: &str = "0.1a";

/// deepstream's protocol, as far as a link needs it: the challenge with its redirects, the login,
/// heartbeats, and events, which are relink's channels. Records, remote procedures and presence are
/// not supported: what arrives about them is passed to the application unchanged, and a message
/// without a channel is sent unchanged.
///
/// * The token is the login: JSON such as `{"username":"ada"}` unchanged, anything else as
///   `{"token":"…"}`.
/// * Data of an event is JSON. A message that is JSON is sent unchanged, any other as a JSON
///   string; a JSON string arrives as the text in it, any other value as JSON.
/// * Events are not numbered, and the server keeps none: a restored subscription reports a gap.
#[derive(Debug, Clone)]
pub struct Deepstream {
    encoding: Encoding,
    url: String,
    challenged: bool,
    streams: Streams,
    /// Subscriptions without an answer, by the number that the answer repeats.
    asked: BTreeMap<u64, Channel>,
    requests: u64,
}

impl Deepstream {
    /// A client that uses this encoding, and sends this address in its challenge.
    #[must_use]
    pub fn new(encoding: Encoding, address: &Address) -> Self {
        // The challenge has the address without its query, which may be secret.
        let url = address.expose().split(['?', '#']).next().unwrap_or_default().to_owned();
        Self {
            encoding,
            url,
            challenged: false,
            streams: Streams::default(),
            asked: BTreeMap::new(),
            requests: 0,
        }
    }

    /// A client whose encoding follows from the path of the address: JSON for `/deepstream-json`,
    /// otherwise protobuf.
    #[must_use]
    pub fn for_address(address: &Address) -> Self {
        let path = address.expose().split(['?', '#']).next().unwrap_or_default();
        let json = path.trim_end_matches('/').ends_with("-json");
        Self::new(if json { Encoding::Json } else { Encoding::Protobuf }, address)
    }

    fn say(&self, packet: &Packet, frames: &mut Vec<Frame>) {
        frames.push(Frame::Message(packet.encode(self.encoding)));
    }

    /// The client sends first, whatever the name of the step in which it waits for an answer.
    fn challenge(&mut self, frames: &mut Vec<Frame>) {
        if core::mem::replace(&mut self.challenged, true) {
            return;
        }
        let packet = Packet {
            url: Some(self.url.clone()),
            protocol_version: Some(PROTOCOL_VERSION.to_owned()),
            sdk_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            sdk_type: Some(env!("CARGO_PKG_NAME").to_owned()),
            ..Packet::new(topic::CONNECTION, connection::CHALLENGE)
        };
        self.say(&packet, frames);
    }

    fn about_events(&mut self, packet: Packet, events: &mut Vec<ProtocolEvent>) {
        let Packet { action, data, correlation_id, name, names, original_action, is_error, .. } =
            packet;
        let asked =
            correlation_id.and_then(|id| id.parse().ok()).and_then(|id| self.asked.remove(&id));
        let named = || name.clone().or(names.into_iter().next()).map(Channel::from);
        let about = original_action.unwrap_or(action);
        if (is_error || action >= 100) && action != event::MULTIPLE_SUBSCRIPTIONS {
            let detail = data.unwrap_or_else(|| format!("deepstream refused it ({action})"));
            let problem = Problem::new(problem_name(action), detail);
            let channel = asked.or_else(named).filter(|_| about != event::EMIT);
            return events.push(ProtocolEvent::Session(match channel {
                Some(channel) => {
                    self.streams.forget(&channel);
                    ServerFrame::Unsubscribed { channel, problem: Some(problem) }
                }
                None => ServerFrame::Error(problem),
            }));
        }
        match (action, asked.or_else(named)) {
            (event::EMIT, Some(channel)) => {
                let message = Message::from(unwrapped(data.unwrap_or_default()));
                self.streams.message(&channel, message, events);
            }
            (event::SUBSCRIBE | event::MULTIPLE_SUBSCRIPTIONS, Some(channel)) => {
                self.streams.confirmed(&channel, events);
            }
            (event::UNSUBSCRIBE, Some(channel)) => {
                events.push(ServerFrame::Unsubscribed { channel, problem: None }.into());
            }
            _ => {}
        }
    }

    fn ask(&mut self, action: i32, channel: &Channel, frames: &mut Vec<Frame>) -> u64 {
        self.requests += 1;
        let packet = Packet {
            names: [channel.to_string()].into(),
            correlation_id: Some(self.requests.to_string()),
            ..Packet::new(topic::EVENT, action)
        };
        self.say(&packet, frames);
        self.requests
    }
}

impl Protocol for Deepstream {
    fn opened(&mut self, _: &mut Vec<Frame>) {
        self.challenged = false;
        self.streams.reset();
        self.asked.clear();
    }

    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        let packet = match Packet::decode(&message) {
            Ok(packet) => packet,
            Err(frame) => return events.push(ProtocolEvent::Malformed(frame)),
        };
        let refused = |reason| HandshakeEvent::Refused(Refusal::Stop(reason)).into();
        match (packet.topic, packet.action) {
            (topic::CONNECTION, connection::PONG) => events.push(ProtocolEvent::Pong(None)),
            // The server negotiates the address only, which the client has sent.
            (topic::CONNECTION, connection::CHALLENGE) => {
                events.push(HandshakeEvent::Welcome.into())
            }
            (topic::CONNECTION, connection::ACCEPT) => {
                let met = [HandshakeEvent::Welcome, HandshakeEvent::ChallengeMet];
                events.extend(met.map(ProtocolEvent::from));
            }
            (topic::CONNECTION, connection::REDIRECT) => match packet.url {
                Some(url) => events.push(ProtocolEvent::Redirect(url.into())),
                None => events.push(ProtocolEvent::Malformed(CloseFrame::new(
                    relink::CloseCode::UNSUPPORTED_DATA,
                    "a redirect without an address",
                ))),
            },
            (topic::CONNECTION, connection::REJECT) => events.push(refused(CHALLENGE_DENIED)),
            (topic::CONNECTION, connection::AUTHENTICATION_TIMEOUT) => {
                events.push(refused(AUTHENTICATION_TIMEOUT));
            }
            (topic::AUTH, auth::SUCCESSFUL) => events.push(HandshakeEvent::Authenticated.into()),
            (topic::AUTH, auth::UNSUCCESSFUL) => {
                events.push(HandshakeEvent::Refused(Refusal::Token).into())
            }
            (topic::AUTH, auth::TOO_MANY) => events.push(refused(TOO_MANY_AUTH_ATTEMPTS)),
            (topic::EVENT, _) => self.about_events(packet, events),
            (topic::CONNECTION | topic::AUTH, _) => {}
            _ => events.push(ProtocolEvent::Data(message)),
        }
    }

    fn closing(&mut self, frame: &CloseFrame, events: &mut Vec<ProtocolEvent>) {
        Plain::default().closing(frame, events);
    }

    fn begin(
        &mut self,
        step: Step,
        token: Option<&Secret>,
        _resume: Option<&Resume>,
        frames: &mut Vec<Frame>,
    ) {
        match step {
            Step::Welcome | Step::Challenge => self.challenge(frames),
            Step::Authenticating => {
                let data = Some(credentials(token));
                self.say(&Packet { data, ..Packet::new(topic::AUTH, auth::REQUEST) }, frames);
            }
            Step::Login => {}
        }
    }

    fn send(&mut self, frame: ClientFrame, frames: &mut Vec<Frame>, _now: Instant) {
        match frame {
            ClientFrame::Heartbeat { .. } => {
                self.say(&Packet::new(topic::CONNECTION, connection::PING), frames);
            }
            ClientFrame::Message { payload, channel: Some(channel), .. } => {
                self.say(&emitted(&payload, &channel), frames);
            }
            ClientFrame::Message { payload, channel: None, .. } => {
                frames.push(Frame::Message(payload));
            }
            ClientFrame::Subscribe { channel, .. } => {
                let request = self.ask(event::SUBSCRIBE, &channel, frames);
                self.asked.insert(request, channel.clone());
                self.streams.asked(channel);
            }
            ClientFrame::Unsubscribe { channel } => {
                self.ask(event::UNSUBSCRIBE, &channel, frames);
                self.streams.forget(&channel);
            }
            ClientFrame::Hello { .. } | ClientFrame::Renew { .. } => {}
        }
    }

    fn encoded_len(
        &self,
        message: &Message,
        channel: Option<&Channel>,
        _serial: Option<u64>,
    ) -> usize {
        channel
            .map_or(message.len(), |channel| emitted(message, channel).encode(self.encoding).len())
    }

    fn opening(&self) -> Option<Step> {
        Some(Step::Challenge)
    }
}

/// An event for all subscribers.
fn emitted(message: &Message, channel: &Channel) -> Packet {
    let (name, data) = (Some(channel.to_string()), Some(wrapped(message)));
    Packet { name, data, ..Packet::new(topic::EVENT, event::EMIT) }
}

fn problem_name(action: i32) -> &'static str {
    match action {
        event::DENIED => Problem::CHANNEL_NOT_AUTHORIZED,
        event::PERMISSION_ERROR => Problem::UNAVAILABLE,
        _ => Problem::NOT_HANDLED,
    }
}

/// The token as JSON.
fn credentials(token: Option<&Secret>) -> String {
    match token.map(Secret::expose) {
        None => "{}".to_owned(),
        Some(token) if token.trim_start().starts_with('{') && is_json(token) => token.to_owned(),
        Some(token) => format!("{{\"token\":{}}}", json_string(token)),
    }
}

/// A message as JSON.
pub(crate) fn wrapped(message: &Message) -> String {
    match message {
        Message::Text(text) if is_json(text.as_str()) => text.as_str().to_owned(),
        Message::Text(text) => json_string(text.as_str()),
        Message::Binary(bytes) => json_string(&String::from_utf8_lossy(bytes)),
    }
}

/// The inverse of `wrapped`.
fn unwrapped(data: String) -> String {
    if data.starts_with('"') { serde_json::from_str(&data).unwrap_or(data) } else { data }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn json_string(text: &str) -> String {
    // Text is always JSON once it is quoted.
    serde_json::to_string(text).unwrap_or_default()
}
