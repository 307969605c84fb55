//! `relink connect --json` as these checks see it: lines in, events out.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{Result, child::Child, clock::Deadline};

/// The program under test, connected to a server that others wrote.
pub(crate) struct Client {
    child: Child,
    seen: Vec<String>,
}

impl Client {
    pub(crate) fn start(relink: &Path, url: &str, settings: &[&str]) -> Result<Self> {
        let mut command = Command::new(relink);
        command.args(["connect", "--json"]).args(settings).arg(url).stderr(Stdio::inherit());
        Ok(Self { child: Child::start("relink", &mut command)?, seen: Vec::new() })
    }

    /// Sends one text message.
    pub(crate) fn send(&mut self, text: &str) -> Result<()> {
        self.child.write(text)
    }

    /// Expects this as the next event that matters.
    pub(crate) fn expect(&mut self, event: &str) -> Result<Value> {
        let deadline = Deadline::within(PATIENCE);
        loop {
            let line = self.child.read(deadline).map_err(|error| format!("{event}: {error}"))?;
            let found = self.parse(&line.ok_or_else(|| format!("{event}: relink ended"))?)?;
            match found["event"].as_str() {
                Some(name) if name == event => return Ok(found),
                Some(name) if BACKGROUND.contains(&name) => {}
                _ => return Err(format!("expected `{event}`, got {found}").into()),
            }
        }
    }

    /// Expects no event that matters for this long.
    pub(crate) fn expect_nothing(&mut self, period: Duration) -> Result<()> {
        let deadline = Deadline::within(period);
        while let Some(line) = self.child.poll(deadline) {
            let found = self.parse(&line)?;
            if !found["event"].as_str().is_some_and(|name| BACKGROUND.contains(&name)) {
                return Err(format!("expected nothing, got {found}").into());
            }
        }
        Ok(())
    }

    /// Closes the program's stdin, as a user does with Ctrl-D.
    pub(crate) fn hang_up(&mut self) {
        self.child.close_stdin();
    }

    /// Waits for the end: this exit status, and `closed` as the last line.
    pub(crate) fn expect_end(&mut self, status: i32) -> Result<Value> {
        let deadline = Deadline::within(PATIENCE);
        let mut last = Value::Null;
        while let Some(line) = self.child.read(deadline)? {
            last = self.parse(&line)?;
        }
        if last["event"] != "closed" {
            return Err(format!("the last line must be `closed`, it is {last}").into());
        }
        match self.child.wait(deadline)?.code() {
            Some(code) if code == status => Ok(last),
            other => Err(format!("expected exit status {status}, got {other:?}").into()),
        }
    }

    /// The output of the program so far, for failure messages.
    pub(crate) fn transcript(&self) -> String {
        self.seen.join("\n")
    }

    fn parse(&mut self, line: &str) -> Result<Value> {
        self.seen.push(line.to_owned());
        let value: Value =
            serde_json::from_str(line).map_err(|error| format!("not JSON ({error}): {line}"))?;
        if value["t"].as_u64().is_none() {
            return Err(format!("an event without its time `t`: {line}").into());
        }
        Ok(value)
    }
}

/// Events that say how a state is reached; they are skipped.
const BACKGROUND: [&str; 7] =
    ["state", "profile_state", "dial", "attempt_failed", "sent", "stuck", "going_away"];

/// How long one expected event may take; far above any delay that the checks configure.
const PATIENCE: Duration = Duration::from_secs(20);
