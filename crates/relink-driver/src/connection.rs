//! [`Connection`]: a link that is polled by its owner. No task, no channel.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_core::Stream;
use futures_sink::Sink;
use futures_util::task::AtomicWaker;
use relink::link::Hint;
use relink::session::{Overflow, SendReceipt};
use relink::stats::Stats;
use relink::{
    Channel, CloseCode, CloseFrame, Event, Instant, Message, Outgoing, Resume, SendError,
    SessionInput, State, Subscription,
};

use crate::client::ClosedError;
use crate::engine::{Engine, Ran};
use crate::handle_state::Shared;
use crate::runtime::{Runtime, Sleep};

/// A link that is polled by its owner: a [`Stream`] of [`Event`]s and a [`Sink`] for [`Message`]s.
///
/// Polling either half drives the link: it dials, sends heartbeats and reconnects while it is
/// polled, and only then. The stream ends after [`Event::Closed`], and goes on if the link is
/// [connected again](Self::reconnect). Dropping it drops the transport, without a close frame. For
/// a link that runs by itself, spawn a [`Client`](crate::Client).
///
/// Both halves may be polled from different tasks, as after `split()`.
///
/// # Cancellation
///
/// Dropping `next()` loses nothing. `send()` of the `SinkExt` trait passes the message in one step:
/// if it is dropped before that, so is the message; after it, the message is sent.
///
/// # Closing
///
/// `close()` of the `SinkExt` trait sends accepted messages first, for at most `flush_timeout` (5
/// s). A message that the sink accepted while the outbox was full waits for room for the same time;
/// then it is returned, as [closed](relink::session::SendErrorKind::Closed), and the link closes:
/// call `close()` again to wait for that.
pub struct Connection<Rt: Runtime> {
    engine: Engine<Rt>,
    tasks: Arc<Tasks>,
    finished: bool,
    /// Events returned since the engine last ran.
    handed_out: u32,
    /// A message for which `start_send` found no room: it is sent first.
    held: Option<Message>,
    /// Until when `poll_close` waits for room for it.
    hold_until: Option<(Instant, Rt::Sleep)>,
    /// The number of ends that were reported before the one that `poll_close` waits for.
    closing_since: Option<u64>,
}

/// While a burst of events waits in the inbox, the engine runs after this many of them, or pings
/// would go unanswered.
const HAND_OUT: u32 = 32;

/// The tasks that poll the two halves; both are woken when anything happens.
#[derive(Default)]
struct Tasks {
    stream: AtomicWaker,
    sink: AtomicWaker,
}

impl Wake for Tasks {
    fn wake(self: Arc<Self>) {
        self.stream.wake();
        self.sink.wake();
    }
}

impl<Rt: Runtime> Connection<Rt> {
    pub(crate) fn new(engine: Engine<Rt>) -> Self {
        engine.shared.lock().handles = 1;
        Self {
            engine,
            tasks: Arc::default(),
            finished: false,
            handed_out: 0,
            held: None,
            hold_until: None,
            closing_since: None,
        }
    }

    /// The exact state.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared().lock().session().state()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared().lock().session().stats().clone()
    }

    /// Reopens a closed link, if the [`ReopenPolicy`](relink::link::ReopenPolicy) allows it; while
    /// it is closing, once it is closed.
    ///
    /// # Errors
    ///
    /// If the link is closed for good, or closing.
    pub fn connect(&mut self) -> Result<(), ClosedError> {
        self.shared().connect()
    }

    /// Drops this connection and dials again at once: see
    /// [`Client::reconnect`](crate::Client::reconnect).
    pub fn reconnect(&mut self) {
        self.shared().tell(SessionInput::Reconnect);
    }

    /// Dials at once instead of waiting, with a fresh backoff; if called after every failure,
    /// further dials wait for `budget.rate`.
    pub fn retry_now(&mut self) {
        self.shared().tell(SessionInput::RetryNow);
    }

    /// Passes a hint from the system: the network came or went, or the machine woke up.
    pub fn hint(&mut self, hint: Hint) {
        self.shared().tell(SessionInput::Hint(hint));
    }

    /// Starts to close, with a code and a reason for display; keep polling until [`Event::Closed`].
    /// `SinkExt::close` does the same with 1000 and waits. See [`CloseFrame::for_wire`] for a code
    /// that may not be sent.
    pub fn start_close(&mut self, code: CloseCode, reason: &str) {
        self.shared().tell(SessionInput::Close(CloseFrame::new(code, reason)));
    }

    /// Sends a message that may have a channel or a priority, which the sink has not, if there is
    /// room for it now.
    ///
    /// # Errors
    ///
    /// Returns the message if the outbox is full or too small for it, if one that the sink accepted
    /// waits for room, if the link is closed, or if it is down and configured to refuse.
    pub fn try_send(&mut self, message: impl Into<Outgoing>) -> Result<SendReceipt, SendError> {
        self.shared().try_send(message.into(), self.held.is_some())
    }

    /// Subscribes to a channel; the subscription survives reconnects.
    pub fn subscribe(&mut self, channel: impl Into<Channel>, subscription: Subscription) {
        self.shared().subscribe(channel.into(), subscription);
    }

    /// Unsubscribes from a channel. Returns true if it was subscribed to.
    pub fn unsubscribe(&mut self, channel: &Channel) -> bool {
        self.shared().unsubscribe(channel)
    }

    /// The session to resume, also from another process
    /// ([`Builder::resume`](crate::Builder::resume)).
    #[must_use]
    pub fn resume(&self) -> Option<Resume> {
        self.shared().lock().session().resume()
    }

    fn shared(&self) -> &Shared {
        &self.engine.shared
    }

    /// Runs the link on behalf of one half.
    fn run(&mut self) -> Ran {
        if self.finished {
            return Ran::FINISHED;
        }
        let waker = Waker::from(self.tasks.clone());
        self.shared().engine.register(&waker);
        let ran = self.engine.run(&mut Context::from_waker(&waker));
        self.finished = ran.finished;
        ran
    }

    /// Runs the link until `done` holds, as a half of the sink.
    fn run_sink(
        &mut self,
        cx: &mut Context<'_>,
        done: impl Fn(&mut Self) -> bool,
    ) -> Poll<Result<(), SendError>> {
        self.tasks.sink.register(cx.waker());
        let ran = self.run();
        if !ran.is_idle() {
            // The other half may wait for what this one caused.
            self.tasks.stream.wake();
        }
        self.send_held()?;
        if self.held.is_none() && (ran.finished || done(self)) {
            return Poll::Ready(Ok(()));
        }
        if !ran.is_idle() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Whether one more message can be accepted; its size is not known yet.
    fn has_room(&self) -> bool {
        let state = self.shared().lock();
        let outbox = state.session().outbox();
        outbox.config().overflow != Overflow::Refuse
            || outbox.has_room(1)
            || state.session().state().is_closed()
    }

    /// Sends the message that found no room, if there is some now.
    fn send_held(&mut self) -> Result<(), SendError> {
        let Some(message) = self.held.take() else { return Ok(()) };
        self.send_or_hold(message)
    }

    /// Whether a message that is held when the link is to close may still wait for room.
    fn may_hold(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.shared().now();
        if self.hold_until.is_none() {
            let patience = self.shared().lock().session().link().config().flush_timeout;
            self.hold_until = Some((now + patience, self.engine.runtime.sleep()));
        }
        let Some((deadline, sleep)) = &mut self.hold_until else { return false };
        now < *deadline && sleep.poll_until(*deadline, cx).is_pending()
    }

    fn send_or_hold(&mut self, message: Message) -> Result<(), SendError> {
        let sent = self.shared().lock().send(None, message.into(), || self.shared().now());
        match sent {
            Ok(answer) => answer.map(|_| ()),
            // A message that only waits does not count as refused.
            Err(outgoing) => {
                self.held = Some(outgoing.message);
                Ok(())
            }
        }
    }
}

impl<Rt: Runtime> Stream for Connection<Rt> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.tasks.stream.register(cx.waker());
        if self.handed_out < HAND_OUT {
            let event = self.shared().lock().driver.poll_event();
            if event.is_some() {
                self.handed_out += 1;
                return Poll::Ready(event);
            }
        }
        self.handed_out = 0;
        let ran = self.run();
        if !ran.is_idle() {
            self.tasks.sink.wake();
        }
        let mut state = self.shared().lock();
        if let Some(event) = state.driver.poll_event() {
            return Poll::Ready(Some(event));
        }
        if state.is_over() {
            return Poll::Ready(None);
        }
        if !ran.is_idle() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<Rt: Runtime> Sink<Message> for Connection<Rt> {
    type Error = SendError;

    /// Ready if the outbox has room, or makes some. A closed link is ready, too:
    /// [`start_send`](Self::start_send) returns the error.
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.send_held()?;
        if self.held.is_none() && self.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.run_sink(cx, |connection| connection.has_room())
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        self.hold_until = None;
        self.send_or_hold(message)
    }

    /// Ready once every message has gone to the stream of a transport.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.run_sink(cx, |connection| connection.shared().lock().has_written_all())
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.held.is_some() && self.may_hold(cx) {
            ready!(self.run_sink(cx, |_| true))?;
        }
        self.hold_until = None;
        // Only once: a second time would wake this task in a loop, or close a link that was
        // reopened since.
        let since = if let Some(since) = self.closing_since {
            since
        } else {
            let (since, is_closing) = {
                let state = self.shared().lock();
                (state.ends, state.session().is_closing())
            };
            if !is_closing {
                self.start_close(CloseCode::NORMAL, "");
            }
            *self.closing_since.insert(since)
        };
        ready!(
            self.run_sink(cx, |connection| connection.shared().lock().end_since(since).is_some())
        )?;
        self.closing_since = None;
        Poll::Ready(Ok(()))
    }
}

impl<Rt: Runtime> std::fmt::Debug for Connection<Rt> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("state", &self.state()).finish_non_exhaustive()
    }
}
