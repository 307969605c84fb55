//! What goes out: from the application into the outbox, from there to the transport, or to its end.

use rand_core::Rng;

use super::outbox::Entry;
use super::{
    Accepted, Command, DropReason, Event, Frame, Message, Overflow, Protocol, Receipt, Refused,
    RefusedReason, Session, SessionAction, WhileDown,
};
use crate::link::{Input, State};
use crate::stats::count;
use crate::time::Instant;

impl<P: Protocol, R: Rng> Session<P, R> {
    /// Takes a message, to be sent as soon as the link is usable; order is kept.
    ///
    /// # Errors
    ///
    /// The message comes back where there is no room for it, where it is larger than the outbox, where the link is down
    /// and told to refuse, and where the link is closing or closed.
    pub fn send(&mut self, message: impl Into<Message>, now: Instant) -> Result<Accepted, Refused> {
        let now = now.max(self.link.now());
        let message = message.into();
        if let Err(reason) = self.may_send(&message) {
            count(&mut self.link.stats_mut().messages_refused);
            return Err(Refused { message, reason });
        }
        let queued = !self.link.state().is_usable();
        let dropped_itself =
            !self.outbox.has_room(message.len()) && self.outbox.config().overflow == Overflow::DropNewest;
        if dropped_itself {
            let receipt = self.outbox.next_receipt();
            self.drop_message(receipt, message, DropReason::Overflow);
            return Ok(Accepted { receipt, queued });
        }
        while !self.outbox.has_room(message.len()) {
            let Some(Entry { receipt, message, .. }) = self.outbox.pop() else { break };
            self.drop_message(receipt, message, DropReason::Overflow);
        }
        let receipt = self.outbox.push(message, now);
        self.note_queue();
        Ok(Accepted { receipt, queued })
    }

    /// The next frame for the transport. Ask only while the transport has room: what is taken counts as sent.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        loop {
            if let Some(frame) = self.control.pop_front() {
                return Some(frame);
            }
            let flushing = self.link.is_flushing();
            if !self.link.state().is_usable() && !flushing {
                return None;
            }
            self.expire_messages(now);
            let Some(entry) = self.outbox.pop() else {
                if !flushing {
                    return None;
                }
                self.drive(Input::Flushed, now);
                continue;
            };
            self.sent(&entry);
            self.frames.clear();
            self.protocol.command(Command::Data(entry.message), &mut self.frames);
            self.control.extend(self.frames.drain(..));
        }
    }

    /// Whether a message would be taken now, without sending it.
    ///
    /// # Errors
    ///
    /// Why it would not.
    pub fn may_send(&self, message: &Message) -> Result<(), RefusedReason> {
        let config = self.outbox.config();
        match self.link.state() {
            State::Closing | State::Closed(_) => Err(RefusedReason::Closed),
            State::Idle | State::Connecting(_) | State::Reconnecting(_)
                if config.while_down == WhileDown::Refuse =>
            {
                Err(RefusedReason::Down)
            }
            State::Idle | State::Connecting(_) | State::Reconnecting(_) | State::Connected => {
                if message.len() > config.max_bytes {
                    return Err(RefusedReason::TooBig);
                }
                let refuse = config.overflow == Overflow::Refuse && !self.outbox.has_room(message.len());
                if refuse { Err(RefusedReason::Full) } else { Ok(()) }
            }
        }
    }

    pub(super) fn expire_messages(&mut self, now: Instant) {
        let now = now.max(self.link.now());
        while let Some(Entry { receipt, message, .. }) = self.outbox.pop_expired(now) {
            self.drop_message(receipt, message, DropReason::Expired);
        }
        self.note_queue();
    }

    pub(super) fn drop_message(&mut self, receipt: Receipt, message: Message, why: DropReason) {
        count(&mut self.link.stats_mut().messages_dropped);
        self.tell(Event::Dropped { receipt, why, message });
    }

    fn sent(&mut self, entry: &Entry) {
        let stats = self.link.stats_mut();
        count(&mut stats.messages_sent);
        stats.bytes_sent = stats.bytes_sent.saturating_add(entry.message.len() as u64);
        self.note_queue();
        // Neighbours share one event: a batch of a thousand tells of itself once.
        match self.actions.back_mut() {
            Some(SessionAction::Event(Event::Sent { last, .. })) if last.0 + 1 == entry.receipt.0 => {
                *last = entry.receipt;
            }
            _ => self.tell(Event::Sent { first: entry.receipt, last: entry.receipt }),
        }
    }

    pub(super) fn note_queue(&mut self) {
        let queued = u32::try_from(self.outbox.len()).unwrap_or(u32::MAX);
        let stats = self.link.stats_mut();
        stats.queued = queued;
        stats.queued_peak = stats.queued_peak.max(queued);
    }
}
