//! `relink serve`: the scripted server of `relink-testing`, for trying things out.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use relink_testing::{Script, Server, ServerEvent, What};
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::{Exit, Mistake};
use crate::output::{Line, Output};
use crate::signals::Stop;

const FORMAT: &str = "\
Scripts:
  A script says what happens to each connection, in order of arrival. This one closes the first
  as in a deploy, refuses the second, and echoes to all others:

    then = \"echo\"                  # or \"repeat-last\" (default), \"repeat\", \"refuse\"

    [[connection]]
    steps = [
        { do = \"echo\", for = \"5s\" },
        { do = \"close\", code = 1001, reason = \"deploy; retry-after=3s\" },
    ]

    [[connection]]
    steps = [{ do = \"refuse\", status = 503, retry_after = 2 }]

  First steps:  accept (implied), refuse, garbage, blackhole
  Then:         send, expect, echo, wait, ping, silent, close, close-no-code, drop, reset
  After the last step: echo. Every step and its fields: docs/serve-script.md

Examples:
  relink serve
  relink serve --listen 127.0.0.1:0 --json
  relink serve --script bad-day.toml

Exit status:
  0  stopped by you: Ctrl-C, or nobody reads stdout any more
  1  the address cannot be listened on
  2  a mistake in the command line or the script";

/// The options of `relink serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = FORMAT)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,

    /// What to do with each connection; without it, every message is sent back
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,

    /// Print events as JSON, one object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Mistake> {
    let script = args.script.as_deref().map_or_else(|| Ok(Script::echo()), read)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Mistake::failed)?;
    runtime.block_on(serve(args, script))
}

fn read(file: &Path) -> Result<Script, Mistake> {
    let name = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Mistake::usage(format!("{name} cannot be read: {error}")))?;
    Script::from_toml(&text).map_err(|error| Mistake::usage(format!("{name}: {error}")))
}

async fn serve(args: &Args, script: Script) -> Result<Exit, Mistake> {
    let mut stop = Stop::listen().map_err(Mistake::failed)?;
    let server = Server::bind(args.listen, script)
        .await
        .map_err(|error| Mistake::failed(format!("{} cannot be listened on: {error}", args.listen)))?;
    let (output, finish) = Output::start().map_err(Mistake::failed)?;
    let url = server.url();
    let tell = async {
        if args.json {
            output.write(Told::listening(&url).line()).await;
        } else {
            output.write(Line::Out(format!("listening on {url}"))).await;
            output.write(Line::note(format!("try `relink connect {url}`; Ctrl-C ends this"))).await;
        }
        let mut events = server.watch();
        while let Some(event) = events.next().await {
            let line = if args.json { Told::from(&event).line() } else { Line::Out(event.to_string()) };
            output.write(line).await;
        }
    };
    tokio::select! {
        () = tell => {}
        () = output.closed() => {}
        () = stop.asked() => {}
    }
    server.stop().await;
    drop(output);
    finish.wait().await;
    Ok(Exit::Done)
}

/// One event as `docs/serve-script.md` describes it. Of a request only the path is told: the rest may be secret.
#[derive(Serialize)]
struct Told {
    /// Milliseconds since the server started.
    t: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<usize>,
    event: &'static str,
    #[serde(flatten)]
    more: Value,
}

impl Told {
    fn listening(url: &str) -> Self {
        Self { t: 0, connection: None, event: "listening", more: json!({ "url": url }) }
    }

    fn line(&self) -> Line {
        // Text and numbers: there is nothing that JSON could not hold.
        Line::Out(serde_json::to_string(self).unwrap_or_default())
    }
}

impl From<&ServerEvent> for Told {
    fn from(ServerEvent { at, connection, what, .. }: &ServerEvent) -> Self {
        let t = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let (event, more) = describe(what);
        Self { t, connection: Some(*connection), event, more }
    }
}

fn describe(what: &What) -> (&'static str, Value) {
    match what {
        What::Arrived => ("arrived", json!({})),
        What::Accepted { request, subprotocol, .. } => {
            ("accepted", json!({ "path": request.path(), "subprotocol": subprotocol }))
        }
        What::Blackholed => ("blackholed", json!({})),
        What::Silent => ("silent", json!({})),
        What::Text(text) => ("message", json!({ "text": text })),
        What::Binary(bytes) => ("message", json!({ "base64": BASE64_STANDARD.encode(bytes) })),
        What::Ping(_) => ("ping", json!({})),
        What::Pong(_) => ("pong", json!({})),
        What::TooMany => ("too_many", json!({})),
        What::Refused { status, request, .. } => {
            ("refused", json!({ "status": status, "path": request.path() }))
        }
        What::AnsweredGarbage { request, .. } => ("answered_garbage", json!({ "path": request.path() })),
        What::HandshakeFailed { why, .. } => ("handshake_failed", json!({ "why": why })),
        What::Closed { code, reason, answered } => {
            ("closed", json!({ "code": code, "reason": reason, "answered": answered }))
        }
        What::Reset => ("reset", json!({})),
        What::Dropped => ("dropped", json!({})),
        What::PeerClosed { code, reason } => ("peer_closed", json!({ "code": code, "reason": reason })),
        What::PeerLost { why, .. } => ("peer_lost", json!({ "why": why })),
        What::ProtocolError { why, .. } => ("protocol_error", json!({ "why": why })),
        _ => ("other", json!({})),
    }
}
