//! What a world is made of, and what happens to it: drawn from the seed.

use std::time::Duration;

use relink::SessionConfig;
use relink::session::Overflow;
use relink_node::{HistoryConfig, NodeConfig};
use relink_v1::{self, Encoding};

use super::dice::Dice;
use crate::secs;

/// Which kind of trouble a world has more of. Every rule is checked in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// A bit of everything.
    Mixed,
    /// Transports are cut, dials refused; frames stay whole.
    Cuts,
    /// Frames are lost, doubled or overtaken at the ends of transports.
    Frames,
    /// Nodes are killed and drained, clients crash, the store fails.
    Nodes,
    /// Histories are short and sessions end early.
    Short,
    /// Members come and go.
    Members,
    /// Applications take long for a message, and messages are larger than a peer, or something in
    /// between, takes.
    Burdens,
}

/// What can happen to a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A transport is cut.
    Cut,
    /// A client gets no transport for a while.
    Offline,
    /// A node is gone with all it knew, and another one starts in its place later.
    Kill,
    /// A node drains and restarts later.
    Drain,
    /// The store fails for a while, before or after it did what was asked.
    Store,
    /// Store events are lost for a while; then `Lagged` is emitted.
    StoreEvent,
    /// An application does not take its messages for a while.
    Behind,
    /// A channel's tokens cannot be had, or are refused, for a while.
    Tokens,
    /// A client's process ends, and another one resumes its session.
    Crash,
    /// A client's process ends, and another one begins.
    Amnesia,
    /// The socket of a connection takes nothing for a while.
    Stuck,
    /// The user retries.
    Retry,
}

/// Everything that is settled before a world begins.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) clients: usize,
    pub(super) hosts: usize,
    pub(super) channels: usize,
    /// How long there is trouble.
    pub(super) trouble: Duration,
    pub(super) faults: Vec<Fault>,
    /// The mean time between two faults, in milliseconds.
    pub(super) calm: u64,
    /// The same between two acts of one client.
    pub(super) idle: u64,
    /// How many in a hundred transports lose, double or delay frames.
    pub(super) faulty_wires: u64,
    pub(super) history: HistoryConfig,
    pub(super) node: NodeConfig,
    /// The handshake does not authenticate.
    pub(super) asks_who: bool,
    /// Nothing can be lost for lack of room or time.
    pub(super) roomy: bool,
    /// Sessions last longer than any trouble with the store.
    pub(super) lasting: bool,
    /// How many in a hundred handlers are slow, and how long they take at most, in milliseconds.
    pub(super) slow: (u64, u64),
    /// How many in a hundred messages are padded.
    pub(super) padded: u64,
    /// Larger messages do not reach a node, whatever limit it announces.
    pub(super) passes: usize,
}

impl Plan {
    pub(super) fn draw(profile: Profile, dice: &mut Dice) -> Self {
        let short = match profile {
            Profile::Short => true,
            Profile::Mixed => dice.percent(30),
            Profile::Cuts
            | Profile::Frames
            | Profile::Nodes
            | Profile::Members
            | Profile::Burdens => false,
        };
        let history = if short {
            short_history(dice)
        } else {
            HistoryConfig::default().with_max_age(secs(3600))
        };
        let faulty_wires = match profile {
            Profile::Frames => 60,
            Profile::Mixed => 20,
            Profile::Cuts
            | Profile::Nodes
            | Profile::Short
            | Profile::Members
            | Profile::Burdens => 0,
        };
        let plan = Self {
            clients: dice.index(3) + 2,
            hosts: dice.index(2) + 2,
            channels: dice.index(2) + 2,
            trouble: dice.secs(60, 180),
            faults: faults(profile),
            calm: dice.pick(&[3_000, 8_000, 20_000]),
            idle: dice.pick(&[1_500, 4_000, 8_000]),
            faulty_wires,
            node: node(history, dice),
            lasting: history.session_ttl >= secs(120),
            history,
            asks_who: dice.percent(30),
            roomy: !short,
            slow: (5, 3_000),
            padded: 0,
            passes: usize::MAX,
        };
        if profile == Profile::Burdens { plan.burdened(dice) } else { plan }
    }

    fn burdened(mut self, dice: &mut Dice) -> Self {
        self.slow = dice.pick(&[(5, 3_000), (20, 15_000), (5, 90_000)]);
        self.padded = dice.pick(&[3, 10, 30]);
        match dice.below(3) {
            // The node announces its limit; it publishes less; or something in between has a lower,
            // silent limit.
            0 => self.node.max_message = 512,
            1 => self.node.max_publication = 600,
            _ => self.passes = 700,
        }
        self.passes = self.passes.min(self.node.max_message);
        self
    }

    /// The configuration of one client.
    pub(super) fn client(dice: &mut Dice) -> (SessionConfig, Encoding) {
        let mut config = relink_v1::config();
        if dice.percent(40) {
            let overflow =
                dice.pick(&[Overflow::Refuse, Overflow::DropOldest, Overflow::DropNewest]);
            config.outbox =
                config.outbox.with_overflow(overflow).with_max_messages(dice.index(8) + 2);
        }
        config.outbox.in_flight = dice.pick(&[1, 2, 8, 256]);
        if dice.percent(20) {
            config.outbox.ttl = Some(dice.secs(2, 20));
        }
        if dice.percent(20) {
            config.outbox.pace =
                Some(relink::policy::Rate { burst: 2, refill: Duration::from_millis(300) });
        }
        (config, dice.pick(&[Encoding::Json, Encoding::Cbor]))
    }
}

fn short_history(dice: &mut Dice) -> HistoryConfig {
    let max_age = dice.pick(&[20, 60, 3600]);
    let session_ttl = dice.pick(&[15, 40, 120]);
    HistoryConfig::default()
        .with_max_messages(dice.index(12) + 1)
        .with_max_bytes(dice.pick(&[64, 1 << 20]))
        .with_max_age(secs(max_age))
        .with_session_ttl(secs(session_ttl))
}

fn node(history: HistoryConfig, dice: &mut Dice) -> NodeConfig {
    let mut config = NodeConfig::default().with_history(history);
    config.page = dice.pick(&[1, 3, 256]);
    if dice.percent(40) {
        config.max_unhandled = dice.index(4) + 1;
        config.max_outbound_bytes = dice.pick(&[1, 200, 2_000]);
    }
    config
}

fn faults(profile: Profile) -> Vec<Fault> {
    use Fault::{
        Amnesia, Behind, Crash, Cut, Drain, Kill, Offline, Retry, Store, StoreEvent, Stuck, Tokens,
    };
    match profile {
        Profile::Mixed => {
            vec![
                Cut, Cut, Offline, Kill, Drain, Store, StoreEvent, Behind, Tokens, Crash, Amnesia,
                Stuck, Retry,
            ]
        }
        Profile::Cuts => vec![Cut, Cut, Cut, Cut, Offline, Retry, Behind, Crash, StoreEvent],
        Profile::Frames => vec![Cut, Behind, StoreEvent, Stuck, Crash],
        Profile::Nodes => vec![Kill, Kill, Drain, Store, Store, Cut, Crash, StoreEvent],
        Profile::Short => {
            vec![Cut, Offline, Offline, Kill, Store, Crash, Behind, Stuck, StoreEvent]
        }
        Profile::Members => {
            vec![Cut, Cut, Cut, Offline, Kill, Drain, Amnesia, Tokens, StoreEvent, Store]
        }
        Profile::Burdens => {
            vec![Cut, Cut, Cut, Offline, Behind, Stuck, Crash, Kill, Drain, Store, StoreEvent]
        }
    }
}
