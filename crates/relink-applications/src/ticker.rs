//! A market ticker: somebody else's server, which expects a subscription on each connection and
//! pings of its own, and numbers what it says.

use std::time::Duration;

use relink_tokio::{BuildError, Client, Events, builder};
use serde::Deserialize;
use tokio::sync::mpsc::Sender;

/// What the exchange says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Trade {
    /// Without holes, from 1 in each connection.
    pub number: u64,
    /// In its currency.
    pub price: f64,
}

/// Connects to the exchange.
///
/// # Errors
///
/// If the address is not a WebSocket URL.
pub fn start(url: &str) -> Result<(Client, Events), BuildError> {
    builder(url)
        .on_open(r#"{"op":"subscribe","channel":"trades"}"#)
        .heartbeat_text(r#"{"op":"ping"}"#)
        .confirm(Duration::from_secs(5), |message| {
            message.as_text().is_some_and(|text| text.contains("subscribed"))
        })
        .spawn()
}

/// Passes trades on, and drops a connection that left one out. Returns when the link has ended.
pub async fn run(client: Client, mut events: Events, trades: Sender<Trade>) {
    let mut last = 0;
    let mut messages = events.messages();
    while let Some(message) = messages.recv().await {
        let Some(trade) =
            message.as_text().and_then(|text| serde_json::from_str::<Trade>(text).ok())
        else {
            continue;
        };
        if trade.number != 1 && trade.number != last + 1 {
            client.reconnect();
            continue;
        }
        last = trade.number;
        if trades.send(trade).await.is_err() {
            break;
        }
    }
    client.close().await;
}
