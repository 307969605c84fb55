//! permessage-deflate (RFC 7692) below tungstenite, which has none: frames are decompressed on
//! their way in, and compressed on their way out.
//!
//! It shares nothing with relink's own, so that the two can judge each other.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::http::{HeaderMap, header::SEC_WEBSOCKET_EXTENSIONS};

use crate::socket::{BoxSocket, Socket};
use crate::step::MESSAGE_MAX;

const NAME: &str = "permessage-deflate";
const FIN: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const MASKED: u8 = 0x80;
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// A longer message goes out as it is: in a build without optimization, it takes longer to compress
/// than a heartbeat may wait.
const LONG: usize = 256 << 10;
/// A longer message goes out in two frames.
const TWO_FRAMES: usize = 1000;

/// What a client's offer is answered with, and done with its connection.
pub(crate) struct Agreed {
    pub(crate) answer: String,
    own_context: bool,
    client_context: bool,
    window_bits: u8,
}

impl Agreed {
    /// Agrees to the first offer, and to what it asks for; to none that has something unknown.
    pub(crate) fn with(request: &HeaderMap) -> Option<Self> {
        let lines = request.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter();
        let mut offers = lines.filter_map(|line| line.to_str().ok()).flat_map(|it| it.split(','));
        offers.find_map(Self::to)
    }

    fn to(offer: &str) -> Option<Self> {
        let mut parts = offer.split(';').map(str::trim);
        if parts.next() != Some(NAME) {
            return None;
        }
        let mut agreed = Self {
            answer: NAME.to_owned(),
            own_context: true,
            client_context: true,
            window_bits: 15,
        };
        for part in parts {
            match part.split_once('=').unwrap_or((part, "")) {
                ("server_no_context_takeover", "") => agreed.own_context = false,
                ("client_no_context_takeover", "") => agreed.client_context = false,
                // It may be larger than it has to be here.
                ("client_max_window_bits", _) => continue,
                ("server_max_window_bits", bits) => {
                    agreed.window_bits =
                        bits.parse().ok().filter(|bits| (9..=15).contains(bits))?;
                }
                _ => return None,
            }
            agreed.answer = format!("{}; {part}", agreed.answer);
        }
        Some(agreed)
    }
}

/// A socket with plain frames above and compressed ones below.
pub(crate) struct Deflated {
    socket: BoxSocket,
    inflate: Inflate,
    deflate: Deflate,
    /// Bytes of the client that are no whole frame yet.
    arrived: Vec<u8>,
    /// Frames for tungstenite.
    plain: Vec<u8>,
    /// Bytes of tungstenite that are no whole frame yet.
    leaving: Vec<u8>,
    /// Frames for the client.
    packed: Vec<u8>,
}

impl Deflated {
    /// `early`: what came behind the request.
    pub(crate) fn new(socket: BoxSocket, agreed: &Agreed, early: Vec<u8>) -> Self {
        let mut inflate = Inflate {
            state: Decompress::new_with_window_bits(false, 15),
            keeps_context: agreed.client_context,
            message: None,
        };
        let deflate = Deflate {
            state: Compress::new_with_window_bits(Compression::fast(), false, agreed.window_bits),
            keeps_context: agreed.own_context,
        };
        let (mut arrived, mut plain) = (early, Vec::new());
        each_frame(&mut arrived, |frame| inflate.frame(frame, &mut plain));
        Self { socket, inflate, deflate, arrived, plain, leaving: Vec::new(), packed: Vec::new() }
    }

    /// Writes what waits for the client.
    fn poll_packed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.packed.is_empty() {
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.packed))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.packed.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl Socket for Deflated {
    fn tcp(&mut self) -> &mut TcpStream {
        self.socket.tcp()
    }
}

impl AsyncRead for Deflated {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.plain.is_empty() {
            let mut bytes = [0; 4096];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.socket).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                // What is no whole frame stays so.
                this.plain.append(&mut this.arrived);
                break;
            }
            this.arrived.extend(read.filled());
            let (inflate, plain) = (&mut this.inflate, &mut this.plain);
            each_frame(&mut this.arrived, |frame| inflate.frame(frame, plain));
        }
        let count = this.plain.len().min(into.remaining());
        into.put_slice(&this.plain[..count]);
        this.plain.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Deflated {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_packed(cx))?;
        this.leaving.extend(bytes);
        let (deflate, packed) = (&mut this.deflate, &mut this.packed);
        each_frame(&mut this.leaving, |frame| deflate.frame(frame, packed));
        // What the socket has no room for waits for the next call.
        if let Poll::Ready(Err(error)) = this.poll_packed(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_packed(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_packed(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

/// One frame, as it stands in the bytes.
struct Frame<'a> {
    first: u8,
    mask: [u8; 4],
    payload: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame that these bytes begin with, if it is whole. One that tungstenite refuses for its
    /// length is handed over as far as it has come.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else { return None };
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX), rest)
            }
            length => (usize::from(length), rest),
        };
        let (mask, rest) = match second & MASKED {
            0 => ([0; 4], rest),
            _ => rest.split_first_chunk().map(|(mask, rest)| (*mask, rest))?,
        };
        let payload = match rest.get(..length) {
            Some(payload) => payload,
            None if length > MESSAGE_MAX => rest,
            None => return None,
        };
        let size = bytes.len() - rest.len() + payload.len();
        Some(Self { first: *first, mask, payload, whole: &bytes[..size] })
    }

    fn is_data(&self) -> bool {
        self.first & 0x08 == 0
    }
}

/// Takes the whole frames out of these bytes.
fn each_frame(bytes: &mut Vec<u8>, mut pass: impl FnMut(Frame<'_>)) {
    let mut done = 0;
    while let Some(frame) = Frame::read(&bytes[done..]) {
        done += frame.whole.len();
        pass(frame);
    }
    bytes.drain(..done);
}

struct Inflate {
    state: Decompress,
    keeps_context: bool,
    /// The first byte of a compressed message that is not whole, and its payload.
    message: Option<(u8, Vec<u8>)>,
}

impl Inflate {
    fn frame(&mut self, frame: Frame<'_>, plain: &mut Vec<u8>) {
        let begins = frame.first & (COMPRESSED | 0x0f) > COMPRESSED;
        if !frame.is_data() || self.message.is_none() && !begins {
            return plain.extend(frame.whole);
        }
        let first = frame.first & !(COMPRESSED | FIN);
        let (_, packed) = self.message.get_or_insert_with(|| (first, Vec::new()));
        packed.extend(frame.payload.iter().zip(frame.mask.iter().cycle()).map(|(a, b)| a ^ b));
        if frame.first & FIN == 0 {
            return;
        }
        let Some((first, mut packed)) = self.message.take() else { return };
        packed.extend(TAIL);
        // What cannot be decompressed is reported as what it looks like to tungstenite.
        let Some(message) = self.message(&packed) else { return plain.extend(frame.whole) };
        put(plain, first | FIN, MASKED, &message);
    }

    /// A byte more than tungstenite takes is enough for it to refuse the message.
    fn message(&mut self, packed: &[u8]) -> Option<Vec<u8>> {
        let (mut message, begin) = (Vec::new(), self.state.total_in());
        loop {
            let done = usize::try_from(self.state.total_in() - begin).ok()?;
            message.reserve(4096);
            let before = (message.len(), done);
            self.state.decompress_vec(&packed[done..], &mut message, FlushDecompress::Sync).ok()?;
            let done = usize::try_from(self.state.total_in() - begin).ok()?;
            if (message.len(), done) == before || message.len() > MESSAGE_MAX {
                break;
            }
        }
        if !self.keeps_context {
            self.state.reset(false);
        }
        Some(message)
    }
}

struct Deflate {
    state: Compress,
    keeps_context: bool,
}

impl Deflate {
    fn frame(&mut self, frame: Frame<'_>, packed: &mut Vec<u8>) {
        if !frame.is_data() || frame.payload.is_empty() || frame.payload.len() > LONG {
            return packed.extend(frame.whole);
        }
        let (mut message, begin) = (Vec::new(), self.state.total_in());
        loop {
            let done = usize::try_from(self.state.total_in() - begin).unwrap_or(usize::MAX);
            message.reserve(4096);
            let before = message.len();
            let rest = frame.payload.get(done..).unwrap_or_default();
            let compressed = self.state.compress_vec(rest, &mut message, FlushCompress::Sync);
            if compressed.is_err() || (rest.is_empty() && message.len() == before) {
                break;
            }
        }
        if !self.keeps_context {
            self.state.reset();
        }
        let message = message.strip_suffix(&TAIL).unwrap_or(&message);
        let first = frame.first | COMPRESSED;
        if message.len() <= TWO_FRAMES {
            return put(packed, first, 0, message);
        }
        let (begin, end) = message.split_at(message.len() / 2);
        put(packed, first & !FIN, 0, begin);
        put(packed, FIN, 0, end);
    }
}

/// Writes a frame; the key of a mask is zero.
fn put(bytes: &mut Vec<u8>, first: u8, mask: u8, payload: &[u8]) {
    bytes.push(first);
    match (payload.len(), u16::try_from(payload.len())) {
        (0..126, Ok(length)) => bytes.push(mask | length.to_be_bytes()[1]),
        (_, Ok(length)) => {
            bytes.push(mask | 126);
            bytes.extend(length.to_be_bytes());
        }
        (length, Err(_)) => {
            bytes.push(mask | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    if mask != 0 {
        bytes.extend([0; 4]);
    }
    bytes.extend(payload);
}
