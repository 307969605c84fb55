//! Runs the Autobahn cases with tungstenite alone: the measure that relink must reach.
//!
//! Usage: `autobahn-tungstenite ws://HOST:PORT AGENT`

use std::{env, error::Error, net::TcpStream};

use tungstenite::{Message, WebSocket, client::IntoClientRequest as _};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(server), Some(agent)) = (arguments.next(), arguments.next()) else {
        return Err("usage: autobahn-tungstenite ws://HOST:PORT AGENT".into());
    };
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

/// Echoes until the server ends the case, or tungstenite refuses what it sent: both are what the
/// case asks for.
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
