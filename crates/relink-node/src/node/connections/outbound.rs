//! What waits for one socket.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::node::shared_frame::Encoded;
use relink::Message;
use relink::protocol::Rejection;
use relink_v1::{Codec, Encoding, ServerFrame};

/// What waits for one socket.
#[derive(Debug)]
pub(crate) struct Outbound {
    queue: VecDeque<Message>,
    bytes: usize,
    /// The encoding of the hello.
    pub(crate) encoding: Encoding,
    /// The largest message that the client accepts, from its hello.
    pub(crate) most: usize,
    /// The number of publications queued so far, all before what comes next.
    pub(crate) publications: u64,
    /// `Ready` was emitted, and the queue not drained since.
    pub(super) told: bool,
    /// The welcome, which comes first of all, was written.
    welcomed: bool,
    /// The serial to acknowledge, if the client does not know it yet.
    pub(crate) ack: Option<u64>,
    /// Rejected messages that the client does not know of, in order.
    pub(crate) rejections: Vec<Rejection>,
    /// The number of answers queued since the last write.
    pub(super) answers: usize,
}

/// The capacity that a queue keeps when it is empty.
const SPARE: usize = 16;

impl Outbound {
    pub(super) const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            encoding: Encoding::Json,
            most: usize::MAX,
            publications: 0,
            told: false,
            welcomed: false,
            ack: None,
            rejections: Vec::new(),
            answers: 0,
        }
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, message: Message) {
        self.bytes = self.bytes.saturating_add(message.len());
        self.queue.push_back(message);
    }

    /// Queues a frame in this client's encoding and limit. Returns true if it was too large for
    /// that.
    pub(super) fn offer(&mut self, frame: &mut Encoded) -> bool {
        let (message, is_withheld) = frame.get_within(self.encoding, self.most);
        self.push(message);
        self.publications = self.publications.saturating_add(u64::from(frame.is_publication()));
        is_withheld
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        if self.welcomed && (self.ack.is_some() || !self.rejections.is_empty()) {
            return self.next_ack();
        }
        let message = self.queue.pop_front();
        self.answers = 0;
        self.welcomed |= message.is_some();
        if let Some(message) = &message {
            self.bytes = self.bytes.saturating_sub(message.len());
        } else if self.queue.capacity() > SPARE {
            self.queue = VecDeque::new();
        }
        message
    }

    /// Rejections in order, then one acknowledgement for all the rest.
    fn next_ack(&mut self) -> Option<Message> {
        if self.rejections.is_empty() {
            let serial = self.ack.take()?;
            return Some(ServerFrame::Ack { serial }.encode(self.encoding));
        }
        let rejection = self.rejections.remove(0);
        if self.ack.is_some_and(|serial| serial <= rejection.serial) {
            self.ack = None;
        }
        Some(ServerFrame::Rejected(rejection).encode(self.encoding))
    }

    /// Everything that is left, as it would be written.
    pub(super) fn into_rest(mut self) -> VecDeque<Message> {
        let mut rest: VecDeque<Message> = VecDeque::new();
        if !self.welcomed {
            rest.extend(self.queue.pop_front());
        }
        rest.extend(core::iter::from_fn(|| self.next_ack()));
        rest.append(&mut self.queue);
        rest
    }
}
