//! Whether a client may still have its channels: asked again when it brings a fresh token.

use alloc::collections::BTreeSet;

use rand_core::Rng;

use crate::server::node::follow::Follow;
use crate::server::node::io::AuthorizationId;
use crate::server::node::{ConnectionId, Node};
use crate::session::{Channel, Problem, Secret};

/// At most this many at once of one connection: an application that is slow to answer about one channel does not keep it
/// from being asked about the others.
const AT_ONCE: usize = 8;

/// The channels of one connection that are to be asked about again.
#[derive(Debug, Default)]
pub(super) struct Recheck {
    waiting: BTreeSet<Channel>,
    /// Not answered yet, whatever became of the subscription meanwhile.
    asked: BTreeSet<AuthorizationId>,
}

impl<R: Rng> Node<R> {
    /// A fresh token came: what the old one allowed is asked about again.
    pub(super) fn recheck_all(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.recheck.waiting = connection.channels.iter().map(|(channel, _)| channel.clone()).collect();
        self.recheck(id);
    }

    /// Asks about the next channels. One whose first answer is still to come waits for that.
    pub(super) fn recheck(&mut self, id: ConnectionId) {
        while let Some((channel, token)) = self.next_recheck(id) {
            let request = AuthorizationId(self.next_number());
            let Some(connection) = self.connections.get_mut(&id) else { return };
            connection.recheck.asked.insert(request);
            if let Some(subscription) = connection.subscription(&channel) {
                subscription.rechecked = Some(request);
            }
            self.ask_permission(id, request, channel, token);
        }
    }

    fn next_recheck(&mut self, id: ConnectionId) -> Option<(Channel, Option<Secret>)> {
        let connection = self.connections.get_mut(&id)?;
        if connection.recheck.asked.len() >= AT_ONCE {
            return None;
        }
        // What is not subscribed to any more is not asked about.
        let mut waiting = core::mem::take(&mut connection.recheck.waiting);
        waiting.retain(|channel| connection.subscription(channel).is_some());
        let is_settled = |channel: &&Channel| {
            let index = connection.channels.binary_search_by(|(name, _)| name.cmp(channel)).ok();
            let subscription = index.and_then(|index| connection.channels.get(index)).map(|(_, it)| it);
            subscription.is_some_and(|it| !matches!(it.follow, Follow::Asked { .. }))
        };
        let next = waiting.iter().find(is_settled).cloned();
        if let Some(channel) = &next {
            waiting.remove(channel);
        }
        connection.recheck.waiting = waiting;
        let channel = next?;
        let token = connection.subscription(&channel)?.token.clone();
        Some((channel, token))
    }

    /// The answer about a channel that was allowed before. A subscription that began anew meanwhile was asked about by itself.
    pub(super) fn rechecked(
        &mut self,
        id: ConnectionId,
        request: AuthorizationId,
        channel: &Channel,
        result: Result<(), Problem>,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.recheck.asked.remove(&request);
        let subscription = connection.subscription(channel);
        let is_meant =
            subscription.is_some_and(|it| it.rechecked.take_if(|asked| *asked == request).is_some());
        if let Some(problem) = result.err().filter(|_| is_meant) {
            self.unsubscribe(id, channel, Some(problem));
        }
        self.recheck(id);
    }
}
