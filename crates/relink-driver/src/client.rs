//! [`Client`]: the handle of a link that runs in a task of its own.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use relink::link::{Hint, Indicator, Status};
use relink::session::{Answer, Member, SendReceipt};
use relink::stats::Stats;
use relink::{
    Channel, CloseCode, CloseFrame, ClosedReason, Outgoing, Position, Resume, SendError,
    SessionInput, State, Subscription,
};

use crate::client_sink::ClientSink;
use crate::engine::Engine;
use crate::events::Events;
use crate::handle_state::Shared;
use crate::line::Place;
use crate::runtime::Runtime;
use crate::watch::{Awaited, StateWatch, until};

/// A handle to a link that runs in its own task: sends, closes, queries. Cheap to clone; all clones
/// share the link.
///
/// Messages go straight into the session's outbox, under one short lock, and the session's answer
/// is returned. Events, including inbound messages, are in [`Events`].
///
/// When the last handle is dropped, [`Events`] included, the link sends what is queued, for at most
/// `flush_timeout` (5 s), and closes with 1000. That needs a running runtime: at the end of `main`,
/// call [`close`](Self::close) and await it.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    _handle: Arc<Handle>,
}

/// The summary of a closed link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseSummary {
    /// Why the link is closed; not always [`ClosedReason::Requested`], since something else may
    /// have closed it first.
    pub reason: ClosedReason,
    /// The number of messages sent, over the whole life of the link.
    pub sent: u64,
    /// The number of messages dropped: each was reported as
    /// [`Event::Dropped`](relink::Event::Dropped).
    pub dropped: u64,
    /// The last answer of each endpoint, if the link ended because of them, as in
    /// [`Event::EndpointsFailed`](relink::Event::EndpointsFailed).
    pub answers: Vec<Answer>,
}

/// The link is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("link is closed ({reason}){}", self.advice())]
#[non_exhaustive]
pub struct ClosedError {
    /// Why the link is closed, or is closing.
    pub reason: ClosedReason,
    /// Whether it can be connected again.
    pub may_reopen: bool,
}

impl ClosedError {
    const fn advice(&self) -> &'static str {
        if self.may_reopen {
            "; connect it again"
        } else {
            " and cannot be connected again; create a new one"
        }
    }
}

/// A place in the line for room, given up when the future that holds it is dropped.
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

/// Dropping the last one closes the link.
pub(crate) struct Handle(Arc<Shared>);

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
    let events = Events::new(shared.clone(), handle.clone());
    (Client { shared, _handle: handle }, events)
}

impl Client {
    /// Sends a message. If the outbox is full and configured to refuse, it waits for room. While
    /// the link is down, the message waits in the outbox and this returns at once.
    ///
    /// First come, first served: a large message that waits for room goes before smaller ones that
    /// were sent later.
    ///
    /// Cancel-safe: if the future is dropped before it is done, the message is not sent, and is
    /// dropped with it. A future that is neither polled nor dropped delays those after it.
    ///
    /// # Errors
    ///
    /// Returns the message if it cannot be sent: it is larger than the outbox, the link is closed,
    /// or it is down and configured to refuse.
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
            let mut state = self.shared.lock();
            let place = &mut queueing.place;
            let answer = match state.send(*place, next, || self.shared.now()) {
                Ok(answer) => answer,
                Err(next) => {
                    message = Some(next);
                    state.senders.wait(place, cx.waker());
                    return Poll::Pending;
                }
            };
            if place.is_some() {
                state.senders.leave(place);
                state.senders.wake_first();
            }
            drop(state);
            self.shared.engine.wake();
            Poll::Ready(answer)
        })
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), and if the outbox is full, or others wait for room in it.
    pub fn try_send(&self, message: impl Into<Outgoing>) -> Result<SendReceipt, SendError> {
        self.shared.try_send(message.into(), false)
    }

    /// Subscribes to a channel; the subscription survives reconnects. Emits
    /// [`Event::Subscribed`](relink::Event::Subscribed) or
    /// [`Event::Unsubscribed`](relink::Event::Unsubscribed).
    pub fn subscribe(&self, channel: impl Into<Channel>, subscription: Subscription) {
        self.shared.subscribe(channel.into(), subscription);
    }

    /// Unsubscribes from a channel. Returns true if it was subscribed to.
    pub fn unsubscribe(&self, channel: &Channel) -> bool {
        self.shared.unsubscribe(channel)
    }

    /// Closes the link with 1000 after queued messages were sent, and acknowledged if the protocol
    /// does that, and waits for the end. A link that is down, or is lost meanwhile, keeps trying to
    /// send them. `flush_timeout` and `close_timeout` bound the wait; if nothing is queued, a link
    /// that is down closes at once.
    ///
    /// Cancel-safe: if the future is dropped, the link keeps closing.
    pub fn close(&self) -> impl Future<Output = CloseSummary> + Send + '_ {
        self.close_with(CloseCode::NORMAL, "")
    }

    /// The same with a code and a reason for display, both sent to the peer; see
    /// [`CloseFrame::for_wire`] for a code that may not be sent and a reason that is too long.
    pub fn close_with(
        &self,
        code: CloseCode,
        reason: &str,
    ) -> impl Future<Output = CloseSummary> + Send + '_ {
        let since = self.shared.lock().ends;
        self.shared.tell(SessionInput::Close(CloseFrame::new(code, reason)));
        self.closed_since(since)
    }

    /// Waits until the link is closed, for any reason, even if it is connected again right after
    /// that. Cancel-safe.
    pub fn closed(&self) -> impl Future<Output = CloseSummary> + Send + '_ {
        let since = self.shared.lock().ends;
        self.closed_since(since)
    }

    fn closed_since(&self, since: u64) -> impl Future<Output = CloseSummary> + Send + '_ {
        until(&self.shared, Awaited::State, move |state| {
            let reason = state.end_since(since)?;
            let stats = state.session().stats();
            Some(CloseSummary {
                reason,
                sent: stats.messages_sent,
                dropped: stats.messages_dropped,
                answers: state.session().answers().to_vec(),
            })
        })
    }

    /// Whether the link is usable now: what is sent goes to the server at once.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state().is_usable()
    }

    /// Waits until the link is usable, at once if it is. It may be lost again before the task
    /// runs; sending needs no wait, since messages queue. For a limit, use the runtime's timeout.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the link is closed, for any reason, and not connected again.
    pub fn connected(&self) -> impl Future<Output = Result<(), ClosedError>> + Send + '_ {
        until(&self.shared, Awaited::State, |link| match link.closed_error() {
            Some(error) => Some(Err(error)),
            None => link.session().state().is_usable().then_some(Ok(())),
        })
    }

    /// The state of the link for another task, which receives no events.
    #[must_use]
    pub fn watch(&self) -> StateWatch {
        StateWatch::new(self.shared.clone())
    }

    /// Reopens a closed link, if the [`ReopenPolicy`](relink::link::ReopenPolicy) allows it. While
    /// the link is closing, this is remembered: it is reopened once it is closed, unless `close` is
    /// called again meanwhile. Does nothing while the link is up or connecting. After many dials in
    /// a short time, the next one waits for `budget.rate`.
    ///
    /// Later events follow after [`Event::Closed`](relink::Event::Closed): keep receiving from
    /// [`Events`].
    ///
    /// # Errors
    ///
    /// If the link is closed for good, or closing; [`ClientCell`](crate::ClientCell) creates the
    /// next one.
    pub fn connect(&self) -> Result<(), ClosedError> {
        self.shared.connect()
    }

    /// Dials at once instead of waiting, with a fresh backoff: for a *retry now* button. If it is
    /// called after every failure, further dials wait for `budget.rate`. On a closed or closing
    /// link it is the same as [`connect`](Self::connect).
    pub fn retry_now(&self) {
        self.shared.tell(SessionInput::RetryNow);
    }

    /// Drops this connection and dials again at once, for an application that found out that it is
    /// no good: its feed is stale, or has a gap. Messages that wait are kept; the server is sent a
    /// close frame with 4100, which tells a `relink.v1` server that the session goes on. It is
    /// reported as [`Event::Disconnected`](relink::Event::Disconnected) with
    /// [`Failure::Abandoned`](relink::Failure::Abandoned).
    ///
    /// While the link is not usable it is the same as [`retry_now`](Self::retry_now), and as that
    /// it dials no more often than `budget.rate` allows.
    pub fn reconnect(&self) {
        self.shared.tell(SessionInput::Reconnect);
    }

    /// Waits until nothing waits to be written: all that was handed over, by any task, is in the
    /// system's hands. Whether the server has it is not known without acknowledgements. While the
    /// link is down, this waits until it is back. Messages that are dropped meanwhile are not
    /// waited for. Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the link is closed; what was not written was reported as
    /// [`Event::Dropped`](relink::Event::Dropped).
    pub fn flush(&self) -> impl Future<Output = Result<(), ClosedError>> + Send + '_ {
        until(&self.shared, Awaited::Flush, |link| match link.closed_error() {
            Some(error) => Some(Err(error)),
            None => link.has_written_all().then_some(Ok(())),
        })
    }

    /// Logs in, if the handshake waits for the application's login.
    pub fn login(&self) {
        self.shared.tell(SessionInput::Login);
    }

    /// Vouches that the link is good: failures are forgotten without waiting for `stable_after`.
    pub fn mark_stable(&self) {
        self.shared.tell(SessionInput::MarkStable);
    }

    /// Passes a hint from the system: the network came or went, or the machine woke up.
    pub fn hint(&self, hint: Hint) {
        self.shared.tell(SessionInput::Hint(hint));
    }

    /// This client as a [`Sink`](futures_sink::Sink) of messages, for combinators such as
    /// `StreamExt::forward`; [`send`](Self::send) needs none.
    pub fn sink(&self) -> ClientSink {
        ClientSink::new(self.clone())
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether messages are still accepted, to be sent now or when the link is usable.
    pub(crate) fn is_live(&self) -> bool {
        !self.shared.lock().session().is_closing()
    }

    /// The subprotocol that the server chose for the current transport.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        self.shared.lock().driver.subprotocol().map(str::to_owned)
    }

    /// The exact state.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.lock().session().state()
    }

    /// The status to show.
    #[must_use]
    pub fn shown(&self) -> Status {
        self.shared.lock().session().surface().shown()
    }

    /// The color of the indicator.
    #[must_use]
    pub fn indicator(&self) -> Indicator {
        self.shared.lock().session().surface().indicator()
    }

    /// The members of a channel that was subscribed to with presence, as far as is known.
    #[must_use]
    pub fn members(&self, channel: &Channel) -> Vec<Member> {
        self.shared.lock().session().members(channel)
    }

    /// The position of the last message of a channel that the application has taken from
    /// [`Events`].
    #[must_use]
    pub fn position(&self, channel: &Channel) -> Option<Position> {
        self.shared.lock().session().position(channel)
    }

    /// The session to resume, also from another process
    /// ([`Builder::resume`](crate::Builder::resume)).
    #[must_use]
    pub fn resume(&self) -> Option<Resume> {
        self.shared.lock().session().resume()
    }

    /// The statistics so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.lock().session().stats().clone()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("state", &self.state()).finish_non_exhaustive()
    }
}
