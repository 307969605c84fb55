//! The clients, each used as its documentation shows.

#[cfg(feature = "peers")]
mod async_tungstenite;
#[cfg(feature = "peers")]
mod ezsockets;
#[cfg(feature = "peers")]
mod fastwebsockets;
mod relink;
#[cfg(feature = "peers")]
mod sockudo;
#[cfg(feature = "peers")]
mod stream_reconnect;
mod tcp;
#[cfg(feature = "peers")]
mod tungstenite;

use std::future::{Future, pending};
use std::time::Duration;

use bytes::Bytes;
use cpu_time::ProcessTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::measure::{Direction, Job};
use crate::{Result, callgrind, heap, resident, runtime};

/// A client with one connection.
trait Client: Sized + 'static {
    /// Runs something on the runtime that the client is made for.
    fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
        runtime()?.block_on(LocalSet::new().run_until(future))
    }

    async fn open(url: &str) -> Result<Self>;

    /// Returns once everything is written, or will be written without another call.
    async fn send(&mut self, payload: &Bytes, count: u64) -> Result<()>;

    /// Waits for as many messages.
    async fn receive(&mut self, count: u64) -> Result<()>;

    /// Keeps the connection, with a ping every [`HEARTBEAT`] if the client can.
    async fn idle(self) -> Result<()> {
        pending().await
    }
}

#[cfg(feature = "peers")]
const HEARTBEAT: Duration = Duration::from_secs(30);

macro_rules! peers {
    ($($(#[$only:meta])? $name:literal $client:ty,)*) => {
        pub(crate) const ALL: &[&str] = &[$($(#[$only])? $name),*];

        /// Does it in this process, and prints what it costs.
        pub(crate) fn run(peer: &str, url: &str, task: Task) -> Result<()> {
            match peer {
                $($(#[$only])? $name => task.run::<$client>(url),)*
                _ => Err(format!("{peer}: no such client in this build").into()),
            }
        }
    };
}

peers! {
    #[cfg(feature = "peers")] "tokio-tungstenite" tungstenite::Flushed,
    #[cfg(feature = "peers")] "tokio-tungstenite-send" tungstenite::Naive,
    "relink-connection" relink::Polled,
    "relink-client" relink::Spawned,
    "relink-client-in-batches" relink::InBatches,
    "relink-client-one-by-one" relink::OneByOne,
    #[cfg(feature = "peers")] "async-tungstenite" async_tungstenite::OnSmol,
    #[cfg(feature = "peers")] "stream-reconnect" stream_reconnect::Reconnecting,
    #[cfg(feature = "peers")] "ezsockets" ezsockets::Managed,
    #[cfg(feature = "peers")] "fastwebsockets" fastwebsockets::Fast,
    #[cfg(feature = "peers")] "sockudo-ws" sockudo::Sockudo,
    "tcp" tcp::Tcp,
}

#[derive(Clone, Copy)]
pub(crate) enum Task {
    /// Messages, twice as many as the job says: the first half is not measured.
    Job(Job),
    /// Bytes on the heap for each of some connections.
    Heap { connections: u64 },
    /// Resident memory of some connections, and processor time in some seconds.
    Idle { connections: u64, seconds: u64 },
}

impl Task {
    fn run<C: Client>(self, url: &str) -> Result<()> {
        match self {
            Self::Job(job) => C::block_on(messages::<C>(url, job)),
            Self::Heap { connections } => C::block_on(heap_each::<C>(url, connections)),
            Self::Idle { connections, seconds } => {
                C::block_on(idle::<C>(url, connections, seconds))
            }
        }
    }
}

/// Prints nanoseconds and heap blocks.
async fn messages<C: Client>(url: &str, job: Job) -> Result<()> {
    let payload = Bytes::from(vec![b'x'; job.size]);
    let mut client = C::open(url).await?;
    round(&mut client, job, &payload).await?;
    let (cpu, blocks) = (ProcessTime::now(), heap::blocks());
    callgrind::start();
    round(&mut client, job, &payload).await?;
    callgrind::stop();
    println!("{} {}", cpu.elapsed().as_nanos(), heap::blocks() - blocks);
    Ok(())
}

/// The server answers a round of messages with one, and one with a round of messages.
async fn round<C: Client>(client: &mut C, job: Job, payload: &Bytes) -> Result<()> {
    let (sent, received) = match job.direction {
        Direction::Send => (job.count, 1),
        Direction::Receive => (1, job.count),
    };
    client.send(payload, sent).await?;
    client.receive(received).await
}

async fn heap_each<C: Client>(url: &str, connections: u64) -> Result<()> {
    let before = heap::bytes();
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(C::open(url).await?);
    }
    // What a client gives back when it is idle, it has given back by then.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    println!("{}", (heap::bytes() - before) / connections);
    Ok(())
}

/// Prints bytes for each connection, and nanoseconds.
async fn idle<C: Client>(url: &str, connections: u64, seconds: u64) -> Result<()> {
    let before = resident()?;
    for _ in 0..connections {
        let client = C::open(url).await?;
        tokio::task::spawn_local(async move {
            if let Err(error) = client.idle().await {
                eprintln!("an idle connection ended: {error}");
                std::process::exit(1);
            }
        });
    }
    let cpu = ProcessTime::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let cpu = cpu.elapsed().as_nanos();
    println!("{} {cpu}", resident()?.saturating_sub(before) / connections);
    Ok(())
}

/// After how many messages a careful sender flushes: 64 KiB of them, at most 256.
fn batch(size: usize) -> u64 {
    ((64 << 10) / size.max(1) as u64).clamp(1, 256)
}

/// A WebSocket for the clients that bring no handshake.
async fn upgraded(url: &str) -> Result<TcpStream> {
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
    Ok(stream)
}
