//! A worker that answers what it is asked, for as long as it is told to. Its loop over
//! `connect_async`, with delays of its own, became this.

use std::time::Duration;

use relink_tokio::{CloseSummary, Event, builder};
use tokio::sync::watch::Receiver;

/// Answers until `stop` changes, or the server ends it for good.
///
/// # Errors
///
/// If the address is not a WebSocket URL.
pub async fn run(
    url: &str,
    mut stop: Receiver<bool>,
) -> Result<CloseSummary, relink_tokio::BuildError> {
    let (client, mut events) = builder(url)
        .backoff(Duration::from_millis(500), Duration::from_secs(20))
        .retry_on(1000) // this server closes so after each shift
        .spawn()?;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Message(question)) => {
                    let answer = format!("re: {}", question.as_text().unwrap_or_default());
                    if client.send(answer).await.is_err() {
                        break;
                    }
                }
                Some(_) => {}
                None => break,
            },
            _ = stop.changed() => break,
        }
    }
    Ok(client.close().await)
}
