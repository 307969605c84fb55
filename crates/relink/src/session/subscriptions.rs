//! What to subscribe to again, after every welcome, with failures of its own.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

use rand_core::Rng;

use crate::base::config::{ConfigError, MILLISECOND, YEAR, config};
use crate::base::time::{Instant, secs};
use crate::policy::backoff::{Backoff, Schedule};

config! {
    /// How subscriptions come back.
    pub struct SubscriptionsConfig at "subscriptions." {
        /// Whether everything that was subscribed to is subscribed to again when the link is back.
        /// Otherwise that is the application's affair; where it stood in each stream is remembered
        /// all the same.
        pub resubscribe / with_resubscribe: bool = true;
        /// How long the answer to one request may take, for a token too, before it counts as
        /// failed. Long enough for a busy server, short enough that a person does not ask.
        pub answer_timeout / with_answer_timeout: Duration = secs(10), in MILLISECOND..=YEAR;
        /// How long until a subscription that failed for now is tried again.
        pub retry / with_retry: Backoff;
    }
}

/// What to do for a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionAction<K> {
    /// Fetch a fresh token for it, then say so with [`Subscriptions::granted`].
    Token(K),
    /// Ask the peer for it.
    Subscribe(K),
    /// Tell the peer that it is not wanted any more.
    Unsubscribe(K),
}

/// The subscriptions of a link, by their identity `K`: each is wanted until the application does
/// not want it any more, and asked for again whenever the link is back. One that fails costs
/// neither the link nor the others: where the failure is for now it is tried again after a while,
/// where it is for good it waits for the application.
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
    config: SubscriptionsConfig,
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
    /// Whether the peer may know of it, over this link.
    was_asked: bool,
    /// What waits to be done for it, so that it is found again without a search.
    want: Option<u64>,
    standing: SubscriptionState,
    schedule: Schedule,
}

/// Where a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionState {
    /// It will be asked for as soon as there is a link.
    Wanted,
    /// A token is being fetched for it.
    Authorizing {
        /// When that has taken too long.
        until: Instant,
    },
    /// The peer was asked.
    Asked {
        /// When that has taken too long.
        until: Instant,
    },
    /// Messages come.
    Active,
    /// It failed, and is tried again.
    Waiting {
        /// When.
        until: Instant,
    },
    /// It failed for good, or it went with the link and is not asked for again by itself.
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
            config,
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
    /// None yet.
    ///
    /// # Errors
    ///
    /// The first field of the configuration that cannot work.
    pub fn new(config: SubscriptionsConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self::with_config(config))
    }

    // What the application wants.

    /// Wants it from now on; asked for at once if there is a link. What is active stays so.
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

    /// What it is asked for with has changed: where that was under way or done already, it is done
    /// again.
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

    /// Does not want it any more. Tells whether it was wanted.
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

    // What happened.

    /// The link is usable: everything that is wanted is asked for, in the order of the keys.
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

    /// The token is here: the peer can be asked. Tells whether it was waited for.
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

    /// The peer has agreed. Tells whether anybody still wants it.
    pub fn confirmed(&mut self, key: &K) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        entry.schedule.reset();
        // Whoever is about to ask again has not got that answer yet.
        if !matches!(
            entry.standing,
            SubscriptionState::Wanted | SubscriptionState::Authorizing { .. }
        ) {
            self.set_state(key, SubscriptionState::Active);
        }
        true
    }

    /// The peer has refused or ended it, or no token could be had; `for_now` where trying again may
    /// help. Tells when that will be.
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

    /// Taken out whatever becomes of it, so that there is an end to them.
    fn next_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        self.deadlines.first().filter(|(at, _)| *at <= now)?;
        self.deadlines.pop_first()
    }

    // What to do.

    /// The next thing to do for a subscription, while there is a link: now, as the time for the
    /// answer runs from here. If there is no room for it, ask later; what waits here is bounded by
    /// the number of subscriptions.
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
            // The peer may have agreed, or refused, before it was asked.
            if self.standing(key) == Some(SubscriptionState::Wanted) {
                self.set_state(key, standing);
                return Some(want);
            }
        }
        None
    }

    /// Whether there may be something to do, while there is a link.
    pub(crate) fn has_wants(&self) -> bool {
        self.is_up && !self.wants.is_empty()
    }

    /// A subscription that nobody answered, and when it is tried again.
    pub fn poll_unanswered(&mut self) -> Option<(K, Duration)> {
        self.failures.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at).filter(|at| *at < Instant::END)
    }

    /// Where one stands, if it is known.
    #[must_use]
    pub fn standing(&self, key: &K) -> Option<SubscriptionState> {
        self.entries.get(key).map(|entry| entry.standing)
    }

    /// All that are known, in the order of their keys.
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
