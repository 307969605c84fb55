//! Durations as people write them: `500ms`, `30s`, `2m`, `1h`, `1m30s`, and `off` for none.

use core::fmt;
use core::num::IntErrorKind;
use core::str::FromStr;
use core::time::Duration;

/// A duration that prints and parses as people write it. Units: `ns`, `us`, `ms`, `s`, `m`, `h`,
/// `d`; several parts may follow each other, from large to small or not. A bare number is refused:
/// its unit is unknown.
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
