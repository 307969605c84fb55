//! How configuration is written and checked: one macro for its shape, one error for its mistakes.

use core::fmt;
use core::time::Duration;

use crate::base::duration_text::HumanDuration;
use crate::base::time::{millis, secs};

/// Declares a configuration: public fields, each said once, with its text, its default and its
/// bounds.
///
/// ```text
/// pub struct Backoff at "backoff.", then check_curve {
///     /// No delay is longer, jitter included.
///     pub cap / with_cap: Duration = secs(20), in MILLISECOND..=YEAR;
///     /// How delays grow.
///     pub curve / with_curve: Curve = Curve::Fixed { delay: secs(1) };
///     /// A configuration of its own, with its own defaults and bounds.
///     pub heartbeat / with_heartbeat: HeartbeatConfig;
/// }
/// ```
///
/// The macro makes from it: the fields with their docs, `default()`, a `with_…` method each,
/// `validate()`, serde's attributes, and [`Configuration`](super::setting::Configuration), from
/// which `docs/configuration.md` is generated and the bounds are tested. What no bounds describe
/// is checked by the method after `then`. A field that a feature brings has a `#[cfg]` behind its
/// docs.
///
/// The struct may grow, so it cannot be written as a literal elsewhere: start from `default()` and
/// change what differs.
#[doc(hidden)]
#[macro_export]
macro_rules! config {
    (@default) => { ::core::default::Default::default() };
    (@default $default:expr) => { $default };
    (@check $field:expr) => { $field.validate()? };
    (@check $field:expr, $default:expr) => {};
    (@bounds $field:ident) => { None };
    (@bounds $field:ident, $default:expr) => { None };
    (@bounds $field:ident, $default:expr, $bounds:expr) => {
        Some((
            $crate::internal::setting::Bounds::of(Self::default().$field, &($bounds)),
            |config: &mut Self, value| $crate::internal::setting::Field::<Self>::set(&mut config.$field, value),
        ))
    };
    (
        $(#[$outer:meta])*
        pub struct $name:ident at $path:literal $(, then $rules:ident)? {
            $(
                $(#[doc = $doc:literal])+
                $(#[cfg($on:meta)])?
                pub $field:ident / $with:ident : $type:ty $(= $default:expr $(, in $bounds:expr)?)?;
            )*
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
            $(
                $(#[doc = $doc])+
                $(#[cfg($on)])?
                $(
                    #[doc = concat!("\n\nDefault: `", stringify!($default), "`.")]
                    $(
                        #[doc = concat!("Allowed: `", stringify!($bounds), "`.")]
                        #[cfg_attr(feature = "serde", serde(with = "relink::internal::setting"))]
                    )?
                )?
                pub $field: $type,
            )*
        }

        #[cfg(feature = "serde")]
        $crate::from_tables!($name);

        impl Default for $name {
            fn default() -> Self {
                Self { $( $(#[cfg($on)])? $field: $crate::config!(@default $($default)?), )* }
            }
        }

        impl $name {
            $(
                $(#[cfg($on)])?
                #[doc = concat!("This configuration with [`", stringify!($field), "`](Self::", stringify!($field), ") changed.")]
                #[must_use]
                pub const fn $with(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*

            /// Checks every field, alone and with the others.
            ///
            /// # Errors
            ///
            /// The first field that cannot work, by its path, with what is allowed.
            pub fn validate(&self) -> Result<(), $crate::ConfigError> {
                $( $(#[cfg($on)])? {
                    $crate::config!(@check self.$field $(, $default)?);
                    $($(
                        let path = concat!($path, stringify!($field));
                        $crate::internal::setting::within(path, self.$field, $bounds)?;
                    )?)?
                } )*
                $( self.$rules()?; )?
                Ok(())
            }
        }

        impl $crate::internal::setting::Configuration for $name {
            fn fields() -> impl Iterator<Item = $crate::internal::setting::Field<Self>> {
                [$(
                    $(#[cfg($on)])?
                    $crate::internal::setting::Field {
                        path: concat!($path, stringify!($field)),
                        kind: stringify!($type),
                        docs: concat!($($doc, "\n"),+),
                        bounds: $crate::config!(@bounds $field $(, $default $(, $bounds)?)?),
                    },
                )*]
                .into_iter()
            }

            fn validate(&self) -> Result<(), $crate::ConfigError> {
                Self::validate(self)
            }
        }
    };
}
pub use config;

/// A configuration that cannot work: the field, its value, and what is allowed.
///
/// ```
/// use core::time::Duration;
/// use relink::Backoff;
///
/// let error = Backoff::default().with_floor(Duration::ZERO).validate().unwrap_err();
/// assert_eq!(error.to_string(), "backoff.floor is 0s, but it must be at least 1ms");
/// assert_eq!(error.field().to_string(), "backoff.floor");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{path} is {value}, but it must be {allowed}")]
pub struct ConfigError {
    path: Path,
    value: Value,
    allowed: Allowed,
}

impl ConfigError {
    /// The path of the field, as in `backoff.cap`.
    #[must_use]
    pub const fn field(&self) -> impl fmt::Display + use<> {
        self.path
    }

    pub(crate) const fn too_small(field: &'static str, value: Value, least: Value) -> Self {
        Self::new(field, value, Allowed::AtLeast(least))
    }

    pub(crate) const fn too_large(field: &'static str, value: Value, most: Value) -> Self {
        Self::new(field, value, Allowed::AtMost(most))
    }

    const fn new(field: &'static str, value: Value, allowed: Allowed) -> Self {
        Self { path: Path { table: None, field }, value, allowed }
    }

    /// The error of a configuration that stands in this table here, and not in the one that its
    /// type is named after.
    #[cfg(feature = "alloc")]
    pub(crate) const fn in_table(mut self, table: &'static str) -> Self {
        self.path.table = Some(table);
        self
    }
}

/// The path of a field. Without an allocator, a path in another table cannot be one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Path {
    table: Option<&'static str>,
    /// In the table that the type is named after.
    field: &'static str,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.table, self.field.split_once('.')) {
            (Some(table), Some((_, field))) => write!(f, "{table}.{field}"),
            _ => f.write_str(self.field),
        }
    }
}

#[cfg(feature = "alloc")]
impl From<crate::protocol::Unreadable> for ConfigError {
    fn from(unreadable: crate::protocol::Unreadable) -> Self {
        let crate::protocol::Unreadable { field, value, least, most } = unreadable;
        if value < least {
            Self::too_small(field, value.into(), least.into())
        } else {
            Self::too_large(field, value.into(), most.into())
        }
    }
}

/// A configured value, for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
#[non_exhaustive]
pub enum Value {
    /// A duration.
    Duration(Duration),
    /// A number.
    Number(u64),
    /// A name.
    Text(&'static str),
}

/// What is allowed, for the message.
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

/// The shortest delay or deadline that may be configured: below it a loop would be a hot loop.
pub const MILLISECOND: Duration = millis(1);

/// The longest duration that may be configured. Sums of a few of them stay far from the end of
/// time, and nobody needs more.
pub const YEAR: Duration = secs(365 * 24 * 3600);

/// This many KiB, in bytes.
pub const fn kib(kib: usize) -> usize {
    kib << 10
}

/// This many MiB, in bytes.
pub const fn mib(mib: usize) -> usize {
    mib << 20
}

/// A mistake that no bound describes.
pub const fn mistake(
    field: &'static str,
    value: &'static str,
    allowed: &'static str,
) -> ConfigError {
    ConfigError::new(field, Value::Text(value), Allowed::Being(allowed))
}

/// Replaces a configuration by the known one if they are equal; else this one is the known one now.
#[cfg(feature = "alloc")]
pub(crate) fn share<T: PartialEq>(
    config: &mut alloc::sync::Arc<T>,
    known: &mut Option<alloc::sync::Arc<T>>,
) {
    match known {
        Some(known) if *known == *config => *config = known.clone(),
        Some(_) | None => *known = Some(config.clone()),
    }
}
