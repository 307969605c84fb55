//! What a proxy can do to a connection.

use std::{num::NonZeroU32, time::Duration};

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "a connection has two directions")]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
    /// Both of them.
    Both,
}

impl Direction {
    fn covers(self, one: Self) -> bool {
        self == one || self == Self::Both
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Termination {
    /// Both sides see a reset (RST), in the middle of whatever they are doing.
    Reset,
    /// Ends the stream (FIN) in this direction; later bytes are not forwarded. In both directions
    /// that ends the connection, in one of them it is half-closed until the other side ends it,
    /// too.
    Fin(Direction),
}

/// What happens to the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Every byte is forwarded at once. Undoes all of the others but [`Cut`](Self::Cut).
    Pass,
    /// Nothing is forwarded, neither an end nor a reset: silence. What is sent meanwhile waits, as
    /// it does in a network that is interrupted, and comes through after [`Pass`](Self::Pass).
    Hole(Direction),
    /// Delays every byte by this.
    Delay(Direction, Duration),
    /// Limits the rate to this many bytes a second.
    Rate(Direction, NonZeroU32),
    /// The connection is cut, now. Does nothing to connections that come later.
    Cut(Termination),
    /// Cuts the connection after exactly this many more bytes in this direction (in each one, with
    /// [`Direction::Both`]): in the middle of a frame, of a header, of a handshake. On connections
    /// that come later, counted from their start.
    CutAfter(Direction, u64, Termination),
}

/// What happens to clients that dial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dials {
    /// They are connected to the upstream.
    #[default]
    Pass,
    /// They are accepted and reset at once.
    Reset,
    /// The port is closed: the system refuses them.
    Closed,
}

/// The faults of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    pub(super) hole: bool,
    pub(super) delay: Duration,
    pub(super) rate: Option<NonZeroU32>,
    pub(super) fin: bool,
    /// The count of bytes at which it is cut.
    pub(super) cut_at: Option<(u64, Termination)>,
}

/// The faults of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Orders {
    pub(super) up: Flow,
    pub(super) down: Flow,
    pub(super) reset: bool,
}

impl Orders {
    pub(super) fn flow(&self, way: Direction) -> &Flow {
        if way == Direction::Up { &self.up } else { &self.down }
    }

    /// Applies a fault; `forwarded` is the number of bytes forwarded up and down so far.
    pub(super) fn apply(&mut self, fault: Fault, forwarded: (u64, u64)) {
        match fault {
            Fault::Pass => {
                for flow in [&mut self.up, &mut self.down] {
                    *flow = Flow { fin: flow.fin, ..Flow::default() };
                }
            }
            Fault::Hole(way) => self.each(way, |flow, _| flow.hole = true, forwarded),
            Fault::Delay(way, delay) => self.each(way, |flow, _| flow.delay = delay, forwarded),
            Fault::Rate(way, rate) => self.each(way, |flow, _| flow.rate = Some(rate), forwarded),
            Fault::Cut(Termination::Reset) => self.reset = true,
            Fault::Cut(Termination::Fin(way)) => {
                self.each(way, |flow, _| flow.fin = true, forwarded)
            }
            Fault::CutAfter(way, count, end) => {
                let cut = |flow: &mut Flow, so_far: u64| {
                    flow.cut_at = Some((so_far.saturating_add(count), end))
                };
                self.each(way, cut, forwarded);
            }
        }
    }

    pub(super) fn forget_cut(&mut self, way: Direction) {
        self.each(way, |flow, _| flow.cut_at = None, (0, 0));
    }

    fn each(
        &mut self,
        way: Direction,
        mut change: impl FnMut(&mut Flow, u64),
        (up, down): (u64, u64),
    ) {
        if way.covers(Direction::Up) {
            change(&mut self.up, up);
        }
        if way.covers(Direction::Down) {
            change(&mut self.down, down);
        }
    }
}
