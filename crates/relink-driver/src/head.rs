//! The heads of HTTP answers, as servers and proxies really write them.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::buffers::Buffer;

/// At most this much HTTP before there is a WebSocket: many cookies fit, and a server that never
/// comes to an end fills no memory.
const MOST: usize = 64 << 10;

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    /// Whether it is HTTP/1.1, and not older.
    pub(crate) is_current: bool,
    pub(crate) headers: HeaderMap,
}

/// Looks for the end of a head, at each byte once.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// Bytes of the present head that were looked at.
    scanned: usize,
    /// Bytes of its present line.
    line: usize,
    /// Whether its first line has begun: empty ones in front do not count.
    begun: bool,
    lines: usize,
    /// Bytes of the heads before it.
    before: usize,
}

impl Heads {
    /// The next head that is no interim answer (100, 103 and so on), once it has come whole. What
    /// follows stays in the buffer.
    pub(crate) fn poll(&mut self, buffer: &mut Buffer) -> Result<Option<Head>, String> {
        while let Some(end) = self.find_end(buffer.unread()) {
            let head = parse(&buffer.unread()[..end], self.lines)?;
            buffer.consume(end);
            *self = Self { before: self.before + end, ..Self::default() };
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Some(head));
            }
        }
        if self.before + self.scanned >= MOST {
            return Err(format!(
                "the server sent more than {MOST} bytes before its answer was complete"
            ));
        }
        let bytes = buffer.unread().trim_ascii_start();
        if !bytes.iter().zip(b"HTTP/").all(|(byte, wanted)| byte == wanted) {
            return Err("the server answered with something other than HTTP".to_owned());
        }
        Ok(None)
    }

    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let allowed = bytes.len().min(MOST.saturating_sub(self.before));
        while self.scanned < allowed {
            let byte = bytes[self.scanned];
            self.scanned += 1;
            match byte {
                b'\n' if self.line == 0 && self.begun => return Some(self.scanned),
                b'\n' => {
                    self.line = 0;
                    self.lines += 1;
                }
                b'\r' => {}
                _ => {
                    self.line += 1;
                    self.begun = true;
                }
            }
        }
        None
    }
}

/// Reads a head with what browsers put up with: a lone line feed, no reason phrase, folded lines, a
/// space in front of a colon, bytes beyond ASCII. A malformed header is skipped.
fn parse(bytes: &[u8], lines: usize) -> Result<Head, String> {
    let broken = |error: &dyn std::fmt::Display| format!("the server's answer is no HTTP: {error}");
    let mut headers = vec![httparse::EMPTY_HEADER; lines];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = httparse::ParserConfig::default()
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .parse_response(&mut response, bytes);
    match parsed.map_err(|error| broken(&error))? {
        httparse::Status::Complete(_) => {}
        httparse::Status::Partial => return Err(broken(&"it ends too early")),
    }
    let status =
        StatusCode::from_u16(response.code.unwrap_or(0)).map_err(|error| broken(&error))?;
    let is_current = response.version == Some(1);
    let mut map = HeaderMap::new();
    for header in response.headers {
        let unfolded: Vec<u8> = header
            .value
            .iter()
            .map(|byte| if b"\r\n".contains(byte) { b' ' } else { *byte })
            .collect();
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_bytes(unfolded.trim_ascii()))
        else {
            continue;
        };
        value.set_sensitive(name == http::header::SET_COOKIE);
        map.try_append(name, value).map_err(|error| broken(&error))?;
    }
    Ok(Head { status, is_current, headers: map })
}

/// The elements of a header that is a list, over all its lines.
pub(crate) fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Head>, String> {
        let mut buffer = Buffer::default();
        buffer.extend(bytes);
        Heads::default().poll(&mut buffer)
    }

    #[test]
    fn what_browsers_put_up_with_is_read() {
        for answer in [
            "HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n",
            "HTTP/1.1 101\r\nA: b\r\n\r\n",
            "HTTP/1.1 101 \r\nA: b\r\n\r\n",
            "\r\n\r\nHTTP/1.1 101 OK\r\nA: b\r\n\r\n",
            "HTTP/1.1 101 OK\nA: b\n\n",
            "HTTP/1.1 101 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 101 OK\r\nA:\tb \r\n\r\n",
            "HTTP/1.1 101 OK\r\nno header\r\nA: b\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 101 OK\r\nA: b\r\n\r\n",
        ] {
            let head = read(answer.as_bytes()).unwrap().unwrap();
            assert_eq!(
                (head.status.as_u16(), head.headers.get("a").unwrap().as_bytes()),
                (101, &b"b"[..]),
                "{answer:?}"
            );
        }
        let head = read(b"HTTP/1.1 101 Gr\xfc\xdfe\r\nA: \xe4\xf6\r\nB: one\r\n two\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(head.headers.get("a").unwrap().as_bytes(), b"\xe4\xf6");
        assert!(head.headers.get("b").unwrap().to_str().unwrap().starts_with("one"));
        assert!(!read(b"HTTP/1.0 503 x\r\n\r\n").unwrap().unwrap().is_current);
    }

    #[test]
    fn many_headers_and_one_byte_at_a_time_make_no_difference() {
        use std::fmt::Write;

        let mut answer = "HTTP/1.1 101 OK\r\n".to_owned();
        (0..3000).for_each(|number| write!(answer, "X-{number}: {number}\r\n").unwrap());
        answer += "\r\nframes";
        let (mut heads, mut buffer) = (Heads::default(), Buffer::default());
        let mut found = None;
        for byte in answer.as_bytes() {
            buffer.extend(&[*byte]);
            found = found.or_else(|| heads.poll(&mut buffer).unwrap());
        }
        assert_eq!(found.unwrap().headers.len(), 3000);
        assert_eq!(buffer.unread(), b"frames");
    }

    #[test]
    fn what_never_ends_is_given_up_and_what_is_no_http_at_once() {
        let endless = ["HTTP/1.1 101 OK\r\n".to_owned(), "x".repeat(MOST)].concat();
        assert!(read(endless.as_bytes()).unwrap_err().contains("bytes"));
        let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(4000);
        assert!(read(hints.as_bytes()).unwrap_err().contains("bytes"));
        for answer in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "\0\0\x12\x04",
            "HTTQ",
            "HTTP/2 101\r\n\r\n",
            "HTTP/1.1 99\r\n\r\n",
        ] {
            assert!(read(answer.as_bytes()).is_err(), "{answer:?}");
        }
        assert!(
            read(b"HTT").unwrap().is_none()
                && read(b"\r\n").unwrap().is_none()
                && read(b"").unwrap().is_none()
        );
    }
}
