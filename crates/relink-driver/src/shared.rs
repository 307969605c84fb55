//! What the handles and the engine share: the session and the inbox, behind one lock.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use rand::rngs::SmallRng;
use relink::{Event, Instant, Protocol, Session, SessionInput};

/// The session of a driver: any protocol, and a generator seeded by the operating system.
pub(crate) type DynSession = Session<Box<dyn Protocol + Send>, SmallRng>;

/// How much may wait for the application to take it (E24). Beyond either bound the socket is not read, and the pressure
/// reaches the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboxLimits {
    /// Messages; 1,024 by default.
    pub max_messages: usize,
    /// Bytes of messages; 16 MiB by default.
    pub max_bytes: usize,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self { max_messages: 1024, max_bytes: 16 << 20 }
    }
}

impl InboxLimits {
    /// Other limits. What one read of the socket brings is still taken whole, so both may be exceeded by 64 KiB.
    #[must_use]
    pub const fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self { max_messages, max_bytes }
    }
}

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
        let state = State {
            session,
            inbox: Inbox { limits, ..Inbox::default() },
            waiting: Vec::new(),
            handles: 0,
            ended: false,
        };
        Self { state: Mutex::new(state), clock, engine: AtomicWaker::new(), events: AtomicWaker::new() }
    }

    /// The state. Nothing that is called under the lock can panic or call back, so a poisoned lock is still good.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Instant {
        (self.clock)()
    }

    /// Hands an input of the application to the session and wakes the engine.
    pub(crate) fn tell(&self, input: SessionInput) {
        self.hand_in(input);
        self.engine.wake();
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

/// What waits for the application.
#[derive(Default)]
pub(crate) struct Inbox {
    events: VecDeque<Event>,
    messages: usize,
    bytes: usize,
    limits: InboxLimits,
    /// Nobody will ever take anything.
    abandoned: bool,
}

impl Inbox {
    pub(crate) fn push(&mut self, event: Event) {
        if self.abandoned {
            return;
        }
        if let Event::Message(message) = &event {
            self.messages += 1;
            self.bytes += message.len();
        }
        // Neighbours share one event, so that whoever sends and never looks does not fill memory.
        if let (Event::Sent { first, last }, Some(Event::Sent { last: before, .. })) =
            (&event, self.events.back_mut())
        {
            if before.0 + 1 == first.0 {
                *before = *last;
                return;
            }
        }
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Message(message) = &event {
            self.messages -= 1;
            self.bytes -= message.len();
        }
        Some(event)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.messages >= self.limits.max_messages.max(1) || self.bytes >= self.limits.max_bytes.max(1)
    }

    /// Nobody listens any more: what waits is dropped, and what comes is not kept.
    pub(crate) fn abandon(&mut self) {
        let limits = self.limits;
        *self = Self { abandoned: true, limits, ..Self::default() };
    }
}
