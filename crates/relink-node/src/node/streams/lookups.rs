//! Look-ups: what readers missed is read from the store once for all that wait for the same.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Bound;

use super::{Follow, Greet, Streams, send_page};
use crate::node::context::Context;
use crate::node::shared_frame::Page;
use crate::node::store_requests::Asker;
use crate::node::{ConnectionId, StoreRequestId};
use crate::{Full, Publication, StoreRequest, Stream};
use relink::Position;
use relink::internal::count;
use relink_v1::ServerFrame;

/// A request for one or more readers.
#[derive(Debug)]
pub(super) struct Lookup {
    /// The connection whose place it takes until it is answered: however many readers share it,
    /// one of them asks for less meanwhile.
    asker: ConnectionId,
    /// The connection whose user a stream that begins counts for.
    payer: ConnectionId,
    readers: BTreeSet<ConnectionId>,
}

/// The results of a look-up.
#[derive(Debug, Default)]
pub(crate) struct LookedUp {
    /// Readers whose subscription stands now.
    pub(crate) subscribed: Vec<ConnectionId>,
    /// Readers that lost messages of their session for good.
    pub(crate) lost: Vec<ConnectionId>,
    /// The connection whose place the request held, if it is done.
    pub(crate) done: Option<ConnectionId>,
}

/// The response to a look-up, for each of its readers.
struct Found<'a> {
    stream: &'a Stream,
    after: Option<Position>,
    top: Position,
    /// There were events that it does not include.
    behind: bool,
    page: Option<Page>,
    /// The readers for which it has to be sent again.
    waiting: BTreeSet<ConnectionId>,
}

impl Streams {
    /// Looks up what follows a place. Readers that seek the same share one request.
    pub(super) fn look_up(
        &mut self,
        id: ConnectionId,
        stream: &Stream,
        after: Option<Position>,
        greet: Greet,
        cx: &mut Context,
    ) {
        if self.follow(id, stream).is_none() {
            return;
        }
        self.set_follow(id, stream, Follow::Seeking { after, greet });
        let place = (stream.clone(), after);
        if let Some(lookup) = self.lookups.get_mut(&place) {
            lookup.readers.insert(id);
            return;
        }
        let readers = BTreeSet::from([id]);
        self.lookups.insert(place, Lookup { asker: id, payer: id, readers });
        let by = cx.connections.get(id).and_then(|connection| connection.session.clone());
        let (stream, limit) = (stream.clone(), cx.config.page);
        cx.ask(Asker::Readers, StoreRequest::Read { stream, after, limit, by });
        cx.connections.hold_place(id);
    }

    /// The reader for which a look-up is sent again: each that still waits, in turn, so that a user
    /// without room does not keep the others from the stream. `None` ends the look-up.
    pub(crate) fn next_payer(
        &mut self,
        stream: &Stream,
        after: Option<Position>,
        cx: &mut Context,
    ) -> Option<ConnectionId> {
        let place = (stream.clone(), after);
        let Lookup { asker, payer: before, mut readers } = self.lookups.remove(&place)?;
        readers.retain(|id| self.seeks(*id, stream, after).is_some());
        let next = readers.range((Bound::Excluded(before), Bound::Unbounded)).next();
        let Some(payer) = next.or(readers.first()).copied() else {
            cx.connections.give_back(asker);
            return None;
        };
        self.lookups.insert(place, Lookup { asker, payer, readers });
        Some(payer)
    }

    fn seeks(&self, id: ConnectionId, stream: &Stream, after: Option<Position>) -> Option<Greet> {
        self.follow(id, stream)?.seeks(after)
    }

    /// The store responds with what followed a place, and the stream's top. If the look-up is not
    /// done, it has to be sent again.
    pub(crate) fn looked_up(
        &mut self,
        (stream, after): (&Stream, Option<Position>),
        (request, top, missed): (StoreRequestId, Position, Option<Vec<Publication>>),
        cx: &mut Context,
    ) -> LookedUp {
        let mut result = LookedUp::default();
        let place = (stream.clone(), after);
        let Some(lookup) = self.lookups.remove(&place) else { return result };
        let behind = self.is_behind_news(stream, request, top);
        let page = missed.map(|missed| Page::new(stream, missed));
        let mut found = Found { stream, after, top, behind, page, waiting: BTreeSet::new() };
        for id in lookup.readers {
            if let Some(greet) = self.seeks(id, stream, after) {
                self.found(id, greet, &mut found, &mut result, cx);
            }
        }
        if found.waiting.is_empty() {
            result.done = Some(lookup.asker);
        } else {
            let (asker, readers) = (lookup.asker, found.waiting);
            self.lookups.insert(place, Lookup { asker, payer: asker, readers });
        }
        result
    }

    /// One reader that waited for it.
    fn found(
        &mut self,
        id: ConnectionId,
        greet: Greet,
        found: &mut Found<'_>,
        result: &mut LookedUp,
        cx: &mut Context,
    ) {
        let Found { stream, after, top, behind, .. } = *found;
        let mut subscribed = |position, recovered, cx: &mut Context| {
            // For the session's own stream the welcome has it.
            if let Stream::Channel(channel) = stream {
                let channel = channel.clone();
                let frame = ServerFrame::Subscribed { channel, position, recovered };
                cx.connections.push(id, &frame);
                result.subscribed.push(id);
            }
        };
        let follow = match (after, &mut found.page) {
            (None, _) => {
                subscribed(top, true, cx);
                Follow::Live(top)
            }
            (Some(place), Some(page)) => {
                if greet != Greet::Silent {
                    subscribed(place, greet == Greet::First, cx);
                }
                send_page(id, place, page, cx)
            }
            (Some(place), None) => {
                count(&mut cx.stats.lost);
                match stream {
                    Stream::Session(_) => return result.lost.push(id),
                    // Another epoch began meanwhile: all of it is new to this reader.
                    Stream::Channel(_) if greet == Greet::Silent && place.epoch != top.epoch => {
                        let start = Some(Position::new(top.epoch, 0));
                        return self.look_up(id, stream, start, Greet::Lost, cx);
                    }
                    Stream::Channel(_) => subscribed(top, false, cx),
                }
                Follow::Live(top)
            }
        };
        self.set_follow(id, stream, follow);
        let Follow::Live(end) = follow else { return };
        if !behind && end.offset >= top.offset {
            return;
        }
        if Some(end) == after {
            // The store knows less than its news did, as a replica may: asked at once, it would say
            // the same.
            self.set_follow(id, stream, Follow::Seeking { after, greet: Greet::Silent });
            found.waiting.insert(id);
        } else {
            self.look_up(id, stream, Some(end), Greet::Silent, cx);
        }
    }

    /// The stream cannot begin for want of room. Returns the readers to refuse, which begin to
    /// read it; the others wait for the next try.
    pub(crate) fn refused(
        &self,
        stream: &Stream,
        after: Option<Position>,
        full: Full,
    ) -> Vec<ConnectionId> {
        let Some(lookup) = self.lookups.get(&(stream.clone(), after)) else { return Vec::new() };
        let begins = |id: &ConnectionId| self.seeks(*id, stream, after) == Some(Greet::First);
        lookup
            .readers
            .iter()
            .filter(|id| full == Full::Store || **id == lookup.payer)
            .filter(|id| begins(id))
            .copied()
            .collect()
    }

    /// The stream is gone. Returns the connection whose place the request held.
    pub(crate) fn end_lookup(
        &mut self,
        stream: &Stream,
        after: Option<Position>,
    ) -> Option<ConnectionId> {
        self.lookups.remove(&(stream.clone(), after)).map(|lookup| lookup.asker)
    }
}
