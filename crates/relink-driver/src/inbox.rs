//! Events that wait for the application: messages, bounded by back-pressure on the peer; all
//! others, bounded by dropping the oldest.

use std::collections::VecDeque;

use relink::internal::{config, kib};
use relink::{Event, Message};

/// The maximum number of events that are not messages. A link that fails every 10 s emits about
/// four of them each time, so that this lasts for half an hour.
const MAX_NOTICES: usize = 1024;

/// The overhead of a message that is read ahead, in bytes.
const MESSAGE: usize = 64;

config! {
    /// The limits on events that wait for the application. Beyond either bound the inbox is full:
    /// the driver reads only as far as it may look ahead, then stops, which slows the peer. One
    /// read is always taken whole, so both bounds may be exceeded by `look_ahead` and 128 KiB of
    /// messages, or by one message of the largest size.
    pub struct InboxLimits at "inbox." {
        /// Maximum number of messages. 0 counts as 1.
        pub max_messages / with_max_messages: usize = 1_024, in 0..;
        /// Maximum bytes of messages. 0 counts as 1. The default is what a processor's caches hold
        /// until the application takes it: more makes each large message slower, and what does not
        /// fit waits in the buffers of the system.
        pub max_bytes / with_max_bytes: usize = kib(256), in 0..;
        /// How far the driver reads while the inbox is full, in bytes of messages, each with 64
        /// bytes more than its own. It finds what follows the messages: pings to answer, pongs, the
        /// close frame. What follows later waits until the application takes a message; 0 reads
        /// nothing.
        pub look_ahead / with_look_ahead: usize = kib(256), in 0..;
    }
}

impl InboxLimits {
    /// These limits on messages, and the default look ahead.
    #[must_use]
    pub const fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self { max_messages, max_bytes, look_ahead: kib(256) }
    }
}

/// Events, in order.
pub(crate) struct Inbox {
    events: VecDeque<Event>,
    messages: usize,
    bytes: usize,
    /// What was read while it was full, as [`InboxLimits::look_ahead`] counts.
    ahead: usize,
    /// The weight of returned messages.
    handed_back: usize,
    max_handed_back: usize,
    /// The number of events dropped since the application last took one.
    missed: u64,
    limits: InboxLimits,
    /// The receiver is gone.
    abandoned: bool,
}

impl Inbox {
    /// `outbox`: the maximum weight of the outbox, so that all its messages can be returned when
    /// the link ends.
    pub(crate) fn new(limits: InboxLimits, outbox: usize) -> Self {
        // With a bound of zero, the inbox would always be full.
        let limits = InboxLimits {
            max_messages: limits.max_messages.max(1),
            max_bytes: limits.max_bytes.max(1),
            ..limits
        };
        Self {
            events: VecDeque::new(),
            messages: 0,
            bytes: 0,
            ahead: 0,
            handed_back: 0,
            max_handed_back: limits.max_bytes.saturating_add(outbox),
            missed: 0,
            limits,
            abandoned: false,
        }
    }

    /// Keeps an event. Returns it if the receiver is gone.
    #[inline]
    pub(crate) fn push(&mut self, event: Event) -> Result<(), Event> {
        if self.abandoned {
            return Err(event);
        }
        let Some(message) = message_of(&event) else {
            self.push_notice(event);
            return Ok(());
        };
        if self.is_full() {
            self.ahead += message.len() + MESSAGE;
        }
        self.messages += 1;
        self.bytes += message.len();
        self.events.push_back(event);
        Ok(())
    }

    fn push_notice(&mut self, mut event: Event) {
        if let Some(last) = self.events.back_mut() {
            event = match last.join(event) {
                Ok(weight) => {
                    self.handed_back += weight;
                    return self.bound();
                }
                Err(event) => event,
            };
        }
        self.handed_back += event.weight();
        self.events.push_back(event);
        self.bound();
    }

    /// Drops returned messages first, the oldest before the others, but keeps their receipts; then
    /// whole events.
    fn bound(&mut self) {
        while self.handed_back > self.max_handed_back {
            let freed = self.events.iter_mut().map(Event::let_go).find(|freed| *freed > 0);
            let Some(freed) = freed else { break };
            self.handed_back -= freed;
        }
        while self.events.len() - self.messages > MAX_NOTICES
            || self.handed_back > self.max_handed_back
        {
            self.forget_oldest_notice();
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Event> {
        if self.missed > 0 {
            return Some(Event::Missed { count: std::mem::take(&mut self.missed) });
        }
        let event = self.events.pop_front()?;
        let Some(message) = message_of(&event) else {
            self.handed_back -= event.weight();
            return Some(event);
        };
        self.messages -= 1;
        self.bytes -= message.len();
        if self.ahead > 0 {
            let left = self.ahead.saturating_sub(message.len() + MESSAGE);
            self.ahead = if self.is_full() { left } else { 0 };
        }
        Some(event)
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.messages >= self.limits.max_messages || self.bytes >= self.limits.max_bytes
    }

    /// Whether the inbox is full and the look-ahead used up.
    pub(crate) const fn is_shut(&self) -> bool {
        self.is_full() && self.ahead >= self.limits.look_ahead
    }

    /// Gives back memory in which nothing is.
    pub(crate) fn shrink(&mut self) {
        self.events.shrink_to_fit();
    }

    /// The receiver is gone: drops what waits, and keeps no further events.
    pub(crate) fn abandon(&mut self) {
        *self = Self { abandoned: true, ..Self::new(self.limits, 0) };
    }

    fn forget_oldest_notice(&mut self) {
        let oldest = self.events.iter().position(|event| message_of(event).is_none());
        let forgotten = oldest.and_then(|oldest| self.events.remove(oldest));
        self.handed_back -= forgotten.as_ref().map_or(0, Event::weight);
        self.missed += 1;
    }
}

/// The message of an event.
#[inline]
pub(crate) fn message_of(event: &Event) -> Option<&Message> {
    if let Event::Message(message) | Event::Publication { message, .. } = event {
        Some(message)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use relink::Receipt;

    use super::*;

    #[test]
    fn sent_messages_that_nobody_asks_about_take_no_room() {
        let mut inbox = Inbox::new(InboxLimits::default(), 0);
        for number in 1..=100_000 {
            inbox.push(Event::Sent { first: Receipt(number), last: Receipt(number) }).unwrap();
        }
        assert_eq!(inbox.pop(), Some(Event::Sent { first: Receipt(1), last: Receipt(100_000) }));
        assert_eq!(inbox.pop(), None);
    }

    #[test]
    fn events_are_bounded_and_messages_outlive_them() {
        let mut inbox = Inbox::new(InboxLimits::default(), 0);
        inbox.push(Event::Message(Message::from("kept"))).unwrap();
        for _ in 0..MAX_NOTICES + 10 {
            inbox.push(Event::Connected { is_reconnect: true }).unwrap();
        }
        assert_eq!(inbox.events.len(), MAX_NOTICES + 1);
        assert_eq!(inbox.pop(), Some(Event::Missed { count: 10 }));
        assert_eq!(inbox.pop(), Some(Event::Message(Message::from("kept"))));
        assert_eq!(inbox.pop(), Some(Event::Connected { is_reconnect: true }));
    }

    #[test]
    fn messages_that_are_handed_back_are_bounded_and_their_receipts_are_told_all_the_same() {
        let mut inbox = Inbox::new(InboxLimits::new(10, 400), 600);
        for number in 1..=100 {
            let (receipt, why) = (Receipt(number * 2), relink::session::DropReason::Overflow);
            let messages = vec![vec![0; 300].into()];
            inbox.push(Event::Dropped { first: receipt, last: receipt, why, messages }).unwrap();
        }
        let told: Vec<_> = std::iter::from_fn(|| inbox.pop()).collect();
        assert_eq!(told.len(), 100);
        let kept = told.iter().filter(|event| event.weight() > 0).count();
        assert_eq!((kept, told[99].weight(), inbox.handed_back), (2, 300 + MESSAGE, 0));
    }

    #[test]
    fn a_million_messages_that_expire_together_are_told_in_one_event() {
        let mut inbox = Inbox::new(InboxLimits::new(10, 400), 600);
        for number in 1..=1_000_000 {
            let (receipt, why) = (Receipt(number), relink::session::DropReason::Expired);
            let messages = vec![vec![0; 8].into()];
            inbox.push(Event::Dropped { first: receipt, last: receipt, why, messages }).unwrap();
        }
        let Some(Event::Dropped { first, last, messages, .. }) = inbox.pop() else {
            panic!("dropped")
        };
        assert_eq!((first, last, inbox.pop()), (Receipt(1), Receipt(1_000_000), None));
        assert!(messages.len() < 20, "the first ones, or none: {}", messages.len());
    }

    #[test]
    fn a_full_inbox_looks_ahead_for_a_bounded_number_of_bytes() {
        let limits = InboxLimits::new(1, 1000).with_look_ahead(3 * MESSAGE);
        let mut inbox = Inbox::new(limits, 0);
        let mut read = 0;
        while !inbox.is_shut() {
            inbox.push(Event::Message(Message::from(""))).unwrap();
            read += 1;
        }
        assert_eq!(read, 1 + 3);
        // Taking one message makes room for one, not for the whole look-ahead.
        inbox.pop();
        assert!(!inbox.is_shut());
        inbox.push(Event::Message(Message::from(""))).unwrap();
        assert!(inbox.is_shut());
        for _ in 0..4 {
            inbox.pop();
        }
        assert!(!inbox.is_full() && inbox.ahead == 0);

        let mut strict = Inbox::new(limits.with_look_ahead(0), 0);
        strict.push(Event::Message(Message::from(""))).unwrap();
        assert!(strict.is_shut());
    }

    #[test]
    fn messages_fill_it_by_count_or_by_bytes_and_make_room_again() {
        let mut inbox = Inbox::new(InboxLimits::new(2, 10), 0);
        inbox.push(Event::Message(Message::from("1234"))).unwrap();
        assert!(!inbox.is_full());
        inbox.push(Event::Message(Message::from("5"))).unwrap();
        assert!(inbox.is_full());
        inbox.pop();
        assert!(!inbox.is_full());
        inbox.push(Event::Message(Message::from("0123456789"))).unwrap();
        assert!(inbox.is_full());
        inbox.abandon();
        assert!(!inbox.is_full());
        assert!(inbox.push(Event::Message(Message::from("late"))).is_err());
        assert_eq!(inbox.pop(), None);
    }
}
