//! The client's half of the WebSocket handshake (RFC 6455, section 4.1): what is asked, and whether
//! the answer agrees.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, LOCATION, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, StatusCode};
use relink::{Address, Failure};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

use crate::buffers::Buffers;
use crate::cookies::Visit;
use crate::head::{Head, Heads, list};
use crate::wire::WireError;

/// Headers that the handshake writes itself, or that would make its request another one.
pub(crate) const OWN_HEADERS: [HeaderName; 11] = [
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

/// A handshake under way: the request is written, the answer has yet to come.
pub(crate) struct Handshake {
    accept: String,
    offered: Vec<String>,
    heads: Heads,
    visit: Option<Visit>,
}

impl Handshake {
    /// Writes the request. Nothing logs it, so it may hold secrets.
    pub(crate) fn start(
        request: &http::Request<()>,
        visit: Option<Visit>,
        memory: &mut Buffers,
    ) -> Result<Self, WireError> {
        let invalid = |detail: String| WireError::new(Failure::InvalidRequest, detail);
        let (uri, headers) = (request.uri(), request.headers());
        if let Some(name) = OWN_HEADERS.into_iter().find(|name| headers.contains_key(name)) {
            return Err(invalid(format!("the handshake writes the header {name} itself")));
        }
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        let host = authority.rsplit('@').next().unwrap_or_default();
        if host.is_empty() {
            return Err(invalid("the address has no host".to_owned()));
        }
        let key = generate_key();
        let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
        let mut head = format!("GET {}{query} HTTP/1.1\r\n", uri.path()).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            head.extend([spelled(name).as_bytes(), b": ", value, b"\r\n"].concat());
        };
        line("host", headers.get(HOST).map_or(host.as_bytes(), |host| host.as_bytes()));
        line("connection", b"Upgrade");
        line("upgrade", b"websocket");
        line("sec-websocket-version", b"13");
        line("sec-websocket-key", key.as_bytes());
        let offered: Vec<_> = list(headers, &SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
        if !offered.is_empty() {
            // On one line: some servers read no other.
            line(SEC_WEBSOCKET_PROTOCOL.as_str(), offered.join(", ").as_bytes());
        }
        let others =
            headers.iter().filter(|(name, _)| **name != HOST && **name != SEC_WEBSOCKET_PROTOCOL);
        others.for_each(|(name, value)| line(name.as_str(), value.as_bytes()));
        head.extend(b"\r\n");
        memory.outbound.extend(&head);
        Ok(Self {
            accept: derive_accept_key(key.as_bytes()),
            offered,
            heads: Heads::default(),
            visit,
        })
    }

    /// The headers of the answer, once it has come whole and agrees. Frames may stand behind it.
    pub(crate) fn poll(&mut self, memory: &mut Buffers) -> Result<Option<HeaderMap>, WireError> {
        let not_websocket = |detail: String| WireError::new(Failure::NotWebSocket, detail);
        let Some(head) = self.heads.poll(&mut memory.inbound).map_err(not_websocket)? else {
            let ended = "the connection ended during the handshake";
            return if memory.ended { Err(WireError::new(Failure::Eof, ended)) } else { Ok(None) };
        };
        if let Some(visit) = &self.visit {
            visit.keep(&head.headers);
        }
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(&head));
        }
        match self.disagreement(&head) {
            Some(detail) => Err(not_websocket(detail)),
            None => Ok(Some(head.headers)),
        }
    }

    /// Why this answer does not open a WebSocket.
    fn disagreement(&self, Head { is_current, headers, .. }: &Head) -> Option<String> {
        let is_listed =
            |name, wanted: &str| list(headers, &name).any(|it| it.eq_ignore_ascii_case(wanted));
        let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).into_iter();
        let (accept, more) = (accepts.next(), accepts.next());
        let (chosen, chosen_more) = {
            let mut chosen = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
            (chosen.next(), chosen.next().is_some())
        };
        let is_offered = chosen.is_some_and(|chosen| {
            self.offered.iter().any(|name| name.as_bytes() == chosen.as_bytes())
        });
        Some(if !is_current {
            "the server switched protocols in HTTP/1.0".to_owned()
        } else if !is_listed(UPGRADE, "websocket") {
            "the server's answer has no Upgrade: websocket".to_owned()
        } else if !is_listed(CONNECTION, "upgrade") {
            "the server's answer has no Connection: Upgrade".to_owned()
        } else if more.is_some()
            || accept.is_none_or(|accept| accept.as_bytes() != self.accept.as_bytes())
        {
            "the server's Sec-WebSocket-Accept is not the answer to our key".to_owned()
        } else if let Some(extension) = list(headers, &SEC_WEBSOCKET_EXTENSIONS).next() {
            format!("the server uses an extension that was not offered: {extension}")
        } else if chosen_more {
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

/// An answer that is no WebSocket, and says so.
fn refusal(Head { status, headers, .. }: &Head) -> WireError {
    let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location =
        headers.get(LOCATION).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    if let Some(location) = location.filter(|_| is_redirect) {
        let location = Some(Address::from(location));
        return WireError { failure: Failure::HttpRedirect, detail: status.to_string(), location };
    }
    let failure =
        Failure::Http { status: status.as_u16(), retry_after: crate::retry_after::read(headers) };
    WireError::new(failure, format!("the server answered {status}"))
}

/// A header's name as RFC 6455 writes it: some servers look at capitals.
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

    fn shake(answer: impl FnOnce(&str) -> String) -> Result<Option<HeaderMap>, WireError> {
        let request =
            http::Request::get("ws://h:8080/p?q=1").header("sec-websocket-protocol", "a, b");
        let request = request.header("sec-websocket-protocol", "c").body(()).unwrap();
        let mut memory = Buffers::default();
        let mut handshake = Handshake::start(&request, None, &mut memory).unwrap();
        let answer = answer(&handshake.accept);
        memory.inbound.extend(answer.as_bytes());
        handshake.poll(&mut memory)
    }

    fn agreed(more: &str) -> Result<Option<HeaderMap>, WireError> {
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
            assert!(agreed(&more).unwrap().is_some(), "{more}");
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
            assert_eq!(error.failure, Failure::NotWebSocket);
            assert!(error.detail.contains(problem), "{more}: {error}");
        }
        let wrong = shake(|_| {
            format!("HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: x\r\n{CONNECTED}{CHOSEN}\r\n")
        });
        assert!(wrong.unwrap_err().detail.contains("Accept"));
        let missing = shake(|_| format!("HTTP/1.1 101 OK\r\n{CONNECTED}{CHOSEN}\r\n"));
        assert!(missing.unwrap_err().detail.contains("Accept"));
        let old = shake(|accept| {
            format!("HTTP/1.0 101 OK\r\nSec-WebSocket-Accept: {accept}\r\n{CONNECTED}{CHOSEN}\r\n")
        });
        assert!(old.unwrap_err().detail.contains("HTTP/1.0"));
    }

    #[test]
    fn a_refusal_in_the_http_of_old_proxies_is_one() {
        let refused =
            shake(|_| "HTTP/1.0 503 Busy\r\nRetry-After: 2\r\n\r\n".to_owned()).unwrap_err();
        let retry_after = Some(std::time::Duration::from_secs(2));
        assert_eq!(refused.failure, Failure::Http { status: 503, retry_after });
        for status in [401, 403, 407] {
            let refused = shake(|_| format!("HTTP/1.0 {status}\n\n")).unwrap_err();
            assert_eq!(refused.failure, Failure::Http { status, retry_after: None });
        }
    }

    #[test]
    fn the_request_is_written_as_rfc_6455_writes_it() {
        let request =
            http::Request::get("ws://me@h:8080?q=1").header("x-api-key", "k").body(()).unwrap();
        let mut memory = Buffers::default();
        Handshake::start(&request, None, &mut memory).unwrap();
        let written = String::from_utf8(memory.outbound.unread().to_vec()).unwrap();
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
        for name in OWN_HEADERS {
            let request = http::Request::get("ws://h/").header(&name, "x").body(()).unwrap();
            let error = Handshake::start(&request, None, &mut Buffers::default()).err().unwrap();
            assert!(
                error.failure == Failure::InvalidRequest && error.detail.contains(name.as_str())
            );
        }
    }
}
