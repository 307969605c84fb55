//! Stdout and stderr, written by their own thread: if they are not read, the link still runs.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::exit::Mistake;
use crate::style::{FAINT, paint};

/// The maximum number of lines that wait for a slow reader. Beyond it events wait, then the socket
/// is not read, which slows the server.
const LINES: usize = 256;

/// One line for people or programs, without its line end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// To stdout, as it is.
    Out(String),
    /// To stderr, in colors if it can show them.
    Err(String),
}

impl Line {
    /// A note on stderr.
    pub(crate) fn note(text: impl Display) -> Self {
        Self::Err(format!("{} {text}", paint(FAINT, "relink:")))
    }
}

/// The writing end. Clones write to the same place.
#[derive(Debug, Clone)]
pub(crate) struct Output(mpsc::Sender<Line>);

/// The end of the thread.
#[derive(Debug)]
pub(crate) struct Finish(oneshot::Receiver<io::Result<()>>);

impl Output {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<(Self, Finish)> {
        let (sender, lines) = mpsc::channel(LINES);
        let (done, finished) = oneshot::channel();
        thread::Builder::new().name("output".to_owned()).spawn(move || {
            // After an error the receiver is gone, which all writers notice.
            _ = done.send(write_all(lines));
        })?;
        Ok((Self(sender), Finish(finished)))
    }

    /// Writes a line, waiting until there is room for it. If stdout is closed the line is lost, and
    /// [`closed`](Self::closed) returns.
    pub(crate) async fn write(&self, line: Line) {
        self.write_all([line]).await;
    }

    /// Writes lines, each made once there is room for the one before it. Stops if stdout is closed.
    pub(crate) async fn write_all(&self, lines: impl IntoIterator<Item = Line>) {
        for line in lines {
            if self.0.send(line).await.is_err() {
                return;
            }
        }
    }

    /// Waits until stdout is closed or broken; [`Finish::wait`] returns which.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }
}

impl Finish {
    /// Waits until everything is written. Every [`Output`] must be gone, or stdout closed. It waits
    /// while stdout is not read: add a timeout.
    ///
    /// A closed stdout is not an error: its reader has seen enough. One that cannot be written, as
    /// on a full disk, is.
    pub(crate) async fn wait(self) -> Result<(), Mistake> {
        match self.0.await {
            Ok(Err(error)) => unwritten(error),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

/// What to do about an error from stdout: nothing if it is closed.
pub(crate) fn unwritten(error: io::Error) -> Result<(), Mistake> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(Mistake::failed(format!("stdout cannot be written: {error}")))
}

fn write_all(mut lines: mpsc::Receiver<Line>) -> io::Result<()> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    let mut stderr = anstream::stderr();
    while let Some(line) = lines.blocking_recv() {
        match line {
            Line::Out(line) => writeln!(stdout, "{line}")?,
            Line::Err(line) => {
                stdout.flush()?;
                // If stderr is closed, the line is lost.
                _ = writeln!(stderr, "{line}");
            }
        }
        if lines.is_empty() {
            stdout.flush()?;
        }
    }
    stdout.flush()
}
