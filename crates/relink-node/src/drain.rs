//! The shutdown of a node: when each of its clients should come back, so that the other nodes can
//! take them.

use core::time::Duration;
use relink::ConfigError;
use relink::internal::{MILLISECOND, YEAR, config, mins, nanos, secs, within};

config! {
    /// How fast the other nodes take the clients of a node that shuts down.
    pub struct DrainConfig at "drain.", then check_max {
        /// How many new connections per second the rest of the fleet can take. A connection costs
        /// about a millisecond of TLS, a token check and a subscription: 200 leave one core of one
        /// node most of its time.
        pub capacity_per_second / with_capacity_per_second: u32 = 200, in 1..;
        /// The minimum delay: time for the load balancer to notice that this node shuts down.
        pub base / with_base: Duration = secs(1), in MILLISECOND..=YEAR;
        /// How long the node keeps serving clients whose turn to leave has not come. Then each of
        /// them is away for a moment only, and they arrive more evenly, as a client's jitter on a
        /// short delay is short. The process runs that much longer: stay 10 s below the limit of
        /// its supervisor (30 s in Kubernetes, 90 s in systemd). With zero all leave at once, which
        /// is right if the node is the only one, and its successor waits for its end.
        pub linger / with_linger: Duration = Duration::ZERO, in Duration::ZERO..=YEAR;
        /// The maximum delay, jitter included. Clients shorten delays beyond their own limit,
        /// [`RetryAfter::max`](relink::link::RetryAfter::max), and would then all come back just
        /// before it: this must not be above that, nor below `base` with its spread.
        pub max / with_max: Duration = mins(5), in MILLISECOND..=YEAR;
        /// The jitter that clients add to the delay, in percent: their
        /// [`RetryAfter::spread_pct`](relink::link::RetryAfter::spread_pct).
        pub spread_pct / with_spread_pct: u32 = 20, in 0..=1_000;
    }
}

impl DrainConfig {
    fn check_max(&self) -> Result<(), ConfigError> {
        within("drain.max", self.max, self.spread(self.base)..)
    }

    /// The latest return of a client with this delay.
    fn spread(&self, hint: Duration) -> Duration {
        hint.saturating_mul(self.spread_pct.saturating_add(100)) / 100
    }

    /// The longest delay that a client does not shorten.
    fn longest_hint(&self) -> Duration {
        let longest = u128::from(nanos(self.max)) * 100 / (u128::from(self.spread_pct) + 100);
        Duration::from_nanos(u64::try_from(longest).unwrap_or(u64::MAX)).max(self.base)
    }
}

/// When one connection leaves in a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// How long after the start of the shutdown the client is notified.
    pub after: Duration,
    /// The delay until it should come back, from then on.
    pub hint: Duration,
}

/// Assigns the turns of one shutdown: one for each connection, evenly spaced.
///
/// A client draws its delay from the hint to `spread_pct` more, so the arrivals of a long drain
/// overlap. Their rate stays even: at any moment it is about nine tenths of the capacity. The hints
/// end where a client would shorten them; if that leaves too little time, the turns are closer
/// together, and [`fits`](Self::fits) returns false.
///
/// Without a [`linger`](DrainConfig::linger), all clients are notified at the same instant, from
/// which their hints count. With one, a client whose turn is within it is notified only then, with
/// a hint of `base`. Send the hints in a frame of their own (going away) or in the reason of the
/// close frame with 1001.
///
/// ```
/// use core::time::Duration;
/// use relink_node::{Drain, DrainConfig};
///
/// let (second, millis) = (Duration::from_secs(1), Duration::from_millis);
/// let mut drain = Drain::new(DrainConfig::default(), 10_000);
/// assert_eq!((drain.next_turn().hint, drain.next_turn().hint), (second, second + millis(5)));
/// assert!(drain.fits());
/// assert!(drain.lasts() < Duration::from_secs(62)); // 10,000 / 200 s, and the clients' own spread
///
/// let mut drain = Drain::new(DrainConfig::default().with_linger(20 * second), 10_000);
/// let turns = [drain.next_turn(), drain.next_turn()];
/// assert_eq!(turns.map(|turn| turn.after), [millis(0), millis(5)]);
/// assert_eq!(turns.map(|turn| turn.hint), [second; 2]);
/// ```
#[derive(Debug, Clone)]
pub struct Drain {
    config: DrainConfig,
    connections: u64,
    told: u64,
}

impl Drain {
    /// Starts a shutdown with this many connections.
    #[must_use]
    pub fn new(config: DrainConfig, connections: usize) -> Self {
        let connections = u64::try_from(connections).unwrap_or(u64::MAX).max(1);
        Self { config, connections, told: 0 }
    }

    /// When the next connection leaves, and how long it should wait before it comes back.
    /// Connections beyond the announced number start over with the first turn.
    #[must_use = "the client must be notified"]
    pub fn next_turn(&mut self) -> Turn {
        let number = self.told % self.connections;
        self.told = self.told.wrapping_add(1);
        self.turn(number)
    }

    /// How long until the last client is back.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        let last = self.turn(self.connections - 1);
        last.after.saturating_add(self.config.spread(last.hint))
    }

    /// Whether the clients arrive within the capacity of the other nodes. If not, `max` is too
    /// short for their number, and they arrive faster.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.wanted() <= self.room()
    }

    fn turn(&self, number: u64) -> Turn {
        let width = self.wanted().min(self.room());
        let offset = u128::from(nanos(width)) * u128::from(number) / u128::from(self.connections);
        let offset = Duration::from_nanos(u64::try_from(offset).unwrap_or(u64::MAX));
        let after = offset.min(self.config.linger);
        Turn { after, hint: self.config.base.saturating_add(offset.saturating_sub(after)) }
    }

    /// The duration of the turns at full capacity.
    fn wanted(&self) -> Duration {
        let capacity = u128::from(self.config.capacity_per_second.max(1));
        let wanted = u128::from(self.connections) * 1_000_000_000 / capacity;
        Duration::from_nanos(u64::try_from(wanted).unwrap_or(u64::MAX))
    }

    fn room(&self) -> Duration {
        let hints = self.config.longest_hint().saturating_sub(self.config.base);
        self.config.linger.saturating_add(hints)
    }
}
