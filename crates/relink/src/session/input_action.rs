//! What goes into a session and what comes out.

use crate::base::time::Instant;
use crate::link::{Failure, Hint, TransportId};
use crate::session::address::Address;
use crate::session::event::Event;
use crate::session::ids::Channel;
use crate::session::message::{CloseFrame, Frame, Message, Secret, Token};
use crate::session::outgoing::{Receipt, SizeLimit};
use crate::session::protocol::Unreadable;
use alloc::string::String;

/// Everything that can change a session, but for [`send`](super::Session::send), which answers at
/// once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionInput {
    /// The application wants the link up.
    Connect,
    /// The application logs in.
    Login,
    /// The application is done: what is queued goes out, for `flush_timeout` at most, and a link
    /// that is down goes on trying for it; then the link closes with this frame. If nothing is
    /// queued, a link that is down ends at once.
    Close(CloseFrame),
    /// A person wants an attempt now.
    RetryNow,
    /// The application vouches that the link is good.
    MarkStable,
    /// A hint from the system.
    Hint(Hint),
    /// A token fetch ended.
    Token {
        /// The attempt it was fetched for.
        id: TransportId,
        /// The token, or what went wrong, for people and without secrets.
        result: Result<Token, String>,
    },
    /// An address fetch ended.
    Address {
        /// The attempt it was fetched for.
        id: TransportId,
        /// The address, or what went wrong, for people and without secrets.
        result: Result<Address, String>,
    },
    /// The transport is open.
    Opened {
        /// Which.
        id: TransportId,
    },
    /// A frame arrived.
    Frame {
        /// From which transport.
        id: TransportId,
        /// The frame.
        frame: Frame,
    },
    /// Bytes arrived, whatever they are a part of: the peer lives.
    Arriving {
        /// From which transport.
        id: TransportId,
        /// Since when a message is on its way that is not complete; `None` where there is none.
        since: Option<Instant>,
    },
    /// Treat the peer as alive although nothing arrived: a full transport has room again, or this
    /// side does not read because the application is behind.
    Alive {
        /// Which transport.
        id: TransportId,
    },
    /// The transport is gone, or could not be opened.
    Failed {
        /// Which.
        id: TransportId,
        /// What happened.
        failure: Failure,
        /// What happened, for people and without secrets.
        detail: String,
        /// Where an HTTP redirect leads, as it was written; for [`Failure::HttpRedirect`]. It may
        /// leave out what is the same as in the address that was dialed.
        location: Option<Address>,
    },
    /// The application has taken `count` more of the messages that it was given, the oldest first:
    /// those of [`Event::Message`] and of [`Event::Publication`] together. A resume starts after
    /// them.
    Taken {
        /// How many.
        count: u64,
    },
    /// The fetch of a token for a channel ended.
    ChannelToken {
        /// Which channel.
        channel: Channel,
        /// The token, or what went wrong, for people and without secrets.
        result: Result<Secret, String>,
    },
    /// Nobody will drive the session any more: the driver panicked, or its runtime was shut down.
    DriverGone,
    /// Time has passed.
    Timeout,
}

/// A session's output, in order: work for the driver, and events for the application. Frames are
/// pulled with [`poll_transmit`](super::Session::poll_transmit) instead, as the transport has room
/// for them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionAction {
    /// Fetch a token. Replaces a fetch that is under way.
    FetchToken {
        /// Comes back in [`SessionInput::Token`].
        id: TransportId,
    },
    /// Fetch an address. Replaces a fetch that is under way.
    FetchAddress {
        /// Comes back in [`SessionInput::Address`].
        id: TransportId,
        /// The configured endpoint whose turn it is.
        endpoint: Address,
        /// The token for this attempt, for a provider that has to show it.
        token: Option<Secret>,
    },
    /// Open a transport.
    Dial {
        /// The id of the transport to be.
        id: TransportId,
        /// Where.
        address: Address,
        /// The token for this attempt; none for a stranger.
        token: Option<Secret>,
        /// Whether the address is of a configured [`Origin`](super::Origin). If not, a redirect led
        /// to it, and nothing secret may go along: no credentials in headers, no cookies, no client
        /// certificate.
        is_trusted: bool,
    },
    /// Let go of the transport, or of the dial or fetch for it, without waiting.
    Drop {
        /// Which.
        id: TransportId,
        /// A close frame to write first, if it can be written at once.
        farewell: Option<CloseFrame>,
    },
    /// Fetch a token for a channel; it comes back in [`SessionInput::ChannelToken`]. Replaces a
    /// fetch for the same channel that is under way.
    FetchChannelToken {
        /// Which channel.
        channel: Channel,
    },
    /// Tell the application.
    Event(Event),
}

/// The outbox accepted the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendReceipt {
    /// Its fate is reported under this.
    pub receipt: Receipt,
    /// Whether it waits for a link: `false` where it goes out at once.
    pub queued: bool,
}

/// The message was rejected, and is returned to the caller.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message was not taken: {reason}")]
#[non_exhaustive]
pub struct SendError {
    /// The message, untouched.
    pub message: Message,
    /// The channel that it was meant for.
    pub channel: Option<Channel>,
    /// Why.
    pub reason: SendErrorKind,
}

impl core::fmt::Debug for SendError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Refused({:?}, {:?})", self.reason, self.message)
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// No room now; there will be when the link catches up.
    #[error("the outbox is full (outbox.max_messages, outbox.max_bytes)")]
    Full,
    /// Larger than it may be, whatever else waits. In JSON, bytes take a third more room than they
    /// have, and text with many control characters up to six times as much.
    #[error("it has {size} bytes, and {by} allows at most {limit}")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
        /// What is allowed.
        limit: usize,
        /// By what.
        by: SizeLimit,
    },
    /// The name of its channel is nothing that the peer can read: empty, or too long.
    #[error("{0}")]
    BadChannel(Unreadable),
    /// The link is not usable, and is configured to queue nothing.
    #[error("the link is not usable now, and outbox.while_down says to refuse")]
    Down,
    /// The link is closing or closed.
    #[error("the link is closed")]
    Closed,
}

impl SendError {
    /// Whether the same message may be taken later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.reason.is_retryable()
    }
}

impl SendErrorKind {
    /// Whether the same message may be taken later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Full | Self::Down)
    }
}
