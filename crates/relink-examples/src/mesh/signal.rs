//! The messages of peers through the signalling link.

use serde::{Deserialize, Serialize};

/// Names a peer connection between two peers; chosen by the one who offers it.
pub type Call = u32;

/// One message of a negotiation. Of two peers, the one whose name comes first in the order of bytes
/// makes all offers, so that two offers never cross; the other asks for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Signal {
    /// A session description. Of a call that is not known yet: a fresh peer connection; of one that
    /// is: an ICE restart.
    Offer {
        /// Which connection.
        call: Call,
        /// The number of the offer in this call, from 0.
        round: u32,
        /// The description.
        sdp: String,
    },
    /// The answer to an offer.
    Answer {
        /// Which connection.
        call: Call,
        /// Which offer.
        round: u32,
        /// The description.
        sdp: String,
    },
    /// An address at which the sender can be reached, found after the description was written.
    Candidate {
        /// Of which connection.
        call: Call,
        /// The address, as in SDP.
        candidate: String,
    },
    /// Asks for an offer.
    Wanted {
        /// The last offer that the sender knows of. If there is a newer one, it is in flight, and
        /// this is ignored.
        last: Option<(Call, u32)>,
        /// Whether a fresh peer connection is wanted, and not an ICE restart of the last one.
        fresh: bool,
    },
}
