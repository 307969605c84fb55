//! How configuration is written and checked: one macro for its shape, one error for its mistakes.

use core::fmt;
use core::time::Duration;

use crate::base::duration_text::HumanDuration;

/// Declares a configuration: public fields, each with its default beside its docs, and a `with_…`
/// method each.
///
/// The struct may grow, so it cannot be written as a literal elsewhere: start from `default()` and
/// change what differs.
#[doc(hidden)]
#[macro_export]
macro_rules! config {
    (
        $(#[$outer:meta])*
        pub struct $name:ident {
            $( $(#[$inner:meta])* pub $field:ident / $with:ident : $type:ty = $default:expr, )*
        }
    ) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(
            feature = "serde",
            derive(serde::Serialize, serde::Deserialize),
            serde(default, deny_unknown_fields, remote = "Self")
        )]
        #[non_exhaustive]
        pub struct $name {
            $( $(#[$inner])* pub $field: $type, )*
        }

        #[cfg(feature = "serde")]
        $crate::from_tables!($name);

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $name {
            $(
                #[doc = concat!("This configuration with [`", stringify!($field), "`](Self::", stringify!($field), ") changed.")]
                #[must_use]
                pub const fn $with(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}
pub use config;

/// A configuration that cannot work: which field, what it says, and what is allowed.
///
/// ```
/// use core::time::Duration;
/// use relink::Backoff;
///
/// let error = Backoff::default().with_floor(Duration::ZERO).validate().unwrap_err();
/// assert_eq!(error.to_string(), "backoff.floor is 0s, but it must be at least 1ms");
/// assert_eq!(error.field(), "backoff.floor");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, but it must be {allowed}")]
pub struct ConfigError {
    field: &'static str,
    value: Value,
    allowed: Allowed,
}

impl ConfigError {
    /// The path of the field, as in `backoff.cap`.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// For the configuration of layers above: checks that a number is no smaller than this.
    ///
    /// # Errors
    ///
    /// This error, where it is.
    pub fn unless_at_least(field: &'static str, value: usize, least: usize) -> Result<(), Self> {
        within(field, value, least, usize::MAX)
    }
}

#[cfg(feature = "alloc")]
impl From<crate::protocol::Unreadable> for ConfigError {
    fn from(unreadable: crate::protocol::Unreadable) -> Self {
        let crate::protocol::Unreadable { field, value, least, most } = unreadable;
        let allowed = if value < least {
            Allowed::AtLeast(least.into())
        } else {
            Allowed::AtMost(most.into())
        };
        Self { field, value: value.into(), allowed }
    }
}

/// A configured value, for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A duration.
    Duration(Duration),
    /// A number.
    Number(u64),
    /// A name.
    Text(&'static str),
}

/// What would have been allowed, for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    AtLeast(Value),
    AtMost(Value),
    Being(&'static str),
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Duration(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Number(u64::from(value))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Number(value as u64)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duration(value) => HumanDuration(*value).fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::Being(what) => f.write_str(what),
        }
    }
}

/// The longest duration that a configuration may hold: 365 days. Sums of a few of them stay far
/// from the end of time, and nobody means more.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The shortest delay or deadline that may be configured: below it a loop would be a hot loop.
pub const SHORTEST: Duration = Duration::from_millis(1);

/// Checks one field against a lower and an upper bound.
pub fn within<T: Copy + PartialOrd + Into<Value>>(
    field: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), ConfigError> {
    if value < least {
        let allowed = Allowed::AtLeast(least.into());
        return Err(ConfigError { field, value: value.into(), allowed });
    }
    if value > most {
        let allowed = Allowed::AtMost(most.into());
        return Err(ConfigError { field, value: value.into(), allowed });
    }
    Ok(())
}

/// Checks a duration that may not be zero.
pub fn positive(field: &'static str, value: Duration) -> Result<(), ConfigError> {
    within(field, value, SHORTEST, LONGEST)
}

/// Checks a duration that may be off, but not zero.
pub fn positive_or_off(field: &'static str, value: Option<Duration>) -> Result<(), ConfigError> {
    value.map_or(Ok(()), |value| positive(field, value))
}

/// A mistake that no bound describes.
pub const fn mistake(
    field: &'static str,
    value: &'static str,
    allowed: &'static str,
) -> ConfigError {
    ConfigError { field, value: Value::Text(value), allowed: Allowed::Being(allowed) }
}
