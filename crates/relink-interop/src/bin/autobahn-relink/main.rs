//! Runs the Autobahn cases through relink: the driver as a client, the wire as a server.
//!
//! Usage: `autobahn-relink client ws://HOST:PORT AGENT [deflate]`, or `autobahn-relink server
//! HOST:PORT [deflate]`

mod client;
mod server;

use std::{env, error::Error};

use relink_tokio::DeflateConfig;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["client", server, agent] => client::run(server, agent, None),
        ["client", server, agent, "deflate"] => client::run(server, agent, Some(deflate())),
        ["server", address] => server::run(address, None),
        ["server", address, "deflate"] => server::run(address, Some(deflate())),
        _ => {
            Err("usage: autobahn-relink client URL AGENT [deflate] | server ADDRESS [deflate]"
                .into())
        }
    }
}

/// All of it: each message, with reference to those before it.
fn deflate() -> DeflateConfig {
    DeflateConfig::default()
        .with_min_size(1)
        .with_context_takeover(true)
        .with_peer_context_takeover(true)
}
