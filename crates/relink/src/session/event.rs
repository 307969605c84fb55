//! What a session reports to the application.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::link::StatusChange;
use crate::link::{ClosedReason, Reason, State};
use crate::policy::close_code::CloseCode;
use crate::session::address::Address;
use crate::session::answers::Answer;
use crate::session::ids::{Channel, Member, Position, Problem};
use crate::session::message::Message;
use crate::session::outgoing::{DropReason, Outgoing, Receipt};

/// What happened, in order, for the application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The exact state changed.
    State {
        /// From this one.
        from: State,
        /// To this one.
        to: State,
        /// Because of this.
        reason: Reason,
    },
    /// An attempt starts to dial.
    Dialing {
        /// The number of the attempt since the link was last usable, from 1.
        attempt: u32,
        /// Where.
        address: Address,
    },
    /// The link is usable.
    Connected {
        /// Whether it was usable before.
        is_reconnect: bool,
    },
    /// A message arrived that belongs to no channel.
    Message(Message),
    /// A message arrived on a channel.
    Publication {
        /// Which channel.
        channel: Channel,
        /// Its position there.
        position: Position,
        /// The message.
        message: Message,
    },
    /// A published message is larger than this client reads. The server leaves it out, and the
    /// stream continues after it.
    Withheld {
        /// Which channel; `None` for the session's own stream.
        channel: Option<Channel>,
        /// Its position there.
        position: Position,
        /// The server's description.
        problem: Problem,
    },
    /// These messages were written to the transport. Whether the peer received them is not known.
    Sent {
        /// The first of them.
        first: Receipt,
        /// The last; the range includes all in between.
        last: Receipt,
    },
    /// The peer acknowledged these messages. Emitted only if the protocol has acknowledgements.
    Acknowledged {
        /// The first of them.
        first: Receipt,
        /// The last; the range includes all in between.
        last: Receipt,
    },
    /// The peer rejected a message.
    Rejected {
        /// Its receipt.
        receipt: Receipt,
        /// Why.
        problem: Problem,
        /// The message itself.
        message: Message,
    },
    /// The peer closed with 1009: a message was too large for it. This is the largest one that was
    /// sent over the transport. Emitted for messages without acknowledgements, which are not kept;
    /// for the others, [`Dropped`](Self::Dropped) is emitted.
    TooLarge {
        /// Its receipt.
        receipt: Receipt,
        /// Its length, in bytes as the protocol wrote it.
        size: usize,
    },
    /// Delivery is unknown: these messages were sent, but their session ended before they were
    /// acknowledged. They may have had their effect, or not. They are not sent again automatically.
    InDoubt {
        /// The first of them.
        first: Receipt,
        /// The last; the range includes all in between.
        last: Receipt,
        /// The messages themselves, as in [`Dropped`](Self::Dropped).
        messages: Vec<Outgoing>,
    },
    /// The session was resumed on a new transport.
    Resumed {
        /// Whether no message to this client was lost.
        complete: bool,
    },
    /// The session was not resumed: the server no longer has it, or never had. Emitted before the
    /// messages that are in doubt.
    ResumeRefused {
        /// Why.
        problem: Problem,
    },
    /// A channel is subscribed to.
    Subscribed {
        /// Which channel.
        channel: Channel,
        /// Whether no message was missed since the last one; `true` the first time.
        complete: bool,
    },
    /// A subscription ended or failed. The link is not affected.
    Unsubscribed {
        /// Which channel.
        channel: Channel,
        /// Why.
        problem: Problem,
        /// When it is tried again; `None` if it is not.
        retry_in: Option<Duration>,
    },
    /// A member of a channel joined, left, or changed.
    Presence {
        /// Which channel.
        channel: Channel,
        /// The change.
        change: PresenceEvent,
    },
    /// These messages will not be sent, or not again.
    Dropped {
        /// The first of them.
        first: Receipt,
        /// The last; the range includes all in between.
        last: Receipt,
        /// Why.
        why: DropReason,
        /// The messages themselves, as they were sent, in the order of their receipts. All of them,
        /// unless events are taken so slowly that returned messages would exceed the memory of the
        /// outbox: then the first ones, or none.
        messages: Vec<Outgoing>,
    },
    /// A usable link was lost, or closed by the peer.
    Disconnected {
        /// The peer's close code; 1006 if there was none.
        code: CloseCode,
        /// The reason in the peer's close frame, or what happened to the transport.
        detail: String,
        /// What happened.
        reason: Reason,
        /// When the next attempt starts; `None` if there will be none.
        retry_in: Option<Duration>,
    },
    /// An attempt failed before the link was usable.
    AttemptFailed {
        /// Its number since the link was last usable, from 1.
        attempt: u32,
        /// What happened.
        reason: Reason,
        /// What happened in detail, for display.
        detail: String,
        /// When the next attempt starts; `None` if there will be none.
        retry_in: Option<Duration>,
    },
    /// Several token fetches failed, or tokens were refused, in a row. The link keeps trying.
    TokenError {
        /// How many.
        consecutive_failures: u32,
        /// The provider's error, or that the server refused.
        detail: String,
    },
    /// The server will close soon, and asks the client to come back after a delay.
    GoingAway {
        /// The minimum delay.
        retry_after: Duration,
    },
    /// What a person should see changed.
    StatusChange(StatusChange),
    /// The application took events so slowly that the driver dropped this many, the oldest ones;
    /// messages are never among them. Emitted by drivers, before the events that are left.
    Missed {
        /// How many.
        count: u64,
    },
    /// The link ends because every endpoint has refused for good. Emitted just before the end, with
    /// two endpoints or more.
    EndpointsFailed {
        /// The last answer of each, in the configured order.
        answers: Vec<Answer>,
    },
    /// The link is closed. Emitted once, as the last event. If the link is connected again
    /// ([`ReopenPolicy`](crate::link::ReopenPolicy)), others follow.
    Closed {
        /// Why.
        reason: ClosedReason,
    },
}

/// The overhead of a message in bytes.
pub(crate) const MESSAGE: usize = 64;

impl Event {
    /// Extends this event by one of the same kind about the messages that follow. Returns the
    /// memory of the messages that were added, by [`weight`](Self::weight).
    ///
    /// # Errors
    ///
    /// Returns the other event if it is of another kind.
    pub fn join(&mut self, next: Self) -> Result<usize, Self> {
        match (self, next) {
            (Self::Sent { last, .. }, Self::Sent { first, last: end })
            | (Self::Acknowledged { last, .. }, Self::Acknowledged { first, last: end })
                if last.is_before(first) =>
            {
                *last = end;
                Ok(0)
            }
            (
                Self::Dropped { first: start, last, why, messages },
                Self::Dropped { first, last: end, why: reason, messages: more },
            ) if *why == reason && last.is_before(first) => {
                Ok(extend(*start, last, messages, end, more))
            }
            (
                Self::InDoubt { first: start, last, messages },
                Self::InDoubt { first, last: end, messages: more },
            ) if last.is_before(first) => Ok(extend(*start, last, messages, end, more)),
            (_, next) => Err(next),
        }
    }

    /// The memory of the messages that this event returns: their bytes, and 64 more for each.
    #[must_use]
    pub fn weight(&self) -> usize {
        if let Self::Dropped { messages, .. } | Self::InDoubt { messages, .. } = self {
            weight(messages)
        } else if let Self::Rejected { message, .. } = self {
            message.len() + MESSAGE
        } else {
            0
        }
    }

    /// Drops the messages that it returns, but not their receipts. Returns the memory that this
    /// frees.
    pub fn let_go(&mut self) -> usize {
        if let Self::Dropped { messages, .. } | Self::InDoubt { messages, .. } = self {
            weight(&core::mem::take(messages))
        } else {
            0
        }
    }
}

fn weight(messages: &[Outgoing]) -> usize {
    messages.iter().map(|outgoing| outgoing.message.len() + MESSAGE).sum()
}

/// Extends a range. If messages of it are missing already, no later ones are kept.
fn extend(
    first: Receipt,
    last: &mut Receipt,
    messages: &mut Vec<Outgoing>,
    end: Receipt,
    more: Vec<Outgoing>,
) -> usize {
    let is_whole = messages.len() as u64 == last.0 - first.0 + 1;
    *last = end;
    if !is_whole {
        return 0;
    }
    let weight = weight(&more);
    messages.extend(more);
    weight
}

/// A change among the members of a channel. A user joins with their first stay and leaves with the
/// last one: a second session, or one that replaces another after a restart, is no join or leave of
/// the user. Of the user [`anonymous`](Member::ANONYMOUS), each stay is another person.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "users come, change and go, and so do their stays")]
pub enum PresenceEvent {
    /// A user joined: their first stay.
    Joined(Member),
    /// The text of a stay changed.
    Updated(Member),
    /// A user left: their last stay ended. The text is the one last reported.
    Left(Member),
    /// A present user has a further stay: another session of theirs joined.
    StayBegan(Member),
    /// A stay ended, and its user is still present with another one.
    StayEnded(Member),
}
