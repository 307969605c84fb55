//! CBOR items, read and checked in one pass: well-formed by RFC 8949, appendix C, with text in
//! UTF-8. Runs in constant memory, and never reads past the end, whatever lengths are claimed.

use core::str;

use crate::limits::DEPTH;

/// Why bytes are not an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    NotWellFormed,
    /// Nested too deeply; whether it is well-formed was not checked.
    TooDeep,
}

/// An item that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Number(u64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Flag(bool),
    /// Null or undefined.
    Null,
    /// All of it: a container, a string in pieces, a tag, or another number.
    Other(&'a [u8]),
}

impl Item<'_> {
    pub(super) const fn number(self) -> Option<u64> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }
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

/// The beginning of an item: the item itself, or what is inside.
enum Head<'a> {
    Item(Item<'a>),
    Open(Open),
}

const BREAK: u8 = 0xff;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

/// The items inside a container, up to its end.
#[derive(Debug)]
pub(super) struct Items<'a> {
    reader: Reader<'a>,
    /// How many follow; `None` up to a break.
    left: Option<u64>,
}

impl<'a> Items<'a> {
    /// The keys and values of the map that these bytes begin with; `None` if they do not.
    pub(super) fn of_map(bytes: &'a [u8]) -> Result<Option<Self>, Flaw> {
        Self::inside(bytes, MAP)
    }

    /// The same for an array.
    pub(super) fn of_array(bytes: &'a [u8]) -> Result<Option<Self>, Flaw> {
        Self::inside(bytes, ARRAY)
    }

    /// The same for text in pieces.
    pub(super) fn of_text(bytes: &'a [u8]) -> Result<Option<Self>, Flaw> {
        Self::inside(bytes, TEXT)
    }

    /// The same for a byte string in pieces.
    pub(super) fn of_bytes(bytes: &'a [u8]) -> Result<Option<Self>, Flaw> {
        Self::inside(bytes, BYTES)
    }

    fn inside(bytes: &'a [u8], major: u8) -> Result<Option<Self>, Flaw> {
        if bytes.first().is_none_or(|first| first >> 5 != major) {
            return Ok(None);
        }
        let mut reader = Reader(bytes);
        Ok(match reader.head(None)? {
            Head::Open(Open::Items(count)) => Some(Self { reader, left: Some(count) }),
            Head::Open(_) => Some(Self { reader, left: None }),
            Head::Item(_) => None,
        })
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Item<'a>>, Flaw> {
        match &mut self.left {
            Some(0) => return Ok(None),
            Some(left) => *left -= 1,
            None if self.reader.0.first() == Some(&BREAK) => {
                self.left = Some(0);
                self.reader.take(1)?;
                return Ok(None);
            }
            None => {}
        }
        // Most are keys, types or short lengths: numbers that are their own head.
        if let [small @ 0..24, rest @ ..] = self.reader.0 {
            self.reader.0 = rest;
            return Ok(Some(Item::Number(u64::from(*small))));
        }
        self.reader.item(1).map(Some)
    }

    /// What follows the container, after its last item.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.reader.0
    }
}

/// The first item, and what follows it.
pub(super) fn split(bytes: &[u8]) -> Result<(Item<'_>, &[u8]), Flaw> {
    let mut reader = Reader(bytes);
    Ok((reader.item(0)?, reader.0))
}

/// The bytes that were not read yet.
#[derive(Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads an item that is inside this many containers.
    fn item(&mut self, depth: usize) -> Result<Item<'a>, Flaw> {
        let from = self.0;
        match self.head(None)? {
            Head::Item(Item::Other(_)) => {}
            Head::Item(item) => return Ok(item),
            Head::Open(open) => self.skip(open, depth + 1)?,
        }
        Ok(Item::Other(from.get(..from.len() - self.0.len()).unwrap_or_default()))
    }

    /// Reads to the end of a container. `outer` is how many others it is inside of.
    fn skip(&mut self, open: Open, outer: usize) -> Result<(), Flaw> {
        let mut stack = [open; DEPTH + 1];
        let mut depth = outer;
        loop {
            // A complete container counts as an item of the one around it.
            while matches!(stack.get(depth), Some(Open::Items(0))) {
                if depth == outer {
                    return Ok(());
                }
                depth -= 1;
            }
            let Some(top) = stack.get_mut(depth) else { return Err(Flaw::TooDeep) };
            if self.0.first() == Some(&BREAK) {
                if !matches!(top, Open::Array | Open::MapKey | Open::Pieces(_)) {
                    return Err(Flaw::NotWellFormed);
                }
                self.take(1)?;
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
            let pieces = if let Open::Pieces(of) = expects { Some(of) } else { None };
            if let Head::Open(inner) = self.head(pieces)? {
                depth += 1;
                *stack.get_mut(depth).ok_or(Flaw::TooDeep)? = inner;
            }
        }
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Flaw> {
        let count = usize::try_from(count).map_err(|_| Flaw::NotWellFormed)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Flaw::NotWellFormed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads the head of an item, and all of it but for a container; inside a string, only a piece
    /// of the same type is one.
    #[inline]
    fn head(&mut self, pieces: Option<u8>) -> Result<Head<'a>, Flaw> {
        let first = self.take(1)?.first().copied().unwrap_or_default();
        let (major, info) = (first >> 5, first & 0x1f);
        if pieces.is_some_and(|of| major != of || info == 31) {
            return Err(Flaw::NotWellFormed);
        }
        if info == 31 {
            return match major {
                BYTES | TEXT => Ok(Head::Open(Open::Pieces(major))),
                ARRAY => Ok(Head::Open(Open::Array)),
                MAP => Ok(Head::Open(Open::MapKey)),
                _ => Err(Flaw::NotWellFormed),
            };
        }
        let argument = self.argument(info)?;
        Ok(Head::Item(match major {
            0 => Item::Number(argument),
            BYTES => Item::Bytes(self.take(argument)?),
            TEXT => {
                let text = str::from_utf8(self.take(argument)?);
                Item::Text(text.map_err(|_| Flaw::NotWellFormed)?)
            }
            ARRAY => return self.items(argument, 1),
            MAP => return self.items(argument, 2),
            6 => return self.items(1, 1),
            7 if info == 24 && argument < 32 => return Err(Flaw::NotWellFormed),
            7 if info < 24 => match argument {
                20 => Item::Flag(false),
                21 => Item::Flag(true),
                22 | 23 => Item::Null,
                _ => Item::Other(&[]),
            },
            _ => Item::Other(&[]),
        }))
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
    fn items(&self, count: u64, each: u64) -> Result<Head<'a>, Flaw> {
        match count.checked_mul(each) {
            Some(items) if items <= self.0.len() as u64 => Ok(Head::Open(Open::Items(items))),
            _ => Err(Flaw::NotWellFormed),
        }
    }
}
