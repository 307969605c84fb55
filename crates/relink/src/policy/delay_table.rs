//! A table of delays.

use core::fmt;
use core::time::Duration;

use crate::base::config::ConfigError;
use crate::base::setting::within;

/// Up to sixteen delays in whole milliseconds, kept in place so that the core needs no allocator.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DelayTable {
    millis: [u32; Self::MAX],
    len: u8,
}

impl DelayTable {
    /// How many delays a table holds at most.
    pub const MAX: usize = 16;

    /// A table of these delays, rounded down to whole milliseconds.
    ///
    /// # Errors
    ///
    /// If there is no delay, more than [`MAX`](Self::MAX), or one above 49 days.
    pub fn new(delays: &[Duration]) -> Result<Self, ConfigError> {
        within("backoff.curve.table (number of delays)", delays.len(), 1..=Self::MAX)?;
        let longest = Duration::from_millis(u64::from(u32::MAX));
        let mut millis = [0; Self::MAX];
        for (slot, delay) in millis.iter_mut().zip(delays) {
            within("backoff.curve.table (a delay)", *delay, ..=longest)?;
            *slot = u32::try_from(delay.as_millis()).unwrap_or(u32::MAX);
        }
        Ok(Self { millis, len: u8::try_from(delays.len()).unwrap_or(u8::MAX) })
    }

    /// A table of whole seconds, usable in constants: at most [`MAX`](Self::MAX) delays.
    #[must_use]
    pub const fn of_seconds<const N: usize>(seconds: [u32; N]) -> Self {
        const { assert!(0 < N && N <= Self::MAX) };
        let mut millis = [0; Self::MAX];
        let mut index = 0;
        while index < N {
            millis[index] = seconds[index].saturating_mul(1_000);
            index += 1;
        }
        Self { millis, len: N as u8 }
    }

    /// One of the delays, counted from 0.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<Duration> {
        self.iter().nth(usize::try_from(index).unwrap_or(usize::MAX))
    }

    /// The delays, in order.
    pub fn iter(&self) -> impl Iterator<Item = Duration> + '_ {
        self.millis[..usize::from(self.len)].iter().map(|ms| Duration::from_millis(u64::from(*ms)))
    }

    pub(super) fn at(&self, retry: u32) -> Duration {
        self.get(retry.saturating_sub(1)).or_else(|| self.iter().last()).unwrap_or_default()
    }
}

impl fmt::Debug for DelayTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(feature = "serde")]
mod table_serde {
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use core::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::DelayTable;
    use crate::base::duration_text::HumanDuration;

    impl Serialize for DelayTable {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_seq(self.iter().map(|delay| HumanDuration(delay).to_string()))
        }
    }

    impl<'de> Deserialize<'de> for DelayTable {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            #[derive(Deserialize)]
            struct Delay(#[serde(with = "relink::internal::setting")] Duration);

            let delays: Vec<_> =
                Vec::<Delay>::deserialize(from)?.into_iter().map(|Delay(delay)| delay).collect();
            Self::new(&delays).map_err(D::Error::custom)
        }
    }
}
