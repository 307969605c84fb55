//! The state of one connection.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::outbound::Outbound;
use super::permission::Permissions;
use super::reading::Reading;
use super::tokens::TokenEnd;
use crate::node::input_action::AuthorizationId;
use crate::node::sessions::SessionNumber;
use relink::protocol::Rejection;
use relink::session::{Problem, Secret, Text};
use relink::{Channel, Instant, Message, Position, Resume, SessionId};
use relink_v1::{Codec, ServerFrame};

/// A connection between its accept and its close.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stage: Stage,
    /// Its user, once it is known.
    pub(crate) user: Option<Arc<str>>,
    /// Its session, from the store's answer on.
    pub(crate) session: Option<SessionId>,
    /// The number of its session.
    pub(crate) number: Option<SessionNumber>,
    /// Its channels, by name: a short list costs less than a map, and most are short.
    pub(super) channels: Vec<(Channel, Subscription)>,
    pub(crate) out: Outbound,
    pub(super) reading: Reading,
    pub(super) permissions: Permissions,
    /// An answer to `Identify` is due.
    pub(super) identifying: bool,
    /// It counts among its user's connections.
    pub(super) counted: bool,
    /// In a shutdown, the time after which the client comes back.
    pub(crate) retry_after: Option<Duration>,
    /// When its last message came, as far as there is a need to know.
    pub(super) heard: Instant,
    /// When its token expires.
    pub(super) token: TokenEnd,
    /// A token that arrived meanwhile.
    pub(super) renewal: Option<Secret>,
    /// The bytes of its subscriptions.
    held: usize,
}

/// The stage of the handshake.
#[derive(Debug)]
pub(crate) enum Stage {
    /// No hello yet.
    Silent,
    /// The hello came; user, session, or place in the stream are not known yet.
    Greeting(alloc::boxed::Box<Greeting>),
    /// Welcomed at this time.
    Live(Instant),
}

/// What is known before the welcome.
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    pub(crate) resume: Option<Resume>,
    pub(crate) resumed: bool,
    pub(crate) refused: Option<Problem>,
    pub(crate) rejected: Vec<Rejection>,
}

/// One channel of one connection.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// The requested start, until the application allows it.
    pub(crate) start: Option<Start>,
    /// The membership it requests, until the subscription is active.
    pub(crate) seat: Option<Seat>,
    /// Its token, checked again when the client's own token is renewed.
    pub(crate) token: Option<Secret>,
    /// The pending authorization.
    pub(super) question: Option<AuthorizationId>,
    /// It has to be authorized again after that.
    pub(super) again: bool,
    /// The bytes of its name, token and text.
    bytes: usize,
}

/// The start of a subscription: after a position, or now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) since: Option<Position>,
}

/// A seat that a subscription asks for.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The member's info.
    pub(crate) info: Text,
    /// The lease of its earlier membership: a connection has one stay in a channel, however often
    /// it subscribes.
    pub(crate) lease: Option<u64>,
}

impl Subscription {
    pub(crate) const fn new(
        start: Start,
        seat: Option<Seat>,
        token: Option<Secret>,
        bytes: usize,
    ) -> Self {
        Self { start: Some(start), seat, token, question: None, again: false, bytes }
    }
}

impl Connection {
    pub(crate) const fn new() -> Self {
        Self {
            stage: Stage::Silent,
            user: None,
            session: None,
            number: None,
            channels: Vec::new(),
            out: Outbound::new(),
            reading: Reading::new(),
            permissions: Permissions::new(),
            identifying: false,
            counted: false,
            retry_after: None,
            heard: Instant::ORIGIN,
            token: TokenEnd::new(),
            renewal: None,
            held: 0,
        }
    }

    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live(_))
    }

    pub(crate) fn channels(&self) -> impl ExactSizeIterator<Item = &Channel> {
        self.channels.iter().map(|(channel, _)| channel)
    }

    fn index(&self, channel: &Channel) -> Result<usize, usize> {
        self.channels.binary_search_by(|(name, _)| name.cmp(channel))
    }

    pub(crate) fn subscription(&self, channel: &Channel) -> Option<&Subscription> {
        self.channels.get(self.index(channel).ok()?).map(|(_, subscription)| subscription)
    }

    pub(crate) fn subscription_mut(&mut self, channel: &Channel) -> Option<&mut Subscription> {
        let index = self.index(channel).ok()?;
        self.channels.get_mut(index).map(|(_, subscription)| subscription)
    }

    /// The bytes of its subscriptions, but for this one.
    pub(crate) fn held_beside(&self, channel: &Channel) -> usize {
        let this = self.subscription(channel).map_or(0, |subscription| subscription.bytes);
        self.held.saturating_sub(this)
    }

    pub(crate) fn subscribe(&mut self, channel: Channel, subscription: Subscription) {
        self.held = self.held_beside(&channel).saturating_add(subscription.bytes);
        match self.index(&channel) {
            Ok(index) => {
                if let Some((_, old)) = self.channels.get_mut(index) {
                    *old = subscription;
                }
            }
            Err(index) => self.channels.insert(index, (channel, subscription)),
        }
    }

    pub(crate) fn unsubscribe(&mut self, channel: &Channel) -> Option<Subscription> {
        let index = self.index(channel).ok()?;
        let (_, subscription) = self.channels.remove(index);
        self.held = self.held.saturating_sub(subscription.bytes);
        if let Some(request) = subscription.question {
            self.permissions.forget(request);
        }
        Some(subscription)
    }

    /// The user's name; empty until the hello is answered.
    pub(crate) fn user_name(&self) -> String {
        self.user.as_deref().unwrap_or_default().into()
    }

    /// Everything that is left to write, and this frame after it.
    pub(super) fn into_rest(mut self, last: &ServerFrame) -> VecDeque<Message> {
        if !self.is_live() {
            self.out.ack = None;
            self.out.rejections.clear();
        }
        let last = last.encode(self.out.encoding);
        let mut rest = self.out.into_rest();
        rest.push_back(last);
        rest
    }
}
