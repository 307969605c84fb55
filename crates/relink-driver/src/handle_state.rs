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
use crate::driver::Driver;
use crate::inbox::InboxLimits;
use crate::line::{Line, Place};

/// Any protocol, and a generator seeded by the operating system.
pub(crate) type DynDriver = Driver<Box<dyn Protocol + Send>, SmallRng>;
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
    pub(crate) driver: DynDriver,
    /// Futures that wait for room in the outbox.
    pub(crate) senders: Line,
    /// Futures that wait for a state.
    pub(crate) watchers: Line,
    /// Futures that wait until nothing waits to be written.
    pub(crate) flushers: Line,
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
        let state = State {
            driver: Driver::new(session, limits),
            senders: Line::default(),
            watchers: Line::default(),
            flushers: Line::default(),
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
        let may_connect = self.lock().session().link().may_connect();
        may_connect.map_err(|reason| ClosedError { reason, may_reopen: false })?;
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
        let mut state = self.lock();
        let state = &mut *state;
        let answer = if behind && state.session().may_send(&message).is_ok() {
            Err(message)
        } else {
            state.send(None, message, || self.now())
        };
        let answer = answer.unwrap_or_else(|message| {
            Err(state.session_mut().refuse(message, SendErrorKind::Full))
        });
        self.engine.wake();
        answer
    }

    pub(crate) fn subscribe(&self, channel: Channel, subscription: Subscription) {
        self.lock().session_mut().subscribe(channel, subscription);
        self.engine.wake();
    }

    pub(crate) fn unsubscribe(&self, channel: &Channel) -> bool {
        let known = self.lock().session_mut().unsubscribe(channel);
        self.engine.wake();
        known
    }

    /// Passes an input to the session.
    pub(crate) fn hand_in(&self, input: SessionInput) {
        let now = self.now();
        self.lock().driver.handle(input, now);
    }
}

impl State {
    /// The session.
    pub(crate) const fn session(&self) -> &DynSession {
        self.driver.session()
    }

    /// The session, for what changes it.
    pub(crate) const fn session_mut(&mut self) -> &mut DynSession {
        self.driver.session_mut()
    }

    /// Sends a message from this place in the line. Returns it if it has to wait, for room or for
    /// those before it; one that will never be accepted does not wait for its error.
    #[inline]
    pub(crate) fn send(
        &mut self,
        place: Place,
        message: Outgoing,
        now: impl FnOnce() -> Instant,
    ) -> Result<Result<SendReceipt, SendError>, Outgoing> {
        if self.senders.is_first(place) {
            match self.driver.send_at_once(message) {
                Ok(receipt) => Ok(Ok(receipt)),
                Err(message) => self.queue(message, now),
            }
        } else {
            match self.session().may_send(&message) {
                Ok(()) | Err(SendErrorKind::Full) => Err(message),
                Err(reason) => Ok(Err(self.session_mut().refuse(message, reason))),
            }
        }
    }

    fn queue(
        &mut self,
        message: Outgoing,
        now: impl FnOnce() -> Instant,
    ) -> Result<Result<SendReceipt, SendError>, Outgoing> {
        // Only a time to live needs the time, and reading the clock costs as much as sending.
        let ages = self.session().outbox().config().ttl.is_some();
        let now = if ages { now() } else { Instant::ORIGIN };
        match self.session_mut().offer(message, now) {
            Ok(receipt) => Ok(Ok(receipt)),
            Err((message, SendErrorKind::Full)) => Err(message),
            Err((message, reason)) => Ok(Err(self.session_mut().refuse(message, reason))),
        }
    }

    /// Puts an event into the inbox.
    pub(crate) fn tell(&mut self, event: Event) {
        self.ended = matches!(event, Event::Closed { .. });
        if let Event::Closed { reason } = event {
            self.ends += 1;
            self.last_end = Some(reason);
        }
        if matches!(event, Event::State { .. } | Event::Closed { .. }) {
            self.watchers.wake_all();
            self.flushers.wake_all();
        }
        self.driver.tell(event);
    }

    /// Why the link is closed, or was closed after its end had been reported `ends` times.
    pub(crate) fn end_since(&self, ends: u64) -> Option<ClosedReason> {
        if let relink::State::Closed(reason) = self.session().state() {
            return Some(reason);
        }
        self.last_end.filter(|_| self.ends > ends)
    }

    /// The error for those who wait for something of a closed link.
    pub(crate) fn closed_error(&self) -> Option<ClosedError> {
        let relink::State::Closed(reason) = self.session().state() else { return None };
        Some(ClosedError { reason, may_reopen: !self.session().link().is_final() })
    }

    /// Whether nothing waits to be written.
    pub(crate) fn has_written_all(&mut self) -> bool {
        self.session().outbox().is_empty() && self.driver.is_flushed()
    }

    /// Wakes those who wait for that.
    pub(crate) fn wake_flushers(&mut self) {
        if !self.flushers.is_empty() && self.has_written_all() {
            self.flushers.wake_all();
        }
    }

    /// The end was reported, and the link was not connected again since.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.session().state().is_closed()
    }
}
