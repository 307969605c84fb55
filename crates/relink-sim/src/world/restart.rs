//! A client's process ends, and another one resumes from what the application stored.

use std::collections::{BTreeMap, BTreeSet};

use relink::{Channel, Position, SessionInput};
use relink_node::Stream;

use super::World;
use super::application::{Application, Item, draw_session};
use crate::cluster::Cluster;

impl Cluster<World> {
    /// The process ends. Another one begins: with what the application had taken, or with nothing.
    pub(super) fn crash(&mut self, number: usize, remembers: bool) {
        let resume = self.clients[number].session.resume().filter(|_| remembers);
        let places: BTreeMap<Channel, Position> = self.env.apps[number]
            .followed
            .iter()
            .filter_map(|channel| {
                Some((channel.clone(), self.clients[number].session.position(channel)?))
            })
            .collect();
        self.note(|| {
            format!("client {number} ends; another one goes on with {resume:?} and {places:?}")
        });
        // Reported gaps count; the messages are lost with it.
        for item in std::mem::take(&mut self.env.apps[number].queue) {
            match item {
                Item::Message { .. } => {}
                Item::Begin { stream, position } => self.env.ledger.begin(number, stream, position),
                Item::Forget { stream } => self.env.ledger.forget(number, &stream),
            }
        }
        let life = self.clients[number].life;
        self.env.ledger.gone(number, life);
        let session = draw_session(&mut self.env.dice);
        let goes_on = resume.is_some();
        self.replace_client(number, session, resume);
        let old = std::mem::take(&mut self.env.apps[number]);
        let wants: Vec<Channel> = old.wants.iter().cloned().collect();
        self.env.apps[number] = Application {
            wants: old.wants,
            followed: if goes_on { old.followed } else { BTreeSet::new() },
            offline_until: old.offline_until,
            behind_until: old.behind_until,
            seen: old.seen,
            ..Application::default()
        };
        if !goes_on {
            self.excuse_all(number);
        }
        for channel in wants {
            let place = places.get(&channel).copied().filter(|_| remembers);
            let known = self.env.ledger.cursor(number, &Stream::Channel(channel.clone()));
            if place.is_some() && place != known {
                self.blame(format!(
                    "i24: client {number} would go on in {channel} at {place:?}, having taken {known:?}"
                ));
            }
            if place.is_none() {
                self.env.apps[number].followed.remove(&channel);
                self.env.ledger.forget(number, &Stream::Channel(channel.clone()));
            }
            self.listen_to(number, channel, place);
        }
        self.tell_client(number, SessionInput::Connect);
    }
}
