//! The timeline on the screen: seconds, who, what, and why.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstream::AutoStream;
use anstyle::Style;
use tokio::time::Instant;

use crate::style::{CLIENT, FAINT, SERVER, STRONG, paint};

/// Fits every terminal.
const WIDTH: usize = 80;
/// Where the words begin: behind the seconds and the name.
const MARGIN: usize = 17;

/// Who acts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    Server,
    Client,
}

impl Who {
    const fn name(self) -> (&'static str, Style) {
        match self {
            Self::Server => ("server", SERVER),
            Self::Client => ("client", CLIENT),
        }
    }
}

/// Writes the timeline as it happens.
pub(crate) struct Timeline {
    out: AutoStream<io::Stdout>,
    started: Instant,
    /// On a terminal a clock runs where the next line will stand.
    has_clock: bool,
}

impl Timeline {
    pub(crate) fn start() -> Self {
        Self { out: anstream::stdout(), started: Instant::now(), has_clock: io::stdout().is_terminal() }
    }

    /// How long it has been running.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// A paragraph over the whole width.
    pub(crate) fn paragraph(&mut self, text: &str) -> io::Result<()> {
        self.wrapped("", 0, Style::new(), text)
    }

    /// A title.
    pub(crate) fn title(&mut self, text: &str) -> io::Result<()> {
        self.line("")?;
        self.line(&paint(STRONG, text))
    }

    /// Something happened.
    pub(crate) fn say(&mut self, who: Who, style: Style, text: &str) -> io::Result<()> {
        let (name, colour) = who.name();
        let seconds = paint(FAINT, format!("{:>6.1}", self.elapsed().as_secs_f64()));
        let label = format!("{seconds}  {}   ", paint(colour, name));
        self.wrapped(&label, MARGIN, style, text)
    }

    /// Why relink does what it does.
    pub(crate) fn why(&mut self, text: &str) -> io::Result<()> {
        let label = paint(FAINT, format!("{:>11}      ", "why"));
        self.wrapped(&label, MARGIN, FAINT, text)
    }

    /// One line as it is.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.clear_clock()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Moves the running clock on.
    pub(crate) fn tick(&mut self) -> io::Result<()> {
        if self.has_clock {
            write!(self.out, "\r{}", paint(FAINT, format!("{:>6.1}", self.elapsed().as_secs_f64())))?;
            self.out.flush()?;
        }
        Ok(())
    }

    fn wrapped(&mut self, label: &str, margin: usize, style: Style, text: &str) -> io::Result<()> {
        for (line, number) in wrap(text, WIDTH - margin).iter().zip(0..) {
            let before = if number == 0 { label.to_owned() } else { " ".repeat(margin) };
            self.line(&format!("{before}{}", paint(style, line)))?;
        }
        Ok(())
    }

    fn clear_clock(&mut self) -> io::Result<()> {
        // Spaces, not a control sequence: that would be taken away together with the colours.
        if self.has_clock { write!(self.out, "\r{:6}\r", "") } else { Ok(()) }
    }
}

/// Breaks a text into lines of so many characters at the most, at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |line| line.chars().count());
        let fits = line == 0 || line + 1 + word.chars().count() <= width;
        if !fits {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_at_spaces_and_keeps_its_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("an-endless-word and", 5), ["an-endless-word", "and"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
