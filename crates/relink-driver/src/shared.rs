//! What the handles and the engine share: the session and the inbox, behind one lock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use rand::rngs::SmallRng;
use relink::{Channel, Event, Instant, Protocol, Session, SessionInput, Subscription};

use crate::inbox::{Inbox, InboxLimits, message_of};

/// The session of a driver: any protocol, and a generator seeded by the operating system.
pub(crate) type DynSession = Session<Box<dyn Protocol + Send>, SmallRng>;

pub(crate) struct Shared {
    state: Mutex<State>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    /// Wakes the engine.
    pub(crate) engine: AtomicWaker,
    /// Wakes whoever waits for events.
    pub(crate) events: AtomicWaker,
}

pub(crate) struct State {
    pub(crate) session: DynSession,
    pub(crate) inbox: Inbox,
    /// The subprotocol of the present transport.
    pub(crate) subprotocol: Option<String>,
    /// Whoever waits for room in the outbox, or for the end.
    pub(crate) waiting: Vec<Waker>,
    /// Handles in the application's hands; at zero the link is closed.
    pub(crate) handles: usize,
    /// The last event was the link's end: until it is connected again, no other will come.
    pub(crate) ended: bool,
}

impl Shared {
    pub(crate) fn new(
        session: DynSession,
        limits: InboxLimits,
        clock: Box<dyn Fn() -> Instant + Send + Sync>,
    ) -> Self {
        let outbox_bytes = session.outbox().config().max_bytes;
        let state = State {
            session,
            inbox: Inbox::new(limits, outbox_bytes),
            subprotocol: None,
            waiting: Vec::new(),
            handles: 0,
            ended: false,
        };
        Self { state: Mutex::new(state), clock, engine: AtomicWaker::new(), events: AtomicWaker::new() }
    }

    /// The state. The session does not panic, and of the application's code only its protocol runs under the lock; where
    /// that panics, the state is as good as before.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Instant {
        (self.clock)()
    }

    /// Puts events into the inbox, and wakes whoever waits for something to happen.
    pub(crate) fn tell_application(&self, events: &mut Vec<Event>) {
        let mut state = self.lock();
        // An application that asked to close, and is behind, will not be kept waiting by what still comes.
        let closing = !state.session.state().is_usable() && state.inbox.is_full();
        for event in events.drain(..) {
            state.ended = matches!(event, Event::Closed { .. });
            if closing && message_of(&event).is_some() {
                continue;
            }
            // What nobody listens to is not asked for again.
            if let Err(event) = state.inbox.push(event) {
                state.taken(&event);
            }
        }
        state.wake_waiting();
        drop(state);
        self.events.wake();
    }

    /// Hands an input of the application to the session and wakes the engine.
    pub(crate) fn tell(&self, input: SessionInput) {
        self.hand_in(input);
        self.engine.wake();
    }

    pub(crate) fn subscribe(&self, channel: Channel, subscription: Subscription) {
        self.lock().session.subscribe(channel, subscription);
        self.engine.wake();
    }

    pub(crate) fn unsubscribe(&self, channel: &Channel) -> bool {
        let known = self.lock().session.unsubscribe(channel);
        self.engine.wake();
        known
    }

    /// Hands an input of the engine to the session.
    pub(crate) fn hand_in(&self, input: SessionInput) {
        self.hand_in_all([input]);
    }

    /// Hands a whole batch to the session under one lock.
    pub(crate) fn hand_in_all(&self, inputs: impl IntoIterator<Item = SessionInput>) {
        let now = self.now();
        let mut state = self.lock();
        for input in inputs {
            state.session.handle(input, now);
        }
    }
}

impl State {
    /// The next event for the application, which has taken it from here on (I24).
    pub(crate) fn take_event(&mut self) -> Option<Event> {
        let event = self.inbox.pop()?;
        self.taken(&event);
        Some(event)
    }

    fn taken(&mut self, event: &Event) {
        if message_of(event).is_some() {
            // The time does not matter here, and reading the clock for each message would.
            self.session.handle(SessionInput::Taken { count: 1 }, Instant::ORIGIN);
        }
    }

    /// Whether the application is so far behind that the socket should not be read. Only a usable link waits for it:
    /// handshakes and farewells go on.
    pub(crate) fn is_behind(&self) -> bool {
        self.inbox.is_full() && self.session.state().is_usable()
    }

    /// The end was told, and nobody has connected the link again since.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.session.state().is_closed()
    }

    /// Wakes those who wait for room or for the end.
    pub(crate) fn wake_waiting(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }

    /// Remembers to wake this task.
    pub(crate) fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}
