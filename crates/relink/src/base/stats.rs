//! Counters and distributions of one link, in a bounded size.

#[cfg(feature = "alloc")]
use alloc::boxed::Box;
use core::time::Duration;

/// What happened on a link since it was made.
///
/// Counters saturate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Dials started.
    pub dials: u64,
    /// Attempts that failed before the link was usable.
    pub failed_attempts: u64,
    /// Times the link became usable.
    pub connects: u64,
    /// Times a usable link was lost.
    pub disconnects: u64,
    /// Tokens fetched.
    pub tokens_fetched: u64,
    /// Token fetches that failed.
    pub token_failures: u64,
    /// Addresses fetched.
    pub addresses_fetched: u64,
    /// Address fetches that failed.
    pub address_failures: u64,
    /// Pings sent.
    pub pings: u64,
    /// Links declared dead by the heartbeat.
    pub heartbeats_lost: u64,
    /// Messages handed to a transport.
    pub messages_sent: u64,
    /// Their bytes, without framing.
    pub bytes_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Their bytes, without framing.
    pub bytes_received: u64,
    /// Messages dropped from the outbox: overflow, time to live, or a closed link.
    pub messages_dropped: u64,
    /// Messages refused because the outbox was full or the link closed.
    pub messages_refused: u64,
    /// Messages that the peer acknowledged.
    pub messages_acknowledged: u64,
    /// Messages whose session ended before the peer acknowledged them.
    pub messages_in_doubt: u64,
    /// Messages received twice, and dropped.
    pub duplicates: u64,
    /// Transports closed because messages were missing.
    pub gaps: u64,
    /// Sessions resumed on a new transport.
    pub sessions_resumed: u64,
    /// Sessions whose resume was refused.
    pub sessions_lost: u64,
    /// Messages in the outbox now, including those not yet acknowledged.
    pub queued: u32,
    /// The maximum of `queued` so far. A message that is sent at once is not queued.
    pub queued_peak: u32,
    /// The most recent round trip time of a ping.
    pub last_round_trip: Option<Duration>,
    /// Round trip times of pings.
    pub round_trips: Histogram,
    /// How long the link was usable, each time.
    pub connected_for: Histogram,
    /// How long it took from a loss until the link was usable again.
    pub recovered_in: Histogram,
}

/// Adds one to a counter.
pub const fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

#[cfg(feature = "alloc")]
const BUCKETS: usize = 80;

/// A distribution of durations: how many there were, their sum, and with the feature `alloc` two
/// buckets per doubling from 64 µs on, up to a year. A quantile is never too low, and at most half
/// too high.
///
/// The buckets are 320 bytes of heap, allocated by the first duration.
///
/// ```
/// use core::time::Duration;
/// use relink::stats::Histogram;
///
/// let mut histogram = Histogram::default();
/// for millis in 1..=100 {
///     histogram.record(Duration::from_millis(millis));
/// }
/// let median = histogram.quantile(50).unwrap();
/// assert!((Duration::from_millis(38)..=Duration::from_millis(66)).contains(&median));
/// assert_eq!(histogram.count(), 100);
/// assert_eq!(histogram.sum(), Duration::from_millis(5050));
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    count: u64,
    sum: Duration,
    #[cfg(feature = "alloc")]
    buckets: Option<Box<[u32; BUCKETS]>>,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, value: Duration) {
        count(&mut self.count);
        self.sum = self.sum.saturating_add(value);
        #[cfg(feature = "alloc")]
        {
            let buckets = self.buckets.get_or_insert_with(|| Box::new([0; BUCKETS]));
            let bucket = &mut buckets[bucket_of(value)];
            *bucket = bucket.saturating_add(1);
        }
    }

    /// How many were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all durations that were counted.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// The buckets that hold something, in ascending order: the longest duration of the
    /// bucket, and how many are in it.
    #[cfg(feature = "alloc")]
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u32)> + '_ {
        let buckets = self.buckets.iter().flat_map(|buckets| buckets.iter().copied().enumerate());
        buckets.filter(|(_, count)| *count > 0).map(|(index, count)| (upper_end(index), count))
    }

    /// A duration that at least `percent` percent of those counted do not exceed: the upper end of
    /// its bucket. `None` if nothing was counted.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn quantile(&self, percent: u32) -> Option<Duration> {
        let total: u64 = self.buckets().map(|(_, count)| u64::from(count)).sum();
        let rank = (total * u64::from(percent.min(100))).div_ceil(100).max(1);
        let mut below = 0;
        self.buckets().find_map(|(end, count)| {
            below += u64::from(count);
            (below >= rank).then_some(end)
        })
    }
}

impl core::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut fields = f.debug_struct("Histogram");
        fields.field("count", &self.count).field("sum", &self.sum);
        #[cfg(feature = "alloc")]
        fields.field("p50", &self.quantile(50)).field("p99", &self.quantile(99));
        fields.finish_non_exhaustive()
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let millis = |percent| self.quantile(percent).map(|value| value.as_secs_f64() * 1e3);
        let mut fields = to.serialize_struct("Histogram", 5)?;
        fields.serialize_field("count", &self.count)?;
        fields.serialize_field("sum_ms", &(self.sum.as_secs_f64() * 1e3))?;
        fields.serialize_field("p50_ms", &millis(50))?;
        fields.serialize_field("p90_ms", &millis(90))?;
        fields.serialize_field("p99_ms", &millis(99))?;
        fields.end()
    }
}

/// Units of 64 µs; the bucket is twice the position of the highest bit, plus the bit below it.
#[cfg(feature = "alloc")]
fn bucket_of(value: Duration) -> usize {
    let units = u64::try_from(value.as_micros() / 64).unwrap_or(u64::MAX).saturating_add(1);
    let octave = units.ilog2();
    let half = if octave == 0 { 0 } else { (units >> (octave - 1)) & 1 };
    ((octave as usize) * 2 + half as usize).min(BUCKETS - 1)
}

#[cfg(feature = "alloc")]
fn upper_end(bucket: usize) -> Duration {
    let (octave, half) = (bucket / 2, bucket % 2);
    let units = ((1_u64 << octave) + ((1_u64 << octave) >> 1) * (half as u64 + 1)).max(2) - 1;
    Duration::from_micros(units * 64)
}
