//! permessage-deflate (RFC 7692): how it is configured, negotiated and done.

mod codec;
mod negotiation;

use relink::internal::config;

pub(crate) use codec::{Compressor, Decompressor};

config! {
    /// How messages are compressed, if the peer agrees (permessage-deflate, RFC 7692).
    ///
    /// Compression pays for text of some length on a slow line. It takes more time for a message
    /// than everything else here together, and memory: a connection that keeps its context in both
    /// directions holds 420 kB from its first messages on. One that keeps none holds nothing
    /// between messages: all connections of a thread share one compressor and one decompressor.
    ///
    /// ```
    /// use relink_wire::{ClientHandshake, DeflateConfig};
    ///
    /// // A client offers what it finds in the extensions of its request.
    /// let mut request = http::Request::get("ws://example.org/feed").body(())?;
    /// request.extensions_mut().insert(DeflateConfig::default().with_level(6));
    /// let mut handshake = ClientHandshake::new(&request)?;
    /// let offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover";
    /// assert!(handshake.output().bytes().windows(offer.len()).any(|bytes| bytes == offer));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct DeflateConfig at "deflate." {
        /// Whether what this end sends may refer to its earlier messages. Messages that are alike
        /// get much smaller; the compressor takes 390 kB for as long as the connection lasts, and
        /// 260 kB with `window_bits` at 9. Never send secrets on a connection that
        /// also carries what an attacker chooses: the lengths of its messages tell of them (as in
        /// CRIME and BREACH). Without a context, that is so for each message alone.
        pub context_takeover / with_context_takeover: bool = false;
        /// Whether what the peer sends may refer to its earlier messages. The decompressor then
        /// takes 40 kB for as long as the connection lasts. A server that does not agree to do
        /// without fails the handshake.
        pub peer_context_takeover / with_peer_context_takeover: bool = false;
        /// How far back what this end sends refers, as a power of two.
        pub window_bits / with_window_bits: u8 = 15, in 9..=15;
        /// How far back what the peer sends may refer, as a power of two. A client that cannot be
        /// limited uses 15; a server that does not agree fails the handshake.
        pub peer_window_bits / with_peer_window_bits: u8 = 15, in 9..=15;
        /// How much work is spent: 1 is the quickest, 9 makes messages smallest.
        pub level / with_level: u8 = 1, in 1..=9;
        /// A shorter message is sent as it is, in bytes.
        pub min_size / with_min_size: usize = 64, in 1..;
        /// How many times its compressed size a message of the peer may have, if it has more than
        /// 64 KiB: more is a decompression bomb, which closes the connection with 1009. Deflate
        /// itself reaches 1032. The limit on messages holds in any case; this one bounds the work
        /// that little traffic causes. Text stays below 30, unless it repeats itself. What this end
        /// would refuse it does not send either: such a message goes as it is. `off`: any ratio.
        pub max_ratio / with_max_ratio: Option<u32> = Some(200), in 1..;
    }
}

/// What both ends have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    context_takeover: bool,
    peer_context_takeover: bool,
    /// `None`: messages are sent as they are.
    window_bits: Option<u8>,
    peer_window_bits: u8,
    level: u8,
    min_size: usize,
    max_ratio: Option<u32>,
}

impl Deflate {
    /// How large a message may be whose frames have this size.
    fn most(&self, compressed: usize) -> usize {
        /// No message up to this size is refused for its ratio: it costs little.
        const ANY_RATIO: usize = 64 << 10;
        let times = |ratio| compressed.saturating_mul(usize::try_from(ratio).unwrap_or(usize::MAX));
        self.max_ratio.map_or(usize::MAX, |ratio| times(ratio).max(ANY_RATIO))
    }
}
