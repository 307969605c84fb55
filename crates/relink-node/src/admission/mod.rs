//! Who may connect: limits on how many connections there are and on how fast they come, from one
//! address and from all together; and a time to come back for those above a limit.

mod addresses;
mod gate;

use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;
use relink::internal::{MILLISECOND, YEAR, config, mins, nanos, secs};
use relink::policy::Rate;
use relink::time::HumanDuration;
use relink::{ConfigError, Instant};

use self::addresses::Addresses;
use self::gate::Gate;

config! {
    /// The limits on connections before anything is known about them but their address. How many
    /// one user may have is set by [`NodeConfig::per_user`](crate::NodeConfig::per_user).
    pub struct AdmissionConfig at "admission.", then check_rates {
        /// Maximum number of connections; a further one is refused with 503. An idle connection
        /// takes about 10 KiB.
        pub max_connections / with_max_connections: usize = 50_000, in 1..;
        /// Maximum number of connections from one IP address, or one IPv6 network of a customer
        /// (/64); a further one is refused with 429. Large enough for an office, or a mobile
        /// network, behind one address. Behind a proxy all clients have the address of the proxy,
        /// unless the server learns theirs: then this is another `max_connections`.
        pub max_per_address / with_max_per_address: usize = 1_000, in 1..;
        /// The minimum delay of a client that one of these two refuses; each gets another one, up
        /// to twice as long.
        pub retry_after / with_retry_after: Duration = secs(10), in MILLISECOND..=YEAR;
        /// New connections from all addresses together. Off by default, as is `rate_per_address`:
        /// see [`direct`](Self::direct).
        pub rate / with_rate: Option<Rate> = None;
        /// New connections from one address.
        pub rate_per_address / with_rate_per_address: Option<Rate> = None;
        /// Maximum number of addresses whose rate is remembered, about 150 bytes each: memory stays
        /// bounded whatever a peer does. An address is forgotten when its bucket is full again.
        pub max_addresses / with_max_addresses: usize = 10_000, in 1..;
        /// Clients that come too fast get ever later times, one after the other, up to this; then
        /// the times start over. Longer spreads a larger crowd; shorter limits how far an attacker
        /// can push the times of others.
        pub longest_wait / with_longest_wait: Duration = mins(1), in MILLISECOND..=YEAR;
    }
}

/// The largest burst that makes sense for one node.
const MOST_AT_ONCE: u32 = 1_000_000;

/// A node may take more than a thousand connections in a second.
const SHORTEST_REFILL: Duration = Duration::from_micros(1);

impl AdmissionConfig {
    /// With both rates on, for clients that connect directly, or whose addresses the server learns
    /// from its proxy. Without that, everybody comes from the proxy's address.
    ///
    /// From one address, 20 at once and then two a second: behind it may sit a household or an
    /// office, all of which is back at once after a short drop, while a single machine in a loop is
    /// held to two attempts a second. From all together, 400 at once and then 200 a second: the
    /// capacity of one node, at about a millisecond of TLS and a token check each, and two seconds'
    /// worth of it at once. The same rate that a [`Drain`](super::Drain) assumes.
    #[must_use]
    pub fn direct() -> Self {
        Self::default()
            .with_rate(Some(Rate { burst: 400, refill: Duration::from_millis(5) }))
            .with_rate_per_address(Some(Rate { burst: 20, refill: Duration::from_millis(500) }))
    }

    fn check_rates(&self) -> Result<(), ConfigError> {
        let check = |rate: Option<Rate>, names| {
            rate.map_or(Ok(()), |rate| rate.validate(names, MOST_AT_ONCE, SHORTEST_REFILL))
        };
        check(self.rate, ["admission.rate.burst", "admission.rate.refill"])?;
        let names = ["admission.rate_per_address.burst", "admission.rate_per_address.refill"];
        check(self.rate_per_address, names)
    }
}

/// A connection is refused now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; try again in {}", HumanDuration(*.retry_after))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AdmissionError {
    /// The limit that was met.
    pub reason: AdmissionErrorKind,
    /// When to come back: for `Retry-After`, rounded up to its whole seconds.
    #[cfg_attr(feature = "serde", serde(with = "relink::internal::setting"))]
    pub retry_after: Duration,
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum AdmissionErrorKind {
    /// `max_connections`.
    Full,
    /// `max_per_address`.
    AddressFull,
    /// `rate`.
    Rate,
    /// `rate_per_address`.
    AddressRate,
}

impl AdmissionErrorKind {
    /// The HTTP status that refuses the handshake: 429 if this client did too much (RFC 6585), 503
    /// if all of them did.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::AddressFull | Self::AddressRate => 429,
            Self::Full | Self::Rate => 503,
        }
    }
}

impl core::fmt::Display for AdmissionErrorKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Full => "server is at capacity",
            Self::AddressFull => "too many connections from one address",
            Self::Rate => "too many new connections",
            Self::AddressRate => "too many new connections from this address",
        })
    }
}

/// Admits connections, before the WebSocket handshake is answered. `A` is an address, as
/// [`address_key`] makes it from an IP address.
///
/// ```
/// use relink::Instant;
/// use relink_node::{Admission, AdmissionConfig, address_key};
///
/// let now = Instant::ORIGIN;
/// let mut admission = Admission::new(AdmissionConfig::direct().with_max_connections(20));
/// let address = Some(address_key("2001:db8:1:2:3:4:5:6".parse()?));
/// for _ in 0..20 {
///     admission.admit(address, now)?;
/// }
/// let refused = admission.admit(address, now).unwrap_err();
/// assert_eq!(refused.reason.http_status(), 503);
///
/// admission.leave(address);
/// let refused = admission.admit(address, now).unwrap_err();
/// assert_eq!(refused.to_string(), "too many new connections from this address; try again in 500ms");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Admission<A> {
    config: AdmissionConfig,
    connections: usize,
    addresses: Addresses<A>,
    /// All new connections, if they are limited.
    gate: Option<Gate>,
    refused: u64,
    /// How many times to come back were given out beside those of the rates.
    told: u32,
    untracked: u64,
}

impl<A: Ord + Clone> Admission<A> {
    /// Without connections.
    #[must_use]
    pub fn new(config: AdmissionConfig) -> Self {
        Self {
            config,
            connections: 0,
            addresses: Addresses::new(),
            gate: config.rate.map(Gate::new),
            refused: 0,
            told: 0,
            untracked: 0,
        }
    }

    /// Whether a connection may be made now: it counts until [`leave`](Self::leave). What is
    /// refused costs no limit anything. Without an address, it is for the limits on all together
    /// alone; and so are new addresses if too many others are busy, as far as their rate is
    /// concerned (see [`untracked`](Self::untracked)).
    ///
    /// # Errors
    ///
    /// The limit that was met. One that comes too fast gets the time of the next place that was not
    /// promised yet. The place is not kept: the first to come gets it.
    pub fn admit(&mut self, address: Option<A>, now: Instant) -> Result<(), AdmissionError> {
        let refused = self.refusal(address.as_ref(), now);
        if let Some(error) = refused {
            self.refused = self.refused.saturating_add(1);
            return Err(error);
        }
        self.connections = self.connections.saturating_add(1);
        if let Some((gate, rate)) = self.gate.as_mut().zip(self.config.rate) {
            gate.take(rate, now);
        }
        let Some(address) = address else { return Ok(()) };
        if let Some(rate) = self.config.rate_per_address {
            let max = self.config.max_addresses;
            if !self.addresses.take(address.clone(), rate, max, now) {
                self.untracked = self.untracked.saturating_add(1);
            }
        }
        self.addresses.enter(address);
        Ok(())
    }

    fn refusal(&mut self, address: Option<&A>, now: Instant) -> Option<AdmissionError> {
        let AdmissionConfig { max_connections, max_per_address, longest_wait, .. } = self.config;
        self.addresses.forget_idle(now);
        let here = address.map_or(0, |address| self.addresses.connections(address));
        if self.connections >= max_connections || here >= max_per_address {
            let is_full = self.connections >= max_connections;
            let reason =
                if is_full { AdmissionErrorKind::Full } else { AdmissionErrorKind::AddressFull };
            return Some(AdmissionError { reason, retry_after: self.retry_after() });
        }
        if let Some((address, rate)) = address.zip(self.config.rate_per_address) {
            if let Some(retry_after) = self.addresses.refusal(address, rate, longest_wait, now) {
                return Some(AdmissionError {
                    reason: AdmissionErrorKind::AddressRate,
                    retry_after,
                });
            }
        }
        let (gate, rate) = self.gate.as_mut().zip(self.config.rate)?;
        let retry_after = gate.refusal(rate, longest_wait, now)?;
        Some(AdmissionError { reason: AdmissionErrorKind::Rate, retry_after })
    }

    /// A connection from this address is gone.
    pub fn leave(&mut self, address: Option<A>) {
        self.connections = self.connections.saturating_sub(1);
        if let Some(address) = address {
            self.addresses.leave(&address);
        }
    }

    /// When one that is refused for another reason should come back: between
    /// [`retry_after`](AdmissionConfig::retry_after) and twice that, in even steps, so that a crowd
    /// comes back one by one.
    #[must_use]
    pub fn retry_after(&mut self) -> Duration {
        // Multiples of the golden ratio fall into all parts of an interval alike.
        const GOLDEN: u32 = 0x9E37_79B9;
        self.told = self.told.wrapping_add(1);
        let base = self.config.retry_after;
        let more = (u128::from(nanos(base)) * u128::from(self.told.wrapping_mul(GOLDEN))) >> 32;
        base.saturating_add(Duration::from_nanos(u64::try_from(more).unwrap_or(u64::MAX)))
    }

    /// How many connections there are.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.connections
    }

    /// How many were refused so far.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// How many addresses are remembered for their rate.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// How many connections were admitted without a limit on the rate of their address, because
    /// `max_addresses` others were busy. More than a few: a client has many addresses, or
    /// `max_addresses` is too low.
    #[must_use]
    pub const fn untracked(&self) -> u64 {
        self.untracked
    }
}

/// The key under which an address is limited: an IPv6 address counts as its /64, since a customer
/// has all of it; an IPv4 address that is written as IPv6 counts as IPv4.
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
