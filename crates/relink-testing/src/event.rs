//! What the server saw and did.

use std::{fmt, time::Duration};

use tokio_tungstenite::tungstenite::handshake::server::Request as HttpRequest;

use crate::step::quoted;

/// Headers whose values are never printed.
const SECRET_HEADERS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// One entry of the server's log. `Display` writes it as one line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerEvent {
    /// When, since the server started.
    pub at: Duration,
    /// Which connection; the first to arrive is 1.
    pub connection: usize,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a connection.
///
/// Every connection starts with [`Arrived`](Self::Arrived). Unless the server stops first it has
/// exactly one event that [ends](Self::is_end) it, and that comes last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A socket was accepted; nothing has been read from it.
    Arrived,
    /// The handshake succeeded.
    #[non_exhaustive]
    Accepted {
        /// What the client asked for.
        request: Request,
        /// The subprotocol the server answered with.
        subprotocol: Option<String>,
    },
    /// The script blackholes this connection: nothing will be read or answered.
    Blackholed,
    /// The server stopped reading and answering, as the script or the test asked.
    Silent,
    /// A text message arrived.
    Text(String),
    /// A binary message arrived.
    Binary(Vec<u8>),
    /// The [upstream](crate::Upstream) sent the client a text message.
    UpstreamText(String),
    /// The upstream sent the client a binary message.
    UpstreamBinary(Vec<u8>),
    /// A ping arrived; it is answered, too.
    Ping(Vec<u8>),
    /// A pong arrived.
    Pong(Vec<u8>),
    /// End: the limit of live connections was reached, so this one was reset. The script did not
    /// move on.
    AdmissionError,
    /// End: the handshake was refused.
    #[non_exhaustive]
    Refused {
        /// The HTTP status it was refused with.
        status: u16,
        /// What the client asked for.
        request: Request,
    },
    /// End: the handshake was answered with bytes that are not HTTP.
    #[non_exhaustive]
    AnsweredGarbage {
        /// What the client asked for.
        request: Request,
    },
    /// End: the client's part of the TLS or WebSocket handshake was wrong, or never came.
    #[non_exhaustive]
    HandshakeFailed {
        /// For people.
        why: String,
    },
    /// End: the server closed with a close frame.
    Closed {
        /// The code it sent, if any.
        code: Option<u16>,
        /// The reason it sent.
        reason: String,
        /// Did the peer answer with a close frame within 1 s?
        answered: bool,
    },
    /// End: the server reset the socket (RST).
    Reset,
    /// End: the server ended the socket (FIN) without a close frame.
    Dropped,
    /// End: the peer closed with a close frame, which was answered.
    PeerClosed {
        /// The code it sent, if any.
        code: Option<u16>,
        /// The reason it sent.
        reason: String,
    },
    /// End: the peer's socket ended or failed without a close frame.
    #[non_exhaustive]
    PeerLost {
        /// For people.
        why: String,
    },
    /// End: the peer broke the protocol or sent more than 1 MiB; the server closed with 1002
    /// or 1009.
    #[non_exhaustive]
    ProtocolError {
        /// For people.
        why: String,
    },
}

impl EventKind {
    /// Is this the last event of its connection?
    #[must_use]
    pub fn is_end(&self) -> bool {
        match self {
            Self::Arrived
            | Self::Accepted { .. }
            | Self::Blackholed
            | Self::Silent
            | Self::Text(_)
            | Self::Binary(_)
            | Self::UpstreamText(_)
            | Self::UpstreamBinary(_)
            | Self::Ping(_)
            | Self::Pong(_) => false,
            Self::AdmissionError
            | Self::Refused { .. }
            | Self::AnsweredGarbage { .. }
            | Self::HandshakeFailed { .. }
            | Self::Closed { .. }
            | Self::Reset
            | Self::Dropped
            | Self::PeerClosed { .. }
            | Self::PeerLost { .. }
            | Self::ProtocolError { .. } => true,
        }
    }

    /// The client's request, for events that have one.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        if let Self::Accepted { request, .. }
        | Self::Refused { request, .. }
        | Self::AnsweredGarbage { request } = self
        {
            return Some(request);
        }
        None
    }

    /// About how many bytes this keeps in memory beside itself.
    pub(crate) fn weight(&self) -> usize {
        if let Self::Text(text) | Self::UpstreamText(text) = self {
            return text.len();
        }
        if let Self::Binary(bytes)
        | Self::UpstreamBinary(bytes)
        | Self::Ping(bytes)
        | Self::Pong(bytes) = self
        {
            return bytes.len();
        }
        self.request().map_or(0, Request::weight)
    }
}

/// The request a client came with.
///
/// `Debug` hides the query and the values of `authorization`, `cookie` and `proxy-authorization`,
/// so that the tokens of a test run against real credentials stay out of its output.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn new(http: &HttpRequest) -> Self {
        let header = |(name, value): (_, &[u8])| {
            (format!("{name}"), String::from_utf8_lossy(value).into_owned())
        };
        Self {
            path: http.uri().path().to_owned(),
            query: http.uri().query().map(str::to_owned),
            headers: http
                .headers()
                .iter()
                .map(|(name, value)| header((name, value.as_bytes())))
                .collect(),
        }
    }

    /// The path, such as `/chat`, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What follows the `?`, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every header: its name in lower case and its value. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    fn weight(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.path.len() + self.query.as_ref().map_or(0, String::len) + headers
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value): &(String, String)| match SECRET_HEADERS.contains(&name.as_str())
        {
            true => (name.clone(), "<hidden>".to_owned()),
            false => (name.clone(), value.clone()),
        };
        f.debug_struct("Request")
            .field("path", &self.path)
            .field("query", &self.query.as_ref().map(|_| "<hidden>"))
            .field("headers", &self.headers.iter().map(shown).collect::<Vec<_>>())
            .finish()
    }
}

impl fmt::Display for ServerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3}s  #{}  {}", self.at.as_secs_f64(), self.connection, self.kind)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrived => write!(f, "arrived"),
            Self::Accepted { request, subprotocol: None } => write!(f, "accepted {}", request.path),
            Self::Accepted { request, subprotocol: Some(name) } => {
                write!(f, "accepted {} with {name}", request.path)
            }
            Self::Blackholed => write!(f, "blackholed"),
            Self::Silent => write!(f, "silent from here on"),
            Self::Text(text) => write!(f, "text {}", quoted(text)),
            Self::Binary(bytes) => write!(f, "binary, {} bytes", bytes.len()),
            Self::UpstreamText(text) => write!(f, "upstream: text {}", quoted(text)),
            Self::UpstreamBinary(bytes) => write!(f, "upstream: binary, {} bytes", bytes.len()),
            Self::Ping(_) => write!(f, "ping"),
            Self::Pong(_) => write!(f, "pong"),
            Self::AdmissionError => write!(f, "reset: too many connections"),
            Self::Refused { status, request } => {
                write!(f, "refused {} with HTTP {status}", request.path)
            }
            Self::AnsweredGarbage { request } => {
                write!(f, "answered {} with garbage", request.path)
            }
            Self::HandshakeFailed { why } => write!(f, "handshake failed: {why}"),
            Self::Closed { code, reason, answered } => {
                write!(f, "closed with {}", Close(*code, reason))?;
                f.write_str(if *answered { "" } else { ", not answered" })
            }
            Self::Reset => write!(f, "reset"),
            Self::Dropped => write!(f, "dropped without a close frame"),
            Self::PeerClosed { code, reason } => {
                write!(f, "closed by the peer with {}", Close(*code, reason))
            }
            Self::PeerLost { why } => write!(f, "peer lost: {why}"),
            Self::ProtocolError { why } => write!(f, "peer broke the protocol: {why}"),
        }
    }
}

struct Close<'a>(Option<u16>, &'a str);

impl fmt::Display for Close<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(None, _) => write!(f, "no code"),
            Self(Some(code), "") => write!(f, "{code}"),
            Self(Some(code), reason) => write!(f, "{code} {reason:?}"),
        }
    }
}
