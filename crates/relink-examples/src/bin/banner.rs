//! A terminal that shows the state of a link.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ratatui::crossterm::event::{self, KeyCode};
use ratatui::{DefaultTerminal, Terminal};
use relink::Address;
use relink_examples::banner::{DrawnLog, Screen, draw};
use relink_examples::clock::Clock;
use relink_tokio::{Client, Events, SessionConfig, builder};
use tokio::sync::mpsc::{self, UnboundedReceiver};

/// How often a countdown is redrawn.
const FRAME: Duration = Duration::from_millis(100);

/// Shows the state of a link to a user.
///
/// A short drop shows nothing; a longer one shows a banner with a countdown, then offers to retry;
/// an end shows what to do.
#[derive(Debug, Parser)]
#[command(name = "banner", version)]
struct Args {
    /// The address: ws://… or wss://…
    url: String,
    /// A drop that is over within this shows nothing
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    grace: Duration,
    /// After this long, a retry is offered
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    stuck_after: Duration,
    /// The first attempt after a stable connection comes within this
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    first_attempt: Duration,
    /// A connection that lasted this long counts as stable
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    stable_after: Duration,
    /// Writes down what was drawn, as JSON lines
    #[arg(long, value_name = "FILE")]
    drawn: Option<PathBuf>,
}

impl Args {
    fn config(&self) -> SessionConfig {
        let mut config = SessionConfig::default();
        config.link.stable_after = self.stable_after;
        config.link.backoff.first = Some(self.first_attempt);
        // The status waits as long as the banner, so that neither flickers.
        config.link.surface.grace = Some(self.grace);
        config.link.surface.banner_after = Some(self.grace);
        config.link.surface.stuck_after = Some(self.stuck_after);
        config
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(last_words) => {
            println!("{last_words}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<String, Box<dyn std::error::Error>> {
    let log = args.drawn.as_deref().map(DrawnLog::create).transpose()?;
    let (client, events) = builder(&*args.url).config(args.config()).spawn()?;
    let address = Address::from(&*args.url);
    let terminal = ratatui::try_init()?;
    let app = App {
        screen: Screen::new(address.to_string()),
        client,
        log,
        clock: Clock::start(),
        terminal,
        said: 0,
    };
    let result = app.show(events, keys()).await;
    ratatui::restore();
    Ok(result?)
}

struct App {
    screen: Screen,
    client: Client,
    log: Option<DrawnLog>,
    clock: Clock,
    terminal: DefaultTerminal,
    /// How often the person has said something.
    said: u32,
}

impl App {
    async fn show(
        mut self,
        mut events: Events,
        mut keys: UnboundedReceiver<KeyCode>,
    ) -> io::Result<String> {
        let mut is_over = false;
        let mut is_quitting = false;
        loop {
            self.draw()?;
            tokio::select! {
                event = events.recv(), if !is_over => match event {
                    Some(event) => self.screen.apply(&event, self.client.indicator(), self.clock.now()),
                    None => is_over = true,
                },
                key = keys.recv() => match key {
                    Some(KeyCode::Char('r')) => self.client.retry_now(),
                    Some(KeyCode::Char('m')) => self.say(),
                    // The second time it does not wait for the farewell.
                    Some(KeyCode::Char('q')) if is_over || is_quitting => break,
                    Some(KeyCode::Char('q')) => {
                        is_quitting = true;
                        let client = self.client.clone();
                        tokio::spawn(async move { client.close().await });
                    }
                    Some(_) => {}
                    None => break,
                },
                () = tokio::time::sleep(FRAME), if self.screen.has_countdown() => {}
            }
            if is_over && is_quitting {
                break;
            }
        }
        Ok(self.last_words(&self.client))
    }

    fn say(&mut self) {
        self.said += 1;
        let words = format!("hello {}", self.said);
        if self.client.try_send(&*words).is_ok() {
            self.screen.said(&words);
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        let Self { terminal, screen, .. } = self;
        Terminal::draw(terminal, |frame| draw(screen, now, frame))?;
        self.log.as_mut().map_or(Ok(()), |log| log.note(self.screen.drawn(), now))
    }

    fn last_words(&self, client: &Client) -> String {
        let stats = client.stats();
        format!("{} messages sent, {} received", stats.messages_sent, stats.messages_received)
    }
}

/// The keys that are pressed, read on a thread that ends with the program.
fn keys() -> UnboundedReceiver<KeyCode> {
    let (sender, keys) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(input) = event::read() {
            // A new size is drawn as after any key.
            let key = input.as_key_press_event().map_or(KeyCode::Null, |key| key.code);
            if sender.send(key).is_err() {
                return;
            }
        }
    });
    keys
}
