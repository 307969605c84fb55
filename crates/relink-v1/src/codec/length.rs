//! The length of a frame as it is written, counted without writing it. `record` writes the same.

use super::Encoding;
use super::record::{Record, Sink, Value};

impl Record<'_> {
    pub(super) fn encoded_len(&self, encoding: Encoding) -> usize {
        match encoding {
            Encoding::Json => self.json_len(),
            Encoding::Cbor => {
                let mut counter = Counter(0);
                self.write(&mut counter);
                counter.0
            }
        }
    }

    /// `{"name":value,"name":value}`
    fn json_len(&self) -> usize {
        let fields =
            self.0.iter().map(|(key, value)| json_text_len(key.name()) + 1 + value.json_len());
        2 + separated(fields)
    }
}

impl Value<'_> {
    fn json_len(&self) -> usize {
        match self {
            Self::Kind(name, _) => json_text_len(name),
            Self::Text(text) => json_text_len(text),
            Self::Number(number) => number.checked_ilog10().map_or(1, |log| log as usize + 1),
            Self::Flag(true) => 4,
            Self::Flag(false) => 5,
            Self::Bytes(bytes) => 2 + bytes.len().div_ceil(3).saturating_mul(4),
            Self::Record(record) => record.json_len(),
            Self::List(records) => 2 + separated(records.iter().map(Record::json_len)),
        }
    }
}

/// The total of these lengths with a comma between neighbors.
fn separated(lengths: impl ExactSizeIterator<Item = usize>) -> usize {
    let commas = lengths.len().saturating_sub(1);
    lengths.fold(commas, usize::saturating_add)
}

fn json_text_len(text: &str) -> usize {
    2 + text.bytes().map(json_byte_len).sum::<usize>()
}

/// Quotes, backslashes and control characters are escaped; the rest of UTF-8 is unchanged.
const fn json_byte_len(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

/// Counts what is written to it.
struct Counter(usize);

impl Sink for Counter {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}
