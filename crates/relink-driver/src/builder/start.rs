//! From what was configured to a running link.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::SmallRng;
use relink::protocol::Given;
use relink::session::SharedConfig;
use relink::{ConfigError, Session, SessionInput};

use super::{BuildError, Builder};
use crate::client::{Client, spawn};
use crate::connection::Connection;
use crate::dial::Dialer;
use crate::engine::Engine;
use crate::events::Events;
use crate::handle_state::Shared;
use crate::preset::Made;
use crate::proxy::Secure;
use crate::request::Endpoint;
use crate::runtime::Runtime;
use crate::suspend;
use crate::trace::Trace;
use crate::wire::largest;

/// The configuration of the last link: most programs build all of theirs alike.
static CONFIG: Mutex<SharedConfig> = Mutex::new(SharedConfig::NONE);

impl<Rt: Runtime> Builder<Rt> {
    /// Starts the link in a task of its own.
    ///
    /// # Errors
    ///
    /// The first mistake of the configuration; nothing was dialed.
    pub fn spawn(self) -> Result<(Client, Events), BuildError> {
        Ok(spawn(self.engine()?))
    }

    /// Starts the link without a task: it lives while it is polled.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn).
    pub fn connect(self) -> Result<Connection<Rt>, BuildError> {
        Ok(Connection::new(self.engine()?))
    }

    fn engine(self) -> Result<Engine<Rt>, BuildError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let Made { mut config, mut protocol, placement } = self.config.make(self.protocol)?;
        let mut template = self.template;
        template.endpoints.shrink_to_fit();
        template.placement = self.placement.unwrap_or(placement);
        template.check(self.providers.token.is_some())?;
        #[cfg(feature = "deflate")]
        template.deflate.map_or(Ok(()), |deflate| deflate.validate())?;
        all_as_secure_as_the_first(&template.endpoints)?;
        let endpoints: Vec<_> =
            template.endpoints.iter().map(|endpoint| endpoint.address.clone()).collect();

        #[cfg(feature = "tls")]
        let tls = {
            let mut tls = self.tls;
            if tls.is_own() && self.secure_by.is_some() {
                let conflict =
                    "tls() and tls_by() exclude each other: the configuration is rustls's";
                return Err(BuildError::Conflict(conflict));
            }
            let has_tls = template.endpoints.iter().any(|endpoint| endpoint.origin.is_secure());
            if has_tls && self.secure_by.is_none() {
                tls.prepare()?;
            }
            tls
        };
        let secure = Secure {
            by: self.secure_by,
            #[cfg(feature = "tls")]
            tls: tls.clone(),
        };
        let connector = self.route.connector(&self.runtime, secure);
        let dialer = Dialer {
            template,
            limits: self.limits,
            connector,
            #[cfg(feature = "tls")]
            tls,
        };
        config.link.credentials.fetch |= self.providers.token.is_some();
        config.link.credentials.address |= self.providers.address.is_some();
        protocol.reads_at_most(largest(self.limits)?)?;
        if let Some(resume) = &self.resume {
            protocol.check(Given::Resume(resume)).map_err(ConfigError::from)?;
        }
        let trace = Trace::link(&endpoints[0]);
        let mut session = Session::new(config, endpoints, protocol, rand::make_rng::<SmallRng>())?;
        if let Some(resume) = self.resume {
            session.resume_from(resume);
        }
        session.share_config(&mut CONFIG.lock().unwrap_or_else(PoisonError::into_inner));
        let clock = self.runtime.clone();
        let shared = Arc::new(Shared::new(session, self.inbox, Box::new(move || clock.now())));
        suspend::watch(&shared);
        shared.tell(SessionInput::Connect);
        Ok(Engine::new(self.runtime, shared, dialer, self.providers, trace))
    }
}

/// Otherwise an attacker who blocks the encrypted endpoint would see the secrets of the link in
/// plain text.
fn all_as_secure_as_the_first(endpoints: &[Endpoint]) -> Result<(), BuildError> {
    let Some(first) = endpoints.first().filter(|first| first.origin.is_secure()) else {
        return Ok(());
    };
    match endpoints.iter().find(|endpoint| !endpoint.origin.is_secure()) {
        Some(Endpoint { address, .. }) => {
            Err(BuildError::Insecure { endpoint: address.clone(), first: first.address.clone() })
        }
        None => Ok(()),
    }
}
