//! [`Client`] and [`Events`]: the handles of a link that runs in a task of its own.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use relink::link::{Hint, Indicator, Status};
use relink::session::{Answer, Member, SendReceipt};
use relink::stats::Stats;
use relink::{
    Channel, CloseCode, CloseFrame, ClosedReason, Event, Outgoing, Position, Resume, SendError,
    SessionInput, State, Subscription,
};

use crate::engine::Engine;
use crate::handle_state::Shared;
use crate::line::Place;
use crate::runtime::Runtime;

/// A handle to a link that runs in a task of its own: send, close, look. Cheap to clone; all clones
/// mean the same link.
///
/// Messages go straight into the session's outbox, under one short lock, and the answer is the
/// session's own. Events, inbound messages among them, come out of [`Events`].
///
/// When the last handle is dropped, [`Events`] counted too, the link closes with 1000 after it has
/// sent what is queued, for `flush_timeout` (5 s) at most. That takes a runtime that still runs: at
/// the end of `main`, call [`close`](Self::close) and wait for it.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    _handle: Arc<Handle>,
}

/// What happens on a link, in order: a [`Stream`] that ends after [`Event::Closed`]. If the link is
/// connected again ([`ReopenPolicy`](relink::link::ReopenPolicy)), it goes on.
///
/// A slow reader slows the peer: once the inbox is full the socket is not read. Dropping it means
/// that nobody listens: messages are then thrown away as they come, and the link lives on for its
/// clients.
pub struct Events {
    shared: Arc<Shared>,
    _handle: Arc<Handle>,
}

/// What came of a link that was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseSummary {
    /// Why the link is at its end; not always [`ClosedReason::Requested`], since something else may
    /// have come first.
    pub reason: ClosedReason,
    /// Messages handed to a transport, over the whole life of the link.
    pub sent: u64,
    /// Messages that never were: each was reported as [`Event::Dropped`].
    pub dropped: u64,
    /// What each of several endpoints said, if the link ended because of that: as
    /// [`Event::EndpointsFailed`] tells.
    pub answers: Vec<Answer>,
}

/// A link that cannot be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("link is closed ({reason}) and cannot be connected again; create a new one")]
#[non_exhaustive]
pub struct ClosedError {
    /// Why: the end that the link is at, or is closing towards.
    pub reason: ClosedReason,
}

/// A place among those who wait for room, given up with the future that holds it.
struct Queueing<'a> {
    shared: &'a Shared,
    place: Place,
}

impl Drop for Queueing<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            let mut state = self.shared.lock();
            let was_first = state.senders.is_first(self.place);
            state.senders.leave(&mut self.place);
            if was_first {
                state.senders.wake_first();
            }
        }
    }
}

/// A place among those who wait for the end.
struct Watching<'a> {
    shared: &'a Shared,
    place: Place,
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.shared.lock().watchers.leave(&mut self.place);
        }
    }
}

/// The last one to go closes the link.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().handles = 0;
        self.0.tell(SessionInput::Close(CloseCode::NORMAL.into()));
    }
}

/// Gives the link a task of its own.
pub(crate) fn spawn<Rt: Runtime>(mut engine: Engine<Rt>) -> (Client, Events) {
    let shared = engine.shared.clone();
    shared.lock().handles = 1;
    let handle = Arc::new(Handle(shared.clone()));
    let runtime = engine.runtime.clone();
    runtime.spawn(poll_fn(move |cx| {
        engine.shared.engine.register(cx.waker());
        engine.poll(cx)
    }));
    let events = Events { shared: shared.clone(), _handle: handle.clone() };
    (Client { shared, _handle: handle }, events)
}

impl Client {
    /// Sends a message, waiting for room in the outbox where it is full and told to refuse. While
    /// the link is down the message waits in the outbox and this returns at once.
    ///
    /// First come, first served: a large message that waits for room goes before smaller ones that
    /// were sent later.
    ///
    /// Cancel-safe: dropped before it is done, the message was not taken, and is dropped with the
    /// future; its place goes to the next. A future that is neither polled nor dropped holds up
    /// those behind it.
    ///
    /// # Errors
    ///
    /// The message comes back where it can never be taken: it is larger than the outbox, the link
    /// is closed, or it is down and told to refuse.
    pub fn send(
        &self,
        message: impl Into<Outgoing>,
    ) -> impl Future<Output = Result<SendReceipt, SendError>> + Send {
        let mut message = Some(message.into());
        let mut queueing = Queueing { shared: &self.shared, place: None };
        poll_fn(move |cx| {
            // Whole: a place alone would be copied, and never given up.
            let queueing = &mut queueing;
            let Some(next) = message.take() else { return Poll::Pending };
            let now = self.shared.now();
            let mut state = self.shared.lock();
            let place = &mut queueing.place;
            if state.has_to_wait(*place, &next) {
                message = Some(next);
                state.senders.wait(place, cx.waker());
                return Poll::Pending;
            }
            state.senders.leave(place);
            let answer = state.session.send(next, now);
            state.senders.wake_first();
            drop(state);
            self.shared.engine.wake();
            Poll::Ready(answer)
        })
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), and where the outbox is full, or others wait for room in it.
    pub fn try_send(&self, message: impl Into<Outgoing>) -> Result<SendReceipt, SendError> {
        self.shared.try_send(message.into(), false)
    }

    /// Subscribes to a channel; the subscription survives reconnects. Emits [`Event::Subscribed`]
    /// or [`Event::Unsubscribed`].
    pub fn subscribe(&self, channel: impl Into<Channel>, subscription: Subscription) {
        self.shared.subscribe(channel.into(), subscription);
    }

    /// Does not want a channel's messages any more. Tells whether it was subscribed to.
    pub fn unsubscribe(&self, channel: &Channel) -> bool {
        self.shared.unsubscribe(channel)
    }

    /// Closes the link with 1000 after what is queued has gone out, and was acknowledged where
    /// messages are, and waits for the end. A link that is down, or is lost meanwhile, goes on
    /// trying for that. `flush_timeout` and `close_timeout` bound the wait; where nothing is
    /// queued, a link that is down ends at once.
    ///
    /// Cancel-safe: dropped before it is done, the link goes on closing.
    pub fn close(&self) -> impl Future<Output = CloseSummary> + Send + '_ {
        self.close_with(CloseCode::NORMAL, "")
    }

    /// The same with a code and a reason for people, which the peer sees; [`CloseFrame::for_wire`]
    /// says what becomes of a code that may not be sent and of a reason that is too long.
    pub fn close_with(
        &self,
        code: CloseCode,
        reason: &str,
    ) -> impl Future<Output = CloseSummary> + Send + '_ {
        let since = self.shared.lock().ends;
        self.shared.tell(SessionInput::Close(CloseFrame::new(code, reason)));
        self.closed_since(since)
    }

    /// Waits for the end of the link, for any reason; one that is connected again right after its
    /// end has come to it, too. Cancel-safe.
    pub fn closed(&self) -> impl Future<Output = CloseSummary> + Send + '_ {
        let since = self.shared.lock().ends;
        self.closed_since(since)
    }

    fn closed_since(&self, since: u64) -> impl Future<Output = CloseSummary> + Send + '_ {
        let mut watching = Watching { shared: &self.shared, place: None };
        poll_fn(move |cx| {
            let watching = &mut watching;
            let mut state = self.shared.lock();
            if let Some(reason) = state.end_since(since) {
                state.watchers.leave(&mut watching.place);
                let stats = state.session.stats();
                return Poll::Ready(CloseSummary {
                    reason,
                    sent: stats.messages_sent,
                    dropped: stats.messages_dropped,
                    answers: state.session.answers().to_vec(),
                });
            }
            state.watchers.wait(&mut watching.place, cx.waker());
            Poll::Pending
        })
    }

    /// Connects again, if the link is at an end that allows it
    /// ([`ReopenPolicy`](relink::link::ReopenPolicy)). While it closes towards such an end, that is
    /// remembered: it starts again once it is there, unless it is closed once more meanwhile. Does
    /// nothing while the link is up, or on its way. After many dials in a short time, the next one
    /// waits as `budget.rate` demands.
    ///
    /// What happens from then on is told after [`Event::Closed`]: go on listening to [`Events`].
    ///
    /// # Errors
    ///
    /// The link is at an end that is final for it, or closing towards one; see
    /// [`ClientCell`](crate::ClientCell) for what hands out the next one.
    pub fn connect(&self) -> Result<(), ClosedError> {
        self.shared.connect()
    }

    /// Dials at once instead of waiting, with a fresh backoff; the same as a person's *retry now*.
    /// The first time, that is: who asks at every failure gets further dials as `budget.rate`
    /// allows. At an end, and while the link closes, it does what [`connect`](Self::connect) does.
    pub fn retry_now(&self) {
        self.shared.tell(SessionInput::RetryNow);
    }

    /// Logs in, where the handshake waits for the application's word.
    pub fn login(&self) {
        self.shared.tell(SessionInput::Login);
    }

    /// Vouches that the link is good: failures are forgotten without waiting for `stable_after`.
    pub fn mark_stable(&self) {
        self.shared.tell(SessionInput::MarkStable);
    }

    /// Passes on a hint from the system: a network that came or went, a machine that woke up.
    pub fn hint(&self, hint: Hint) {
        self.shared.tell(SessionInput::Hint(hint));
    }

    /// Whether messages are still taken, now or for when the link is usable.
    pub(crate) fn is_live(&self) -> bool {
        !self.shared.lock().session.is_closing()
    }

    /// The subprotocol that the server chose for the present transport.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        self.shared.lock().subprotocol.clone()
    }

    /// The exact state.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.lock().session.state()
    }

    /// The status a person should see.
    #[must_use]
    pub fn shown(&self) -> Status {
        self.shared.lock().session.surface().shown()
    }

    /// The colour of the indicator.
    #[must_use]
    pub fn colour(&self) -> Indicator {
        self.shared.lock().session.surface().colour()
    }

    /// Everyone who is in a channel that was subscribed to with presence, as far as this side
    /// knows.
    #[must_use]
    pub fn members(&self, channel: &Channel) -> Vec<Member> {
        self.shared.lock().session.members(channel)
    }

    /// The last message of a channel that the application has taken: what came out of [`Events`].
    #[must_use]
    pub fn position(&self, channel: &Channel) -> Option<Position> {
        self.shared.lock().session.position(channel)
    }

    /// The session as it can be gone on with, by another process too
    /// ([`Builder::resume`](crate::Builder::resume)).
    #[must_use]
    pub fn resume(&self) -> Option<Resume> {
        self.shared.lock().session.resume()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.shared.lock().session.stats()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl Events {
    /// The next event, without any trait in scope; `None` after [`Event::Closed`], unless the link
    /// has been connected again: ask on after [`Client::connect`]. Cancel-safe.
    pub fn recv(&mut self) -> impl Future<Output = Option<Event>> + Send + '_ {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx))
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.shared.events.register(cx.waker());
        let mut state = self.shared.lock();
        let was_shut = state.inbox.is_shut();
        let Some(event) = state.take_event() else {
            return if state.is_over() { Poll::Ready(None) } else { Poll::Pending };
        };
        let is_open = !state.inbox.is_shut();
        drop(state);
        if was_shut && is_open {
            self.shared.engine.wake();
        }
        Poll::Ready(Some(event))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.lock().inbox.abandon();
        self.shared.engine.wake();
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
