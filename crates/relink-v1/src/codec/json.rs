//! Values from JSON. The input is the text of one whole value, as found by `serde_json`; `None`
//! means that it is of another kind.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::{Fields, Raw};
use super::malformed::DecodeError;
use super::names::Key;

/// Reads the fields of a whole message.
pub(super) fn message<'a>(text: &'a str, to: &mut Fields<'a>) -> Result<(), DecodeError> {
    match read(text, to) {
        Some(fields) => fields,
        None if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            Err(DecodeError::refused("a JSON object is wanted"))
        }
        None => Err(DecodeError::syntax("not well-formed JSON")),
    }
}

/// The fields of an object; `None` for another value. Unknown names are ignored.
pub(super) fn fields(text: &str) -> Option<Result<Fields<'_>, DecodeError>> {
    let mut fields = Fields::default();
    read(text, &mut fields).map(|read| read.map(|()| fields))
}

/// The inner result is about the protocol, not about JSON.
fn read<'a>(text: &'a str, to: &mut Fields<'a>) -> Option<Result<(), DecodeError>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_map(Object(to)).ok()?;
    deserializer.end().ok()?;
    Some(read)
}

pub(super) fn is_null(text: &str) -> bool {
    text == "null"
}

pub(super) fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

pub(super) fn flag(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// Borrowed if nothing is escaped.
pub(super) fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(text).ok().map(|Unescaped(text)| text);
    }
    Some(Cow::Borrowed(inner))
}

/// The values of an array, at most `most`; `None` if the value is not an array.
pub(super) fn elements(text: &str, most: usize) -> Option<Vec<Raw<'_>>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_seq(Elements(most)).ok()
}

struct Unescaped<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Unescaped<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(UnescapedVisitor)
    }
}

struct UnescapedVisitor;

impl<'de> Visitor<'de> for UnescapedVisitor {
    type Value = Unescaped<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Unescaped(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Unescaped(Cow::Owned(text.into())))
    }
}

/// A known name, or another one.
struct Name(Option<Key>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Unescaped::deserialize(deserializer).map(|Unescaped(name)| Self(Key::from_name(&name)))
    }
}

struct Object<'f, 'a>(&'f mut Fields<'a>);

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = Result<(), DecodeError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    /// Reads to the end in any case: what follows may still turn out not to be JSON.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut read = Ok(());
        while let Some(Name(key)) = map.next_key()? {
            let Some(key) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let raw = map.next_value::<&'de RawValue>()?;
            let added = self.0.add(key, Raw::Json(raw.get()));
            read = read.and(added);
        }
        Ok(read)
    }
}

struct Elements(usize);

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<Raw<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.0 {
            let Some(raw) = array.next_element::<&'de RawValue>()? else { return Ok(elements) };
            elements.push(Raw::Json(raw.get()));
        }
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(elements)
    }
}
