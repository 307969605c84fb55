//! `relink connect`: a link that stays up, between stdin and stdout.

mod human;
mod json;
mod stdin;
mod tls;
mod token;

use std::future::pending;
use std::path::PathBuf;

use relink::profile::{self, Narrator};
use relink::{ClosedReason, Event, RefusedReason, SessionConfig};
use relink_tokio::{Builder, Client, Events};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::exit::{Exit, Mistake};
use crate::output::{Line, Output};
use crate::settings::{BackoffArgs, BaseArgs, LinkArgs, ProtocolArgs, settings};
use crate::signals::Stop;
use human::Human;
use stdin::Typed;

/// The options of `relink connect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relink connect wss://example.org/feed
  relink connect --header 'Authorization: Bearer …' --subprotocol chat wss://example.org/chat
  relink connect --token-command 'cat ~/.token' --max-attempts 10 wss://example.org/feed
  tail -f log | relink connect ws://collector/ > answers
  relink connect --protocol relink.v1 --channel lobby --to lobby --presence 'here I am' ws://host/
  relink connect --profile deepstream --channel news ws://host:6020/deepstream
  relink connect --json --no-stdin ws://host/ | jq -r 'select(.event == \"message\").text'

At the end of stdin, relink sends what is queued, connecting first where it must, waits for acknowledgements where the
protocol has them, and closes with 1000.
Ctrl-C closes at once, and waits for the server's answer for up to 2 s.

Exit status:
  0  closed by you: the end of stdin, Ctrl-C, or nobody reads stdout any more
  2  a mistake in the command line or a file
  3  the server ended the link for good; its name (admin_disconnect, …) and what to do are on stderr
  4  gave up trying: a limit such as --max-attempts was used up
  130  a second Ctrl-C, which did not wait for the farewell")]
pub(crate) struct Args {
    /// Where to connect: ws://… or wss://…
    url: String,

    /// Print events as JSON, one object a line, instead of messages and status (docs/json-lines.md)
    #[arg(long)]
    json: bool,

    /// Do not read stdin: stay connected until stopped, wherever stdin leads
    #[arg(long)]
    no_stdin: bool,

    #[command(flatten)]
    protocol: ProtocolArgs,

    #[command(flatten)]
    request: RequestArgs,

    #[command(flatten)]
    base: BaseArgs,

    #[command(flatten)]
    backoff: BackoffArgs,

    #[command(flatten)]
    link: LinkArgs,
}

/// What is said to the server.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What to say to the server")]
struct RequestArgs {
    /// A header for every handshake; repeat it for more
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// A subprotocol to ask for; repeat it for more, in the order of preference
    #[arg(long = "subprotocol", value_name = "NAME")]
    subprotocols: Vec<String>,

    /// A command that prints a token, run by `sh -c` for every attempt and never shown
    ///
    /// Its output, trimmed, goes into `Authorization: Bearer …`. It may also print JSON: {"token": "…", "expires_in":
    /// 3600}; then a fresh token is fetched before the old one expires. A command that fails is a failed attempt.
    #[arg(long, value_name = "COMMAND")]
    token_command: Option<String>,

    /// Trust the certificate authorities in this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Mistake> {
    let profile = args.base.profile;
    args.protocol.mistake(profile).map_or(Ok(()), |mistake| Err(Mistake::usage(mistake)))?;
    let config = settings(&args.base, args.protocol.protocol, &args.backoff, Some(&args.link))?;
    let builder = args.protocol.apply(relink_tokio::builder(&args.url), profile).config(config);
    let builder = args.request.apply(builder)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Mistake::failed)?;
    let exit = runtime.block_on(stay_connected(args, builder, config));
    // A name lookup that hangs is not waited for.
    runtime.shutdown_background();
    exit
}

impl RequestArgs {
    fn apply(&self, mut builder: Builder) -> Result<Builder, Mistake> {
        for (header, number) in self.headers.iter().zip(1..) {
            // The text is not repeated: it may hold a secret.
            let problem = || format!("--header number {number} has no colon: write 'Name: value'");
            let (name, value) = header.split_once(':').ok_or_else(problem).map_err(Mistake::usage)?;
            builder = builder.header(name.trim(), value.trim());
        }
        for subprotocol in &self.subprotocols {
            builder = builder.subprotocol(subprotocol);
        }
        if let Some(command) = self.token_command.clone() {
            builder = builder.token(move || token::fetch(command.clone()));
        }
        if let Some(ca) = &self.ca {
            builder = builder.tls(tls::trusting(ca)?);
        }
        Ok(builder)
    }
}

/// How events are told.
struct Voice {
    manner: Manner,
    /// The profile's own words, where it has any.
    narrator: Option<Narrator>,
}

enum Manner {
    Json { started: Instant },
    Human(Human),
}

impl Voice {
    fn lines(&mut self, event: &Event) -> Vec<Line> {
        let mut lines = match &mut self.manner {
            Manner::Json { started } => json::lines(started.elapsed(), event),
            Manner::Human(human) => human.lines(event),
        };
        if let Some(change) = self.narrator.as_mut().and_then(|narrator| narrator.observe(event)) {
            lines.push(match &self.manner {
                Manner::Json { started } => json::in_other_words(started.elapsed(), change),
                Manner::Human(_) => Line::note(change),
            });
        }
        lines
    }
}

async fn stay_connected(args: &Args, builder: Builder, config: SessionConfig) -> Result<Exit, Mistake> {
    let started = Instant::now();
    let stop = Stop::listen().map_err(Mistake::failed)?;
    let (client, events) = builder.spawn().map_err(Mistake::usage)?;
    if config.link.handshake.login {
        // Whoever starts the program wants in.
        client.login();
    }
    args.protocol.subscribe(&client);
    let (output, finish) = Output::start().map_err(Mistake::failed)?;
    let mut typing = JoinSet::new();
    if args.no_stdin {
        typing.spawn(pending());
    } else {
        let typed = stdin::lines(config.outbox.max_bytes).map_err(Mistake::failed)?;
        typing.spawn(send_typed(client.clone(), typed, args.protocol.clone(), output.clone()));
    }
    let manner = if args.json { Manner::Json { started } } else { Manner::Human(Human::new()) };
    let profile = args.base.profile;
    let narrator = (profile.name != profile::DEFAULT.name).then(|| Narrator::new(profile));
    let voice = Voice { manner, narrator };
    let signals = tokio::spawn(heed_signals(client.clone(), stop));

    let exit = tokio::select! {
        end = converse(&client, events, &mut typing, voice, &output) => Exit::from(end),
        // Nobody reads any more; that is the user's word, too.
        () = output.closed() => {
            client.close().await;
            Exit::Done
        }
    };
    typing.shutdown().await;
    drop(output);
    finish.wait().await;
    signals.abort();
    Ok(exit)
}

/// Tells of events until the end of the link, and closes it once everything that was typed has gone out.
async fn converse(
    client: &Client,
    mut events: Events,
    typing: &mut JoinSet<()>,
    mut voice: Voice,
    output: &Output,
) -> ClosedReason {
    loop {
        tokio::select! {
            event = events.recv() => {
                // The stream ends behind `Closed`, which is caught below.
                let Some(event) = event else { return ClosedReason::Requested };
                for line in voice.lines(&event) {
                    output.write(line).await;
                }
                if let Event::Closed { reason } = event {
                    return reason;
                }
            }
            Some(_) = typing.join_next() => {}
        }
        if typing.is_empty() && has_delivered(client) {
            // Events tell of the end; nobody has to wait here.
            drop(client.close());
        }
    }
}

/// Whether nothing waits any more, and the server could be reached at all.
fn has_delivered(client: &Client) -> bool {
    let stats = client.stats();
    stats.queued == 0 && stats.connects > 0
}

/// Sends what was typed, waiting for room where there is none. Returns at the end of stdin, or of the link.
async fn send_typed(
    client: Client,
    mut typed: mpsc::Receiver<Typed>,
    protocol: ProtocolArgs,
    output: Output,
) {
    while let Some(typed) = typed.recv().await {
        let problem = match typed {
            Typed::Line(line) => match client.send(protocol.address(line)).await {
                Ok(_) => continue,
                Err(refused) if refused.reason == RefusedReason::Closed => return,
                Err(refused) => refused.to_string(),
            },
            Typed::Unfit(problem) => problem,
        };
        output.write(Line::note(problem)).await;
    }
}

/// The first signal closes the link; whoever sends a second one does not want to wait.
async fn heed_signals(client: Client, mut stop: Stop) {
    stop.asked().await;
    drop(client.close());
    stop.asked().await;
    std::process::exit(130);
}
