//! The inputs and actions of a session.

use crate::base::time::Instant;
use crate::link::{Failure, Hint, TransportId};
use crate::session::address::Address;
use crate::session::event::Event;
use crate::session::ids::Channel;
use crate::session::message::{CloseFrame, Frame, Message, Secret, Token};
use crate::session::outgoing::{Receipt, SizeLimit};
use crate::session::protocol::Unreadable;
use alloc::string::String;

/// Everything that can change a session, except [`send`](super::Session::send) and
/// [`taken`](super::Session::taken), which return at once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionInput {
    /// The application wants the link up.
    Connect,
    /// The application logs in.
    Login,
    /// The application is done: queued messages are sent for at most `flush_timeout`, for which a
    /// link that is down keeps trying; then the link closes with this frame. If nothing is queued,
    /// a link that is down closes at once.
    Close(CloseFrame),
    /// The user wants an attempt now.
    RetryNow,
    /// The application wants another transport: this one is closed with 4100, and the next is
    /// dialed at once. Without a usable transport it is [`RetryNow`](Self::RetryNow).
    Reconnect,
    /// The application vouches that the link is good.
    MarkStable,
    /// A hint from the system.
    Hint(Hint),
    /// A token fetch ended.
    Token {
        /// The attempt it was fetched for.
        id: TransportId,
        /// The token, or an error for display, without secrets.
        result: Result<Token, String>,
    },
    /// An address fetch ended.
    Address {
        /// The attempt it was fetched for.
        id: TransportId,
        /// The address, or an error for display, without secrets.
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
    /// Bytes arrived, of whatever frame: the peer is alive.
    Arriving {
        /// From which transport.
        id: TransportId,
        /// When the incomplete message began; `None` if there is none.
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
        /// What happened, for display, without secrets.
        detail: String,
        /// The `Location` of an HTTP redirect as it was received; for [`Failure::HttpRedirect`]. It
        /// may be relative to the address that was dialed.
        location: Option<Address>,
    },
    /// The fetch of a token for a channel ended.
    ChannelToken {
        /// Which channel.
        channel: Channel,
        /// The token, or an error for display, without secrets.
        result: Result<Secret, String>,
    },
    /// The driver is gone: it panicked, or its runtime was shut down.
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
        /// The token for this attempt, for a provider that needs it.
        token: Option<Secret>,
    },
    /// Open a transport.
    Dial {
        /// The id of the new transport.
        id: TransportId,
        /// Where.
        address: Address,
        /// The token for this attempt; `None` for a foreign origin.
        token: Option<Secret>,
        /// Whether the address is of a configured [`Origin`](super::Origin). If not, a redirect led
        /// to it, and no secrets may be sent: no credentials in headers, no cookies, no client
        /// certificate.
        is_trusted: bool,
    },
    /// Drop the transport, or the dial or fetch for it, without waiting.
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
    /// Notify the application.
    Event(Event),
}

/// The outbox accepted the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendReceipt {
    /// The number under which its fate is reported.
    pub receipt: Receipt,
    /// Whether it waits for a link: `false` if it goes out at once.
    pub queued: bool,
}

/// The message was rejected and is returned to the caller.
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

/// Why a message was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// No room now; there will be when the link catches up.
    #[error("the outbox is full (outbox.max_messages, outbox.max_bytes)")]
    Full,
    /// Larger than any message may be. In JSON, bytes take a third more, and text with many control
    /// characters up to six times as much.
    #[error("it has {size} bytes, and {by} allows at most {limit}")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
        /// The maximum.
        limit: usize,
        /// Which limit it exceeds.
        by: SizeLimit,
    },
    /// The peer cannot read the name of its channel: it is empty, or too long.
    #[error("{0}")]
    BadChannel(Unreadable),
    /// The link is not usable, and `while_down` does not queue.
    #[error("the link is not usable now, and outbox.while_down is refuse")]
    Down,
    /// The link is closing or closed.
    #[error("the link is closed")]
    Closed,
}

impl SendError {
    /// Whether the same message may be accepted later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.reason.is_retryable()
    }
}

impl SendErrorKind {
    /// Whether the same message may be accepted later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Full | Self::Down)
    }
}
