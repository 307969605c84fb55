//! What a peer can say beyond plain messages: the frames of a wire format.

use std::sync::{Mutex, PoisonError};

use relink::link::{HandshakeEvent, Step};
use relink::protocol::{ClientFrame, ProtocolEvent};
use relink::session::{Frame, Secret};
use relink::{Address, CloseFrame, Instant, Message, Plain, Protocol, Resume};

use crate::peer::Peer;

/// A wire format that the scripted [`Peer`] speaks: [`Peer::say`] sends its frames.
///
/// Implement it for a protocol of your own to test that in a [`Sim`](crate::Sim).
pub trait Speak: Protocol {
    /// What the server says.
    type Frame;

    /// As a message.
    fn encode(&self, frame: Self::Frame) -> Message;

    /// The frame from which a client reads this step of a handshake; `None` if the protocol has no
    /// such frame. [`Sim::apply`](crate::Sim::apply) needs it.
    fn handshake(&self, event: HandshakeEvent) -> Option<Self::Frame>;
}

impl Speak for Plain {
    type Frame = Message;

    fn encode(&self, frame: Message) -> Message {
        frame
    }

    fn handshake(&self, _: HandshakeEvent) -> Option<Message> {
        None
    }
}

/// A protocol without a format of its own: its peer says the [`ProtocolEvent`]s that another
/// protocol would read from frames.
///
/// What the client says is a text: the name of the step, followed by the token if there is one
/// (`authenticating token-1`); `renew token-2`; and messages as they are.
///
/// ```
/// use relink::link::{Handshake, HandshakeEvent};
/// use relink::{LinkConfig, SessionConfig, State};
/// use relink_sim::{Direct, Sim, secs};
///
/// let steps = Handshake::default().with_welcome(Some(secs(3)));
/// let config = SessionConfig::default().with_link(LinkConfig::default().with_handshake(steps));
/// let mut sim = Sim::with(config, &["ws://peer"], Direct::default(), 1)?;
/// sim.connect();
/// assert_ne!(sim.state(), State::Connected);
/// sim.peer().say(HandshakeEvent::Welcome.into());
/// assert_eq!(sim.state(), State::Connected);
/// # Ok::<(), relink::ConfigError>(())
/// ```
#[derive(Debug, Default)]
pub struct Direct {
    /// What the messages mean that were encoded: the events by their numbers.
    said: Mutex<Vec<ProtocolEvent>>,
}

/// Begins a message that is the number of an event.
const MARK: char = '\u{1}';

impl Direct {
    fn said(&self) -> std::sync::MutexGuard<'_, Vec<ProtocolEvent>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decode(&self, message: &Message) -> Option<ProtocolEvent> {
        let number: usize = message.as_text()?.strip_prefix(MARK)?.parse().ok()?;
        self.said().get(number).cloned()
    }
}

impl Protocol for Direct {
    fn receive(&mut self, message: Message, events: &mut Vec<ProtocolEvent>) {
        events.push(self.decode(&message).unwrap_or(ProtocolEvent::Data(message)));
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
        let words = format!("{} {}", step.name(), token.map_or("", Secret::expose));
        frames.push(Frame::Message(Message::from(words.trim_end())));
    }

    fn send(&mut self, frame: ClientFrame, frames: &mut Vec<Frame>, now: Instant) {
        if let ClientFrame::Renew { token } = frame {
            frames.push(Frame::Message(Message::from(format!("renew {}", token.expose()))));
        } else {
            Plain::default().send(frame, frames, now);
        }
    }

    fn renews(&self) -> bool {
        true
    }
}

impl Speak for Direct {
    type Frame = ProtocolEvent;

    fn encode(&self, event: ProtocolEvent) -> Message {
        let mut said = self.said();
        said.push(event);
        Message::from(format!("{MARK}{}", said.len() - 1))
    }

    fn handshake(&self, event: HandshakeEvent) -> Option<ProtocolEvent> {
        Some(if event == HandshakeEvent::Redirect {
            ProtocolEvent::Redirect(Address::from("ws://elsewhere"))
        } else {
            event.into()
        })
    }
}

impl<P: Speak> Peer<'_, P> {
    /// Sends the frame from which a client reads this step of a handshake.
    ///
    /// # Panics
    ///
    /// If the protocol has no such frame.
    #[track_caller]
    pub fn handshake(&mut self, event: HandshakeEvent) {
        match self.sim.session.protocol().handshake(event) {
            Some(frame) => self.say(frame),
            None => panic!("the protocol has no frame for {event:?}"),
        }
    }

    /// Sends a frame of the protocol.
    pub fn say(&mut self, frame: P::Frame) {
        if self.sim.world.is_open() {
            let message = self.sim.session.protocol().encode(frame);
            self.send(message);
        }
    }
}
