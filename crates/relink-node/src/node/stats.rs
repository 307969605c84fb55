//! What happened on a node, in numbers.

use relink::stats::Histogram;

/// What happened on a node since it was made, and what is so now.
///
/// A snapshot is a plain copy; counters saturate. Rates are differences of two snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NodeStats {
    /// Connections now, welcome or not yet.
    pub connections: u64,
    /// Connections accepted.
    pub opened: u64,
    /// Connections that ended before they were welcome.
    pub refused: u64,
    /// Sessions begun.
    pub created: u64,
    /// Sessions that went on from an earlier connection.
    pub resumed: u64,
    /// Sessions that were asked for and could not go on.
    pub resume_refused: u64,
    /// Connections replaced by another one of the same session.
    pub replaced: u64,
    /// Connections closed for their silence.
    pub silent: u64,
    /// Connections closed because messages were missing between them and the node.
    pub gaps: u64,
    /// Connections closed for frames that were none, too many of them, or at the wrong time.
    pub malformed: u64,
    /// Heartbeats answered.
    pub heartbeats: u64,
    /// Messages taken in.
    pub messages: u64,
    /// Messages that came again, and were dropped.
    pub duplicates: u64,
    /// Messages that found no room, as the application was behind. Those with serials come again.
    pub passed_over: u64,
    /// Messages that the application refused.
    pub rejected: u64,
    /// Messages of clients that wait for the application or the store now.
    pub unhandled: u64,
    /// The most there ever were.
    pub unhandled_peak: u64,
    /// Publications handed to connections.
    pub delivered: u64,
    /// Publications withheld because they are larger than the reader takes.
    pub withheld: u64,
    /// Bytes that wait for sockets now.
    pub outbound_bytes: u64,
    /// Times a connection was too slow for what was published, and went on from the store.
    pub slow: u64,
    /// Times a member joined a full channel, and is not listed there.
    pub unlisted: u64,
    /// Times a reader's place in a stream was lost.
    pub lost: u64,
    /// Questions that the store did not answer well.
    pub store_errors: u64,
    /// How long connections that were welcome lasted.
    pub connected_for: Histogram,
}
