//! `relink demo`: a link, its bad moments, and why relink does what it does about each.

mod acts;
mod resume;
mod stage;
mod timeline;

use anstyle::Style;
use relink::stats::Stats;

use crate::exit::{Exit, Mistake};
use crate::style::{BAD, GOOD, paint};
use crate::text::span;
use stage::{Broken, Stage, promise};

const INTRODUCTION: &str = "\
    relink keeps a WebSocket link up. Here a client and a server, both inside this program, live through the bad \
    moments of a link. Delays are shortened for that; where they are, the real default is named.";

const NEXT: [(&str, &str); 4] = [
    ("relink serve", "a server to play with; then, elsewhere:"),
    ("relink connect ws://127.0.0.1:9000/", "type lines; stop the server meanwhile"),
    ("relink schedule", "the delays between attempts, drawn"),
    ("relink --help", "everything else"),
];

/// The options of `relink demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Play this act alone, from 1 to 9
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=i64::from(acts::ACTS)))]
    act: Option<u8>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Mistake> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Mistake::failed)?;
    match runtime.block_on(perform(args.act)) {
        Ok(()) => Ok(Exit::Done),
        // The reader closed stdout before the demo was shown to succeed.
        Err(Broken::Screen(_)) => Ok(Exit::Failed),
        Err(Broken::Promise(problem)) => {
            Err(Mistake::failed(format!("the demo did not go as promised: {problem}")))
        }
    }
}

async fn perform(only: Option<u8>) -> Result<(), Broken> {
    let config = acts::config().map_err(|error| Broken::Promise(error.to_string()))?;
    let mut stage = Stage::set(config).await?;
    stage.screen.paragraph(INTRODUCTION)?;
    let played = acts::play(&mut stage, only).await;
    if let Err(Broken::Promise(_)) = played {
        stage.screen.line(&paint(BAD, "\nThis should not have happened."))?;
    }
    played?;
    summary(&mut stage).await
}

async fn summary(stage: &mut Stage) -> Result<(), Broken> {
    let Stats { dials, connects, messages_sent, messages_received, messages_dropped, .. } =
        stage.client.stats();
    let whole = messages_sent == messages_received && messages_dropped == 0;
    promise(whole, || "every message should have arrived, and its echo too")?;
    let took = span(stage.screen.elapsed());
    let screen = &mut stage.screen;
    screen.title("Summary")?;
    if messages_sent > 0 {
        let plain = Style::new();
        let made = format!(
            "{dials} dials made {connects} connections in {took}; to the application it was one link"
        );
        screen.item(plain, &made)?;
        let passed = format!(
            "{messages_sent} messages sent, {messages_received} echoes received: nothing lost, all in order"
        );
        screen.item(plain, &passed)?;
    }
    screen.item(GOOD, "Everything happened as promised.")?;
    screen.title("What to try next")?;
    for (command, about) in NEXT {
        screen.command(command, about)?;
    }
    Ok(())
}
