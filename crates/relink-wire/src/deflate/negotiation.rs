//! What a client offers and a server answers (RFC 7692, sections 5 and 7.1).

use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};

use super::{Deflate, DeflateConfig};
use crate::head::list;

const NAME: &str = "permessage-deflate";

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
        self.offered().write()
    }

    fn offered(&self) -> Parameters {
        let below_most = |bits: u8| Some(bits.clamp(9, 15)).filter(|bits| *bits < 15);
        Parameters {
            client_no_context_takeover: !self.context_takeover,
            server_no_context_takeover: !self.peer_context_takeover,
            client_max_window_bits: Some(below_most(self.window_bits)),
            server_max_window_bits: below_most(self.peer_window_bits),
        }
    }

    /// What a server's answer to our offer has agreed on; `None` without compression.
    pub(crate) fn check(&self, answer: &HeaderMap) -> Result<Option<Deflate>, String> {
        let mut extensions = list(answer, &SEC_WEBSOCKET_EXTENSIONS);
        let Some(extension) = extensions.next() else { return Ok(None) };
        let disagrees = |why: &str| format!("the server uses an extension {why}: {extension}");
        let answered = Parameters::read(extension).filter(|_| extensions.next().is_none());
        let answered = answered.ok_or_else(|| disagrees("that was not offered"))?;
        let offered = self.offered();
        if offered.server_no_context_takeover && !answered.server_no_context_takeover {
            return Err(disagrees("without the server_no_context_takeover of the offer"));
        }
        let peer_window_bits = answered.server_max_window_bits.unwrap_or(15);
        if peer_window_bits > offered.server_max_window_bits.unwrap_or(15) {
            return Err(disagrees("with a larger window than server_max_window_bits of the offer"));
        }
        let most = offered.client_max_window_bits.flatten().unwrap_or(15);
        let window_bits = match answered.client_max_window_bits {
            Some(Some(bits)) if bits <= most => bits,
            Some(_) => return Err(disagrees("with a client_max_window_bits that was not offered")),
            None => most,
        };
        let takes_over = self.context_takeover && !answered.client_no_context_takeover;
        let peer_takes_over = !answered.server_no_context_takeover;
        Ok(Some(self.agreed((takes_over, window_bits), (peer_takes_over, peer_window_bits))))
    }

    /// Agrees to the first of a client's offers that can be kept, and adds that to the answer. If
    /// there is none, returns `None`: messages are not compressed.
    pub fn accept(&self, request: &HeaderMap, answer: &mut HeaderMap) -> Option<Deflate> {
        let mut offers = list(request, &SEC_WEBSOCKET_EXTENSIONS).filter_map(Parameters::read);
        // The compressor has no window of 2^8 bytes.
        let offer = offers.find(|offer| offer.server_max_window_bits != Some(8))?;
        let may_limit = offer.client_max_window_bits.is_some();
        let (bits, client_bits) =
            (self.window_bits.clamp(9, 15), self.peer_window_bits.clamp(9, 15));
        let bits = bits.min(offer.server_max_window_bits.unwrap_or(15));
        let client_bits = client_bits.min(offer.client_max_window_bits.flatten().unwrap_or(15));
        let answered = Parameters {
            client_no_context_takeover: offer.client_no_context_takeover
                || !self.peer_context_takeover,
            server_no_context_takeover: offer.server_no_context_takeover || !self.context_takeover,
            client_max_window_bits: (may_limit && client_bits < 15).then_some(Some(client_bits)),
            server_max_window_bits: (bits < 15 || offer.server_max_window_bits.is_some())
                .then_some(bits),
        };
        answer.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(&answered.write()).ok()?);
        let client_bits = answered.client_max_window_bits.flatten().unwrap_or(15);
        Some(self.agreed(
            (!answered.server_no_context_takeover, bits),
            (!answered.client_no_context_takeover, client_bits),
        ))
    }

    /// For each direction: whether it keeps its context, and how far back it refers.
    fn agreed(&self, own: (bool, u8), peer: (bool, u8)) -> Deflate {
        Deflate {
            context_takeover: own.0,
            peer_context_takeover: peer.0,
            // The compressor has no window of 2^8 bytes, but nothing has to be compressed.
            window_bits: Some(own.1).filter(|bits| *bits > 8),
            peer_window_bits: peer.1.max(9),
            level: self.level.clamp(1, 9),
            min_size: self.min_size.max(1),
            max_ratio: self.max_ratio,
        }
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
