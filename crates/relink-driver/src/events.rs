//! [`Events`]: what happens on a link that runs in a task of its own.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use relink::{Event, Message};

use crate::client::Handle;
use crate::handle_state::{DynDriver, Shared};

/// What happens on a link, in order: a [`Stream`] that ends after [`Event::Closed`]. If the link is
/// connected again ([`ReopenPolicy`](relink::link::ReopenPolicy)), it continues.
///
/// A slow reader slows the peer: once the inbox is full the socket is not read. After it is
/// dropped, inbound messages are discarded, and the link stays up for its clients.
pub struct Events {
    shared: Arc<Shared>,
    _handle: Arc<Handle>,
}

impl Events {
    pub(crate) const fn new(shared: Arc<Shared>, handle: Arc<Handle>) -> Self {
        Self { shared, _handle: handle }
    }

    /// The next event, without any trait in scope; `None` after [`Event::Closed`], unless the link
    /// has been connected again: keep calling it after [`Client::connect`](crate::Client::connect).
    /// Cancel-safe.
    pub fn recv(&mut self) -> impl Future<Output = Option<Event>> + Send + '_ {
        poll_fn(|cx| self.poll_take(cx, DynDriver::poll_event))
    }

    /// Waits for events, and appends all that are there to `buffer`, at most `limit`. Returns how
    /// many: 0 after [`Event::Closed`], as for [`recv`](Self::recv), or if `limit` is 0. Cheaper
    /// than one by one. Cancel-safe.
    pub fn recv_many<'a>(
        &'a mut self,
        buffer: &'a mut Vec<Event>,
        limit: usize,
    ) -> impl Future<Output = usize> + Send + 'a {
        poll_fn(move |cx| {
            if limit == 0 {
                return Poll::Ready(0);
            }
            let take = |driver: &mut DynDriver| {
                let before = buffer.len();
                buffer.extend(std::iter::from_fn(|| driver.poll_event()).take(limit));
                Some(buffer.len() - before).filter(|count| *count > 0)
            };
            self.poll_take(cx, take).map(Option::unwrap_or_default)
        })
    }

    /// The messages alone, of all channels: for an application that shows nothing of the link.
    /// Skips all other events for good, those about lost messages among them; the stream ends where
    /// [`recv`](Self::recv) returns `None`.
    ///
    /// ```
    /// # use relink_driver::Events;
    /// # async fn print_all(mut events: Events) {
    /// let mut messages = events.messages();
    /// while let Some(message) = messages.recv().await {
    ///     println!("{}", message.as_text().unwrap_or("(binary)"));
    /// }
    /// # }
    /// ```
    pub const fn messages(&mut self) -> Messages<'_> {
        Messages { events: self }
    }

    /// Takes something of what is there; pending if that is nothing, and none if nothing follows.
    fn poll_take<T>(
        &self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut DynDriver) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut state = self.shared.lock();
        let was_shut = state.driver.is_shut();
        let Some(taken) = take(&mut state.driver) else {
            if state.is_over() {
                return Poll::Ready(None);
            }
            // Under the lock, so that no event can come in between.
            self.shared.events.register(cx.waker());
            return Poll::Pending;
        };
        let is_open = !state.driver.is_shut();
        drop(state);
        if was_shut && is_open {
            self.shared.engine.wake();
        }
        Poll::Ready(Some(taken))
    }
}

/// The messages among the events of a link. From [`Events::messages`].
#[derive(Debug)]
pub struct Messages<'a> {
    events: &'a mut Events,
}

impl Messages<'_> {
    /// The next message, without any trait in scope; `None` where [`Events::recv`] returns that.
    /// Cancel-safe.
    pub fn recv(&mut self) -> impl Future<Output = Option<Message>> + Send + '_ {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx))
    }
}

impl Stream for Messages<'_> {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            match ready!(Pin::new(&mut *self.events).poll_next(cx)) {
                Some(Event::Message(message) | Event::Publication { message, .. }) => {
                    return Poll::Ready(Some(message));
                }
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_take(cx, DynDriver::poll_event)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.lock().driver.abandon_events();
        self.shared.engine.wake();
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
