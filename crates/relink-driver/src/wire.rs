//! [`Wire`]: the WebSocket protocol over memory. Bytes in, frames out; frames in, bytes out.
//!
//! The protocol itself is tungstenite's. It reads from and writes to two buffers here instead of a
//! socket, so that no runtime is named and a driver only moves bytes.

use std::io;

use bytes::Bytes;
use http::HeaderMap;
use relink::session::{Frame, Secret, Text};
use relink::{Address, CloseCode, CloseFrame, ConfigError, Failure, Message};
use tungstenite::Error;
use tungstenite::protocol::frame::coding::CloseCode as WireCode;
use tungstenite::protocol::{
    CloseFrame as WireClose, Message as WireMessage, Role, WebSocket, WebSocketConfig,
};

use crate::buffers::Buffers;
use crate::close_watch::CloseWatch;
use crate::cookies::Visit;
use crate::handshake::Handshake;
use crate::request::{Target, Template};

/// The limits on what a peer may send, and the size of buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireLimits {
    /// The largest message, in bytes; a larger one closes the transport with 1009. 16 MiB by
    /// default: well above what applications mean to send, and little enough that a hostile peer
    /// cannot fill memory. At least 1; with `relink.v1` at least 128 KiB.
    pub max_message: usize,
    /// The largest frame, in bytes. 16 MiB by default, as for messages. At least 125: control
    /// frames have to fit.
    pub max_frame: usize,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self { max_message: 16 << 20, max_frame: 16 << 20 }
    }
}

impl WireLimits {
    /// Other limits: the largest message and the largest frame, in bytes.
    #[must_use]
    pub const fn new(max_message: usize, max_frame: usize) -> Self {
        Self { max_message, max_frame }
    }

    /// The largest message that is read, whether it comes in one frame or in several.
    ///
    /// # Errors
    ///
    /// A limit that nothing fits into.
    pub(crate) fn largest(self) -> Result<usize, ConfigError> {
        ConfigError::unless_at_least("limits.max_message", self.max_message, 1)?;
        ConfigError::unless_at_least("limits.max_frame", self.max_frame, 125)?;
        Ok(self.max_message.min(self.max_frame))
    }

    /// Buffers of 4 KiB keep an idle link small; larger frames make them grow for as long as they
    /// last.
    fn config(self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(4 << 10)
            .max_message_size(Some(self.max_message))
            .max_frame_size(Some(self.max_frame))
    }
}

/// What a wire reads from bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum WireEvent {
    /// The handshake is done; the headers of the server's answer.
    Opened(HeaderMap),
    /// A frame arrived.
    Frame(Frame),
}

/// Why a wire cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{failure}: {detail}")]
#[non_exhaustive]
pub struct WireError {
    /// What the core is told.
    pub failure: Failure,
    /// What a person is told.
    pub detail: String,
    /// Where an HTTP redirect leads, as it was written.
    pub location: Option<Address>,
}

/// One WebSocket, client side, over memory.
pub struct Wire {
    state: State,
    limits: WireLimits,
    close: CloseWatch,
    parting: Option<CloseCode>,
}

enum State {
    Handshaking(Box<Handshake>, Buffers),
    Open(Box<WebSocket<Buffers>>),
    Broken(Buffers),
}

impl Wire {
    /// A client's handshake: the request is ready to be written at once. The address of the request
    /// says the path, and the host unless a header does; its other headers go along. What the
    /// handshake is made of, a key for one, is added here.
    ///
    /// # Errors
    ///
    /// [`Failure::InvalidRequest`] if the address has no host, or if one of the headers is the
    /// handshake's own.
    pub fn connect(request: &http::Request<()>, limits: WireLimits) -> Result<Self, WireError> {
        Self::visit(request, None, limits)
    }

    /// The same, with a jar for the cookies of the answer.
    pub(crate) fn visit(
        request: &http::Request<()>,
        visit: Option<Visit>,
        limits: WireLimits,
    ) -> Result<Self, WireError> {
        let mut memory = Buffers::default();
        let handshake = Handshake::start(request, visit, &mut memory)?;
        Ok(Self::new(State::Handshaking(Box::new(handshake), memory), limits))
    }

    /// The handshake for an address, and where to connect for it: for drivers that have no headers
    /// of their own to add. A token goes into the `Authorization` header; without one, a user name
    /// in the address does.
    ///
    /// # Errors
    ///
    /// [`Failure::InvalidRequest`] if the address is none, or the token cannot stand in a header.
    pub fn dial(
        address: &Address,
        token: Option<&Secret>,
        limits: WireLimits,
    ) -> Result<(Target, Self), WireError> {
        let prepared = Template::default().prepare(address, token, true);
        let prepared =
            prepared.map_err(|error| WireError::new(Failure::InvalidRequest, error.to_string()))?;
        Ok((prepared.target, Self::connect(&prepared.request, limits)?))
    }

    /// A WebSocket whose handshake is done already, as the client of it.
    #[must_use]
    pub fn opened(limits: WireLimits) -> Self {
        let socket =
            WebSocket::from_raw_socket(Buffers::default(), Role::Client, Some(limits.config()));
        Self::new(State::Open(Box::new(socket)), limits)
    }

    fn new(state: State, limits: WireLimits) -> Self {
        Self { state, limits, close: CloseWatch::default(), parting: None }
    }

    /// Takes bytes that were read from the transport.
    pub fn receive(&mut self, bytes: &[u8]) {
        if let State::Open(_) = self.state {
            self.close.read(bytes);
        }
        self.memory().inbound.extend(bytes);
    }

    /// The transport will bring no more bytes.
    pub fn receive_end(&mut self) {
        self.memory().ended = true;
    }

    /// The next thing the peer said; `None` until more bytes arrive.
    ///
    /// # Errors
    ///
    /// The handshake was refused, the peer broke the protocol, or the bytes ended without a close
    /// frame.
    pub fn poll_event(&mut self) -> Result<Option<WireEvent>, WireError> {
        match std::mem::replace(&mut self.state, State::Broken(Buffers::default())) {
            State::Handshaking(mut handshake, mut memory) => match handshake.poll(&mut memory) {
                Ok(Some(headers)) => {
                    // Frames may stand behind the answer.
                    self.close.read(memory.inbound.unread());
                    let config = Some(self.limits.config());
                    let socket = WebSocket::from_raw_socket(memory, Role::Client, config);
                    self.state = State::Open(Box::new(socket));
                    Ok(Some(WireEvent::Opened(headers)))
                }
                Ok(None) => {
                    self.state = State::Handshaking(handshake, memory);
                    Ok(None)
                }
                Err(error) => Err(error),
            },
            State::Open(mut socket) => {
                let read = socket.read();
                self.state = State::Open(socket);
                match read {
                    Ok(WireMessage::Close(Some(frame))) => {
                        let told =
                            || CloseFrame::new(CloseCode(frame.code.into()), frame.reason.as_str());
                        close_event(self.close.close().unwrap_or_else(told)).map(Some)
                    }
                    Ok(message) => Ok(frame_of(message).map(WireEvent::Frame)),
                    Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                    Err(error) => self.broken(&error).map(Some),
                }
            }
            State::Broken(memory) => {
                self.state = State::Broken(memory);
                Ok(None)
            }
        }
    }

    /// Whether a part of a message has arrived, and not all of it.
    #[must_use]
    pub const fn is_mid_message(&self) -> bool {
        self.close.is_mid_message()
    }

    /// Encodes a frame into the bytes to write. After a close frame nothing more goes out.
    pub fn send(&mut self, frame: Frame) {
        let State::Open(socket) = &mut self.state else { return };
        let message = match frame {
            Frame::Message(Message::Text(text)) => match text.into_bytes().try_into() {
                Ok(text) => WireMessage::Text(text),
                Err(_) => return,
            },
            Frame::Message(Message::Binary(bytes)) => WireMessage::Binary(bytes),
            Frame::Ping(payload) => WireMessage::Ping(payload),
            Frame::Pong(payload) => WireMessage::Pong(payload),
            Frame::Close(frame) => WireMessage::Close(close_content(frame)),
        };
        // Buffers takes every byte; what remains is "closed already", and then there is nobody to
        // tell.
        let _ = socket.write(message);
    }

    /// What to tell a peer that broke the protocol before the transport is dropped (RFC 6455,
    /// section 7.1.7).
    #[must_use]
    pub fn parting(&self) -> Option<CloseFrame> {
        self.parting.map(CloseFrame::from)
    }

    /// The bytes to write to the transport.
    #[must_use]
    pub fn outgoing(&mut self) -> &[u8] {
        if let State::Open(socket) = &mut self.state {
            // Small frames and answers to pings wait inside until someone writes.
            let _ = socket.flush();
        }
        self.memory().outbound.unread()
    }

    /// How many of them were written.
    pub fn wrote(&mut self, count: usize) {
        self.memory().outbound.consume(count);
    }

    /// Gives buffers back that a burst has made large.
    pub fn shrink(&mut self) {
        let memory = self.memory();
        memory.inbound.shrink();
        memory.outbound.shrink();
    }

    /// What follows from a frame that breaks the protocol. The code of a close frame was read,
    /// whatever its reason is made of: the peer is told of the reason, and judged by the code.
    fn broken(&mut self, error: &Error) -> Result<WireEvent, WireError> {
        let failure = failure_of(error);
        if let Failure::Protocol(code) = failure {
            self.parting = Some(code);
        }
        match self.close.garbled_close() {
            Some(frame) if matches!(error, Error::Utf8(_)) => close_event(frame),
            Some(_) | None => Err(WireError::new(failure, error.to_string())),
        }
    }

    fn memory(&mut self) -> &mut Buffers {
        match &mut self.state {
            State::Handshaking(_, memory) => memory,
            State::Open(socket) => socket.get_mut(),
            State::Broken(memory) => memory,
        }
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.state {
            State::Handshaking(..) => "Wire(handshaking)",
            State::Open(_) => "Wire(open)",
            State::Broken(_) => "Wire(broken)",
        })
    }
}

impl WireError {
    pub(crate) fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self { failure, detail: detail.into(), location: None }
    }
}

/// A frame for the session. Close frames with a code are read elsewhere, tungstenite's raw frames
/// never.
fn frame_of(message: WireMessage) -> Option<Frame> {
    Some(match message {
        WireMessage::Text(text) => {
            Frame::Message(Message::Text(Text::try_from(Bytes::from(text)).ok()?))
        }
        WireMessage::Binary(bytes) => Frame::Message(Message::Binary(bytes)),
        WireMessage::Ping(payload) => Frame::Ping(payload),
        WireMessage::Pong(payload) => Frame::Pong(payload),
        WireMessage::Close(None) => Frame::Close(CloseCode::NO_STATUS.into()),
        WireMessage::Close(Some(_)) | WireMessage::Frame(_) => return None,
    })
}

/// A close frame as the peer sent it; a code that may not stand in one breaks the protocol.
fn close_event(frame: CloseFrame) -> Result<WireEvent, WireError> {
    if frame.code.is_sendable() {
        return Ok(WireEvent::Frame(Frame::Close(frame)));
    }
    let failure = Failure::Protocol(CloseCode::PROTOCOL_ERROR);
    Err(WireError::new(failure, format!("the server closed with the reserved code {}", frame.code)))
}

fn close_content(frame: CloseFrame) -> Option<WireClose> {
    let CloseFrame { code, reason } = frame.for_wire()?;
    Some(WireClose { code: WireCode::from(code.0), reason: reason.into() })
}

fn failure_of(error: &Error) -> Failure {
    use tungstenite::error::ProtocolError;
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Failure::Eof,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Failure::Eof,
        Error::Protocol(_) | Error::AttackAttempt => Failure::Protocol(CloseCode::PROTOCOL_ERROR),
        Error::Utf8(_) => Failure::Protocol(CloseCode::INVALID_DATA),
        Error::Capacity(_) => Failure::Protocol(CloseCode::TOO_BIG),
        Error::Io(error) => crate::runtime::io_failure(error),
        Error::Tls(_) => Failure::Tls,
        Error::Url(_) | Error::HttpFormat(_) => Failure::InvalidRequest,
        Error::Http(_) => Failure::NotWebSocket,
        Error::WriteBufferFull(_) => Failure::Io,
    }
}
