//! Metered's own client against `relink serve --protocol metered`: it is closed with each code of
//! its documentation, and does what that says.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{Result, child::Child, clock::Deadline, event::field};

/// What the client does after a close.
enum After {
    /// Nothing: it is closed for good.
    End,
    /// A fresh token, and a connection after this many milliseconds.
    Back { least: u64, most: u64 },
}

/// The first retry: 500 ms, a fifth more or less, and the delay of a busy machine.
const CURVE: After = After::Back { least: 390, most: 5_000 };
/// 30 s; the client adds jitter to the floor, too.
const CAP: After = After::Back { least: 23_900, most: 40_000 };

/// The close codes, with the scripted step and what the client does. All run at the same time; the
/// slow one is checked last.
const TABLE: [(u16, &str, After); 8] = [
    (4001, "{ do = 'close', code = 4001 }", After::End),
    (4003, "{ do = 'close', code = 4003 }", After::End),
    (4012, "{ do = 'close', code = 4012 }", After::End),
    (4020, "{ do = 'close', code = 4020 }", After::End),
    (4002, "{ do = 'close', code = 4002 }", CURVE),
    (
        1001,
        "{ do = 'send', text = '{\"type\":\"going_away\",\"retryAfterMs\":3000}' }, { do = 'close', code = 1001 }",
        CURVE,
    ),
    (1006, "{ do = 'drop' }", CURVE),
    (4010, "{ do = 'close', code = 4010 }", CAP),
];

pub(crate) fn run(relink: &Path, tools: &Path) -> Result<()> {
    let mut cases = Vec::new();
    for (code, ending, after) in TABLE {
        cases.push((code, Case::start(relink, tools, code, ending)?, after));
    }
    for (code, mut case, after) in cases {
        let checked = case.check(code, &after);
        checked.map_err(|error| {
            format!("Metered's client, {code}: {error}\nit said:\n{}", case.seen.join("\n"))
        })?;
        let does = match after {
            After::End => "it is closed, for good",
            After::Back { .. } => "it comes back with a fresh token, and to its channel",
        };
        println!("ok  Metered's client, {code}: {does}");
    }
    Ok(())
}

/// The server and the client of one case.
struct Case {
    server: Child,
    client: Child,
    seen: Vec<String>,
}

impl Case {
    fn start(relink: &Path, tools: &Path, code: u16, ending: &str) -> Result<Self> {
        let script = tools.join(format!("metered-{code}.toml"));
        // The first connection is served until the client has subscribed; later ones without an
        // end.
        let text = format!(
            "then = 'echo'\n[[connection]]\nsteps = [{{ do = 'echo', for = '3s' }}, {ending}]\n"
        );
        fs::write(&script, text)?;
        let mut command = Command::new(relink);
        command.args([
            "serve",
            "--json",
            "--protocol",
            "metered",
            "--listen",
            "127.0.0.1:0",
            "--script",
        ]);
        command.arg(script).stderr(Stdio::inherit());
        let mut server = Child::start("relink serve", &mut command)?;
        let listening =
            server.read(Deadline::within(PATIENCE))?.ok_or("relink serve ended at its start")?;
        let listening: Value = serde_json::from_str(&listening)?;
        let url = listening["url"].as_str().ok_or("relink serve does not say where it is")?;

        let mut command = Command::new("node");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/metered.mjs")).arg(url);
        command.current_dir(tools).stderr(Stdio::inherit());
        let client = Child::start("Metered's client", &mut command)?;
        Ok(Self { server, client, seen: Vec::new() })
    }

    fn check(&mut self, code: u16, after: &After) -> Result<()> {
        field(&self.expect("token")?, "number", &1.into())?;
        let first = self.expect("connected")?;
        field(&first, "isReconnect", &false.into())?;
        field(&first, "peerId", &"peer-1".into())?;
        self.expect("subscribed")?;
        if code == 1001 {
            field(&self.expect("going-away")?, "retryAfterMs", &3000.into())?;
        }
        let lost = self.expect("disconnected")?;
        field(&lost, "code", &code.into())?;
        match after {
            After::End => {
                field(&lost, "willReconnect", &false.into())?;
                field(&self.expect("state")?, "to", &"closed".into())?;
                self.nothing_more()
            }
            After::Back { least, most } => {
                field(&lost, "willReconnect", &true.into())?;
                field(&self.expect("state")?, "to", &"reconnecting".into())?;
                let token = self.expect("token")?;
                field(&token, "number", &2.into())?;
                let waited = time(&token)?.saturating_sub(time(&lost)?);
                if !(*least..=*most).contains(&waited) {
                    return Err(
                        format!("it tried again after {waited} ms, not {least} to {most}").into()
                    );
                }
                self.back()
            }
        }
    }

    /// Expects it to be connected again, and to receive what is published on its channel.
    fn back(&mut self) -> Result<()> {
        let again = self.expect("connected")?;
        field(&again, "isReconnect", &true.into())?;
        field(&again, "peerId", &"peer-2".into())?;
        field(&self.expect("presence")?, "channel", &"room".into())?;
        self.client.write("publish hello")?;
        let message = self.expect("message")?;
        field(&message, "data", &"hello".into())?;
        field(&message, "from", &"peer-2".into())
    }

    /// Expects neither a token request nor a dial for longer than the first delay.
    fn nothing_more(&mut self) -> Result<()> {
        let quiet = Deadline::within(Duration::from_millis(1_500));
        if let Some(line) = self.client.poll(quiet) {
            return Err(format!("expected nothing, got {line}").into());
        }
        while let Some(line) = self.server.poll(Deadline::within(Duration::ZERO)) {
            let event: Value = serde_json::from_str(&line)?;
            if event["connection"].as_u64().is_some_and(|number| number > 1) {
                return Err(format!("it dialed again: {line}").into());
            }
        }
        Ok(())
    }

    /// The next event with this name; skips others, except those about the state of the connection.
    fn expect(&mut self, event: &str) -> Result<Value> {
        let deadline = Deadline::within(PATIENCE);
        loop {
            let line = self.client.read(deadline).map_err(|error| format!("{event}: {error}"))?;
            let line = line.ok_or_else(|| format!("{event}: it ended"))?;
            self.seen.push(line.clone());
            let found: Value = serde_json::from_str(&line)?;
            match found["event"].as_str() {
                Some(name) if name == event => return Ok(found),
                Some("state" | "dial" | "presence" | "acknowledged") => {}
                _ => return Err(format!("expected `{event}`, got {found}").into()),
            }
        }
    }
}

fn time(event: &Value) -> Result<u64> {
    event["t"].as_u64().ok_or_else(|| format!("no time in {event}").into())
}

/// How long one expected event may take; the slowest is the return after 4010.
const PATIENCE: Duration = Duration::from_secs(50);
