//! The timeline on the screen: seconds, who, what, and why.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstream::AutoStream;
use anstyle::Style;
use tokio::time::Instant;

use crate::style::{CLIENT, FAINT, SERVER, STRONG, paint};
use crate::width::{columns, wrap};

/// The column of the text, after the seconds and the name.
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
    width: usize,
    /// On a terminal, a clock runs in the place of the next line.
    has_clock: bool,
}

impl Timeline {
    pub(crate) fn start() -> Self {
        Self {
            out: anstream::stdout(),
            started: Instant::now(),
            width: columns(),
            has_clock: io::stdout().is_terminal(),
        }
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
        self.wrapped("", 0, STRONG, text)
    }

    /// A title with its number.
    pub(crate) fn act(&mut self, number: u8, title: &str) -> io::Result<()> {
        self.line("")?;
        self.wrapped(&paint(STRONG, format!("{number}  ")), 3, STRONG, title)
    }

    /// An indented paragraph.
    pub(crate) fn item(&mut self, style: Style, text: &str) -> io::Result<()> {
        self.wrapped("  ", 2, style, text)
    }

    /// A command, and what it is good for: beside it if there is room, else below.
    pub(crate) fn command(&mut self, command: &str, about: &str) -> io::Result<()> {
        const ABOUT: usize = 40;
        let command = paint(CLIENT, format!("{command:<36}"));
        if ABOUT + about.chars().count() <= self.width {
            return self.line(&format!("  {command}  {about}"));
        }
        self.line(&format!("  {command}"))?;
        self.wrapped("    ", 4, Style::new(), about)
    }

    /// Prints an event.
    pub(crate) fn say(&mut self, who: Who, style: Style, text: &str) -> io::Result<()> {
        let (name, color) = who.name();
        let seconds = paint(FAINT, format!("{:>6.1}", self.elapsed().as_secs_f64()));
        let label = format!("{seconds}  {}   ", paint(color, name));
        self.wrapped(&label, MARGIN, style, text)
    }

    /// Prints why relink does what it does.
    pub(crate) fn why(&mut self, text: &str) -> io::Result<()> {
        let label = paint(FAINT, format!("{:>11}      ", "why"));
        self.wrapped(&label, MARGIN, FAINT, text)
    }

    /// Prints a line unchanged.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.clear_clock()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Updates the running clock.
    pub(crate) fn tick(&mut self) -> io::Result<()> {
        if self.has_clock {
            write!(
                self.out,
                "\r{}",
                paint(FAINT, format!("{:>6.1}", self.elapsed().as_secs_f64()))
            )?;
            self.out.flush()?;
        }
        Ok(())
    }

    fn wrapped(&mut self, label: &str, margin: usize, style: Style, text: &str) -> io::Result<()> {
        for (line, number) in wrap(text, self.width - margin).iter().zip(0..) {
            let before = if number == 0 { label.to_owned() } else { " ".repeat(margin) };
            self.line(&format!("{before}{}", paint(style, line)))?;
        }
        Ok(())
    }

    fn clear_clock(&mut self) -> io::Result<()> {
        // Spaces, not a control sequence, which would be removed together with the colors.
        if self.has_clock { write!(self.out, "\r{:6}\r", "") } else { Ok(()) }
    }
}
