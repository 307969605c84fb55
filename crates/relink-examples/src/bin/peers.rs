//! WebRTC peers in a room, signalled over a link that stays up.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use relink_examples::mesh::{MeshEvent, PeerState};
use relink_examples::room::{Guest, GuestConfig, RoomEvent, server};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::net::TcpListener;

/// Peers that talk to each other directly, and find each other through a signalling server.
#[derive(Debug, Parser)]
#[command(name = "peers", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a signalling server without authentication, for trying out
    Serve {
        /// Where
        #[arg(default_value = "127.0.0.1:9100")]
        address: SocketAddr,
    },
    /// Joins a room: input lines are sent to all members
    Join {
        /// Your name, one for each device
        name: String,
        /// The signalling server
        #[arg(default_value = "ws://127.0.0.1:9100/")]
        url: String,
        /// The room
        #[arg(long, default_value = "lobby")]
        room: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Serve { address } => serve(address).await,
        Command::Join { name, url, room } => join(GuestConfig::new(url, room, name)).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    println!("signalling on ws://{}/", listener.local_addr()?);
    let server = server()?;
    let handle = server.handle();
    tokio::select! {
        served = server.serve(listener) => served?,
        stopped = tokio::signal::ctrl_c() => {
            stopped?;
            drop(handle);
        }
    }
    Ok(())
}

async fn join(config: GuestConfig) -> Result<(), Box<dyn Error>> {
    let (guest, mut events) = Guest::enter(config)?;
    let mut guest = Some(guest);
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => tell(&event),
                None => return Ok(()),
            },
            line = lines.next_line(), if guest.is_some() => match (line?, &guest) {
                (Some(line), Some(guest)) => say(guest, &line).await,
                // At the end of the input, the guest leaves.
                _ => guest = None,
            },
        }
    }
}

async fn say(guest: &Guest, line: &str) {
    for peer in guest.peers().await {
        for channel in &peer.channels {
            if let Err(error) = guest.send(channel, line).await {
                println!("  {} did not get that: {error}", peer.name);
            }
        }
    }
}

fn tell(event: &RoomEvent) {
    match event {
        RoomEvent::SignallingUp { is_reconnect: false } => println!("* in touch with the server"),
        RoomEvent::SignallingUp { .. } => println!("* in touch with the server again"),
        RoomEvent::SignallingDown => {
            println!("* out of touch with the server; peers stay connected")
        }
        RoomEvent::Mesh(event) => tell_of_peer(event),
        RoomEvent::Closed(reason) => println!("* the end: {reason}. {}", reason.advice()),
        _ => {}
    }
}

fn tell_of_peer(event: &MeshEvent) {
    match event {
        MeshEvent::Joined { name, .. } => println!("* {name} is here"),
        MeshEvent::Left { name, .. } => println!("* {name} is gone"),
        MeshEvent::Opened(channel) => println!("* connected to {}", channel.peer()),
        MeshEvent::State { peer, to: PeerState::Reconnecting, .. } => {
            println!("* {peer} is reconnecting")
        }
        MeshEvent::State { peer, to: PeerState::Failed, .. } => {
            println!("* {peer} cannot be reached")
        }
        MeshEvent::Data { channel, bytes } => {
            println!("{}: {}", channel.peer(), String::from_utf8_lossy(bytes).escape_debug());
        }
        MeshEvent::State { .. } | MeshEvent::Attempt { .. } | _ => {}
    }
}
