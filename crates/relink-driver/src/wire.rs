//! [`Wire`]: a WebSocket as a session sees it. Bytes in, frames out; frames in, bytes out.
//!
//! The protocol is `relink-wire`'s; here it is told in the words of the core.

use std::io;

use http::header::LOCATION;
use http::{HeaderMap, Response};
use relink::internal::within;
use relink::session::{Frame, Secret, Text};
use relink::{Address, CloseCode, CloseFrame, ConfigError, Failure, Message};
use relink_wire as ws;
use relink_wire::{ClientHandshake, HandshakeError, Input, Output, WebSocket};

use crate::cookies::Visit;
use crate::request::{Target, Template};
use crate::runtime::io_failure;

pub use relink_wire::Limits as WireLimits;

/// The largest message that is read, in one frame or in several.
///
/// # Errors
///
/// If a limit is too small.
pub(crate) fn largest(limits: WireLimits) -> Result<usize, ConfigError> {
    within("limits.max_message", limits.max_message, 1..)?;
    within("limits.max_frame", limits.max_frame, 125..)?;
    Ok(limits.max_message.min(limits.max_frame))
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

/// Why a wire failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{failure}: {detail}")]
#[non_exhaustive]
pub struct WireError {
    /// The failure for the core.
    pub failure: Failure,
    /// The detail for display.
    pub detail: String,
    /// The `Location` of an HTTP redirect, as it was received.
    pub location: Option<Address>,
}

/// One WebSocket over memory, as client or as server.
pub struct Wire {
    state: State,
    parting: Option<CloseCode>,
}

#[expect(clippy::large_enum_variant, reason = "a wire is open for nearly all of its life")]
enum State {
    Handshaking(Box<Handshake>),
    Open(WebSocket),
    /// The handshake has failed.
    Broken,
}

struct Handshake {
    handshake: ClientHandshake,
    limits: WireLimits,
    /// Where cookies of the answer are kept.
    visit: Option<Visit>,
}

impl Wire {
    /// Starts a client's handshake: the request can be written at once. The URL of the request
    /// gives the path, and the host unless a header does; its other headers are sent, too. The
    /// headers of the handshake, such as the key, are added here. With the feature `deflate`, a
    /// `DeflateConfig` in its extensions is offered to the server.
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
        let handshake = ClientHandshake::new(request)
            .map_err(|error| WireError::new(Failure::InvalidRequest, error.to_string()))?;
        let state = State::Handshaking(Box::new(Handshake { handshake, limits, visit }));
        Ok(Self { state, parting: None })
    }

    /// The handshake for an address, and where to connect for it: for drivers that have no headers
    /// of their own to add. A token goes into the `Authorization` header; without one, a user name
    /// in the address does.
    ///
    /// # Errors
    ///
    /// [`Failure::InvalidRequest`] if the URL is invalid, or the token cannot be sent in a header.
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

    /// Takes bytes that were read from the transport, and copies them.
    pub fn receive(&mut self, bytes: &[u8]) {
        if let Some(input) = self.input() {
            input.extend(bytes);
        }
    }

    /// Room to read the transport into without a copy, of about this many bytes or more; see
    /// [`Input::spare`](relink_wire::Input::spare). Nothing is read any more if it is empty.
    pub fn spare(&mut self, size: usize) -> &mut [u8] {
        self.input().map_or(&mut [], |input| input.spare(size))
    }

    /// How many bytes were read into [`spare`](Self::spare).
    pub fn filled(&mut self, count: usize) {
        if let Some(input) = self.input() {
            input.filled(count);
        }
    }

    /// Records the end of the stream.
    pub fn receive_end(&mut self) {
        if let Some(input) = self.input() {
            input.end();
        }
    }

    /// The next event; `None` until more bytes arrive.
    ///
    /// # Errors
    ///
    /// The handshake was refused, the peer broke the protocol, or the bytes ended. A close frame
    /// comes first, if there was one.
    #[inline]
    pub fn poll_event(&mut self) -> Result<Option<WireEvent>, WireError> {
        match &mut self.state {
            State::Open(socket) => match socket.poll_frame() {
                Ok(frame) => Ok(frame.map(|frame| WireEvent::Frame(received(frame)))),
                Err(error) => Err(self.broken(&error)),
            },
            State::Handshaking(_) => self.poll_handshake(),
            State::Broken => Ok(None),
        }
    }

    /// Whether a message is incomplete.
    #[must_use]
    pub const fn is_mid_message(&self) -> bool {
        match &self.state {
            State::Open(socket) => socket.is_mid_message(),
            State::Handshaking(_) | State::Broken => false,
        }
    }

    /// Encodes a frame into the bytes to write. After a close frame, nothing more is sent.
    #[inline]
    pub fn send(&mut self, frame: Frame) {
        if let State::Open(socket) = &mut self.state {
            // If a close frame has gone out, there is nobody to tell.
            let _ = socket.send(&sent(frame));
        }
    }

    /// Encodes a message, as [`send`](Self::send) does with a frame.
    #[inline]
    pub fn send_message(&mut self, message: &Message) {
        if let State::Open(socket) = &mut self.state {
            // If a close frame has gone out, there is nobody to tell.
            let is_text = matches!(message, Message::Text(_));
            let _ = socket.send_payload(is_text, message.as_bytes());
        }
    }

    /// The close frame for a peer that broke the protocol, to send before the transport is dropped
    /// (RFC 6455, section 7.1.7).
    #[must_use]
    pub fn parting(&self) -> Option<CloseFrame> {
        self.parting.map(CloseFrame::from)
    }

    /// The bytes to write to the transport.
    #[must_use]
    pub fn outgoing(&mut self) -> &[u8] {
        self.output().map_or(&[], |output| output.bytes())
    }

    /// Records how many of them were written.
    pub fn wrote(&mut self, count: usize) {
        if let Some(output) = self.output() {
            output.wrote(count);
        }
    }

    /// Gives buffers back that a burst has made larger than this many bytes.
    pub fn shrink(&mut self, keep: usize) {
        if let State::Open(socket) = &mut self.state {
            socket.shrink(keep);
        }
    }

    /// Takes out what is read into. Until it is [back](Self::put_input), nothing can be received.
    pub(crate) fn take_input(&mut self) -> Input {
        self.input().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn put_input(&mut self, input: Input) {
        if let Some(place) = self.input() {
            *place = input;
        }
    }

    /// What is written from; `None` once the handshake has failed.
    pub(crate) fn output(&mut self) -> Option<&mut Output> {
        match &mut self.state {
            State::Handshaking(it) => Some(it.handshake.output()),
            State::Open(socket) => Some(socket.output()),
            State::Broken => None,
        }
    }

    fn input(&mut self) -> Option<&mut Input> {
        match &mut self.state {
            State::Handshaking(it) => Some(it.handshake.input()),
            State::Open(socket) => Some(socket.input()),
            State::Broken => None,
        }
    }

    fn poll_handshake(&mut self) -> Result<Option<WireEvent>, WireError> {
        let State::Handshaking(mut it) = std::mem::replace(&mut self.state, State::Broken) else {
            return Ok(None);
        };
        let Some(answer) = it.handshake.poll_answer().map_err(|error| failed(&error, None))? else {
            self.state = State::Handshaking(it);
            return Ok(None);
        };
        let Handshake { mut handshake, limits, visit } = *it;
        if let Some(visit) = visit {
            visit.keep(answer.headers());
        }
        handshake.check(&answer).map_err(|error| failed(&error, Some(&answer)))?;
        self.state = State::Open(handshake.into_websocket(limits));
        Ok(Some(WireEvent::Opened(answer.into_parts().0.headers)))
    }

    #[cold]
    fn broken(&mut self, error: &ws::Error) -> WireError {
        let code = error.close_code().map(CloseCode);
        self.parting = code;
        WireError::new(code.map_or(Failure::Eof, Failure::Protocol), error.to_string())
    }
}

/// A WebSocket whose handshake is done already, as either end of it.
impl From<WebSocket> for Wire {
    fn from(socket: WebSocket) -> Self {
        Self { state: State::Open(socket), parting: None }
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.state {
            State::Handshaking(_) => "Wire(handshaking)",
            State::Open(_) => "Wire(open)",
            State::Broken => "Wire(broken)",
        })
    }
}

impl WireError {
    /// An error without a redirect; `detail` is for display, without secrets.
    #[must_use]
    pub fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self { failure, detail: detail.into(), location: None }
    }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::new(io_failure(&error), error.to_string())
    }
}

/// A frame for the session.
#[inline]
fn received(frame: ws::Frame) -> Frame {
    match frame {
        ws::Frame::Text(text) => {
            Frame::Message(Message::Text(Text::assume_utf8(text.into_bytes())))
        }
        ws::Frame::Binary(bytes) => Frame::Message(Message::Binary(bytes)),
        ws::Frame::Ping(payload) => Frame::Ping(payload),
        ws::Frame::Pong(payload) => Frame::Pong(payload),
        ws::Frame::Close(None) => Frame::Close(CloseCode::NO_STATUS.into()),
        ws::Frame::Close(Some(ws::CloseFrame { code, reason })) => {
            Frame::Close(CloseFrame::new(CloseCode(code), reason))
        }
    }
}

/// A frame of the session.
#[inline]
fn sent(frame: Frame) -> ws::Frame {
    match frame {
        Frame::Message(Message::Text(text)) => {
            ws::Frame::Text(ws::Text::assume_utf8(text.into_bytes()))
        }
        Frame::Message(Message::Binary(bytes)) => ws::Frame::Binary(bytes),
        Frame::Ping(payload) => ws::Frame::Ping(payload),
        Frame::Pong(payload) => ws::Frame::Pong(payload),
        Frame::Close(frame) => ws::Frame::Close(frame.for_wire().map(|frame| {
            let CloseFrame { code: CloseCode(code), reason } = frame;
            ws::CloseFrame { code, reason }
        })),
    }
}

/// What a handshake has failed by.
fn failed(error: &HandshakeError, answer: Option<&Response<()>>) -> WireError {
    let detail = error.to_string();
    let (HandshakeError::Refused(status), Some(answer)) = (error, answer) else {
        let has_ended = *error == HandshakeError::Ended;
        let failure = if has_ended { Failure::Eof } else { Failure::NotWebSocket };
        return WireError::new(failure, detail);
    };
    let headers = answer.headers();
    let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location =
        headers.get(LOCATION).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    if let Some(location) = location.filter(|_| is_redirect) {
        let location = Some(Address::from(location));
        return WireError { failure: Failure::HttpRedirect, detail, location };
    }
    let retry_after = crate::retry_after::read(headers);
    WireError::new(Failure::Http { status: status.as_u16(), retry_after }, detail)
}
