//! A child process: lines in, lines out; every wait has a deadline, and dropping it ends it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use crate::{Result, clock::Deadline};

/// A running program. Dropping it ends it.
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Child {
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name} does not start: {error}"))?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().ok_or("a child without its stdout")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { name: name.to_owned(), process, stdin, lines })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Writes one line to the program's stdin.
    pub(crate) fn write(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().ok_or("stdin was closed before")?;
        writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .map_err(|error| format!("{} does not read its stdin: {error}", self.name).into())
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line from the program's stdout; `None` at its end.
    pub(crate) fn read(&mut self, deadline: Deadline) -> Result<Option<String>> {
        match self.lines.recv_timeout(deadline.left()) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(format!("{} stays silent", self.name).into()),
        }
    }

    /// The next line, if there is one before the deadline.
    pub(crate) fn poll(&mut self, deadline: Deadline) -> Option<String> {
        self.lines.recv_timeout(deadline.left()).ok()
    }

    /// Waits for the program to end by itself.
    pub(crate) fn wait(&mut self, deadline: Deadline) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            if deadline.left().is_zero() {
                return Err(format!("{} does not end", self.name).into());
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only when the program has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How often a wait polls if it has nothing to block on.
pub(crate) const POLL: Duration = Duration::from_millis(10);
