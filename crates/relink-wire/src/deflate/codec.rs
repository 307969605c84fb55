//! Both directions of permessage-deflate (RFC 7692, sections 6 and 7.2).

use std::cell::Cell;

use bytes::BytesMut;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Deflate;
use crate::error::Error;

/// What a sender leaves out of the end of each message, and a receiver puts back (RFC 7692, section
/// 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// What is decompressed at once.
const PIECE: usize = 4 << 10;
/// A spare compressor keeps a buffer of at most this size.
const KEPT: usize = 64 << 10;

// A connection that keeps no context needs these only while a message passes, so that all of a
// thread share them.
thread_local! {
    static SPARE_COMPRESSOR: Cell<Option<Compressing>> = const { Cell::new(None) };
    static SPARE_DECOMPRESSOR: Cell<Option<Decompress>> = const { Cell::new(None) };
}

/// Makes messages smaller.
pub(crate) struct Compressor {
    agreed: Deflate,
    /// There from the first message on, or while one is compressed.
    state: Option<Compressing>,
}

struct Compressing {
    state: Compress,
    window_bits: u8,
    level: u8,
    /// What was made of the last message.
    message: Vec<u8>,
}

impl Compressor {
    pub(crate) const fn new(agreed: Deflate) -> Self {
        Self { agreed, state: None }
    }

    /// The message in compressed form; `None` if it should go as it is. To be followed by
    /// [`release`](Self::release).
    pub(crate) fn compress(&mut self, message: &[u8]) -> Option<&[u8]> {
        let Deflate { context_takeover, window_bits, level, min_size, .. } = self.agreed;
        let window_bits = window_bits.filter(|_| message.len() >= min_size)?;
        let compressing =
            self.state.get_or_insert_with(|| Compressing::take_or_make(window_bits, level));
        let Some(length) = compressing.compress(message) else {
            // Cannot happen with a compressor that is right; then messages go as they are.
            self.agreed.window_bits = None;
            return None;
        };
        if message.len() > self.agreed.most(length) {
            // The peer does not see this message, so that later ones may not refer to it.
            compressing.state.reset();
            return None;
        }
        // The peer has to see what later messages refer to.
        let is_better = context_takeover || length < message.len();
        compressing.message.get(..length).filter(|_| is_better)
    }

    /// Gives back what no later message needs.
    pub(crate) fn release(&mut self) {
        let Some(mut spare) = self.state.take_if(|_| !self.agreed.context_takeover) else { return };
        spare.state.reset();
        if spare.message.capacity() > KEPT {
            spare.message = Vec::new();
        }
        // Without a place for it, as at the end of a thread, it is dropped.
        let _ = SPARE_COMPRESSOR.try_with(|place| place.set(Some(spare)));
    }

    /// Frees the buffer if it is larger than this.
    pub(crate) fn shrink(&mut self, keep: usize) {
        if let Some(large) = self.state.as_mut().filter(|it| it.message.capacity() > keep) {
            large.message = Vec::new();
        }
    }
}

impl Compressing {
    fn take_or_make(window_bits: u8, level: u8) -> Self {
        let spare = SPARE_COMPRESSOR.try_with(Cell::take).ok().flatten();
        let fits = |spare: &Self| (spare.window_bits, spare.level) == (window_bits, level);
        spare.filter(fits).unwrap_or_else(|| Self {
            state: Compress::new_with_window_bits(
                Compression::new(level.into()),
                false,
                window_bits,
            ),
            window_bits,
            level,
            message: Vec::new(),
        })
    }

    /// Compresses a message into the buffer; returns its length without the tail.
    fn compress(&mut self, message: &[u8]) -> Option<usize> {
        let Self { state, message: made, .. } = self;
        made.clear();
        let begin = state.total_in();
        loop {
            let done = usize::try_from(state.total_in() - begin).unwrap_or(message.len());
            let rest = message.get(done..).unwrap_or_default();
            made.reserve(rest.len() / 2 + PIECE);
            let room = made.capacity() - made.len();
            let before = made.len();
            state.compress_vec(rest, made, FlushCompress::Sync).ok()?;
            // All of it is out once it did not need all the room.
            if made.len() - before < room {
                break;
            }
        }
        made.ends_with(&TAIL).then(|| made.len() - TAIL.len())
    }
}

/// Makes messages as they were.
pub(crate) struct Decompressor {
    agreed: Deflate,
    /// There from the first message on, or while one arrives.
    state: Option<Decompress>,
    /// The size of the message's frames, as their headers say.
    announced: usize,
}

impl Decompressor {
    pub(crate) const fn new(agreed: Deflate) -> Self {
        Self { agreed, state: None, announced: 0 }
    }

    /// Notes a frame of the message.
    pub(crate) fn begin_frame(&mut self, length: u64) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.announced = self.announced.saturating_add(length);
    }

    /// Adds what these bytes stand for to the message, which may not become longer than this.
    pub(crate) fn decompress(
        &mut self,
        mut bytes: &[u8],
        message: &mut BytesMut,
        limit: usize,
    ) -> Result<(), Error> {
        let by_ratio = self.agreed.most(self.announced);
        let too_large = || match self.agreed.max_ratio.filter(|_| by_ratio < limit) {
            Some(ratio) => Error::Bomb { ratio },
            None => Error::TooLarge { size: (limit as u64).saturating_add(1), limit },
        };
        let most = limit.min(by_ratio);
        let state = self.state.get_or_insert_with(|| take_or_make(&self.agreed));
        loop {
            let mut piece = [0; PIECE];
            let (taken, made) = (state.total_in(), state.total_out());
            let status = state
                .decompress(bytes, &mut piece, FlushDecompress::Sync)
                .map_err(|_| Error::NotDeflate)?;
            let count = |total: u64| usize::try_from(total).unwrap_or_default();
            let (taken, made) = (count(state.total_in() - taken), count(state.total_out() - made));
            bytes = bytes.get(taken..).unwrap_or_default();
            if made > most.saturating_sub(message.len()) {
                return Err(too_large());
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

    /// Ends a message, and gives back what no later one needs.
    pub(crate) fn end(&mut self, message: &mut BytesMut, limit: usize) -> Result<(), Error> {
        self.decompress(&TAIL, message, limit)?;
        self.announced = 0;
        if let Some(mut spare) = self.state.take_if(|_| !self.agreed.peer_context_takeover) {
            spare.reset(false);
            // As for compressors.
            let _ = SPARE_DECOMPRESSOR.try_with(|place| place.set(Some(spare)));
        }
        Ok(())
    }
}

/// What is shared has the largest window, which fits all.
fn take_or_make(agreed: &Deflate) -> Decompress {
    let make = |bits| Decompress::new_with_window_bits(false, bits);
    if agreed.peer_context_takeover {
        return make(agreed.peer_window_bits);
    }
    SPARE_DECOMPRESSOR.try_with(Cell::take).ok().flatten().unwrap_or_else(|| make(15))
}
