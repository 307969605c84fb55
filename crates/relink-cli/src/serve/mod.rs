//! `relink serve`: the scripted server of `relink-testing`, in front of one for relink.v1 or
//! Metered's protocol, for trying things out.

mod log;
mod node;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use relink_testing::Hub;
use relink_testing::{Events, Metered, Refusal, Script, Server, Upstream};
use tokio::time::{sleep, timeout};

use crate::exit::{Exit, Mistake};
use crate::output::{Line, Output};
use crate::settings::duration;
use crate::signals::Stop;
use log::{Frames, Teller};
use node::Node;

/// How long clients may take to leave in a shutdown: after they were notified, and again after they
/// were closed.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long the last lines may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The delay until clients of Metered's protocol should come back.
const COME_BACK: Duration = Duration::from_secs(1);

const FORMAT: &str = "\
Scripts:
  A script says what happens to each connection, in order of arrival. This one closes the first as in a deploy, \
refuses the second, and echoes to all others:

    then = \"echo\"  # or \"repeat-last\", \"repeat\", \"refuse\"

    [[connection]]
    steps = [
        { do = \"echo\", for = \"5s\" },
        { do = \"close\", code = 1001, reason = \"deploy\" },
    ]

    [[connection]]
    steps = [{ do = \"refuse\", status = 503 }]

  First steps: accept (implied), refuse, garbage, blackhole
  Later:       send, expect, echo, echo-until, wait, ping, silent
  At the end:  close, close-no-code, drop, reset

  After the last step: echo. Every step and its fields: docs/serve-script.md

Clients that ask for the subprotocol relink.v1 are served by a server of that: messages without a channel come back to \
their sender, those to a channel are published there. For them, `echo` in a script means that they are served. With \
`--protocol metered` that holds for everybody: each is let in, whatever token it brings, and what a script does not do \
to it is done by a server of Metered's realtime messaging.

Ctrl-C, SIGTERM and SIGHUP tell clients to come back later, and wait for some seconds until they have left; a second \
one does not wait.

Examples:
  relink serve
  relink serve --protocol metered
  relink serve --session-ttl 10m --history redis://host/
  relink serve --listen 127.0.0.1:0 --json
  relink serve --script bad-day.toml

Exit status:
  0    stopped by you: a signal, or a closed stdout
  1    cannot listen, or reach the history
  2    a mistake in the command line or the script
  130  a second Ctrl-C, which did not wait for the farewell";

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

    /// Compress messages with clients that offer it (permessage-deflate)
    #[arg(long)]
    deflate: bool,

    /// The only protocol to speak; by default relink.v1 with clients that offer it, and plain
    /// messages with others
    #[arg(long, value_name = "NAME", value_enum)]
    protocol: Option<Served>,

    #[command(flatten)]
    node: NodeArgs,
}

/// The only protocol to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Served {
    /// Messages as they are
    Plain,
    /// Acknowledgements, resume, channels and presence (docs/protocol.md)
    #[value(name = "relink.v1")]
    RelinkV1,
    /// The protocol of Metered's realtime messaging: a welcome, channels with presence, messages
    /// from peer to peer
    Metered,
}

/// The options of the relink.v1 server.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The server of relink.v1")]
struct NodeArgs {
    /// Where streams and sessions are kept: `memory`, or an address such as redis://127.0.0.1/
    #[arg(long, value_name = "WHERE", value_parser = Kept::parse, default_value = "memory")]
    history: Kept,

    /// A connection that was silent for this long is dead
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration, default_value = "30s")]
    silence: Duration,

    /// A session can be resumed for this long after its last connection
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration, default_value = "2m")]
    session_ttl: Duration,
}

/// Where the history is kept.
#[derive(Debug, Clone)]
enum Kept {
    Memory,
    /// The address may contain a password.
    #[cfg(feature = "redis")]
    Redis(relink::session::Secret),
}

impl Kept {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "memory" {
            return Ok(Self::Memory);
        }
        #[cfg(feature = "redis")]
        if text.starts_with("redis") {
            return Ok(Self::Redis(text.into()));
        }
        Err(if cfg!(feature = "redis") {
            "neither `memory` nor an address of Redis"
        } else {
            "only `memory`: this program was built without the feature `redis`"
        })
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit, Mistake> {
    let script = args.script.as_deref().map_or_else(|| Ok(Script::echo()), read)?;
    let script = if args.deflate { script.deflate(true) } else { script };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Mistake::failed)?;
    let exit = runtime.block_on(serve(args, script));
    // Does not wait for a name lookup that hangs.
    runtime.shutdown_background();
    exit
}

fn read(file: &Path) -> Result<Script, Mistake> {
    let name = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Mistake::usage(format!("{name} cannot be read: {error}")))?;
    Script::from_toml(&text).map_err(|error| Mistake::usage(format!("{name}: {error}")))
}

async fn serve(args: &Args, script: Script) -> Result<Exit, Mistake> {
    let mut stop = Stop::listen().map_err(Mistake::failed)?;
    let behind = match args.protocol {
        Some(Served::Plain) => Behind::Nothing,
        Some(Served::RelinkV1) | None => Behind::Node(node::start(&args.node).await?),
        Some(Served::Metered) => Behind::Metered(Metered::new(|_, _| None)),
    };
    let server = bind(args, script, &behind).await.map_err(|error| {
        Mistake::failed(format!("{} cannot be listened on: {error}", args.listen))
    })?;
    let (output, finish) = Output::start().map_err(Mistake::failed)?;
    let teller = Teller::new(args.json, behind.frames());
    let mut telling = tokio::spawn(tell(server.url(), server.watch(), teller, output.clone()));
    let is_asked = tokio::select! {
        () = output.closed() => false,
        () = stop.asked() => true,
    };
    let end = async {
        if is_asked {
            tokio::select! {
                () = output.closed() => {}
                () = leave(&server, &behind, &output) => {}
            }
        }
        server.stop().await;
        // To the end of the log.
        tokio::select! {
            _ = &mut telling => {}
            () = output.closed() => telling.abort(),
        }
        drop(output);
        finish.wait().await?;
        Ok(Exit::Done)
    };
    tokio::select! {
        exit = end => exit,
        () = stop.asked() => Ok(Exit::Interrupted),
        // Stdout is not read, so the remaining lines cannot be written.
        () = sleep(FAREWELL * 2 + LAST_WORDS) => Ok(Exit::Done),
    }
}

async fn bind(args: &Args, script: Script, behind: &Behind) -> std::io::Result<Server> {
    match behind.upstream(args.protocol.is_some()) {
        Some(upstream) => Server::bind_before(args.listen, script, upstream).await,
        None => Server::bind(args.listen, script).await,
    }
}

/// The server behind the scripted one.
enum Behind {
    Nothing,
    Node(Node),
    Metered(Metered),
}

impl Behind {
    fn upstream(&self, is_only: bool) -> Option<Upstream> {
        match self {
            Self::Nothing => None,
            Self::Node(node) if is_only => Some(node.upstream().only()),
            Self::Node(node) => Some(node.upstream()),
            Self::Metered(metered) => Some(metered.upstream()),
        }
    }

    fn frames(&self) -> Frames {
        match self {
            Self::Nothing => Frames::None,
            Self::Node(_) => Frames::RelinkV1,
            Self::Metered(_) => Frames::Metered,
        }
    }

    /// Notifies all clients when to come back.
    async fn drain(&self, server: &Server) {
        match self {
            Self::Nothing => {}
            Self::Node(node) => node.drain().await,
            // It is sent before the close that follows.
            Self::Metered(_) => _ = server.send_all(Hub::<u64>::going_away(COME_BACK).encode()),
        }
    }
}

/// Prints events, until the server has stopped.
async fn tell(url: String, mut events: Events, mut teller: Teller, output: Output) {
    for line in teller.listening(&url) {
        output.write(line).await;
    }
    while let Some(event) = events.next().await {
        output.write(teller.line(&event)).await;
    }
}

/// Asks all clients to come back later, and waits until they have left.
async fn leave(server: &Server, behind: &Behind, output: &Output) {
    // This script is valid.
    _ = server.set_script(Script::refuse(Refusal::new(503).retry_after(1)));
    if server.live() == 0 {
        return;
    }
    output
        .write(Line::note("telling clients to come back later; Ctrl-C again does not wait"))
        .await;
    _ = timeout(FAREWELL, behind.drain(server)).await;
    server.close_all(1001, "shutting down");
    // Clients that the script silences do not leave.
    _ = server.wait_for(|_| server.live() == 0, FAREWELL).await;
}
