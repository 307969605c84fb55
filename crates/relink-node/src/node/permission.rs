//! Asking the application whether a user may have a channel, and the store for what a subscription
//! missed: little at a time for each connection.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use rand_core::Rng;

use crate::Stream;
use crate::node::input_action::AuthorizationId;
use crate::node::streams::Greet;
use crate::node::{ConnectionId, Node, NodeAction};
use relink::Channel;
use relink::session::Problem;

/// At most this many answers are due to one connection at a time. Enough for a client that
/// subscribes to all its channels again.
const AT_ONCE: usize = 16;

/// What one connection wants to know.
#[derive(Debug)]
pub(super) struct Permissions {
    /// In the order in which they were asked for; at most one for each channel.
    waiting: BTreeMap<AuthorizationId, Channel>,
    /// Answers of the application and of the store that are due, wanted or not.
    due: usize,
}

impl Permissions {
    pub(super) const fn new() -> Self {
        Self { waiting: BTreeMap::new(), due: 0 }
    }

    /// The answer is not wanted any more. A question that was asked keeps its place until it is
    /// answered.
    pub(super) fn forget(&mut self, request: AuthorizationId) {
        self.waiting.remove(&request);
    }
}

impl<R: Rng> Node<R> {
    /// Asks about a channel that is subscribed to, when it is its turn.
    pub(super) fn ask_permission(&mut self, id: ConnectionId, channel: &Channel) {
        let request = AuthorizationId(self.next_number());
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(subscription) = connection.subscription(channel) else { return };
        subscription.question = Some(request);
        connection.permissions.waiting.insert(request, channel.clone());
        self.ask_permissions(id);
    }

    /// A fresh token came: what the old one allowed is asked about again.
    pub(super) fn ask_all_again(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let mut settled = Vec::new();
        for (channel, subscription) in &mut connection.channels {
            match subscription.question {
                None => settled.push(channel.clone()),
                // The application was asked with what the old token said.
                Some(request) => {
                    subscription.again = !connection.permissions.waiting.contains_key(&request)
                }
            }
        }
        for channel in settled {
            self.ask_permission(id, &channel);
        }
    }

    fn ask_permissions(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let user = connection.user_name();
        while connection.permissions.due < AT_ONCE {
            let Some((request, channel)) = connection.permissions.waiting.pop_first() else {
                return;
            };
            let Some(subscription) = connection.subscription(&channel) else { continue };
            let token = subscription.token.clone();
            connection.permissions.due += 1;
            self.authorizations.insert(request, (id, channel.clone()));
            let user = user.clone();
            self.actions.push_back(NodeAction::Authorize { request, id, user, channel, token });
        }
    }

    pub(super) fn authorized(&mut self, request: AuthorizationId, result: Result<(), Problem>) {
        let Some((id, channel)) = self.authorizations.remove(&request) else { return };
        let connection = self.connections.get_mut(&id);
        let subscription = connection.and_then(|connection| connection.subscription(&channel));
        // A subscription that ended meanwhile, or began anew, is not meant.
        if let Some(subscription) = subscription.filter(|it| it.question == Some(request)) {
            subscription.question = None;
            let again = core::mem::take(&mut subscription.again);
            let begins = subscription.follow.wanted();
            match (result, begins) {
                (Err(problem), _) => self.unsubscribe(id, &channel, Some(problem)),
                (Ok(()), Some(since)) => {
                    let stream = Stream::Channel(channel.clone());
                    self.watch(id, &stream);
                    self.look_up(id, &stream, since, Greet::First);
                }
                (Ok(()), None) => {}
            }
            if again {
                self.ask_permission(id, &channel);
            }
        }
        self.give_back(id);
    }

    /// One more answer of the store is due to this connection: it waits for it before it asks the
    /// application further.
    pub(super) fn hold_place(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.permissions.due = connection.permissions.due.saturating_add(1);
        }
    }

    /// An answer came.
    pub(super) fn give_back(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.permissions.due = connection.permissions.due.saturating_sub(1);
            self.ask_permissions(id);
        }
    }
}
