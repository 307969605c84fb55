//! The driver: it echoes what Autobahn's server says, case by case.

use futures_util::{SinkExt as _, StreamExt as _};
use relink_tokio::{Connection, DeflateConfig, Event, SessionConfig, WireLimits, builder};
use relink_tokio::{LinkConfig, Verdict};

use crate::Result;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(server: &str, agent: &str, deflate: Option<DeflateConfig>) -> Result<()> {
    let open = |path: &str| open(&format!("{server}/{path}"), deflate);
    let cases = case_count(open("getCaseCount")?).await?;
    for case in 1..=cases {
        echo(open(&format!("runCase?case={case}&agent={agent}"))?).await;
    }
    echo(open(&format!("updateReports?agent={agent}"))?).await;
    Ok(())
}

/// A link for one case. Every case ends in a close or a broken transport: any end is the end here.
fn open(url: &str, deflate: Option<DeflateConfig>) -> Result<Connection> {
    let mut link = LinkConfig::default();
    link.budget.max_attempts = Some(1);
    link.stable_after = std::time::Duration::from_secs(3600);
    link.close_policy
        .set_close(1000..=4999, Verdict::Stop(relink_tokio::StopReason::NORMAL_CLOSURE))?;
    let limits = WireLimits::new(64 << 20, 64 << 20);
    let builder = builder(url).config(SessionConfig::default().with_link(link)).limits(limits);
    let builder = match deflate {
        Some(deflate) => builder.deflate(deflate),
        None => builder,
    };
    Ok(builder.connect()?)
}

async fn case_count(mut connection: Connection) -> Result<u32> {
    while let Some(event) = connection.next().await {
        if let Event::Message(message) = event {
            return Ok(message.as_text().ok_or("the case count is not text")?.parse()?);
        }
    }
    Err("the server closed without a case count".into())
}

/// Echoes until the case is over.
async fn echo(mut connection: Connection) {
    while let Some(event) = connection.next().await {
        let Event::Message(message) = event else { continue };
        if connection.send(message).await.is_err() {
            return;
        }
    }
}
