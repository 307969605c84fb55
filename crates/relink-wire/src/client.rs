//! The client's half of the handshake (RFC 6455, section 4.1): what is asked, and whether the
//! answer agrees.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Request, Response, StatusCode, Version};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

#[cfg(feature = "deflate")]
use crate::deflate::{Deflate, DeflateConfig};
use crate::frame::Limits;
use crate::head::{HeadError, Heads, list, lists};
use crate::input::Input;
use crate::output::Output;
use crate::websocket::{Role, WebSocket};

/// At most this much HTTP before there is a WebSocket: many cookies fit.
const MAX_ANSWER: usize = 64 << 10;

/// A client's handshake: the request is ready to be written at once, the answer has yet to come.
///
/// ```
/// use relink_wire::{ClientHandshake, Limits};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let request = http::Request::get("ws://example.org/feed").body(())?;
/// let mut handshake = ClientHandshake::new(&request)?;
/// // Write these to the socket, and read the answer into `handshake.input()`.
/// assert!(handshake.output().bytes().starts_with(b"GET /feed HTTP/1.1\r\nHost: example.org\r\n"));
///
/// handshake.input().extend(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n\r\n");
/// let answer = handshake.poll_answer()?.ok_or("an answer has come")?;
/// let error = handshake.check(&answer).expect_err("this is no WebSocket");
/// assert_eq!(error.to_string(), "the server answered 503 Service Unavailable");
/// assert_eq!(answer.headers()["retry-after"], "7");
/// # Ok(())
/// # }
/// ```
pub struct ClientHandshake {
    input: Input,
    output: Output,
    heads: Heads,
    accept: String,
    offered: Vec<String>,
    #[cfg(feature = "deflate")]
    deflate: Option<DeflateConfig>,
    #[cfg(feature = "deflate")]
    agreed: Option<Deflate>,
}

impl ClientHandshake {
    /// The headers that a handshake writes itself, or that would make its request another one. A
    /// request may not have them.
    pub const OWN_HEADERS: [HeaderName; 11] = [
        CONNECTION,
        UPGRADE,
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION,
        SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_ACCEPT,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        TE,
        TRAILER,
        EXPECT,
    ];

    /// Asks for a WebSocket. The URI of the request says the path, and the host unless a header
    /// does; its headers go along, with subprotocols on one line, as some servers read no other.
    /// Method and version do not matter. With the feature `deflate`, a `DeflateConfig` in the
    /// [extensions](Request::extensions) of the request is offered to the server.
    ///
    /// # Errors
    ///
    /// The URI has no host, or a header is one of [`OWN_HEADERS`](Self::OWN_HEADERS).
    pub fn new(request: &Request<()>) -> Result<Self, InvalidRequest> {
        let (uri, headers) = (request.uri(), request.headers());
        if let Some(name) = Self::OWN_HEADERS.into_iter().find(|name| headers.contains_key(name)) {
            return Err(InvalidRequest::OwnHeader(name));
        }
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        let host = authority.rsplit('@').next().unwrap_or_default();
        if host.is_empty() {
            return Err(InvalidRequest::NoHost);
        }
        let key = generate_key();
        let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
        let mut output = Output::default();
        let head = output.end();
        head.extend(format!("GET {}{query} HTTP/1.1\r\n", uri.path()).into_bytes());
        let mut line = |name: &str, value: &[u8]| {
            head.extend([spelled(name).as_bytes(), b": ", value, b"\r\n"].concat());
        };
        line("host", headers.get(HOST).map_or(host.as_bytes(), |host| host.as_bytes()));
        line("connection", b"Upgrade");
        line("upgrade", b"websocket");
        line("sec-websocket-version", b"13");
        line("sec-websocket-key", key.as_bytes());
        #[cfg(feature = "deflate")]
        let deflate = request.extensions().get::<DeflateConfig>().copied();
        #[cfg(feature = "deflate")]
        if let Some(deflate) = deflate {
            line(SEC_WEBSOCKET_EXTENSIONS.as_str(), deflate.offer().as_bytes());
        }
        let offered: Vec<_> = list(headers, &SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
        if !offered.is_empty() {
            line(SEC_WEBSOCKET_PROTOCOL.as_str(), offered.join(", ").as_bytes());
        }
        let others =
            headers.iter().filter(|(name, _)| **name != HOST && **name != SEC_WEBSOCKET_PROTOCOL);
        others.for_each(|(name, value)| line(name.as_str(), value.as_bytes()));
        head.extend(b"\r\n");
        let (accept, heads) = (derive_accept_key(key.as_bytes()), Heads::new(MAX_ANSWER));
        Ok(Self {
            input: Input::default(),
            output,
            heads,
            accept,
            offered,
            #[cfg(feature = "deflate")]
            deflate,
            #[cfg(feature = "deflate")]
            agreed: None,
        })
    }

    /// Where bytes of the server are read into.
    #[must_use]
    pub const fn input(&mut self) -> &mut Input {
        &mut self.input
    }

    /// Where bytes for the server are taken from: the request. It may hold secrets.
    #[must_use]
    pub const fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// The server's answer, once its head has come whole, whatever it says; interim answers (100,
    /// 103 and so on) are skipped. `None` until more bytes come. Of another answer than 101, the
    /// body stands in the [`input`](Self::input).
    ///
    /// Answers are read as browsers read them: malformed headers are skipped, and lines may end
    /// without a carriage return.
    ///
    /// # Errors
    ///
    /// The answer is no HTTP, or longer than 64 KiB, or the connection ended before it was
    /// complete.
    pub fn poll_answer(&mut self) -> Result<Option<Response<()>>, HandshakeError> {
        let answer = self.heads.poll_answer(&mut self.input).map_err(|error| match error {
            HeadError::TooLong => HandshakeError::TooLong(MAX_ANSWER),
            HeadError::Malformed(problem) => HandshakeError::NotHttp(problem),
        })?;
        if answer.is_none() && self.input.has_ended() {
            return Err(HandshakeError::Ended);
        }
        Ok(answer)
    }

    /// Whether the answer opens a WebSocket as it was asked for.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Refused`] if it has another status than 101: its headers tell of a
    /// redirect, or of when to come back. [`HandshakeError::Disagrees`] if the server answered
    /// something that was not asked.
    pub fn check(&mut self, answer: &Response<()>) -> Result<(), HandshakeError> {
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(HandshakeError::Refused(answer.status()));
        }
        self.check_extensions(answer)
            .and_then(|()| self.disagreement(answer).map_or(Ok(()), Err))
            .map_err(HandshakeError::Disagrees)
    }

    /// The WebSocket that a server's answer has opened. Bytes that came behind the answer are the
    /// first of it.
    #[must_use]
    pub fn into_websocket(self, limits: Limits) -> WebSocket {
        let websocket = WebSocket::with(Role::Client, limits, self.input, self.output);
        #[cfg(feature = "deflate")]
        if let Some(agreed) = self.agreed {
            return websocket.with_deflate(agreed);
        }
        websocket
    }

    /// Why the extensions of this answer are not those that were offered.
    fn check_extensions(&mut self, answer: &Response<()>) -> Result<(), String> {
        let headers = answer.headers();
        #[cfg(feature = "deflate")]
        if let Some(deflate) = self.deflate {
            self.agreed = deflate.check(headers)?;
            return Ok(());
        }
        list(headers, &SEC_WEBSOCKET_EXTENSIONS).next().map_or(Ok(()), |extension| {
            Err(format!("the server uses an extension that was not offered: {extension}"))
        })
    }

    /// Why this answer does not open a WebSocket.
    fn disagreement(&self, answer: &Response<()>) -> Option<String> {
        let headers = answer.headers();
        let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).into_iter();
        let (accept, more) = (accepts.next(), accepts.next());
        let mut chosen = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
        let (chosen, chosen_more) = (chosen.next(), chosen.next());
        let is_offered = chosen.is_some_and(|chosen| {
            self.offered.iter().any(|name| name.as_bytes() == chosen.as_bytes())
        });
        Some(if answer.version() != Version::HTTP_11 {
            "the server switched protocols in HTTP/1.0".to_owned()
        } else if !lists(headers, &UPGRADE, "websocket") {
            "the server's answer has no Upgrade: websocket".to_owned()
        } else if !lists(headers, &CONNECTION, "upgrade") {
            "the server's answer has no Connection: Upgrade".to_owned()
        } else if more.is_some()
            || accept.is_none_or(|accept| accept.as_bytes() != self.accept.as_bytes())
        {
            "the server's Sec-WebSocket-Accept is not the answer to our key".to_owned()
        } else if chosen_more.is_some() {
            "the server chose more than one subprotocol".to_owned()
        } else if chosen.is_some() && !is_offered {
            "the server chose a subprotocol that was not offered".to_owned()
        } else if chosen.is_none() && !self.offered.is_empty() {
            "the server chose none of the subprotocols that were offered".to_owned()
        } else {
            return None;
        })
    }
}

impl std::fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientHandshake").finish_non_exhaustive()
    }
}

/// Why a request cannot ask for a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The request has a header of the handshake's own.
    #[error("the handshake writes the header {0} itself")]
    OwnHeader(HeaderName),
    /// Nobody can be asked.
    #[error("the address has no host")]
    NoHost,
}

/// Why a client has no WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The connection ended before the server's answer was complete.
    #[error("the connection ended during the handshake")]
    Ended,
    /// The head of the answer is longer than this, in bytes.
    #[error("the server sent more than {0} bytes before its answer was complete")]
    TooLong(usize),
    /// The answer is no HTTP.
    #[error("the server's answer is no HTTP: {0}")]
    NotHttp(String),
    /// The server answered with another status than 101.
    #[error("the server answered {0}")]
    Refused(StatusCode),
    /// The server's answer does not fit the request.
    #[error("{0}")]
    Disagrees(String),
}

/// A header's name as RFC 6455 writes it: some servers are case-sensitive.
fn spelled(name: &str) -> String {
    let words = name.split('-').map(|word| match word {
        "websocket" => "WebSocket".to_owned(),
        word => word[..1.min(word.len())].to_ascii_uppercase() + &word[1.min(word.len())..],
    });
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shake(answer: impl FnOnce(&str) -> String) -> Result<(), HandshakeError> {
        let request = Request::get("ws://h:8080/p?q=1").header("sec-websocket-protocol", "a, b");
        let request = request.header("sec-websocket-protocol", "c").body(()).unwrap();
        let mut handshake = ClientHandshake::new(&request).unwrap();
        let answer = answer(&handshake.accept);
        handshake.input().extend(answer.as_bytes());
        let answer = handshake.poll_answer()?.expect("a whole answer");
        handshake.check(&answer)
    }

    fn agreed(more: &str) -> Result<(), HandshakeError> {
        shake(|accept| format!("HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: {accept}\r\n{more}\r\n"))
    }

    const CONNECTED: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    const CHOSEN: &str = "Sec-WebSocket-Protocol: c\r\n";

    #[test]
    fn an_answer_as_proxies_write_it_agrees() {
        for more in [
            format!("{CONNECTED}{CHOSEN}"),
            format!("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n{CHOSEN}"),
            format!(
                "connection: keep-alive\r\nconnection: UPGRADE\r\nUPGRADE: websocket\r\n{CHOSEN}"
            ),
            format!("{CONNECTED}{CHOSEN}Sec-WebSocket-Extensions:\r\n"),
        ] {
            assert_eq!(agreed(&more), Ok(()), "{more}");
        }
    }

    #[test]
    fn an_answer_that_does_not_agree_is_no_websocket() {
        for (more, problem) in [
            (format!("Upgrade: websocket\r\n{CHOSEN}"), "Connection"),
            (format!("Connection: close\r\nUpgrade: websocket\r\n{CHOSEN}"), "Connection"),
            (format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{CHOSEN}"), "Upgrade: websocket"),
            (format!("{CONNECTED}{CHOSEN}Sec-WebSocket-Accept: x\r\n"), "Accept"),
            (
                format!("{CONNECTED}{CHOSEN}Sec-WebSocket-Extensions: permessage-deflate\r\n"),
                "permessage-deflate",
            ),
            (format!("{CONNECTED}Sec-WebSocket-Protocol: d\r\n"), "not offered"),
            (format!("{CONNECTED}Sec-WebSocket-Protocol: a, b\r\n"), "not offered"),
            (format!("{CONNECTED}{CHOSEN}{CHOSEN}"), "more than one"),
            (CONNECTED.to_owned(), "none of the subprotocols"),
        ] {
            let error = agreed(&more).unwrap_err();
            assert!(error.to_string().contains(problem), "{more}: {error}");
            assert!(matches!(error, HandshakeError::Disagrees(_)));
        }
        let wrong = shake(|_| {
            format!("HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: x\r\n{CONNECTED}{CHOSEN}\r\n")
        });
        assert!(wrong.unwrap_err().to_string().contains("Accept"));
        let missing = shake(|_| format!("HTTP/1.1 101 OK\r\n{CONNECTED}{CHOSEN}\r\n"));
        assert!(missing.unwrap_err().to_string().contains("Accept"));
        let old = shake(|accept| {
            format!("HTTP/1.0 101 OK\r\nSec-WebSocket-Accept: {accept}\r\n{CONNECTED}{CHOSEN}\r\n")
        });
        assert!(old.unwrap_err().to_string().contains("HTTP/1.0"));
    }

    #[test]
    fn a_refusal_in_the_http_of_old_proxies_is_one() {
        let refused = shake(|_| "HTTP/1.0 503 Busy\r\nRetry-After: 2\r\n\r\n".to_owned());
        assert_eq!(refused, Err(HandshakeError::Refused(StatusCode::SERVICE_UNAVAILABLE)));
        for status in [401, 403, 407] {
            let refused = shake(|_| format!("HTTP/1.0 {status}\n\n"));
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(refused, Err(HandshakeError::Refused(status)));
        }
    }

    #[test]
    fn the_request_is_written_as_rfc_6455_writes_it() {
        let request = Request::get("ws://me@h:8080?q=1").header("x-api-key", "k").body(()).unwrap();
        let mut handshake = ClientHandshake::new(&request).unwrap();
        let written = String::from_utf8(handshake.output().bytes().to_vec()).unwrap();
        assert!(
            written.starts_with("GET /?q=1 HTTP/1.1\r\nHost: h:8080\r\nConnection: Upgrade\r\n"),
            "{written}"
        );
        assert!(
            written.contains("\r\nSec-WebSocket-Key: ")
                && written.ends_with("X-Api-Key: k\r\n\r\n"),
            "{written}"
        );
    }

    #[test]
    fn a_header_of_the_handshakes_own_is_refused() {
        for name in ClientHandshake::OWN_HEADERS {
            let request = Request::get("ws://h/").header(&name, "x").body(()).unwrap();
            let error = ClientHandshake::new(&request).err();
            assert_eq!(error, Some(InvalidRequest::OwnHeader(name)));
        }
    }

    #[test]
    fn an_answer_that_ends_too_early_or_is_no_http_is_named_so() {
        let ended = |answer: &[u8]| {
            let request = Request::get("ws://h/").body(()).unwrap();
            let mut handshake = ClientHandshake::new(&request).unwrap();
            handshake.input().extend(answer);
            handshake.input().end();
            handshake.poll_answer().unwrap_err()
        };
        assert_eq!(ended(b""), HandshakeError::Ended);
        assert_eq!(ended(b"HTTP/1.1 101"), HandshakeError::Ended);
        assert!(matches!(ended(b"SSH-2.0-OpenSSH_9.2\r\n"), HandshakeError::NotHttp(_)));
    }
}
