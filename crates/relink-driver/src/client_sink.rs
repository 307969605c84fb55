//! [`ClientSink`]: a client as a sink, for streams of messages that go out.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;
use relink::session::SendErrorKind;
use relink::{CloseCode, Message, SendError, SessionInput};

use crate::client::Client;
use crate::line::Place;

/// A [`Client`] as a [`Sink`], for combinators such as `StreamExt::forward`. From
/// [`Client::sink`]. It is a handle like others: the link lives at least as long.
///
/// It takes one message more than there is room for, and is ready again once that has found room.
/// Flushing waits as [`Client::flush`] does; on a closed link it is done, and what was not sent was
/// reported as [`Event::Dropped`](relink::Event::Dropped). Closing closes the link, for all its
/// handles. A message that has found no room by then waits while the link is usable, and is
/// otherwise returned with the error.
#[must_use = "a sink does nothing unless messages are sent into it"]
pub struct ClientSink {
    client: Client,
    /// The message for which there was no room.
    held: Option<Message>,
    /// In the line for room, for a flush, and for the end.
    places: [Place; 3],
    /// How often the link had ended when it was told to close.
    closing_since: Option<u64>,
}

impl ClientSink {
    pub(crate) const fn new(client: Client) -> Self {
        Self { client, held: None, places: [None; 3], closing_since: None }
    }

    /// Sends the message that found no room, if there is some now.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Some(message) = self.held.take() else { return Poll::Ready(Ok(())) };
        let shared = self.client.shared();
        let mut state = shared.lock();
        let [place, ..] = &mut self.places;
        match state.send(*place, message.into(), || shared.now()) {
            Ok(answer) => {
                state.senders.leave(place);
                state.senders.wake_first();
                drop(state);
                shared.engine.wake();
                Poll::Ready(answer.map(|_| ()))
            }
            Err(outgoing) => {
                self.held = Some(outgoing.message);
                state.senders.wait(place, cx.waker());
                Poll::Pending
            }
        }
    }

    /// Tells the link to close, once. Returns how often it had ended before.
    fn close(&mut self) -> u64 {
        let shared = self.client.shared();
        *self.closing_since.get_or_insert_with(|| {
            let since = shared.lock().ends;
            shared.tell(SessionInput::Close(CloseCode::NORMAL.into()));
            since
        })
    }
}

impl Sink<Message> for ClientSink {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_held(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        let shared = self.client.shared();
        let mut state = shared.lock();
        if self.held.is_some() {
            return Err(state.session_mut().refuse(message.into(), SendErrorKind::Full));
        }
        let sent = state.send(None, message.into(), || shared.now());
        drop(state);
        shared.engine.wake();
        match sent {
            Ok(answer) => answer.map(|_| ()),
            Err(outgoing) => {
                self.held = Some(outgoing.message);
                Ok(())
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        ready!(self.poll_held(cx))?;
        let Self { client, places: [_, place, _], .. } = &mut *self;
        let mut state = client.shared().lock();
        if state.closed_error().is_some() || state.has_written_all() {
            state.flushers.leave(place);
            return Poll::Ready(Ok(()));
        }
        state.flushers.wait(place, cx.waker());
        Poll::Pending
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.poll_held(cx)?.is_pending() {
            let Self { client, held, places: [_, _, place], .. } = &mut *self;
            let mut state = client.shared().lock();
            let is_usable = state.session().state().is_usable();
            if let Some(message) = held.take_if(|_| !is_usable) {
                let refused = state.session_mut().refuse(message.into(), SendErrorKind::Full);
                return Poll::Ready(Err(refused));
            }
            // Woken by room, or by the loss of the link.
            state.watchers.wait(place, cx.waker());
            return Poll::Pending;
        }
        let since = self.close();
        let Self { client, places: [_, _, place], .. } = &mut *self;
        let mut state = client.shared().lock();
        if state.end_since(since).is_some() {
            state.watchers.leave(place);
            return Poll::Ready(Ok(()));
        }
        state.watchers.wait(place, cx.waker());
        Poll::Pending
    }
}

impl Drop for ClientSink {
    fn drop(&mut self) {
        let mut state = self.client.shared().lock();
        let [room, flush, end] = &mut self.places;
        state.senders.leave(room);
        state.senders.wake_first();
        state.flushers.leave(flush);
        state.watchers.leave(end);
    }
}

impl std::fmt::Debug for ClientSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSink").field("client", &self.client).finish_non_exhaustive()
    }
}
