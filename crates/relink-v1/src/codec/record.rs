//! Encoding: named values, written in either encoding.

use alloc::vec::Vec;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use relink::Message;
use relink::session::Text;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Encoding;
use super::names::Key;

/// Named values, in the order in which they are written.
#[derive(Debug)]
pub(super) struct Record<'a>(pub(super) Vec<(Key, Value<'a>)>);

/// Without fields, and room for those of most frames.
impl Default for Record<'_> {
    fn default() -> Self {
        Self(Vec::with_capacity(4))
    }
}

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
            Encoding::Json => {
                // It cannot fail: it writes to memory, and every key is text.
                Message::Text(Text::from(serde_json::to_string(self).unwrap_or_default()))
            }
            Encoding::Cbor => {
                let mut out = Vec::with_capacity(self.encoded_len(encoding));
                self.write(&mut out);
                Message::from(out)
            }
        }
    }

    pub(super) fn write(&self, out: &mut impl Sink) {
        head(MAP, self.0.len() as u64, out);
        for (key, value) in &self.0 {
            head(NUMBER, u64::from(key.number()), out);
            value.write(out);
        }
    }
}

/// Takes CBOR, or counts it.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

// The major types (RFC 8949, section 3.1).
const NUMBER: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;

/// The head of an item, in its shortest form.
fn head(major: u8, argument: u64, out: &mut impl Sink) {
    let major = major << 5;
    let [.., b3, b2, b1, b0] = argument.to_be_bytes();
    match argument {
        0..24 => out.put(&[major | b0]),
        24..0x100 => out.put(&[major | 24, b0]),
        0x100..0x1_0000 => out.put(&[major | 25, b1, b0]),
        0x1_0000..0x1_0000_0000 => out.put(&[major | 26, b3, b2, b1, b0]),
        _ => {
            out.put(&[major | 27]);
            out.put(&argument.to_be_bytes());
        }
    }
}

fn string(major: u8, bytes: &[u8], out: &mut impl Sink) {
    head(major, bytes.len() as u64, out);
    out.put(bytes);
}

impl Value<'_> {
    fn write(&self, out: &mut impl Sink) {
        match self {
            Self::Kind(_, number) => head(NUMBER, u64::from(*number), out),
            Self::Number(number) => head(NUMBER, *number, out),
            Self::Flag(flag) => out.put(&[if *flag { TRUE } else { FALSE }]),
            Self::Text(text) => string(TEXT, text.as_bytes(), out),
            Self::Bytes(bytes) => string(BYTES, bytes, out),
            Self::Record(record) => record.write(out),
            Self::List(records) => {
                head(ARRAY, records.len() as u64, out);
                records.iter().for_each(|record| record.write(out));
            }
        }
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
