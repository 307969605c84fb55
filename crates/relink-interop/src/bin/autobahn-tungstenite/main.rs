//! Runs the Autobahn cases with tungstenite alone: the baseline for relink.
//!
//! Usage: `autobahn-tungstenite client ws://HOST:PORT AGENT`, or `autobahn-tungstenite server
//! HOST:PORT`

use std::{
    env,
    error::Error,
    net::{TcpListener, TcpStream},
    thread,
};

use tungstenite::{Message, WebSocket, client::IntoClientRequest as _};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["client", server, agent] => run_client(server, agent),
        ["server", address] => run_server(address),
        _ => Err("usage: autobahn-tungstenite client URL AGENT | server ADDRESS".into()),
    }
}

fn run_server(address: &str) -> Result<()> {
    for stream in TcpListener::bind(address)?.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        thread::spawn(move || tungstenite::accept(stream).ok().map(|mut socket| echo(&mut socket)));
    }
    Ok(())
}

fn run_client(server: &str, agent: &str) -> Result<()> {
    let cases: u32 = open(&format!("{server}/getCaseCount"))?.read()?.to_text()?.parse()?;
    for case in 1..=cases {
        echo(&mut open(&format!("{server}/runCase?case={case}&agent={agent}"))?);
    }
    let mut reports = open(&format!("{server}/updateReports?agent={agent}"))?;
    while reports.read().is_ok() {}
    Ok(())
}

fn open(url: &str) -> Result<WebSocket<TcpStream>> {
    let request = url.into_client_request()?;
    let address = request.uri().authority().ok_or("the URL names no host")?.as_str();
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(tungstenite::client(request, stream)?.0)
}

/// Echoes until the other end is done with the case, or tungstenite refuses what it sent: both are
/// what the case asks for.
fn echo(socket: &mut WebSocket<TcpStream>) {
    while let Ok(message) = socket.read() {
        let answered = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => Ok(()),
        };
        if answered.is_err() {
            return;
        }
    }
}
