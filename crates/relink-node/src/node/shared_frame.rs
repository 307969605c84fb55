//! A frame for many connections, encoded at most once in each encoding.

use alloc::vec::Vec;

use crate::node::sizes::withheld;
use crate::{Publication, Stream};
use relink::Message;
use relink_v1::{Codec, Encoding, ServerFrame};

#[derive(Debug)]
pub(crate) struct Encoded {
    frame: ServerFrame,
    json: Option<Message>,
    cbor: Option<Message>,
}

impl Encoded {
    pub(crate) const fn new(frame: ServerFrame) -> Self {
        Self { frame, json: None, cbor: None }
    }

    pub(crate) fn get(&mut self, encoding: Encoding) -> Message {
        let slot = match encoding {
            Encoding::Json => &mut self.json,
            Encoding::Cbor => &mut self.cbor,
        };
        slot.get_or_insert_with(|| self.frame.encode(encoding)).clone()
    }

    pub(crate) const fn is_publication(&self) -> bool {
        matches!(self.frame, ServerFrame::Publication { .. })
    }

    /// The same for a reader that takes at most `most` bytes; returns true if a publication was too
    /// large for that.
    pub(crate) fn get_within(&mut self, encoding: Encoding, most: usize) -> (Message, bool) {
        let message = self.get(encoding);
        let size = message.len();
        let withheld = if size > most { withheld(&self.frame, size, most, encoding) } else { None };
        let is_withheld = withheld.is_some();
        (withheld.unwrap_or(message), is_withheld)
    }
}

/// A part of a stream for its readers.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) messages: Vec<(u64, Encoded)>,
}

impl Page {
    pub(crate) fn new(stream: &Stream, publications: Vec<Publication>) -> Self {
        let channel = match stream {
            Stream::Channel(channel) => Some(channel),
            Stream::Session(_) => None,
        };
        let frame = |Publication { offset, message }| {
            let channel = channel.cloned();
            (offset, Encoded::new(ServerFrame::Publication { channel, offset, payload: message }))
        };
        Self { messages: publications.into_iter().map(frame).collect() }
    }
}
