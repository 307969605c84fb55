//! Subscriptions: permission from the application, missed messages from the store, and a seat among
//! the members if it is asked for. A failed subscription never closes the connection.

use alloc::format;
use alloc::vec::Vec;

use rand_core::Rng;

use crate::node::connections::{Seat, Start, Subscription};
use crate::node::input_action::AuthorizationId;
use crate::node::members::Parting;
use crate::node::streams::LookedUp;
use crate::node::{ConnectionId, Node, StoreRequestId};
use crate::{Full, Publication, Stream};
use relink::session::{Member, Problem, Secret, Text};
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
        let Some(connection) = self.cx.connections.get(id) else { return };
        let known = connection.subscription(&channel).is_some();
        let bytes = channel.as_str().len()
            + token.as_ref().map_or(0, |token| token.expose().len())
            + presence.as_ref().map_or(0, |words| words.as_str().len());
        let config = &self.cx.config;
        let refused = if !known && connection.channels().len() >= config.max_subscriptions {
            Some("too many channels on one connection")
        } else if connection.held_beside(&channel).saturating_add(bytes)
            > config.max_subscription_bytes
        {
            Some("the channels of this connection have too long names, tokens and presence texts")
        } else {
            None
        };
        if let Some(detail) = refused {
            let problem = Problem::new(Problem::LIMIT_EXCEEDED, detail);
            return self.unsubscribe(id, &channel, Some(problem));
        }
        // A repeated subscribe without `since` continues from the position already in flight.
        let before = connection.subscription(&channel);
        let start = before.as_ref().and_then(|before| before.start);
        let lease = before.and_then(|before| before.seat.as_ref()?.lease);
        let place = match start {
            Some(start) => start.since,
            None => self.streams.place(id, &Stream::Channel(channel.clone())),
        };
        let lease = lease.or_else(|| self.members.lease(id, &channel));
        if known {
            // Once more, from another place or with a fresh token: it begins anew. The others
            // do not see a member leave that stays.
            let parting = if presence.is_some() { Parting::Broken } else { Parting::Clean };
            self.end_subscription(id, &channel, parting);
        }
        let start = Start { since: since.or(place) };
        let seat = presence.map(|info| Seat { info, lease });
        let subscription = Subscription::new(start, seat, token, bytes);
        if let Some(connection) = self.cx.connections.get_mut(id) {
            connection.subscribe(channel.clone(), subscription);
        }
        self.cx.connections.ask_permission(id, &channel);
    }

    pub(super) fn authorized(&mut self, request: AuthorizationId, result: Result<(), Problem>) {
        let Some((id, channel, asked)) = self.cx.connections.authorized(request) else { return };
        if let Some(asked) = asked {
            match (result, asked.start) {
                (Err(problem), _) => self.unsubscribe(id, &channel, Some(problem)),
                (Ok(()), Some(Start { since })) => {
                    let stream = Stream::Channel(channel.clone());
                    self.streams.begin(id, &stream, since, &mut self.cx);
                }
                (Ok(()), None) => {}
            }
            if asked.again {
                self.cx.connections.ask_permission(id, &channel);
            }
        }
        self.cx.connections.give_back(id);
    }

    /// The response to a look-up. Returns true if it has to be sent again.
    pub(super) fn looked_up(
        &mut self,
        (stream, after): (&Stream, Option<Position>),
        response: (StoreRequestId, Position, Option<Vec<Publication>>),
    ) -> bool {
        let LookedUp { subscribed, lost, done } =
            self.streams.looked_up((stream, after), response, &mut self.cx);
        if let Stream::Channel(channel) = stream {
            for id in subscribed {
                self.take_seat(id, channel);
            }
        }
        for id in lost {
            self.gap(id, "the session's history is lost");
        }
        if let Some(id) = done {
            self.cx.connections.give_back(id);
        }
        done.is_none()
    }

    /// The subscription is active: the client becomes a member, if it requested that.
    fn take_seat(&mut self, id: ConnectionId, channel: &Channel) {
        let Some(connection) = self.cx.connections.get_mut(id) else { return };
        let (user, session) = (connection.user_name(), connection.session.clone());
        let seat = connection.subscription_mut(channel).and_then(|at| at.seat.take());
        let Some((session, Seat { info, lease })) = session.zip(seat) else { return };
        let (fresh, join) = (self.rng.next_u64(), format!("{:016x}", self.rng.next_u64()));
        let member = Member { user, join, info: Some(info) };
        self.members.join(id, channel, session, member, (lease, fresh), &mut self.cx);
        self.cx.connections.hold_place(id);
    }

    /// The store has no room for a stream that would begin: its new readers are refused, and those
    /// that had it before wait for the next try.
    pub(super) fn lookup_refused(&mut self, stream: &Stream, after: Option<Position>, full: Full) {
        let Stream::Channel(channel) = stream else { return };
        for id in self.streams.refused(stream, after, full) {
            self.unsubscribe(id, channel, Some(full.problem()));
        }
    }

    /// Ends a subscription, for the client or for a problem. The client gets a frame even if it was
    /// not subscribed.
    pub(super) fn unsubscribe(
        &mut self,
        id: ConnectionId,
        channel: &Channel,
        problem: Option<Problem>,
    ) {
        self.end_subscription(id, channel, Parting::Clean);
        let frame = ServerFrame::Unsubscribed { channel: channel.clone(), problem };
        self.cx.connections.push(id, &frame);
    }

    pub(super) fn end_subscription(
        &mut self,
        id: ConnectionId,
        channel: &Channel,
        parting: Parting,
    ) {
        let Some(connection) = self.cx.connections.get_mut(id) else { return };
        let session = connection.session.clone();
        let Some(subscription) = connection.unsubscribe(channel) else { return };
        self.streams.unwatch(id, &Stream::Channel(channel.clone()), &mut self.cx);
        let lease = subscription.seat.and_then(|seat| seat.lease);
        self.members.leave(id, channel, session, lease, parting, &mut self.cx);
    }
}
