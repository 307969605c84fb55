//! A link that is driven by hand, whose generator always draws the longest delay.

use core::convert::Infallible;
use core::time::Duration;

use relink::link::{Action, Input, LinkEvent, Timer, TransportId};
use relink::rand_core::TryRng;
use relink::{Instant, Link, LinkConfig};

/// Always draws the upper end of a window, so that the delays in the table are bounds.
#[derive(Debug, Clone)]
pub(crate) struct Longest;

impl TryRng for Longest {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::MAX)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::MAX)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(u8::MAX);
        Ok(())
    }
}

/// A link, the time, and the ids it has used so far.
#[derive(Debug, Clone)]
pub(crate) struct LinkProbe {
    pub(crate) link: Link<Longest>,
    pub(crate) now: Instant,
    pub(crate) ids: Vec<TransportId>,
}

impl LinkProbe {
    pub(crate) fn new(config: LinkConfig) -> Self {
        let link = Link::new(config, 1, Longest).expect("the table's configurations are valid");
        Self { link, now: Instant::ORIGIN, ids: vec![TransportId::default()] }
    }

    /// Passes an input now, and takes all actions.
    pub(crate) fn give(&mut self, input: Input) -> Vec<Action> {
        self.link.handle(input, self.now).expect("all actions were taken");
        let mut actions = Vec::new();
        while let Some(action) = self.link.poll_action() {
            if let Action::Dial { id, .. }
            | Action::FetchToken { id }
            | Action::FetchAddress { id, .. } = action
            {
                if !self.ids.contains(&id) {
                    self.ids.push(id);
                }
            }
            actions.push(action);
        }
        actions
    }

    /// Waits for the next deadline, which must be this one, and passes the timeout.
    pub(crate) fn due(&mut self, timer: Timer) -> Vec<Action> {
        assert_eq!(self.link.next_timer(), Some(timer), "in {:?}", self.link.state());
        self.now = self.link.poll_timeout().expect("a timer has a deadline");
        self.give(Input::Timeout)
    }

    /// The same link at the time at which the input may come: now, or when the deadline is due.
    pub(crate) fn in_time_for(&self, input: Input) -> Self {
        let due = self.link.poll_timeout().filter(|_| input == Input::Timeout);
        Self { now: due.map_or(self.now, |at| at.max(self.now)), ..self.clone() }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// The live transport, or the most recent one.
    pub(crate) fn id(&self) -> TransportId {
        self.link.transport().or(self.ids.last().copied()).unwrap_or_default()
    }

    /// The whole state of the link as text, at the present time.
    pub(crate) fn memory(&self) -> String {
        let mut link = self.link.clone();
        link.received(TransportId::default(), self.now);
        format!("{link:?}")
    }
}

/// The events among some actions.
pub(crate) fn events(actions: &[Action]) -> impl Iterator<Item = LinkEvent> + '_ {
    actions
        .iter()
        .filter_map(|action| if let Action::Event(event) = action { Some(*event) } else { None })
}
