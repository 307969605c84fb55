//! Size limits: of publications, and of frames to a client.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::Stream;
use crate::node::NodeConfig;
use crate::node::sessions::Outcome;
use relink::Message;
use relink::protocol::{Given, Rejection};
use relink::session::Problem;
use relink_v1::{Codec, Encoding, ServerFrame, limits};

/// The maximum bytes of JSON for one byte of a name or a payload: `\u001f`.
const MAX_ESCAPED: usize = 6;
/// More than the fields of a publication take in JSON, without name and payload.
const MAX_FIELDS: usize = 128;

impl NodeConfig {
    /// Checks whether a message may be published to a stream.
    ///
    /// # Errors
    ///
    /// [`LIMIT_EXCEEDED`](Problem::LIMIT_EXCEEDED) if it is larger than
    /// [`max_publication`](Self::max_publication), or the channel has a name that no client can
    /// subscribe to.
    pub fn may_publish(&self, stream: &Stream, message: &Message) -> Result<(), Problem> {
        let channel = match stream {
            Stream::Channel(channel) => Some(channel),
            Stream::Session(_) => None,
        };
        if let Some(channel) = channel {
            let checked = limits::check(Given::Channel(channel));
            checked.map_err(|error| Problem::new(Problem::LIMIT_EXCEEDED, error.to_string()))?;
        }
        let most = self.max_publication;
        let bytes = channel.map_or(0, |channel| channel.as_str().len()) + message.len();
        if bytes.saturating_mul(MAX_ESCAPED).saturating_add(MAX_FIELDS) <= most {
            return Ok(());
        }
        // With the longest offset, since the store assigns it.
        let (channel, payload) = (channel.cloned(), message.clone());
        let frame = ServerFrame::Publication { channel, offset: limits::NUMBER, payload };
        let size = frame.encoded_len(Encoding::Json);
        if size > most {
            let detail = format!(
                "a publication of {size} bytes in JSON: at most {most} are allowed (node.max_publication)"
            );
            return Err(Problem::new(Problem::LIMIT_EXCEEDED, detail));
        }
        Ok(())
    }

    /// Checks the effects of a message, all of which must be publishable.
    pub(crate) fn check_effect(&self, result: Outcome) -> Outcome {
        let publications = result?;
        publications.iter().try_for_each(|(stream, message)| self.may_publish(stream, message))?;
        Ok(publications)
    }
}

/// The frame in place of a publication that is larger than its reader accepts. It keeps the offset,
/// so that no gap appears.
pub(super) fn withheld(
    frame: &ServerFrame,
    size: usize,
    most: usize,
    encoding: Encoding,
) -> Option<Message> {
    let ServerFrame::Publication { channel, offset, .. } = frame else { return None };
    let detail = format!("it has {size} bytes, and this client takes {most}");
    let problem = Problem::new(Problem::LIMIT_EXCEEDED, detail);
    Some(
        ServerFrame::Withheld { channel: channel.clone(), offset: *offset, problem }
            .encode(encoding),
    )
}

/// Keeps the newest rejections that fit into a welcome beside its other fields.
pub(super) fn keep_what_fits(rejected: &mut Vec<Rejection>, encoding: Encoding, mut room: usize) {
    let older = rejected.iter().rposition(|rejection| {
        let size = ServerFrame::Rejected(rejection.clone()).encoded_len(encoding);
        let fits = size <= room;
        room = room.saturating_sub(size);
        !fits
    });
    rejected.drain(..older.map_or(0, |older| older + 1));
}
