//! fastwebsockets.

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role, WebSocket};
use tokio::net::TcpStream;

use super::{Client, upgraded};
use crate::Result;

pub(super) struct Fast(FragmentCollector<TcpStream>);

impl Client for Fast {
    /// It brings no handshake of its own without hyper.
    async fn open(url: &str) -> Result<Self> {
        let mut socket = WebSocket::after_handshake(upgraded(url).await?, Role::Client);
        socket.set_max_message_size(64 << 20);
        Ok(Self(FragmentCollector::new(socket)))
    }

    async fn send(&mut self, payload: &Bytes, count: u64) -> Result<()> {
        for _ in 0..count {
            let payload = Payload::Borrowed(payload);
            self.0.write_frame(Frame::new(true, OpCode::Binary, None, payload)).await?;
        }
        Ok(())
    }

    async fn receive(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            self.0.read_frame().await?;
        }
        Ok(())
    }
}
