//! What may happen, and under which configuration.

use proptest::prelude::*;
use relink::link::ReopenPolicy;
use relink::policy::Rate;
use relink::session::{OutboxConfig, Overflow, SubscriptionsConfig};
use relink::{Guarantee, Priority, SessionConfig};
use relink_v1 as v1;

use crate::support::{millis, secs};

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    // The application.
    Send {
        priority: Priority,
        bytes: usize,
    },
    Subscribe {
        channel: u8,
        token: bool,
        presence: Option<u8>,
    },
    Unsubscribe {
        channel: u8,
    },
    Take {
        count: u8,
    },
    Close,
    Connect,
    // The driver.
    Transmit {
        frames: u8,
    },
    Open,
    Lose {
        tail: u8,
    },
    ChannelToken {
        channel: u8,
        works: bool,
    },
    Wait {
        millis: u16,
    },
    Backwards {
        millis: u16,
    },
    // The server, correct.
    Welcome,
    Forget,
    Ack {
        behind: u8,
    },
    Reject,
    Answer {
        channel: u8,
    },
    Refuse {
        channel: u8,
        for_now: bool,
    },
    Publish {
        channel: Option<u8>,
    },
    Members {
        channel: u8,
        users: u8,
    },
    Joined {
        channel: u8,
        user: u8,
    },
    Left {
        channel: u8,
        user: u8,
    },
    // The server, confused or hostile.
    Repeat {
        channel: Option<u8>,
    },
    Skip {
        channel: Option<u8>,
    },
    AckAnything {
        serial: u64,
    },
    WelcomeAnything {
        resumed: bool,
        received: u8,
        offset: u8,
    },
    CountAnything {
        sent: u8,
    },
    /// A frame from an earlier transport.
    Late,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let channel = 0..3_u8;
    let stream = prop::option::of(0..3_u8);
    let priority = prop_oneof![Just(Priority::High), Just(Priority::Normal), Just(Priority::Low)];
    prop_oneof![
        8 => (priority, 0..40_usize).prop_map(|(priority, bytes)| Step::Send { priority, bytes }),
        3 => (channel.clone(), any::<bool>(), prop::option::of(0..3_u8))
            .prop_map(|(channel, token, presence)| Step::Subscribe { channel, token, presence }),
        1 => channel.clone().prop_map(|channel| Step::Unsubscribe { channel }),
        4 => (0..6_u8).prop_map(|count| Step::Take { count }),
        10 => (1..8_u8).prop_map(|frames| Step::Transmit { frames }),
        4 => Just(Step::Open),
        3 => (0..4_u8).prop_map(|tail| Step::Lose { tail }),
        2 => (channel.clone(), any::<bool>()).prop_map(|(channel, works)| Step::ChannelToken { channel, works }),
        5 => (0..12_000_u16).prop_map(|millis| Step::Wait { millis }),
        8 => Just(Step::Welcome),
        1 => Just(Step::Forget),
        4 => (0..4_u8).prop_map(|behind| Step::Ack { behind }),
        2 => Just(Step::Reject),
        4 => channel.clone().prop_map(|channel| Step::Answer { channel }),
        1 => (channel.clone(), any::<bool>()).prop_map(|(channel, for_now)| Step::Refuse { channel, for_now }),
        10 => stream.clone().prop_map(|channel| Step::Publish { channel }),
        2 => (channel.clone(), 0..16_u8).prop_map(|(channel, users)| Step::Members { channel, users }),
        2 => (channel.clone(), 0..4_u8).prop_map(|(channel, user)| Step::Joined { channel, user }),
        2 => (channel, 0..4_u8).prop_map(|(channel, user)| Step::Left { channel, user }),
        2 => stream.clone().prop_map(|channel| Step::Repeat { channel }),
        1 => prop_oneof![
            stream.prop_map(|channel| Step::Skip { channel }),
            any::<u64>().prop_map(|serial| Step::AckAnything { serial: serial >> 11 }),
            (any::<bool>(), 0..9_u8, 0..9_u8)
                .prop_map(|(resumed, received, offset)| Step::WelcomeAnything { resumed, received, offset }),
            (0..9_u8).prop_map(|sent| Step::CountAnything { sent }),
            (0..9_000_u16).prop_map(|millis| Step::Backwards { millis }),
            Just(Step::Late),
            Just(Step::Close),
            Just(Step::Connect),
        ],
    ]
}

pub(super) fn config() -> impl Strategy<Value = SessionConfig> {
    let overflow =
        prop_oneof![Just(Overflow::Refuse), Just(Overflow::DropOldest), Just(Overflow::DropNewest)];
    let guarantee =
        prop_oneof![4 => Just(Guarantee::AtLeastOnce), 1 => Just(Guarantee::AtMostOnce)];
    let pace = prop::option::weighted(0.3, (1..3_u32, 100..2_000_u64));
    (overflow, guarantee, pace, any::<bool>(), any::<bool>(), 1..8_usize).prop_map(
        |(overflow, guarantee, pace, resubscribe, expires, in_flight)| {
            let outbox = OutboxConfig::default()
                .with_max_messages(8)
                .with_max_bytes(120)
                .with_overflow(overflow)
                .with_guarantee(guarantee)
                .with_in_flight(in_flight)
                .with_pace(pace.map(|(burst, refill)| Rate { burst, refill: millis(refill) }))
                .with_ttl(expires.then_some(secs(9)));
            let config = v1::config();
            config
                .with_link(config.link.with_reopen(ReopenPolicy::Always))
                .with_outbox(outbox)
                .with_subscriptions(SubscriptionsConfig::default().with_resubscribe(resubscribe))
        },
    )
}
