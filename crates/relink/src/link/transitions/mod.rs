//! Every transition of a link is made in this module, and nowhere else.
//!
//! Nothing else can: `Link::enter` is private to it. One function per input, each answers: *in
//! which states does this mean something, and what?* A state that is not named does not change.
//! Three functions enter states on behalf of the others: `Link::attempt` begins an attempt,
//! `Link::fail` ends an attempt or a usable link, `Link::end` closes the link.
//! `docs/transitions.txt` is generated from this module and compared by a test.

mod application;
mod steps;
mod time;
mod transport;

use rand_core::Rng;

use super::Link;
use super::input::Input;

impl<R: Rng> Link<R> {
    pub(super) fn apply(&mut self, input: Input) {
        match input {
            Input::Connect => self.connect(),
            Input::Login => self.login(),
            Input::Close { code } => self.close(code),
            Input::Finish { code } => self.finish(code),
            Input::Flushed => self.flushed(),
            Input::RetryNow => self.retry_now(),
            Input::MarkStable => self.mark_stable(),
            Input::Hint(hint) => self.hint(hint),
            Input::Token { id, result } => self.token(id, result),
            Input::Address { id, result } => self.address(id, result),
            Input::Opened { id } => self.opened(id),
            Input::Received { id } => self.received(id, self.now),
            Input::Pong { id, nonce } => self.pong(id, nonce),
            Input::Handshake { id, event: signal } => self.signal(id, signal),
            Input::PeerClosed { id, code } => self.peer_closed(id, code),
            Input::Failed { id, failure } => self.transport_failed(id, failure),
            Input::DriverGone => self.driver_gone(),
            Input::Timeout => self.timeout(),
        }
    }
}
