//! The other end: a blocking server in a process of its own, so quick that the client is the limit.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tungstenite::handshake::derive_accept_key;

use crate::{Result, runtime};

/// Prints its address, and serves until it is killed or its stdin ends.
pub(crate) fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::Builder::new()
                .stack_size(256 << 10)
                .spawn(move || {
                    if let Err(error) = serve(&stream) {
                        eprintln!("server: {error}");
                    }
                })
                .ok();
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// The same for connections that only send pings: ten thousand of them take no threads.
pub(crate) fn run_idle() -> Result<()> {
    runtime()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let ended = tokio::task::spawn_blocking(|| {
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve_idle(stream));
            }
        });
        ended.await??;
        std::process::exit(0)
    })
}

/// Answers each ping with a pong.
async fn serve_idle(mut stream: tokio::net::TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    stream.write_all(accept(&String::from_utf8_lossy(&request)).as_bytes()).await?;
    drop(request);
    loop {
        let mut head = [0; 6];
        stream.read_exact(&mut head).await?;
        let [opcode, length, mask @ ..] = head;
        let mut pong = vec![0x8a, length & 0x7f];
        pong.resize(2 + usize::from(length & 0x7f), 0);
        stream.read_exact(&mut pong[2..]).await?;
        pong[2..].iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        if opcode & 0xf == 9 {
            stream.write_all(&pong).await?;
        }
    }
}

/// `GET /receive/<size>/<count>`: for each message, the client receives as many; `/send/…`: for
/// as many messages, it receives one.
fn serve(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
    }
    let mut writer = stream;
    writer.write_all(accept(&request).as_bytes())?;

    let path = request.split(' ').nth(1).ok_or("no path")?;
    let [direction, size, count] = path.trim_matches('/').split('/').collect::<Vec<_>>()[..] else {
        return Err(format!("{path}: not /direction/size/count").into());
    };
    let (size, count): (usize, u64) = (size.parse()?, count.parse()?);
    let (taken, given) = if direction == "receive" { (1, count) } else { (count, 1) };
    while read_frames(&mut reader, taken)? {
        send_frames(writer, size, given)?;
    }
    Ok(())
}

/// The response to the request for a WebSocket.
pub(crate) fn accept(request: &str) -> String {
    let headers = request.lines().filter_map(|line| line.split_once(':'));
    let mut keys = headers.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let key = keys.next().map_or("", |(_, value)| value.trim());
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// As a server writes it.
pub(crate) fn frame(size: usize) -> Vec<u8> {
    let mut frame = vec![0x82];
    if let Ok(short @ 0..=125) = u8::try_from(size) {
        frame.push(short);
    } else if let Ok(length) = u16::try_from(size) {
        frame.push(126);
        frame.extend(length.to_be_bytes());
    } else {
        frame.push(127);
        frame.extend((size as u64).to_be_bytes());
    }
    frame.resize(frame.len() + size, b'x');
    frame
}

fn send_frames(mut writer: &TcpStream, size: usize, mut count: u64) -> Result<()> {
    let one = frame(size);
    let at_once = (128 << 10) / one.len().max(1);
    let many = one.repeat(at_once.max(1));
    while count > 0 {
        let batch = count.min(at_once.max(1) as u64);
        writer.write_all(&many[..one.len() * usize::try_from(batch)?])?;
        count -= batch;
    }
    Ok(())
}

/// Reads until as many messages have arrived: not, if the client is gone before.
fn read_frames(reader: &mut impl BufRead, mut count: u64) -> Result<bool> {
    while count > 0 {
        let mut head = [0; 2];
        if reader.read_exact(&mut head).is_err() {
            return Ok(false);
        }
        let mut long = [0; 8];
        let length = match head[1] & 0x7f {
            126 => {
                reader.read_exact(&mut long[6..])?;
                u64::from_be_bytes(long)
            }
            127 => {
                reader.read_exact(&mut long)?;
                u64::from_be_bytes(long)
            }
            short => short.into(),
        };
        std::io::copy(&mut reader.by_ref().take(length + 4), &mut std::io::sink())?;
        count -= u64::from(head[0] & 0xf < 8 && head[0] & 0x80 != 0);
    }
    Ok(true)
}
