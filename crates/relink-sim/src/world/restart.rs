//! A client's process ends, and another one goes on from what the application remembers.

use std::collections::BTreeMap;

use relink::{Channel, CloseCode, Position, SessionInput};
use relink_node::Stream;

use super::World;
use super::client::{Client, Item};

impl World {
    /// The process ends. Another one begins: with what the application had taken, or with nothing.
    pub(super) fn crash(&mut self, number: usize, remembers: bool) {
        let resume = self.clients[number].session.resume().filter(|_| remembers);
        let places: BTreeMap<Channel, Position> = self.clients[number]
            .followed
            .iter()
            .filter_map(|channel| {
                Some((channel.clone(), self.clients[number].session.position(channel)?))
            })
            .collect();
        self.note(|| {
            format!("client {number} ends; another one goes on with {resume:?} and {places:?}")
        });
        // What it was told of gaps it has heard; the messages are lost with it.
        for item in std::mem::take(&mut self.clients[number].queue) {
            match item {
                Item::Message { .. } => {}
                Item::Begin { stream, position } => self.ledger.begin(number, stream, position),
                Item::Forget { stream } => self.ledger.forget(number, &stream),
            }
        }
        let life = self.clients[number].life;
        self.ledger.gone(number, life);
        if let Some(wire) = self.clients[number].wire.take() {
            self.client_lets_go(wire, CloseCode::ABNORMAL);
        }
        let mut next = Client::new(&self.plan, number, life + 1, &mut self.dice);
        let old = &self.clients[number];
        next.wants.clone_from(&old.wants);
        (next.offline_until, next.behind_until, next.seen) =
            (old.offline_until, old.behind_until, old.seen);
        if let Some(resume) = resume {
            next.id = Some(resume.session.clone());
            next.session.resume_from(resume);
            next.followed.clone_from(&old.followed);
        } else {
            self.excuse_all(number);
        }
        let wants: Vec<Channel> = next.wants.iter().cloned().collect();
        self.clients[number] = next;
        for channel in wants {
            let place = places.get(&channel).copied().filter(|_| remembers);
            let known = self.ledger.cursor(number, &Stream::Channel(channel.clone()));
            if place.is_some() && place != known {
                self.ledger.blame(format!(
                    "i24: client {number} would go on in {channel} at {place:?}, having taken {known:?}"
                ));
            }
            if place.is_none() {
                self.clients[number].followed.remove(&channel);
                self.ledger.forget(number, &Stream::Channel(channel.clone()));
            }
            self.subscribe(number, channel, place);
        }
        self.tell_client(number, SessionInput::Connect);
    }
}
