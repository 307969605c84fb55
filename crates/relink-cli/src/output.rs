//! Stdout and stderr, written by a thread of their own: where nobody reads them, the link still lives.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::style::{FAINT, paint};

/// So many lines may wait for a slow reader. Then events wait, then the socket is not read, and the pressure reaches
/// the server.
const LINES: usize = 256;

/// One line for people or programs, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// To stdout, as it is.
    Out(String),
    /// To stderr, in colours if it can show them.
    Err(String),
}

impl Line {
    /// Something to know, on stderr.
    pub(crate) fn note(text: impl Display) -> Self {
        Self::Err(format!("{} {text}", paint(FAINT, "relink:")))
    }
}

/// The writing end. Clones write to the same place.
#[derive(Debug, Clone)]
pub(crate) struct Output(mpsc::Sender<Line>);

/// The end of the thread.
#[derive(Debug)]
pub(crate) struct Finish(oneshot::Receiver<()>);

impl Output {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<(Self, Finish)> {
        let (sender, lines) = mpsc::channel(LINES);
        let (done, finished) = oneshot::channel();
        thread::Builder::new().name("output".to_owned()).spawn(move || {
            // An error is a closed stdout: dropping the receiver tells everyone.
            _ = write_all(lines);
            _ = done.send(());
        })?;
        Ok((Self(sender), Finish(finished)))
    }

    /// Writes a line, waiting until there is room for it. Where stdout is closed the line is lost, and
    /// [`closed`](Self::closed) says so.
    pub(crate) async fn write(&self, line: Line) {
        _ = self.0.send(line).await;
    }

    /// Waits until stdout is closed: whoever read it has seen enough.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }
}

impl Finish {
    /// Waits until everything is written. Every [`Output`] must be gone, or stdout closed.
    pub(crate) async fn wait(self) {
        _ = self.0.await;
    }
}

fn write_all(mut lines: mpsc::Receiver<Line>) -> io::Result<()> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    let mut stderr = anstream::stderr();
    while let Some(line) = lines.blocking_recv() {
        match line {
            Line::Out(line) => writeln!(stdout, "{line}")?,
            Line::Err(line) => {
                stdout.flush()?;
                // Where stderr is closed, nobody wants to know.
                _ = writeln!(stderr, "{line}");
            }
        }
        if lines.is_empty() {
            stdout.flush()?;
        }
    }
    stdout.flush()
}
