//! The clients, each used as its documentation shows.

use std::time::Duration;

use bytes::Bytes;
use cpu_time::ThreadTime;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role, WebSocket};
use futures_util::{SinkExt, StreamExt};
use relink_tokio::{Event, Message as RelinkMessage, builder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::measure::{Direction, Job};
use crate::{Result, heap};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// tokio-tungstenite, with `send` for each message.
    Naive,
    /// tokio-tungstenite used well: `feed`, and `flush` now and then.
    Tungstenite,
    Fast,
    /// relink, polled by its owner.
    Connection,
    /// relink, in a task of its own.
    Client,
    /// The same, with a `send` that waits until the message is with the peer's kernel.
    ClientOneByOne,
    /// The same, with events taken in batches.
    ClientInBatches,
}

impl Peer {
    pub(crate) const ALL: [Self; 5] =
        [Self::Tungstenite, Self::Naive, Self::Fast, Self::Connection, Self::Client];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Naive => "tokio-tungstenite-send",
            Self::Tungstenite => "tokio-tungstenite",
            Self::Fast => "fastwebsockets",
            Self::Connection => "relink-connection",
            Self::Client => "relink-client",
            Self::ClientOneByOne => "relink-client-one-by-one",
            Self::ClientInBatches => "relink-client-in-batches",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().chain([Self::ClientOneByOne, Self::ClientInBatches]);
        known.into_iter().find(|peer| peer.name() == name).ok_or_else(|| name.into())
    }
}

/// What a measurement cost.
pub(crate) struct Spent {
    /// Of the client's thread.
    pub(crate) cpu: Duration,
    pub(crate) blocks: u64,
}

struct Meter {
    cpu: ThreadTime,
    blocks: u64,
}

impl Meter {
    fn start() -> Self {
        Self { cpu: ThreadTime::now(), blocks: heap::blocks() }
    }

    fn spent(&self) -> Spent {
        Spent { cpu: self.cpu.elapsed(), blocks: heap::blocks() - self.blocks }
    }
}

/// After how many messages a careful sender flushes: 64 KiB of them, at most 256.
const fn batch(size: usize) -> u64 {
    let fit = (64 << 10) / size as u64;
    if fit < 1 {
        1
    } else if fit > 256 {
        256
    } else {
        fit
    }
}

pub(crate) async fn run(url: &str, job: Job) -> Result<Spent> {
    let payload = Bytes::from(vec![b'x'; job.size]);
    match (job.peer, job.direction) {
        (Peer::Tungstenite | Peer::Naive, direction) => {
            tungstenite(url, job, direction, payload).await
        }
        (Peer::Fast, direction) => fast(url, job, direction, &payload).await,
        (Peer::Connection, direction) => connection(url, job, direction, payload).await,
        (Peer::Client | Peer::ClientOneByOne | Peer::ClientInBatches, direction) => {
            client(url, job, direction, payload).await
        }
    }
}

type Tungstenite = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn tungstenite(url: &str, job: Job, direction: Direction, payload: Bytes) -> Result<Spent> {
    let (mut socket, _): (Tungstenite, _) = connect_async(url).await?;
    let meter = Meter::start();
    if direction == Direction::Send {
        let every = if job.peer == Peer::Naive { 1 } else { batch(job.size) };
        for number in 1..=job.count {
            socket.feed(Message::Binary(payload.clone())).await?;
            if number % every == 0 {
                socket.flush().await?;
            }
        }
        socket.flush().await?;
        socket.next().await.ok_or("closed")??;
    } else {
        for _ in 0..job.count {
            socket.next().await.ok_or("closed")??;
        }
    }
    Ok(meter.spent())
}

async fn fast(url: &str, job: Job, direction: Direction, payload: &Bytes) -> Result<Spent> {
    let mut socket = fast_socket(url).await?;
    let meter = Meter::start();
    if direction == Direction::Send {
        for _ in 0..job.count {
            let payload = Payload::Borrowed(payload);
            socket.write_frame(Frame::new(true, OpCode::Binary, None, payload)).await?;
        }
        socket.read_frame().await?;
    } else {
        for _ in 0..job.count {
            socket.read_frame().await?;
        }
    }
    Ok(meter.spent())
}

/// It brings no handshake of its own without hyper.
async fn fast_socket(url: &str) -> Result<FragmentCollector<TcpStream>> {
    let (address, path) =
        url.trim_start_matches("ws://").split_once('/').ok_or("an address with a path")?;
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    // Byte by byte, since what follows the head belongs to the frames.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let mut socket = WebSocket::after_handshake(stream, Role::Client);
    socket.set_max_message_size(64 << 20);
    Ok(FragmentCollector::new(socket))
}

async fn connection(url: &str, job: Job, direction: Direction, payload: Bytes) -> Result<Spent> {
    let mut link = builder(url).connect()?;
    while !matches!(link.next().await, Some(Event::Connected { .. })) {}
    let meter = Meter::start();
    if direction == Direction::Send {
        for number in 1..=job.count {
            link.feed(RelinkMessage::from(payload.clone())).await?;
            if number % batch(job.size) == 0 {
                link.flush().await?;
            }
        }
        link.flush().await?;
        while !matches!(link.next().await.ok_or("closed")?, Event::Message(_)) {}
    } else {
        let mut left = job.count;
        while left > 0 {
            left -= u64::from(matches!(link.next().await.ok_or("closed")?, Event::Message(_)));
        }
    }
    Ok(meter.spent())
}

async fn client(url: &str, job: Job, direction: Direction, payload: Bytes) -> Result<Spent> {
    let (client, mut events) = builder(url).spawn()?;
    while !matches!(events.recv().await, Some(Event::Connected { .. })) {}
    let meter = Meter::start();
    if direction == Direction::Send {
        for _ in 0..job.count {
            client.send(RelinkMessage::from(payload.clone())).await?;
            if job.peer == Peer::ClientOneByOne {
                // The engine runs between two messages, as in an application that does other
                // things.
                tokio::task::yield_now().await;
            }
        }
        while !matches!(events.recv().await.ok_or("closed")?, Event::Message(_)) {}
    } else {
        let mut left = job.count;
        let mut batch = Vec::new();
        while left > 0 {
            let is_message = |event: &Event| matches!(event, Event::Message(_));
            if job.peer == Peer::ClientInBatches {
                events.recv_many(&mut batch, 256).await;
                left -= batch.drain(..).filter(is_message).count() as u64;
            } else {
                left -= u64::from(is_message(&events.recv().await.ok_or("closed")?));
            }
        }
    }
    Ok(meter.spent())
}

/// The bytes on the heap for each of some links that are open and idle.
pub(crate) async fn idle(url: &str, peer: Peer, links: u64) -> Result<u64> {
    let before = heap::bytes();
    let mut tungstenites = Vec::new();
    let mut fasts = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..links {
        match peer {
            Peer::Tungstenite | Peer::Naive => tungstenites.push(connect_async(url).await?.0),
            Peer::Fast => fasts.push(fast_socket(url).await?),
            Peer::Connection | Peer::Client | Peer::ClientOneByOne | Peer::ClientInBatches => {
                let (client, mut events) = builder(url).spawn()?;
                while !matches!(events.recv().await, Some(Event::Connected { .. })) {}
                clients.push((client, events));
            }
        }
    }
    // What an engine gives back when it is idle, it has given back by then.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    Ok((heap::bytes() - before) / links)
}
