//! [`Engine`]: the driver on an async runtime. It dials, polls the stream and sleeps, and decides
//! nothing.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::BoxFuture;
use relink::link::TransportId;
use relink::{CloseFrame, Instant, SessionAction, SessionInput};

use crate::dial::{Dialed, Dialer};
use crate::fetch::{AddressRequest, Fetch, Providers};
use crate::handle_state::Shared;
use crate::runtime::{ConnectError, Runtime, Sleep};
use crate::stream::{BoxStream, Heard};
use crate::trace::Trace;
use crate::wire::WireError;

/// After this many turns, the engine yields to other tasks.
const TURNS: usize = 8;

pub(crate) struct Engine<Rt: Runtime> {
    pub(crate) runtime: Rt,
    pub(crate) shared: Arc<Shared>,
    dialer: Dialer,
    providers: Providers,
    trace: Trace,
    sleep: Rt::Sleep,
    /// The dial that is under way.
    dialing: Option<(TransportId, Dialing)>,
    stream: Option<(BoxStream, Heard)>,
    /// The one fetch that is under way for an attempt or a transport.
    fetch: Option<Fetch>,
}

type Dialing = BoxFuture<'static, Result<Dialed, ConnectError>>;

/// How a run of the engine ended. If all is false, there is nothing to do until something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ran {
    /// The application should have a chance to react to events.
    pub(crate) told: bool,
    /// There is more to do, after other tasks had their turn.
    pub(crate) busy: bool,
    /// The link is closed for good.
    pub(crate) finished: bool,
}

impl Ran {
    pub(crate) const FINISHED: Self = Self { told: false, busy: false, finished: true };

    pub(crate) fn is_idle(self) -> bool {
        self == Self::default()
    }
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
        let (dialing, stream, fetch) = (None, None, None);
        Self { runtime, shared, dialer, providers, trace, sleep, dialing, stream, fetch }
    }

    /// Runs in its own task; ready when the link is closed for good.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            match self.turn(cx) {
                Ran { finished: true, .. } => return Poll::Ready(()),
                Ran { busy: false, .. } => return Poll::Pending,
                // What is taken now need not be kept.
                Ran { told: true, .. } => break,
                Ran { .. } => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Runs in the owner's task, until there is an event for the owner.
    pub(crate) fn run(&mut self, cx: &mut Context<'_>) -> Ran {
        let mut ran = Ran::default();
        for _ in 0..TURNS {
            ran = self.turn(cx);
            if ran.told || !ran.busy {
                break;
            }
        }
        ran
    }

    /// Runs a turn; a panic ends the link, since the state of the application's protocol is unknown
    /// after it.
    fn turn(&mut self, cx: &mut Context<'_>) -> Ran {
        catch_unwind(AssertUnwindSafe(|| self.try_turn(cx))).unwrap_or_else(|_| {
            self.give_up();
            Ran::FINISHED
        })
    }

    /// Runs one iteration of the event loop. The order is the core's: inputs that have arrived are
    /// passed before the time.
    fn try_turn(&mut self, cx: &mut Context<'_>) -> Ran {
        let now = self.runtime.now();
        self.shared.wakes_up();
        self.poll_fetches(cx, now);
        self.poll_dial(cx, now);
        self.move_bytes(cx, now);
        let (told, acted) = self.perform_actions();
        let timed_out = self.poll_time(cx, now);

        let mut state = self.shared.lock();
        state.wake_flushers();
        let is_gone = self.stream.is_none() && self.dialing.is_none();
        let is_over = state.handles == 0 || state.session().link().is_final();
        let finished = state.ended && is_gone && is_over;
        Ran { told, busy: acted || timed_out || state.driver.is_busy(), finished }
    }

    fn poll_fetches(&mut self, cx: &mut Context<'_>, now: Instant) {
        if let Some((_, fetch)) = &mut self.fetch {
            if let Poll::Ready(input) = fetch.as_mut().poll(cx) {
                self.fetch = None;
                self.shared.lock().driver.handle(input, now);
            }
        }
        while let Poll::Ready(input) = self.providers.channels.poll(cx) {
            self.shared.lock().driver.handle(input, now);
        }
    }

    fn poll_dial(&mut self, cx: &mut Context<'_>, now: Instant) {
        let Some((id, dialing)) = &mut self.dialing else { return };
        let (id, Poll::Ready(dialed)) = (*id, dialing.as_mut().poll(cx)) else { return };
        self.dialing = None;
        let driver = &mut self.shared.lock().driver;
        match dialed {
            Ok(Dialed { stream, heard, wire }) => {
                self.stream = Some((stream, heard));
                driver.connected(id, wire);
            }
            Err(error) => driver.failed(id, WireError::new(error.failure(), error.detail()), now),
        }
    }

    /// Reads and writes, without the lock.
    fn move_bytes(&mut self, cx: &mut Context<'_>, now: Instant) {
        let Some((stream, heard)) = &mut self.stream else { return };
        let mut stream = Polled { stream, cx };
        let mut state = self.shared.lock();
        if let Some(mut buffer) = state.driver.begin_read(now) {
            drop(state);
            buffer.read_from(&mut stream);
            if heard.take() {
                buffer.arrived_beneath(heard.is_mid_record());
            }
            state = self.shared.lock();
            state.driver.end_read(buffer, now);
        }
        if let Some(mut buffer) = state.driver.begin_write(now) {
            state.senders.wake_first();
            drop(state);
            buffer.write_to(&mut stream);
            self.shared.lock().driver.end_write(buffer, now);
        }
    }

    /// Passes the time on, or sleeps until it is due. Returns true if it was.
    fn poll_time(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(deadline) = self.shared.lock().driver.poll_timeout() else { return false };
        if now >= deadline {
            return self.shared.lock().driver.handle_timeout(now);
        }
        if self.sleep.poll_until(deadline, cx).is_pending() {
            return false;
        }
        let now = self.runtime.now();
        self.shared.lock().driver.handle_timeout(now)
    }

    /// Carries the session's actions out, in their order. The lock is held to take them and to put
    /// events into the inbox, and not while the application's code runs: a subscriber of traces, a
    /// token provider, a connector. Returns whether there were events, and whether there was
    /// anything to do.
    fn perform_actions(&mut self) -> (bool, bool) {
        let mut state = self.shared.lock();
        state.driver.tell_quietly();
        let actions: Vec<_> = std::iter::from_fn(|| state.session_mut().poll_action()).collect();
        state.senders.wake_first();
        drop(state);
        let mut acted = false;
        for action in actions {
            if let SessionAction::Event(event) = action {
                // A panic of a subscriber was reported already, and does not concern the link.
                let _ = catch_unwind(AssertUnwindSafe(|| self.trace.event(&event)));
                self.shared.lock().tell(event);
            } else {
                acted = true;
                self.perform(action);
            }
        }
        let told = self.shared.lock().driver.take_news();
        if told {
            self.shared.events.wake();
        }
        (told, acted)
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
                self.dialing = Some((id, dialing));
            }
            SessionAction::Drop { id, farewell } => self.leave(id, farewell),
            _ => {}
        }
    }

    /// Writes what can be written without waiting, including a last frame, and drops the transport.
    /// A silent peer cannot delay this.
    fn leave(&mut self, id: TransportId, farewell: Option<CloseFrame>) {
        self.fetch.take_if(|(fetching, _)| *fetching == id);
        self.dialing.take_if(|(dialing, _)| *dialing == id);
        let last = self.shared.lock().driver.leave(id, farewell);
        let (Some(mut last), Some((mut stream, _))) = (last, self.stream.take()) else { return };
        let cx = &mut Context::from_waker(futures_util::task::noop_waker_ref());
        last.write_to(&mut Polled { stream: &mut stream, cx });
        // Only the stream's own close remains, which is not waited for.
        let _ = Pin::new(&mut stream).poll_close(cx);
    }

    /// Stops driving the link, and notifies its handles.
    fn give_up(&mut self) {
        self.shared.hand_in(SessionInput::DriverGone);
        self.perform_actions();
    }
}

/// An asynchronous stream as one that does not block.
struct Polled<'a, 'b> {
    stream: &'a mut BoxStream,
    cx: &'a mut Context<'b>,
}

fn or_would_block<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    if let Poll::Ready(result) = polled { result } else { Err(io::ErrorKind::WouldBlock.into()) }
}

impl io::Read for Polled<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.stream).poll_read(self.cx, into))
    }
}

impl io::Write for Polled<'_, '_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.stream).poll_write(self.cx, from))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_would_block(Pin::new(&mut *self.stream).poll_flush(self.cx))
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
