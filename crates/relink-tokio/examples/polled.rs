//! A link without a task of its own, in a `select!` beside the application's own work.
//!
//! `cargo run -p relink-tokio --example polled -- ws://127.0.0.1:9000`

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use relink_tokio::{Event, Message};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9000".to_owned());
    let mut connection = relink_tokio::builder(url).connect()?;
    let mut ticker = tokio::time::interval(Duration::from_secs(1));
    for count in 1..=5 {
        // Polling either half drives the link; `next` is cancel-safe.
        loop {
            tokio::select! {
                _ = ticker.tick() => break,
                event = connection.next() => match event {
                    Some(Event::Message(message)) => println!("> {}", message.as_text().unwrap_or("(binary)")),
                    Some(_) => {}
                    None => return Ok(()),
                },
            }
        }
        connection.feed(Message::from(format!("tick {count}"))).await?;
    }
    SinkExt::<Message>::close(&mut connection).await?;
    Ok(())
}
