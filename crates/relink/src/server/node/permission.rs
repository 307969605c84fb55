//! Asking the application whether a user may have a channel: a few questions at a time for each connection.

use alloc::collections::BTreeMap;

use rand_core::Rng;

use crate::server::Stream;
use crate::server::node::follow::Follow;
use crate::server::node::io::AuthorizationId;
use crate::server::node::{ConnectionId, Node, NodeAction};
use crate::session::{Channel, Problem, Secret};

/// So many questions of one connection are with the application at a time; the others wait. Enough for a client that
/// subscribes to all its channels again.
const AT_ONCE: usize = 16;

/// What one connection wants to know.
#[derive(Debug)]
pub(super) struct Permissions {
    /// In the order in which they were asked for; at most one for each channel.
    waiting: BTreeMap<AuthorizationId, (Channel, Option<Secret>)>,
    /// So many answers are due, wanted or not.
    asked: usize,
}

impl Permissions {
    pub(super) const fn new() -> Self {
        Self { waiting: BTreeMap::new(), asked: 0 }
    }

    /// The answer is not wanted any more. A question that was asked keeps its place until it is answered.
    pub(super) fn forget(&mut self, request: AuthorizationId) {
        self.waiting.remove(&request);
    }
}

impl<R: Rng> Node<R> {
    pub(super) fn ask_permission(
        &mut self,
        id: ConnectionId,
        request: AuthorizationId,
        channel: Channel,
        token: Option<Secret>,
    ) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.permissions.waiting.insert(request, (channel, token));
        }
        self.ask_permissions(id);
    }

    fn ask_permissions(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let user = connection.user_name();
        let permissions = &mut connection.permissions;
        while permissions.asked < AT_ONCE {
            let Some((request, (channel, token))) = permissions.waiting.pop_first() else { return };
            permissions.asked += 1;
            self.authorizations.insert(request, (id, channel.clone()));
            let user = user.clone();
            self.actions.push_back(NodeAction::Authorize { request, id, user, channel, token });
        }
    }

    pub(super) fn authorized(&mut self, request: AuthorizationId, result: Result<(), Problem>) {
        let Some((id, channel)) = self.authorizations.remove(&request) else { return };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.permissions.asked = connection.permissions.asked.saturating_sub(1);
            self.ask_permissions(id);
        }
        match self.follow(id, &Stream::Channel(channel.clone())) {
            Some(Follow::Asked { request: asked, since }) if *asked == request => {
                let since = *since;
                self.permitted(id, channel, since, result);
            }
            Some(_) | None => self.rechecked(id, request, &channel, result),
        }
    }
}
