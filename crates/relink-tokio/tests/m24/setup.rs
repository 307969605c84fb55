//! A server that speaks as Metered does, a network that fails, and links across it.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::ready,
    net::SocketAddr,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use relink_profiles::metered::{self, PROFILE};
use relink_testing::{
    Metered, Script, Server,
    proxy::{Dials, Fault, Proxy, Termination},
    rig::{LONG, Rig},
};
use relink_tokio::relink::link::StatusChange;
use relink_tokio::relink::policy::{Curve, Jitter, Rate};
use relink_tokio::relink::session::{OfflineSend, OutboxConfig, PresenceEvent};
use relink_tokio::relink::{Backoff, Subscription};
use relink_tokio::{Event, SessionConfig, Token, Tokio};

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The profile, with durations that a test can wait for, and an application that lets messages
/// wait.
pub(crate) fn quick() -> SessionConfig {
    let mut config =
        metered::config().with_outbox(OutboxConfig::default().with_while_down(OfflineSend::Queue));
    let link = &mut config.link;
    link.backoff = Backoff::default()
        .with_first(None)
        .with_curve(Curve::Exponential { initial: ms(20), factor_pct: 200 })
        .with_jitter(Jitter::Spread { pct: 20 })
        .with_floor(ms(1))
        .with_cap(ms(80));
    link.budget = link.budget.with_rate(Rate { burst: 1000, refill: ms(1) });
    link.heartbeat = link
        .heartbeat
        .with_interval(Some(ms(200)))
        .with_timeout(ms(600))
        .with_watchdog(Some(ms(600)))
        .with_probe(ms(200));
    link.connect_timeout = ms(500);
    link.attempt_timeout = Some(ms(1_000));
    link.surface = link.surface.with_banner_after(Some(ms(50))).with_stuck_after(Some(ms(700)));
    config
}

/// What the server thinks of tokens, and how many connections it allows.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) expired: BTreeSet<String>,
    pub(crate) is_revoked: bool,
    pub(crate) cap: usize,
}

/// The server.
pub(crate) struct Service {
    pub(crate) server: Server,
    pub(crate) door: Arc<Mutex<Door>>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let door = Door { expired: BTreeSet::new(), is_revoked: false, cap: usize::MAX };
        let door = Arc::new(Mutex::new(door));
        let judge = Arc::clone(&door);
        let metered = Metered::new(move |token, others| {
            let door = judge.lock().expect("it is not poisoned");
            match token {
                _ if door.is_revoked => Some(4001),
                _ if door.expired.contains(token) => Some(4002),
                _ if others >= door.cap => Some(4010),
                _ => None,
            }
        });
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind_before(loopback, Script::echo(), metered.upstream()).await;
        Self { server: server.expect("a free port"), door }
    }

    pub(crate) fn door(&self) -> std::sync::MutexGuard<'_, Door> {
        self.door.lock().expect("it is not poisoned")
    }

    /// The token that a connection brought.
    pub(crate) async fn token_of(&self, connection: usize) -> String {
        let request = self.server.wait_for_request(connection, LONG).await.expect("it comes");
        let token = request.query().and_then(|query| query.strip_prefix("token="));
        token.expect("a token").to_owned()
    }
}

/// A link, with a network of its own to the server.
pub(crate) struct Person {
    rig: Rig<Tokio>,
    pub(crate) network: Proxy,
}

impl Deref for Person {
    type Target = Rig<Tokio>;

    fn deref(&self) -> &Self::Target {
        &self.rig
    }
}

impl DerefMut for Person {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.rig
    }
}

impl Person {
    pub(crate) async fn new(service: &Service, config: SessionConfig) -> Self {
        let network = Proxy::start(service.server.addr()).await.expect("a free port");
        let count = AtomicU32::new(0);
        let tokens = move || {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            ready(Ok::<_, Infallible>(Token::from(format!("token-{number}"))))
        };
        let rig = Rig::spawn(Tokio::new(), &network.url(), |builder| {
            builder.profile(&PROFILE).config(config).token(tokens)
        });
        Self { rig, network }
    }

    /// One that is usable, and in the room.
    pub(crate) async fn in_room(service: &Service, config: SessionConfig) -> Self {
        let mut person = Self::new(service, config).await;
        assert!(!person.connected().await);
        person.client.subscribe("room", Subscription::default());
        assert!(person.subscribed().await);
        // Members are notified of joins, also of their own.
        person.sees_join().await;
        person
    }

    /// Waits until this many more messages have arrived, while events are not read.
    pub(crate) async fn takes_in(&self, more: u64, than: u64) {
        let received = || self.client.stats().messages_received;
        self.rt.until("they arrive", || received() >= than + more).await;
    }

    /// Waits for this, unless it was told already.
    pub(crate) async fn shows(&mut self, what: StatusChange) {
        if !self.has_shown(what) {
            self.until(|event| (event == Event::StatusChange(what)).then_some(())).await;
        }
    }

    pub(crate) fn has_shown(&self, what: StatusChange) -> bool {
        self.heard().contains(&Event::StatusChange(what))
    }

    /// Waits until these words are heard in the room.
    pub(crate) async fn hears(&mut self, words: &str) {
        let end = format!(r#""data":"{words}"}}"#);
        self.publication(|message| message.as_text().is_some_and(|text| text.ends_with(&end)))
            .await;
    }

    /// Waits until a member joins; returns the id that the server gave it.
    pub(crate) async fn sees_join(&mut self) -> String {
        self.until(|event| match event {
            Event::Presence { change: PresenceEvent::Joined(member), .. } => Some(member.user),
            _ => None,
        })
        .await
    }

    /// The network is gone: the connection is cut, and no other comes about.
    pub(crate) fn cut(&self) {
        self.network.set_dials(Dials::Closed);
        self.network.set(Fault::Cut(Termination::Reset));
    }

    pub(crate) fn mend(&self) {
        self.network.set_dials(Dials::Pass);
        self.network.set(Fault::Pass);
    }
}
