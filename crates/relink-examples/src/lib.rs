//! Example programs, and their parts.
//!
//! * `peers`: WebRTC peers, kept together by a signalling link that stays up; with the feature
//!   `webrtc`. See `mesh` and `room`.
//! * `banner`: a terminal that shows the state of a link. See [`banner`].

pub mod banner;
pub mod clock;
#[cfg(feature = "webrtc")]
pub mod mesh;
#[cfg(feature = "webrtc")]
pub mod room;
