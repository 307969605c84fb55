//! Is it JSON, is it CBOR? Written from the RFCs alone, with nothing of the codec in it, to judge
//! the codec by.

use relink::Message;

/// Deeper nesting need not be checked.
const DEPTH: usize = 32;

/// Whether a message is one well-formed item of its encoding; `None` if it is nested too deeply.
pub(super) fn well_formed(message: &Message) -> Option<bool> {
    match message {
        Message::Text(text) => {
            let mut json = Json(text.as_str().as_bytes());
            json.blanks();
            let value = json.value(0);
            json.blanks();
            verdict(value, json.0)
        }
        Message::Binary(bytes) => {
            let mut cbor = Cbor(bytes);
            let item = cbor.item(0, false);
            verdict(item.map(drop), cbor.0)
        }
    }
}

fn verdict(read: Result<(), No>, rest: &[u8]) -> Option<bool> {
    match read {
        Ok(()) => Some(rest.is_empty()),
        Err(No::Wrong) => Some(false),
        Err(No::TooDeep) => None,
    }
}

enum No {
    Wrong,
    TooDeep,
}

fn deeper(depth: usize, most: usize) -> Result<usize, No> {
    if depth < most { Ok(depth + 1) } else { Err(No::TooDeep) }
}

/// The grammar of RFC 8259, section by section.
struct Json<'a>(&'a [u8]);

impl Json<'_> {
    fn peek(&self) -> u8 {
        self.0.first().copied().unwrap_or(0)
    }

    fn next(&mut self) -> u8 {
        let first = self.peek();
        self.0 = self.0.get(1..).unwrap_or_default();
        first
    }

    fn take(&mut self, wanted: &str) -> Result<(), No> {
        self.0 = self.0.strip_prefix(wanted.as_bytes()).ok_or(No::Wrong)?;
        Ok(())
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.next();
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), No> {
        match self.peek() {
            b'{' => self.list(deeper(depth, DEPTH * 4)?, b'}', true),
            b'[' => self.list(deeper(depth, DEPTH * 4)?, b']', false),
            b'"' => self.string(),
            b't' => self.take("true"),
            b'f' => self.take("false"),
            b'n' => self.take("null"),
            _ => self.number(),
        }
    }

    fn list(&mut self, depth: usize, end: u8, is_object: bool) -> Result<(), No> {
        self.next();
        self.blanks();
        if self.peek() == end {
            self.next();
            return Ok(());
        }
        loop {
            self.blanks();
            if is_object {
                self.string()?;
                self.blanks();
                self.take(":")?;
                self.blanks();
            }
            self.value(depth)?;
            self.blanks();
            match self.next() {
                b',' => {}
                other if other == end => return Ok(()),
                _ => return Err(No::Wrong),
            }
        }
    }

    fn string(&mut self) -> Result<(), No> {
        self.take("\"")?;
        loop {
            match self.next() {
                b'"' => return Ok(()),
                b'\\' => match self.next() {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' if (0..4).all(|_| self.next().is_ascii_hexdigit()) => {}
                    _ => return Err(No::Wrong),
                },
                0..=0x1f => return Err(No::Wrong),
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Result<(), No> {
        if self.peek() == b'-' {
            self.next();
        }
        if self.peek() == b'0' {
            self.next();
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.next();
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.next();
            if matches!(self.peek(), b'+' | b'-') {
                self.next();
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), No> {
        if !self.peek().is_ascii_digit() {
            return Err(No::Wrong);
        }
        while self.peek().is_ascii_digit() {
            self.next();
        }
        Ok(())
    }
}

/// The pseudocode of RFC 8949, appendix C; text must be UTF-8, too.
struct Cbor<'a>(&'a [u8]);

impl Cbor<'_> {
    fn take(&mut self, count: u64) -> Result<&[u8], No> {
        let count = usize::try_from(count).map_err(|_| No::Wrong)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(No::Wrong)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, length: u64) -> Result<u64, No> {
        Ok(self.take(length)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The major type of the item; `None` for a break, if one is allowed.
    fn item(&mut self, depth: usize, may_break: bool) -> Result<Option<u8>, No> {
        let head = self.number(1)?;
        let (major, info) = ((head >> 5) as u8, head & 0x1f);
        let argument = match info {
            0..=23 => info,
            24..=27 => self.number(1 << (info - 24))?,
            31 => return self.indefinite(major, depth, may_break),
            _ => return Err(No::Wrong),
        };
        match major {
            2 => drop(self.take(argument)?),
            3 => drop(std::str::from_utf8(self.take(argument)?).map_err(|_| No::Wrong)?),
            4 => self.items(u128::from(argument), depth)?,
            5 => self.items(u128::from(argument) * 2, depth)?,
            6 => self.items(1, depth)?,
            7 if info == 24 && argument < 32 => return Err(No::Wrong),
            _ => {}
        }
        Ok(Some(major))
    }

    fn items(&mut self, count: u128, depth: usize) -> Result<(), No> {
        // More than there are bytes: it cannot be, however deep.
        if count > self.0.len() as u128 {
            return Err(No::Wrong);
        }
        let depth = deeper(depth, DEPTH)?;
        for _ in 0..count {
            self.item(depth, false)?;
        }
        Ok(())
    }

    fn indefinite(&mut self, major: u8, depth: usize, may_break: bool) -> Result<Option<u8>, No> {
        if major == 7 {
            return if may_break { Ok(None) } else { Err(No::Wrong) };
        }
        if !(2..=5).contains(&major) {
            return Err(No::Wrong);
        }
        let depth = deeper(depth, DEPTH)?;
        loop {
            // The pieces of a string are whole strings of the same type.
            let is_piece =
                self.0.first().is_some_and(|head| head >> 5 == major && head & 0x1f != 31);
            let is_break = self.0.first() == Some(&0xff);
            if major < 4 && !is_piece && !is_break {
                return Err(No::Wrong);
            }
            if self.item(depth, true)?.is_none() {
                return Ok(Some(major));
            }
            if major == 5 {
                self.item(depth, false)?;
            }
        }
    }
}
