//! permessage-deflate (RFC 7692): its negotiation, and both directions of it.

use bytes::BytesMut;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};

use crate::error::Error;
use crate::head::list;

const NAME: &str = "permessage-deflate";
/// What a sender leaves out of the end of each message, and a receiver puts back (RFC 7692, section
/// 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// What is decompressed at once.
const PIECE: usize = 4 << 10;

/// How messages are compressed, if the peer agrees.
///
/// Compression costs memory and time: about 300 KiB for a connection whose two ends keep their
/// context, and more for a message than everything else here together. It pays for text of some
/// length on a slow line.
///
/// Do not compress secrets together with what an attacker may choose: the length tells of them (as
/// in CRIME and BREACH).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeflateConfig {
    /// Whether what this end sends may refer to its earlier messages. Messages that are alike get
    /// much smaller, and the compressor is kept between them. Off by default.
    pub context_takeover: bool,
    /// Whether what the peer sends may refer to its earlier messages. Off by default.
    pub peer_context_takeover: bool,
    /// How far back what this end sends refers, as a power of two: 9 to 15, and 15 by default.
    pub window_bits: u8,
    /// How far back what the peer sends should refer, as a power of two: 8 to 15, and 15 by
    /// default.
    pub peer_window_bits: u8,
    /// How much work is spent: 1, the default, is the quickest, and 9 makes messages smallest.
    pub level: u8,
    /// A shorter message is sent as it is. 64 bytes by default; at least 1.
    pub min_size: usize,
}

impl Default for DeflateConfig {
    fn default() -> Self {
        Self {
            context_takeover: false,
            peer_context_takeover: false,
            window_bits: 15,
            peer_window_bits: 15,
            level: 1,
            min_size: 64,
        }
    }
}

/// What both ends have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    context_takeover: bool,
    peer_context_takeover: bool,
    window_bits: u8,
    level: u8,
    min_size: usize,
}

/// The parameters of an offer or of an answer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Parameters {
    client_no_context_takeover: bool,
    server_no_context_takeover: bool,
    /// `Some(None)` without a value.
    client_max_window_bits: Option<Option<u8>>,
    server_max_window_bits: Option<u8>,
}

impl DeflateConfig {
    /// The extension as a client offers it.
    pub(crate) fn offer(&self) -> String {
        let own = (self.window_bits() < 15).then(|| self.window_bits());
        let peer = (self.peer_window_bits < 15).then(|| self.peer_window_bits.max(8));
        Parameters {
            client_no_context_takeover: !self.context_takeover,
            server_no_context_takeover: !self.peer_context_takeover,
            client_max_window_bits: Some(own),
            server_max_window_bits: peer,
        }
        .write()
    }

    /// What a server's answer to our offer has agreed on; `None` without compression.
    pub(crate) fn check(&self, answer: &HeaderMap) -> Result<Option<Deflate>, String> {
        let mut extensions = list(answer, &SEC_WEBSOCKET_EXTENSIONS);
        let Some(extension) = extensions.next() else { return Ok(None) };
        let parameters = Parameters::read(extension).filter(|_| extensions.next().is_none());
        let unasked = || format!("the server uses an extension that was not offered: {extension}");
        let parameters = parameters.ok_or_else(unasked)?;
        let bits = match parameters.client_max_window_bits {
            Some(Some(bits @ 9..)) => bits,
            Some(_) => return Err(unasked()),
            None => 15,
        };
        Ok(Some(Deflate {
            context_takeover: self.context_takeover && !parameters.client_no_context_takeover,
            peer_context_takeover: !parameters.server_no_context_takeover,
            window_bits: self.window_bits().min(bits),
            level: self.level,
            min_size: self.min_size,
        }))
    }

    /// Agrees to a client's offer, if there is one that can be kept, and adds that to the answer.
    pub fn accept(&self, request: &HeaderMap, answer: &mut HeaderMap) -> Option<Deflate> {
        let mut offers = list(request, &SEC_WEBSOCKET_EXTENSIONS).filter_map(Parameters::read);
        // The compressor has no window of 2^8 bytes.
        let offer = offers.find(|offer| offer.server_max_window_bits != Some(8))?;
        let bits = self.window_bits().min(offer.server_max_window_bits.unwrap_or(15));
        let may_limit = offer.client_max_window_bits.is_some();
        let asked = offer.client_max_window_bits.flatten().unwrap_or(15);
        let client_bits = self.peer_window_bits.max(8).min(asked);
        let agreed = Parameters {
            client_no_context_takeover: offer.client_no_context_takeover
                || !self.peer_context_takeover,
            server_no_context_takeover: offer.server_no_context_takeover || !self.context_takeover,
            client_max_window_bits: (may_limit && client_bits < 15).then_some(Some(client_bits)),
            server_max_window_bits: (bits < 15 || offer.server_max_window_bits.is_some())
                .then_some(bits),
        };
        answer.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(&agreed.write()).ok()?);
        Some(Deflate {
            context_takeover: !agreed.server_no_context_takeover,
            peer_context_takeover: !agreed.client_no_context_takeover,
            window_bits: bits,
            level: self.level,
            min_size: self.min_size,
        })
    }

    fn window_bits(&self) -> u8 {
        self.window_bits.clamp(9, 15)
    }
}

impl Parameters {
    /// The parameters of one extension; `None` if it is another one, or if they are not those of
    /// RFC 7692, section 7.1.
    fn read(extension: &str) -> Option<Self> {
        let mut parts = extension.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut read = Self::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(bits(value.trim_start())?)),
                None => (part, None),
            };
            let is_first = match (name.to_ascii_lowercase().as_str(), value) {
                ("client_no_context_takeover", None) => {
                    !std::mem::replace(&mut read.client_no_context_takeover, true)
                }
                ("server_no_context_takeover", None) => {
                    !std::mem::replace(&mut read.server_no_context_takeover, true)
                }
                ("client_max_window_bits", bits) => {
                    read.client_max_window_bits.replace(bits).is_none()
                }
                ("server_max_window_bits", Some(bits)) => {
                    read.server_max_window_bits.replace(bits).is_none()
                }
                _ => false,
            };
            if !is_first {
                return None;
            }
        }
        Some(read)
    }

    fn write(self) -> String {
        let mut text = NAME.to_owned();
        if self.client_no_context_takeover {
            text += "; client_no_context_takeover";
        }
        if self.server_no_context_takeover {
            text += "; server_no_context_takeover";
        }
        match self.client_max_window_bits {
            Some(Some(bits)) => text += &format!("; client_max_window_bits={bits}"),
            Some(None) => text += "; client_max_window_bits",
            None => {}
        }
        if let Some(bits) = self.server_max_window_bits {
            text += &format!("; server_max_window_bits={bits}");
        }
        text
    }
}

/// A window as RFC 7692 writes it: 8 to 15, without zeros in front, in quotes or without.
fn bits(value: &str) -> Option<u8> {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let is_plain = !inner.starts_with('0') && inner.bytes().all(|byte| byte.is_ascii_digit());
    inner.parse().ok().filter(|bits| is_plain && matches!(bits, 8..=15))
}

/// Makes messages smaller.
pub(crate) struct Compressor {
    agreed: Deflate,
    /// Made for the first message.
    state: Option<Compress>,
    /// What was made of the last message.
    message: Vec<u8>,
}

impl Compressor {
    pub(crate) fn new(agreed: Deflate) -> Self {
        Self { agreed, state: None, message: Vec::new() }
    }

    /// The message in compressed form; `None` if it should go as it is.
    pub(crate) fn compress(&mut self, message: &[u8]) -> Option<&[u8]> {
        let Deflate { context_takeover, window_bits, level, min_size, .. } = self.agreed;
        if message.len() < min_size.max(1) {
            return None;
        }
        let state = self.state.get_or_insert_with(|| {
            Compress::new_with_window_bits(Compression::new(level.into()), false, window_bits)
        });
        self.message.clear();
        let begin = state.total_in();
        loop {
            let done = usize::try_from(state.total_in() - begin).unwrap_or(message.len());
            let rest = message.get(done..).unwrap_or_default();
            self.message.reserve(rest.len() / 2 + PIECE);
            let room = self.message.capacity() - self.message.len();
            let before = self.message.len();
            let compressed = state.compress_vec(rest, &mut self.message, FlushCompress::Sync);
            let made = self.message.len() - before;
            // All of it is out once it did not need all the room.
            match compressed {
                Ok(_) if made < room => break,
                Ok(_) => {}
                Err(_) => return self.give_up(),
            }
        }
        if !context_takeover {
            state.reset();
        }
        let length = self.message.len().saturating_sub(TAIL.len());
        if self.message.get(length..) != Some(&TAIL) {
            return self.give_up();
        }
        self.message.truncate(length);
        // The peer has to see what later messages refer to.
        (context_takeover || length < message.len()).then_some(&self.message)
    }

    /// Gives the memory back that no later message refers to, if it is more than this.
    pub(crate) fn shrink(&mut self, keep: usize) {
        if self.message.capacity() > keep {
            self.message = Vec::new();
        }
        if !self.agreed.context_takeover {
            self.state = None;
        }
    }

    /// Cannot happen with a compressor that is right; then messages go as they are.
    #[cold]
    fn give_up(&mut self) -> Option<&[u8]> {
        self.agreed.min_size = usize::MAX;
        self.state = None;
        None
    }
}

/// Makes messages as they were.
pub(crate) struct Decompressor {
    keeps_context: bool,
    /// Made for the first message.
    state: Option<Decompress>,
}

impl Decompressor {
    pub(crate) fn new(agreed: Deflate) -> Self {
        Self { keeps_context: agreed.peer_context_takeover, state: None }
    }

    /// Adds what these bytes stand for to the message, which may not become longer than this.
    pub(crate) fn decompress(
        &mut self,
        mut bytes: &[u8],
        message: &mut BytesMut,
        limit: usize,
    ) -> Result<(), Error> {
        let state = self.state.get_or_insert_with(|| Decompress::new_with_window_bits(false, 15));
        loop {
            let mut piece = [0; PIECE];
            let (taken, made) = (state.total_in(), state.total_out());
            let status = state
                .decompress(bytes, &mut piece, FlushDecompress::Sync)
                .map_err(|_| Error::NotDeflate)?;
            let count = |total: u64| usize::try_from(total).unwrap_or_default();
            let (taken, made) = (count(state.total_in() - taken), count(state.total_out() - made));
            bytes = bytes.get(taken..).unwrap_or_default();
            if made > limit.saturating_sub(message.len()) {
                return Err(Error::TooLarge { size: (message.len() + made) as u64, limit });
            }
            message.extend_from_slice(piece.get(..made).unwrap_or_default());
            if status == Status::StreamEnd {
                // A final block, behind which another stream may begin.
                state.reset(false);
            } else if !bytes.is_empty() && taken + made == 0 {
                return Err(Error::NotDeflate);
            }
            if bytes.is_empty() && made < PIECE {
                return Ok(());
            }
        }
    }

    /// Ends a message.
    pub(crate) fn end(&mut self, message: &mut BytesMut, limit: usize) -> Result<(), Error> {
        self.decompress(&TAIL, message, limit)?;
        if !self.keeps_context {
            if let Some(state) = &mut self.state {
                state.reset(false);
            }
        }
        Ok(())
    }

    /// Gives the memory back that no later message refers to.
    pub(crate) fn shrink(&mut self) {
        if !self.keeps_context {
            self.state = None;
        }
    }
}
