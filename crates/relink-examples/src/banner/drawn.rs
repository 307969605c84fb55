//! A record of what was drawn, for tests of whether something was ever on the screen.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use relink::Instant;
use relink::link::Indicator;
use serde::Serialize;

/// A summary of what was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Drawn {
    /// The name of the status.
    pub status: &'static str,
    /// The color of the indicator.
    pub color: Indicator,
    /// Whether the banner was there.
    pub banner: bool,
    /// Whether *retry now* was offered.
    pub stuck: bool,
    /// Why it has ended, if it has.
    pub ended: Option<&'static str>,
}

/// A file with a JSON object for each picture that differs from the one before.
#[derive(Debug)]
pub struct DrawnLog {
    file: File,
    last: Option<Drawn>,
}

#[derive(Serialize)]
struct Line {
    t: u128,
    #[serde(flatten)]
    drawn: Drawn,
}

impl DrawnLog {
    /// A log in this file, from its beginning.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(path)?, last: None })
    }

    /// This was drawn.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn note(&mut self, drawn: Drawn, now: Instant) -> io::Result<()> {
        if self.last == Some(drawn) {
            return Ok(());
        }
        self.last = Some(drawn);
        let line = Line { t: now.since_origin().as_millis(), drawn };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.file.write_all(&text)
    }
}
