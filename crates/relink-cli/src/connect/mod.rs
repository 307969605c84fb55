//! `relink connect`: a link that stays up, between stdin and stdout.

mod human;
mod json;
mod quiet;
mod route;
mod stdin;
mod token;

use std::time::Duration;

use relink::session::SendErrorKind;
use relink::{ClosedReason, Event, SessionConfig};
use relink_profiles::StateMapper;
use relink_tokio::{Builder, Client, DeflateConfig, Events};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::exit::{Exit, Mistake};
use crate::output::{Line, Output};
use crate::settings::{
    BackoffArgs, BaseArgs, LinkArgs, ProtocolArgs, duration_up_to_a_year, settings,
};
use crate::signals::Stop;
use human::{Human, Loudness};
use quiet::Quiet;
use route::RouteArgs;
use stdin::{Refusal, Typed, Unfit};

/// How long the last lines may take to be written, after the time for the link to end.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// The options of `relink connect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relink connect wss://example.org/feed
  relink connect -H 'X-Team: blue' wss://host/chat
  relink connect --on-connect 'sub trades' wss://host/
  relink connect --token-command 'cat ~/.token' wss://host/
  tail -f log | relink connect ws://collector/ > answers
  echo ping | relink connect --wait 5s wss://host/
  relink connect --protocol relink.v1 --channel a ws://host/
  relink connect --deflate=context wss://host/feed
  relink connect --proxy env wss://host/
  relink connect --profile metered --channel a ws://host/
  relink connect --json ws://host/ | jq -r '.text // empty'

At the end of stdin, relink sends what is queued, connecting first where it must, waits for acknowledgements if the \
protocol has them, listens for answers (--wait), and closes with 1000.

Ctrl-C, SIGTERM and SIGHUP close the link, which takes at most its flush and close timeouts (5 s and 2 s), even if \
nobody reads stdout: then the lines that are left are lost.

Exit status:
  0    closed by you: end of stdin or stdout, or a signal
  1    something else went wrong, such as a full disk
  2    a mistake in the command line or a file
  3    ended for good by the server; stderr says why
  4    gave up: --max-attempts, or another limit
  130  a second Ctrl-C, which did not wait for the farewell

A line that is not sent, because it is too large or not UTF-8, is told with its number; the lines after it go on, and \
the exit status is the same.")]
pub(crate) struct Args {
    /// Where to connect: ws://… or wss://…; more than one are the same service, and the next is tried
    /// if one fails
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,

    /// Print events as JSON, one object a line, instead of messages and status (docs/json-lines.md)
    #[arg(long)]
    json: bool,

    /// Say on stderr only what is lost, and an end that you did not ask for
    #[arg(short, long, conflicts_with_all = ["json", "verbose"])]
    quiet: bool,

    /// Say each dial and each state on stderr as well
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,

    /// Do not read stdin: stay connected until stopped, wherever stdin leads
    #[arg(long)]
    no_stdin: bool,

    /// At the end of stdin, listen until no message came for this long, or for ten times as long if
    /// they never pause
    ///
    /// The time begins when everything has gone out. `0s` does not listen.
    #[arg(long, value_name = "DURATION", value_parser = duration_up_to_a_year, allow_hyphen_values = true, default_value = "1s")]
    wait: Duration,

    #[command(flatten)]
    protocol: ProtocolArgs,

    #[command(flatten)]
    request: RequestArgs,

    #[command(flatten)]
    route: RouteArgs,

    #[command(flatten)]
    base: BaseArgs,

    #[command(flatten)]
    backoff: BackoffArgs,

    #[command(flatten)]
    link: LinkArgs,
}

/// What is sent to the server.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What to say to the server")]
struct RequestArgs {
    /// A message for each connection, sent before all that waits; repeat it for more
    #[arg(long, value_name = "MESSAGE")]
    on_connect: Vec<String>,

    /// A message in place of WebSocket pings, at the interval of heartbeats
    #[arg(long, value_name = "MESSAGE")]
    heartbeat_text: Option<String>,

    /// A header for every handshake; repeat it for more
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// The `Origin` header, for servers that take only their own pages
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,

    /// A subprotocol to ask for; repeat it for more, in the order of preference
    #[arg(long = "subprotocol", value_name = "NAME")]
    subprotocols: Vec<String>,

    /// Offer to compress messages (permessage-deflate); the server may decline
    #[arg(long, value_name = "HOW", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "fresh")]
    deflate: Option<Deflate>,

    /// A command that prints a token, run by `sh -c` for every attempt and never shown
    ///
    /// Its output, trimmed, goes into `Authorization: Bearer …`. It may also print JSON: {"token":
    /// "…", "expires_in": 3600}; then a fresh token is fetched before the old one expires. A
    /// command that fails, or prints more than 64 KiB, is a failed attempt. All that it starts ends
    /// with it, and it has no stdin and no terminal.
    #[arg(long, value_name = "COMMAND")]
    token_command: Option<String>,
}

/// How messages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Deflate {
    /// Each by itself
    Fresh,
    /// With reference to earlier ones, which makes those that are alike much smaller
    Context,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Mistake> {
    let profile = args.base.profile;
    args.protocol.mistake(profile).map_or(Ok(()), |mistake| Err(Mistake::usage(mistake)))?;
    let config = settings(&args.base, args.protocol.protocol, &args.backoff, Some(&args.link))?;
    let (first, others) = args.urls.split_first().ok_or_else(|| Mistake::usage("no URL"))?;
    let builder = others.iter().fold(relink_tokio::builder(first), Builder::endpoint);
    let builder = args.protocol.apply(builder, profile).config(config);
    let builder = args.route.apply(args.request.apply(builder)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Mistake::failed)?;
    let exit = runtime.block_on(stay_connected(args, builder, config));
    // Does not wait for a name lookup that hangs.
    runtime.shutdown_background();
    exit
}

impl Args {
    const fn loudness(&self) -> Loudness {
        match (self.quiet, self.verbose) {
            (true, _) => Loudness::Quiet,
            (false, true) => Loudness::Verbose,
            (false, false) => Loudness::Usual,
        }
    }
}

impl RequestArgs {
    fn apply(&self, mut builder: Builder) -> Result<Builder, Mistake> {
        for (header, number) in self.headers.iter().zip(1..) {
            // The text is not repeated: it may be secret.
            let problem = || format!("--header number {number} has no colon: write 'Name: value'");
            let (name, value) =
                header.split_once(':').ok_or_else(problem).map_err(Mistake::usage)?;
            builder = builder.header(name.trim(), value.trim());
        }
        builder = self.on_connect.iter().map(String::as_str).fold(builder, Builder::on_open);
        if let Some(heartbeat) = self.heartbeat_text.as_deref() {
            builder = builder.heartbeat_text(heartbeat);
        }
        if let Some(origin) = &self.origin {
            builder = builder.header("origin", origin);
        }
        for subprotocol in &self.subprotocols {
            builder = builder.subprotocol(subprotocol);
        }
        if let Some(deflate) = self.deflate {
            let takes_over = deflate == Deflate::Context;
            let config = DeflateConfig::default().with_context_takeover(takes_over);
            builder = builder.deflate(config.with_peer_context_takeover(takes_over));
        }
        if let Some(command) = self.token_command.clone() {
            builder = builder.token(move || token::fetch(command.clone()));
        }
        Ok(builder)
    }
}

/// How events are printed.
struct Voice {
    manner: Manner,
    /// The profile's own names, if it has any.
    state_mapper: Option<StateMapper>,
}

enum Manner {
    Json { started: Instant },
    Human(Human),
}

impl Voice {
    async fn refuse(&self, refusal: &Refusal, output: &Output) {
        output.write(Line::note(refusal)).await;
        if let Manner::Json { started } = &self.manner {
            output.write(json::refused(started.elapsed(), refusal)).await;
        }
    }

    /// Writes the lines of an event, waiting for the reader if there is no room.
    async fn tell(&mut self, event: &Event, output: &Output) {
        match &mut self.manner {
            Manner::Json { started } => {
                output.write_all(json::lines(started.elapsed(), event)).await
            }
            Manner::Human(human) => output.write_all(human.tell(event)).await,
        }
        if let Some(change) =
            self.state_mapper.as_mut().and_then(|state_mapper| state_mapper.observe(event))
        {
            let line = match &self.manner {
                Manner::Json { started } => json::in_other_words(started.elapsed(), change),
                Manner::Human(_) => Line::note(change),
            };
            output.write(line).await;
        }
    }
}

async fn stay_connected(
    args: &Args,
    builder: Builder,
    config: SessionConfig,
) -> Result<Exit, Mistake> {
    let started = Instant::now();
    let stop = Stop::listen().map_err(Mistake::failed)?;
    let (client, events) = builder.spawn().map_err(Mistake::usage)?;
    if config.link.handshake.login {
        // Starting the program is the login.
        client.login();
    }
    args.protocol.subscribe(&client);
    let (output, finish) = Output::start().map_err(Mistake::failed)?;
    let (refuse, refusals) = mpsc::channel(1);
    let _typing_never_ends = if args.no_stdin {
        Some(refuse)
    } else {
        let typed = stdin::lines(config.outbox.max_bytes).map_err(Mistake::failed)?;
        tokio::spawn(send_typed(client.clone(), typed, args.protocol.clone(), refuse));
        None
    };
    if args.route.is_insecure() {
        output.write(human::insecure()).await;
    }
    let manner = if args.json {
        Manner::Json { started }
    } else {
        Manner::Human(Human::new(args.loudness()))
    };
    let profile = args.base.profile;
    let state_mapper =
        (profile.name != relink_profiles::DEFAULT.name).then(|| StateMapper::new(profile));
    let voice = Voice { manner, state_mapper };
    let talk = async {
        let exit = tokio::select! {
            end = converse(&client, events, refusals, Quiet::new(args.wait), voice, &output) => Exit::from(end),
            () = output.closed() => {
                client.close().await;
                Exit::Done
            }
        };
        drop(output);
        finish.wait().await?;
        Ok(exit)
    };
    tokio::select! {
        exit = talk => exit,
        exit = leave(&client, stop, farewell(&config)) => Ok(exit),
    }
}

/// How long closing may take, from the first signal on: the link's limits, and a moment for the
/// last lines.
fn farewell(config: &SessionConfig) -> Duration {
    config.link.flush_timeout + config.link.close_timeout + LAST_WORDS
}

/// The first signal closes the link; a second one ends the program at once. It does not wait for a
/// stdout that is not read, which delays the lines, and with them the end.
async fn leave(client: &Client, mut stop: Stop, patience: Duration) -> Exit {
    stop.asked().await;
    drop(client.close());
    tokio::select! {
        () = stop.asked() => Exit::Interrupted,
        () = sleep(patience) => Exit::Done,
    }
}

/// Prints events until the end of the link, and closes it once all input was sent and it was quiet
/// for a while.
async fn converse(
    client: &Client,
    mut events: Events,
    mut refusals: mpsc::Receiver<Refusal>,
    mut quiet: Quiet,
    mut voice: Voice,
    output: &Output,
) -> ClosedReason {
    let mut is_typing = true;
    loop {
        tokio::select! {
            event = events.recv() => {
                // The stream ends after `Closed`, which is handled below.
                let Some(event) = event else { return ClosedReason::Requested };
                if matches!(event, Event::Closed { .. }) {
                    // Refusals before the end are printed before it.
                    while let Ok(refusal) = refusals.try_recv() {
                        voice.refuse(&refusal, output).await;
                    }
                }
                voice.tell(&event, output).await;
                if let Event::Closed { reason } = event {
                    return reason;
                }
                if matches!(event, Event::Message(_) | Event::Publication { .. }) {
                    quiet.broken();
                }
            }
            refusal = refusals.recv(), if is_typing => match refusal {
                Some(refusal) => voice.refuse(&refusal, output).await,
                None => is_typing = false,
            },
            () = quiet.over() => drop(client.close()),
        }
        if !is_typing && has_delivered(client) {
            quiet.begin();
        }
    }
}

/// Whether everything was delivered, and the server could be reached at all.
fn has_delivered(client: &Client) -> bool {
    let stats = client.stats();
    stats.queued == 0 && stats.connects > 0
}

/// Sends the input, waits while the outbox is full, and passes on refused lines. Returns at the end
/// of stdin, or of the link.
async fn send_typed(
    client: Client,
    mut typed: mpsc::Receiver<Typed>,
    protocol: ProtocolArgs,
    refuse: mpsc::Sender<Refusal>,
) {
    for line in 1.. {
        let Some(typed) = typed.recv().await else { return };
        let why = match typed {
            Typed::Line(line) => match client.send(protocol.address(line)).await {
                Ok(_) => continue,
                Err(refused) if refused.reason == SendErrorKind::Closed => return,
                Err(refused) => Unfit::Refused(refused.reason),
            },
            Typed::Unfit(why) => why,
        };
        if refuse.send(Refusal { line, why }).await.is_err() {
            return;
        }
    }
}
