//! Values from CBOR. `None` means that an item is of another kind; one that is inside another was
//! checked with it.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::fields::{Fields, Raw};
use super::item::{Flaw, Item, Items, split};
use super::malformed::DecodeError;
use super::names::Key;

/// Reads the fields of a whole message.
pub(super) fn message<'a>(bytes: &'a [u8], to: &mut Fields<'a>) -> Result<(), DecodeError> {
    let (rest, fields) = match Items::of_map(bytes)? {
        Some(mut items) => {
            let fields = read(&mut items, to)?;
            (items.rest(), fields)
        }
        None => (split(bytes)?.1, Err(DecodeError::refused("a CBOR map is wanted"))),
    };
    if rest.is_empty() { fields } else { Err(DecodeError::syntax("bytes follow the CBOR item")) }
}

/// The fields of a map. Unknown keys are ignored.
pub(super) fn fields(item: Item<'_>) -> Option<Result<Fields<'_>, DecodeError>> {
    let Item::Other(bytes) = item else { return None };
    let (mut items, mut fields) = (Items::of_map(bytes).ok()??, Fields::default());
    Some(read(&mut items, &mut fields).ok()?.map(|()| fields))
}

/// Reads to the end in any case: what follows may still turn out not to be CBOR. The inner result
/// is about the protocol.
fn read<'a>(items: &mut Items<'a>, to: &mut Fields<'a>) -> Result<Result<(), DecodeError>, Flaw> {
    let mut read = Ok(());
    while let Some(key) = items.next()? {
        let value = items.next()?.ok_or(Flaw::NotWellFormed)?;
        let Item::Number(key) = key else { continue };
        if let Some(key) = Key::from_number(key) {
            let added = to.add(key, Raw::Cbor(value));
            read = read.and(added);
        }
    }
    Ok(read)
}

/// The items of an array, at most `most`; `None` if the item is not an array.
pub(super) fn elements(item: Item<'_>, most: usize) -> Option<Vec<Raw<'_>>> {
    let Item::Other(bytes) = item else { return None };
    let mut items = Items::of_array(bytes).ok()??;
    let items = core::iter::from_fn(|| items.next().ok().flatten());
    Some(items.take(most).map(Raw::Cbor).collect())
}

pub(super) fn text(item: Item<'_>) -> Option<Cow<'_, str>> {
    match item {
        Item::Text(text) => Some(Cow::Borrowed(text)),
        Item::Other(bytes) => {
            let mut pieces = Items::of_text(bytes).ok()??;
            let mut whole = String::new();
            while let Some(Item::Text(piece)) = pieces.next().ok()? {
                whole.push_str(piece);
            }
            Some(Cow::Owned(whole))
        }
        Item::Number(_) | Item::Bytes(_) | Item::Flag(_) | Item::Null => None,
    }
}

pub(super) fn bytes(item: Item<'_>) -> Option<Cow<'_, [u8]>> {
    match item {
        Item::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        Item::Other(bytes) => {
            let mut pieces = Items::of_bytes(bytes).ok()??;
            let mut whole = Vec::new();
            while let Some(Item::Bytes(piece)) = pieces.next().ok()? {
                whole.extend_from_slice(piece);
            }
            Some(Cow::Owned(whole))
        }
        Item::Number(_) | Item::Text(_) | Item::Flag(_) | Item::Null => None,
    }
}

impl From<Flaw> for DecodeError {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::NotWellFormed => Self::syntax("not well-formed CBOR"),
            Flaw::TooDeep => Self::refused("CBOR nested too deeply"),
        }
    }
}
