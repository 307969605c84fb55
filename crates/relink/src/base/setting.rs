//! One field of a configuration: how it is compared with its bounds, written and read.

use core::ops::{Bound, RangeBounds};
use core::time::Duration;

use crate::base::config::{ConfigError, Value};

/// A type that has bounds: a duration or a number, or an `Option` of one, for what may be off.
pub trait Setting: Copy {
    /// What its bounds are written as.
    type Bound: Copy + Into<Value>;

    /// What is compared with the bounds. `None`: off, which is always allowed.
    fn value(self) -> Option<Value>;

    /// The setting with this value; `None` if the type cannot hold it.
    fn of(value: Value) -> Option<Self>;

    /// What a file may contain, for an error.
    #[cfg(feature = "serde")]
    fn expected(f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result;

    /// Reads a value from a file.
    ///
    /// # Errors
    ///
    /// If it is not [`expected`](Self::expected).
    #[cfg(feature = "serde")]
    fn read<E: serde::de::Error>(
        said: serde::de::Unexpected<'_>,
        expected: &dyn serde::de::Expected,
    ) -> Result<Self, E>;

    /// Writes it into a file.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    #[cfg(feature = "serde")]
    fn write<S: serde::Serializer>(self, to: S) -> Result<S::Ok, S::Error>;
}

impl Setting for Duration {
    type Bound = Self;

    fn value(self) -> Option<Value> {
        Some(self.into())
    }

    fn of(value: Value) -> Option<Self> {
        if let Value::Duration(value) = value { Some(value) } else { None }
    }

    #[cfg(feature = "serde")]
    fn expected(f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a duration as text, such as \"500ms\" or \"30s\"")
    }

    #[cfg(feature = "serde")]
    fn read<E: serde::de::Error>(
        said: serde::de::Unexpected<'_>,
        expected: &dyn serde::de::Expected,
    ) -> Result<Self, E> {
        let serde::de::Unexpected::Str(text) = said else {
            return Err(E::invalid_type(said, expected));
        };
        let parsed = text.parse::<crate::base::duration_text::HumanDuration>();
        parsed
            .map(|parsed| parsed.0)
            .map_err(|error| E::custom(format_args!("{text:?} is {error}")))
    }

    #[cfg(feature = "serde")]
    fn write<S: serde::Serializer>(self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&crate::base::duration_text::HumanDuration(self))
    }
}

macro_rules! number {
    ($($number:ty),*) => { $(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Self::Number(number as u64)
            }
        }

        impl Setting for $number {
            type Bound = Self;

            fn value(self) -> Option<Value> {
                Some(self.into())
            }

            fn of(value: Value) -> Option<Self> {
                if let Value::Number(value) = value { value.try_into().ok() } else { None }
            }

            #[cfg(feature = "serde")]
            fn expected(f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "a number from 0 to {}", Self::MAX)
            }

            #[cfg(feature = "serde")]
            fn read<E: serde::de::Error>(
                said: serde::de::Unexpected<'_>,
                expected: &dyn serde::de::Expected,
            ) -> Result<Self, E> {
                let number = match said {
                    serde::de::Unexpected::Signed(number) => Self::try_from(number).ok(),
                    serde::de::Unexpected::Unsigned(number) => Self::try_from(number).ok(),
                    _ => return Err(E::invalid_type(said, expected)),
                };
                number.ok_or_else(|| E::invalid_value(said, expected))
            }

            #[cfg(feature = "serde")]
            fn write<S: serde::Serializer>(self, to: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(&self, to)
            }
        }
    )* };
}
number!(u8, u16, u32, u64, usize);

/// `off` stands for `None`: TOML has no null.
impl<T: Setting> Setting for Option<T> {
    type Bound = T::Bound;

    fn value(self) -> Option<Value> {
        self.and_then(T::value)
    }

    fn of(value: Value) -> Option<Self> {
        T::of(value).map(Some)
    }

    #[cfg(feature = "serde")]
    fn expected(f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        T::expected(f)?;
        f.write_str(", or \"off\"")
    }

    #[cfg(feature = "serde")]
    fn read<E: serde::de::Error>(
        said: serde::de::Unexpected<'_>,
        expected: &dyn serde::de::Expected,
    ) -> Result<Self, E> {
        let is_off = said == serde::de::Unexpected::Str("off");
        if is_off { Ok(None) } else { T::read(said, expected).map(Some) }
    }

    #[cfg(feature = "serde")]
    fn write<S: serde::Serializer>(self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(setting) => setting.write(to),
            None => to.serialize_str("off"),
        }
    }
}

/// The least and the greatest value that a setting may have; `None`: whatever its type holds.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "a range has two ends")]
pub struct Bounds {
    /// The least value.
    pub least: Option<Value>,
    /// The greatest value.
    pub most: Option<Value>,
}

impl Bounds {
    /// The bounds of a setting, of which only the type matters.
    pub fn of<T: Setting>(_: T, range: &impl RangeBounds<T::Bound>) -> Self {
        let value = |bound: Bound<&T::Bound>| match bound {
            Bound::Included(value) => Some((*value).into()),
            Bound::Excluded(_) | Bound::Unbounded => None,
        };
        Self { least: value(range.start_bound()), most: value(range.end_bound()) }
    }
}

/// Checks a setting against its bounds, both included. Off is always allowed.
///
/// # Errors
///
/// If it lies outside.
pub fn within<T: Setting>(
    field: &'static str,
    setting: T,
    range: impl RangeBounds<T::Bound>,
) -> Result<(), ConfigError> {
    let Some(value) = setting.value() else { return Ok(()) };
    let Bounds { least, most } = Bounds::of(setting, &range);
    if let Some(least) = least.filter(|least| value < *least) {
        return Err(ConfigError::too_small(field, value, least));
    }
    if let Some(most) = most.filter(|most| value > *most) {
        return Err(ConfigError::too_large(field, value, most));
    }
    Ok(())
}

/// A configuration as data, for the page of all settings and the test of their bounds.
pub trait Configuration: Copy + Default {
    /// Each field, in the order of their declaration.
    fn fields() -> impl Iterator<Item = Field<Self>>;

    /// As the method of the same name.
    ///
    /// # Errors
    ///
    /// The first field that is out of bounds, by its path.
    fn validate(&self) -> Result<(), ConfigError>;
}

/// A field of a configuration.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "the macro makes it")]
pub struct Field<C> {
    /// Its path in errors, as in `backoff.cap`.
    pub path: &'static str,
    /// Its type, as it is declared.
    pub kind: &'static str,
    /// Its documentation, as it is written.
    pub docs: &'static str,
    /// Its bounds, if it has some, and a function that sets it, if its type can hold the value.
    pub bounds: Option<(Bounds, Setter<C>)>,
}

/// Sets one field of a configuration; returns false if its type cannot hold the value.
pub type Setter<C> = fn(&mut C, Value) -> bool;

impl<C> Field<C> {
    /// Sets a field, if its type can hold the value.
    pub fn set<T: Setting>(field: &mut T, value: Value) -> bool {
        T::of(value).map(|value| *field = value).is_some()
    }
}

/// Writes a setting: `serde(with = "relink::internal::setting")`.
///
/// # Errors
///
/// Those of the serializer.
#[cfg(feature = "serde")]
pub fn serialize<T: Setting, S: serde::Serializer>(setting: &T, to: S) -> Result<S::Ok, S::Error> {
    setting.write(to)
}

/// Reads a setting.
///
/// # Errors
///
/// If the file has something else.
#[cfg(feature = "serde")]
pub fn deserialize<'de, T: Setting, D: serde::Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    use core::fmt;
    use core::marker::PhantomData;
    use serde::de::{Error, Unexpected, Visitor};

    struct Read<T>(PhantomData<T>);

    impl<T: Setting> Visitor<'_> for Read<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            T::expected(f)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
            T::read(Unexpected::Signed(number), &self)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
            T::read(Unexpected::Unsigned(number), &self)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            T::read(Unexpected::Str(text), &self)
        }
    }

    from.deserialize_any(Read(PhantomData))
}
