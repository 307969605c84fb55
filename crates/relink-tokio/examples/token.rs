//! A fresh token for every attempt, and ahead of its end while connected.
//!
//! `cargo run -p relink-tokio --example token -- ws://127.0.0.1:9000`

use std::io;
use std::time::Duration;

use relink_tokio::{Event, Token};

/// Stands for a request to your own login server. It is called once per attempt, never twice at a
/// time; what it fails with is shown to people, so keep secrets out of it.
async fn fetch_token() -> Result<Token, io::Error> {
    let token = tokio::task::spawn_blocking(|| std::env::var("TOKEN")).await?;
    let token = token.map_err(|_| io::Error::other("the environment has no TOKEN"))?;
    Ok(Token::from(token).with_expires_in(Duration::from_secs(3600)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9000".to_owned());
    let (_client, mut events) = relink_tokio::builder(url).token(fetch_token).spawn()?;
    while let Some(event) = events.recv().await {
        if let Event::Connected { .. } = event {
            println!("connected, with a token of this minute");
        } else if let Event::TokenError { consecutive_failures, detail } = event {
            println!(
                "{consecutive_failures} tokens in a row were no good ({detail}); please log in again"
            );
        } else if let Event::Closed { reason } = event {
            println!("closed: {reason}. {}", reason.advice());
        }
    }
    Ok(())
}
