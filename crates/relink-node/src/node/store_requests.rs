//! Requests to the store: each is kept until it is answered, and sent again whole after a failure.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::time::Duration;

use rand_core::Rng;

use crate::StoreRequest;
use crate::node::numbered::Numbered;
use crate::node::sessions::SessionNumber;
use crate::node::{ConnectionId, NodeAction, StoreRequestId};
use relink::policy::{Curve, Jitter, Schedule};
use relink::{Backoff, Instant};

/// All requests that the store has not answered successfully.
#[derive(Debug)]
pub(crate) struct StoreRequests {
    backoff: Backoff,
    /// The last assigned id.
    last: u64,
    sent: Numbered<StoreRequestId, Box<Pending>>,
    /// Failed requests, to be sent again after their delay.
    delayed: BTreeMap<(Instant, StoreRequestId), Box<Pending>>,
}

/// A request that waits for a response, or to be sent again.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) request: StoreRequest,
    pub(crate) asker: Asker,
    /// The id of its first try, which identifies the request. Each try has another id, so that a
    /// late answer to an earlier one is not mistaken.
    pub(crate) key: StoreRequestId,
    schedule: Schedule,
}

/// What waits for a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// One connection.
    Connection(ConnectionId),
    /// One session, for one of its messages.
    Session(SessionNumber),
    /// All readers that look up the same place in a stream.
    Readers,
    /// The node itself, on behalf of a channel, a user, the application, or a session that may be
    /// gone from here.
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
        Self { backoff, last: 0, sent: Numbered::new(), delayed: BTreeMap::new() }
    }

    /// Sends a request for the first time. The id identifies it in all its tries.
    pub(crate) fn ask(
        &mut self,
        asker: Asker,
        request: StoreRequest,
    ) -> (StoreRequestId, NodeAction) {
        let key = self.next_id();
        let schedule = Schedule::default();
        (key, self.send(Box::new(Pending { request, asker, key, schedule })))
    }

    /// Sends a request, for the first time or again.
    pub(crate) fn send(&mut self, pending: Box<Pending>) -> NodeAction {
        let question = self.next_id();
        self.last = question.0;
        let what = pending.request.clone();
        self.sent.insert(question, pending);
        NodeAction::Ask { question, what }
    }

    /// The id of the next try of any request: all earlier ones have lower ids.
    pub(crate) const fn next_id(&self) -> StoreRequestId {
        StoreRequestId(self.last.saturating_add(1))
    }

    /// Returns the request of an answer, if it is the first one to this try.
    pub(crate) fn answered(&mut self, id: StoreRequestId) -> Option<Box<Pending>> {
        self.sent.remove(id)
    }

    /// Keeps a request until it is due again.
    pub(crate) fn retry_later<R: Rng>(
        &mut self,
        mut pending: Box<Pending>,
        now: Instant,
        rng: &mut R,
    ) {
        let delay = pending.schedule.next_window(&self.backoff).draw(rng);
        pending.schedule.record(delay);
        self.delayed.insert((now + delay, pending.key), pending);
    }

    /// Takes the next request whose delay is over.
    pub(crate) fn poll_due(&mut self, now: Instant) -> Option<Box<Pending>> {
        let due = self.delayed.first_entry().filter(|entry| entry.key().0 <= now);
        due.map(|entry| entry.remove())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|((at, _), _)| *at)
    }
}

impl Pending {
    /// The number of retries.
    pub(crate) const fn retries(&self) -> u32 {
        self.schedule.retries()
    }
}
