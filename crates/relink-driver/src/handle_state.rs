//! The state shared by handles and engine: the session and the inbox, behind one lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::task::AtomicWaker;
use rand::rngs::SmallRng;
use relink::link::Hint;
use relink::session::{SendErrorKind, SendReceipt};
use relink::{
    Channel, ClosedReason, Event, Instant, Outgoing, Protocol, SendError, Session, SessionInput,
    Subscription,
};

use crate::client::ClosedError;
use crate::inbox::{Inbox, InboxLimits, message_of};
use crate::line::{Line, Place};

/// The session of a driver: any protocol, and a generator seeded by the operating system.
pub(crate) type DynSession = Session<Box<dyn Protocol + Send>, SmallRng>;

pub(crate) struct Shared {
    state: Mutex<State>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    /// The machine woke up, and the session was not notified yet.
    woken: AtomicBool,
    /// Wakes the engine.
    pub(crate) engine: AtomicWaker,
    /// Wakes the task that waits for events.
    pub(crate) events: AtomicWaker,
}

pub(crate) struct State {
    pub(crate) session: DynSession,
    pub(crate) inbox: Inbox,
    /// The subprotocol of the current transport.
    pub(crate) subprotocol: Option<String>,
    /// Futures that wait for room in the outbox.
    pub(crate) senders: Line,
    /// Futures that wait for the end.
    pub(crate) watchers: Line,
    /// The number of handles of the application; at zero the link is closed.
    pub(crate) handles: usize,
    /// The last event was the link's end: no other follows unless it is connected again.
    pub(crate) ended: bool,
    /// How often the link's end was reported, and the last reason.
    pub(crate) ends: u64,
    last_end: Option<ClosedReason>,
}

impl Shared {
    pub(crate) fn new(
        session: DynSession,
        limits: InboxLimits,
        clock: Box<dyn Fn() -> Instant + Send + Sync>,
    ) -> Self {
        let outbox = session.outbox().config().max_weight();
        let state = State {
            session,
            inbox: Inbox::new(limits, outbox),
            subprotocol: None,
            senders: Line::default(),
            watchers: Line::default(),
            handles: 0,
            ended: false,
            ends: 0,
            last_end: None,
        };
        Self {
            state: Mutex::new(state),
            clock,
            woken: AtomicBool::new(false),
            engine: AtomicWaker::new(),
            events: AtomicWaker::new(),
        }
    }

    /// The state. The session does not panic, and of the application's code only its protocol runs
    /// under the lock; where that panics, the state is as good as before.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Instant {
        (self.clock)()
    }

    /// Puts events into the inbox, and wakes the tasks that wait for them.
    pub(crate) fn tell_application(&self, events: &mut Vec<Event>) {
        let mut state = self.lock();
        // Messages that still arrive do not delay an application that is closing and is behind.
        let closing = state.session.state() == relink::State::Closing && state.inbox.is_shut();
        let ends = state.ends;
        for event in events.drain(..) {
            state.ended = matches!(event, Event::Closed { .. });
            if let Event::Closed { reason } = event {
                state.ends += 1;
                state.last_end = Some(reason);
            }
            if closing && message_of(&event).is_some() {
                continue;
            }
            // Without a receiver, the message counts as taken.
            if let Err(event) = state.inbox.push(event) {
                state.taken(&event);
            }
        }
        state.senders.wake_first();
        if state.session.state().is_closed() || state.ends > ends {
            state.watchers.wake_all();
        }
        drop(state);
        self.events.wake();
    }

    /// Passes an input of the application to the session and wakes the engine.
    pub(crate) fn tell(&self, input: SessionInput) {
        self.hand_in(input);
        self.engine.wake();
    }

    /// Records that the machine woke up. The engine passes it to the session, since code that this
    /// calls may panic, which concerns one link only.
    pub(crate) fn wake_up(&self) {
        self.woken.store(true, Ordering::Release);
        self.engine.wake();
    }

    /// Notifies the session if the machine woke up.
    pub(crate) fn wakes_up(&self) -> bool {
        let woken = self.woken.swap(false, Ordering::AcqRel);
        if woken {
            self.hand_in(SessionInput::Hint(Hint::Wake));
        }
        woken
    }

    /// Connects again, now or after the close that is under way.
    pub(crate) fn connect(&self) -> Result<(), ClosedError> {
        let may_connect = self.lock().session.link().may_connect();
        may_connect.map_err(|reason| ClosedError { reason })?;
        self.tell(SessionInput::Connect);
        Ok(())
    }

    /// Sends a message if there is room for it now and no other waits for room, in the line or, if
    /// `behind`, elsewhere.
    pub(crate) fn try_send(
        &self,
        message: Outgoing,
        behind: bool,
    ) -> Result<SendReceipt, SendError> {
        let now = self.now();
        let mut state = self.lock();
        let has_to_wait = state.has_to_wait(None, &message) || behind && state.takes(&message);
        let answer = if has_to_wait {
            Err(state.session.refuse(message, SendErrorKind::Full))
        } else {
            state.session.send(message, now)
        };
        drop(state);
        self.engine.wake();
        answer
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

    /// Passes an input of the engine to the session.
    pub(crate) fn hand_in(&self, input: SessionInput) {
        self.hand_in_all([input]);
    }

    /// Passes a batch of inputs to the session under one lock.
    pub(crate) fn hand_in_all(&self, inputs: impl IntoIterator<Item = SessionInput>) {
        let now = self.now();
        let mut state = self.lock();
        for input in inputs {
            state.session.handle(input, now);
        }
    }
}

impl State {
    /// Takes the next event for the application.
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

    /// Whether a message would be accepted now.
    fn takes(&self, message: &Outgoing) -> bool {
        self.session.may_send(message).is_ok()
    }

    /// Whether a message at this place has to wait, for room or for those before it. One that will
    /// never be accepted does not wait for its error.
    pub(crate) fn has_to_wait(&self, place: Place, message: &Outgoing) -> bool {
        match self.session.may_send(message) {
            Ok(()) => !self.senders.is_first(place),
            Err(reason) => reason == SendErrorKind::Full,
        }
    }

    /// Whether the application is so far behind that the socket is not read. Only a usable link
    /// waits for it: handshakes and closes continue.
    pub(crate) fn is_shut(&self) -> bool {
        self.inbox.is_shut() && self.session.state().is_usable()
    }

    /// Why the link is closed, or was closed after its end had been reported `ends` times.
    pub(crate) fn end_since(&self, ends: u64) -> Option<ClosedReason> {
        if let relink::State::Closed(reason) = self.session.state() {
            return Some(reason);
        }
        self.last_end.filter(|_| self.ends > ends)
    }

    /// The end was reported, and the link was not connected again since.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.session.state().is_closed()
    }
}
