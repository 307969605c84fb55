//! One session's messages in the node: they wait, one is in the application, its effects in the
//! store. This state outlives a connection.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::Stream;
use crate::node::{ConnectionId, DeliveryId, StoreRequestId};
use relink::session::Problem;
use relink::{Channel, Instant, Message, SessionId};

/// What a message leads to: all of it or nothing; or why it is refused.
pub(crate) type Outcome = Result<Vec<(Stream, Message)>, Problem>;

/// Inbound message state of one session. It is kept after a disconnect until in-flight messages are
/// committed.
///
/// After a resume on this node, a message that the application has, or had, is not passed to it
/// again: it is *unclaimed* until the client sends it again, and the effect is stored then. If the
/// client sends something else instead, because another process resumed the session, unclaimed
/// messages are dropped.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(super) id: SessionId,
    pub(crate) user: Arc<str>,
    pub(crate) generation: u64,
    pub(crate) connection: Option<ConnectionId>,
    /// The closed connection that the messages came from, until they are handled.
    pub(super) left: Option<ConnectionId>,
    /// The highest received serial.
    pub(crate) taken: u64,
    /// The highest serial with a stored effect.
    pub(crate) committed: u64,
    waiting: VecDeque<Incoming>,
    handling: Option<Handling>,
    handled: VecDeque<Effect>,
    pub(super) storing: Option<StoreRequestId>,
    unclaimed: usize,
    bytes: usize,
    /// The client closed with 1000: the session ends when nothing is under way.
    pub(crate) ending: bool,
    /// Since when no connection has it.
    pub(super) left_at: Instant,
}

/// A message of a client.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) serial: Option<u64>,
    pub(super) channel: Option<Channel>,
    pub(super) message: Message,
    /// When it arrived.
    pub(super) at: Instant,
    /// Whether the client has sent it in this generation of the session.
    claimed: bool,
}

/// The current delivery. The message is gone if its effect is not wanted any more.
#[derive(Debug)]
struct Handling {
    id: DeliveryId,
    incoming: Option<Incoming>,
}

/// The effects of a message.
#[derive(Debug)]
pub(super) struct Effect {
    incoming: Incoming,
    pub(super) result: Outcome,
}

impl Incoming {
    pub(super) const fn new(
        serial: Option<u64>,
        channel: Option<Channel>,
        message: Message,
        at: Instant,
    ) -> Self {
        Self { serial, channel, message, at, claimed: true }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.serial == other.serial
            && self.channel == other.channel
            && self.message == other.message
    }
}

impl Effect {
    pub(super) const fn serial(&self) -> Option<u64> {
        self.incoming.serial
    }
}

impl Intake {
    pub(super) const fn new(
        id: SessionId,
        user: Arc<str>,
        generation: u64,
        received: u64,
        now: Instant,
    ) -> Self {
        Self {
            id,
            user,
            generation,
            connection: None,
            left: None,
            taken: received,
            committed: received,
            waiting: VecDeque::new(),
            handling: None,
            handled: VecDeque::new(),
            storing: None,
            unclaimed: 0,
            bytes: 0,
            ending: false,
            left_at: now,
        }
    }

    /// The number of messages, without unclaimed ones.
    pub(crate) fn unhandled(&self) -> usize {
        let handling = self.handling.as_ref().is_some_and(|handling| handling.incoming.is_some());
        let here = self.handled.len() + usize::from(handling) + self.waiting.len();
        here.saturating_sub(self.unclaimed)
    }

    /// Their bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no message is queued, or being handled by the application.
    pub(super) fn is_idle(&self) -> bool {
        self.handling.is_none() && self.all().next().is_none()
    }

    /// When the oldest message arrived.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let claimed = |incoming: &&Incoming| incoming.claimed;
        let handled = self.handled.iter().map(|effect| &effect.incoming).find(claimed);
        let handling = || self.handling.as_ref()?.incoming.as_ref().filter(claimed);
        // What waits is claimed.
        handled.or_else(handling).or_else(|| self.waiting.front()).map(|incoming| incoming.at)
    }

    /// Oldest first.
    fn all(&self) -> impl Iterator<Item = &Incoming> {
        let handled = self.handled.iter().map(|effect| &effect.incoming);
        let handling = self.handling.iter().filter_map(|handling| handling.incoming.as_ref());
        handled.chain(handling).chain(&self.waiting)
    }

    // From the client.

    /// Accepts a message.
    pub(super) fn take(&mut self, incoming: Incoming) {
        self.taken = incoming.serial.unwrap_or(self.taken);
        self.bytes = self.bytes.saturating_add(incoming.message.len());
        if self.unclaimed == 0 {
            return self.waiting.push_back(incoming);
        }
        let handled = self.handled.iter_mut().map(|effect| &mut effect.incoming);
        let handling = self.handling.iter_mut().filter_map(|handling| handling.incoming.as_mut());
        let same = handled.chain(handling).find(|it| !it.claimed && it.is_same(&incoming));
        if let Some(same) = same {
            *same = incoming;
            self.unclaimed -= 1;
            return;
        }
        // Another process resumed the session, or the client has sent all its messages again.
        self.unclaimed = 0;
        self.handled.retain(|effect| effect.incoming.claimed);
        if let Some(handling) = &mut self.handling {
            handling.incoming.take_if(|incoming| !incoming.claimed);
        }
        self.waiting.push_back(incoming);
    }

    /// The session's next generation begins here, and everything up to `received` is stored.
    pub(super) fn begin_generation(&mut self, generation: u64, received: u64) {
        (self.generation, self.taken, self.committed) = (generation, received, received);
        self.ending = false;
        // The client sends them again if they have serials; those without come first.
        self.waiting.retain(|incoming| incoming.serial.is_none());
        let is_stored =
            |incoming: &Incoming| incoming.serial.is_some_and(|serial| serial <= received);
        let unclaim = |incoming: &mut Incoming| incoming.claimed = incoming.serial.is_none();
        if self.handled.front().is_some_and(|effect| effect.serial().is_some()) {
            // The store refuses requests of the generation before.
            self.storing = None;
        }
        self.handled.retain(|effect| !is_stored(&effect.incoming));
        self.handled.iter_mut().for_each(|effect| unclaim(&mut effect.incoming));
        if let Some(handling) = &mut self.handling {
            handling.incoming.take_if(|incoming| is_stored(incoming));
            handling.incoming.iter_mut().for_each(unclaim);
        }
        self.unclaimed = self.all().filter(|incoming| !incoming.claimed).count();
        let claimed = self.all().filter(|incoming| incoming.claimed);
        self.bytes = claimed.map(|incoming| incoming.message.len()).sum();
    }

    // To the application and the store.

    /// The next message for the application, if it has none.
    pub(super) fn hand_over(&mut self, id: DeliveryId) -> Option<&Incoming> {
        if self.handling.is_some() {
            return None;
        }
        let incoming = Some(self.waiting.pop_front()?);
        self.handling.insert(Handling { id, incoming }).incoming.as_ref()
    }

    pub(super) fn hand_back(&mut self, id: DeliveryId, result: Outcome) {
        let Some(handling) = self.handling.take_if(|handling| handling.id == id) else { return };
        if let Some(incoming) = handling.incoming {
            self.handled.push_back(Effect { incoming, result });
        }
    }

    /// The current delivery.
    pub(super) fn handling(&self) -> Option<DeliveryId> {
        self.handling.as_ref().map(|handling| handling.id)
    }

    /// The next effect for the store, or with the store.
    pub(super) fn effect(&self) -> Option<&Effect> {
        self.handled.front().filter(|effect| effect.incoming.claimed)
    }

    /// The store has no room for the next effect.
    pub(super) fn refuse_effect(&mut self, problem: Problem) {
        if let Some(effect) = self.handled.front_mut() {
            effect.result = Err(problem);
        }
    }

    pub(super) fn pop_effect(&mut self) -> Option<Effect> {
        let effect = self.handled.pop_front()?;
        self.bytes = self.bytes.saturating_sub(effect.incoming.message.len());
        Some(effect)
    }
}
