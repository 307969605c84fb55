//! Decoding: the fields of one record, found in either encoding, and read as the frame needs them.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use relink::Message;
use relink::session::Text;

use super::Encoding;
use super::item::Item;
use super::malformed::DecodeError;
use super::names::Key;
use super::{cbor, json};

/// A value that was found but not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Raw<'a> {
    Json(&'a str),
    Cbor(Item<'a>),
}

/// The known fields of a record.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>([Option<Raw<'a>>; Key::NAMES.len()]);

impl<'a> Fields<'a> {
    /// Reads the fields of a whole message.
    pub(super) fn fill(&mut self, message: &'a Message) -> Result<Encoding, DecodeError> {
        match message {
            Message::Text(text) => json::message(text.as_str(), self).map(|()| Encoding::Json),
            Message::Binary(bytes) => cbor::message(bytes, self).map(|()| Encoding::Cbor),
        }
    }

    /// Other decoders might pick the other value of a duplicate field.
    pub(super) fn add(&mut self, key: Key, raw: Raw<'a>) -> Result<(), DecodeError> {
        match self.0.get_mut(usize::from(key.number())) {
            Some(Some(_)) => Err(DecodeError::refused(format!("{}: twice", key.name()))),
            Some(free) => {
                *free = Some(raw);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A field, unless it is absent or null.
    fn get(&self, key: Key) -> Option<Raw<'a>> {
        let raw = self.0.get(usize::from(key.number())).copied().flatten();
        raw.filter(|raw| !raw.is_null())
    }

    /// The type of the frame, by its name in JSON and by its number in CBOR.
    pub(super) fn kind<T>(
        &self,
        names: &[&str],
        from_name: fn(&str) -> Option<T>,
        from_number: fn(u64) -> Option<T>,
    ) -> Result<T, DecodeError> {
        let kind = match self.get(Key::Type) {
            Some(Raw::Json(text)) => json::string(text).and_then(|name| from_name(&name)),
            Some(Raw::Cbor(item)) => item.number().and_then(from_number),
            None => return Err(DecodeError::missing(Key::Type)),
        };
        kind.ok_or_else(|| DecodeError::wanted(Key::Type, &format!("one of {}", names.join(", "))))
    }

    pub(super) fn number(
        &self,
        key: Key,
        allowed: RangeInclusive<u64>,
    ) -> Result<Option<u64>, DecodeError> {
        let Some(raw) = self.get(key) else { return Ok(None) };
        let number = match raw {
            Raw::Json(text) => json::number(text),
            Raw::Cbor(item) => item.number(),
        };
        number.filter(|number| allowed.contains(number)).map(Some).ok_or_else(|| {
            let wanted = format!("a whole number from {} to {}", allowed.start(), allowed.end());
            DecodeError::wanted(key, &wanted)
        })
    }

    pub(super) fn small_number(&self, key: Key) -> Result<Option<u32>, DecodeError> {
        let number = self.number(key, 0..=u64::from(u32::MAX))?;
        Ok(number.and_then(|number| u32::try_from(number).ok()))
    }

    pub(super) fn flag(&self, key: Key) -> Result<Option<bool>, DecodeError> {
        let Some(raw) = self.get(key) else { return Ok(None) };
        let flag = match raw {
            Raw::Json(text) => json::flag(text),
            Raw::Cbor(Item::Flag(flag)) => Some(flag),
            Raw::Cbor(_) => None,
        };
        flag.map(Some).ok_or_else(|| DecodeError::wanted(key, "true or false"))
    }

    /// Text of a length in these bounds, in bytes.
    pub(super) fn text(
        &self,
        key: Key,
        allowed: RangeInclusive<usize>,
    ) -> Result<Option<Cow<'a, str>>, DecodeError> {
        let Some(raw) = self.get(key) else { return Ok(None) };
        let text = raw.text().filter(|text| allowed.contains(&text.len()));
        text.map(Some).ok_or_else(|| {
            DecodeError::wanted(
                key,
                &format!("text of {} to {} bytes", allowed.start(), allowed.end()),
            )
        })
    }

    pub(super) fn string(
        &self,
        key: Key,
        allowed: RangeInclusive<usize>,
    ) -> Result<Option<String>, DecodeError> {
        Ok(self.text(key, allowed)?.map(Cow::into_owned))
    }

    pub(super) fn has_payload(&self) -> bool {
        self.get(Key::Text).or(self.get(Key::Base64)).is_some()
    }

    /// The payload of a message: a part of the message's own memory if nothing had to be unescaped.
    pub(super) fn payload(&self, message: &Message) -> Result<Message, DecodeError> {
        match (self.get(Key::Text), self.get(Key::Base64)) {
            (Some(raw), None) => {
                let text = match raw.text() {
                    Some(Cow::Borrowed(text)) => {
                        Some(Text::assume_utf8(part(message, text.as_bytes())))
                    }
                    Some(Cow::Owned(text)) => Some(Text::from(text)),
                    None => None,
                };
                text.map(Message::Text).ok_or_else(|| DecodeError::wanted(Key::Text, "text"))
            }
            (None, Some(Raw::Json(text))) => {
                let bytes = json::string(text).and_then(|text| STANDARD.decode(&*text).ok());
                bytes.map(Message::from).ok_or_else(|| {
                    DecodeError::wanted(
                        Key::Base64,
                        "base64 of the standard alphabet, with padding,",
                    )
                })
            }
            (None, Some(Raw::Cbor(item))) => match cbor::bytes(item) {
                Some(Cow::Borrowed(bytes)) => Ok(Message::Binary(part(message, bytes))),
                Some(Cow::Owned(bytes)) => Ok(Message::from(bytes)),
                None => Err(DecodeError::wanted(Key::Base64, "a byte string")),
            },
            (None, None) => Err(DecodeError::refused("text, base64: missing")),
            (Some(_), Some(_)) => {
                Err(DecodeError::refused("text, base64: only one of them is wanted"))
            }
        }
    }

    /// A nested record.
    pub(super) fn record<T>(
        &self,
        key: Key,
        read: impl FnOnce(&Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        let Some(raw) = self.get(key) else { return Ok(None) };
        let fields = raw.fields().ok_or_else(|| DecodeError::wanted(key, "a record"))?;
        let read = fields.and_then(|fields| read(&fields));
        read.map(Some).map_err(|error| error.inside(key))
    }

    /// Nested records; empty if there is no list.
    pub(super) fn records<T>(
        &self,
        key: Key,
        most: usize,
        mut read: impl FnMut(&Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(raw) = self.get(key) else { return Ok(None) };
        let elements = match raw {
            Raw::Json(text) => json::elements(text, most.saturating_add(1)),
            Raw::Cbor(item) => cbor::elements(item, most.saturating_add(1)),
        };
        let wanted = || DecodeError::wanted(key, &format!("a list of up to {most} records"));
        let elements = elements.filter(|elements| elements.len() <= most).ok_or_else(wanted)?;
        let records = elements.into_iter().map(|raw| {
            let fields = raw.fields().ok_or_else(wanted)?;
            fields.and_then(|fields| read(&fields)).map_err(|error| error.inside(key))
        });
        records.collect::<Result<_, _>>().map(Some)
    }
}

impl<'a> Raw<'a> {
    fn is_null(self) -> bool {
        match self {
            Self::Json(text) => json::is_null(text),
            Self::Cbor(item) => item == Item::Null,
        }
    }

    fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Json(text) => json::string(text),
            Self::Cbor(item) => cbor::text(item),
        }
    }

    fn fields(self) -> Option<Result<Fields<'a>, DecodeError>> {
        match self {
            Self::Json(text) => json::fields(text),
            Self::Cbor(item) => cbor::fields(item),
        }
    }
}

/// Shares the memory of the message that this is a part of.
fn part(message: &Message, bytes: &[u8]) -> Bytes {
    match message {
        Message::Text(text) => text.clone().into_bytes().slice_ref(bytes),
        Message::Binary(whole) => whole.slice_ref(bytes),
    }
}

/// A required field.
pub(super) fn need<T>(key: Key, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or_else(|| DecodeError::missing(key))
}
