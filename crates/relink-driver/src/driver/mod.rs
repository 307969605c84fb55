//! [`Driver`]: all that a driver does, without IO.

mod buffers;
mod transport;

use std::time::Duration;

use relink::link::TransportId;
use relink::rand_core::Rng;
use relink::session::{Frame, SendReceipt};
use relink::{
    CloseFrame, Event, Instant, Outgoing, Protocol, SendError, Session, SessionAction,
    SessionInput, State,
};

pub use buffers::{ReadBuffer, WriteBuffer};

use crate::inbox::{Inbox, InboxLimits, message_of};
use crate::wire::{Wire, WireError};
use transport::Transport;

/// Drives a [`Session`] over a [`Wire`], for any event loop: bytes and the results of dials go in;
/// dials, drops, bytes to write, events and a deadline come out. It has no socket and no clock.
///
/// A loop does this in each turn, for as long as the driver [is busy](Self::is_busy); then it waits
/// for the socket, for [`poll_timeout`](Self::poll_timeout) or for the application:
///
/// 1. [`read`](Self::read) what has arrived, and [`write`](Self::write) what is to be said, if
///    there is a stream;
/// 2. carry out the actions of [`poll_action`](Self::poll_action) until there are no more;
/// 3. [`handle_timeout`](Self::handle_timeout): after what has arrived, which speaks for the peer.
///
/// The driver knows how much is read and written in a turn, when reading stops because the
/// application is behind, and what then speaks for the peer. If the stream is moved by others, by a
/// completion queue or outside a lock, [`begin_read`](Self::begin_read) and
/// [`begin_write`](Self::begin_write) lend the buffers out.
pub struct Driver<P, R> {
    session: Session<P, R>,
    inbox: Inbox,
    transport: Option<Transport>,
    /// The subprotocol of the current transport.
    subprotocol: Option<String>,
    /// There are events since [`take_news`](Self::take_news).
    has_news: bool,
    /// When memory was last given back.
    shrunk_at: Option<Instant>,
}

/// How long memory is kept in which nothing is: a burst that follows needs no new one.
const KEEP: Duration = Duration::from_secs(10);

impl<P: Protocol, R: Rng> Driver<P, R> {
    /// A driver for this session. The limits are on the events that wait for
    /// [`poll_event`](Self::poll_event).
    #[must_use]
    pub fn new(session: Session<P, R>, limits: InboxLimits) -> Self {
        let outbox = session.outbox().config().max_weight();
        let inbox = Inbox::new(limits, outbox);
        Self {
            session,
            inbox,
            transport: None,
            subprotocol: None,
            has_news: false,
            shrunk_at: None,
        }
    }

    // Input.

    /// Passes an input to the session: of the application, or the result of a fetch. Those of the
    /// transport have functions of their own.
    pub fn handle(&mut self, input: SessionInput, now: Instant) {
        self.session.handle(input, now);
    }

    /// The dial for this transport has led to a stream, whose handshake begins. The wire of a dial
    /// that was dropped is ignored.
    pub fn connected(&mut self, id: TransportId, wire: Wire) {
        if self.session.link().transport() == Some(id) {
            self.transport = Some(Transport::new(id, wire));
        }
    }

    /// The dial for this transport has failed.
    pub fn failed(&mut self, id: TransportId, error: WireError, now: Instant) {
        let WireError { failure, detail, location } = error;
        self.session.handle(SessionInput::Failed { id, failure, detail, location }, now);
    }

    /// Sends a message; see [`Session::send`].
    ///
    /// # Errors
    ///
    /// Returns the message if it cannot be sent.
    pub fn send(
        &mut self,
        message: impl Into<Outgoing>,
        now: Instant,
    ) -> Result<SendReceipt, SendError> {
        self.send_at_once(message.into()).or_else(|message| self.session.send(message, now))
    }

    /// Sends a message for which the clock need not be read: one that is encoded at once, since
    /// nothing is before it and the socket has room.
    pub(crate) fn send_at_once(&mut self, message: Outgoing) -> Result<SendReceipt, Outgoing> {
        let Some(transport) = &mut self.transport else { return Err(message) };
        if !transport.has_room() {
            return Err(message);
        }
        let (receipt, message) = self.session.send_at_once(message)?;
        transport.send(Frame::Message(message));
        Ok(receipt)
    }

    /// Passes the time to the session if it is due. Returns true if it was.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return false;
        }
        if let Some(id) = self.transport.as_ref().map(Transport::id).filter(|_| self.is_shut()) {
            // The peer may have spoken: this side does not read.
            self.session.handle(SessionInput::Alive { id }, now);
        }
        self.session.handle(SessionInput::Timeout, now);
        if self.shrunk_at.is_none_or(|at| now - at >= KEEP) {
            self.shrunk_at = Some(now);
            self.shrink();
        }
        true
    }

    /// Gives back memory in which nothing is: what connecting took once the link is stable, and
    /// later at heartbeats.
    fn shrink(&mut self) {
        self.session.shrink();
        self.inbox.shrink();
        self.transport.iter_mut().for_each(Transport::shrink);
    }

    // Output.

    /// The next thing to do: to dial, to fetch, or to drop a transport, whose last bytes are those
    /// of [`leave`](Self::leave). Events are not returned: they go into the inbox.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<SessionAction> {
        loop {
            let action = self.session.poll_action()?;
            let SessionAction::Event(event) = action else { return Some(action) };
            self.tell(event);
        }
    }

    /// Lets go of a transport, as [`SessionAction::Drop`] asks for. Returns what to write before
    /// the stream is dropped, if it can be written at once; `None` if there was no stream.
    #[must_use]
    pub fn leave(&mut self, id: TransportId, farewell: Option<CloseFrame>) -> Option<WriteBuffer> {
        let transport = self.transport.take_if(|transport| transport.id() == id)?;
        Some(transport.leave(farewell))
    }

    /// The next event for the application. A message counts as taken.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.inbox.pop()?;
        self.count_taken(&event);
        Some(event)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    /// Puts the events that come next, and that nobody traces, into the inbox.
    pub(crate) fn tell_quietly(&mut self) {
        let is_quiet = |event: &Event| {
            message_of(event).is_some()
                || matches!(event, Event::Sent { .. } | Event::Acknowledged { .. })
        };
        while let Some(event) = self.session.poll_event_if(is_quiet) {
            self.tell(event);
        }
    }

    /// Whether there are events since the last call.
    pub(crate) const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.has_news, false)
    }

    // Queries.

    /// The session.
    #[must_use]
    pub const fn session(&self) -> &Session<P, R> {
        &self.session
    }

    /// The session, to subscribe, or to pass it what has no function here.
    #[must_use]
    pub const fn session_mut(&mut self) -> &mut Session<P, R> {
        &mut self.session
    }

    /// The subprotocol that the server chose for the current transport.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Whether every frame of the session was written to the stream.
    #[must_use]
    pub fn is_flushed(&mut self) -> bool {
        self.transport.as_mut().is_none_or(Transport::is_flushed)
    }

    /// Whether the application is so far behind that the socket is not read. Only a usable link
    /// waits for it: handshakes and closes continue.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.inbox.is_shut() && self.session.state().is_usable()
    }

    /// Puts an event into the inbox.
    #[inline]
    pub(crate) fn tell(&mut self, event: Event) {
        // Messages that still arrive do not delay an application that is closing and is behind.
        let is_message = message_of(&event).is_some();
        if is_message && self.inbox.is_shut() && self.session.state() == State::Closing {
            return;
        }
        self.has_news = true;
        // Without a receiver, the message counts as taken.
        if let Err(event) = self.inbox.push(event) {
            self.count_taken(&event);
        }
    }

    /// Nobody will take events any more.
    pub(crate) fn abandon_events(&mut self) {
        self.inbox.abandon();
    }

    fn count_taken(&mut self, event: &Event) {
        if message_of(event).is_some() {
            self.session.taken(1);
        }
    }
}

impl<P, R> std::fmt::Debug for Driver<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}
