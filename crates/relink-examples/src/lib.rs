//! Example programs, and their parts.
//!
//! * `peers`: WebRTC peers, kept together by a signalling link that stays up; with the feature
//!   `webrtc`. See `mesh` and `room`.
//! * `banner`: a terminal that shows the state of a link; with the feature `banner`.

#[cfg(feature = "banner")]
pub mod banner;
#[cfg(any(feature = "banner", feature = "webrtc"))]
pub mod clock;
#[cfg(feature = "webrtc")]
pub mod mesh;
#[cfg(feature = "webrtc")]
pub mod room;
