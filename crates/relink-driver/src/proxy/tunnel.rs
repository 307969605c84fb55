//! The talk with a proxy that opens a tunnel, without IO: SOCKS5 (RFC 1928, with the login of RFC
//! 1929) and HTTP CONNECT (RFC 9110, section 9.3.6). A few bytes each; a proxy that says more than
//! it may is left.

use std::fmt;
use std::net::IpAddr;

use relink::Failure;

use super::{Kind, Login, Proxy};
use crate::runtime::ConnectError;

/// The longest answer to CONNECT that is read, and its most lines.
const LONGEST: usize = 16 << 10;
const MOST_LINES: usize = 64;

/// Where the tunnel leads.
pub(super) enum Host {
    Name(String),
    Ip(IpAddr),
}

impl Host {
    pub(super) fn of(host: &str) -> Self {
        host.parse().map_or_else(|_| Self::Name(host.to_owned()), Self::Ip)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Send(Vec<u8>),
    Receive,
    /// The stream belongs to the server.
    Open,
}

pub(super) struct Tunnel<'a> {
    proxy: &'a Proxy,
    host: Host,
    port: u16,
    awaits: Awaits,
    received: Vec<u8>,
}

enum Awaits {
    Nothing,
    /// SOCKS5: how to log in.
    Method,
    /// SOCKS5: whether the login is good.
    Login,
    /// SOCKS5: whether the server was reached.
    Reply,
    /// HTTP.
    Answer,
}

impl<'a> Tunnel<'a> {
    pub(super) const fn new(proxy: &'a Proxy, host: Host, port: u16) -> Self {
        Self { proxy, host, port, awaits: Awaits::Nothing, received: Vec::new() }
    }

    pub(super) fn received(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    pub(super) fn step(&mut self) -> Result<Step, ConnectError> {
        match (&self.awaits, &self.proxy.kind) {
            (Awaits::Nothing, Kind::Socks5 { login, .. }) => {
                self.awaits = Awaits::Method;
                let methods: &[u8] = if login.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
                Ok(Step::Send(methods.to_vec()))
            }
            (Awaits::Nothing, Kind::Http { login, .. }) => {
                self.awaits = Awaits::Answer;
                let target = format!("{}:{}", self.host, self.port);
                let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
                let mut request = head.into_bytes();
                if let Some(login) = login {
                    let line = [b"Proxy-Authorization: ", login.as_bytes(), b"\r\n"];
                    request.extend(line.concat());
                }
                request.extend(b"\r\n");
                Ok(Step::Send(request))
            }
            (Awaits::Method, Kind::Socks5 { login, .. }) => self.method(login.as_ref()),
            (Awaits::Login, _) => match self.take() {
                None => Ok(Step::Receive),
                Some([_, 0]) => self.ask(),
                Some(_) => Err(self.refused("does not accept the user name and the password")),
            },
            (Awaits::Reply, _) => self.reply(),
            (Awaits::Answer | Awaits::Method, _) => self.answer(),
        }
    }

    fn refused(&self, what: &str) -> ConnectError {
        self.proxy.failed(Failure::Io, what)
    }

    fn take(&mut self) -> Option<[u8; 2]> {
        let taken = *self.received.first_chunk()?;
        self.received.drain(..2);
        Some(taken)
    }

    fn method(&mut self, login: Option<&Login>) -> Result<Step, ConnectError> {
        match (self.take(), login) {
            (None, _) => Ok(Step::Receive),
            (Some([5, 0]), _) => self.ask(),
            (Some([5, 2]), Some(Login { user, password })) => {
                self.awaits = Awaits::Login;
                // A login is checked to be no longer than a length can say.
                let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap_or(u8::MAX);
                let parts: [&[u8]; 4] = [&[1, length(user)], user, &[length(password)], password];
                Ok(Step::Send(parts.concat()))
            }
            (Some([5, _]), None) => {
                Err(self
                    .refused("asks for a login: write it as in socks5h://user:password@host:1080"))
            }
            (Some([5, _]), Some(_)) => {
                Err(self.refused("does not take a login by user name and password"))
            }
            (Some(_), _) => Err(self.refused("does not speak SOCKS5")),
        }
    }

    /// Asks for the server.
    fn ask(&mut self) -> Result<Step, ConnectError> {
        self.awaits = Awaits::Reply;
        let address = match &self.host {
            Host::Ip(IpAddr::V4(ip)) => [&[1][..], &ip.octets()].concat(),
            Host::Ip(IpAddr::V6(ip)) => [&[4][..], &ip.octets()].concat(),
            Host::Name(name) => {
                let length = u8::try_from(name.len());
                let length =
                    length.map_err(|_| self.refused("takes names of at most 255 bytes"))?;
                [&[3, length][..], name.as_bytes()].concat()
            }
        };
        let parts: [&[u8]; 3] = [&[5, 1, 0], &address, &self.port.to_be_bytes()];
        Ok(Step::Send(parts.concat()))
    }

    fn reply(&self) -> Result<Step, ConnectError> {
        let Some(&[version, code]) = self.received.first_chunk() else { return Ok(Step::Receive) };
        if version != 5 {
            return Err(self.refused("does not speak SOCKS5"));
        }
        if code != 0 {
            return Err(self.socks_error(code));
        }
        let length = match self.received.get(3..5) {
            None => return Ok(Step::Receive),
            Some([1, _]) => 4,
            Some([4, _]) => 16,
            Some([3, length]) => 1 + usize::from(*length),
            Some(_) => return Err(self.refused("does not speak SOCKS5")),
        };
        self.open_after(4 + length + 2)
    }

    fn socks_error(&self, code: u8) -> ConnectError {
        let (failure, words) = match code {
            1 => (Failure::Io, "failed"),
            2 => (Failure::Io, "its rules do not allow it"),
            3 => (Failure::Unreachable, "the network is unreachable"),
            4 => (Failure::Unreachable, "the host is unreachable"),
            5 => (Failure::Refused, "the connection was refused"),
            6 => (Failure::Io, "it took too long"),
            7 => (Failure::Io, "it does not open connections"),
            8 => (Failure::Unreachable, "it does not know this kind of address"),
            _ => (Failure::Io, "for no reason that SOCKS5 knows"),
        };
        let (host, port) = (&self.host, self.port);
        let what = format!("did not connect to {host}:{port}: {words} (SOCKS5 reply {code})");
        self.proxy.failed(failure, &what)
    }

    fn answer(&mut self) -> Result<Step, ConnectError> {
        let mut lines = [httparse::EMPTY_HEADER; MOST_LINES];
        let mut answer = httparse::Response::new(&mut lines);
        let length = match answer.parse(&self.received) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.received.len() < LONGEST => {
                return Ok(Step::Receive);
            }
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Err(self.refused("sends an answer without an end"));
            }
            Err(_) => return Err(self.refused("answers with something other than HTTP")),
        };
        match answer.code.unwrap_or_default() {
            // Interim answers come before the one that counts.
            100..=199 => {
                self.received.drain(..length);
                self.answer()
            }
            200..=299 => self.open_after(length),
            status => Err(self.http_error(status, answer.reason.unwrap_or_default())),
        }
    }

    fn http_error(&self, status: u16, reason: &str) -> ConnectError {
        // Somebody else's text, for a log.
        let reason: String = reason.chars().filter(|char| !char.is_control()).take(64).collect();
        let has_login = matches!(&self.proxy.kind, Kind::Http { login: Some(_), .. });
        let login = if has_login {
            ": it does not accept the user name and the password"
        } else {
            ": it asks for a login; write it as in http://user:password@host:3128"
        };
        let advice = if status == 407 { login } else { "" };
        let (host, port) = (&self.host, self.port);
        let what =
            format!("did not connect to {host}:{port}, and answered {status} {reason}{advice}");
        self.refused(&what)
    }

    /// The server speaks after the client: TLS and WebSocket both begin with the client.
    fn open_after(&self, length: usize) -> Result<Step, ConnectError> {
        if self.received.len() < length {
            return Ok(Step::Receive);
        }
        if self.received.len() > length {
            return Err(self.refused("speaks before the tunnel is used"));
        }
        Ok(Step::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Talks a byte at a time; returns what was sent, and how it ended.
    fn talk(proxy: &str, host: &str, answers: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), String>) {
        let proxy = Proxy::parse(proxy, "proxy()").unwrap();
        let mut tunnel = Tunnel::new(&proxy, Host::of(host), 443);
        let mut answers = answers.concat().into_iter();
        let mut sent = Vec::new();
        loop {
            match tunnel.step() {
                Ok(Step::Send(bytes)) => sent.push(bytes),
                Ok(Step::Receive) => match answers.next() {
                    Some(byte) => tunnel.received(&[byte]),
                    None => return (sent, Err("waits".to_owned())),
                },
                Ok(Step::Open) => {
                    assert_eq!(answers.next(), None, "a byte of the server's was not taken");
                    return (sent, Ok(()));
                }
                Err(error) => return (sent, Err(error.to_string())),
            }
        }
    }

    #[test]
    fn socks5_names_the_server_and_logs_in_if_it_is_asked_to() {
        let open = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x09";
        let (sent, end) = talk("socks5h://h:1", "a.example", &[b"\x05\x00", open]);
        assert_eq!((end, &sent[0][..]), (Ok(()), &b"\x05\x01\x00"[..]));
        assert_eq!(sent[1], b"\x05\x01\x00\x03\x09a.example\x01\xbb");
        for (host, address) in [
            ("10.0.0.1", &b"\x01\x0a\0\0\x01"[..]),
            ("::1", b"\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"),
        ] {
            let named = b"\x05\x00\x00\x03\x02ab\x00\x09";
            let (sent, end) = talk("socks5://me:pw@h:1", host, &[b"\x05\x02", b"\x01\x00", named]);
            assert_eq!((end, &sent[0][..]), (Ok(()), &b"\x05\x02\x00\x02"[..]));
            assert_eq!(sent[1], b"\x01\x02me\x02pw");
            assert_eq!(sent[2], [b"\x05\x01\x00", address, b"\x01\xbb"].concat());
        }
        let (sent, end) = talk("socks5://me:pw@h:1", "a", &[b"\x05\x00", open]);
        assert_eq!((end, sent.len()), (Ok(()), 2));
    }

    #[test]
    fn a_refusal_of_socks5_is_said_in_words() {
        for (proxy, answers, words) in [
            ("socks5h://h:1", &[&b"\x05\x02"[..]][..], "asks for a login"),
            ("socks5h://h:1", &[b"\x05\xff"], "asks for a login"),
            ("socks5h://me:S3CR3T@h:1", &[b"\x05\xff"], "does not take a login"),
            ("socks5h://me:S3CR3T@h:1", &[b"\x05\x02", b"\x01\x01"], "does not accept"),
            ("socks5h://h:1", &[b"HTTP/1.1 400"], "does not speak SOCKS5"),
            ("socks5h://h:1", &[b"\x05\x00", b"\x05\x02"], "rules"),
            ("socks5h://h:1", &[b"\x05\x00", b"\x05\x05"], "refused"),
            ("socks5h://h:1", &[b"\x05\x00", b"\x05\x63"], "reply 99"),
            ("socks5h://h:1", &[b"\x05\x00", b"\x05\x00\x00\x02\x00"], "does not speak"),
            ("socks5h://h:1", &[b"\x05\x00", b"\x05\x00\x00\x01\x00"], "waits"),
        ] {
            let (_, end) = talk(proxy, "a", answers);
            let end = end.unwrap_err();
            assert!(end.contains(words) && !end.contains("S3CR3T"), "{end}");
        }
        let (_, end) = talk("socks5h://h:1", &"n".repeat(256), &[b"\x05\x00"]);
        assert!(end.unwrap_err().contains("255"));
    }

    #[test]
    fn connect_names_the_server_twice_and_logs_in_at_once() {
        let (sent, end) = talk("http://me:pw@h:1", "::1", &[b"HTTP/1.0 200 OK\r\nVia: x\r\n\r\n"]);
        assert_eq!(end, Ok(()));
        let request = String::from_utf8(sent.concat()).unwrap();
        let head = "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n";
        assert_eq!(request, format!("{head}Proxy-Authorization: Basic bWU6cHc=\r\n\r\n"));
        let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 \r\n\r\n";
        assert_eq!(talk("http://h:1", "a", &[interim]).1, Ok(()));
    }

    #[test]
    fn a_refusal_of_http_has_its_status_and_what_to_do() {
        let endless = [&b"HTTP/1.1 200 OK\r\nX: "[..], &[b'x'; LONGEST]].concat();
        let lines = [&b"HTTP/1.1 200 OK\r\n"[..], &b"X: x\r\n".repeat(MOST_LINES + 1)].concat();
        for (proxy, answer, words) in [
            ("http://h:1", &b"HTTP/1.1 407 Login\r\n\r\n"[..], "407 Login: it asks for a login"),
            ("http://me:S3CR3T@h:1", b"HTTP/1.1 407 Login\r\n\r\n", "does not accept"),
            ("http://h:1", b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "a:443, and answered 502 Bad"),
            ("http://h:1", b"HTTP/1.1 302 Found\r\nLocation: x\r\n\r\n", "answered 302"),
            ("http://h:1", b"\x05\xff", "other than HTTP"),
            ("http://h:1", &endless, "without an end"),
            ("http://h:1", &lines, "without an end"),
        ] {
            let (_, end) = talk(proxy, "a", &[answer]);
            let end = end.unwrap_err();
            assert!(end.contains(words) && !end.contains("S3CR3T"), "{end}");
        }
    }

    #[test]
    fn a_proxy_that_speaks_before_the_server_is_left() {
        let proxy = Proxy::parse("http://h:1", "proxy()").unwrap();
        let mut tunnel = Tunnel::new(&proxy, Host::of("a"), 443);
        assert!(matches!(tunnel.step(), Ok(Step::Send(_))));
        tunnel.received(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Mine\r\n\r\n");
        assert!(tunnel.step().unwrap_err().to_string().contains("speaks before"));
    }
}
