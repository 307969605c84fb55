//! Encoding: named values, written in either encoding.

use alloc::vec::Vec;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use minicbor::Encoder;
use minicbor::encode::Write;
use relink::Message;
use relink::session::Text;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Encoding;
use super::names::Key;

/// Named values, in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Record<'a>(pub(super) Vec<(Key, Value<'a>)>);

#[derive(Debug)]
pub(super) enum Value<'a> {
    /// The type of a frame: its name, its number.
    Kind(&'static str, u8),
    Number(u64),
    Flag(bool),
    Text(&'a str),
    Bytes(&'a [u8]),
    Record(Record<'a>),
    List(Vec<Record<'a>>),
}

impl<'a> Record<'a> {
    pub(super) fn with(mut self, key: Key, value: Value<'a>) -> Self {
        self.0.push((key, value));
        self
    }

    pub(super) fn maybe(self, key: Key, value: Option<Value<'a>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub(super) fn number(self, key: Key, value: u64) -> Self {
        self.with(key, Value::Number(value))
    }

    pub(super) fn text(self, key: Key, value: &'a str) -> Self {
        self.with(key, Value::Text(value))
    }

    pub(super) fn flag(self, key: Key, value: bool) -> Self {
        self.with(key, Value::Flag(value))
    }

    pub(super) fn record(self, key: Key, value: impl Into<Self>) -> Self {
        self.with(key, Value::Record(value.into()))
    }

    pub(super) fn encode(&self, encoding: Encoding) -> Message {
        match encoding {
            // Neither can fail: they write to memory, and every key is text.
            Encoding::Json => {
                Message::Text(Text::from(serde_json::to_string(self).unwrap_or_default()))
            }
            Encoding::Cbor => {
                let mut out = Encoder::new(Vec::with_capacity(64));
                let written = self.write(&mut out);
                debug_assert!(written.is_ok(), "memory takes everything");
                Message::from(out.into_writer())
            }
        }
    }

    pub(super) fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(self.0.len() as u64)?;
        for (key, value) in &self.0 {
            out.u8(key.number())?;
            value.write(out)?;
        }
        Ok(())
    }
}

type Written<W> = Result<(), minicbor::encode::Error<<W as Write>::Error>>;

impl Value<'_> {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        match self {
            Self::Kind(_, number) => out.u8(*number)?,
            Self::Number(number) => out.u64(*number)?,
            Self::Flag(flag) => out.bool(*flag)?,
            Self::Text(text) => out.str(text)?,
            Self::Bytes(bytes) => out.bytes(bytes)?,
            Self::Record(record) => return record.write(out),
            Self::List(records) => {
                out.array(records.len() as u64)?;
                return records.iter().try_for_each(|record| record.write(out));
            }
        };
        Ok(())
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key.name(), value)?;
        }
        map.end()
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Kind(name, _) => serializer.serialize_str(name),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Bytes(bytes) => serializer.collect_str(&Base64Display::new(bytes, &STANDARD)),
            Self::Record(record) => record.serialize(serializer),
            Self::List(records) => serializer.collect_seq(records),
        }
    }
}
