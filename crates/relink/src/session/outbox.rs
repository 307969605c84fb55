//! Outgoing messages: bounded, in order, each with a receipt under which its fate is reported.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::base::config::{ConfigError, MILLISECOND, YEAR, config, mib};
use crate::base::time::Instant;
use crate::policy::rate_limit::Rate;
use crate::session::event::MESSAGE;
use crate::session::outgoing::{Guarantee, Outgoing, Priority, Receipt};

config! {
    /// How many messages may wait, for how long, and what happens beyond that.
    pub struct OutboxConfig at "outbox.", then check_pace {
        /// Maximum number of messages queued.
        pub max_messages / with_max_messages: usize = 1_024, in 1..;
        /// Maximum bytes queued, without the protocol's overhead. Also the largest message
        /// accepted.
        pub max_bytes / with_max_bytes: usize = mib(16), in 1..;
        /// What to do with a message for which there is no room.
        pub overflow / with_overflow: Overflow = Overflow::Refuse;
        /// A message that has waited this long is dropped: a price from a minute ago is useless.
        pub ttl / with_ttl: Option<Duration> = None, in MILLISECOND..=YEAR;
        /// Whether messages are accepted while the link is not usable.
        pub while_down / with_while_down: OfflineSend = OfflineSend::Queue;
        /// What happens to a message whose transport died before the peer acknowledged it. More
        /// than at most once needs a protocol with acknowledgements.
        pub guarantee / with_guarantee: Guarantee = Guarantee::AtMostOnce;
        /// Maximum number of messages in flight without an acknowledgement; the others wait. They
        /// count against `max_messages` and `max_bytes` until they are acknowledged. Enough for a
        /// full pipe on a slow line, and few enough that a reconnect does not send a flood again.
        pub in_flight / with_in_flight: usize = 256, in 1..;
        /// How fast messages that piled up while the link was down are sent: a burst, then one per
        /// refill. `None`: as fast as the transport takes them.
        pub pace / with_pace: Option<Rate> = None;
        /// The largest single message, in bytes as the protocol writes it: for peers that do not
        /// announce a limit. If one does, as `relink.v1` servers do, the smaller limit holds.
        pub max_message / with_max_message: Option<usize> = None, in 1..;
    }
}

impl OutboxConfig {
    /// The maximum memory of messages that are returned in events, by
    /// [`Event::weight`](super::Event::weight): as much as a full outbox.
    #[must_use]
    pub const fn max_weight(&self) -> usize {
        self.max_bytes.saturating_add(self.max_messages.saturating_mul(MESSAGE))
    }

    fn check_pace(&self) -> Result<(), ConfigError> {
        self.pace.map_or(Ok(()), |pace| {
            pace.validate(["outbox.pace.burst", "outbox.pace.refill"], u32::MAX, MILLISECOND)
        })
    }
}

/// What to do with a message for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Overflow {
    /// It is returned to the caller.
    #[default]
    Refuse,
    /// The oldest ones are dropped for it, the least important first. If that would not be enough,
    /// since messages in flight or of higher priority stay, it is returned and nothing is dropped.
    DropOldest,
    /// It is dropped, and that is reported under its receipt.
    DropNewest,
}

/// What happens to a message while the link is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum OfflineSend {
    /// It waits, and goes out in order when the link is usable.
    #[default]
    Queue,
    /// It is returned to the caller.
    Refuse,
    /// It waits while the link reconnects; before the link was ever usable, it is returned.
    QueueAfterLoss,
}

/// A message that waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) receipt: Receipt,
    pub(crate) outgoing: Outgoing,
    expires_at: Option<Instant>,
}

/// A message that was sent, and waits for its acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InFlight {
    pub(crate) serial: u64,
    pub(crate) receipt: Receipt,
    pub(crate) outgoing: Outgoing,
    /// The bytes of its largest frame, as it last went out.
    pub(crate) size: usize,
}

/// The messages of one priority, in the order in which they were sent.
#[derive(Debug, Clone)]
struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Queue {
    const EMPTY: Self = Self { entries: VecDeque::new(), bytes: 0 };

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.outgoing.message.len();
        self.entries.push_back(entry);
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.outgoing.message.len();
        Some(entry)
    }
}

/// The messages that wait to go out, by priority and then in the order in which they were sent; and
/// those that went out and wait for an acknowledgement, if there are any.
#[derive(Debug, Clone)]
pub struct Outbox {
    config: Arc<OutboxConfig>,
    waiting: [Queue; Priority::ALL.len()],
    in_flight: VecDeque<InFlight>,
    /// The number of those in flight that were sent over the current transport; the others are sent
    /// again before anything new.
    on_transport: usize,
    bytes_in_flight: usize,
    last: u64,
    /// The serial of the last message that went out for the first time.
    last_serial: u64,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(config: OutboxConfig) -> Self {
        Self {
            config: Arc::new(config),
            waiting: [Queue::EMPTY; Priority::ALL.len()],
            in_flight: VecDeque::new(),
            on_transport: 0,
            bytes_in_flight: 0,
            last: 0,
            last_serial: 0,
        }
    }

    /// How many messages wait to go out for the first time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.iter().map(|queue| queue.entries.len()).sum()
    }

    /// Whether none waits to go out for the first time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.iter().all(|queue| queue.entries.is_empty())
    }

    /// How many messages went out and wait for an acknowledgement.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The bytes of both kinds together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes_in_flight + self.waiting.iter().map(|queue| queue.bytes).sum::<usize>()
    }

    /// The configuration, to share it.
    pub(super) const fn config_mut(&mut self) -> &mut Arc<OutboxConfig> {
        &mut self.config
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &OutboxConfig {
        &self.config
    }

    /// Whether there is room for a message of this size.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.fits(bytes, self.waiting.len())
    }

    /// Returns true if it would fit after dropping every queued message of equal or lower priority.
    pub(crate) fn can_make_room(&self, bytes: usize, priority: Priority) -> bool {
        self.fits(bytes, priority as usize)
    }

    /// Whether there is room beside the messages in flight and those of the first `queues`
    /// priorities.
    fn fits(&self, bytes: usize, queues: usize) -> bool {
        let (mut messages, mut taken) = (self.in_flight.len(), self.bytes_in_flight);
        for queue in self.waiting.iter().take(queues) {
            messages += queue.entries.len();
            taken += queue.bytes;
        }
        messages < self.config.max_messages && bytes <= self.config.max_bytes.saturating_sub(taken)
    }

    // Waiting messages.

    /// Appends a message. The caller must have checked for room.
    pub(crate) fn push(&mut self, outgoing: Outgoing, now: Instant) -> Receipt {
        let receipt = self.next_receipt();
        let expires_at = self.config.ttl.map(|ttl| now + ttl);
        let queue = outgoing.priority as usize;
        self.waiting[queue].push(Entry { receipt, outgoing, expires_at });
        receipt
    }

    /// A receipt for a message that is dropped at once.
    pub(crate) fn next_receipt(&mut self) -> Receipt {
        self.last += 1;
        Receipt(self.last)
    }

    /// The last receipt that was assigned.
    pub(crate) const fn last_receipt(&self) -> Receipt {
        Receipt(self.last)
    }

    /// The next message to go out for the first time.
    pub(crate) fn next(&self) -> Option<Receipt> {
        self.waiting.iter().find_map(|queue| queue.entries.front()).map(|entry| entry.receipt)
    }

    /// Removes it.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        self.waiting.iter_mut().find_map(Queue::pop)
    }

    /// Removes the message that is dropped first: the oldest of the lowest priority.
    pub(crate) fn pop_least(&mut self) -> Option<Entry> {
        self.waiting.iter_mut().rev().find_map(Queue::pop)
    }

    /// Removes the oldest message of any priority.
    pub(crate) fn pop_oldest(&mut self) -> Option<Entry> {
        self.pop_oldest_if(|_| true)
    }

    fn pop_oldest_if(&mut self, is_meant: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let fronts =
            self.waiting.iter_mut().filter(|queue| queue.entries.front().is_some_and(&is_meant));
        fronts.min_by_key(|queue| queue.entries.front().map(|entry| entry.receipt))?.pop()
    }

    /// Removes a message that has expired. All have the same time to live, so the oldest of each
    /// priority expires first.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Entry> {
        self.pop_oldest_if(|entry| entry.expires_at.is_some_and(|at| at <= now))
    }

    /// When the next message expires.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let expiry = |queue: &Queue| queue.entries.front().and_then(|entry| entry.expires_at);
        self.waiting.iter().filter_map(expiry).min()
    }

    pub(crate) fn shrink(&mut self) {
        self.waiting.iter_mut().for_each(|queue| queue.entries.shrink_to_fit());
        self.in_flight.shrink_to_fit();
    }

    // Messages in flight.

    /// Whether one more may be in flight.
    pub(crate) fn has_window(&self) -> bool {
        self.in_flight.len() < self.config.in_flight
    }

    /// Assigns the next serial to a message that is sent now, and keeps it until it is
    /// acknowledged.
    pub(crate) fn put_in_flight(&mut self, entry: Entry) -> &InFlight {
        self.last_serial = self.last_serial.saturating_add(1);
        self.bytes_in_flight += entry.outgoing.message.len();
        self.on_transport += 1;
        let Entry { receipt, outgoing, .. } = entry;
        let at = self.in_flight.len();
        self.in_flight.push_back(InFlight { serial: self.last_serial, receipt, outgoing, size: 0 });
        &self.in_flight[at]
    }

    /// The next message in flight to send again over a new transport.
    pub(crate) fn next_resend(&mut self) -> Option<&InFlight> {
        let again = self.in_flight.get(self.on_transport)?;
        self.on_transport += 1;
        Some(again)
    }

    /// Records the size of the last message sent over the current transport.
    pub(crate) fn record_sent_size(&mut self, size: usize) {
        let last = self.on_transport.checked_sub(1).and_then(|last| self.in_flight.get_mut(last));
        if let Some(message) = last {
            message.size = size;
        }
    }

    /// The number of messages in flight to send again.
    pub(crate) fn to_resend(&self) -> usize {
        self.in_flight.len() - self.on_transport
    }

    /// Whether there is a message to send, for the first time or again.
    pub(crate) fn has_sendable(&self) -> bool {
        self.on_transport < self.in_flight.len() || !self.is_empty()
    }

    /// Whether everything that was sent went out and was acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.is_empty() && self.in_flight.is_empty()
    }

    /// The serial of the last message that was sent over the current transport, or did not have to
    /// be: a peer with a lower one has lost some.
    pub(crate) fn last_on_transport(&self) -> u64 {
        self.last_serial - self.to_resend() as u64
    }

    /// Whether a message with this serial was ever sent: no other can be acknowledged.
    pub(crate) const fn was_sent(&self, serial: u64) -> bool {
        serial <= self.last_serial
    }

    /// Removes the oldest message in flight, if this serial acknowledges it.
    pub(crate) fn acknowledge(&mut self, serial: u64) -> Option<InFlight> {
        if self.in_flight.front()?.serial > serial {
            return None;
        }
        self.pop_in_flight()
    }

    /// Removes the oldest message in flight, whose fate will not be known.
    pub(crate) fn pop_in_flight(&mut self) -> Option<InFlight> {
        let landed = self.in_flight.pop_front()?;
        self.bytes_in_flight -= landed.outgoing.message.len();
        self.on_transport = self.on_transport.saturating_sub(1);
        Some(landed)
    }

    /// Starts with a new transport, over which nothing was sent yet.
    pub(crate) fn new_transport(&mut self) {
        self.on_transport = 0;
    }

    /// Starts or resumes a session at a peer that has received everything up to this serial.
    /// Returns false if that cannot be the session that this side knows; it always can if nothing
    /// was sent in it yet.
    pub(crate) fn resume_from(&mut self, received: u64) -> bool {
        if self.last_serial == 0 {
            self.last_serial = received;
        }
        let acknowledged = self.last_serial - self.in_flight.len() as u64;
        (acknowledged..=self.last_serial).contains(&received)
    }

    /// Removes those in flight that are refused. The others are renumbered, since serials have no
    /// holes: allowed only while none of them was sent over the current transport.
    pub(crate) fn remove_in_flight(
        &mut self,
        mut is_refused: impl FnMut(&InFlight) -> bool,
    ) -> Vec<InFlight> {
        let mut refused = Vec::new();
        self.last_serial -= self.in_flight.len() as u64;
        for mut message in core::mem::take(&mut self.in_flight) {
            message.serial = self.last_serial.saturating_add(1);
            if is_refused(&message) {
                self.bytes_in_flight -= message.outgoing.message.len();
                refused.push(message);
            } else {
                self.last_serial = message.serial;
                self.in_flight.push_back(message);
            }
        }
        refused
    }

    /// Those in flight that were sent over the current transport.
    pub(crate) fn on_transport(&self) -> impl Iterator<Item = &InFlight> {
        self.in_flight.iter().take(self.on_transport)
    }

    /// The serial of a message that is sent now, if none overtakes it.
    pub(crate) fn next_serial(&self) -> u64 {
        self.last_serial.saturating_add(self.len() as u64).saturating_add(1)
    }

    /// The next message to send for the first time, and its serial.
    pub(crate) fn peek(&self) -> Option<(&Outgoing, u64)> {
        let entry = self.waiting.iter().find_map(|queue| queue.entries.front())?;
        Some((&entry.outgoing, self.last_serial.saturating_add(1)))
    }

    /// The session is over: serials start over, and nothing is in flight.
    pub(crate) fn reset(&mut self) {
        self.last_serial = 0;
    }
}
