//! How a script is read from TOML: tables as tables, values with their names, mistakes with their
//! place.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
    forward_to_deserialize_any,
};
use toml::{Spanned, Table};

use crate::{script::Script, step::Step};

/// The longest `retry_after` in seconds: a year. A longer one can be written as text.
const RETRY_AFTER_MAX: u64 = 365 * 24 * 60 * 60;

/// Reads a script; an error has its line and, if it is in a step, the step.
pub(crate) fn script(text: &str) -> Result<Script, String> {
    toml::from_str(text).map_err(|error| step_mistake(text).unwrap_or_else(|| error.to_string()))
}

/// serde reads a step in two passes and loses the position of a value in the first. So each step is
/// read again, alone.
fn step_mistake(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Rough {
        connection: Vec<RoughConnection>,
    }
    #[derive(Deserialize)]
    struct RoughConnection {
        #[serde(default)]
        steps: Vec<Spanned<Table>>,
    }
    let rough: Rough = toml::from_str(text).ok()?;
    let mut steps =
        rough.connection.into_iter().zip(1..).flat_map(|(connection, connection_number)| {
            connection
                .steps
                .into_iter()
                .zip(1..)
                .map(move |(step, number)| (connection_number, number, step))
        });
    steps.find_map(|(connection, number, step)| {
        let line = text.get(..step.span().start)?.lines().count().max(1);
        let problem = Step::deserialize(step.into_inner()).err()?;
        let problem = problem.message();
        Some(format!("line {line}, connection {connection}, step {number}: {problem}"))
    })
}

/// Makes a type that says `#[serde(remote = "Self")]` readable, from tables alone, and writable.
///
/// serde would take a list of its fields' values as well.
macro_rules! from_tables {
    ($name:ty) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                <$name>::deserialize(crate::reading::Tables(from))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                <$name>::serialize(self, to)
            }
        }
    };
}
pub(crate) use from_tables;

/// Reads a struct, or an internally tagged variant, from a table alone.
pub(crate) struct Tables<D>(pub(crate) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Tables<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(OfTable(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, OfTable(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct OfTable<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for OfTable<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(map)
    }
}

/// A whole number that fits; which ones are allowed is checked later, in one place.
struct Number {
    field: &'static str,
    allowed: &'static str,
}

impl Number {
    fn refuse<E: Error>(&self, value: impl fmt::Display) -> E {
        E::custom(format_args!("`{}` is {value}; allowed is {}", self.field, self.allowed))
    }
}

impl Visitor<'_> for Number {
    type Value = u16;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number for `{}`: {}", self.field, self.allowed)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u16, E> {
        u16::try_from(value).map_err(|_| self.refuse(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u16, E> {
        u16::try_from(value).map_err(|_| self.refuse(value))
    }
}

/// The status of a refusal.
pub(crate) fn status<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    from.deserialize_u16(Number { field: "status", allowed: crate::step::STATUSES })
}

/// The code of a close.
pub(crate) fn code<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    from.deserialize_u16(Number { field: "code", allowed: crate::step::CODES })
}

/// The value of a `Retry-After` header: a number of seconds, or any text.
pub(crate) fn text_or_seconds<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<String>, D::Error> {
    struct TextOrSeconds;

    impl Visitor<'_> for TextOrSeconds {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "`retry_after` as 0 to {RETRY_AFTER_MAX} seconds, or as text for the header")
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
            u64::try_from(value).map_or_else(|_| Err(refuse(value)), |value| self.visit_u64(value))
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
            if value <= RETRY_AFTER_MAX { Ok(value.to_string()) } else { Err(refuse(value)) }
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }

    fn refuse<E: Error>(value: impl fmt::Display) -> E {
        E::custom(format_args!(
            "`retry_after` is {value}; allowed is 0 to {RETRY_AFTER_MAX} seconds, or a text for the header"
        ))
    }

    from.deserialize_any(TextOrSeconds).map(Some)
}

/// Durations as people write them.
pub(crate) mod time {
    use std::{fmt, time::Duration};

    use serde::{
        Deserializer, Serializer,
        de::{Error, Visitor},
    };

    struct Text;

    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`for` as text, such as \"500ms\" or \"2s\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            humantime::parse_duration(text).map_err(|error| {
                E::custom(format_args!(
                    "`for` is {text:?}: {error}; write \"500ms\" or \"2s\", from 1ms to 24h"
                ))
            })
        }
    }

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_str(Text)
    }

    pub(crate) mod optional {
        use super::{Deserializer, Duration, Serializer};

        pub(crate) fn serialize<S: Serializer>(
            time: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, to),
                None => to.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            super::deserialize(from).map(Some)
        }
    }
}
