//! Plain TCP with the length before each message, as WebSocket writes it: the floor.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Client, batch, upgraded};
use crate::Result;
use crate::server::frame;

pub(super) struct Tcp {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Tcp {
    /// The bytes of the next frame that are not in `filled`, and its length in all.
    async fn header(&mut self, filled: &mut usize, at: &mut usize) -> Result<usize> {
        loop {
            if let Some(length) = whole(&self.read[*at..*filled]) {
                return Ok(length);
            }
            self.read.copy_within(*at..*filled, 0);
            (*at, *filled) = (0, *filled - *at);
            *filled += some(self.stream.read(&mut self.read[*filled..]).await?)?;
        }
    }
}

/// The length of a frame with its header, if all of the header is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let big = |length: &[u8]| length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    match *bytes.get(1)? {
        126 => Some(4 + big(bytes.get(2..4)?)),
        127 => Some(10 + big(bytes.get(2..10)?)),
        short => Some(2 + usize::from(short)),
    }
}

fn some(read: usize) -> Result<usize> {
    if read > 0 { Ok(read) } else { Err("closed".into()) }
}

impl Client for Tcp {
    async fn open(url: &str) -> Result<Self> {
        Ok(Self { stream: upgraded(url).await?, read: Vec::new() })
    }

    async fn send(&mut self, payload: &Bytes, mut count: u64) -> Result<()> {
        // Masked with zeros.
        let mut one = frame(payload.len());
        one[1] |= 0x80;
        let header = one.len() - payload.len();
        one.splice(header..header, [0; 4]);
        let at_once = batch(payload.len());
        let mut written = Vec::new();
        while count > 0 {
            written.clear();
            for _ in 0..count.min(at_once) {
                written.extend_from_slice(&one);
            }
            self.stream.write_all(&written).await?;
            count -= count.min(at_once);
        }
        Ok(())
    }

    async fn receive(&mut self, count: u64) -> Result<()> {
        self.read.resize(128 << 10, 0);
        let (mut filled, mut at) = (0, 0);
        for _ in 0..count {
            let length = self.header(&mut filled, &mut at).await?;
            let mut missing = length.saturating_sub(filled - at);
            at = filled.min(at + length);
            while missing > 0 {
                let read = some(self.stream.read(&mut self.read).await?)?;
                (at, filled) = (read.min(missing), read);
                missing -= at;
            }
        }
        Ok(())
    }
}
