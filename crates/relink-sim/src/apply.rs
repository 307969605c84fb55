//! The schedules of the model's trials, applied to a whole session.

use relink::link::Input;
use relink::session::Frame;
use relink::{Address, Failure, SessionInput, Token};

use crate::sim::Sim;
use crate::speak::Speak;
use crate::stimulus::Stimulus;

impl<P: Speak> Sim<P> {
    /// Lets something happen, as [`strategy::schedule`](crate::strategy) generates it: anything, at
    /// any time, in any order. In a [`manual`](Self::manual) sim nothing else happens.
    ///
    /// What a transport says becomes the frame that says it; what the protocol has no frame for
    /// does not happen. A clock that is set back is so for this stimulus alone.
    pub fn apply(&mut self, stimulus: Stimulus) {
        let (input, moment) = stimulus.resolve(self.session.link(), self.now, &self.ids);
        let now = std::mem::replace(&mut self.now, moment);
        match self.session_input(input) {
            Some(SessionInput::Timeout) => self.handle_timeout(),
            Some(input) => self.handle(input),
            None => self.settle(),
        }
        self.now = now.max(moment);
    }

    /// What makes a session hand this to its link.
    fn session_input(&self, input: Input) -> Option<SessionInput> {
        let frame = |id, frame| SessionInput::Frame { id, frame };
        Some(match input {
            Input::Connect => SessionInput::Connect,
            Input::Login => SessionInput::Login,
            Input::Close { code } | Input::Finish { code } => SessionInput::Close(code.into()),
            Input::RetryNow => SessionInput::RetryNow,
            Input::MarkStable => SessionInput::MarkStable,
            Input::Hint(hint) => SessionInput::Hint(hint),
            Input::Token { id, result } => {
                let token = |expires_in| {
                    let mut token = Token::from("token");
                    token.expires_in = expires_in;
                    token
                };
                let result = result.map(|info| token(info.expires_in));
                SessionInput::Token {
                    id,
                    result: result.map_err(|_| "the provider is down".into()),
                }
            }
            Input::Address { id, result } => {
                let result = result.map(|()| Address::from("ws://ticket/?one"));
                SessionInput::Address {
                    id,
                    result: result.map_err(|_| "the provider is down".into()),
                }
            }
            Input::Opened { id } => SessionInput::Opened { id },
            Input::Received { id } => frame(id, Frame::Ping(b""[..].into())),
            Input::Pong { id, nonce } => {
                let nonce = nonce.unwrap_or_else(|| self.last_ping());
                frame(id, Frame::Pong(nonce.to_be_bytes().to_vec().into()))
            }
            Input::Handshake { id, event } => {
                let protocol = self.session.protocol();
                let said = protocol.handshake(event)?;
                frame(id, Frame::Message(protocol.encode(said)))
            }
            Input::PeerClosed { id, code } => frame(id, Frame::Close(code.into())),
            Input::Failed { id, failure } => {
                let location =
                    (failure == Failure::HttpRedirect).then(|| Address::from("ws://elsewhere"));
                SessionInput::Failed { id, failure, detail: failure.to_string(), location }
            }
            Input::DriverGone => SessionInput::DriverGone,
            Input::Timeout => SessionInput::Timeout,
            // The session says so itself, once its outbox is empty.
            Input::Flushed | _ => return None,
        })
    }
}
