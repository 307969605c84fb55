//! Where the current transport leads, and which secrets may be sent there: they belong to the
//! origins that the application has configured, not to a foreign one that a redirect leads to.

use rand_core::Rng;

use super::{Address, CloseFrame, InvalidUrl, Origin, Protocol, Resume, Secret, Session};
use crate::base::time::Instant;
use crate::link::{Failure, HandshakeEvent, Input, TransportId};
use crate::policy::close_code::CloseCode;

/// Where the current transport leads.
#[derive(Debug, Default)]
pub(crate) struct Place {
    address: Option<Address>,
    /// Its origin, if that is not a configured one.
    stranger: Option<Origin>,
}

impl Place {
    /// The origin, if it is not a configured one.
    pub(super) const fn stranger(&self) -> Option<&Origin> {
        self.stranger.as_ref()
    }
}

impl<P: Protocol, R: Rng> Session<P, R> {
    /// The transport that is dialed now leads there. Returns whether secrets may be sent there.
    pub(super) fn go_to(&mut self, address: Address) -> bool {
        let origin = address.origin().ok();
        let is_configured = |known: &Address| {
            *known == address || origin.is_some() && known.origin().ok() == origin
        };
        // An address fetched for this attempt is trusted like a configured one.
        let is_ours = self.addresses.iter().chain(&self.fetched).any(is_configured);
        self.place = Place { address: Some(address), stranger: origin.filter(|_| !is_ours) };
        is_ours
    }

    /// The token, if it may be sent here.
    pub(super) fn token_here(&self) -> Option<&Secret> {
        self.token.as_ref().filter(|_| self.place.stranger.is_none())
    }

    /// The session to resume, if it began at this origin: no other may learn its id.
    pub(super) fn resume_here(&self) -> Option<Resume> {
        self.resume().filter(|_| self.id_of == self.place.stranger)
    }

    /// The server answered the handshake with a redirect.
    pub(super) fn redirected(&mut self, to: Option<&Address>, id: TransportId, now: Instant) {
        let failure = match to.map(|to| self.follow(to)) {
            Some(Ok(())) => Failure::HttpRedirect,
            Some(Err(error)) => {
                self.detail = cannot_follow(&error);
                Failure::NotWebSocket
            }
            None => Failure::NotWebSocket,
        };
        self.drive(Input::Failed { id, failure }, now);
    }

    /// The protocol redirects the client.
    pub(super) fn sent_elsewhere(&mut self, to: &Address, id: TransportId, now: Instant) {
        match self.follow(to) {
            Ok(()) => self.drive(Input::Handshake { id, event: HandshakeEvent::Redirect }, now),
            // Too late to follow.
            Err(_) if self.link.state().is_usable() => {}
            Err(error) => {
                let frame = CloseFrame::new(CloseCode::PROTOCOL_ERROR, cannot_follow(&error));
                self.give_up(Failure::NotWebSocket, frame, id, now);
            }
        }
    }

    fn follow(&mut self, to: &Address) -> Result<(), InvalidUrl> {
        let here = self.place.address.as_ref();
        let to = here.unwrap_or(to).redirect(to)?;
        // A user name belongs to its origin, as all credentials do.
        let user = self.fetched.iter().chain(&self.addresses).find_map(|ours| ours.user_at(&to));
        self.redirected_to = Some(user.map_or_else(|| to.clone(), |user| to.with_user(user)));
        Ok(())
    }
}

fn cannot_follow(error: &InvalidUrl) -> alloc::string::String {
    alloc::format!("the server's redirect cannot be followed: {error}")
}
