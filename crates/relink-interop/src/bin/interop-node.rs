//! A node for the checks with many clients: a server of relink's, with its history in memory or in
//! Redis.
//!
//! It prints its address, answers `stats` on stdin with one line of JSON, and drains at a SIGTERM.
//! A message without a channel is sent back to its session.

use std::{env, error::Error, net::SocketAddr, process::exit, time::Duration};

use relink_server::{
    AdmissionConfig, RedisConfig, RedisHistory, Server, ServerConfig, ServerHandle,
    node::{DrainConfig, HistoryConfig, NodeConfig},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Enough for every message of a check, so that the store can be compared with what the clients
/// received.
const KEPT: usize = 1_000_000;

#[tokio::main]
async fn main() -> Result<()> {
    let mut listen: SocketAddr = ([127, 0, 0, 1], 0).into();
    let mut redis = None;
    let mut drain = DrainConfig::default();
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match name.as_str() {
            "--listen" => listen = value.parse()?,
            "--redis" => redis = Some(value),
            "--capacity" => drain.capacity_per_second = value.parse()?,
            "--linger" => drain.linger = Duration::from_secs(value.parse()?),
            _ => return Err(USAGE.into()),
        }
    }
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;

    // All clients of a check come from one address.
    let limits = AdmissionConfig::default();
    let limits = limits.with_max_per_address(limits.max_connections);
    let config = ServerConfig::default()
        .with_node(NodeConfig::default().with_drain(drain))
        .with_admission(limits);
    let mut builder = Server::builder().config(config).on_message(|context, message| async move {
        context.echo(message);
        Ok(())
    });
    if let Some(url) = redis {
        let history = HistoryConfig::default().with_max_messages(KEPT);
        let config = RedisConfig::default().with_history(history);
        builder = builder.history(RedisHistory::connect_with(&url, config).await?);
    }
    let server = builder.build()?;
    let handle = server.handle();
    let listener = TcpListener::bind(listen).await?;
    println!("listening {}", listener.local_addr()?);
    tokio::spawn(answer(handle.clone()));
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        terminate.recv().await;
        handle.drain().await;
    });
    server.serve(listener).await?;
    println!("drained");
    // The task that reads stdin would wait for its next line.
    exit(0)
}

async fn answer(handle: ServerHandle) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == "stats" {
            let stats = handle.stats();
            let node = stats.node;
            println!(
                "{}",
                json!({
                    "connections": node.connections, "opened": node.opened, "refused": node.refused,
                    "created": node.created, "resumed": node.resumed, "resume_refused": node.resume_refused,
                    "replaced": node.replaced, "silent": node.silent, "gaps": node.gaps, "malformed": node.malformed,
                    "heartbeats": node.heartbeats, "messages": node.messages, "duplicates": node.duplicates,
                    "delivered": node.delivered, "slow": node.slow, "lost": node.lost,
                    "store_errors": node.store_errors, "not_admitted": stats.not_admitted,
                })
            );
        }
    }
}

const USAGE: &str = "usage: interop-node [--listen ADDRESS] [--redis URL] [--capacity PER_SECOND] [--linger SECONDS]";
