//! Through an HTTP proxy: a connector of one's own brings the byte stream, relink does the rest,
//! TLS included.
//!
//! `cargo run -p relink-tokio --example proxy -- 127.0.0.1:3128 wss://example.org/feed`

use std::io;

use relink_tokio::{Event, Target, builder, from_tokio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Asks the proxy for a tunnel (RFC 9110, section 9.3.6).
async fn tunnel(proxy: String, target: Target) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(proxy).await?;
    let Target { host, port, .. } = target;
    stream
        .write_all(
            format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n").as_bytes(),
        )
        .await?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the empty line belongs to the tunnel.
    while !answer.ends_with(b"\r\n\r\n") && answer.len() < 8192 {
        answer.push(stream.read_u8().await?);
    }
    if !answer.starts_with(b"HTTP/1.1 200") && !answer.starts_with(b"HTTP/1.0 200") {
        return Err(io::Error::other("the proxy refuses the tunnel"));
    }
    Ok(stream)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(proxy), Some(url)) = (arguments.next(), arguments.next()) else {
        return Err("usage: proxy HOST:PORT wss://…".into());
    };
    let connect = move |target| {
        let proxy = proxy.clone();
        async move { tunnel(proxy, target).await.map(from_tokio) }
    };
    let (_client, mut events) = builder(url).connector(connect).spawn()?;
    while let Some(event) = events.recv().await {
        if let Event::Message(message) = event {
            println!("{}", message.as_text().unwrap_or("(binary)"));
        }
    }
    Ok(())
}
