//! Tasks that wait for a client, over a pipe in memory.

use std::cell::Cell;
use std::io::Error;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use relink_tokio::{Client, Event, Events, Message, builder};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::Counting;
use crate::server::{accept, frame};
use crate::{Result, runtime};

const MOST: u64 = 1000;
const PIPE: usize = 64 << 10;

pub(super) fn run(size: u64) -> Result<()> {
    runtime()?.block_on(LocalSet::new().run_until(async {
        closed(size).await?;
        senders(size).await
    }))?;
    std::process::exit(0)
}

/// A message arrives while tasks wait for the end.
async fn closed(size: u64) -> Result<()> {
    let (client, mut events, mut peer) = connected().await?;
    spawn_and_wait(size, || {
        let client = client.clone();
        async move { drop(client.closed().await) }
    })
    .await;
    let message = frame(64);
    peer.write_all(&message).await?;
    events.recv().await;
    let counting = Counting::start();
    for _ in 0..100 {
        peer.write_all(&message).await?;
        events.recv().await;
    }
    counting.end("closed-waits", 100);
    Ok(())
}

/// Tasks wait for room; the peer begins to read, and some of them go on.
async fn senders(size: u64) -> Result<()> {
    let (client, _events, mut peer) = connected().await?;
    let payload = Bytes::from_static(&[b'x'; 64]);
    // All that finds room without a reader.
    while client.try_send(Message::from(payload.clone())).is_ok() {
        yield_now().await;
    }
    let done = Rc::new(Cell::new(0));
    spawn_and_wait(size, || {
        let (client, payload, done) = (client.clone(), payload.clone(), Rc::clone(&done));
        async move {
            if client.send(Message::from(payload)).await.is_ok() {
                done.set(done.get() + 1);
            }
        }
    })
    .await;
    if done.get() > 0 {
        return Err("a sender did not have to wait".into());
    }
    let some = size.min(MOST);
    let mut read = vec![0; PIPE];
    let counting = Counting::start();
    while done.get() < some {
        if peer.read(&mut read).await? == 0 {
            return Err("the client is gone".into());
        }
        yield_now().await;
    }
    counting.end("send-waits", done.get());
    Ok(())
}

/// Returns when each task was polled once.
async fn spawn_and_wait<F: Future<Output = ()> + 'static>(size: u64, task: impl Fn() -> F) {
    let polled = Rc::new(Cell::new(0));
    for _ in 0..size {
        let (task, polled) = (task(), Rc::clone(&polled));
        spawn_local(async move {
            polled.set(polled.get() + 1);
            task.await;
        });
    }
    while polled.get() < size {
        yield_now().await;
    }
}

async fn connected() -> Result<(Client, Events, DuplexStream)> {
    let (its, mut peer) = duplex(PIPE);
    let its = Arc::new(Mutex::new(Some(its)));
    let (client, mut events) =
        builder("ws://peer")
            .connector(move |_| {
                let its = its.lock().ok().and_then(|mut its| its.take());
                async move {
                    its.map(TokioAsyncReadCompatExt::compat).ok_or_else(|| Error::other("gone"))
                }
            })
            .spawn()?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(peer.read_u8().await?);
    }
    peer.write_all(accept(&String::from_utf8(request)?).as_bytes()).await?;
    while !matches!(events.recv().await, Some(Event::Connected { .. })) {}
    Ok((client, events, peer))
}
