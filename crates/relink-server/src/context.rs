//! The context of a message for its handler, and the effects.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, PoisonError},
};

use relink::{Channel, Message, SessionId};
use relink_node::Stream;

use crate::user::User;

/// The origin of a message, and the collection of its effects.
///
/// Nothing is sent while the handler runs. When it returns `Ok`, all effects and the message's
/// serial are committed together: a client that sends the message again, after a reconnect or to
/// another node, gets its acknowledgement and nothing happens twice. When it returns an error,
/// nothing happens; nor if one of its effects is larger than
/// [`max_publication`](relink_node::NodeConfig::max_publication): then the message is rejected with
/// `limit_exceeded`. A handler may run again if the store failed, so other effects, such as on a
/// database, need an idempotency key: [`session`](Self::session) and [`serial`](Self::serial)
/// together identify the message.
#[derive(Clone)]
pub struct Context {
    shared: Arc<Shared>,
}

struct Shared {
    user: User,
    session: SessionId,
    serial: Option<u64>,
    channel: Option<Channel>,
    /// `None` once the handler has returned.
    effects: Mutex<Option<Vec<(Stream, Message)>>>,
}

impl Context {
    pub(crate) fn new(
        user: User,
        session: SessionId,
        serial: Option<u64>,
        channel: Option<Channel>,
    ) -> Self {
        let effects = Mutex::new(Some(Vec::new()));
        Self { shared: Arc::new(Shared { user, session, serial, channel, effects }) }
    }

    /// The user that sent it.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.shared.user
    }

    /// The session it came from. Its id is enough to take it over: do not pass it to others.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.shared.session
    }

    /// Its number in the session; `None` if the client does not wait for an acknowledgement.
    #[must_use]
    pub fn serial(&self) -> Option<u64> {
        self.shared.serial
    }

    /// Its channel; `None` for a message to the server itself.
    #[must_use]
    pub fn channel(&self) -> Option<&Channel> {
        self.shared.channel.as_ref()
    }

    /// Publishes a message to all subscribers of a channel.
    pub fn publish(&self, channel: impl Into<Channel>, message: impl Into<Message>) {
        self.add(Stream::Channel(channel.into()), message.into());
    }

    /// Sends a message to the session that this one came from.
    pub fn reply(&self, message: impl Into<Message>) {
        self.send(self.shared.session.clone(), message);
    }

    /// Publishes a message to the channel that this one is meant for; sends it back if there is
    /// none.
    pub fn echo(&self, message: impl Into<Message>) {
        match &self.shared.channel {
            Some(channel) => self.publish(channel.clone(), message),
            None => self.reply(message),
        }
    }

    /// Sends a message to one session, wherever its client is connected. It waits there until the
    /// client comes back; if the session no longer exists, the message is dropped.
    pub fn send(&self, session: impl Into<SessionId>, message: impl Into<Message>) {
        self.add(Stream::Session(session.into()), message.into());
    }

    fn add(&self, stream: Stream, message: Message) {
        let mut effects = self.shared.effects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(effects) = effects.as_mut() {
            effects.push((stream, message));
        }
    }

    /// Returns the collected effects. Later ones are dropped.
    pub(crate) fn finish(&self) -> Vec<(Stream, Message)> {
        let mut effects = self.shared.effects.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut *effects).unwrap_or_default()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("user", &self.shared.user)
            .field("serial", &self.shared.serial)
            .field("channel", &self.shared.channel)
            .finish_non_exhaustive()
    }
}
