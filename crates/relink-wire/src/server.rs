//! The server's half of the handshake (RFC 6455, section 4.2).

use http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

use crate::frame::Limits;
use crate::head::{HeadError, Heads, lists};
use crate::input::Input;
use crate::output::Output;
use crate::websocket::{Role, WebSocket};

/// A server's handshake, for a server that reads HTTP itself. One that has an HTTP library needs
/// [`accept`](Self::accept) alone, and then [`WebSocket::new`].
///
/// ```
/// use relink_wire::{Limits, ServerHandshake};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut handshake = ServerHandshake::new(16 << 10);
/// handshake.input().extend(
///     b"GET /chat HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
/// );
/// let request = handshake.poll_request()?.ok_or("the request is whole")?;
/// let answer = ServerHandshake::accept(&request)?;
/// assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// // Add a subprotocol to the answer if one is agreed on.
/// let mut websocket = handshake.into_websocket(&answer, Limits::default());
/// assert!(websocket.output().bytes().starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ServerHandshake {
    input: Input,
    heads: Heads,
    max_head: usize,
}

impl ServerHandshake {
    /// A handshake whose request has a head of at most this many bytes; 16 KiB are enough for most.
    #[must_use]
    pub fn new(max_head: usize) -> Self {
        Self { input: Input::default(), heads: Heads::new(max_head), max_head }
    }

    /// Where bytes of the client are read into.
    #[must_use]
    pub const fn input(&mut self) -> &mut Input {
        &mut self.input
    }

    /// The client's request, once its head has come whole; `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// It is malformed, not a `GET`, or longer than allowed.
    pub fn poll_request(&mut self) -> Result<Option<Request<()>>, RequestError> {
        self.heads.poll_request(&mut self.input).map_err(|error| match error {
            HeadError::TooLong => RequestError::TooLong(self.max_head),
            HeadError::Malformed(problem) => RequestError::Malformed(problem),
        })
    }

    /// The answer that agrees to a request, without a subprotocol.
    ///
    /// # Errors
    ///
    /// The request does not ask for a WebSocket of version 13.
    pub fn accept(request: &Request<()>) -> Result<Response<()>, RequestError> {
        let headers = request.headers();
        let malformed = |problem: &str| Err(RequestError::Malformed(problem.to_owned()));
        let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).into_iter();
        let (key, more) = (keys.next(), keys.next());
        let key = key.filter(|_| more.is_none()).map(HeaderValue::as_bytes);
        if request.method() != Method::GET {
            return malformed("a WebSocket is asked for with GET");
        }
        if request.version() < Version::HTTP_11 {
            return malformed("a WebSocket is asked for in HTTP/1.1");
        }
        if !lists(headers, &UPGRADE, "websocket") {
            return malformed("the request has no Upgrade: websocket");
        }
        if !lists(headers, &CONNECTION, "upgrade") {
            return malformed("the request has no Connection: Upgrade");
        }
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(RequestError::Version);
        }
        let Some(key) = key.filter(|key| is_key(key)) else {
            return malformed("the request has no Sec-WebSocket-Key of 16 bytes");
        };
        let mut answer = Response::new(());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = derive_accept_key(key).parse() {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        Ok(answer)
    }

    /// The head of an answer as it is written, of a refusal too.
    #[must_use]
    pub fn write_answer(answer: &Response<()>) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {}\r\n", answer.status()).into_bytes();
        for (name, value) in answer.headers() {
            head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        head
    }

    /// The WebSocket that this answer opens; the answer stands in its output. Bytes that came
    /// behind the request are the first of it.
    #[must_use]
    pub fn into_websocket(self, answer: &Response<()>, limits: Limits) -> WebSocket {
        let mut output = Output::default();
        output.end().extend(Self::write_answer(answer));
        WebSocket::with(Role::Server, limits, self.input, output)
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The head of the request is longer than this, in bytes.
    #[error("the request has more than {0} bytes")]
    TooLong(usize),
    /// The request is no HTTP, or does not ask for a WebSocket.
    #[error("{0}")]
    Malformed(String),
    /// The request asks for another version than 13.
    #[error("Sec-WebSocket-Version is 13 here")]
    Version,
}

impl RequestError {
    /// The status to answer with: 400, 426 or 431. With 426 the answer should have the header
    /// `Sec-WebSocket-Version: 13` (RFC 6455, section 4.4).
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::TooLong(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Version => StatusCode::UPGRADE_REQUIRED,
        }
    }
}

/// Whether this is base64 of sixteen bytes.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    matches!(key.split_last_chunk(), Some((digits, b"==")) if digits.len() == 22 && digits.iter().all(is_digit))
}
