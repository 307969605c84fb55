//! The heads of HTTP requests and answers, as programs and proxies really write them.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};

use crate::input::Input;

/// Finds the end of a head, reading each byte once.
#[derive(Debug)]
pub(crate) struct Heads {
    /// Bytes of the current head that were read.
    scanned: usize,
    /// Bytes of its present line.
    line: usize,
    /// Whether its first line has begun: empty ones in front do not count.
    begun: bool,
    lines: usize,
    /// How many bytes there may be, with those of the heads before it.
    left: usize,
}

impl Heads {
    /// At most this many bytes of HTTP before there is a WebSocket: a peer that never comes to an
    /// end fills no memory.
    pub(crate) const fn new(max: usize) -> Self {
        Self { scanned: 0, line: 0, begun: false, lines: 0, left: max }
    }

    /// The next answer that is no interim one (100, 103 and so on), once its head has come whole.
    /// What follows stays in the input.
    pub(crate) fn poll_answer(
        &mut self,
        input: &mut Input,
    ) -> Result<Option<Response<()>>, HeadError> {
        while let Some(end) = self.find_end(input.unread()) {
            let head = input.unread().get(..end).unwrap_or_default();
            let answer = parse_answer(head, self.lines)?;
            input.skip(end);
            *self = Self::new(self.left - end);
            let status = answer.status();
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Some(answer));
            }
        }
        self.expect_more()?;
        let bytes = input.unread().trim_ascii_start();
        if !bytes.iter().zip(b"HTTP/").all(|(byte, wanted)| byte == wanted) {
            return Err(malformed("it begins with something other than HTTP"));
        }
        Ok(None)
    }

    /// The request, once its head has come whole. What follows stays in the input.
    pub(crate) fn poll_request(
        &mut self,
        input: &mut Input,
    ) -> Result<Option<Request<()>>, HeadError> {
        let bytes = input.unread().trim_ascii_start();
        if !bytes.iter().zip(b"GET ").all(|(byte, wanted)| byte == wanted) {
            return Err(malformed("a WebSocket is asked for with GET"));
        }
        let Some(end) = self.find_end(input.unread()) else {
            self.expect_more()?;
            return Ok(None);
        };
        let request = parse_request(input.unread().get(..end).unwrap_or_default(), self.lines)?;
        input.skip(end);
        Ok(Some(request))
    }

    const fn expect_more(&self) -> Result<(), HeadError> {
        if self.scanned < self.left { Ok(()) } else { Err(HeadError::TooLong) }
    }

    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for byte in bytes.iter().take(self.left).skip(self.scanned) {
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

/// Why there is no head.
#[derive(Debug)]
pub(crate) enum HeadError {
    TooLong,
    /// In what way it is no HTTP.
    Malformed(String),
}

fn malformed(problem: impl std::fmt::Display) -> HeadError {
    HeadError::Malformed(problem.to_string())
}

/// Reads an answer with what browsers put up with: a lone line feed, no reason phrase, folded
/// lines, a space in front of a colon, bytes beyond ASCII. A malformed header is skipped.
fn parse_answer(bytes: &[u8], lines: usize) -> Result<Response<()>, HeadError> {
    let mut headers = vec![httparse::EMPTY_HEADER; lines];
    let mut parsed = httparse::Response::new(&mut headers);
    let status = httparse::ParserConfig::default()
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .parse_response(&mut parsed, bytes)
        .map_err(malformed)?;
    if status.is_partial() {
        return Err(malformed("it ends too early"));
    }
    let mut answer = Response::new(());
    *answer.status_mut() =
        StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(malformed)?;
    *answer.version_mut() = version(parsed.version);
    for header in parsed.headers {
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
        answer.headers_mut().try_append(name, value).map_err(malformed)?;
    }
    Ok(answer)
}

/// Reads a request strictly: what is understood in two ways can be smuggled past a proxy.
fn parse_request(bytes: &[u8], lines: usize) -> Result<Request<()>, HeadError> {
    let mut headers = vec![httparse::EMPTY_HEADER; lines];
    let mut parsed = httparse::Request::new(&mut headers);
    if parsed.parse(bytes).map_err(malformed)?.is_partial() {
        return Err(malformed("it ends too early"));
    }
    let mut request = Request::new(());
    *request.method_mut() = parsed.method.unwrap_or_default().parse().map_err(malformed)?;
    *request.uri_mut() = parsed.path.unwrap_or_default().parse().map_err(malformed)?;
    *request.version_mut() = version(parsed.version);
    for header in parsed.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(malformed)?;
        let value = HeaderValue::from_bytes(header.value).map_err(malformed)?;
        request.headers_mut().try_append(name, value).map_err(malformed)?;
    }
    Ok(request)
}

const fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(1) => Version::HTTP_11,
        Some(_) | None => Version::HTTP_10,
    }
}

/// Whether a header that is a list has this element, whatever its capitals.
pub(crate) fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    list(headers, name).any(|element| element.eq_ignore_ascii_case(wanted))
}

/// The elements of a header that is a list, over all its lines.
pub fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 64 << 10;

    fn read(bytes: &[u8]) -> Result<Option<Response<()>>, HeadError> {
        let mut input = Input::default();
        input.extend(bytes);
        Heads::new(MAX).poll_answer(&mut input)
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
                (head.status().as_u16(), head.headers().get("a").unwrap().as_bytes()),
                (101, &b"b"[..]),
                "{answer:?}"
            );
        }
        let head = read(b"HTTP/1.1 101 Gr\xfc\xdfe\r\nA: \xe4\xf6\r\nB: one\r\n two\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(head.headers().get("a").unwrap().as_bytes(), b"\xe4\xf6");
        assert!(head.headers().get("b").unwrap().to_str().unwrap().starts_with("one"));
        let old = read(b"HTTP/1.0 503 x\r\n\r\n").unwrap().unwrap();
        assert_eq!(old.version(), Version::HTTP_10);
    }

    #[test]
    fn many_headers_and_one_byte_at_a_time_make_no_difference() {
        use std::fmt::Write;

        let mut answer = "HTTP/1.1 101 OK\r\n".to_owned();
        (0..3000).for_each(|number| write!(answer, "X-{number}: {number}\r\n").unwrap());
        answer += "\r\nframes";
        let (mut heads, mut input) = (Heads::new(MAX), Input::default());
        let mut found = None;
        for byte in answer.as_bytes() {
            input.extend(&[*byte]);
            found = found.or_else(|| heads.poll_answer(&mut input).unwrap());
        }
        assert_eq!(found.unwrap().headers().len(), 3000);
        assert_eq!(input.unread(), b"frames");
    }

    #[test]
    fn what_never_ends_is_given_up_and_what_is_no_http_at_once() {
        let endless = ["HTTP/1.1 101 OK\r\n".to_owned(), "x".repeat(MAX)].concat();
        assert!(matches!(read(endless.as_bytes()), Err(HeadError::TooLong)));
        let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(4000);
        assert!(matches!(read(hints.as_bytes()), Err(HeadError::TooLong)));
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
