//! [`Engine`]: carries out what the session wants. It dials, moves bytes and sleeps, and decides nothing.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use relink::{Event, Frame, SessionAction, SessionInput, Token, TransportId};

use crate::dial::{BoxStream, Dialed, Dialer};
use crate::runtime::{ConnectError, Runtime, Sleep, io_failure};
use crate::shared::Shared;
use crate::trace::Trace;
use crate::wire::{Wire, WireError, WireEvent};

/// A batch ends here, so that one busy link does not keep a thread to itself: bytes per turn, in each direction.
const TURN: usize = 64 << 10;
/// So many turns, and other tasks have theirs.
const TURNS: usize = 8;
/// The read buffer of an idle link.
const SMALL_READ: usize = 4 << 10;

/// Brings tokens: called once per attempt, and ahead of expiry.
pub(crate) type TokenProvider = Arc<dyn Fn() -> BoxFuture<'static, Result<Token, String>> + Send + Sync>;

pub(crate) struct Engine<Rt: Runtime> {
    pub(crate) runtime: Rt,
    pub(crate) shared: Arc<Shared>,
    pub(crate) dialer: Dialer,
    pub(crate) tokens: Option<TokenProvider>,
    pub(crate) trace: Trace,
    sleep: Rt::Sleep,
    transport: Option<Transport>,
    fetch: Option<(TransportId, BoxFuture<'static, Result<Token, String>>)>,
    read_buffer: Vec<u8>,
    frames: Vec<Frame>,
    actions: Vec<SessionAction>,
}

/// The one transport there is, or the dial for it (I1).
struct Transport {
    id: TransportId,
    stage: Stage,
}

enum Stage {
    Dialing(BoxFuture<'static, Result<Dialed, ConnectError>>),
    Open {
        stream: BoxStream,
        wire: Wire,
        opened: bool,
        unflushed: bool,
    },
    /// Reported as gone; the session's answer is on its way.
    Gone {
        stream: Option<BoxStream>,
        wire: Option<Wire>,
    },
}

impl<Rt: Runtime> Engine<Rt> {
    pub(crate) fn new(
        runtime: Rt,
        shared: Arc<Shared>,
        dialer: Dialer,
        tokens: Option<TokenProvider>,
        trace: Trace,
    ) -> Self {
        let sleep = runtime.sleep();
        Self {
            runtime,
            shared,
            dialer,
            tokens,
            trace,
            sleep,
            transport: None,
            fetch: None,
            read_buffer: Vec::new(),
            frames: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Does everything that can be done now; ready when nothing will ever be left to do.
    ///
    /// The order is the core's: what has arrived is handed in before the time is (I10).
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            let mut busy = self.poll_fetch(cx);
            busy |= self.poll_transport(cx);
            busy |= self.poll_time(cx);
            busy |= self.act();
            if self.is_finished() {
                return Poll::Ready(());
            }
            if !busy {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The link is at its end for good, or nobody holds a handle to it any more.
    fn is_finished(&self) -> bool {
        let state = self.shared.lock();
        state.ended && self.transport.is_none() && (state.handles == 0 || state.session.link().is_final())
    }

    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((id, fetch)) = &mut self.fetch else { return false };
        let Poll::Ready(result) = fetch.as_mut().poll(cx) else { return false };
        let input = SessionInput::Token { id: *id, result };
        self.fetch = None;
        self.hand_in(input);
        true
    }

    fn poll_transport(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(transport) = &mut self.transport else { return false };
        match &mut transport.stage {
            Stage::Dialing(dial) => match dial.as_mut().poll(cx) {
                Poll::Ready(Ok(Dialed { stream, wire })) => {
                    transport.stage = Stage::Open { stream, wire, opened: false, unflushed: false };
                    true
                }
                Poll::Ready(Err(error)) => {
                    transport.stage = Stage::Gone { stream: None, wire: None };
                    let (id, failure, detail) = (transport.id, error.failure(), error.detail().to_owned());
                    self.hand_in(SessionInput::Failed { id, failure, detail, location: None });
                    true
                }
                Poll::Pending => false,
            },
            Stage::Open { .. } => self.poll_write(cx) | self.poll_read(cx),
            Stage::Gone { .. } => false,
        }
    }

    /// Reads what has arrived, up to a turn, unless the application is behind.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(Transport { id, stage: Stage::Open { stream, wire, opened, .. } }) = &mut self.transport
        else {
            return false;
        };
        if self.shared.lock().inbox.is_full() {
            return false;
        }
        if self.read_buffer.is_empty() {
            self.read_buffer.resize(SMALL_READ, 0);
        }
        let mut end = None;
        let mut total = 0;
        while total < TURN && end.is_none() {
            match Pin::new(&mut *stream).poll_read(cx, &mut self.read_buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => {
                    wire.receive_end();
                    end = Some(None);
                }
                Poll::Ready(Ok(count)) => {
                    total += count;
                    wire.receive(&self.read_buffer[..count]);
                    if count == self.read_buffer.len() && count < TURN {
                        self.read_buffer.resize(count * 2, 0);
                    }
                }
                Poll::Ready(Err(error)) => end = Some(Some(error)),
            }
        }
        if total == 0 && end.is_none() {
            self.read_buffer.truncate(SMALL_READ);
            self.read_buffer.shrink_to_fit();
            wire.shrink();
            return false;
        }

        let (id, was_open, mut failed) = (*id, *opened, None);
        loop {
            match wire.poll_event() {
                Ok(Some(WireEvent::Opened(_))) => *opened = true,
                Ok(Some(WireEvent::Frame(frame))) => self.frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let newly_opened = *opened && !was_open;
        if let Some(Some(error)) = end {
            failed = failed.or(Some(WireError::new(io_failure(&error), error.to_string())));
        }
        self.hand_in_frames(id, newly_opened, failed);
        true
    }

    /// Hands a whole batch to the session under one lock.
    fn hand_in_frames(&mut self, id: TransportId, opened: bool, failed: Option<WireError>) {
        let now = self.runtime.now();
        let mut state = self.shared.lock();
        if opened {
            state.session.handle(SessionInput::Opened { id }, now);
        }
        for frame in self.frames.drain(..) {
            state.session.handle(SessionInput::Frame { id, frame }, now);
        }
        let Some(WireError { failure, detail, location }) = failed else { return };
        state.session.handle(SessionInput::Failed { id, failure, detail, location }, now);
        drop(state);
        self.set_gone();
    }

    /// Keeps stream and wire for a last word.
    fn set_gone(&mut self) {
        let Some(transport) = &mut self.transport else { return };
        let gone = Stage::Gone { stream: None, wire: None };
        if let Stage::Open { stream, wire, .. } = std::mem::replace(&mut transport.stage, gone) {
            transport.stage = Stage::Gone { stream: Some(stream), wire: Some(wire) };
        }
    }

    /// Writes what the wire holds, and fetches frames as long as the transport takes them.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut total = 0;
        while total < TURN {
            match self.poll_write_some(cx) {
                Poll::Ready(Ok(0)) | Poll::Pending => break,
                Poll::Ready(Ok(count)) => total += count,
                Poll::Ready(Err(error)) => {
                    let id = self.transport.as_ref().map(|transport| transport.id).unwrap_or_default();
                    let (failure, detail) = (io_failure(&error), error.to_string());
                    self.set_gone();
                    self.hand_in(SessionInput::Failed { id, failure, detail, location: None });
                    return true;
                }
            }
        }
        total > 0
    }

    /// Writes once. Zero: there is nothing to write.
    fn poll_write_some(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let Some(Transport { stage: Stage::Open { stream, wire, opened, unflushed }, .. }) =
            &mut self.transport
        else {
            return Poll::Ready(Ok(0));
        };
        if *opened && wire.outgoing().is_empty() {
            take_frames(&self.shared, &mut self.frames, self.runtime.now());
            for frame in self.frames.drain(..) {
                wire.send(frame);
            }
        }
        let outgoing = wire.outgoing();
        if outgoing.is_empty() {
            if *unflushed {
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                *unflushed = false;
            }
            return Poll::Ready(Ok(0));
        }
        let count = ready!(Pin::new(stream).poll_write(cx, outgoing))?;
        if count == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
        }
        wire.wrote(count);
        *unflushed = true;
        Poll::Ready(Ok(count))
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.shared.lock().session.poll_timeout() else { return false };
        if self.runtime.now() < deadline && self.sleep.poll_until(deadline, cx).is_pending() {
            return false;
        }
        let now = self.runtime.now();
        let mut state = self.shared.lock();
        if let (Some(Transport { id, .. }), true) = (&self.transport, state.inbox.is_full()) {
            state.session.handle(SessionInput::Unread { id: *id }, now);
        }
        state.session.handle(SessionInput::Timeout, now);
        true
    }

    fn hand_in(&mut self, input: SessionInput) {
        let now = self.runtime.now();
        self.shared.lock().session.handle(input, now);
    }

    /// Carries the session's actions out: events into the inbox under the lock, the rest, which may call the
    /// application's code, outside of it.
    fn act(&mut self) -> bool {
        let mut actions = std::mem::take(&mut self.actions);
        let mut told = false;
        {
            let mut state = self.shared.lock();
            while let Some(action) = state.session.poll_action() {
                if let SessionAction::Event(event) = action {
                    state.ended = matches!(event, Event::Closed { .. });
                    self.trace.event(&event);
                    state.inbox.push(event);
                    told = true;
                } else {
                    actions.push(action);
                }
            }
            if told {
                state.wake_waiting();
            }
        }
        if told {
            self.shared.events.wake();
        }
        let busy = told || !actions.is_empty();
        for action in actions.drain(..) {
            self.carry_out(action);
        }
        self.actions = actions;
        busy
    }

    fn carry_out(&mut self, action: SessionAction) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "events are told under the lock; the enum may grow"
        )]
        match action {
            SessionAction::FetchToken { id } => self.fetch = Some((id, self.fetch_token())),
            SessionAction::Dial { id, address, token } => {
                let dial = self.dialer.dial(&self.runtime, &address, token.as_ref());
                self.transport = Some(Transport { id, stage: Stage::Dialing(dial) });
            }
            SessionAction::Drop { id, farewell } => {
                self.fetch.take_if(|(fetching, _)| *fetching == id);
                let Some(dropped) = self.transport.take_if(|transport| transport.id == id) else { return };
                dropped.leave(farewell.map(Frame::Close));
            }
            _ => {}
        }
    }

    /// The application's future, with a panic of it counted as a failed fetch.
    fn fetch_token(&self) -> BoxFuture<'static, Result<Token, String>> {
        let Some(provider) = self.tokens.clone() else {
            return Box::pin(async { Err("there is no token provider".to_owned()) });
        };
        let fetch = async move { provider().await };
        let fetch = AssertUnwindSafe(fetch).catch_unwind();
        Box::pin(fetch.map(|result| result.unwrap_or_else(|_| Err("the token provider panicked".to_owned()))))
    }
}

/// Frames for about one turn: the outbox keeps the rest, where bounds and time to live still hold.
fn take_frames(shared: &Shared, frames: &mut Vec<Frame>, now: relink::Instant) {
    let mut state = shared.lock();
    let mut bytes = 0;
    while bytes < TURN {
        let Some(frame) = state.session.poll_transmit(now) else { break };
        bytes += match &frame {
            Frame::Message(message) => message.len(),
            Frame::Ping(payload) | Frame::Pong(payload) => payload.len(),
            Frame::Close(_) => 0,
        };
        frames.push(frame);
    }
    if !frames.is_empty() {
        state.wake_waiting();
    }
}

impl Transport {
    /// Writes what can be written without waiting, a last frame too, and lets go. A peer that is silent cannot hold us
    /// up here (I14).
    fn leave(self, farewell: Option<Frame>) {
        let (mut stream, mut wire) = match self.stage {
            Stage::Open { stream, wire, .. } | Stage::Gone { stream: Some(stream), wire: Some(wire) } => {
                (stream, wire)
            }
            Stage::Dialing(_) | Stage::Gone { .. } => return,
        };
        if let Some(frame) = farewell {
            wire.send(frame);
        }
        let cx = &mut Context::from_waker(futures_util::task::noop_waker_ref());
        loop {
            let outgoing = wire.outgoing();
            if outgoing.is_empty() {
                break;
            }
            match Pin::new(&mut stream).poll_write(cx, outgoing) {
                Poll::Ready(Ok(count)) if count > 0 => wire.wrote(count),
                Poll::Ready(_) | Poll::Pending => return,
            }
        }
        let _ = Pin::new(&mut stream).poll_flush(cx);
        let _ = Pin::new(&mut stream).poll_close(cx);
    }
}
