//! What a session tells the application.

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

/// What an application is told, in the order in which it happened.
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
    /// A message arrived: from the peer itself, on no channel.
    Message(Message),
    /// A message arrived on a channel.
    Publication {
        /// Which channel.
        channel: Channel,
        /// Its place there.
        position: Position,
        /// The message.
        message: Message,
    },
    /// A message was published that is larger than this client reads. The server leaves it out, and
    /// the stream goes on behind it.
    Withheld {
        /// Which channel; `None` for the session's own stream.
        channel: Option<Channel>,
        /// Its place there.
        position: Position,
        /// What the server says about it.
        problem: Problem,
    },
    /// These messages were handed to the transport. What the peer does with them is its affair.
    Sent {
        /// The first of them.
        first: Receipt,
        /// The last; all in between are meant too.
        last: Receipt,
    },
    /// These messages were taken in by the peer. Told where messages are acknowledged.
    Acknowledged {
        /// The first of them.
        first: Receipt,
        /// The last; all in between are meant too.
        last: Receipt,
    },
    /// A message arrived at the peer, which refused it.
    Rejected {
        /// Its receipt.
        receipt: Receipt,
        /// Why.
        problem: Problem,
        /// The message itself.
        message: Message,
    },
    /// The peer closed with 1009: a message was too large for it. This is the largest one that went
    /// over the transport. Told of messages without acknowledgements, which are not kept; of the
    /// others, [`Dropped`](Self::Dropped) tells.
    TooLarge {
        /// Its receipt.
        receipt: Receipt,
        /// Its length, in bytes as the protocol wrote it.
        size: usize,
    },
    /// Delivery is unknown: these messages were sent, but their session ended before they were
    /// acknowledged. They may have had their effect, or not. They are not sent again by themselves.
    InDoubt {
        /// The first of them.
        first: Receipt,
        /// The last; all in between are meant too.
        last: Receipt,
        /// The messages themselves, as in [`Dropped`](Self::Dropped).
        messages: Vec<Outgoing>,
    },
    /// The session goes on over a new transport.
    Resumed {
        /// Whether nothing that was sent to this client is lost.
        complete: bool,
    },
    /// The session does not go on: the server knows it no more, or never did. Told before the
    /// messages that are in doubt.
    ResumeRefused {
        /// Why.
        problem: Problem,
    },
    /// A channel's messages come from now on.
    Subscribed {
        /// Which channel.
        channel: Channel,
        /// Whether none is missing since the last one that came; `true` the first time.
        complete: bool,
    },
    /// A channel's messages do not come any more, or not yet. The link lives on.
    Unsubscribed {
        /// Which channel.
        channel: Channel,
        /// Why.
        problem: Problem,
        /// When it is tried again; `None` where it is not.
        retry_in: Option<Duration>,
    },
    /// Somebody came to a channel, left it, or changed.
    Presence {
        /// Which channel.
        channel: Channel,
        /// Who, and what.
        change: PresenceEvent,
    },
    /// These messages will never be sent, or not again.
    Dropped {
        /// The first of them.
        first: Receipt,
        /// The last; all in between are meant too.
        last: Receipt,
        /// Why.
        why: DropReason,
        /// The messages themselves, as they were sent, in the order of their receipts. All of them,
        /// unless events are taken so slowly that what is handed back would hold more memory than
        /// the outbox may: then the first ones, or none.
        messages: Vec<Outgoing>,
    },
    /// A usable link was lost, or closed by the peer.
    Disconnected {
        /// The peer's close code; 1006 where there was none.
        code: CloseCode,
        /// The reason in the peer's close frame, or what happened to the transport.
        detail: String,
        /// What happened.
        reason: Reason,
        /// When the next attempt starts; `None` where there will be none.
        retry_in: Option<Duration>,
    },
    /// An attempt failed before the link was usable.
    AttemptFailed {
        /// Its number since the link was last usable, from 1.
        attempt: u32,
        /// What happened.
        reason: Reason,
        /// What happened, in detail, for people.
        detail: String,
        /// When the next attempt starts; `None` where there will be none.
        retry_in: Option<Duration>,
    },
    /// Several token fetches failed, or tokens were refused, in a row. Tries go on.
    TokenError {
        /// How many.
        consecutive_failures: u32,
        /// What the provider said, or that the server refused.
        detail: String,
    },
    /// The server will close soon and says when to come back.
    GoingAway {
        /// How long to wait at least.
        retry_after: Duration,
    },
    /// What a person should see changed.
    StatusChange(StatusChange),
    /// The application took events so slowly that the driver dropped this many, the oldest ones;
    /// messages are never among them. Told by drivers, before what is left.
    Missed {
        /// How many.
        count: u64,
    },
    /// Every endpoint has said that it need not be asked again, and the link ends because of that.
    /// Told just before the end, with two endpoints or more.
    EndpointsFailed {
        /// What each of them said last, in the order in which they were configured.
        answers: Vec<Answer>,
    },
    /// The link has come to its end: told once, as the last event. If the link is connected again
    /// ([`ReopenPolicy`](crate::link::ReopenPolicy)), others follow, and the next end is told in
    /// turn.
    Closed {
        /// Why.
        reason: ClosedReason,
    },
}

/// What a message costs besides its own bytes.
pub(crate) const MESSAGE: usize = 64;

impl Event {
    /// Takes in an event that tells the same of the messages after those of this one, and says what
    /// memory the messages take that it hands back for it, by [`weight`](Self::weight).
    ///
    /// # Errors
    ///
    /// The other event comes back if it tells something else.
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

    /// The memory that the messages take which this event hands back: their bytes, and 64 more for
    /// each.
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

    /// Lets go of the messages that it hands back, but not of their receipts. Tells the memory that
    /// this frees.
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

/// Makes a range longer. Where messages of it are missing already, no later ones are kept.
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

/// A change among the members of a channel. A user comes with the first of their stays and leaves
/// with the last one: a second session, or one that takes the place of another after a restart,
/// makes nobody come or go. Of the user [`anonymous`](Member::ANONYMOUS), each stay is somebody
/// else.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "users come, change and go, and so do their stays")]
pub enum PresenceEvent {
    /// A user is there who was not: their first stay.
    Joined(Member),
    /// A stay goes on, with other words.
    Updated(Member),
    /// A user is not there any more: their last stay. The words are those that the application was
    /// told last.
    Left(Member),
    /// A user who is there has a further stay: another session of theirs came.
    StayBegan(Member),
    /// A stay is over, and its user is still there with another one.
    StayEnded(Member),
}
