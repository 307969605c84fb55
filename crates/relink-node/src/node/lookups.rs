//! Look-ups: what a reader missed is asked of the store once, for all who wait for the same.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Bound;

use rand_core::Rng;

use crate::node::shared_frame::Page;
use crate::node::store_requests::Asker;
use crate::node::streams::{Follow, Greet};
use crate::node::{ConnectionId, Node, StoreRequestId};
use crate::{Full, Publication, StoreRequest, Stream};
use relink::Position;
use relink::internal::count;

/// A question that one or more readers wait for.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Whose place it takes until it is answered.
    pub(super) asker: ConnectionId,
    /// Whose user a stream that begins counts for.
    payer: ConnectionId,
    readers: BTreeSet<ConnectionId>,
}

impl<R: Rng> Node<R> {
    /// Looks up what follows a place. Those who seek the same share one question.
    pub(super) fn look_up(
        &mut self,
        id: ConnectionId,
        stream: &Stream,
        after: Option<Position>,
        greet: Greet,
    ) {
        let Some(follow) = self.follow(id, stream) else { return };
        *follow = Follow::Seeking { after, greet };
        let place = (stream.clone(), after);
        if let Some(lookup) = self.lookups.get_mut(&place) {
            lookup.readers.insert(id);
            return;
        }
        let readers = BTreeSet::from([id]);
        self.lookups.insert(place, Lookup { asker: id, payer: id, readers });
        let (stream, limit, by) = (stream.clone(), self.config.page, self.session_of(id));
        self.request(Asker::Readers, StoreRequest::Read { stream, after, limit, by });
        self.hold_place(id);
    }

    /// For whom a look-up is sent again: each of those who still wait, in turn, so that a user
    /// without room keeps nobody else from the stream. `None` ends it.
    pub(super) fn next_payer(
        &mut self,
        stream: &Stream,
        after: Option<Position>,
    ) -> Option<ConnectionId> {
        let place = (stream.clone(), after);
        let Lookup { asker, payer: before, mut readers } = self.lookups.remove(&place)?;
        readers.retain(|id| {
            self.follow(*id, stream).is_some_and(|follow| follow.seeks(after).is_some())
        });
        let next = readers.range((Bound::Excluded(before), Bound::Unbounded)).next();
        let Some(payer) = next.or(readers.first()).copied() else {
            self.give_back(asker);
            return None;
        };
        self.lookups.insert(place, Lookup { asker, payer, readers });
        Some(payer)
    }

    /// The response to a look-up. Returns true if it has to be sent again, for those to whom it
    /// said less than the news did.
    pub(super) fn looked_up(
        &mut self,
        question: StoreRequestId,
        stream: &Stream,
        after: Option<Position>,
        top: Position,
        missed: Option<Vec<Publication>>,
    ) -> bool {
        let place = (stream.clone(), after);
        let Some(lookup) = self.lookups.remove(&place) else { return false };
        let behind = self.is_behind_news(stream, question, top);
        let mut page = missed.map(|missed| Page::new(stream, missed));
        let mut waiting = BTreeSet::new();
        let Lookup { asker, readers, .. } = lookup;
        for id in readers {
            let Some(greet) = self.follow(id, stream).and_then(|follow| follow.seeks(after)) else {
                continue;
            };
            match (after, &mut page) {
                (None, _) => self.begin(id, stream, top, true),
                (Some(place), Some(page)) => {
                    match greet {
                        Greet::First => self.begin(id, stream, place, true),
                        Greet::Lost => self.begin(id, stream, place, false),
                        Greet::Silent => {}
                    }
                    let end = self.send_page(id, stream, place, page);
                    if end.is_some_and(|end| end == place && (behind || end.offset < top.offset)) {
                        // The store knows less than its news did: ask it again, but not at once.
                        self.set_follow(
                            id,
                            stream,
                            Follow::Seeking { after, greet: Greet::Silent },
                        );
                        waiting.insert(id);
                    } else if end.is_some_and(|end| behind || end.offset < top.offset) {
                        self.look_up(id, stream, end, Greet::Silent);
                    }
                    continue;
                }
                (Some(place), None) => match (stream, greet) {
                    (Stream::Session(_), _) => {
                        count(&mut self.stats.lost);
                        self.gap(id, "the session's history is lost");
                        continue;
                    }
                    // Another history began meanwhile: all of it is news to this reader.
                    (Stream::Channel(_), Greet::Silent) if place.epoch != top.epoch => {
                        count(&mut self.stats.lost);
                        self.look_up(id, stream, Some(Position::new(top.epoch, 0)), Greet::Lost);
                        continue;
                    }
                    (Stream::Channel(_), _) => {
                        count(&mut self.stats.lost);
                        self.begin(id, stream, top, false);
                    }
                },
            }
            // At the top, unless news have overtaken the answer.
            self.set_follow(id, stream, Follow::Live(top));
            if behind {
                self.look_up(id, stream, Some(top), Greet::Silent);
            }
        }
        if waiting.is_empty() {
            self.give_back(asker);
            return false;
        }
        self.lookups.insert(place, Lookup { asker, payer: asker, readers: waiting });
        true
    }

    /// The stream cannot begin for want of room: who wants it anew is told, who has it tries again.
    pub(super) fn page_refused(&mut self, stream: &Stream, after: Option<Position>, full: Full) {
        let refused = match (self.lookups.get(&(stream.clone(), after)), full) {
            (None, _) => BTreeSet::new(),
            (Some(lookup), Full::User) => BTreeSet::from([lookup.payer]),
            (Some(lookup), Full::Store) => lookup.readers.clone(),
        };
        for id in refused {
            let greet = self.follow(id, stream).and_then(|follow| follow.seeks(after));
            if let (Stream::Channel(channel), Some(Greet::First)) = (stream, greet) {
                self.unsubscribe(id, channel, Some(full.problem()));
            }
        }
    }
}
