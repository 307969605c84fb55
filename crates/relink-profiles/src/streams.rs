//! Channels of systems that number nothing: the numbers are given here.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use relink::protocol::{ProtocolEvent, ServerFrame};
use relink::{Channel, Message, Position};

/// Counts messages channel by channel. Every subscription starts a new epoch: what was said while
/// the link was down is lost, and the session tells so.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams {
    epoch: u32,
    channels: BTreeMap<Channel, Stream>,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    /// The peer has not said yet that messages come.
    asked: bool,
    /// Nor who is there.
    awaits_members: bool,
    offset: u64,
}

impl Streams {
    /// A new transport: nothing comes before it is asked for again.
    pub(super) fn reset(&mut self) {
        self.channels.clear();
    }

    /// A channel was asked for.
    pub(super) fn asked(&mut self, channel: Channel) {
        self.channels.insert(channel, Stream { asked: true, awaits_members: true, offset: 0 });
    }

    /// A channel is not wanted any more, or was refused.
    pub(super) fn forget(&mut self, channel: &Channel) {
        self.channels.remove(channel);
    }

    /// The peer speaks of a channel: by an answer, or by something on it that overtook the answer.
    pub(super) fn confirmed(&mut self, channel: &Channel, events: &mut Vec<ProtocolEvent>) {
        let Some(stream) = self.channels.get_mut(channel).filter(|stream| stream.asked) else {
            return;
        };
        stream.asked = false;
        self.epoch = self.epoch.wrapping_add(1);
        let position = Position::new(self.epoch, 0);
        let channel = channel.clone();
        events.push(ServerFrame::Subscribed { channel, position, recovered: true }.into());
    }

    /// A message on a channel; one that nobody asked for is dropped.
    pub(super) fn message(
        &mut self,
        channel: &Channel,
        message: Message,
        events: &mut Vec<ProtocolEvent>,
    ) {
        self.confirmed(channel, events);
        let Some(stream) = self.channels.get_mut(channel) else { return };
        stream.offset = stream.offset.saturating_add(1);
        let offset = stream.offset;
        let channel = Some(channel.clone());
        events.push(ServerFrame::Publication { channel, offset, payload: message }.into());
    }

    /// Somebody's presence is spoken of. Tells whether this is the first time since the channel was
    /// asked for, and so everybody; `None` where nobody asked.
    pub(super) fn presence(
        &mut self,
        channel: &Channel,
        events: &mut Vec<ProtocolEvent>,
    ) -> Option<bool> {
        self.confirmed(channel, events);
        let stream = self.channels.get_mut(channel)?;
        Some(core::mem::replace(&mut stream.awaits_members, false))
    }
}
