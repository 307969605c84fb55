//! [`Connection`]: a link that is polled by its owner. No task, no channel.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_core::Stream;
use futures_sink::Sink;
use futures_util::task::AtomicWaker;
use relink::link::Hint;
use relink::session::{Overflow, SendErrorKind, SendReceipt};
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
/// a link that lives by itself, spawn a [`Client`](crate::Client).
///
/// Both halves may be polled from different tasks, as after `split()`.
///
/// # Cancellation
///
/// `next()` loses nothing when it is dropped. `send()` of the `SinkExt` trait hands the message
/// over in one step: dropped before that, the message goes with it; after it, the message is on its
/// way.
///
/// # Closing
///
/// `close()` of the `SinkExt` trait lets what was taken go out first, for `flush_timeout` (5 s) at
/// most. A message that the sink took while the outbox was full has as long to find room in it;
/// then it comes back, with [`SendErrorKind::Closed`], and the link closes: call `close()` again to
/// wait for that.
pub struct Connection<Rt: Runtime> {
    engine: Engine<Rt>,
    tasks: Arc<Tasks>,
    finished: bool,
    /// Events handed out since the engine last ran.
    handed_out: u32,
    /// A message that `start_send` found no room for: it goes first.
    held: Option<Message>,
    /// Until when `poll_close` waits for room for it.
    hold_until: Option<(Instant, Rt::Sleep)>,
    /// How many ends were told before the one that `poll_close` waits for.
    closing_since: Option<u64>,
}

/// A burst of events waits in the inbox while its owner looks at each; after so many the engine has
/// a turn between them, or pings would go unanswered.
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
        self.shared().lock().session.state()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.shared().lock().session.stats()
    }

    /// Connects again, if the link is at an end that allows it
    /// ([`ReopenPolicy`](relink::link::ReopenPolicy)); while it closes towards such an end, once it
    /// is there.
    ///
    /// # Errors
    ///
    /// The link is at an end that is final for it, or closing towards one.
    pub fn reconnect(&mut self) -> Result<(), ClosedError> {
        self.shared().connect()
    }

    /// Dials at once instead of waiting, with a fresh backoff; when asked for at every failure, as
    /// `budget.rate` allows.
    pub fn retry_now(&mut self) {
        self.shared().tell(SessionInput::RetryNow);
    }

    /// Passes on a hint from the system: a network that came or went, a machine that woke up.
    pub fn hint(&mut self, hint: Hint) {
        self.shared().tell(SessionInput::Hint(hint));
    }

    /// Begins to close, with a code and a reason for people; poll on until [`Event::Closed`].
    /// `SinkExt::close` does the same with 1000 and waits. [`CloseFrame::for_wire`] says what
    /// becomes of a code that may not be sent.
    pub fn start_close(&mut self, code: CloseCode, reason: &str) {
        self.shared().tell(SessionInput::Close(CloseFrame::new(code, reason)));
    }

    /// Sends a message with more to it than the sink takes, a channel or a priority, if there is
    /// room for it now.
    ///
    /// # Errors
    ///
    /// The message comes back where the outbox is full or too small for it, where one that the sink
    /// took waits for room, where the link is closed, and where it is down and told to refuse.
    pub fn try_send(&mut self, message: impl Into<Outgoing>) -> Result<SendReceipt, SendError> {
        self.shared().try_send(message.into(), self.held.is_some())
    }

    /// Subscribes to a channel; the subscription survives reconnects.
    pub fn subscribe(&mut self, channel: impl Into<Channel>, subscription: Subscription) {
        self.shared().subscribe(channel.into(), subscription);
    }

    /// Does not want a channel's messages any more. Tells whether it was subscribed to.
    pub fn unsubscribe(&mut self, channel: &Channel) -> bool {
        self.shared().unsubscribe(channel)
    }

    /// The session as it can be gone on with, by another process too
    /// ([`Builder::resume`](crate::Builder::resume)).
    #[must_use]
    pub fn resume(&self) -> Option<Resume> {
        self.shared().lock().session.resume()
    }

    fn shared(&self) -> &Shared {
        &self.engine.shared
    }

    /// Runs the link on behalf of one half.
    fn run(&mut self) -> Ran {
        if self.finished {
            return Ran::Finished;
        }
        let waker = Waker::from(self.tasks.clone());
        self.shared().engine.register(&waker);
        let ran = self.engine.run(&mut Context::from_waker(&waker));
        self.finished = ran == Ran::Finished;
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
        if ran != Ran::Idle {
            // What this half brought about may be what the other one waits for.
            self.tasks.stream.wake();
        }
        self.send_held()?;
        if self.held.is_none() && (ran == Ran::Finished || done(self)) {
            return Poll::Ready(Ok(()));
        }
        if ran != Ran::Idle {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Whether one more message can be taken; how large it will be, nobody knows yet.
    fn has_room(&self) -> bool {
        let state = self.shared().lock();
        let outbox = state.session.outbox();
        outbox.config().overflow != Overflow::Refuse
            || outbox.has_room(1)
            || state.session.state().is_closed()
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
            let patience = self.shared().lock().session.link().config().flush_timeout;
            self.hold_until = Some((now + patience, self.engine.runtime.sleep()));
        }
        let Some((deadline, sleep)) = &mut self.hold_until else { return false };
        now < *deadline && sleep.poll_until(*deadline, cx).is_pending()
    }

    fn send_or_hold(&mut self, message: Message) -> Result<(), SendError> {
        let (now, outgoing) = (self.shared().now(), Outgoing::from(message));
        let mut state = self.shared().lock();
        // Asked first: what only waits does not count as refused.
        if state.session.may_send(&outgoing) == Err(SendErrorKind::Full) {
            drop(state);
            self.held = Some(outgoing.message);
            return Ok(());
        }
        state.session.send(outgoing, now).map(|_| ())
    }
}

impl<Rt: Runtime> Stream for Connection<Rt> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.tasks.stream.register(cx.waker());
        if self.handed_out < HAND_OUT {
            let event = self.shared().lock().take_event();
            if event.is_some() {
                self.handed_out += 1;
                return Poll::Ready(event);
            }
        }
        self.handed_out = 0;
        let ran = self.run();
        if ran != Ran::Idle {
            self.tasks.sink.wake();
        }
        let mut state = self.shared().lock();
        if let Some(event) = state.take_event() {
            return Poll::Ready(Some(event));
        }
        if state.is_over() {
            return Poll::Ready(None);
        }
        if ran != Ran::Idle {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<Rt: Runtime> Sink<Message> for Connection<Rt> {
    type Error = SendError;

    /// Ready where the outbox has room, or makes some. A closed link is ready too:
    /// [`start_send`](Self::start_send) says why it refuses.
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
        self.run_sink(cx, |connection| {
            connection.shared().lock().session.outbox().is_empty() && connection.engine.is_flushed()
        })
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.held.is_some() && self.may_hold(cx) {
            ready!(self.run_sink(cx, |_| true))?;
        }
        self.hold_until = None;
        // Once: to say it again would wake this very task, again and again, or close what was
        // connected again since.
        let since = if let Some(since) = self.closing_since {
            since
        } else {
            let (since, is_closing) = {
                let state = self.shared().lock();
                (state.ends, state.session.is_closing())
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
