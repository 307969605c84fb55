//! The maximum lengths in a frame of `relink.v1`. Both decoders refuse longer ones with 1003; what
//! an application passes in is checked earlier, so that it gets an error.
//!
//! Lengths are in bytes of UTF-8. A payload has no limit of its own: the driver's limit on the
//! whole message applies.

use relink::protocol::{Given, Unreadable};
use relink::{Position, Resume};

/// The largest serial, offset and count: the largest whole number that JSON carries safely (RFC
/// 8259, section 6).
pub const NUMBER: u64 = (1 << 53) - 1;
/// The name of a channel. It is not empty.
pub const CHANNEL: usize = 255;
/// A session's id.
pub const SESSION: usize = 128;
/// A token.
pub const TOKEN: usize = 16 * 1024;
/// A member's presence text.
pub const PRESENCE: usize = 4 * 1024;
/// The name of a user.
pub const USER: usize = 255;
/// The id of a member's stay.
pub const JOIN: usize = 255;
/// The symbolic name of a problem; the encoder cuts a longer one.
pub const PROBLEM_NAME: usize = 64;
/// The sentence of a problem; the encoder cuts a longer one.
pub const PROBLEM_DETAIL: usize = 1024;
/// Rejections in one welcome.
pub const REJECTIONS: usize = 1024;
/// Members in one list.
pub const MEMBERS: usize = 10_000;
/// The smallest limit on messages that a client may announce: every frame fits, except publications
/// and welcomes, which a server makes fit. A page of members is the longest of them, if every byte
/// in it has to be escaped.
pub const LEAST_MESSAGE: u64 = 128 * 1024;
/// How deep CBOR may be nested; the frames themselves need four levels.
pub const DEPTH: usize = 32;

/// Checks that a peer can read what an application has passed in.
///
/// # Errors
///
/// The field, its value, and what is allowed.
pub fn check(given: Given<'_>) -> Result<(), Unreadable> {
    let length = |field, text: &str, least, most: usize| {
        Unreadable::unless_within(field, text.len() as u64, least, most as u64)
    };
    let offset =
        |field, Position { offset, .. }| Unreadable::unless_within(field, offset, 0, NUMBER);
    match given {
        Given::Channel(channel) => {
            length("the length of the channel's name in bytes", channel.as_str(), 1, CHANNEL)
        }
        Given::Token(token) => length("the length of the token in bytes", token.expose(), 0, TOKEN),
        Given::Presence(info) => {
            length("the length of presence in bytes", info.as_str(), 0, PRESENCE)
        }
        Given::Since(position) => offset("since.offset", position),
        Given::Resume(Resume { session, position }) => {
            length("the length of resume.session in bytes", session.expose(), 0, SESSION)?;
            offset("resume.position.offset", *position)
        }
        _ => Ok(()),
    }
}
