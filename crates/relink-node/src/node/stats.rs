//! The statistics of a node.

use relink::stats::Histogram;

/// Counters of a node since its creation, and its current numbers.
///
/// Counters saturate. Rates are differences of two snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NodeStats {
    /// Current connections, before and after the welcome.
    pub connections: u64,
    /// Connections accepted.
    pub opened: u64,
    /// Connections that ended before their welcome.
    pub refused: u64,
    /// Sessions created.
    pub created: u64,
    /// Sessions resumed.
    pub resumed: u64,
    /// Resumes refused.
    pub resume_refused: u64,
    /// Connections replaced by another one of the same session.
    pub replaced: u64,
    /// Connections closed for their silence.
    pub silent: u64,
    /// Connections closed because messages were missing between them and the node.
    pub gaps: u64,
    /// Connections closed for invalid frames, too many of them, or at the wrong time.
    pub malformed: u64,
    /// Heartbeats answered.
    pub heartbeats: u64,
    /// Messages received.
    pub messages: u64,
    /// Messages received twice, and dropped.
    pub duplicates: u64,
    /// Messages ignored for lack of room, as the application was behind. Those with serials are
    /// sent again.
    pub passed_over: u64,
    /// Messages that the application rejected.
    pub rejected: u64,
    /// Messages of clients that wait for the application or the store now.
    pub unhandled: u64,
    /// The maximum of `unhandled` so far.
    pub unhandled_peak: u64,
    /// Publications queued for connections.
    pub delivered: u64,
    /// Publications withheld because they are larger than the reader takes.
    pub withheld: u64,
    /// Bytes that wait for sockets.
    pub outbound_bytes: u64,
    /// Times a connection was too slow for the publications, and continued from the store.
    pub slow: u64,
    /// Times a member joined a full channel, and is not listed there.
    pub unlisted: u64,
    /// Times a reader's position in a stream was lost.
    pub lost: u64,
    /// Requests that failed in the store.
    pub store_errors: u64,
    /// How long connections lasted after their welcome.
    pub connected_for: Histogram,
}
