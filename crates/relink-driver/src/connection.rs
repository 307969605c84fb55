//! [`Connection`]: a link that is polled by its owner. No task, no channel.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_core::Stream;
use futures_sink::Sink;
use futures_util::task::AtomicWaker;
use relink::{CloseCode, CloseFrame, Event, Hint, Message, Refused, SessionInput, State, Stats};

use crate::engine::{Engine, Ran};
use crate::runtime::Runtime;
use crate::shared::{Shared, State as SharedState};

/// A link that is polled by its owner: a [`Stream`] of [`Event`]s and a [`Sink`] for [`Message`]s.
///
/// Polling either half drives the link: it dials, sends heartbeats and reconnects while it is polled, and only then. The
/// stream ends after [`Event::Closed`]. Dropping it drops the transport, without a close frame. For a link that lives by
/// itself, spawn a [`Client`](crate::Client).
///
/// Both halves may be polled from different tasks, as after `split()`.
///
/// # Cancellation
///
/// `next()` loses nothing when it is dropped. `send()` of the `SinkExt` trait hands the message over in one step: dropped
/// before that, the message goes with it; after it, the message is on its way.
pub struct Connection<Rt: Runtime> {
    engine: Engine<Rt>,
    tasks: Arc<Tasks>,
    finished: bool,
}

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
        Self { engine, tasks: Arc::default(), finished: false }
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

    /// Connects again, where the link is at an end that allows it ([`Reopen`](relink::Reopen)).
    pub fn reconnect(&mut self) {
        self.shared().tell(SessionInput::Connect);
    }

    /// Dials at once instead of waiting, with a fresh backoff.
    pub fn retry_now(&mut self) {
        self.shared().tell(SessionInput::RetryNow);
    }

    /// Passes on a hint from the system: a network that came or went, a machine that woke up.
    pub fn hint(&mut self, hint: Hint) {
        self.shared().tell(SessionInput::Hint(hint));
    }

    /// Begins to close, with a code and a reason for people; poll on until [`Event::Closed`]. `SinkExt::close` does
    /// the same with 1000 and waits.
    pub fn start_close(&mut self, code: CloseCode, reason: &str) {
        self.shared().tell(SessionInput::Close(CloseFrame::new(code, reason)));
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
        done: impl Fn(&SharedState) -> bool,
    ) -> Poll<Result<(), Refused>> {
        self.tasks.sink.register(cx.waker());
        let ran = self.run();
        if ran != Ran::Idle {
            // What this half brought about may be what the other one waits for.
            self.tasks.stream.wake();
        }
        if ran == Ran::Finished || done(&self.shared().lock()) {
            return Poll::Ready(Ok(()));
        }
        if ran != Ran::Idle {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<Rt: Runtime> Stream for Connection<Rt> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.tasks.stream.register(cx.waker());
        if let Some(event) = self.shared().lock().inbox.pop() {
            return Poll::Ready(Some(event));
        }
        let ran = self.run();
        if ran != Ran::Idle {
            self.tasks.sink.wake();
        }
        let mut state = self.shared().lock();
        if let Some(event) = state.inbox.pop() {
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
    type Error = Refused;

    /// Ready where the outbox has room. A closed link is ready too: [`start_send`](Self::start_send) says why it refuses.
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        let has_room =
            |state: &SharedState| state.session.state().is_closed() || state.session.outbox().has_room(1);
        if has_room(&self.shared().lock()) {
            return Poll::Ready(Ok(()));
        }
        self.run_sink(cx, has_room)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Refused> {
        let now = self.shared().now();
        self.shared().lock().session.send(message, now).map(|_| ())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        self.run_sink(cx, |state| state.session.outbox().is_empty())
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        // Once: to say it again would wake this very task, again and again.
        if !matches!(self.state(), State::Closing | State::Closed(_)) {
            self.start_close(CloseCode::NORMAL, "");
        }
        self.run_sink(cx, |state| state.session.state().is_closed())
    }
}

impl<Rt: Runtime> std::fmt::Debug for Connection<Rt> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("state", &self.state()).finish_non_exhaustive()
    }
}
