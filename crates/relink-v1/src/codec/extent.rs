//! Finds where a CBOR item ends, and whether it is well-formed by RFC 8949, appendix C, with its
//! text in UTF-8. Runs in constant memory, and never reads past the end, whatever lengths are
//! claimed.

use core::str;

use crate::limits::DEPTH;

/// Why bytes are not an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    NotWellFormed,
    /// Nested too deeply; whether it is well-formed was not checked.
    TooDeep,
}

/// An incomplete container.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// This many items follow.
    Items(u64),
    /// Items follow, up to a break; of a map, an even number.
    Array,
    MapKey,
    MapValue,
    /// Pieces of a string follow, of this major type, up to a break.
    Pieces(u8),
}

const BREAK: u8 = 0xff;
const BYTES: u8 = 2;
const TEXT: u8 = 3;

/// The length of the first item.
pub(super) fn item(bytes: &[u8]) -> Result<usize, Flaw> {
    let mut reader = Reader(bytes);
    let mut stack = [Open::Items(1); DEPTH + 1];
    let mut depth = 0_usize;
    loop {
        // A complete container counts as an item of the one around it.
        while matches!(stack.get(depth), Some(Open::Items(0))) {
            let Some(outer) = depth.checked_sub(1) else { return Ok(bytes.len() - reader.0.len()) };
            depth = outer;
        }
        let Some(top) = stack.get_mut(depth) else { return Err(Flaw::TooDeep) };
        if reader.0.first() == Some(&BREAK) {
            if !matches!(top, Open::Array | Open::MapKey | Open::Pieces(_)) {
                return Err(Flaw::NotWellFormed);
            }
            reader.take(1)?;
            *top = Open::Items(0);
            continue;
        }
        let expects = *top;
        *top = match expects {
            Open::Items(left) => Open::Items(left.saturating_sub(1)),
            Open::MapKey => Open::MapValue,
            Open::MapValue => Open::MapKey,
            Open::Array | Open::Pieces(_) => expects,
        };
        if let Some(inner) = reader.head(expects)? {
            depth += 1;
            *stack.get_mut(depth).ok_or(Flaw::TooDeep)? = inner;
        }
    }
}

/// The bytes that were not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], Flaw> {
        let count = usize::try_from(count).map_err(|_| Flaw::NotWellFormed)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Flaw::NotWellFormed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads the head of an item; returns what follows inside.
    fn head(&mut self, expects: Open) -> Result<Option<Open>, Flaw> {
        let first = self.take(1)?.first().copied().unwrap_or_default();
        let (major, info) = (first >> 5, first & 0x1f);
        if let Open::Pieces(of) = expects {
            if major != of || info == 31 {
                return Err(Flaw::NotWellFormed);
            }
        }
        if info == 31 {
            return match major {
                BYTES | TEXT => Ok(Some(Open::Pieces(major))),
                4 => Ok(Some(Open::Array)),
                5 => Ok(Some(Open::MapKey)),
                _ => Err(Flaw::NotWellFormed),
            };
        }
        let argument = self.argument(info)?;
        match major {
            BYTES => self.take(argument).map(|_| None),
            TEXT => {
                let text = self.take(argument)?;
                str::from_utf8(text).map(|_| None).map_err(|_| Flaw::NotWellFormed)
            }
            4 => self.items(argument, 1),
            5 => self.items(argument, 2),
            6 => self.items(1, 1),
            7 if info == 24 && argument < 32 => Err(Flaw::NotWellFormed),
            _ => Ok(None),
        }
    }

    fn argument(&mut self, info: u8) -> Result<u64, Flaw> {
        let length = match info {
            0..=23 => return Ok(u64::from(info)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return Err(Flaw::NotWellFormed),
        };
        Ok(self.take(length)?.iter().fold(0, |argument, byte| argument << 8 | u64::from(*byte)))
    }

    /// An item takes at least one byte, so a claim of more items than there are bytes is refused
    /// here.
    fn items(&self, count: u64, each: u64) -> Result<Option<Open>, Flaw> {
        match count.checked_mul(each) {
            Some(items) if items <= self.0.len() as u64 => Ok(Some(Open::Items(items))),
            _ => Err(Flaw::NotWellFormed),
        }
    }
}
