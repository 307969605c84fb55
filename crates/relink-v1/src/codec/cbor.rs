//! Values from CBOR. The input is one whole item, found well-formed by [`extent`](super::extent);
//! `None` means that it is of another kind.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use minicbor::Decoder;
use minicbor::data::Type;

use super::extent::{Flaw, item};
use super::fields::{Fields, Raw};
use super::malformed::DecodeError;
use super::names::Key;

/// Checks a whole message.
pub(super) fn check(bytes: &[u8]) -> Result<(), DecodeError> {
    match item(bytes) {
        Ok(length) if length == bytes.len() => Ok(()),
        Ok(_) => Err(DecodeError::syntax("bytes follow the CBOR item")),
        Err(Flaw::NotWellFormed) => Err(DecodeError::syntax("not well-formed CBOR")),
        Err(Flaw::TooDeep) => Err(DecodeError::refused("CBOR nested too deeply")),
    }
}

pub(super) fn is_null(bytes: &[u8]) -> bool {
    matches!(Decoder::new(bytes).datatype(), Ok(Type::Null | Type::Undefined))
}

pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    Decoder::new(bytes).u64().ok()
}

pub(super) fn flag(bytes: &[u8]) -> Option<bool> {
    Decoder::new(bytes).bool().ok()
}

pub(super) fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if let Ok(text) = Decoder::new(bytes).str() {
        return Some(Cow::Borrowed(text));
    }
    let mut decoder = Decoder::new(bytes);
    let pieces: Result<String, _> = decoder.str_iter().ok()?.collect();
    pieces.ok().map(Cow::Owned)
}

pub(super) fn bytes(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    if let Ok(bytes) = Decoder::new(bytes).bytes() {
        return Some(Cow::Borrowed(bytes));
    }
    let mut whole = Vec::new();
    for piece in Decoder::new(bytes).bytes_iter().ok()? {
        whole.extend_from_slice(piece.ok()?);
    }
    Some(Cow::Owned(whole))
}

/// The fields of a map; `None` for another item. Unknown keys are ignored.
pub(super) fn fields(bytes: &[u8]) -> Option<Result<Fields<'_>, DecodeError>> {
    let mut decoder = Decoder::new(bytes);
    decoder.map().ok()?;
    let mut items = items(bytes.get(decoder.position()..)?);
    let mut fields = Fields::default();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        if let Some(key) = number(key).and_then(Key::from_number) {
            if let Err(twice) = fields.add(key, Raw::Cbor(value)) {
                return Some(Err(twice));
            }
        }
    }
    Some(Ok(fields))
}

/// The items of an array, at most `most`; `None` if the item is not an array.
pub(super) fn elements(bytes: &[u8], most: usize) -> Option<Vec<Raw<'_>>> {
    let mut decoder = Decoder::new(bytes);
    decoder.array().ok()?;
    Some(items(bytes.get(decoder.position()..)?).take(most).map(Raw::Cbor).collect())
}

/// The items inside a container, up to its end: no item begins with a break.
fn items(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (inner, after) = rest.split_at_checked(item(rest).ok()?)?;
        rest = after;
        Some(inner)
    })
}
