//! Waiting for what a link becomes: [`StateWatch`], and the futures of [`Client`](crate::Client).

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use crate::handle_state::{Shared, State};
use crate::line::{Line, Place};

/// The state of a link, for tasks that await or show it and receive no events.
///
/// It does not keep the link open. From [`Client::watch`](crate::Client::watch).
pub struct StateWatch {
    shared: Arc<Shared>,
    seen: Option<relink::State>,
}

impl StateWatch {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, seen: None }
    }

    /// The state now. Does not count as seen.
    #[must_use]
    pub fn state(&self) -> relink::State {
        self.shared.lock().session().state()
    }

    /// Waits for a state other than the last one that it returned; the first call returns at once.
    /// States that come and go before the task runs are skipped: [`Event::State`] reports each.
    ///
    /// `None` once the link is closed for good and that was returned. Cancel-safe.
    ///
    /// [`Event::State`]: relink::Event::State
    pub fn changed(&mut self) -> impl Future<Output = Option<relink::State>> + Send + '_ {
        let Self { shared, seen } = self;
        until(shared, Awaited::State, move |link| {
            let now = link.session().state();
            if *seen != Some(now) {
                *seen = Some(now);
                return Some(Some(now));
            }
            link.session().link().is_final().then_some(None)
        })
    }
}

impl std::fmt::Debug for StateWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateWatch").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// What a future waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Awaited {
    /// A state.
    State,
    /// That nothing waits to be written.
    Flush,
}

impl Awaited {
    const fn line(self, link: &mut State) -> &mut Line {
        match self {
            Self::State => &mut link.watchers,
            Self::Flush => &mut link.flushers,
        }
    }
}

/// A place among the futures that wait for the same, given up with the future.
struct Watching<'a> {
    shared: &'a Shared,
    awaited: Awaited,
    place: Place,
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.awaited.line(&mut self.shared.lock()).leave(&mut self.place);
        }
    }
}

/// Waits until `look` finds something, and looks whenever what is awaited may have come.
pub(crate) fn until<'a, T>(
    shared: &'a Shared,
    awaited: Awaited,
    mut look: impl FnMut(&mut State) -> Option<T> + Send + 'a,
) -> impl Future<Output = T> + Send + 'a {
    let mut watching = Watching { shared, awaited, place: None };
    poll_fn(move |cx| {
        let watching = &mut watching;
        let mut state = shared.lock();
        if let Some(found) = look(&mut state) {
            awaited.line(&mut state).leave(&mut watching.place);
            return Poll::Ready(found);
        }
        awaited.line(&mut state).wait(&mut watching.place, cx.waker());
        Poll::Pending
    })
}
