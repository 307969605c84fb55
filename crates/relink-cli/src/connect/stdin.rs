//! Stdin as messages: one a line.

use std::fmt::{self, Display, Formatter};
use std::io::{self, BufRead, Read};
use std::thread;

use relink::session::{SendErrorKind, SizeLimit};
use tokio::sync::mpsc;

/// A line from stdin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Without its end.
    Line(String),
    /// It cannot be sent.
    Unfit(Unfit),
}

/// Why a line is not sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The link refuses it.
    Refused(SendErrorKind),
    /// It is not UTF-8.
    NotUtf8,
    /// Neither this line nor any after it can be read.
    Unreadable(String),
}

/// A line that is not sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its number, from 1.
    pub(crate) line: u64,
    pub(crate) why: Unfit,
}

impl Unfit {
    /// The symbol, a part of the JSON lines' interface.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Refused(SendErrorKind::TooLarge { .. }) => "too_large",
            Self::Refused(SendErrorKind::Full) => "full",
            Self::Refused(SendErrorKind::Down) => "down",
            Self::Refused(SendErrorKind::Closed | _) => "closed",
            Self::NotUtf8 => "not_text",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl Display for Unfit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => reason.fmt(f),
            Self::NotUtf8 => f.write_str("it is not UTF-8 text"),
            Self::Unreadable(error) => write!(f, "stdin cannot be read any more: {error}"),
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { line, why } = self;
        write!(f, "line {line} is not sent: {why}")
    }
}

/// The number of lines that are read ahead.
const AHEAD: usize = 64;

/// Reads stdin on a detached thread, which does not delay the exit. Lines above `limit` bytes are
/// unfit, so that a file without line ends does not fill memory.
pub(crate) fn lines(limit: usize) -> io::Result<mpsc::Receiver<Typed>> {
    let (sender, lines) = mpsc::channel(AHEAD);
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let read = next(&mut stdin, limit);
            let failed = read.is_err();
            let unreadable =
                |error: io::Error| Some(Typed::Unfit(Unfit::Unreadable(error.to_string())));
            let Some(typed) = read.unwrap_or_else(unreadable) else { return };
            if sender.blocking_send(typed).is_err() || failed {
                return;
            }
        }
    })?;
    Ok(lines)
}

/// The next line; `None` at the end.
fn next(from: &mut impl BufRead, limit: usize) -> io::Result<Option<Typed>> {
    let mut line = Vec::new();
    let most = limit.saturating_add(2);
    if from.by_ref().take(u64::try_from(most).unwrap_or(u64::MAX)).read_until(b'\n', &mut line)?
        == 0
    {
        return Ok(None);
    }
    let rest = if line.len() < most || line.ends_with(b"\n") { 0 } else { length_of_rest(from)? };
    for end in [b"\n", b"\r"] {
        if line.ends_with(end) {
            line.pop();
        }
    }
    let size = line.len().saturating_add(rest);
    if size > limit {
        let too_large = SendErrorKind::TooLarge { size, limit, by: SizeLimit::Outbox };
        return Ok(Some(Typed::Unfit(Unfit::Refused(too_large))));
    }
    let text = String::from_utf8(line);
    Ok(Some(text.map_or(Typed::Unfit(Unfit::NotUtf8), Typed::Line)))
}

/// Reads to the end of the line, counts, and keeps nothing.
fn length_of_rest(from: &mut impl BufRead) -> io::Result<usize> {
    let mut length = 0_usize;
    loop {
        let some = from.fill_buf()?;
        let (end, read) = (some.iter().position(|byte| *byte == b'\n'), some.len());
        length = length.saturating_add(end.unwrap_or(read));
        from.consume(end.map_or(read, |end| end + 1));
        if end.is_some() || read == 0 {
            return Ok(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut text: &[u8], limit: usize) -> Vec<Typed> {
        std::iter::from_fn(|| next(&mut text, limit).unwrap()).collect()
    }

    fn line(text: &str) -> Typed {
        Typed::Line(text.to_owned())
    }

    #[test]
    fn lines_are_messages_however_they_end() {
        assert_eq!(
            read(b"one\ntwo\r\n\nlast", 100),
            [line("one"), line("two"), line(""), line("last")]
        );
        assert_eq!(read(b"", 100), []);
    }

    #[test]
    fn a_line_that_is_too_long_or_no_text_is_left_out_and_the_next_is_read() {
        let typed = read(b"12345\n123456\n1234567890123\n\xff\nok\n12345678", 5);
        let too_large = |size| {
            Typed::Unfit(Unfit::Refused(SendErrorKind::TooLarge {
                size,
                limit: 5,
                by: SizeLimit::Outbox,
            }))
        };
        let not_text = Typed::Unfit(Unfit::NotUtf8);
        assert_eq!(
            typed,
            [line("12345"), too_large(6), too_large(13), not_text, line("ok"), too_large(8)]
        );
    }

    #[test]
    fn a_line_of_exactly_the_limit_fits_with_any_end() {
        assert_eq!(read(b"12345\r\n12345", 5), [line("12345"), line("12345")]);
    }
}
