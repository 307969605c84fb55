//! Requests to the store: each is kept until it is answered, and sent again whole after a failure.

use alloc::collections::BTreeMap;
use core::time::Duration;

use rand_core::Rng;

use crate::StoreRequest;
use crate::node::{ConnectionId, NodeAction, StoreRequestId};
use relink::policy::{Curve, Jitter, Schedule};
use relink::{Backoff, Instant};

/// Everything the store was asked and has not answered well yet.
#[derive(Debug)]
pub(crate) struct StoreRequests {
    backoff: Backoff,
    /// The last id that was given to a request.
    last: u64,
    sent: BTreeMap<StoreRequestId, Pending>,
    /// Failed, and sent again when their delay is over.
    delayed: BTreeMap<(Instant, StoreRequestId), Pending>,
}

/// A request that waits for a response, or to be sent again.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) request: StoreRequest,
    pub(crate) asker: Asker,
    /// The id under which it was sent first. It names the request in all its tries, while each try
    /// has an id of its own: a late answer to an earlier one is not taken for the answer to this.
    pub(crate) key: StoreRequestId,
    schedule: Schedule,
}

/// What waits for a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// One connection.
    Connection(ConnectionId),
    /// All readers that look up the same place in a stream.
    Readers,
    /// The node itself, on behalf of a session, a channel, a user, or the application.
    Node,
}

impl StoreRequests {
    pub(crate) fn new() -> Self {
        let backoff = Backoff::default()
            .with_curve(Curve::Exponential { initial: Duration::from_millis(100), factor_pct: 200 })
            .with_jitter(Jitter::Equal)
            .with_floor(Duration::from_millis(50))
            .with_cap(Duration::from_secs(5))
            .with_first(None);
        Self { backoff, last: 0, sent: BTreeMap::new(), delayed: BTreeMap::new() }
    }

    /// Sends a request for the first time. The id names it in all its tries.
    pub(crate) fn ask(
        &mut self,
        asker: Asker,
        request: StoreRequest,
    ) -> (StoreRequestId, NodeAction) {
        let key = self.next_id();
        (key, self.send(Pending { request, asker, key, schedule: Schedule::default() }))
    }

    /// Sends a request, perhaps once more.
    pub(crate) fn send(&mut self, pending: Pending) -> NodeAction {
        let question = self.next_id();
        self.last = question.0;
        let what = pending.request.clone();
        self.sent.insert(question, pending);
        NodeAction::Ask { question, what }
    }

    /// The id of the next try of any request: what was sent before it has a lower one.
    pub(crate) const fn next_id(&self) -> StoreRequestId {
        StoreRequestId(self.last.saturating_add(1))
    }

    /// The store answered: what was asked, if the answer is the first one to this try.
    pub(crate) fn answered(&mut self, id: StoreRequestId) -> Option<Pending> {
        self.sent.remove(&id)
    }

    /// Keeps a request until it is due again.
    pub(crate) fn retry_later<R: Rng>(&mut self, mut pending: Pending, now: Instant, rng: &mut R) {
        let delay = pending.schedule.next_window(&self.backoff).draw(rng);
        pending.schedule.record(delay);
        self.delayed.insert((now + delay, pending.key), pending);
    }

    /// The next request whose delay is over. It is forgotten unless it is sent again.
    pub(crate) fn poll_due(&mut self, now: Instant) -> Option<Pending> {
        let due = self.delayed.first_entry().filter(|entry| entry.key().0 <= now);
        due.map(|entry| entry.remove())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|((at, _), _)| *at)
    }
}

impl Pending {
    /// How often it was sent again.
    pub(crate) const fn retries(&self) -> u32 {
        self.schedule.retries()
    }
}
