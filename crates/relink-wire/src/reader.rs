//! Messages out of bytes (RFC 6455, sections 5 and 6.2).

use bytes::{Bytes, BytesMut};

#[cfg(feature = "deflate")]
use crate::deflate::Decompressor;
use crate::error::{Error, ProtocolError};
use crate::frame::{Frame, Limits, Text};
use crate::header::{BINARY, CLOSE, CONTINUATION, Header, PING, PONG, TEXT};
use crate::input::Input;
use crate::{Role, mask};

/// Memory for a payload is asked for as it comes: for this much at once, for as much as there is
/// already, or for as much as came before. A header alone, whatever it announces, fills no memory.
const TRUSTED: usize = 64 << 10;
/// The bit of a message that is compressed (RFC 7692, section 6).
#[cfg(feature = "deflate")]
const COMPRESSED: u8 = 0x40;
/// The longest payload of a control frame (RFC 6455, section 5.5).
pub(crate) const MAX_CONTROL: usize = 125;

pub(crate) struct Reader {
    role: Role,
    limits: Limits,
    /// The frame under way, once its header is read.
    frame: Option<Payload>,
    /// The message whose first frame has come, and whose last one has not.
    message: Option<Kind>,
    /// What has come of it.
    joined: BytesMut,
    /// How much memory was taken for that, of which earlier messages may have a part.
    memory: usize,
    /// How much of the message under way is known to be UTF-8.
    checked: usize,
    /// The largest payload that has come whole.
    trusted: usize,
    /// The message under way is compressed.
    is_compressed: bool,
    #[cfg(feature = "deflate")]
    pub(crate) decompressor: Option<Decompressor>,
}

/// What was read.
pub(crate) enum Received {
    Message(Frame),
    /// A control frame: its opcode and its payload.
    Control(u8, Bytes),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

#[derive(Debug, Clone, Copy)]
struct Payload {
    kind: Kind,
    mask: Option<[u8; 4]>,
    length: usize,
    /// How much of it was unmasked and checked.
    done: usize,
    is_final: bool,
    /// The frame is the message, and stays in the input until all of it is there.
    is_alone: bool,
}

impl Reader {
    pub(crate) fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            frame: None,
            message: None,
            joined: BytesMut::new(),
            memory: 0,
            checked: 0,
            trusted: TRUSTED,
            is_compressed: false,
            #[cfg(feature = "deflate")]
            decompressor: None,
        }
    }

    /// Whether a message is incomplete.
    pub(crate) const fn is_mid_message(&self) -> bool {
        self.frame.is_some() || self.message.is_some()
    }

    /// Frees buffers that hold nothing and have more than this many bytes of capacity.
    pub(crate) fn shrink(&mut self, keep: usize) {
        self.trusted = TRUSTED;
        if self.joined.is_empty() && self.memory > keep {
            (self.joined, self.memory) = (BytesMut::new(), 0);
        }
    }

    /// The bits that extensions give a meaning at the beginning of a message.
    const fn extension_bits(&self) -> u8 {
        #[cfg(feature = "deflate")]
        if self.decompressor.is_some() {
            return COMPRESSED;
        }
        0
    }

    /// The next message or control frame; `None` until more bytes come.
    #[inline]
    pub(crate) fn next(&mut self, input: &mut Input) -> Result<Option<Received>, Error> {
        loop {
            let payload = match self.frame.take() {
                Some(payload) => payload,
                None => {
                    let Some(header) = Header::read(input.unread()) else { return Ok(None) };
                    self.check(&header)?;
                    if header.is_control() {
                        return Ok(read_control(&header, input));
                    }
                    let payload = self.begin_frame(&header)?;
                    input.skip(header.size);
                    payload
                }
            };
            if payload.is_alone {
                return self.read_alone(payload, input);
            }
            let message = self.read_part(payload, input)?;
            if message.is_some() || self.frame.is_some() {
                return Ok(message);
            }
        }
    }

    /// Checks the rules that a frame header alone can violate.
    #[inline]
    fn check(&self, header: &Header) -> Result<(), ProtocolError> {
        if header.reserved() != 0 {
            let may_have = matches!(header.opcode(), TEXT | BINARY);
            if !may_have || header.reserved() != self.extension_bits() {
                return Err(ProtocolError::ReservedBits);
            }
        }
        match (self.role, header.mask) {
            (Role::Client, Some(_)) => return Err(ProtocolError::Masked),
            (Role::Server, None) => return Err(ProtocolError::NotMasked),
            (Role::Client, None) | (Role::Server, Some(_)) => {}
        }
        match header.opcode() {
            CONTINUATION if self.message.is_none() => Err(ProtocolError::NothingToContinue),
            TEXT | BINARY if self.message.is_some() => Err(ProtocolError::NotContinued),
            CONTINUATION | TEXT | BINARY => Ok(()),
            CLOSE | PING | PONG if !header.is_final() => Err(ProtocolError::FragmentedControl),
            CLOSE | PING | PONG if header.length > MAX_CONTROL as u64 => {
                Err(ProtocolError::LongControl(header.length))
            }
            CLOSE | PING | PONG => Ok(()),
            opcode => Err(ProtocolError::ReservedOpcode(opcode)),
        }
    }

    #[inline]
    fn begin_frame(&mut self, header: &Header) -> Result<Payload, Error> {
        let Limits { max_message, max_frame } = self.limits;
        let too_large = |size, limit| Err(Error::TooLarge { size, limit });
        if header.length > max_frame as u64 {
            return too_large(header.length, max_frame);
        }
        if header.opcode() != CONTINUATION {
            self.is_compressed = header.reserved() != 0;
        }
        // The size of a compressed message is known only after it is inflated.
        let size = match self.is_compressed {
            true => 0,
            false => header.length.saturating_add(self.joined.len() as u64),
        };
        let (Ok(length), true) = (usize::try_from(header.length), size <= max_message as u64)
        else {
            return too_large(size, max_message);
        };
        #[cfg(feature = "deflate")]
        if let Some(decompressor) = self.decompressor.as_mut().filter(|_| self.is_compressed) {
            decompressor.begin_frame(header.length);
        }
        let (mask, is_final) = (header.mask, header.is_final());
        let is_alone = is_final && self.message.is_none() && !self.is_compressed;
        let begun = if header.opcode() == TEXT { Kind::Text } else { Kind::Binary };
        let kind = self.message.unwrap_or(begun);
        if !is_alone {
            self.message = Some(kind);
        }
        Ok(Payload { kind, mask, length, done: 0, is_final, is_alone })
    }

    /// Reads a message of one frame where it stands.
    #[inline]
    fn read_alone(
        &mut self,
        mut payload: Payload,
        input: &mut Input,
    ) -> Result<Option<Received>, Error> {
        let there = input.unread().len().min(payload.length);
        let bytes = input.unread_mut().get_mut(..there).unwrap_or_default();
        payload.unmask(bytes.get_mut(payload.done..).unwrap_or_default());
        payload.done = there;
        let is_whole = there == payload.length;
        if payload.kind == Kind::Text {
            self.check_text(bytes, is_whole)?;
        }
        if !is_whole {
            self.frame = Some(payload);
            let left = payload.length - there;
            input.want(left.min(there.max(self.trusted)));
            return Ok(None);
        }
        input.want(0);
        self.trusted = self.trusted.max(payload.length);
        Ok(Some(self.end_message(payload.kind, input.take(payload.length))))
    }

    /// Reads a part of a message of several frames.
    fn read_part(
        &mut self,
        mut payload: Payload,
        input: &mut Input,
    ) -> Result<Option<Received>, Error> {
        let there = input.unread().len().min(payload.length - payload.done);
        let bytes = input.unread_mut().get_mut(..there).unwrap_or_default();
        payload.unmask(bytes);
        payload.done += there;
        let has_ended = payload.done == payload.length;
        let is_whole = has_ended && payload.is_final;
        if self.is_compressed {
            #[cfg(feature = "deflate")]
            if let Some(decompressor) = &mut self.decompressor {
                let limit = self.limits.max_message;
                decompressor.decompress(bytes, &mut self.joined, limit)?;
                if is_whole {
                    decompressor.end(&mut self.joined, limit)?;
                }
            }
        } else {
            self.joined.extend_from_slice(bytes);
        }
        input.skip(there);
        if payload.kind == Kind::Text {
            let joined = std::mem::take(&mut self.joined);
            let checked = self.check_text(&joined, is_whole);
            self.joined = joined;
            checked?;
        }
        self.frame = (!has_ended).then_some(payload);
        if !is_whole {
            return Ok(None);
        }
        self.memory = self.memory.max(self.joined.capacity());
        let joined = self.joined.split().freeze();
        Ok(Some(self.end_message(payload.kind, joined)))
    }

    #[inline]
    fn end_message(&mut self, kind: Kind, bytes: Bytes) -> Received {
        (self.message, self.checked) = (None, 0);
        Received::Message(match kind {
            Kind::Text => Frame::Text(Text::assume_utf8(bytes)),
            Kind::Binary => Frame::Binary(bytes),
        })
    }

    /// Checks what has come of a text since the last time. A character may be cut at its end, but
    /// it has to be one that can be completed.
    #[inline]
    fn check_text(&mut self, text: &[u8], is_whole: bool) -> Result<(), Error> {
        match std::str::from_utf8(text.get(self.checked..).unwrap_or_default()) {
            Ok(_) => self.checked = text.len(),
            Err(cut) if cut.error_len().is_none() && !is_whole => self.checked += cut.valid_up_to(),
            Err(_) => return Err(Error::NotUtf8),
        }
        Ok(())
    }
}

impl Payload {
    /// Unmasks the bytes that come after those that are done.
    #[inline]
    fn unmask(&self, bytes: &mut [u8]) {
        if let Some(key) = self.mask {
            mask::apply(bytes, mask::shift(key, self.done));
        }
    }
}

fn read_control(header: &Header, input: &mut Input) -> Option<Received> {
    let length = usize::try_from(header.length).ok()?;
    let payload = input.unread_mut().get_mut(header.size..header.size + length)?;
    if let Some(key) = header.mask {
        mask::apply(payload, key);
    }
    input.skip(header.size);
    Some(Received::Control(header.opcode(), input.take(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_messages_have_used_up_is_freed() {
        let mut reader = Reader::new(Role::Client, Limits::default());
        let mut input = Input::default();
        for size in [62, 63, 100, 125] {
            input.extend(&[&[0x02, 1, b'a', 0x80, size][..], &[b'a'; 128][..size.into()]].concat());
            let message = reader.next(&mut input).ok().flatten();
            assert!(matches!(message, Some(Received::Message(Frame::Binary(_)))));
            drop(message);
            reader.shrink(10);
            assert_eq!((reader.joined.capacity(), reader.memory), (0, 0), "{size}");
        }
    }
}
