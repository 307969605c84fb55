//! Subscriptions. A failed subscription never closes the connection.

use rand_core::Rng;

use crate::Stream;
use crate::node::connection::Subscription;
use crate::node::members::Seat;
use crate::node::streams::Follow;
use crate::node::{ConnectionId, Node};
use relink::session::{Problem, Secret, Text};
use relink::{Channel, Position};
use relink_v1::ServerFrame;

impl<R: Rng> Node<R> {
    pub(super) fn subscribe(
        &mut self,
        id: ConnectionId,
        channel: Channel,
        since: Option<Position>,
        token: Option<Secret>,
        presence: Option<Text>,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let known = connection.subscription(&channel).is_some();
        let bytes =
            [channel.as_str().len(), token.as_ref().map_or(0, |token| token.expose().len())];
        let bytes = bytes.into_iter().sum::<usize>()
            + presence.as_ref().map_or(0, |words| words.as_str().len());
        let refused = if !known && connection.channels.len() >= self.config.max_subscriptions {
            Some("too many channels on one connection")
        } else if connection.held_beside(&channel).saturating_add(bytes)
            > self.config.max_subscription_bytes
        {
            Some("the channels of this connection have too long names, tokens and words")
        } else {
            None
        };
        if let Some(detail) = refused {
            let problem = Problem::new(Problem::LIMIT_EXCEEDED, detail);
            return self.unsubscribe(id, &channel, Some(problem));
        }
        // A repeated subscribe without `since` continues from the position already in flight.
        let before = connection.subscription(&channel);
        let place = before.as_ref().and_then(|subscription| subscription.follow.place());
        let lease =
            before.and_then(|subscription| subscription.seat.as_ref()).and_then(Seat::lease);
        let since = since.or(place);
        if known {
            // Once more, from another place or with a fresh token: it begins anew. Nobody sees a
            // member leave that stays.
            let parting = if presence.is_some() { Parting::Broken } else { Parting::Clean };
            self.end_subscription(id, &channel, parting);
        }
        let follow = Follow::Asked { since };
        let seat = presence.map(|words| Seat::wanted(words, lease));
        let subscription =
            Subscription { follow, seat, token, question: None, again: false, bytes };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.subscribe(channel.clone(), subscription);
        }
        self.ask_permission(id, &channel);
    }

    /// A subscription ends: because the client says so, or for a reason. An answer comes in any
    /// case.
    pub(super) fn unsubscribe(
        &mut self,
        id: ConnectionId,
        channel: &Channel,
        problem: Option<Problem>,
    ) {
        self.end_subscription(id, channel, Parting::Clean);
        self.push(id, &ServerFrame::Unsubscribed { channel: channel.clone(), problem });
    }

    pub(super) fn end_subscription(
        &mut self,
        id: ConnectionId,
        channel: &Channel,
        parting: Parting,
    ) {
        self.stop_listing(id, channel);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let session = connection.session.clone();
        let Some(subscription) = connection.unsubscribe(channel) else { return };
        if let Some(request) = subscription.question {
            connection.permissions.forget(request);
        }
        self.unwatch(id, &Stream::Channel(channel.clone()));
        let (Some(session), Some(seat)) = (session, subscription.seat) else { return };
        match parting {
            Parting::Clean => self.leave_channel(&session, channel, &seat),
            Parting::Broken => self.member_disconnected(&session, channel, &seat),
        }
    }
}

/// Why a connection leaves a channel: it unsubscribes, or it is gone and may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    /// On purpose: the others are told at once.
    Clean,
    /// The link broke, or is replaced: there is a grace.
    Broken,
}
