//! The HTTP before the WebSocket.

use std::{fmt::Write as _, io, time::Duration};

use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL},
};
use relink::CloseCode;
use relink::session::Secret;
use relink_driver::{Wire, WireLimits};
use relink_wire::{RequestError, Role, ServerHandshake, WebSocket, header_list};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use crate::{config::ServerConfig, handlers::Handlers, user::User};

/// The subprotocol, and with it the version of everything that follows.
const SUBPROTOCOL: &str = "relink.v1";
const REQUEST_MAX: usize = 16 * 1024;
/// How long a refused client may take to read the answer. Closing a socket with unread bytes would
/// reset it, and a reset can overtake the answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why the upgrade is refused, as an HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<u64>,
    /// The body, for display.
    pub(crate) detail: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, retry_after: None, detail: detail.into() }
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// What an answer with this status has to say besides.
    pub(crate) const fn header(&self) -> Option<(&'static str, &'static str)> {
        match self.status {
            StatusCode::UNAUTHORIZED => Some(("www-authenticate", "Bearer")),
            StatusCode::UPGRADE_REQUIRED => Some(("sec-websocket-version", "13")),
            _ => None,
        }
    }

    fn to_http(&self) -> String {
        let mut text = format!("HTTP/1.1 {}\r\nconnection: close\r\n", self.status);
        // Writing to a string cannot fail.
        if let Some(seconds) = self.retry_after {
            _ = write!(text, "retry-after: {seconds}\r\n");
        }
        if let Some((name, value)) = self.header() {
            _ = write!(text, "{name}: {value}\r\n");
        }
        let detail = &self.detail;
        _ = write!(
            text,
            "content-type: text/plain\r\ncontent-length: {}\r\n\r\n{detail}\n",
            detail.len() + 1
        );
        text
    }
}

/// Why a request failed.
pub(crate) enum Failed {
    /// It is refused with this answer.
    Refused(Refusal),
    /// The client is gone.
    Gone,
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        Self::new(error.status(), error.to_string())
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads a request and the bytes that follow it.
pub(crate) async fn read(
    io: &mut (impl AsyncRead + Unpin),
) -> Result<(Request<()>, Vec<u8>), Failed> {
    let mut handshake = ServerHandshake::new(REQUEST_MAX);
    loop {
        let mut buffer = [0; 1024];
        let count = io.read(&mut buffer).await?;
        if count == 0 {
            return Err(Failed::Gone);
        }
        handshake.input().extend(buffer.get(..count).unwrap_or_default());
        if let Some(request) = handshake.poll_request().map_err(Refusal::from)? {
            return Ok((request, handshake.input().unread().to_vec()));
        }
    }
}

fn bad_request(why: impl std::fmt::Display) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, why.to_string())
}

/// Checks that this requests a WebSocket with the subprotocol; returns the answer, and the
/// WebSocket that it opens.
pub(crate) fn agree(
    request: &Request<()>,
    config: &ServerConfig,
) -> Result<(Response<()>, Wire), Refusal> {
    let mut response = ServerHandshake::accept(request)?;
    if !header_list(request.headers(), &SEC_WEBSOCKET_PROTOCOL).any(|name| name == SUBPROTOCOL) {
        let detail =
            format!("this server speaks the WebSocket subprotocol {SUBPROTOCOL}; offer it");
        return Err(bad_request(detail));
    }
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let limits = WireLimits::new(config.max_message, config.max_message);
    let socket = WebSocket::new(Role::Server, limits);
    #[cfg(feature = "deflate")]
    if let Some(deflate) = &config.deflate {
        if let Some(agreed) = deflate.accept(request.headers(), response.headers_mut()) {
            return Ok((response, socket.with_deflate(agreed).into()));
        }
    }
    Ok((response, socket.into()))
}

/// The token of `Authorization: Bearer`, case-insensitive. Other schemes are left to the
/// application.
fn bearer(headers: &HeaderMap) -> Result<Option<Secret>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad_request("there is more than one Authorization header"));
    }
    let text =
        value.to_str().map_err(|_| bad_request("the Authorization header is not ASCII"))?.trim();
    let (scheme, token) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    if token.is_empty() || token.contains([' ', '\t']) {
        return Err(bad_request(
            "the bearer token in the Authorization header is empty, or has spaces in it",
        ));
    }
    Ok(Some(token.into()))
}

/// Authenticates the request: by the application's check, or by `Authorization: Bearer`. `None` if
/// it has neither; then the hello does.
pub(crate) async fn identify(
    request: Request<()>,
    handlers: &Handlers,
) -> Result<Option<User>, Refusal> {
    let token = bearer(request.headers());
    let user = handlers.look_at(request).await;
    if let Some(user) =
        user.map_err(|status| Refusal::new(status, "the server refuses this request"))?
    {
        return Ok(Some(user));
    }
    if handlers.authenticate.is_none() {
        return Ok(None);
    }
    let Some(token) = token? else { return Ok(None) };
    match handlers.identify(Some(token)).result().await {
        Ok(user) => Ok(Some(user)),
        Err(frame) => {
            let status = match frame.code {
                CloseCode::INVALID_TOKEN | CloseCode::TOKEN_EXPIRED => StatusCode::UNAUTHORIZED,
                CloseCode::CONCURRENT_CAP => StatusCode::TOO_MANY_REQUESTS,
                CloseCode::TRY_AGAIN_LATER | CloseCode::INTERNAL_ERROR => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                _ => StatusCode::FORBIDDEN,
            };
            Err(Refusal::new(status, frame.reason))
        }
    }
}

pub(crate) async fn write(
    io: &mut (impl AsyncWrite + Unpin),
    response: &Response<()>,
) -> Result<(), Failed> {
    io.write_all(&ServerHandshake::write_answer(response)).await?;
    Ok(io.flush().await?)
}

/// Reads a request, answers with a refusal, and waits until it is read, all within [`FAREWELL`].
pub(crate) async fn refuse(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    refusal: Refusal,
    _courtesy: OwnedSemaphorePermit,
) {
    let farewell = async {
        // Mistakes in the request do not matter any more.
        _ = read(&mut io).await;
        say_farewell(&mut io, &refusal).await
    };
    // If it fails or takes too long, the client is gone.
    _ = timeout(FAREWELL, farewell).await;
}

/// Answers a request that was read with a refusal, and waits until it is read.
pub(crate) async fn answer(mut io: impl AsyncRead + AsyncWrite + Unpin, refusal: &Refusal) {
    // As above.
    _ = timeout(FAREWELL, say_farewell(&mut io, refusal)).await;
}

/// Writes a refusal as far as the socket accepts it now.
pub(crate) fn refuse_at_once(mut io: impl AsyncWrite + Unpin, refusal: &Refusal) {
    // If it fails, the client is gone.
    _ = io.write_all(refusal.to_http().as_bytes()).now_or_never();
}

async fn say_farewell(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    refusal: &Refusal,
) -> io::Result<()> {
    io.write_all(refusal.to_http().as_bytes()).await?;
    io.shutdown().await?;
    let mut rest = [0; 1024];
    while io.read(&mut rest).await? > 0 {}
    Ok(())
}
