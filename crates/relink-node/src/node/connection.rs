//! One connection, as the node knows it.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::node::input_action::AuthorizationId;
use crate::node::members::Seat;
use crate::node::permission::Permissions;
use crate::node::reading::Reading;
use crate::node::streams::Follow;
use crate::node::tokens::TokenEnd;
use relink::protocol::Rejection;
use relink::session::{Problem, Secret};
use relink::{Channel, CloseFrame, Instant, Message, Resume, SessionId};
use relink_v1::{Encoding, ServerFrame};

/// A connection between its accept and its close.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stage: Stage,
    /// Whose it is, where that is known.
    pub(super) user: Option<Arc<str>>,
    /// Its session, from the store's answer on.
    pub(super) session: Option<SessionId>,
    /// Where it is in the session's own stream.
    pub(super) own: Option<Follow>,
    /// Its channels, by name: a short list costs less than a map, and most are short.
    pub(super) channels: Vec<(Channel, Subscription)>,
    pub(super) out: Outbound,
    pub(super) reading: Reading,
    pub(super) permissions: Permissions,
    /// An answer to `Identify` is due.
    pub(super) identifying: bool,
    /// It is one of its user's connections.
    pub(super) counted: bool,
    /// The node shuts down, and this is what the client was told.
    pub(super) retry_after: Option<Duration>,
    /// When its token is over.
    pub(super) token: TokenEnd,
    /// A token that came meanwhile.
    pub(super) renewal: Option<Secret>,
    /// Channels of whose members it is being told.
    pub(super) lists: BTreeSet<Channel>,
    /// The bytes of its subscriptions.
    held: usize,
}

/// How far the handshake is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing was said yet.
    Silent,
    /// Hello was said; whose it is, or the session, or its place in the stream is being found out.
    Greeting(alloc::boxed::Box<Greeting>),
    /// Welcome since then.
    Live(Instant),
}

/// What is known before the welcome.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    pub(super) resume: Option<Resume>,
    pub(super) resumed: bool,
    pub(super) refused: Option<Problem>,
    pub(super) rejected: Vec<Rejection>,
}

/// One channel of one connection.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) follow: Follow,
    /// A seat among the members, if it was asked for.
    pub(super) seat: Option<Seat>,
    /// The token that came with it: it is asked about again when the client's own token is renewed.
    pub(super) token: Option<Secret>,
    /// The question whether the user may have it, until it is answered.
    pub(super) question: Option<AuthorizationId>,
    /// It is to be asked once more then.
    pub(super) again: bool,
    /// What the client's words about it take.
    pub(super) bytes: usize,
}

impl Connection {
    pub(super) fn new(user: Option<Arc<str>>) -> Self {
        Self {
            stage: Stage::Silent,
            user,
            session: None,
            own: None,
            channels: Vec::new(),
            out: Outbound::new(),
            reading: Reading::new(),
            permissions: Permissions::new(),
            identifying: false,
            counted: false,
            retry_after: None,
            token: TokenEnd::new(),
            renewal: None,
            lists: BTreeSet::new(),
            held: 0,
        }
    }

    pub(super) const fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live(_))
    }

    pub(super) fn subscription(&mut self, channel: &Channel) -> Option<&mut Subscription> {
        let index = self.channels.binary_search_by(|(name, _)| name.cmp(channel)).ok()?;
        self.channels.get_mut(index).map(|(_, subscription)| subscription)
    }

    /// The bytes of its subscriptions, but for this one.
    pub(super) fn held_beside(&mut self, channel: &Channel) -> usize {
        let this = self.subscription(channel).map_or(0, |subscription| subscription.bytes);
        self.held.saturating_sub(this)
    }

    pub(super) fn subscribe(&mut self, channel: Channel, subscription: Subscription) {
        self.held = self.held_beside(&channel).saturating_add(subscription.bytes);
        match self.channels.binary_search_by(|(name, _)| name.cmp(&channel)) {
            Ok(index) => {
                if let Some((_, old)) = self.channels.get_mut(index) {
                    *old = subscription;
                }
            }
            Err(index) => self.channels.insert(index, (channel, subscription)),
        }
    }

    pub(super) fn unsubscribe(&mut self, channel: &Channel) -> Option<Subscription> {
        let index = self.channels.binary_search_by(|(name, _)| name.cmp(channel)).ok()?;
        let (_, subscription) = self.channels.remove(index);
        self.held = self.held.saturating_sub(subscription.bytes);
        Some(subscription)
    }

    /// The user's name; empty where it is not known, which it is from the answer to hello on.
    pub(super) fn user_name(&self) -> String {
        self.user.as_deref().unwrap_or_default().into()
    }
}

/// What waits for one socket.
#[derive(Debug)]
pub(super) struct Outbound {
    queue: VecDeque<Message>,
    bytes: usize,
    /// The encoding of the hello.
    pub(super) encoding: Encoding,
    /// The largest message that the client takes, as its hello said.
    pub(super) most: usize,
    /// Publications put into the queue so far: all of them precede what comes next.
    pub(super) publications: u64,
    /// Told to be ready, and not yet drained.
    pub(super) told: bool,
    /// The welcome, which comes first of all, was written.
    welcomed: bool,
    /// Everything up to here was taken in, and the client does not know yet.
    pub(super) ack: Option<u64>,
    /// Refused messages that the client does not know of, in order.
    pub(super) rejections: Vec<Rejection>,
    /// Answers that were queued since something was written.
    pub(super) answers: usize,
}

/// A queue that once was longer gives its memory back.
const SPARE: usize = 16;

impl Outbound {
    const fn new() -> Self {
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

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, message: Message) {
        self.bytes = self.bytes.saturating_add(message.len());
        self.queue.push_back(message);
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        let ack = if self.welcomed { self.next_ack() } else { None };
        if ack.is_some() {
            return ack;
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

    /// Refusals in order, then one acknowledgement for all the rest.
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

/// The name of the problem behind a close code, for the `error` frame before it.
pub(super) fn problem_of(frame: &CloseFrame) -> Problem {
    let name = match frame.code.0 {
        1001 => "going_away",
        1002 => "protocol_error",
        1003 | 1007 => "malformed",
        1009 => "too_big",
        1013 => Problem::UNAVAILABLE,
        3003 => "forbidden",
        4000 => "heartbeat_timeout",
        4001 => "invalid_token",
        4002 => Problem::TOKEN_EXPIRED,
        4009 => "replaced",
        4010 => "concurrent_cap",
        4012 => "account_suspended",
        4020 => "admin_disconnect",
        4100 => "gap",
        _ => "closed",
    };
    Problem::new(name, frame.reason.clone())
}
