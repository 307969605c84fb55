//! The wire as a server, in threads: it echoes whatever Autobahn's client says.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use relink_tokio::{DeflateConfig, WireLimits};
use relink_wire::{CloseFrame, Error, Frame, Input, ServerHandshake, WebSocket};

use crate::Result;

/// How long a client may take to leave after it was closed.
const FAREWELL: Duration = Duration::from_secs(2);

pub(crate) fn run(address: &str, deflate: Option<DeflateConfig>) -> Result<()> {
    for stream in TcpListener::bind(address)?.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        // How a case ends is in Autobahn's report.
        thread::spawn(move || accept(stream, deflate).is_ok());
    }
    Ok(())
}

fn accept(mut stream: TcpStream, deflate: Option<DeflateConfig>) -> Result<()> {
    let mut handshake = ServerHandshake::new(16 << 10);
    let request = loop {
        if let Some(request) = handshake.poll_request()? {
            break request;
        }
        read(&mut stream, handshake.input())?;
    };
    let mut answer = ServerHandshake::accept(&request)?;
    let agreed =
        deflate.and_then(|deflate| deflate.accept(request.headers(), answer.headers_mut()));
    let socket = handshake.into_websocket(&answer, WireLimits::new(64 << 20, 64 << 20));
    let socket = match agreed {
        Some(agreed) => socket.with_deflate(agreed),
        None => socket,
    };
    echo(&mut stream, socket)?;
    // A socket that is closed with unread bytes is reset, and a reset may overtake the close frame.
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(FAREWELL))?;
    while stream.read(&mut [0; 4096])? > 0 {}
    Ok(())
}

/// Echoes until either end has closed.
fn echo(stream: &mut TcpStream, mut socket: WebSocket) -> Result<()> {
    loop {
        match socket.poll_frame() {
            Ok(Some(message @ (Frame::Text(_) | Frame::Binary(_)))) => socket.send(&message)?,
            Ok(Some(Frame::Close(_))) => return write(stream, &mut socket),
            Ok(Some(Frame::Ping(_) | Frame::Pong(_))) => {}
            Ok(None) => {
                write(stream, &mut socket)?;
                read(stream, socket.input())?;
            }
            Err(Error::Ended) => return Ok(()),
            Err(error) => {
                let frame = error.close_code().map(|code| CloseFrame::new(code, error.to_string()));
                socket.send(&Frame::Close(frame))?;
                return write(stream, &mut socket);
            }
        }
    }
}

fn read(stream: &mut TcpStream, input: &mut Input) -> io::Result<()> {
    match stream.read(input.spare(64 << 10))? {
        0 => input.end(),
        count => input.filled(count),
    }
    Ok(())
}

fn write(stream: &mut TcpStream, socket: &mut WebSocket) -> Result<()> {
    let output = socket.output();
    stream.write_all(output.bytes())?;
    output.wrote(output.len());
    Ok(())
}
