//! Stdin as messages: one a line.

use std::io::{self, BufRead, Read};
use std::thread;

use tokio::sync::mpsc;

/// What came from stdin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line, without its end.
    Line(String),
    /// A line that cannot be a message, and why.
    Unfit(String),
}

/// Lines that were read and not taken yet.
const AHEAD: usize = 64;

/// Reads stdin on a thread of its own, which nobody has to wait for at the end. Lines above `limit` bytes are unfit: a
/// file without line ends does not fill memory.
pub(crate) fn lines(limit: usize) -> io::Result<mpsc::Receiver<Typed>> {
    let (sender, lines) = mpsc::channel(AHEAD);
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut stdin = io::stdin().lock();
        for number in 1.. {
            let read = next(&mut stdin, number, limit);
            let failed = read.is_err();
            let unreadable = |error| Some(Typed::Unfit(format!("stdin cannot be read any more: {error}")));
            let Some(typed) = read.unwrap_or_else(unreadable) else { return };
            if sender.blocking_send(typed).is_err() || failed {
                return;
            }
        }
    })?;
    Ok(lines)
}

/// The next line; `None` at the end.
fn next(from: &mut impl BufRead, number: u64, limit: usize) -> io::Result<Option<Typed>> {
    let mut line = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(2);
    if from.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let ended = line.ends_with(b"\n");
    for end in [b"\n", b"\r"] {
        if line.ends_with(end) {
            line.pop();
        }
    }
    if line.len() > limit {
        if !ended {
            from.skip_until(b'\n')?;
        }
        let problem = format!("line {number} is longer than the queue (outbox.max_bytes: {limit}); not sent");
        return Ok(Some(Typed::Unfit(problem)));
    }
    Ok(Some(match String::from_utf8(line) {
        Ok(line) => Typed::Line(line),
        Err(_) => Typed::Unfit(format!("line {number} is not UTF-8 text; not sent")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut text: &[u8], limit: usize) -> Vec<Typed> {
        let lines = (1..).map_while(|number| next(&mut text, number, limit).unwrap());
        lines.collect()
    }

    fn line(text: &str) -> Typed {
        Typed::Line(text.to_owned())
    }

    #[test]
    fn lines_are_messages_however_they_end() {
        assert_eq!(read(b"one\ntwo\r\n\nlast", 100), [line("one"), line("two"), line(""), line("last")]);
        assert_eq!(read(b"", 100), []);
    }

    #[test]
    fn a_line_that_is_too_long_or_no_text_is_left_out_and_the_next_is_read() {
        let typed = read(b"12345\n123456\n1234567890123\n\xff\nok\n", 5);
        assert_eq!(typed[0], line("12345"));
        for (number, word) in [(1, "line 2 is longer"), (2, "line 3 is longer"), (3, "line 4 is not UTF-8")] {
            assert!(matches!(&typed[number], Typed::Unfit(why) if why.contains(word)), "{:?}", typed[number]);
        }
        assert_eq!(typed[4..], [line("ok")]);
    }

    #[test]
    fn a_line_of_exactly_the_limit_fits_with_any_end() {
        assert_eq!(read(b"12345\r\n12345", 5), [line("12345"), line("12345")]);
    }
}
