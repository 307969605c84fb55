//! Channels: what is subscribed to, with which token, and who else is there.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_core::Rng;

use super::presence::Presence;
use super::{
    Channel, ClientFrame, Event, Given, Member, MemberChange, Position, Problem, Protocol, Secret,
    Session, SessionAction, Text,
};
use crate::base::config::ConfigError;
use crate::base::time::Instant;
use crate::session::subscriptions::{
    SubscriptionAction, SubscriptionState, Subscriptions, SubscriptionsConfig,
};

/// How a channel is subscribed to.
///
/// ```
/// use relink::Subscription;
///
/// let plain = Subscription::default();
/// let seen = Subscription::default().with_presence("typing").with_token();
/// assert!(seen.needs_token && !plain.needs_token);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Subscription {
    /// Whether a token is fetched for it, a fresh one each time.
    pub needs_token: bool,
    /// What the other members see of this one; `None`: this one is not listed, and sees no members.
    /// It is sent again after every reconnect.
    pub presence: Option<Text>,
    /// Where to begin, if not with new messages: what followed this position is delivered first.
    /// Used if the channel is not subscribed to yet; after that, the subscription continues where
    /// the application is.
    pub since: Option<Position>,
}

impl Subscription {
    /// The same, with a token for the channel.
    #[must_use]
    pub const fn with_token(mut self) -> Self {
        self.needs_token = true;
        self
    }

    /// The same, listed among the members with this text.
    #[must_use]
    pub fn with_presence(mut self, info: impl Into<Text>) -> Self {
        self.presence = Some(info.into());
        self
    }

    /// The same, beginning after this position.
    #[must_use]
    pub const fn with_since(mut self, since: Position) -> Self {
        self.since = Some(since);
        self
    }
}

/// The channels of a session.
#[derive(Debug)]
pub(crate) struct Channels {
    subscriptions: Subscriptions<Channel>,
    details: BTreeMap<Channel, Details>,
    /// The number of unanswered requests to unsubscribe. What arrives for the channel before their
    /// answers belongs to a subscription that this side has ended.
    ending: BTreeMap<Channel, u32>,
}

#[derive(Debug)]
struct Details {
    /// The client's presence text.
    info: Option<Text>,
    presence: Presence,
}

impl Channels {
    /// The configuration, to share it.
    pub(super) const fn config_mut(&mut self) -> &mut Arc<SubscriptionsConfig> {
        self.subscriptions.config_mut()
    }

    pub(super) fn new(config: SubscriptionsConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            subscriptions: Subscriptions::new(config)?,
            details: BTreeMap::new(),
            ending: BTreeMap::new(),
        })
    }

    pub(super) fn up(&mut self) {
        self.subscriptions.up();
    }

    pub(super) fn down(&mut self) {
        self.subscriptions.down();
        self.ending.clear();
    }

    pub(super) fn is_asking(&self) -> bool {
        self.subscriptions.has_wants()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.subscriptions.poll_timeout()
    }

    /// Whether what arrives for a channel now belongs to an earlier subscription.
    pub(super) fn is_past(&self, channel: &Channel) -> bool {
        self.ending.contains_key(channel)
    }

    /// The peer has answered a request to unsubscribe.
    fn ended(&mut self, channel: &Channel) {
        let Some(ending) = self.ending.get_mut(channel) else { return };
        *ending = ending.saturating_sub(1);
        if *ending == 0 {
            self.ending.remove(channel);
        }
    }
}

impl<P: Protocol, R: Rng> Session<P, R> {
    /// Subscribes to a channel; the subscription survives reconnects, until
    /// [`unsubscribe`](Self::unsubscribe). Emits [`Event::Subscribed`] or [`Event::Unsubscribed`].
    ///
    /// A channel that is subscribed to already keeps its position. It is requested again if it
    /// failed, or if the presence text changed. A request that the peer could not read is not sent,
    /// and ends the subscription: [`Event::Unsubscribed`] with [`Problem::LIMIT_EXCEEDED`] follows
    /// at once.
    pub fn subscribe(&mut self, channel: impl Into<Channel>, subscription: Subscription) {
        let channel = channel.into();
        let Subscription { needs_token, presence: info, since } = subscription;
        match self.may_ask(&channel, since, info.as_ref()) {
            // No events after the end; if the link is reopened, this is reported when the
            // subscription is due.
            Err(problem) if !self.link.state().is_closed() => {
                self.channels.subscriptions.unsubscribe(&channel);
                return self.subscription_failed(channel, problem, self.link.now());
            }
            Ok(()) | Err(_) => {}
        }
        let Channels { subscriptions, details, .. } = &mut self.channels;
        if let Some(since) = since.filter(|_| subscriptions.standing(&channel).is_none()) {
            self.inbox.start(Some(channel.clone()), since, false);
        }
        let details = details
            .entry(channel.clone())
            .or_insert_with(|| Details { info: info.clone(), presence: Presence::new() });
        let says_else = core::mem::replace(&mut details.info, info) != details.info;
        subscriptions.subscribe(channel.clone(), needs_token);
        if says_else {
            subscriptions.again(&channel);
        }
    }

    /// Unsubscribes from a channel and forgets its position. Returns true if it was subscribed to.
    pub fn unsubscribe(&mut self, channel: &Channel) -> bool {
        let known = self.channels.subscriptions.unsubscribe(channel);
        self.channels.details.remove(channel);
        self.inbox.forget(&Some(channel.clone()));
        known
    }

    /// The position of the last message of a channel that the application has taken.
    #[must_use]
    pub fn position(&self, channel: &Channel) -> Option<Position> {
        self.inbox.position(&Some(channel.clone()))
    }

    /// The channels that are subscribed to, each with its state.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&Channel, SubscriptionState)> {
        self.channels.subscriptions.iter()
    }

    /// The members of a channel, as far as is known: while the link is down, those at the time of
    /// the loss.
    pub fn members(&self, channel: &Channel) -> Vec<Member> {
        self.channels
            .details
            .get(channel)
            .map_or_else(Vec::new, |details| details.presence.members())
    }

    pub(super) fn channel_token(
        &mut self,
        channel: &Channel,
        result: Result<Secret, String>,
        now: Instant,
    ) {
        let standing = self.channels.subscriptions.standing(channel);
        if !matches!(standing, Some(SubscriptionState::Authorizing { .. })) {
            return;
        }
        match result.and_then(|token| self.check_token(&token).map(|()| token)) {
            Ok(token) => {
                self.channels.subscriptions.granted(channel, now);
                self.ask_for(channel.clone(), Some(token), now);
            }
            Err(detail) => {
                let problem = Problem::new(Problem::UNAVAILABLE, detail);
                self.subscription_failed(channel.clone(), problem, now);
            }
        }
    }

    pub(super) fn channels_timeout(&mut self, now: Instant) {
        self.channels.subscriptions.handle_timeout(now, self.link.rng_mut());
        while let Some((channel, retry_in)) = self.channels.subscriptions.poll_unanswered() {
            let problem = Problem::new(Problem::UNAVAILABLE, "timed out");
            self.emit(Event::Unsubscribed { channel, problem, retry_in: Some(retry_in) });
        }
    }

    pub(super) fn subscribed(&mut self, channel: Channel, position: Position, recovered: bool) {
        if self.channels.subscriptions.confirmed(&channel) {
            let complete = self.inbox.go_on(Some(channel.clone()), position, recovered);
            self.emit(Event::Subscribed { channel, complete });
        }
    }

    /// A subscription ended. Without a problem, because this side asked for it and has forgotten
    /// the subscription already; it may even have subscribed again.
    pub(super) fn unsubscribed(
        &mut self,
        channel: Channel,
        problem: Option<Problem>,
        now: Instant,
    ) {
        if problem.is_none() {
            self.channels.ended(&channel);
        }
        let known = self.channels.subscriptions.standing(&channel).is_some();
        if let Some(problem) = problem.filter(|_| known) {
            self.subscription_failed(channel, problem, now);
        }
    }

    fn subscription_failed(&mut self, channel: Channel, problem: Problem, now: Instant) {
        let for_now = problem.is_retryable();
        let rng = self.link.rng_mut();
        let retry_in = self.channels.subscriptions.failed(&channel, for_now, now, rng);
        if !for_now {
            self.presence(&channel, Presence::clear);
        }
        self.emit(Event::Unsubscribed { channel, problem, retry_in });
    }

    // Presence.

    pub(super) fn set_members(&mut self, channel: &Channel, members: Vec<Member>, more: bool) {
        self.presence(channel, |presence| presence.set_members(members, more));
        if self
            .channels
            .details
            .get(channel)
            .is_some_and(|details| details.presence.wants_members())
        {
            self.channels.subscriptions.again(channel);
        }
    }

    pub(super) fn member_changed(&mut self, channel: &Channel, change: MemberChange) {
        self.presence(channel, |presence| presence.apply(change));
    }

    /// Updates the members of a channel, and emits what changed.
    fn presence(&mut self, channel: &Channel, what: impl FnOnce(&mut Presence)) {
        let Some(Details { presence, .. }) = self.channels.details.get_mut(channel) else { return };
        what(presence);
        while let Some(change) = presence.poll_event() {
            let channel = channel.clone();
            self.actions.push_back(SessionAction::Event(Event::Presence { channel, change }));
        }
    }

    /// Carries out the next action of the subscriptions. Returns false if no action waits.
    pub(super) fn drive_subscriptions(&mut self, now: Instant) -> bool {
        let Some(want) = self.channels.subscriptions.poll_want(now) else { return false };
        match want {
            SubscriptionAction::Token(channel) if self.place.stranger().is_some() => {
                let detail = "its token is not sent to a server that a redirect led to";
                self.subscription_failed(channel, Problem::new(Problem::UNAVAILABLE, detail), now);
            }
            SubscriptionAction::Token(channel) => {
                self.actions.push_back(SessionAction::FetchChannelToken { channel })
            }
            SubscriptionAction::Subscribe(channel) => self.ask_for(channel, None, now),
            SubscriptionAction::Unsubscribe(channel) => {
                let ending = self.channels.ending.entry(channel.clone()).or_default();
                *ending = ending.saturating_add(1);
                self.say(ClientFrame::Unsubscribe { channel }, now);
            }
        }
        true
    }

    /// Checks that the peer can read the request.
    fn may_ask(
        &self,
        channel: &Channel,
        since: Option<Position>,
        info: Option<&Text>,
    ) -> Result<(), Problem> {
        let given =
            [Some(Given::Channel(channel)), since.map(Given::Since), info.map(Given::Presence)];
        let checked = given.into_iter().flatten().try_for_each(|given| self.protocol.check(given));
        checked.map_err(|error| Problem::new(Problem::LIMIT_EXCEEDED, error.to_string()))
    }

    fn ask_for(&mut self, channel: Channel, token: Option<Secret>, now: Instant) {
        let since = self.inbox.position(&Some(channel.clone()));
        let details = self.channels.details.get_mut(&channel);
        let presence = details.and_then(|details| {
            details.presence.reset();
            details.info.clone()
        });
        if let Err(problem) = self.may_ask(&channel, since, presence.as_ref()) {
            return self.subscription_failed(channel, problem, now);
        }
        let frame = ClientFrame::Subscribe { channel: channel.clone(), since, token, presence };
        if !self.say(frame, now) {
            let problem = Problem::new(Problem::NOT_SUPPORTED, "this protocol has no channels");
            self.subscription_failed(channel, problem, now);
        }
    }
}
