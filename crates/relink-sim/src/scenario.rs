//! Short cuts of a [`Sim`]: to where a scenario begins, and from one attempt to the next.

use std::time::Duration;

use relink::link::Timer;
use relink::{Failure, Phase, Protocol, State};

use crate::peer::OnDial;
use crate::sim::Sim;

impl<P: Protocol> Sim<P> {
    /// Connects, to a peer that accepts: the transport is open, and the protocol's handshake, if
    /// there is one, begins.
    pub fn open(&mut self) {
        if self.world.on_dial == OnDial::Hold {
            self.connect();
            return self.peer().accept();
        }
        self.peer().on_dial(OnDial::Accept);
        self.connect();
    }

    /// Connects, to a peer that accepts, until the link is usable. For links without a handshake.
    pub fn to_connected(&mut self) {
        self.open();
        self.check(self.state() == State::Connected, "it did not come to be connected");
    }

    /// Connects, until the link is usable, and vouches for it: failures count from here.
    pub fn to_stable(&mut self) {
        self.to_connected();
        self.mark_stable();
    }

    /// Connects, to a peer that refuses, until this many attempts have failed: the link waits for
    /// the next one. The peer goes on refusing; [`Peer::on_dial`](crate::Peer::on_dial) ends the
    /// outage.
    pub fn to_waiting(&mut self, attempts: u32) {
        self.peer().on_dial(OnDial::Refuse(Failure::Refused));
        self.connect();
        while self.attempts() < attempts && self.step() {}
        let waits = matches!(self.state(), State::Connecting(Phase::Waiting));
        self.check(waits, "it did not come to wait for another attempt");
    }

    /// Connects and closes: everything queued and the close frame are out, and the peer does not
    /// answer.
    pub fn to_closing(&mut self) {
        self.to_connected();
        self.peer().silence();
        self.close(1000);
        self.check(self.state() == State::Closing, "it did not come to be closing");
    }

    /// Lets time pass until the next dial. Returns whether there was one.
    pub fn next_dial(&mut self) -> bool {
        let before = self.dials().len();
        while self.dials().len() == before && self.step() {}
        self.dials().len() > before
    }

    /// Lets time pass until an attempt begins, unless one is under way. Returns whether there is
    /// one.
    pub fn next_attempt(&mut self) -> bool {
        while self.machine().link().transport().is_none() && self.step() {}
        self.machine().link().transport().is_some()
    }

    /// Lets the transport fail, or the attempt under way, and then each attempt after it, this many
    /// times in all; the next one is under way then. Returns how long the link waited each time.
    ///
    /// # Panics
    ///
    /// If the link ends before.
    #[track_caller]
    pub fn fail(&mut self, times: usize) -> Vec<Duration> {
        let mut waits = Vec::with_capacity(times);
        for _ in 0..times {
            self.peer().refuse(Failure::Refused);
            waits.extend(self.retry_in());
            let goes_on = self.next_attempt();
            self.check(goes_on, "it ended instead of trying again");
        }
        waits
    }

    /// Lets time pass until the link's next deadline, and handles it. Returns which it was.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn due(&mut self) -> Timer {
        let timer = self.machine().link().next_timer();
        self.check(timer.is_some(), "it has no deadline");
        self.step();
        timer.unwrap_or(Timer::Backoff)
    }
}
