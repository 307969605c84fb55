//! Messages that are too large for the peer: rejected if its limit is known, dropped if it closed
//! with 1009.
//!
//! A peer that closes with 1009 does not name the message. It has a limit and reads in order, so
//! the largest frame that was sent over the transport exceeds the limit, too, and was not received.
//! That one is dropped: each 1009 costs one message, and the others in flight are sent again.

use rand_core::Rng;

use super::outbox::InFlight;
use super::{
    Channel, DropReason, Event, Frame, Guarantee, Message, Outgoing, Protocol, Receipt,
    SendErrorKind, Session, SizeLimit,
};

/// What is known about the size of messages.
#[derive(Debug, Default)]
pub(crate) struct Oversize {
    /// The limit that the peer announced last.
    limit: Option<usize>,
    /// The largest frame that was sent over the current transport.
    largest: usize,
    /// The largest message among those without acknowledgement.
    unacknowledged: Option<(Receipt, usize)>,
    /// The message in flight that the peer complained about. It is dropped once the peer has
    /// reported what it received.
    condemned: Option<Receipt>,
}

impl Oversize {
    pub(super) const fn new_transport(&mut self) {
        (self.largest, self.unacknowledged) = (0, None);
    }

    /// Records a frame that is sent.
    pub(super) fn record_frame(&mut self, frame: &Frame) {
        self.record_message(message_len(frame));
    }

    /// Records a message that is sent as one frame.
    pub(super) fn record_message(&mut self, size: usize) {
        self.largest = self.largest.max(size);
    }

    /// Records a sent message that is not kept.
    pub(super) fn record_unacknowledged(&mut self, receipt: Receipt, size: usize) {
        if self.unacknowledged.is_none_or(|(_, largest)| largest < size) {
            self.unacknowledged = Some((receipt, size));
        }
    }

    /// Sets the peer's limit.
    pub(super) fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    }
}

impl<P: Protocol, R: Rng> Session<P, R> {
    /// The maximum size of a message as it is written, if there is one, and whose limit that is.
    pub(super) fn size_limit(&self) -> Option<(usize, SizeLimit)> {
        let own = self.outbox.config().max_message.map(|limit| (limit, SizeLimit::Message));
        let peer = self.oversize.limit.map(|limit| (limit, SizeLimit::Peer));
        [own, peer].into_iter().flatten().min_by_key(|(limit, _)| *limit)
    }

    /// Checks the size of a message that would be sent with this serial.
    pub(super) fn fits(
        &self,
        message: &Message,
        channel: Option<&Channel>,
        serial: u64,
    ) -> Result<(), SendErrorKind> {
        let Some((limit, by)) = self.size_limit() else { return Ok(()) };
        let counted = self.outbox.config().guarantee == Guarantee::AtLeastOnce;
        let size = self.protocol.encoded_len(message, channel, counted.then_some(serial));
        if size > limit { Err(SendErrorKind::TooLarge { size, limit, by }) } else { Ok(()) }
    }

    /// Drops the messages at the front of the outbox that exceed the limit, now that it is known.
    pub(super) fn drop_what_does_not_fit(&mut self) {
        while let Some((Outgoing { message, channel, .. }, serial)) = self.outbox.peek() {
            let Err(SendErrorKind::TooLarge { size, limit, .. }) =
                self.fits(message, channel.as_ref(), serial)
            else {
                return;
            };
            let Some(entry) = self.outbox.pop() else { return };
            let why = DropReason::TooLarge { size, limit: Some(limit) };
            self.drop_message(entry.receipt, entry.outgoing, why);
            self.report_queue();
        }
    }

    /// The peer closed with 1009.
    pub(super) fn complained(&mut self) {
        let largest = self.oversize.largest;
        if let Some((receipt, size)) =
            self.oversize.unacknowledged.take_if(|(_, size)| *size >= largest)
        {
            return self.emit(Event::TooLarge { receipt, size });
        }
        let suspect = self.outbox.on_transport().max_by_key(|message| message.size);
        if let Some(message) = suspect.filter(|message| message.size >= largest) {
            self.oversize.condemned = Some(message.receipt);
        }
    }

    /// The session is resumed, and the peer has reported what it received and its limit: drops what
    /// exceeds it.
    pub(super) fn give_up_in_flight(&mut self) {
        let (condemned, limit) =
            (self.oversize.condemned.take(), self.size_limit().map(|(limit, _)| limit));
        if condemned.is_none() && limit.is_none() {
            return;
        }
        let protocol = &self.protocol;
        let exceeds =
            |InFlight { serial, outgoing: Outgoing { message, channel, .. }, .. }: &InFlight| {
                let size = protocol.encoded_len(message, channel.as_ref(), Some(*serial));
                limit.is_some_and(|limit| size > limit)
            };
        let given_up = self
            .outbox
            .remove_in_flight(|message| condemned == Some(message.receipt) || exceeds(message));
        for message in given_up {
            self.give_up_message(message, limit);
        }
    }

    /// Whether a message of a session that is over is the one that the peer complained about: its
    /// fate is known.
    pub(super) fn is_condemned(&mut self, receipt: Receipt) -> bool {
        self.oversize.condemned.take_if(|condemned| *condemned == receipt).is_some()
    }

    pub(super) fn give_up_message(&mut self, message: InFlight, limit: Option<usize>) {
        let InFlight { receipt, outgoing, size, .. } = message;
        let limit = limit.filter(|limit| size > *limit);
        self.drop_message(receipt, outgoing, DropReason::TooLarge { size, limit });
    }
}

/// The bytes of a frame that count against the peer's limit.
pub(super) fn message_len(frame: &Frame) -> usize {
    if let Frame::Message(message) = frame { message.len() } else { 0 }
}
