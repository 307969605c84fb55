//! One direction of one connection: bytes from one socket to the other, as the flow allows.

use std::{collections::VecDeque, future::pending, io, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::tcp::{ReadHalf, WriteHalf},
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    fault::{Direction, Flow, Orders},
    relay::Relay,
};

/// The maximum bytes in flight in one direction; beyond it, the sender has to wait.
const BUFFER: usize = 256 * 1024;
/// The most that is read at a time.
const CHUNK: usize = 16 * 1024;
/// A rate is kept in steps of this length.
const STEP: Duration = Duration::from_millis(10);

pub(super) struct Pump<'a> {
    pub(super) relay: &'a Relay,
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) way: Direction,
    pub(super) from: ReadHalf<'a>,
    pub(super) to: WriteHalf<'a>,
    pub(super) waiting: Waiting,
}

/// What has been read and not been written.
#[derive(Default)]
pub(super) struct Waiting {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// The sender has ended its half; seen at that time.
    end: Option<Instant>,
    /// A rate allows nothing before.
    not_before: Option<Instant>,
}

impl Pump<'_> {
    /// Returns at the end of the stream in this direction, which is passed on; with an error if a
    /// side is lost.
    pub(super) async fn run(mut self) -> io::Result<()> {
        loop {
            let orders = *self.orders.borrow_and_update();
            if orders.reset {
                // Not a byte more. The sockets are dropped from outside.
                return pending().await;
            }
            let flow = orders.flow(self.way);
            let left = flow
                .cut_at
                .map(|(at, end)| (at.saturating_sub(self.relay.forwarded(self.way)), end));
            if let Some((0, end)) = left {
                self.relay.cut(self.way, end);
                continue;
            }
            if flow.fin {
                return self.to.shutdown().await;
            }
            let due = self.waiting.due(flow);
            let is_due = due.is_some_and(|due| due <= Instant::now());
            if is_due && self.waiting.chunks.is_empty() {
                return self.to.shutdown().await;
            }
            let limit =
                left.map_or(usize::MAX, |(left, _)| usize::try_from(left).unwrap_or(usize::MAX));
            let mut chunk = Vec::new();
            tokio::select! {
                biased;
                told = self.orders.changed() => {
                    told.map_err(io::Error::other)?;
                }
                written = self.to.write(self.waiting.next(flow, limit)), if is_due => {
                    match written {
                        Ok(count) => {
                            self.waiting.written(count, flow);
                            self.relay.count(self.way, count);
                        }
                        Err(error) => return self.lost_ahead(error).await,
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && !is_due => {}
                read = read(&mut self.from, &mut chunk), if !flow.hole && self.waiting.has_room() => {
                    match read? {
                        // The error was returned to the writer.
                        0 if self.relay.is_broken() => return Err(io::ErrorKind::ConnectionReset.into()),
                        0 => self.waiting.end = Some(Instant::now()),
                        _ => self.waiting.push(chunk),
                    }
                }
            }
        }
    }

    /// The receiver is gone. The sender learns of it only if something can come back to it.
    async fn lost_ahead(mut self, error: io::Error) -> io::Result<()> {
        self.relay.break_off();
        let back = if self.way == Direction::Up { Direction::Down } else { Direction::Up };
        self.orders.wait_for(|orders| !orders.flow(back).hole).await.map_err(io::Error::other)?;
        Err(error)
    }
}

async fn read(from: &mut ReadHalf<'_>, chunk: &mut Vec<u8>) -> io::Result<usize> {
    from.readable().await?;
    chunk.reserve(CHUNK);
    match from.try_read_buf(chunk) {
        // Nothing after all. An empty chunk is not the end.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(1),
        read => read,
    }
}

impl Waiting {
    fn has_room(&self) -> bool {
        self.end.is_none() && self.bytes < BUFFER
    }

    fn push(&mut self, chunk: Vec<u8>) {
        if !chunk.is_empty() {
            self.bytes += chunk.len();
            self.chunks.push_back((Instant::now(), chunk));
        }
    }

    /// When the next action is due: writing a chunk, or passing on the end.
    fn due(&self, flow: &Flow) -> Option<Instant> {
        if flow.hole {
            return None;
        }
        let first = self.chunks.front().map(|(at, _)| *at);
        let at = first.or(self.end)?.checked_add(flow.delay)?;
        Some(self.not_before.map_or(at, |not_before| not_before.max(at)))
    }

    /// The bytes to write next.
    fn next(&self, flow: &Flow, limit: usize) -> &[u8] {
        let chunk = self.chunks.front().map_or(&[][..], |(_, chunk)| chunk);
        let step = flow.rate.map_or(usize::MAX, |rate| {
            let bytes = u128::from(rate.get()) * STEP.as_millis() / 1000;
            usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
        });
        &chunk[..chunk.len().min(limit).min(step)]
    }

    fn written(&mut self, count: usize, flow: &Flow) {
        if let Some((_, chunk)) = self.chunks.front_mut() {
            chunk.drain(..count);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        self.bytes -= count;
        self.not_before = flow.rate.map(|rate| {
            let millis = (count as u64).saturating_mul(1000) / u64::from(rate.get());
            Instant::now() + Duration::from_millis(millis)
        });
    }
}
