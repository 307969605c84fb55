//! Who may connect now: limits per address, over all, and per user; and when to come back, for
//! those who may not.

mod addresses;
mod gate;
mod users;

use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;
use relink::internal::{config, positive, within};
use relink::policy::Rate;
use relink::time::HumanDuration;
use relink::{CloseCode, ConfigError, Instant};

use self::addresses::Addresses;
use self::gate::Gate;
use self::users::Users;

config! {
    /// The limits on new connections.
    ///
    /// | field | default |
    /// |---|---|
    /// | `per_address` | 20 at once, then two a second |
    /// | `overall` | 400 at once, then 200 a second |
    /// | `per_user` | off |
    /// | `max_addresses` | 10,000 |
    /// | `cap_retry_after` | 30 s |
    /// | `longest_wait` | 60 s |
    /// | `claim_timeout` | 10 s |
    pub struct AdmissionConfig {
        /// New connections from one address. Behind one address may sit a household or an office:
        /// all of it is back at once after a short drop, while a single machine in a loop is held
        /// to two attempts a second.
        pub per_address / with_per_address: Rate = Rate { burst: 20, refill: Duration::from_millis(500) },
        /// New connections from all addresses together: what one node can take, about a millisecond
        /// of TLS and a look at a token each, and two seconds' worth of it at once. The same rate
        /// that a [`Drain`](super::Drain) assumes.
        pub overall / with_overall: Rate = Rate { burst: 400, refill: Duration::from_millis(5) },
        /// Maximum number of connections of one user. `off` counts nobody: how many devices a
        /// person may use is the application's business.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::duration::limit"))]
        pub per_user / with_per_user: Option<u32> = None,
        /// Maximum number of addresses that are remembered, about 150 bytes each: memory stays
        /// bounded whatever a peer does. An address is forgotten when its bucket is full again,
        /// which takes 10 s.
        pub max_addresses / with_max_addresses: usize = 10_000,
        /// What a connection above `per_user` is told (clients wait at least 30 s after 4010
        /// anyway).
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::duration"))]
        pub cap_retry_after / with_cap_retry_after: Duration = Duration::from_secs(30),
        /// Those who are refused one after the other are told ever later times, up to this; then
        /// the times start over. Longer spreads a larger crowd; shorter keeps a crowd that means
        /// harm from sending the others far away.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::duration"))]
        pub longest_wait / with_longest_wait: Duration = Duration::from_secs(60),
        /// A claim of a place per user is dropped when the connection did not authenticate within
        /// this time.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::duration"))]
        pub claim_timeout / with_claim_timeout: Duration = Duration::from_secs(10),
    }
}

/// The largest burst that means anything for one node.
const MOST_AT_ONCE: u32 = 1_000_000;

/// A node may take more than a thousand connections in a second.
const SHORTEST_REFILL: Duration = Duration::from_micros(1);

impl AdmissionConfig {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// A count or a duration of zero, a burst above a million, a refill below 1 µs, a duration
    /// above 365 days.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let names = ["admission.per_address.burst", "admission.per_address.refill"];
        self.per_address.validate(names, MOST_AT_ONCE, SHORTEST_REFILL)?;
        let names = ["admission.overall.burst", "admission.overall.refill"];
        self.overall.validate(names, MOST_AT_ONCE, SHORTEST_REFILL)?;
        within("admission.per_user", self.per_user.unwrap_or(1), 1, u32::MAX)?;
        within("admission.max_addresses", self.max_addresses, 1, usize::MAX)?;
        positive("admission.cap_retry_after", self.cap_retry_after)?;
        positive("admission.longest_wait", self.longest_wait)?;
        positive("admission.claim_timeout", self.claim_timeout)
    }
}

/// A connection may not be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; try again in {}", HumanDuration(*.retry_after))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AdmissionError {
    /// Which limit says so.
    pub reason: AdmissionErrorKind,
    /// When to come back: for `Retry-After`, rounded up to its whole seconds, or for the reason of
    /// a close frame.
    #[cfg_attr(feature = "serde", serde(with = "relink::internal::duration"))]
    pub retry_after: Duration,
}

/// Which limit a connection met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum AdmissionErrorKind {
    /// `per_address`.
    Address,
    /// `overall`.
    Overall,
    /// `per_user`.
    User,
}

impl AdmissionErrorKind {
    /// The HTTP status that refuses the handshake: 429 where this client did too much (RFC 6585),
    /// 503 where all of them did.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Address | Self::User => 429,
            Self::Overall => 503,
        }
    }

    /// The code that closes a connection which is open already: 4010 for the cap per user, 1013
    /// otherwise.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::User => CloseCode::CONCURRENT_CAP,
            Self::Address | Self::Overall => CloseCode::TRY_AGAIN_LATER,
        }
    }
}

impl core::fmt::Display for AdmissionErrorKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Address => "too many new connections from this address",
            Self::Overall => "too many new connections",
            Self::User => "too many connections of this user",
        })
    }
}

/// Admits connections: `A` is an address, `U` a user, `K` a connection.
///
/// Ask [`admit`](Self::admit) before the WebSocket handshake is answered, and
/// [`enter`](Self::enter) when it is known whose the connection is.
///
/// ```
/// use relink::Instant;
/// use relink_node::{Admission, AdmissionConfig, AdmissionErrorKind, address_key};
///
/// let now = Instant::ORIGIN;
/// let mut admission = Admission::new(AdmissionConfig::default().with_per_user(Some(1)));
/// let address = address_key("2001:db8:1:2:3:4:5:6".parse()?);
/// for _ in 0..20 {
///     admission.admit(address, now)?;
/// }
/// let refused = admission.admit(address, now).unwrap_err();
/// assert_eq!(refused.to_string(), "too many new connections from this address; try again in 500ms");
/// assert_eq!(refused.reason.http_status(), 429);
///
/// admission.enter("ada", 1, now)?;
/// let refused = admission.enter("ada", 2, now).unwrap_err();
/// assert_eq!(refused.reason.close_code().0, 4010);
/// admission.leave(&"ada", &1);
/// admission.enter("ada", 2, now)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Admission<A, U, K = u64> {
    config: AdmissionConfig,
    addresses: Addresses<A>,
    overall: Gate,
    users: Users<U, K>,
    untracked: u64,
}

impl<A: Ord + Clone, U: Ord + Clone, K: Ord + Clone> Admission<A, U, K> {
    /// Nobody has come yet: all buckets are full.
    #[must_use]
    pub const fn new(config: AdmissionConfig) -> Self {
        Self {
            config,
            addresses: Addresses::new(),
            overall: Gate::new(config.overall),
            users: Users::new(),
            untracked: 0,
        }
    }

    /// Whether a connection from this address may be made now. What is refused costs neither limit
    /// anything. With a table full of busy addresses, new ones are judged by the limit over all
    /// alone; see [`untracked`](Self::untracked).
    ///
    /// # Errors
    ///
    /// Too many from this address, or over all. Whoever is refused is told when the next place is
    /// free that nobody who was refused before was told of. It is not kept for them: whoever comes
    /// first, gets it.
    pub fn admit(&mut self, address: A, now: Instant) -> Result<(), AdmissionError> {
        let longest = self.config.longest_wait;
        self.addresses.forget_idle(now);
        if let Some(retry_after) =
            self.addresses.refusal(&address, self.config.per_address, longest, now)
        {
            return Err(AdmissionError { reason: AdmissionErrorKind::Address, retry_after });
        }
        if let Some(retry_after) = self.overall.refusal(self.config.overall, longest, now) {
            return Err(AdmissionError { reason: AdmissionErrorKind::Overall, retry_after });
        }
        self.overall.take(self.config.overall, now);
        if !self.addresses.take(address, self.config.per_address, self.config.max_addresses, now) {
            self.untracked = self.untracked.saturating_add(1);
        }
        Ok(())
    }

    /// Connection `id` says that it is `user`'s, and has yet to prove it. It holds a place for
    /// `claim_timeout`; then the place is free again, unless [`enter`](Self::enter) came first.
    ///
    /// # Errors
    ///
    /// The user has as many connections as `per_user` allows.
    pub fn claim(&mut self, user: U, id: K, now: Instant) -> Result<(), AdmissionError> {
        self.hold(user, id, Some(now + self.config.claim_timeout), now)
    }

    /// Connection `id` is `user`'s: it holds a place until [`leave`](Self::leave). One that claimed
    /// its place keeps it, if that was in time. Entering again changes nothing.
    ///
    /// # Errors
    ///
    /// The user has as many connections as `per_user` allows: close this one with 4010.
    pub fn enter(&mut self, user: U, id: K, now: Instant) -> Result<(), AdmissionError> {
        self.hold(user, id, None, now)
    }

    /// Connection `id` is gone. Nothing happens where it holds no place.
    pub fn leave(&mut self, user: &U, id: &K) {
        self.users.leave(user, id);
    }

    /// How many places a user holds, the claimed ones included. Zero where `per_user` is off.
    #[must_use]
    pub fn connections_of(&self, user: &U) -> usize {
        self.users.count(user)
    }

    /// How many addresses are remembered.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// How many connections were admitted without a limit on their address, because `max_addresses`
    /// others were busy. More than a few: somebody has many addresses, or `max_addresses` is too
    /// low.
    #[must_use]
    pub const fn untracked(&self) -> u64 {
        self.untracked
    }

    fn hold(
        &mut self,
        user: U,
        id: K,
        until: Option<Instant>,
        now: Instant,
    ) -> Result<(), AdmissionError> {
        let Some(cap) = self.config.per_user else { return Ok(()) };
        self.users.release_overdue(now);
        if self.users.hold(user, id, until, cap) {
            return Ok(());
        }
        Err(AdmissionError {
            reason: AdmissionErrorKind::User,
            retry_after: self.config.cap_retry_after,
        })
    }
}

/// The key under which an address is limited: an IPv6 address counts as its /64, since whoever has
/// one has all of them; an IPv4 address that is written as IPv6 counts as IPv4.
#[must_use]
pub const fn address_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}
