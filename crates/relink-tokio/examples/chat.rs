//! A chat client for a terminal: lines in, messages out, and a word when the link comes or goes.
//!
//! `cargo run -p relink-tokio --example chat -- ws://127.0.0.1:9000`

use relink_tokio::{Event, StatusChange};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9000".to_owned());
    let (client, mut events) = relink_tokio::connect(url)?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                // Taken in any state: while the link is down it waits in the outbox.
                Some(line) => drop(client.send(line).await?),
                None => break,
            },
            event = events.recv() => match event {
                Some(Event::Message(message)) => println!("> {}", message.as_text().unwrap_or("(binary)")),
                // The banner comes a second after a loss, so that a blink does not flicker.
                Some(Event::StatusChange(StatusChange::Banner(shown))) => {
                    eprintln!("{}", if shown { "… reconnecting" } else { "… back" });
                }
                Some(Event::Closed { reason }) => eprintln!("closed: {reason}. {}", reason.advice()),
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
    let farewell = client.close().await;
    eprintln!("{} sent, {} not delivered", farewell.sent, farewell.dropped);
    Ok(())
}
