//! Channels: what is subscribed to, with which token, and who else is there.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use rand_core::Rng;

use super::{
    Channel, Command, Event, Member, Position, PresenceEvent, Problem, Protocol, Secret, Session,
    SessionAction, Text,
};
use crate::config::ConfigError;
use crate::roster::{Roster, RosterChange};
use crate::subscriptions::{Standing, Subscriptions, SubscriptionsConfig, Want};
use crate::time::Instant;

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
    /// Whether a token is fetched for it, a fresh one each time (I28).
    pub needs_token: bool,
    /// What the other members are told about this one; `None` stays unseen and sees nobody. It is said again after every
    /// return (A10).
    pub presence: Option<Text>,
    /// Where to begin, if not with what comes from now on: what followed this position is delivered first.
    pub since: Option<Position>,
}

impl Subscription {
    /// The same, with a token of its own.
    #[must_use]
    pub const fn with_token(mut self) -> Self {
        self.needs_token = true;
        self
    }

    /// The same, seen by the other members with these words.
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
}

#[derive(Debug)]
struct Details {
    presence: Option<Text>,
    roster: Roster<String, Member>,
}

impl Channels {
    pub(super) fn new(config: SubscriptionsConfig) -> Result<Self, ConfigError> {
        Ok(Self { subscriptions: Subscriptions::new(config)?, details: BTreeMap::new() })
    }

    pub(super) fn up(&mut self) {
        self.subscriptions.up();
    }

    pub(super) fn down(&mut self) {
        self.subscriptions.down();
        self.details.values_mut().for_each(|details| details.roster.reset());
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.subscriptions.poll_timeout()
    }
}

impl<P: Protocol, R: Rng> Session<P, R> {
    /// Wants a channel's messages from now on, whatever becomes of the transport, until
    /// [`unsubscribe`](Self::unsubscribe). What comes of it is told as [`Event::Subscribed`] or [`Event::Unsubscribed`].
    pub fn subscribe(&mut self, channel: impl Into<Channel>, subscription: Subscription) {
        let channel = channel.into();
        let Subscription { needs_token, presence, since } = subscription;
        if let Some(since) = since.filter(|_| self.channels.subscriptions.standing(&channel).is_none()) {
            self.inbox.start(Some(channel.clone()), since, false);
        }
        let details = self.channels.details.entry(channel.clone());
        details.or_insert_with(|| Details { presence: None, roster: Roster::new() }).presence = presence;
        self.channels.subscriptions.subscribe(channel, needs_token);
        self.pump_channels();
    }

    /// Does not want a channel's messages any more; its position is forgotten. Tells whether it was subscribed to.
    pub fn unsubscribe(&mut self, channel: &Channel) -> bool {
        let known = self.channels.subscriptions.unsubscribe(channel);
        self.channels.details.remove(channel);
        self.inbox.forget(&Some(channel.clone()));
        self.pump_channels();
        known
    }

    /// The last message of a channel that the application has taken.
    #[must_use]
    pub fn position(&self, channel: &Channel) -> Option<Position> {
        self.inbox.position(&Some(channel.clone()))
    }

    /// Every channel that is subscribed to, and how far that is.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&Channel, Standing)> {
        self.channels.subscriptions.iter()
    }

    /// Everyone who is in a channel, as far as this side knows.
    pub fn members(&self, channel: &Channel) -> Vec<Member> {
        let details = self.channels.details.get(channel);
        details
            .into_iter()
            .flat_map(|details| details.roster.iter())
            .map(|(_, member)| member.clone())
            .collect()
    }

    pub(super) fn channel_token(&mut self, channel: &Channel, result: Result<Secret, String>, now: Instant) {
        match result {
            Ok(token) => {
                if self.channels.subscriptions.granted(channel, now) {
                    self.ask_for(channel.clone(), Some(token));
                }
            }
            Err(detail) => {
                let fetching = matches!(
                    self.channels.subscriptions.standing(channel),
                    Some(Standing::Authorizing { .. })
                );
                if fetching {
                    self.subscription_failed(
                        channel.clone(),
                        Problem::new(Problem::UNAVAILABLE, detail),
                        now,
                    );
                }
            }
        }
        self.pump_channels();
    }

    pub(super) fn channels_timeout(&mut self, now: Instant) {
        self.channels.subscriptions.handle_timeout(now, self.link.rng_mut());
        while let Some((channel, retry_in)) = self.channels.subscriptions.poll_unanswered() {
            let problem = Problem::new(Problem::UNAVAILABLE, "nobody answered in time");
            self.tell(Event::Unsubscribed { channel, problem, retry_in: Some(retry_in) });
        }
        self.pump_channels();
    }

    pub(super) fn subscribed(&mut self, channel: Channel, position: Position, recovered: bool) {
        if self.channels.subscriptions.confirmed(&channel) {
            let complete = self.inbox.go_on(Some(channel.clone()), position, recovered);
            self.tell(Event::Subscribed { channel, complete });
        }
    }

    /// A subscription came to its end. One that this side gave up has been forgotten already.
    pub(super) fn unsubscribed(&mut self, channel: Channel, problem: Option<Problem>, now: Instant) {
        if self.channels.subscriptions.standing(&channel).is_some() {
            let problem =
                problem.unwrap_or_else(|| Problem::new("unsubscribed", "the server ended the subscription"));
            self.subscription_failed(channel, problem, now);
        }
    }

    fn subscription_failed(&mut self, channel: Channel, problem: Problem, now: Instant) {
        let for_now = problem.is_retryable();
        let rng = self.link.rng_mut();
        let retry_in = self.channels.subscriptions.failed(&channel, for_now, now, rng);
        self.tell(Event::Unsubscribed { channel, problem, retry_in });
    }

    pub(super) fn members_are(&mut self, channel: &Channel, members: Vec<Member>) {
        if let Some(details) = self.channels.details.get_mut(channel) {
            let members =
                members.into_iter().map(|member| (member.join.clone(), member.join.clone(), member));
            details.roster.snapshot(members);
        }
        self.tell_presence(channel);
    }

    pub(super) fn member_joined(&mut self, channel: &Channel, member: Member) {
        if let Some(details) = self.channels.details.get_mut(channel) {
            details.roster.joined(member.join.clone(), member.join.clone(), member);
        }
        self.tell_presence(channel);
    }

    pub(super) fn member_left(&mut self, channel: &Channel, member: &Member) {
        if let Some(details) = self.channels.details.get_mut(channel) {
            details.roster.left(&member.join, member.join.clone());
        }
        self.tell_presence(channel);
    }

    fn tell_presence(&mut self, channel: &Channel) {
        let Some(details) = self.channels.details.get_mut(channel) else { return };
        while let Some(change) = details.roster.poll_change() {
            let change = match change {
                RosterChange::Joined { value, .. } => PresenceEvent::Joined(value),
                RosterChange::Left { value, .. } => PresenceEvent::Left(value),
            };
            self.actions
                .push_back(SessionAction::Event(Event::Presence { channel: channel.clone(), change }));
        }
    }

    /// Does what the subscriptions want.
    pub(super) fn pump_channels(&mut self) {
        let now = self.link.now();
        while let Some(want) = self.channels.subscriptions.poll_want(now) {
            match want {
                Want::Token(channel) => self.actions.push_back(SessionAction::FetchChannelToken { channel }),
                Want::Subscribe(channel) => self.ask_for(channel, None),
                Want::Unsubscribe(channel) => {
                    self.protocol.command(Command::Unsubscribe { channel }, &mut self.frames);
                    self.control.extend(self.frames.drain(..));
                }
            }
        }
    }

    fn ask_for(&mut self, channel: Channel, token: Option<Secret>) {
        let since = self.inbox.position(&Some(channel.clone()));
        let presence = self.channels.details.get(&channel).and_then(|details| details.presence.clone());
        let command = Command::Subscribe { channel: channel.clone(), since, token, presence };
        self.protocol.command(command, &mut self.frames);
        if self.frames.is_empty() {
            let problem = Problem::new("not_supported", "this protocol has no channels");
            self.subscription_failed(channel, problem, self.link.now());
        }
        self.control.extend(self.frames.drain(..));
    }
}
