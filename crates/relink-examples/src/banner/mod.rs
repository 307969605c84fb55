//! What a person is shown of a link: no flicker on a short drop, a way out when it takes long, and
//! what to do when it has ended.
//!
//! [`Screen`] keeps what there is to show, from the link's events; [`draw()`] puts it on a
//! terminal. The decisions, when a banner shows and when a link counts as stuck, are the link's own
//! ([`StatusChange`](relink::link::StatusChange)).

mod draw;
mod drawn;
mod screen;

pub use draw::draw;
pub use drawn::{Drawn, DrawnLog};
pub use screen::Screen;
