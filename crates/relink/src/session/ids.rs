//! Where a message belongs: channels, positions in them, and the session that outlives transports.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use crate::session::message::Text;

/// The name of a channel: an ordered stream of messages that clients subscribe to. Cheap to clone.
///
/// ```
/// use relink::Channel;
///
/// let lobby = Channel::from("room/lobby");
/// assert_eq!(lobby.as_str(), "room/lobby");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(Arc<str>);

impl Channel {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for Channel {
    fn from(name: T) -> Self {
        Self(name.into())
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a stream: the message with this `offset` is the last one that was seen.
///
/// Offsets count from 1 without holes, so that a gap and a duplicate show; 0 is the place before
/// the first message. They mean something within one `epoch` only: a server that lost its history
/// starts another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::exhaustive_structs, reason = "two numbers, as they go over the wire")]
pub struct Position {
    /// Which history the offset counts in.
    pub epoch: u32,
    /// The number of the last message seen.
    pub offset: u64,
}

impl Position {
    /// This offset in this epoch.
    #[must_use]
    pub const fn new(epoch: u32, offset: u64) -> Self {
        Self { epoch, offset }
    }
}

/// The id of a session, which outlives transports. It is enough to take the session over, so it is
/// never printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    /// The first bytes of the id, which decide most comparisons without a look at it: servers keep
    /// sessions in order, and ids are random.
    head: u64,
    id: Arc<str>,
}

impl SessionId {
    /// The id itself. Do not log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.id
    }
}

impl<T: Into<Arc<str>>> From<T> for SessionId {
    fn from(id: T) -> Self {
        let id = id.into();
        // Padded with zeros and read from the left, so that the order is that of the ids.
        let head = (0..8).fold(0, |head, at| head << 8 | u64::from(byte_at(&id, at)));
        Self { head, id }
    }
}

fn byte_at(text: &str, at: usize) -> u8 {
    text.as_bytes().get(at).copied().unwrap_or_default()
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

/// Why one request failed, without harm to the link: a symbolic name for programs, a sentence for
/// people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {detail}")]
#[expect(clippy::exhaustive_structs, reason = "a name and a sentence, as they go over the wire")]
pub struct Problem {
    /// In `snake_case`, the same in every language: `channel_not_authorized`.
    pub name: Cow<'static, str>,
    /// For people.
    pub detail: String,
}

impl Problem {
    /// The token does not cover the channel.
    pub const CHANNEL_NOT_AUTHORIZED: &'static str = "channel_not_authorized";
    /// The token for the channel has expired; a fresh one may do.
    pub const TOKEN_EXPIRED: &'static str = "token_expired";
    /// The server does not handle such a message.
    pub const NOT_HANDLED: &'static str = "not_handled";
    /// A limit on number or size was exceeded.
    pub const LIMIT_EXCEEDED: &'static str = "limit_exceeded";
    /// Not supported here: for example, the protocol has no channels.
    pub const NOT_SUPPORTED: &'static str = "not_supported";
    /// The server could not do it now; the same request may succeed later.
    pub const UNAVAILABLE: &'static str = "unavailable";

    /// A problem with this name and sentence.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), detail: detail.into() }
    }

    /// Whether the same request may succeed later, or with a fresh token.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.name == Self::UNAVAILABLE || self.name == Self::TOKEN_EXPIRED
    }
}

/// The session that a client wants to resume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "as it goes over the wire")]
pub struct Resume {
    /// Its id.
    pub session: SessionId,
    /// The last message of the session's own stream that the application has taken.
    pub position: Position,
}

/// A message that the peer received and rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "as it goes over the wire")]
pub struct Rejection {
    /// Its serial.
    pub serial: u64,
    /// Why.
    pub problem: Problem,
}

/// A member of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "as it goes over the wire")]
pub struct Member {
    /// The user, as the server knows them. One user with two sessions is two members.
    pub user: String,
    /// The id of this stay in the channel. A member who leaves and joins again has another one.
    pub join: String,
    /// The member's presence text.
    pub info: Option<Text>,
}

impl Member {
    /// The user of clients that did not authenticate. Each of their stays is another person.
    pub const ANONYMOUS: &'static str = "anonymous";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids_are_in_the_order_of_their_text() {
        let texts =
            ["", "\0", "a", "a\0", "ab", "abcdefgh", "abcdefgh\0", "abcdefghi", "b", "\u{e4}"];
        for (index, one) in texts.iter().enumerate() {
            for (other_index, other) in texts.iter().enumerate() {
                let order = SessionId::from(*one).cmp(&SessionId::from(*other));
                assert_eq!(order, index.cmp(&other_index), "{one:?} and {other:?}");
            }
        }
    }
}
