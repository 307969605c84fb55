//! [`Engine`]: carries out the actions of the session. It dials, moves bytes and sleeps, and
//! decides nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use relink::{Event, SessionAction, SessionInput};

use crate::dial::Dialer;
use crate::fetch::{AddressRequest, Fetch, Providers};
use crate::handle_state::Shared;
use crate::runtime::{Runtime, Sleep};
use crate::trace::Trace;
use crate::transport::{Buffers, Transport};

/// After this many turns, the engine yields to other tasks.
const TURNS: usize = 8;

pub(crate) struct Engine<Rt: Runtime> {
    pub(crate) runtime: Rt,
    pub(crate) shared: Arc<Shared>,
    dialer: Dialer,
    providers: Providers,
    trace: Trace,
    sleep: Rt::Sleep,
    /// The transport, or the dial for it.
    transport: Option<Transport>,
    /// The one fetch that is under way for an attempt or a transport.
    fetch: Option<Fetch>,
    buffers: Buffers,
    actions: Vec<SessionAction>,
    events: Vec<Event>,
}

/// How a run of the engine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    /// There is nothing to do until something happens.
    Idle,
    /// The session had actions or events; the application should have a chance to react.
    Told,
    /// There is more to do, after other tasks had their turn.
    Busy,
    /// The link is closed for good.
    Finished,
}

impl<Rt: Runtime> Engine<Rt> {
    pub(crate) fn new(
        runtime: Rt,
        shared: Arc<Shared>,
        dialer: Dialer,
        providers: Providers,
        trace: Trace,
    ) -> Self {
        let sleep = runtime.sleep();
        Self {
            runtime,
            shared,
            dialer,
            providers,
            trace,
            sleep,
            transport: None,
            fetch: None,
            buffers: Buffers::default(),
            actions: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Runs in its own task; ready when the link is closed for good.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            match self.turn(cx) {
                Ran::Idle => return Poll::Pending,
                Ran::Told | Ran::Busy => {}
                Ran::Finished => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Runs in the owner's task, until there is an event for the owner.
    pub(crate) fn run(&mut self, cx: &mut Context<'_>) -> Ran {
        for _ in 0..TURNS {
            let ran = self.turn(cx);
            if ran != Ran::Busy {
                return ran;
            }
        }
        Ran::Busy
    }

    /// Whether every frame of the session was written to the stream.
    pub(crate) fn is_flushed(&mut self) -> bool {
        self.transport.as_mut().is_none_or(Transport::is_flushed)
    }

    /// Runs a turn; a panic ends the link, since the state of the application's protocol is unknown
    /// after it.
    fn turn(&mut self, cx: &mut Context<'_>) -> Ran {
        catch_unwind(AssertUnwindSafe(|| self.try_turn(cx))).unwrap_or_else(|_| {
            self.give_up();
            Ran::Finished
        })
    }

    /// Runs one iteration of the event loop. The order is the core's: inputs that have arrived are
    /// passed before the time.
    fn try_turn(&mut self, cx: &mut Context<'_>) -> Ran {
        let mut busy = self.shared.wakes_up();
        busy |= self.poll_fetch(cx);
        while let Poll::Ready(input) = self.providers.channels.poll(cx) {
            self.shared.hand_in(input);
            busy = true;
        }
        if let Some(transport) = &mut self.transport {
            busy |= transport.poll(&self.shared, &mut self.buffers, cx);
        }
        busy |= self.poll_time(cx);
        let told = self.perform_actions();
        if self.is_finished() {
            Ran::Finished
        } else if told {
            Ran::Told
        } else if busy {
            Ran::Busy
        } else {
            Ran::Idle
        }
    }

    /// The link is closed for good, or no handle to it is left.
    fn is_finished(&self) -> bool {
        let state = self.shared.lock();
        state.ended
            && self.transport.is_none()
            && (state.handles == 0 || state.session.link().is_final())
    }

    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((_, fetch)) = &mut self.fetch else { return false };
        let Poll::Ready(input) = fetch.as_mut().poll(cx) else { return false };
        self.fetch = None;
        self.shared.hand_in(input);
        true
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.shared.lock().session.poll_timeout() else { return false };
        if self.runtime.now() < deadline && self.sleep.poll_until(deadline, cx).is_pending() {
            return false;
        }
        let is_shut = self.shared.lock().is_shut();
        if let (Some(Transport { id, .. }), true) = (&self.transport, is_shut) {
            self.shared.hand_in(SessionInput::Alive { id: *id });
        }
        self.shared.hand_in(SessionInput::Timeout);
        true
    }

    /// Carries the session's actions out, in their order. The lock is held to take them and to put
    /// the events into the inbox, and not while the application's code runs: a subscriber of
    /// traces, a token provider, a connector. Returns true if there was any.
    fn perform_actions(&mut self) -> bool {
        let mut actions = std::mem::take(&mut self.actions);
        {
            let mut state = self.shared.lock();
            actions.extend(std::iter::from_fn(|| state.session.poll_action()));
        }
        if actions.is_empty() {
            return false;
        }
        let mut events = std::mem::take(&mut self.events);
        for action in actions.drain(..) {
            if let SessionAction::Event(event) = action {
                // A panic of a subscriber was reported already, and does not concern the link.
                let _ = catch_unwind(AssertUnwindSafe(|| self.trace.event(&event)));
                events.push(event);
            } else {
                self.perform(action);
            }
        }
        if !events.is_empty() {
            self.shared.tell_application(&mut events);
        }
        (self.actions, self.events) = (actions, events);
        true
    }

    fn perform(&mut self, action: SessionAction) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "events go into the inbox; the enum may grow"
        )]
        match action {
            SessionAction::FetchToken { id } => {
                self.fetch = Some(self.providers.fetch_token(id, &self.dialer.template));
            }
            SessionAction::FetchAddress { id, endpoint, token } => {
                let request = AddressRequest { endpoint, token };
                self.fetch = Some(self.providers.fetch_address(id, request, &self.dialer.template));
            }
            SessionAction::FetchChannelToken { channel } => self.providers.channels.fetch(channel),
            SessionAction::Dial { id, address, token, is_trusted } => {
                let dialing = self.dialer.dial(&self.runtime, &address, token.as_ref(), is_trusted);
                self.transport = Some(Transport::new(id, dialing));
            }
            SessionAction::Drop { id, farewell } => {
                self.fetch.take_if(|(fetching, _)| *fetching == id);
                if let Some(transport) = self.transport.take_if(|transport| transport.id == id) {
                    transport.leave(farewell);
                }
            }
            _ => {}
        }
    }

    /// Stops driving the link, and notifies its handles.
    fn give_up(&mut self) {
        self.shared.hand_in(SessionInput::DriverGone);
        self.perform_actions();
    }
}

/// However the engine ends, by a panic or with its runtime, the link is closed: its handles are
/// notified, and messages sent from now on are returned.
impl<Rt: Runtime> Drop for Engine<Rt> {
    fn drop(&mut self) {
        // A panic here, during another one, would end the process.
        let _ = catch_unwind(AssertUnwindSafe(|| self.give_up()));
    }
}
