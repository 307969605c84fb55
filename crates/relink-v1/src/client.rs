//! The client's half: [`RelinkV1`], a [`Protocol`].

use alloc::vec::Vec;
use core::time::Duration;

use crate::{Codec, Encoding, limits};
use relink::internal::within;
use relink::link::Step;
use relink::protocol::{ClientFrame, Given, ProtocolEvent, ServerFrame, Unreadable};
use relink::session::{Frame, Secret};
use relink::{
    Channel, CloseCode, CloseFrame, ConfigError, Guarantee, Instant, Message, Plain, Protocol,
    Resume, SessionConfig, StopReason, Verdict,
};

/// The configuration of a link that speaks `relink.v1`: the defaults, and
///
/// * an authentication step of 10 s, in which the hello is answered;
/// * a heartbeat every 10 s: a server may close a connection that was silent for 15 s, and does
///   after 30 s by default;
/// * [`Guarantee::AtLeastOnce`], which the server makes exactly once;
/// * close code 4009 ends the link: another client has taken the session over, and two clients that
///   keep taking it from each other help neither.
///
/// ```
/// use relink::Guarantee;
///
/// let config = relink_v1::config();
/// assert_eq!(config.outbox.guarantee, Guarantee::AtLeastOnce);
/// assert!(config.validate().is_ok());
/// ```
#[must_use]
pub fn config() -> SessionConfig {
    adapt(SessionConfig::default())
}

/// This configuration, with the settings that [`config`] lists in place of those that are still at
/// their defaults.
#[must_use]
pub fn adapt(mut config: SessionConfig) -> SessionConfig {
    let (plain, link) = (SessionConfig::default().link, &mut config.link);
    link.handshake.authentication.get_or_insert(Duration::from_secs(10));
    if link.heartbeat.interval == plain.heartbeat.interval {
        link.heartbeat.interval = Some(Duration::from_secs(10));
    }
    let replaced = CloseCode::REPLACED;
    if link.close_policy.on_close(replaced) == plain.close_policy.on_close(replaced) {
        let stop = Verdict::Stop(StopReason::REPLACED);
        // No room for one more edit: the application has configured that many codes itself.
        let _ = link.close_policy.set_close(replaced.0..=replaced.0, stop);
    }
    config.outbox.guarantee = Guarantee::AtLeastOnce;
    config
}

/// The client's half of `relink.v1`. It needs an authentication step in the handshake: start from
/// [`config`].
///
/// A frame of the server that cannot be read closes the transport with 1003 or 1007.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelinkV1 {
    encoding: Encoding,
    max_message: Option<u64>,
}

impl RelinkV1 {
    /// A client that uses this encoding.
    #[must_use]
    pub const fn new(encoding: Encoding) -> Self {
        Self { encoding, max_message: None }
    }

    /// The same, announcing to the server that this client reads messages of at most this many
    /// bytes: larger publications are withheld ([`Event::Withheld`](relink::Event::Withheld)).
    /// Drivers set it to their own limit.
    ///
    /// # Errors
    ///
    /// If it is less than [`limits::LEAST_MESSAGE`]: the frames of the subprotocol have to fit.
    pub fn with_max_message(mut self, bytes: usize) -> Result<Self, ConfigError> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).min(limits::NUMBER);
        within("limits.max_message", bytes, limits::LEAST_MESSAGE..)?;
        self.max_message = Some(bytes);
        Ok(self)
    }

    fn say(self, frame: &ClientFrame, frames: &mut Vec<Frame>) {
        frames.push(Frame::Message(frame.encode(self.encoding)));
    }
}

/// In JSON, which is readable; CBOR is smaller.
impl Default for RelinkV1 {
    fn default() -> Self {
        Self::new(Encoding::Json)
    }
}

impl Protocol for RelinkV1 {
    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        events.push(match ServerFrame::decode(&message) {
            Ok((frame, _)) => frame.into(),
            Err(error) => ProtocolEvent::Malformed(error.into()),
        });
    }

    fn closing(&mut self, frame: &CloseFrame, events: &mut Vec<ProtocolEvent>) {
        // A refusal before the welcome has no going-away frame; the delay is in its close reason.
        Plain::default().closing(frame, events);
    }

    fn begin(
        &mut self,
        step: Step,
        token: Option<&Secret>,
        resume: Option<&Resume>,
        frames: &mut Vec<Frame>,
    ) {
        // Version 1 has no other steps.
        if step == Step::Authenticating {
            let (token, resume) = (token.cloned(), resume.cloned());
            let hello = ClientFrame::Hello { token, resume, max_message: self.max_message };
            self.say(&hello, frames);
        }
    }

    fn send(&mut self, frame: ClientFrame, frames: &mut Vec<Frame>, _now: Instant) {
        self.say(&frame, frames);
    }

    fn encoded_len(
        &self,
        message: &Message,
        channel: Option<&Channel>,
        serial: Option<u64>,
    ) -> usize {
        let (channel, payload) = (channel.cloned(), message.clone());
        ClientFrame::Message { serial, channel, payload }.encoded_len(self.encoding)
    }

    fn check(&self, given: Given<'_>) -> Result<(), Unreadable> {
        limits::check(given)
    }

    fn reads_at_most(&mut self, bytes: usize) -> Result<(), ConfigError> {
        *self = self.with_max_message(bytes)?;
        Ok(())
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn renews(&self) -> bool {
        true
    }

    fn opening(&self) -> Option<Step> {
        Some(Step::Authenticating)
    }
}
