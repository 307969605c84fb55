//! Programs that show relink at work, and what they are made of.
//!
//! * `peers`: WebRTC peers, kept together by a signalling link that stays up; with the feature
//!   `webrtc`. See `mesh` and `room`.
//! * `banner`: a terminal that tells a person how the link is. See [`banner`].

pub mod banner;
pub mod clock;
#[cfg(feature = "webrtc")]
pub mod mesh;
#[cfg(feature = "webrtc")]
pub mod room;
