//! Through a proxy: the one in the second argument, or else the one that the environment names
//! (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).
//!
//! `cargo run -p relink-tokio --example proxy -- wss://example.org/feed socks5h://127.0.0.1:1080`

use relink_tokio::{Event, builder};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: proxy wss://… [http://user:password@host:3128]")?;
    let builder = match arguments.next() {
        Some(proxy) => builder(url).proxy(&proxy),
        None => builder(url).proxy_from_env(true),
    };
    let (_client, mut events) = builder.spawn()?;
    while let Some(event) = events.recv().await {
        if let Event::Message(message) = &event {
            println!("{}", message.as_text().unwrap_or("(binary)"));
        }
        if let Event::AttemptFailed { detail, .. } = &event {
            // Says what the proxy answered.
            eprintln!("{detail}");
        }
    }
    Ok(())
}
