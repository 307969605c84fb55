//! [`Session`]: a link with its messages.

mod address;
mod answers;
mod channels;
mod event;
mod ids;
mod input_action;
mod link_actions;
pub(crate) mod message;
mod outbox;
mod outgoing;
mod oversize;
mod place;
mod plain;
mod positions;
mod presence;
pub mod protocol;
mod receive;
mod resume;
mod roster;
mod send;
mod subscriptions;
mod vocabulary;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_core::Rng;

use crate::base::config::{ConfigError, config, mistake, share};
use crate::base::stats::Stats;
use crate::base::time::{Instant, earliest};
use crate::link::StatusView;
use crate::link::{Failure, Input, Link, LinkConfig, State, Step};

pub use address::{Address, InvalidUrl, Origin};
pub use answers::Answer;
pub use channels::Subscription;
pub use event::{Event, PresenceEvent};
pub use ids::{Channel, Member, Position, Problem, Resume, SessionId};
pub use input_action::{SendError, SendErrorKind, SendReceipt, SessionAction, SessionInput};
pub use message::{CloseFrame, Frame, Message, NotUtf8, Secret, Text, Token};
pub use outbox::{OfflineSend, Outbox, OutboxConfig, Overflow};
pub use outgoing::{DropReason, Guarantee, Outgoing, Priority, Receipt, SizeLimit};
pub use roster::{Roster, RosterChange, RosterMember};
pub use subscriptions::{
    SubscriptionAction, SubscriptionState, Subscriptions, SubscriptionsConfig,
};
pub use vocabulary::MemberChange;

use answers::Answers;
use channels::Channels;
use oversize::Oversize;
use place::Place;
use positions::Inbox;
use protocol::{ClientFrame, Given, Protocol, ProtocolEvent, Rejection, ServerFrame, Welcome};
use resume::Hellos;
use send::Backlog;

config! {
    /// The configuration of a session.
    pub struct SessionConfig at "" {
        /// When to dial, when to wait, when to give up.
        pub link / with_link: LinkConfig;
        /// What may wait to go out.
        pub outbox / with_outbox: OutboxConfig;
        /// How subscriptions come back.
        pub subscriptions / with_subscriptions: SubscriptionsConfig;
    }
}

/// The configuration of a session, to be shared with the next one; see [`Session::share_config`].
#[derive(Debug, Clone, Default)]
pub struct SharedConfig {
    link: Option<Arc<LinkConfig>>,
    outbox: Option<Arc<OutboxConfig>>,
    subscriptions: Option<Arc<SubscriptionsConfig>>,
}

impl SharedConfig {
    /// Nothing to share yet: the first session's configuration becomes the shared one.
    pub const NONE: Self = Self { link: None, outbox: None, subscriptions: None };
}

/// A link with its messages: outbox, inbox, and wire format.
///
/// Sans-IO like the [`Link`] inside it, and to the same contract. A driver:
///
/// 1. passes what happened to [`handle`](Self::handle);
/// 2. carries out the actions of [`poll_action`](Self::poll_action) until there are no more;
/// 3. while its transport has room, writes the frames of [`poll_transmit`](Self::poll_transmit),
///    and polls for actions again, as sending causes events;
/// 4. sleeps until [`poll_timeout`](Self::poll_timeout).
///
/// Messages stay in the [`Outbox`] until the transport has room, so that bounds, order and time to
/// live hold to the last moment. What happens to a message whose transport died is a choice, the
/// [`Guarantee`].
///
/// A driver whose protocol has sessions also reports how many messages the application has
/// [taken](Self::taken), and fetches tokens for channels ([`SessionAction::FetchChannelToken`]).
///
/// Nearly all messages of a usable link find nothing before them. For them there is a short way:
/// [`receive`](Self::receive) and [`send_at_once`](Self::send_at_once).
#[derive(Debug)]
pub struct Session<P, R> {
    link: Link<R>,
    protocol: P,
    /// Messages pass unchanged, and so there are no streams.
    is_transparent: bool,
    outbox: Outbox,
    backlog: Backlog,
    oversize: Oversize,
    inbox: Inbox,
    channels: Channels,
    /// The session at the server, while there is one to resume.
    id: Option<SessionId>,
    /// The foreign origin where it began; `None` for a configured origin.
    id_of: Option<Origin>,
    hellos: Hellos,
    addresses: Vec<Address>,
    answers: Answers,
    redirected_to: Option<Address>,
    /// The address fetched for this attempt, in place of the configured endpoint.
    fetched: Option<Address>,
    place: Place,
    token: Option<Secret>,
    /// Frames that go ahead of the outbox: heartbeats, handshake messages, the close frame.
    control: VecDeque<Frame>,
    farewell: Option<CloseFrame>,
    goodbye: String,
    detail: String,
    actions: VecDeque<SessionAction>,
    /// The weight of the messages in `actions`.
    handed_back: usize,
    protocol_events: Vec<ProtocolEvent>,
    frames: Vec<Frame>,
}

impl<P: Protocol, R: Rng> Session<P, R> {
    /// Creates a session, idle until it is connected; `addresses` are its endpoints, the first one
    /// preferred.
    ///
    /// # Errors
    ///
    /// The first field of the configuration that cannot work; fewer than 1 or more than 255
    /// addresses; a guarantee that the protocol cannot give; or no handshake step for its first
    /// message.
    pub fn new(
        mut config: SessionConfig,
        addresses: Vec<Address>,
        protocol: P,
        rng: R,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        if config.outbox.guarantee != Guarantee::AtMostOnce && !protocol.acknowledges() {
            let allowed = "at-most-once: this protocol has no acknowledgements";
            return Err(mistake("outbox.guarantee", "at-least-once", allowed));
        }
        let handshake = config.link.handshake;
        let (field, exists) = match protocol.opening() {
            Some(Step::Welcome) => ("handshake.welcome", handshake.welcome.is_some()),
            Some(Step::Challenge) => ("handshake.challenge", handshake.challenge.is_some()),
            Some(Step::Login) => ("handshake.login", handshake.login),
            Some(Step::Authenticating) => {
                ("handshake.authentication", handshake.authentication.is_some())
            }
            None => ("", true),
        };
        if !exists {
            return Err(mistake(field, "off", "on: the protocol needs this step"));
        }
        let endpoints = u8::try_from(addresses.len())
            .map_err(|_| mistake("endpoints", "more than 255", "1 to 255 addresses"))?;
        if !protocol.renews() {
            config.link.credentials.refresh_ahead = None;
        }
        Ok(Self {
            link: Link::new(config.link, endpoints, rng)?,
            is_transparent: protocol.is_transparent() && !protocol.acknowledges(),
            protocol,
            outbox: Outbox::new(config.outbox),
            backlog: Backlog::default(),
            oversize: Oversize::default(),
            inbox: Inbox::default(),
            channels: Channels::new(config.subscriptions)?,
            id: None,
            id_of: None,
            hellos: Hellos::default(),
            addresses,
            answers: Answers::default(),
            redirected_to: None,
            fetched: None,
            place: Place::default(),
            token: None,
            control: VecDeque::new(),
            farewell: None,
            goodbye: String::new(),
            detail: String::new(),
            actions: VecDeque::new(),
            handed_back: 0,
            protocol_events: Vec::new(),
            frames: Vec::new(),
        })
    }

    /// Shares the configuration with other sessions that have the same, part by part: each passes
    /// the same `known`. That saves 2 KB a session.
    pub fn share_config(&mut self, known: &mut SharedConfig) {
        self.link.share_config(&mut known.link);
        share(self.outbox.config_mut(), &mut known.outbox);
        share(self.channels.config_mut(), &mut known.subscriptions);
    }

    // Input.

    /// Handles an input.
    pub fn handle(&mut self, input: SessionInput, now: Instant) {
        let now = now.max(self.link.now());
        match input {
            SessionInput::Connect => self.drive(Input::Connect, now),
            SessionInput::Login => self.drive(Input::Login, now),
            SessionInput::Close(frame) => self.close(frame, now),
            SessionInput::RetryNow => self.drive(Input::RetryNow, now),
            SessionInput::Reconnect => self.reconnect(now),
            SessionInput::MarkStable => self.drive(Input::MarkStable, now),
            SessionInput::Hint(hint) => self.drive(Input::Hint(hint), now),
            SessionInput::Token { id, result } => self.token(id, result, now),
            SessionInput::Address { id, result } => self.located(id, result, now),
            SessionInput::Opened { id } => self.opened(id, now),
            SessionInput::Frame { id, frame } => self.frame(id, frame, now),
            SessionInput::Arriving { id, since } => self.link.arriving(id, since, now),
            SessionInput::Alive { id } => self.link.excused(id, now),
            SessionInput::Failed { id, failure, detail, location } => {
                if self.link.transport() == Some(id) {
                    self.detail = detail;
                    if failure == Failure::HttpRedirect {
                        return self.redirected(location.as_ref(), id, now);
                    }
                    self.drive(Input::Failed { id, failure }, now);
                }
            }
            SessionInput::ChannelToken { channel, result } => {
                self.channel_token(&channel, result, now)
            }
            SessionInput::DriverGone => self.drive(Input::DriverGone, now),
            SessionInput::Timeout => self.timeout(now),
        }
        if self.link.is_leaving() && !self.link.is_flushing() && self.outbox.is_done() {
            self.drive(Input::Flushed, now);
        }
    }

    /// Records that the application has taken `count` more messages, the oldest first: those of
    /// [`Event::Message`] and of [`Event::Publication`] together. A resume starts after them.
    #[inline]
    pub fn taken(&mut self, count: u64) {
        // Without streams there are no positions.
        if !self.is_transparent {
            self.inbox.take(count);
        }
    }

    // Output.

    /// Returns the next action, if it is an event of this kind.
    #[must_use]
    pub fn poll_event_if(&mut self, is_meant: impl FnOnce(&Event) -> bool) -> Option<Event> {
        let Some(SessionAction::Event(event)) = self.actions.front() else { return None };
        if !is_meant(event) {
            return None;
        }
        if let Some(SessionAction::Event(event)) = self.poll_action() { Some(event) } else { None }
    }

    /// Returns the next action.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<SessionAction> {
        let action = self.actions.pop_front()?;
        if let SessionAction::Event(event) = &action {
            self.handed_back -= event.weight();
        }
        Some(action)
    }

    /// When to pass [`SessionInput::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.link.poll_timeout(),
            self.outbox.next_expiry(),
            self.channels.poll_timeout(),
            self.next_of_backlog(),
        ];
        earliest(deadlines)
    }

    /// Gives back memory in which nothing is, such as that of queues after a burst.
    pub fn shrink(&mut self) {
        self.outbox.shrink();
        self.control.shrink_to_fit();
        self.actions.shrink_to_fit();
        self.protocol_events.shrink_to_fit();
        self.frames.shrink_to_fit();
    }

    // Queries.

    /// The exact state.
    #[must_use]
    pub fn state(&self) -> State {
        self.link.state()
    }

    /// The link inside.
    #[must_use]
    pub const fn link(&self) -> &Link<R> {
        &self.link
    }

    /// The protocol, as [`new`](Self::new) was given it.
    #[must_use]
    pub const fn protocol(&self) -> &P {
        &self.protocol
    }

    /// What a person should see.
    #[must_use]
    pub const fn surface(&self) -> &StatusView {
        self.link.surface()
    }

    /// The outbox.
    #[must_use]
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The statistics so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        self.link.stats()
    }

    fn close(&mut self, CloseFrame { code, reason }: CloseFrame, now: Instant) {
        if self.is_closing() {
            // Nothing more to do, unless the link was to come back.
            return self.drive(Input::Finish { code }, now);
        }
        self.goodbye = reason;
        self.expire_messages(now);
        let input =
            if self.outbox.is_done() { Input::Close { code } } else { Input::Finish { code } };
        self.drive(input, now);
    }

    /// The last answer of each endpoint, if the link is closed because of them; see
    /// [`Event::EndpointsFailed`].
    #[must_use]
    pub fn answers(&self) -> &[Answer] {
        self.answers.of_the_end()
    }

    /// Whether the link is closed or closing: no more messages are accepted.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.link.is_closing() || self.link.state().is_closed()
    }

    fn timeout(&mut self, now: Instant) {
        self.expire_messages(now);
        self.channels_timeout(now);
        loop {
            self.drive(Input::Timeout, now);
            // The link stops early if it has no room for more actions; they have been taken by now.
            if self.link.poll_timeout().is_none_or(|at| at > self.link.now()) {
                return;
            }
        }
    }
}
