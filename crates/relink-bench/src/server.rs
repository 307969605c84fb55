//! The other end: a blocking server in a process of its own, so quick that the client is the limit.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use tungstenite::handshake::derive_accept_key;

use crate::Result;

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

/// `GET /receive/<size>/<count>`: the client receives; `/send/…`: it sends, and gets one message
/// when all have arrived.
fn serve(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    let (mut request, mut key) = (String::new(), String::new());
    reader.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("sec-websocket-key") {
            value.trim().clone_into(&mut key);
        }
    }
    let accept = derive_accept_key(key.as_bytes());
    let mut writer = stream;
    write!(
        writer,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;

    let path = request.split(' ').nth(1).ok_or("no path")?;
    let [direction, size, count] = path.trim_matches('/').split('/').collect::<Vec<_>>()[..] else {
        return Err(format!("{path}: not /direction/size/count").into());
    };
    let (size, count): (usize, u64) = (size.parse()?, count.parse()?);
    if direction == "receive" {
        send_frames(writer, size, count)?;
    } else {
        read_frames(&mut reader, count)?;
        writer.write_all(&frame(4))?;
    }
    std::io::copy(&mut reader, &mut std::io::sink())?;
    Ok(())
}

fn frame(size: usize) -> Vec<u8> {
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

/// Reads until as many messages have arrived, or the client is gone.
fn read_frames(reader: &mut impl BufRead, mut count: u64) -> Result<()> {
    while count > 0 {
        let mut head = [0; 2];
        if reader.read_exact(&mut head).is_err() {
            return Ok(());
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
    Ok(())
}
