//! The servers that others wrote: npm's `ws` and PyPI's `websockets`, each behind a small script.
//!
//! Both scripts have the same interface: the port is their first line, the lines after it are
//! events (`open`, `message TEXT`, `ping`, `close CODE`), and stdin accepts `close CODE REASON`,
//! `terminate` and `quit`.

use std::{
    fmt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{Result, child::Child, clock::Deadline};

/// Whose server.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Ws,
    Websockets,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ws => "ws (npm)",
            Self::Websockets => "websockets (PyPI)",
        })
    }
}

/// A running server on loopback.
pub(crate) struct Server {
    child: Child,
    url: String,
}

impl Server {
    pub(crate) fn start(kind: Kind, tools: &Path) -> Result<Self> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers");
        let mut command = match kind {
            Kind::Ws => Command::new("node"),
            Kind::Websockets => Command::new("python3"),
        };
        match kind {
            Kind::Ws => command.arg(scripts.join("ws.mjs")),
            Kind::Websockets => command
                .arg(scripts.join("websockets_server.py"))
                .env("PYTHONPATH", tools.join("websockets")),
        };
        command.current_dir(tools).stderr(Stdio::inherit());
        let mut child = Child::start(&kind.to_string(), &mut command)?;
        let port = child.read(Deadline::within(PATIENCE))?;
        let port: u16 = port.ok_or_else(|| format!("{kind} ended at its start"))?.parse()?;
        Ok(Self { child, url: format!("ws://127.0.0.1:{port}/") })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Closes every connection with a close frame.
    pub(crate) fn close(&mut self, code: u16, reason: &str) -> Result<()> {
        self.child.write(&format!("close {code} {reason}"))
    }

    /// Drops every connection without a close frame.
    pub(crate) fn terminate(&mut self) -> Result<()> {
        self.child.write("terminate")
    }

    /// Waits until the server reports this, and returns the events before it.
    pub(crate) fn expect(&mut self, report: &str) -> Result<Vec<String>> {
        let deadline = Deadline::within(PATIENCE);
        let mut before = Vec::new();
        loop {
            match self.child.read(deadline) {
                Ok(Some(line)) if line == report => return Ok(before),
                Ok(Some(line)) => before.push(line),
                Ok(None) => return Err(format!("the server ended before `{report}`").into()),
                Err(error) => {
                    return Err(format!("no `{report}` after {before:?}: {error}").into());
                }
            }
        }
    }

    pub(crate) fn quit(mut self) -> Result<()> {
        self.child.write("quit")?;
        match self.child.wait(Deadline::within(PATIENCE))? {
            status if status.success() => Ok(()),
            status => Err(format!("the server ended with {status}").into()),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
