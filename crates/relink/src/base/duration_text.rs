//! Durations as people write them: `500ms`, `30s`, `2m`, `1h`, `1m30s`, and `off` where nothing is
//! meant.

use core::fmt;
use core::num::IntErrorKind;
use core::str::FromStr;
use core::time::Duration;

/// A duration that prints and parses as people write it. Units: `ns`, `us`, `ms`, `s`, `m`, `h`,
/// `d`; several parts may follow each other, from large to small or not. A bare number is refused:
/// nobody can know its unit.
///
/// ```
/// use core::time::Duration;
/// use relink::time::HumanDuration;
///
/// let parsed: HumanDuration = "1m30s".parse()?;
/// assert_eq!(parsed.0, Duration::from_secs(90));
/// assert_eq!(HumanDuration(Duration::from_millis(1500)).to_string(), "1s500ms");
/// assert!("30".parse::<HumanDuration>().is_err());
/// # Ok::<(), relink::time::ParseDurationError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a newtype: nothing can be added")]
pub struct HumanDuration(pub Duration);

/// Text that is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ParseDurationError(Problem);

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("not a duration: write a number and a unit, as in 500ms, 30s, 2m or 1m30s")]
    Form,
    #[error("too long: a duration is at most {}d", u64::MAX / UNITS[0].1)]
    TooLong,
}

impl From<Problem> for ParseDurationError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// The units, largest first, in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl FromStr for HumanDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, ParseDurationError> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(Problem::Form.into());
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (number, after) = split_where(rest, |c| !c.is_ascii_digit());
            let (unit, after) = split_where(after, |c| !c.is_ascii_alphabetic());
            let unit = UNITS.iter().find(|(name, _)| *name == unit).ok_or(Problem::Form)?.1;
            let number = match number.parse::<u64>() {
                Err(error) if *error.kind() == IntErrorKind::PosOverflow => Err(Problem::TooLong),
                number => number.map_err(|_| Problem::Form),
            };
            let part = number?.checked_mul(unit).ok_or(Problem::TooLong)?;
            total = total.checked_add(part).ok_or(Problem::TooLong)?;
            rest = after.trim_start();
        }
        Ok(Self(Duration::from_nanos(total)))
    }
}

fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = crate::base::time::nanos(self.0);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, unit) in UNITS {
            let count = rest / unit;
            rest %= unit;
            if count > 0 {
                write!(f, "{count}{name}")?;
            }
        }
        Ok(())
    }
}

/// `serde(with = "human")` for `Duration`.
#[cfg(feature = "serde")]
pub mod serde_impl {
    use core::fmt;
    use core::time::Duration;

    use alloc::string::ToString;
    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::{Serialize, Serializer};

    use super::HumanDuration;

    /// As text.
    pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&HumanDuration(*value).to_string())
    }

    /// From text.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_str(Text).map(|HumanDuration(duration)| duration)
    }

    /// Reads a duration, and tells a mistake with the text.
    struct Text;

    impl Visitor<'_> for Text {
        type Value = HumanDuration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration as text, such as \"500ms\" or \"30s\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<HumanDuration, E> {
            text.parse().map_err(|error| E::custom(format_args!("{text:?} is {error}")))
        }
    }

    /// The same for `Option<Duration>`, where `off` stands for `None` (TOML has no null).
    pub mod option {
        use super::{Deserializer, Duration, Error, HumanDuration, Serializer, Text, Visitor, fmt};

        /// As text.
        pub fn serialize<S: Serializer>(
            value: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(duration) => super::serialize(duration, to),
                None => to.serialize_str("off"),
            }
        }

        /// From text.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            from.deserialize_str(TextOrOff)
        }

        struct TextOrOff;

        impl Visitor<'_> for TextOrOff {
            type Value = Option<Duration>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Text.expecting(f)?;
                f.write_str(", or \"off\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Option<Duration>, E> {
                if text == "off" {
                    Ok(None)
                } else {
                    Text.visit_str(text).map(|HumanDuration(time)| Some(time))
                }
            }
        }
    }

    /// A limit that may be `off` as well.
    pub mod limit {
        use core::fmt;
        use core::marker::PhantomData;

        use serde::de::{Error, Unexpected, Visitor};

        use super::{Deserializer, Serialize, Serializer};

        /// As text.
        pub fn serialize<T: Serialize, S: Serializer>(
            value: &Option<T>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(limit) => limit.serialize(to),
                None => to.serialize_str("off"),
            }
        }

        /// From text.
        pub fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
        where
            T: TryFrom<i64> + TryFrom<u64>,
            D: Deserializer<'de>,
        {
            from.deserialize_any(Limit(PhantomData))
        }

        struct Limit<T>(PhantomData<T>);

        impl<T: TryFrom<i64> + TryFrom<u64>> Visitor<'_> for Limit<T> {
            type Value = Option<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // The limits are unsigned, and at most 64 bits wide.
                let most = u64::MAX >> (64 - 8 * size_of::<T>());
                write!(f, "a number from 0 to {most}, or \"off\"")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Option<T>, E> {
                let limit = T::try_from(value);
                limit.map(Some).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Option<T>, E> {
                let limit = T::try_from(value);
                limit.map(Some).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Option<T>, E> {
                if value == "off" {
                    Ok(None)
                } else {
                    Err(E::invalid_value(Unexpected::Str(value), &self))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_reads_and_prints_back() {
        for text in ["1ns", "2us", "500ms", "30s", "2m", "1h", "3d", "1m30s", "1h1m1s1ms1us1ns"] {
            let parsed: HumanDuration = text.parse().unwrap();
            assert_eq!(std::format!("{parsed}"), text);
        }
        assert_eq!("0s".parse(), Ok(HumanDuration(Duration::ZERO)));
        assert_eq!(" 1m 30s ".parse(), Ok(HumanDuration(Duration::from_secs(90))));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "30", "s", "-1s", "1.5s", "1 lightyear", "30s!", "1e9s", "+1s", "٣s"] {
            assert_eq!(text.parse::<HumanDuration>(), Err(Problem::Form.into()), "{text}");
        }
        for text in [
            "99999999999999d",
            "213504d",
            "213503d24h",
            "18446744073709551616ns",
            "1s18446744073709551615ns",
        ] {
            assert_eq!(text.parse::<HumanDuration>(), Err(Problem::TooLong.into()), "{text}");
        }
        let error = "213504d".parse::<HumanDuration>().unwrap_err();
        assert_eq!(std::format!("{error}"), "too long: a duration is at most 213503d");
    }
}
