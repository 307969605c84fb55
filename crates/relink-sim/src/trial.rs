//! A link on trial: handed anything, at any time, and checked after each step.

use rand_pcg::Pcg32;
use relink::link::{Action, ActionsPending, Input, TransportId};
use relink::rand_core::SeedableRng;
use relink::{ConfigError, Instant, Link, LinkConfig};

use crate::model::{Model, Snapshot, Violation};
use crate::stimulus::Stimulus;

const ENDPOINTS: u8 = 2;

/// Two links and a [`Model`], given the same stimuli.
///
/// One link is driven as it should be. Its twin is driven as badly as a driver may: its clock goes
/// backwards, and its actions are taken late. Both must do the same, byte for byte.
#[derive(Debug, Clone)]
pub struct DifferentialTest {
    link: Link<Pcg32>,
    twin: Link<Pcg32>,
    model: Model,
    now: Instant,
    ids: Vec<TransportId>,
    /// What the link did and the twin has yet to show.
    owed: Vec<Action>,
    steps: u32,
}

impl DifferentialTest {
    /// Two fresh links with the same configuration and seed.
    ///
    /// # Errors
    ///
    /// The first field of the configuration that cannot work.
    pub fn new(config: LinkConfig, seed: u64) -> Result<Self, ConfigError> {
        let link = Link::new(config, ENDPOINTS, Pcg32::seed_from_u64(seed))?;
        let (twin, model) = (link.clone(), Model::new(config, ENDPOINTS));
        Ok(Self {
            link,
            twin,
            model,
            now: Instant::ORIGIN,
            ids: Vec::new(),
            owed: Vec::new(),
            steps: 0,
        })
    }

    /// The link that is driven as it should be.
    #[must_use]
    pub const fn link(&self) -> &Link<Pcg32> {
        &self.link
    }

    /// The time so far.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Applies a stimulus, and checks the result.
    ///
    /// # Errors
    ///
    /// The first rule that was broken.
    pub fn apply(&mut self, stimulus: Stimulus) -> Result<(), Violation> {
        let (input, moment) = stimulus.resolve(&self.link, self.now, &self.ids);
        self.hand_in(input, moment)
    }

    /// Passes an input, and checks the result.
    ///
    /// # Errors
    ///
    /// The first rule that was broken.
    pub fn hand_in(&mut self, input: Input, moment: Instant) -> Result<(), Violation> {
        self.now = self.now.max(moment);
        let before = self.look();
        if self.link.handle(input, self.now).is_err() {
            return broken("a drained link takes every input", format!("{input:?}"));
        }
        let actions = drain(&mut self.link);
        let after = self.look();
        self.ids.extend(actions.iter().filter_map(|action| {
            use Action::{Dial, FetchAddress, FetchToken};
            let (Dial { id, .. } | FetchToken { id } | FetchAddress { id, .. }) = action else {
                return None;
            };
            Some(*id)
        }));
        self.ids.dedup();
        let checked = self.model.check(input, self.now, &before, &actions, &after);
        checked.map_err(|Violation { rule, detail }| Violation {
            rule,
            detail: format!("at {:?}: {detail}", self.now),
        })?;
        if input == Input::Timeout && after.deadline.is_some_and(|(at, _)| at <= self.now) {
            return broken(
                "a deadline that was handled is past",
                format!("{after:?} at {:?}", self.now),
            );
        }
        self.hand_to_twin(input, moment)?;
        self.owed.extend(actions);
        self.compare()
    }

    fn look(&self) -> Snapshot {
        Snapshot {
            state: self.link.state(),
            flushing: self.link.is_flushing(),
            transport: self.link.transport(),
            deadline: self.link.poll_timeout().zip(self.link.next_timer()),
            attempts: self.link.attempts(),
            shown: self.link.surface().shown(),
        }
    }

    fn hand_to_twin(&mut self, input: Input, moment: Instant) -> Result<(), Violation> {
        // A timeout stops early if there is no room for its actions: here there is.
        if input == Input::Timeout {
            self.settle()?;
        }
        let Err(ActionsPending { input: handed_back, .. }) = self.twin.handle(input, moment) else {
            return Ok(());
        };
        if handed_back != input {
            return broken(
                "an input is handed back unchanged",
                format!("{input:?} as {handed_back:?}"),
            );
        }
        self.settle()?;
        match self.twin.handle(input, moment) {
            Ok(()) => Ok(()),
            Err(_) => broken("a drained link takes every input", format!("{input:?}")),
        }
    }

    fn compare(&mut self) -> Result<(), Violation> {
        let (link, twin) = (&self.link, &self.twin);
        self.steps = self.steps.wrapping_add(1);
        // Statistics are large, and a difference in them stays.
        let thorough = self.steps % 4 == 0;
        let same = link.state() == twin.state() && link.poll_timeout() == twin.poll_timeout();
        if !same || (thorough && link.stats() != twin.stats()) {
            return broken(
                "time that goes backwards stands still",
                format!("{link:?}, but {twin:?}"),
            );
        }
        if thorough { self.settle() } else { Ok(()) }
    }

    /// Takes the twin's actions: they are those of the link, in the same order.
    fn settle(&mut self) -> Result<(), Violation> {
        let (owed, shown) = (core::mem::take(&mut self.owed), drain(&mut self.twin));
        if owed == shown {
            return Ok(());
        }
        broken("the same inputs give the same actions", format!("{owed:?}, but {shown:?}"))
    }
}

fn drain(link: &mut Link<Pcg32>) -> Vec<Action> {
    core::iter::from_fn(|| link.poll_action()).collect()
}

fn broken(rule: &'static str, detail: String) -> Result<(), Violation> {
    Err(Violation { rule, detail })
}
