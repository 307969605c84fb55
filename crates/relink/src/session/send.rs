//! Outbound: messages from the application into the outbox, and from there to the transport or to
//! their end.

use alloc::vec;

use rand_core::Rng;

use super::outbox::{Entry, InFlight};
use super::oversize::message_len;
use super::{
    Channel, ClientFrame, DropReason, Event, Frame, Given, Guarantee, Message, OfflineSend, Outbox,
    Outgoing, Overflow, Priority, Protocol, Receipt, SendError, SendErrorKind, SendReceipt,
    Session, SessionAction, SizeLimit,
};
use crate::base::stats::count;
use crate::base::time::Instant;
use crate::link::{Input, State};
use crate::policy::rate_limit::{Bucket, Rate};

/// The messages that piled up while the link was down, and how fast they may be sent now.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    last: Receipt,
    bucket: Option<(Rate, Bucket)>,
}

impl Backlog {
    pub(super) fn begin(&mut self, outbox: &Outbox) {
        self.last = outbox.last_receipt();
        self.bucket = outbox.config().pace.map(|pace| (pace, Bucket::full(pace)));
    }

    /// Whether the next message is part of the backlog. A message that is sent again is.
    fn is_next(&self, outbox: &Outbox) -> bool {
        outbox.to_resend() > 0 || outbox.next().is_some_and(|receipt| receipt <= self.last)
    }

    /// When the next message may be sent; `None` if that is now.
    fn held_until(&self, outbox: &Outbox, now: Instant) -> Option<Instant> {
        let (pace, bucket) = self.bucket.filter(|_| self.is_next(outbox))?;
        Some(bucket.next(pace, now)).filter(|at| *at > now)
    }

    /// Records that the next message is sent now.
    fn goes(&mut self, outbox: &Outbox, now: Instant) {
        let is_next = self.is_next(outbox);
        if let Some((pace, bucket)) = self.bucket.as_mut().filter(|_| is_next) {
            bucket.take(*pace, now);
        }
    }
}

impl<P: Protocol, R: Rng> Session<P, R> {
    /// Queues a message, to be sent as soon as the link is usable; order is kept within one
    /// priority.
    ///
    /// # Errors
    ///
    /// Returns the message if there is no room for it, if it is larger than the outbox or the peer
    /// allows, if the peer cannot read the name of its channel, if the link is down and configured
    /// to refuse, or if the link is closing or closed. The peer's limit is known after its first
    /// welcome; a message that turns out to be too large then is dropped, and reported under its
    /// receipt.
    pub fn send(
        &mut self,
        message: impl Into<Outgoing>,
        now: Instant,
    ) -> Result<SendReceipt, SendError> {
        self.offer(message.into(), now).map_err(|(message, reason)| self.refuse(message, reason))
    }

    /// Queues a message as [`send`](Self::send) does. A refusal is not counted: for drivers, whose
    /// callers wait for room.
    ///
    /// # Errors
    ///
    /// Returns the message, and the reason.
    pub fn offer(
        &mut self,
        outgoing: Outgoing,
        now: Instant,
    ) -> Result<SendReceipt, (Outgoing, SendErrorKind)> {
        let now = now.max(self.link.now());
        let Outgoing { message, channel, priority } = &outgoing;
        if let Err(reason) = self.takes(message, channel.as_ref(), *priority) {
            return Err((outgoing, reason));
        }
        let queued = !self.link.state().is_usable();
        let bytes = outgoing.message.len();
        match self.outbox.config().overflow {
            Overflow::DropNewest if !self.outbox.has_room(bytes) => {
                let receipt = self.outbox.next_receipt();
                self.drop_message(receipt, outgoing, DropReason::Overflow);
                return Ok(SendReceipt { receipt, queued });
            }
            Overflow::DropOldest => {
                while !self.outbox.has_room(bytes) {
                    let Some(Entry { receipt, outgoing: given_up, .. }) = self.outbox.pop_least()
                    else {
                        break;
                    };
                    self.drop_message(receipt, given_up, DropReason::Overflow);
                }
            }
            Overflow::DropNewest | Overflow::Refuse => {}
        }
        let receipt = self.outbox.push(outgoing, now);
        self.report_queue();
        Ok(SendReceipt { receipt, queued })
    }

    /// Sends a message on the short way, if nothing is before it: returns the message as the
    /// transport sends it, which must have room. It counts as sent.
    ///
    /// # Errors
    ///
    /// Returns the message if it has to go the long way, by [`send`](Self::send): the link is not
    /// usable, others wait, it may be too large, or it goes out in the protocol's words.
    #[inline]
    pub fn send_at_once(&mut self, message: Outgoing) -> Result<(SendReceipt, Message), Outgoing> {
        if !self.goes_at_once(&message) {
            return Err(message);
        }
        let receipt = self.outbox.next_receipt();
        self.send_unchanged(receipt, &message.message);
        Ok((SendReceipt { receipt, queued: false }, message.message))
    }

    /// Records a message that is sent as it is.
    fn send_unchanged(&mut self, receipt: Receipt, message: &Message) {
        self.sent(receipt, message.len());
        self.oversize.record_unacknowledged(receipt, message.len());
        self.oversize.record_message(message.len());
    }

    fn goes_at_once(&self, Outgoing { message, channel, .. }: &Outgoing) -> bool {
        self.link.state().is_usable()
            && self.control.is_empty()
            && self.outbox.is_done()
            && self.passes_unchanged()
            && channel.is_none()
            && !self.is_closing()
            && !self.channels.is_asking()
            && message.len() <= self.outbox.config().max_bytes
    }

    /// Whether a message that is sent is a frame as it is, whenever there is room.
    fn passes_unchanged(&self) -> bool {
        self.is_transparent && self.backlog.bucket.is_none() && self.size_limit().is_none()
    }

    /// Returns the next frame for the transport. Call it only while the transport has room: what is
    /// returned counts as sent.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        loop {
            if let Some(frame) = self.control.pop_front() {
                self.oversize.record_frame(&frame);
                return Some(frame);
            }
            let flushing = self.link.is_flushing();
            if !self.link.state().is_usable() && !flushing {
                return None;
            }
            if self.channels.is_asking() && self.drive_subscriptions(now.max(self.link.now())) {
                continue;
            }
            self.expire_messages(now);
            if self.outbox.has_sendable() {
                if self.passes_unchanged() {
                    let Some(Entry { receipt, outgoing, .. }) = self.outbox.pop() else { continue };
                    self.send_unchanged(receipt, &outgoing.message);
                    self.report_queue();
                    return Some(Frame::Message(outgoing.message));
                }
                if self.transmit_message(now) {
                    continue;
                }
            }
            if !flushing || !self.outbox.is_done() {
                return None;
            }
            self.drive(Input::Flushed, now);
        }
    }

    /// Checks whether a message of normal priority would be accepted now, without sending it.
    ///
    /// # Errors
    ///
    /// The reason why it would be rejected.
    pub fn may_send(
        &self,
        Outgoing { message, channel, .. }: &Outgoing,
    ) -> Result<(), SendErrorKind> {
        self.takes(message, channel.as_ref(), Priority::Normal)
    }

    fn takes(
        &self,
        message: &Message,
        channel: Option<&Channel>,
        priority: Priority,
    ) -> Result<(), SendErrorKind> {
        if self.is_closing() {
            return Err(SendErrorKind::Closed);
        }
        if let Some(channel) = channel {
            self.protocol.check(Given::Channel(channel)).map_err(SendErrorKind::BadChannel)?;
        }
        let config = self.outbox.config();
        let state = self.link.state();
        let queues = match config.while_down {
            OfflineSend::Queue => true,
            OfflineSend::Refuse => false,
            OfflineSend::QueueAfterLoss => matches!(state, State::Reconnecting(_)),
        };
        if !queues && !state.is_usable() {
            return Err(SendErrorKind::Down);
        }
        let bytes = message.len();
        if bytes > config.max_bytes {
            let (size, limit) = (bytes, config.max_bytes);
            return Err(SendErrorKind::TooLarge { size, limit, by: SizeLimit::Outbox });
        }
        self.fits(message, channel, self.outbox.next_serial())?;
        let room = match config.overflow {
            Overflow::Refuse => self.outbox.has_room(bytes),
            Overflow::DropOldest => self.outbox.can_make_room(bytes, priority),
            Overflow::DropNewest => true,
        };
        if room { Ok(()) } else { Err(SendErrorKind::Full) }
    }

    /// Encodes the next message: first those to send again, then those that wait.
    fn transmit_message(&mut self, now: Instant) -> bool {
        let now = now.max(self.link.now());
        let paced = self.backlog.bucket.is_some();
        if paced && self.backlog.held_until(&self.outbox, now).is_some() {
            return false;
        }
        let counted = self.outbox.config().guarantee == Guarantee::AtLeastOnce;
        let may_go = self.outbox.to_resend() > 0 || !counted || self.outbox.has_window();
        if !may_go {
            return false;
        }
        if self.outbox.to_resend() == 0 {
            self.drop_what_does_not_fit();
        }
        if paced {
            self.backlog.goes(&self.outbox, now);
        }
        let (frame, unacknowledged) = if let Some(again) = self.outbox.next_resend() {
            (message_frame(again), None)
        } else {
            let Some(entry) = self.outbox.pop() else { return false };
            self.sent(entry.receipt, entry.outgoing.message.len());
            if counted {
                (message_frame(self.outbox.put_in_flight(entry)), None)
            } else {
                let Entry { receipt, outgoing: Outgoing { message, channel, .. }, .. } = entry;
                (ClientFrame::Message { serial: None, channel, payload: message }, Some(receipt))
            }
        };
        self.report_queue();
        self.frames.clear();
        self.protocol.send(frame, &mut self.frames, now);
        let size = self.frames.iter().map(message_len).max().unwrap_or(0);
        match unacknowledged {
            Some(receipt) => self.oversize.record_unacknowledged(receipt, size),
            None => self.outbox.record_sent_size(size),
        }
        self.control.extend(self.frames.drain(..));
        true
    }

    /// When the pace allows the next message of the backlog.
    pub(super) fn next_of_backlog(&self) -> Option<Instant> {
        let held = self.backlog.held_until(&self.outbox, self.link.now())?;
        (self.link.state().is_usable() || self.link.is_flushing()).then_some(held)
    }

    pub(super) fn expire_messages(&mut self, now: Instant) {
        if self.outbox.config().ttl.is_none() {
            return;
        }
        let now = now.max(self.link.now());
        while let Some(Entry { receipt, outgoing, .. }) = self.outbox.pop_expired(now) {
            self.drop_message(receipt, outgoing, DropReason::Expired);
            self.report_queue();
        }
    }

    /// The link is closed: nothing more will be sent, and what was sent may be in doubt.
    pub(super) fn end_of_messages(&mut self) {
        self.forget_session();
        while let Some(Entry { receipt, outgoing, .. }) = self.outbox.pop_oldest() {
            self.drop_message(receipt, outgoing, DropReason::Closed);
        }
        self.report_queue();
    }

    pub(super) fn drop_message(&mut self, receipt: Receipt, outgoing: Outgoing, why: DropReason) {
        count(&mut self.link.stats_mut().messages_dropped);
        self.tell_fate(Event::Dropped {
            first: receipt,
            last: receipt,
            why,
            messages: vec![outgoing],
        });
    }

    /// Emits the fate of a message. Adjacent messages share one event, so that a million that
    /// expire together are reported; the messages in it stay within bounds until they are taken.
    pub(super) fn tell_fate(&mut self, mut event: Event) {
        if self.handed_back.saturating_add(event.weight()) > self.outbox.config().max_weight() {
            event.let_go();
        }
        let weight = event.weight();
        let joined = match self.actions.back_mut() {
            Some(SessionAction::Event(last)) => last.join(event),
            _ => Err(event),
        };
        self.handed_back += match joined {
            Ok(kept) => kept,
            Err(event) => {
                self.emit(event);
                weight
            }
        };
    }

    /// Returns a message and counts it as refused: for drivers, which know which other callers wait
    /// for room.
    pub fn refuse(&mut self, outgoing: Outgoing, reason: SendErrorKind) -> SendError {
        count(&mut self.link.stats_mut().messages_refused);
        let Outgoing { message, channel, .. } = outgoing;
        SendError { message, channel, reason }
    }

    fn sent(&mut self, receipt: Receipt, bytes: usize) {
        let stats = self.link.stats_mut();
        count(&mut stats.messages_sent);
        stats.bytes_sent = stats.bytes_sent.saturating_add(bytes as u64);
        // The usual case of `tell_fate`, for the path that every message takes.
        match self.actions.back_mut() {
            Some(SessionAction::Event(Event::Sent { last, .. })) if last.is_before(receipt) => {
                *last = receipt;
            }
            _ => self.emit(Event::Sent { first: receipt, last: receipt }),
        }
    }

    pub(super) fn report_queue(&mut self) {
        let queued = self.outbox.len() + self.outbox.in_flight();
        let queued = u32::try_from(queued).unwrap_or(u32::MAX);
        let stats = self.link.stats_mut();
        stats.queued = queued;
        stats.queued_peak = stats.queued_peak.max(queued);
    }
}

/// A message in flight as it is said; it is kept until it is acknowledged.
fn message_frame(InFlight { serial, outgoing, .. }: &InFlight) -> ClientFrame {
    let Outgoing { message: payload, channel, .. } = outgoing.clone();
    ClientFrame::Message { serial: Some(*serial), channel, payload }
}
