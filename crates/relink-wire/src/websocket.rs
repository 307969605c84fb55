//! [`WebSocket`]: one end of a connection, from the end of its handshake on.

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

#[cfg(feature = "deflate")]
use crate::deflate::{Compressor, Decompressor, Deflate};
use crate::error::{Error, ProtocolError, SendError};
use crate::frame::{CloseFrame, Frame, Limits};
use crate::header::{CLOSE, PING};
use crate::input::Input;
use crate::mask::{self, Keys};
use crate::output::Output;
use crate::reader::{MAX_CONTROL, Reader, Received};

/// Copied and masked at once, while it is in the processor's nearest memory. From 4 KiB on, C
/// libraries copy with `rep movsb`, which some processors do byte by byte when source and
/// destination are a few bytes apart in their pages, as they are behind a header.
const MASKED_AT_ONCE: usize = 2 << 10;

/// The longest header: two bytes, a length of eight, and a mask.
const MAX_HEADER: usize = 14;

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the ends that RFC 6455 gives a connection")]
pub enum Role {
    /// The one that asked for the connection. It masks what it sends.
    Client,
    /// The one that was asked.
    Server,
}

/// One end of a WebSocket whose handshake is done.
///
/// The bytes of the socket go into [`input`](Self::input), and come out of
/// [`output`](Self::output). After each read, call [`poll_frame`](Self::poll_frame) until there is
/// none; then write the output, since answers may stand in it.
///
/// Pings and close frames are answered here, and reported, too. Nothing goes out after a close
/// frame of ours; nothing is reported after one of the peer. Then the server should drop the
/// connection, and the client should wait a while for that (RFC 6455, section 7.1.1).
pub struct WebSocket {
    input: Input,
    output: Output,
    reader: Reader,
    /// For the masks of a client.
    keys: Option<Keys>,
    inbound: Inbound,
    /// A close frame went out.
    is_closing: bool,
    #[cfg(feature = "deflate")]
    compressor: Option<Box<Compressor>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inbound {
    Open,
    /// A close frame came; the end of the connection has yet to.
    Closed,
    /// An error was reported.
    Over,
}

impl WebSocket {
    /// A WebSocket whose handshake somebody else has done; [`ClientHandshake`] and
    /// [`ServerHandshake`] make theirs themselves. If bytes came behind the handshake, put them
    /// into the [`input`](Self::input).
    ///
    /// [`ClientHandshake`]: crate::ClientHandshake
    /// [`ServerHandshake`]: crate::ServerHandshake
    #[must_use]
    pub fn new(role: Role, limits: Limits) -> Self {
        Self::with(role, limits, Input::default(), Output::default())
    }

    pub(crate) fn with(role: Role, limits: Limits, input: Input, output: Output) -> Self {
        let keys = match role {
            Role::Client => Some(Keys::new()),
            Role::Server => None,
        };
        let reader = Reader::new(role, limits);
        Self {
            input,
            output,
            reader,
            keys,
            inbound: Inbound::Open,
            is_closing: false,
            #[cfg(feature = "deflate")]
            compressor: None,
        }
    }

    /// Compresses messages as the handshake has agreed. Before the first frame.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn with_deflate(mut self, agreed: Deflate) -> Self {
        self.compressor = Some(Box::new(Compressor::new(agreed)));
        self.reader.decompressor = Some(Decompressor::new(agreed));
        self
    }

    /// Where bytes of the peer are read into.
    #[must_use]
    pub const fn input(&mut self) -> &mut Input {
        &mut self.input
    }

    /// Where bytes for the peer are taken from.
    #[must_use]
    pub const fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// The next message or control frame of the peer; `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol or a limit, or the bytes have ended. It is reported once, after
    /// what came before it, and followed by `None`.
    #[inline]
    pub fn poll_frame(&mut self) -> Result<Option<Frame>, Error> {
        if self.inbound != Inbound::Open {
            return self.poll_end();
        }
        match self.reader.next(&mut self.input) {
            Ok(Some(Received::Message(message))) => Ok(Some(message)),
            Ok(Some(Received::Control(opcode, payload))) => self.receive_control(opcode, payload),
            Ok(None) if self.input.has_ended() => Err(self.fail(Error::Ended)),
            Ok(None) => Ok(None),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Whether a message is incomplete.
    #[must_use]
    pub const fn is_mid_message(&self) -> bool {
        self.reader.is_mid_message()
    }

    /// Whether a close frame was sent, and with it the last frame.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Puts a frame into the output.
    ///
    /// # Errors
    ///
    /// The frame may not be sent, or no frame any more; nothing has changed then.
    #[inline]
    pub fn send(&mut self, frame: &Frame) -> Result<(), SendError> {
        if self.is_closing {
            return Err(SendError::Closed);
        }
        match frame {
            Frame::Text(text) => self.send_message(Data::Text, text.as_bytes()),
            Frame::Binary(bytes) => self.send_message(Data::Binary, bytes),
            Frame::Ping(payload) => self.send_control(Control::Ping, payload)?,
            Frame::Pong(payload) => self.send_control(Control::Pong, payload)?,
            Frame::Close(content) => {
                let payload = close_payload(content.as_ref())?;
                self.send_control(Control::Close, &payload)?;
                self.is_closing = true;
            }
        }
        Ok(())
    }

    /// Puts a message into the output from the bytes of its payload, as [`send`](Self::send) does
    /// with a frame. The caller vouches that a text is UTF-8.
    ///
    /// # Errors
    ///
    /// A close frame has been sent.
    #[inline]
    pub fn send_payload(&mut self, is_text: bool, payload: &[u8]) -> Result<(), SendError> {
        if self.is_closing {
            return Err(SendError::Closed);
        }
        self.send_message(if is_text { Data::Text } else { Data::Binary }, payload);
        Ok(())
    }

    /// Frees each buffer that holds nothing and has more than this many bytes of capacity: for
    /// a connection that is idle, or on which less happens than before.
    pub fn shrink(&mut self, keep: usize) {
        self.input.shrink(keep);
        self.output.shrink(keep);
        self.reader.shrink(keep);
        #[cfg(feature = "deflate")]
        if let Some(compressor) = &mut self.compressor {
            compressor.shrink(keep);
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.inbound = Inbound::Over;
        error
    }

    /// After the last frame: bytes are thrown away.
    #[cold]
    fn poll_end(&mut self) -> Result<Option<Frame>, Error> {
        self.input.skip(usize::MAX);
        if self.inbound == Inbound::Closed && self.input.has_ended() {
            return Err(self.fail(Error::Ended));
        }
        Ok(None)
    }

    fn receive_control(&mut self, opcode: u8, payload: Bytes) -> Result<Option<Frame>, Error> {
        Ok(Some(match opcode {
            CLOSE => match self.receive_close(&payload) {
                Ok(content) => Frame::Close(content),
                Err(error) => return Err(self.fail(error.into())),
            },
            PING => {
                if !self.is_closing {
                    self.write(OpCode::Control(Control::Pong), &payload);
                }
                Frame::Ping(payload)
            }
            _ => Frame::Pong(payload),
        }))
    }

    /// The peer's code is reported as it came, even with a reason that is not UTF-8: the peer is
    /// told of that.
    fn receive_close(&mut self, payload: &[u8]) -> Result<Option<CloseFrame>, ProtocolError> {
        let content = match payload {
            [] => None,
            [_] => return Err(ProtocolError::HalfACode),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !CloseFrame::is_sendable(code) {
                    return Err(ProtocolError::ReservedCode(code));
                }
                Some((code, reason))
            }
        };
        self.inbound = Inbound::Closed;
        if !std::mem::replace(&mut self.is_closing, true) {
            let is_text = content.is_none_or(|(_, reason)| std::str::from_utf8(reason).is_ok());
            let garbled = CloseFrame::INVALID_DATA.to_be_bytes();
            let answer = if is_text { payload } else { &garbled };
            self.write(OpCode::Control(Control::Close), answer);
        }
        Ok(content.map(|(code, reason)| CloseFrame::new(code, String::from_utf8_lossy(reason))))
    }

    #[inline]
    fn send_message(&mut self, kind: Data, payload: &[u8]) {
        #[cfg(feature = "deflate")]
        if let Some(mut compressor) = self.compressor.take() {
            let compressed = compressor.compress(payload);
            let header = FrameHeader { rsv1: compressed.is_some(), ..header(OpCode::Data(kind)) };
            self.write_frame(header, compressed.unwrap_or(payload));
            compressor.release();
            self.compressor = Some(compressor);
            return;
        }
        self.write(OpCode::Data(kind), payload);
    }

    fn send_control(&mut self, kind: Control, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > MAX_CONTROL {
            return Err(SendError::TooLong(payload.len()));
        }
        self.write(OpCode::Control(kind), payload);
        Ok(())
    }

    #[inline]
    fn write(&mut self, opcode: OpCode, payload: &[u8]) {
        self.write_frame(header(opcode), payload);
    }

    #[inline]
    fn write_frame(&mut self, header: FrameHeader, payload: &[u8]) {
        let mask = self.keys.as_mut().map(Keys::next);
        let output = self.output.end();
        output.reserve(MAX_HEADER + payload.len());
        let header = FrameHeader { mask, ..header };
        // A vector takes every byte.
        let _ = header.format(payload.len() as u64, output);
        let Some(key) = mask else { return output.extend_from_slice(payload) };
        for piece in payload.chunks(MASKED_AT_ONCE) {
            let start = output.len();
            output.extend_from_slice(piece);
            mask::apply(output.get_mut(start..).unwrap_or_default(), key);
        }
    }
}

impl std::fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocket")
            .field("inbound", &self.inbound)
            .field("is_closing", &self.is_closing)
            .finish_non_exhaustive()
    }
}

/// The header of a whole frame.
fn header(opcode: OpCode) -> FrameHeader {
    FrameHeader { opcode, ..FrameHeader::default() }
}

fn close_payload(content: Option<&CloseFrame>) -> Result<Vec<u8>, SendError> {
    match content {
        None => Ok(Vec::new()),
        Some(CloseFrame { code, .. }) if !CloseFrame::is_sendable(*code) => {
            Err(SendError::ReservedCode(*code))
        }
        Some(CloseFrame { code, reason }) => Ok([&code.to_be_bytes(), reason.as_bytes()].concat()),
    }
}
