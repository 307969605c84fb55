//! Frames and arbitrary bytes through the WebSocket of the drivers and the server, with tungstenite
//! as the judge.

use std::fmt::Debug;
use std::io::{self, Read, Write};

use arbitrary::{Result, Unstructured};
use relink_wire::{
    ClientHandshake, CloseFrame, Error, Frame, Limits, Role, ServerHandshake, WebSocket,
};
use tungstenite::protocol::{Role as JudgeRole, WebSocketConfig};
use tungstenite::{Error as JudgeError, Message};

/// Small enough that fuzzing meets them.
const MAX_FRAME: usize = 600;
const MAX_MESSAGE: usize = 900;

/// Whatever a peer sends, in whatever chunks: nothing panics, nothing exceeds the limits, the
/// chunks make no difference, and tungstenite reads the same frames and comes to the same verdict.
///
/// # Panics
///
/// If that does not hold.
pub fn wire(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let _ = run(&mut bytes);
}

fn run(bytes: &mut Unstructured<'_>) -> Result<()> {
    if bytes.ratio(1, 8)? {
        return handshakes(bytes);
    }
    let role = if bytes.arbitrary()? { Role::Client } else { Role::Server };
    let stream = stream(role, bytes)?;
    let heard = listen(role, &stream, &mut Unstructured::new(&[]))?;
    let chunked = listen(role, &stream, bytes)?;
    assert_eq!(heard, chunked, "in other chunks the same bytes say something else");
    compare(&heard, &stream, role);
    Ok(())
}

/// Heads of HTTP say the same in any chunks, to a client and to a server.
fn handshakes(bytes: &mut Unstructured<'_>) -> Result<()> {
    let begins =
        ["", "HTTP/1.1 101\r\nA: b\n", "HTTP/1.1 100\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n"];
    let mut head = bytes.choose(&begins)?.as_bytes().to_vec();
    head.extend(bytes.arbitrary::<Vec<u8>>()?);
    head.extend(bytes.choose(&["", "\n\n", "\r\n\r\n"])?.bytes());
    let request = http::Request::get("ws://peer/").body(()).expect("a plain address");
    let ask = || ClientHandshake::new(&request).expect("a plain request");
    let (mut whole, mut chunked) = (ask(), ask());
    whole.input().extend(&head);
    let expected = said(&whole.poll_answer());
    let (mut server, mut chunked_server) = (ServerHandshake::new(900), ServerHandshake::new(900));
    server.input().extend(&head);
    let requested = said(&server.poll_request());
    let (mut answer, mut request) = ("Ok(None)".to_owned(), "Ok(None)".to_owned());
    let mut rest = head.as_slice();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(bytes.int_in_range(1..=rest.len())?);
        rest = after;
        if answer == "Ok(None)" {
            chunked.input().extend(chunk);
            answer = said(&chunked.poll_answer());
        }
        if request == "Ok(None)" {
            chunked_server.input().extend(chunk);
            request = said(&chunked_server.poll_request());
        }
    }
    assert_eq!((answer, request), (expected, requested), "in other chunks");
    Ok(())
}

/// The head; that something is wrong may show early, as something else.
fn said<T: Debug, E>(head: &std::result::Result<T, E>) -> String {
    head.as_ref().map_or("an error".to_owned(), |head| format!("Ok({head:?})"))
}

/// Mostly frames as the peer may send them, some that it may not, and at times a broken byte.
fn stream(role: Role, bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut stream = Vec::new();
    let mut is_open = false;
    for _ in 0..bytes.int_in_range(1..=12)? {
        if bytes.ratio(1, 16)? {
            stream.extend(bytes.arbitrary::<Vec<u8>>()?);
            continue;
        }
        let opcode = match bytes.int_in_range(0..=39)? {
            0 => bytes.int_in_range(0..=15)?,
            1 => 8,
            2..=5 => 9,
            6..=9 => 10,
            10..=39 if is_open => 0,
            other => 1 + other % 2,
        };
        let is_final = opcode >= 8 || bytes.ratio(2, 3)?;
        if opcode < 8 {
            is_open = !is_final;
        }
        let reserved = if bytes.ratio(1, 60)? { 0x40 } else { 0 };
        let is_masked = (role == Role::Server) != bytes.ratio(1, 60)?;
        let payload = payload(opcode, bytes)?;
        stream.push(opcode | reserved | if is_final { 0x80 } else { 0 });
        put_length(&mut stream, payload.len(), is_masked, bytes.int_in_range(0..=11)?);
        let key: [u8; 4] = if is_masked { bytes.arbitrary()? } else { [0; 4] };
        if is_masked {
            stream.extend(key);
        }
        stream.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
    if bytes.ratio(1, 4)? && !stream.is_empty() {
        let at = bytes.choose_index(stream.len())?;
        stream[at] = bytes.arbitrary()?;
    }
    if bytes.ratio(1, 4)? {
        stream.truncate(bytes.choose_index(stream.len().max(1))?);
    }
    Ok(stream)
}

fn payload(opcode: u8, bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match opcode {
        8 if bytes.ratio(1, 8)? => Vec::new(),
        8 => {
            let code: u16 = bytes.int_in_range(995..=1020)?;
            let mut payload = code.to_be_bytes().to_vec();
            payload.extend(bytes.arbitrary::<String>()?.bytes().take(123));
            payload
        }
        0 | 1 if bytes.ratio(7, 8)? => bytes.arbitrary::<String>()?.into_bytes(),
        0 | 2 if bytes.ratio(1, 8)? => {
            vec![bytes.arbitrary()?; bytes.int_in_range(0..=MAX_FRAME + 2)?]
        }
        _ => bytes.arbitrary()?,
    })
}

/// A length as short as it may be, or at times in more bytes.
fn put_length(stream: &mut Vec<u8>, length: usize, is_masked: bool, form: u8) {
    let mask = if is_masked { 0x80 } else { 0 };
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..126), _) if form > 1 => stream.push(length | mask),
        (_, Ok(length)) if form > 0 => {
            stream.push(126 | mask);
            stream.extend(length.to_be_bytes());
        }
        _ => {
            stream.push(127 | mask);
            stream.extend((length as u64).to_be_bytes());
        }
    }
}

/// What a WebSocket reads: whole messages, and how it ends.
#[derive(Debug, PartialEq)]
struct Heard {
    frames: Vec<Frame>,
    failed: Option<Error>,
}

/// Reads in chunks that the bytes say, and talks meanwhile, which may not change what is heard.
fn listen(role: Role, stream: &[u8], bytes: &mut Unstructured<'_>) -> Result<Heard> {
    let mut socket = WebSocket::new(role, Limits::new(MAX_MESSAGE, MAX_FRAME));
    let mut heard = Heard { frames: Vec::new(), failed: None };
    let mut rest = stream;
    while !rest.is_empty() {
        let most =
            if bytes.is_empty() { rest.len() } else { bytes.int_in_range(1..=rest.len())? };
        let spare = socket.input().spare(most);
        let (chunk, after) = rest.split_at(most.min(spare.len()));
        spare[..chunk.len()].copy_from_slice(chunk);
        socket.input().filled(chunk.len());
        rest = after;
        loop {
            match socket.poll_frame() {
                Ok(Some(frame)) => {
                    assert!(size(&frame) <= MAX_MESSAGE, "a message beyond the limit");
                    assert!(heard.failed.is_none(), "an error is the last word");
                    heard.frames.push(frame);
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(heard.failed.replace(error), None, "an error is told once");
                }
            }
        }
        if !bytes.is_empty() && bytes.ratio(1, 4)? {
            let _ = socket.send(&Frame::text("a word of ours"));
            let written = socket.output().len();
            socket.output().wrote(written);
            socket.shrink(0);
        }
    }
    Ok(heard)
}

fn size(frame: &Frame) -> usize {
    match frame {
        Frame::Text(text) => text.as_bytes().len(),
        Frame::Binary(bytes) | Frame::Ping(bytes) | Frame::Pong(bytes) => bytes.len(),
        Frame::Close(content) => content.as_ref().map_or(0, |content| content.reason.len()),
    }
}

/// Holds what was heard against tungstenite.
fn compare(heard: &Heard, stream: &[u8], role: Role) {
    let (frames, mut verdict) = judge(role, stream);
    if heard.failed.is_some() && verdict.is_none() {
        // What is wrong shows to the judge only once the frame has come whole.
        let rest = [stream, &[0; MAX_FRAME + 14]].concat();
        verdict = judge(role, &rest).1;
    }
    let ours = &heard.frames;
    let is_garbled_close = matches!(ours.last(), Some(Frame::Close(Some(_))))
        && matches!(verdict, Some(JudgeError::Utf8(_)));
    match &heard.failed {
        None if is_garbled_close => assert_eq!(ours[..ours.len() - 1], frames[..]),
        None => {
            assert!(verdict.is_none(), "only the judge says {verdict:?}, after {ours:?}");
            assert_eq!(ours.len(), frames.len(), "{ours:?}, {frames:?}");
            assert!(ours.iter().zip(&frames).all(|(our, theirs)| is_same(our, theirs)));
        }
        Some(Error::Protocol(relink_wire::ProtocolError::ReservedCode(_))) => {
            // The judge reports a close frame with 1002 in its place, after a look at the reason.
            assert!(ours.iter().zip(&frames).all(|(our, theirs)| is_same(our, theirs)));
            let is_closed = matches!(frames[ours.len()..], [Frame::Close(_)]);
            assert!(is_closed || matches!(verdict, Some(JudgeError::Utf8(_))), "{frames:?}");
        }
        Some(error) => {
            assert!(ours.iter().zip(&frames).all(|(our, theirs)| is_same(our, theirs)));
            let code = match verdict {
                Some(JudgeError::Utf8(_)) => Some(CloseFrame::INVALID_DATA),
                Some(JudgeError::Capacity(_)) => Some(CloseFrame::TOO_LARGE),
                Some(JudgeError::Protocol(_)) => Some(CloseFrame::PROTOCOL_ERROR),
                other => panic!("only we say {error}, the judge {other:?}; {ours:?}, {frames:?}"),
            };
            // One frame may break several rules, and the judge looks at the limit before others.
            let is_limit = |code| code == Some(CloseFrame::TOO_LARGE);
            let ours = error.close_code();
            assert!(ours == code || is_limit(code), "{error}, but the judge says {code:?}");
        }
    }
}

/// The judge has no name for 1014, and takes it for a reserved one.
fn is_same(our: &Frame, theirs: &Frame) -> bool {
    let is_1014 = matches!(our, Frame::Close(Some(CloseFrame { code: 1014, .. })));
    our == theirs || (is_1014 && matches!(theirs, Frame::Close(_)))
}

fn judge(role: Role, stream: &[u8]) -> (Vec<Frame>, Option<JudgeError>) {
    let role = match role {
        Role::Client => JudgeRole::Client,
        Role::Server => JudgeRole::Server,
    };
    let config = WebSocketConfig::default()
        .max_frame_size(Some(MAX_FRAME))
        .max_message_size(Some(MAX_MESSAGE));
    let memory = Memory(stream.to_vec().into());
    let mut judge = tungstenite::WebSocket::from_raw_socket(memory, role, Some(config));
    let mut frames = Vec::new();
    loop {
        frames.push(match judge.read() {
            Ok(Message::Text(text)) => Frame::text(text.as_str()),
            Ok(Message::Binary(bytes)) => Frame::Binary(bytes),
            Ok(Message::Ping(payload)) => Frame::Ping(payload),
            Ok(Message::Pong(payload)) => Frame::Pong(payload),
            Ok(Message::Close(content)) => {
                let content = content.map(|it| CloseFrame::new(it.code.into(), it.reason.as_str()));
                frames.push(Frame::Close(content));
                return (frames, None);
            }
            Ok(Message::Frame(_)) => continue,
            Err(JudgeError::Io(_)) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        });
    }
}

/// A socket that has all of a stream, and takes whatever is written.
struct Memory(std::collections::VecDeque<u8>);

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(into) }
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
