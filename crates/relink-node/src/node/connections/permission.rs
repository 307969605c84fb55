//! Questions to the application: which user a token belongs to, and whether the user may subscribe
//! to a channel. A few at a time for each connection.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Connections, Start};
use crate::node::input_action::AuthorizationId;
use crate::node::{ConnectionId, NodeAction};
use relink::session::Secret;
use relink::{Channel, CloseFrame};

/// The maximum number of pending answers of one connection. Enough for a client that subscribes to
/// all its channels again.
const AT_ONCE: usize = 16;

/// The questions of one connection.
#[derive(Debug)]
pub(super) struct Permissions {
    /// In order; at most one for each channel.
    waiting: BTreeMap<AuthorizationId, Channel>,
    /// The number of pending answers of the application and the store, including those no longer
    /// needed.
    due: usize,
}

impl Permissions {
    pub(super) const fn new() -> Self {
        Self { waiting: BTreeMap::new(), due: 0 }
    }

    /// Drops a request. One that was sent keeps its place until it is answered.
    pub(super) fn forget(&mut self, request: AuthorizationId) {
        self.waiting.remove(&request);
    }
}

/// A subscription whose request was answered.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Its start, if it has not begun yet.
    pub(crate) start: Option<Start>,
    /// The client's token was renewed meanwhile: it has to be authorized again.
    pub(crate) again: bool,
}

impl Connections {
    /// Asks which user a token belongs to: one question at a time, the latest token last.
    pub(crate) fn identify(&mut self, id: ConnectionId, token: Option<Secret>) {
        let Some(connection) = self.get_mut(id) else { return };
        if connection.identifying {
            connection.renewal = token;
            return;
        }
        connection.identifying = true;
        self.actions.push_back(NodeAction::Identify { id, token });
    }

    /// Handles the answer. Returns false if none was due.
    pub(crate) fn identified(&mut self, id: ConnectionId) -> bool {
        self.get_mut(id).is_some_and(|connection| core::mem::take(&mut connection.identifying))
    }

    /// Authorizes a subscription, when it is its turn.
    pub(crate) fn ask_permission(&mut self, id: ConnectionId, channel: &Channel) {
        self.last_authorization = self.last_authorization.saturating_add(1);
        let request = AuthorizationId(self.last_authorization);
        let Some(connection) = self.get_mut(id) else { return };
        let Some(subscription) = connection.subscription_mut(channel) else { return };
        subscription.question = Some(request);
        connection.permissions.waiting.insert(request, channel.clone());
        self.ask_permissions(id);
    }

    /// The renewed token is valid: all subscriptions are authorized again. A token that arrived
    /// meanwhile is next. Returns the close frame if this one has expired already.
    pub(crate) fn renewed(&mut self, id: ConnectionId) -> Option<CloseFrame> {
        let renewal = self.get_mut(id)?.renewal.take();
        if renewal.is_some() {
            self.identify(id, renewal);
        }
        if let Some(frame) = self.ended_token(id) {
            return Some(frame);
        }
        let connection = self.get_mut(id)?;
        let mut settled = Vec::new();
        for (channel, subscription) in &mut connection.channels {
            match subscription.question {
                None => settled.push(channel.clone()),
                // The request was sent with the old token.
                Some(request) => {
                    subscription.again = !connection.permissions.waiting.contains_key(&request)
                }
            }
        }
        for channel in settled {
            self.ask_permission(id, &channel);
        }
        None
    }

    fn ask_permissions(&mut self, id: ConnectionId) {
        let Some(connection) = self.all.get_mut(id) else { return };
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

    /// Handles the application's answer; returns the connection and the channel. The subscription
    /// is missing if it ended meanwhile, or started over. The place of the request is still held.
    pub(crate) fn authorized(
        &mut self,
        request: AuthorizationId,
    ) -> Option<(ConnectionId, Channel, Option<Asked>)> {
        let (id, channel) = self.authorizations.remove(request)?;
        let connection = self.get_mut(id);
        let subscription = connection.and_then(|connection| connection.subscription_mut(&channel));
        let asked = subscription.filter(|it| it.question == Some(request)).map(|subscription| {
            subscription.question = None;
            let again = core::mem::take(&mut subscription.again);
            Asked { start: subscription.start.take(), again }
        });
        Some((id, channel, asked))
    }

    /// One more answer of the store is pending for this connection, which counts against its limit.
    pub(crate) fn hold_place(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get_mut(id) {
            connection.permissions.due = connection.permissions.due.saturating_add(1);
        }
    }

    /// An answer arrived.
    pub(crate) fn give_back(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get_mut(id) {
            connection.permissions.due = connection.permissions.due.saturating_sub(1);
            self.ask_permissions(id);
        }
    }
}
