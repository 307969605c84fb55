//! Which channels to subscribe to again after every welcome, and the failures of each.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::time::Duration;

use rand_core::Rng;

use crate::base::config::{ConfigError, MILLISECOND, YEAR, config};
use crate::base::time::{Instant, secs};
use crate::policy::backoff::{Backoff, Schedule};

config! {
    /// How subscriptions come back.
    pub struct SubscriptionsConfig at "subscriptions.", then check_retry {
        /// Whether all channels are subscribed to again when the link is back. If not, the
        /// application has to do so; the positions are remembered in either case.
        pub resubscribe / with_resubscribe: bool = true;
        /// How long the answer to one request may take, for a token too, before it counts as
        /// failed. Long enough for a busy server, short enough that a user does not wonder.
        pub answer_timeout / with_answer_timeout: Duration = secs(10), in MILLISECOND..=YEAR;
        /// How long until a subscription that failed temporarily is tried again.
        pub retry / with_retry: Backoff = Backoff::default();
    }
}

impl SubscriptionsConfig {
    fn check_retry(&self) -> Result<(), ConfigError> {
        self.retry.validate().map_err(|error| error.in_table("subscriptions.retry"))
    }
}

/// What to do for a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionAction<K> {
    /// Fetch a fresh token for it, then call [`Subscriptions::granted`].
    Token(K),
    /// Send a subscribe request.
    Subscribe(K),
    /// Send an unsubscribe request.
    Unsubscribe(K),
}

/// The subscriptions of a link, by their identity `K`: each lasts until the application
/// unsubscribes, and is requested again whenever the link is back. A failure affects neither the
/// link nor the others: if it is temporary, the subscription is tried again after a while; if it is
/// final, it waits for the application.
///
/// ```
/// use core::time::Duration;
/// use relink::Instant;
/// use relink::session::{Subscriptions, SubscriptionAction};
///
/// let mut now = Instant::ORIGIN;
/// let mut subscriptions = Subscriptions::default();
/// subscriptions.subscribe("lobby", false);
/// assert_eq!(subscriptions.poll_want(now), None, "there is no link yet");
///
/// subscriptions.up();
/// assert_eq!(subscriptions.poll_want(now), Some(SubscriptionAction::Subscribe("lobby")));
/// subscriptions.confirmed(&"lobby");
///
/// subscriptions.down();
/// now = now + Duration::from_secs(3);
/// subscriptions.up();
/// assert_eq!(subscriptions.poll_want(now), Some(SubscriptionAction::Subscribe("lobby")), "again, by itself");
/// ```
#[derive(Debug, Clone)]
pub struct Subscriptions<K> {
    config: Arc<SubscriptionsConfig>,
    entries: BTreeMap<K, Entry>,
    deadlines: BTreeSet<(Instant, K)>,
    /// What to do, in order, by numbers that only grow.
    wants: BTreeMap<u64, SubscriptionAction<K>>,
    last_want: u64,
    failures: VecDeque<(K, Duration)>,
    is_up: bool,
}

#[derive(Debug, Clone)]
struct Entry {
    needs_token: bool,
    /// Whether the peer may know of it, on this link.
    was_asked: bool,
    /// What waits to be done for it, so that it is found again without a search.
    want: Option<u64>,
    standing: SubscriptionState,
    schedule: Schedule,
}

/// The state of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionState {
    /// It will be requested as soon as the link is usable.
    Wanted,
    /// A token is being fetched for it.
    Authorizing {
        /// When that times out.
        until: Instant,
    },
    /// It was requested.
    Asked {
        /// When that times out.
        until: Instant,
    },
    /// The peer has confirmed it.
    Active,
    /// It failed, and will be tried again.
    Waiting {
        /// When.
        until: Instant,
    },
    /// It failed for good, or it ended with the link and `resubscribe` is off.
    Over,
}

impl SubscriptionState {
    const fn deadline(self) -> Option<Instant> {
        match self {
            Self::Authorizing { until } | Self::Asked { until } | Self::Waiting { until } => {
                Some(until)
            }
            Self::Wanted | Self::Active | Self::Over => None,
        }
    }
}

impl<K> Default for Subscriptions<K> {
    fn default() -> Self {
        Self::with_config(SubscriptionsConfig::default())
    }
}

impl<K> Subscriptions<K> {
    fn with_config(config: SubscriptionsConfig) -> Self {
        Self {
            config: Arc::new(config),
            entries: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            wants: BTreeMap::new(),
            last_want: 0,
            failures: VecDeque::new(),
            is_up: false,
        }
    }
}

impl<K: Ord + Clone> Subscriptions<K> {
    /// Creates an empty set.
    ///
    /// # Errors
    ///
    /// The first field of the configuration that cannot work.
    pub fn new(config: SubscriptionsConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self::with_config(config))
    }

    /// The configuration, to share it.
    pub(super) const fn config_mut(&mut self) -> &mut Arc<SubscriptionsConfig> {
        &mut self.config
    }

    // Calls of the application.

    /// Adds a subscription, which is requested at once if the link is usable. An active one stays
    /// active.
    pub fn subscribe(&mut self, key: K, needs_token: bool) {
        let entry = self.entries.entry(key.clone()).or_insert(Entry {
            needs_token,
            was_asked: false,
            want: None,
            standing: SubscriptionState::Over,
            schedule: Schedule::default(),
        });
        entry.needs_token = needs_token;
        let idle =
            matches!(entry.standing, SubscriptionState::Over | SubscriptionState::Waiting { .. });
        if idle {
            entry.schedule.reset();
            self.set_state(&key, SubscriptionState::Wanted);
            self.ask(&key);
        }
    }

    /// The parameters of the request have changed: if it was sent already, it is sent again.
    pub fn again(&mut self, key: &K) {
        let standing = self.standing(key);
        if matches!(
            standing,
            Some(
                SubscriptionState::Authorizing { .. }
                    | SubscriptionState::Asked { .. }
                    | SubscriptionState::Active
            )
        ) {
            self.set_state(key, SubscriptionState::Wanted);
            self.ask(key);
        }
    }

    /// Removes a subscription. Returns true if there was one.
    pub fn unsubscribe(&mut self, key: &K) -> bool {
        let Some(Entry { standing, was_asked, want, .. }) = self.entries.remove(key) else {
            return false;
        };
        self.unwatch(key, standing);
        if let Some(want) = want {
            self.wants.remove(&want);
        }
        if was_asked {
            self.push_want(SubscriptionAction::Unsubscribe(key.clone()));
        }
        true
    }

    // Events.

    /// The link is usable: all subscriptions are requested, in the order of the keys.
    pub fn up(&mut self) {
        if core::mem::replace(&mut self.is_up, true) {
            return;
        }
        let keys: alloc::vec::Vec<K> = self.entries.keys().cloned().collect();
        keys.iter().for_each(|key| self.ask(key));
    }

    /// The link is lost, and every subscription with it.
    pub fn down(&mut self) {
        self.is_up = false;
        self.wants.clear();
        self.deadlines.clear();
        for entry in self.entries.values_mut() {
            (entry.was_asked, entry.want) = (false, None);
            let stays = self.config.resubscribe || entry.standing == SubscriptionState::Wanted;
            entry.standing = if stays && entry.standing != SubscriptionState::Over {
                SubscriptionState::Wanted
            } else {
                SubscriptionState::Over
            };
        }
    }

    /// The token was fetched: the request can be sent. Returns true if it was waited for.
    pub fn granted(&mut self, key: &K, now: Instant) -> bool {
        let waited = matches!(self.standing(key), Some(SubscriptionState::Authorizing { .. }));
        if waited {
            self.set_state(
                key,
                SubscriptionState::Asked { until: now + self.config.answer_timeout },
            );
        }
        waited
    }

    /// The peer has confirmed. Returns true if the subscription still exists.
    pub fn confirmed(&mut self, key: &K) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        entry.schedule.reset();
        // A request that is about to be sent again is not answered by this.
        if !matches!(
            entry.standing,
            SubscriptionState::Wanted | SubscriptionState::Authorizing { .. }
        ) {
            self.set_state(key, SubscriptionState::Active);
        }
        true
    }

    /// The peer has refused or ended it, or the token could not be fetched; `for_now` if retrying
    /// may help. Returns when it will be tried again.
    pub fn failed<R: Rng + ?Sized>(
        &mut self,
        key: &K,
        for_now: bool,
        now: Instant,
        rng: &mut R,
    ) -> Option<Duration> {
        let entry = self.entries.get_mut(key)?;
        entry.was_asked = false;
        if for_now {
            return self.try_later(key, now, rng);
        }
        self.set_state(key, SubscriptionState::Over);
        None
    }

    fn try_later<R: Rng + ?Sized>(
        &mut self,
        key: &K,
        now: Instant,
        rng: &mut R,
    ) -> Option<Duration> {
        let entry = self.entries.get_mut(key)?;
        let delay = entry.schedule.next_window(&self.config.retry).draw(rng);
        entry.schedule.record(delay);
        self.set_state(key, SubscriptionState::Waiting { until: now + delay });
        Some(delay)
    }

    /// Time has passed.
    pub fn handle_timeout<R: Rng + ?Sized>(&mut self, now: Instant, rng: &mut R) {
        while let Some((_, key)) = self.next_due(now) {
            if let Some(SubscriptionState::Waiting { .. }) = self.standing(&key) {
                self.set_state(&key, SubscriptionState::Wanted);
                self.ask(&key);
            } else if let Some(delay) = self.try_later(&key, now, rng) {
                self.failures.push_back((key, delay));
            }
        }
    }

    /// Removed in any case, so that the loop ends.
    fn next_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        self.deadlines.first().filter(|(at, _)| *at <= now)?;
        self.deadlines.pop_first()
    }

    // What to do.

    /// The next action for a subscription, while the link is usable. Carry it out now, as its
    /// timeout starts here. If there is no room for it, poll later; what waits is bounded by the
    /// number of subscriptions.
    pub fn poll_want(&mut self, now: Instant) -> Option<SubscriptionAction<K>> {
        if !self.is_up {
            return None;
        }
        let until = now + self.config.answer_timeout;
        while let Some((_, want)) = self.wants.pop_first() {
            let (key, standing) = match &want {
                SubscriptionAction::Token(key) => (key, SubscriptionState::Authorizing { until }),
                SubscriptionAction::Subscribe(key) => (key, SubscriptionState::Asked { until }),
                SubscriptionAction::Unsubscribe(_) => return Some(want),
            };
            if let Some(entry) = self.entries.get_mut(key) {
                entry.want = None;
            }
            // The peer may have confirmed or refused before the request.
            if self.standing(key) == Some(SubscriptionState::Wanted) {
                self.set_state(key, standing);
                return Some(want);
            }
        }
        None
    }

    /// Whether there may be an action, while the link is usable.
    pub(crate) fn has_wants(&self) -> bool {
        self.is_up && !self.wants.is_empty()
    }

    /// A subscription whose request was not answered, and when it is tried again.
    pub fn poll_unanswered(&mut self) -> Option<(K, Duration)> {
        self.failures.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at).filter(|at| *at < Instant::END)
    }

    /// The state of a subscription, if there is one.
    #[must_use]
    pub fn standing(&self, key: &K) -> Option<SubscriptionState> {
        self.entries.get(key).map(|entry| entry.standing)
    }

    /// All subscriptions, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, SubscriptionState)> {
        self.entries.iter().map(|(key, entry)| (key, entry.standing))
    }

    fn ask(&mut self, key: &K) {
        let Some(entry) = self.entries.get(key) else { return };
        if !self.is_up || entry.standing != SubscriptionState::Wanted {
            return;
        }
        if let Some(earlier) = entry.want {
            self.wants.remove(&earlier);
        }
        let want = if entry.needs_token {
            SubscriptionAction::Token(key.clone())
        } else {
            SubscriptionAction::Subscribe(key.clone())
        };
        let number = self.push_want(want);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.want = Some(number);
        }
    }

    fn push_want(&mut self, want: SubscriptionAction<K>) -> u64 {
        self.last_want += 1;
        self.wants.insert(self.last_want, want);
        self.last_want
    }

    fn set_state(&mut self, key: &K, standing: SubscriptionState) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let before = core::mem::replace(&mut entry.standing, standing);
        entry.was_asked |=
            matches!(standing, SubscriptionState::Asked { .. } | SubscriptionState::Active);
        self.unwatch(key, before);
        if let Some(at) = standing.deadline() {
            self.deadlines.insert((at, key.clone()));
        }
        true
    }

    fn unwatch(&mut self, key: &K, standing: SubscriptionState) {
        if let Some(at) = standing.deadline() {
            self.deadlines.remove(&(at, key.clone()));
        }
    }
}
