//! A server that answers handshakes with bytes of the case's own: as old proxies, odd servers and
//! broken ones do.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use relink_driver::Runtime;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::rig::Observed;

/// What to answer, made from the `Sec-WebSocket-Accept` that the request asks for.
pub(crate) type Answer = Box<dyn Fn(&str) -> Vec<u8> + Send>;

/// A 101 with these lines after its status line; frames may follow.
pub(crate) fn accept(lines: &'static str, frames: &'static [u8]) -> Answer {
    Box::new(move |accept| {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
        );
        [head.as_bytes(), frames].concat()
    })
}

/// The lines of an answer that agrees.
pub(crate) const UPGRADED: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

/// The same bytes for any request.
pub(crate) fn say(bytes: &'static str) -> Answer {
    Box::new(move |_| bytes.into())
}

/// A listening server. Its connections are answered in turn, one after the other; after the last
/// answer it is gone.
pub(crate) struct Raw {
    pub(crate) url: String,
    requests: Receiver<String>,
    rest: Receiver<Vec<u8>>,
}

impl Raw {
    pub(crate) fn serve(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a server on loopback");
        let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
        let ((request, requests), (after, rest)) = (channel(), channel());
        thread::spawn(move || {
            for answer in answers {
                let Ok((socket, _)) = listener.accept() else { return };
                // The case is over before its connections are, at times.
                _ = serve(socket, &answer, &request, &after);
            }
        });
        Self { url, requests, rest }
    }

    /// The head of the next request.
    pub(crate) async fn request<Rt: Runtime>(&self, rt: &Observed<Rt>) -> String {
        received(&self.requests, rt).await
    }

    /// What a client sent after its request, up to the end of its connection.
    pub(crate) async fn rest<Rt: Runtime>(&self, rt: &Observed<Rt>) -> Vec<u8> {
        received(&self.rest, rt).await
    }
}

async fn received<T, Rt: Runtime>(channel: &Receiver<T>, rt: &Observed<Rt>) -> T {
    let found = std::cell::Cell::new(None);
    rt.until("the server has heard it", || {
        found.set(channel.try_recv().ok());
        let value = found.take();
        let is_there = value.is_some();
        found.set(value);
        is_there
    })
    .await;
    found.take().expect("it was there")
}

fn serve(
    mut socket: TcpStream,
    answer: &Answer,
    request: &Sender<String>,
    rest: &Sender<Vec<u8>>,
) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let key =
        head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
    let answer = answer(&derive_accept_key(key.as_bytes()));
    _ = request.send(head);
    // A byte at a time: nothing may depend on what comes together.
    answer.iter().try_for_each(|byte| socket.write_all(&[*byte]))?;
    let mut all = Vec::new();
    // However it ends.
    _ = socket.read_to_end(&mut all);
    _ = rest.send(all);
    Ok(())
}
